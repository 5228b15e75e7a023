"""Loading data sets by name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from nn_clustering.datasets._catalogue import Entry, find_entry, listed_entries
from nn_clustering.datasets._data_files import dataset_folders, locate
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._download import require_obtainable
from nn_clustering.datasets._images import Images
from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import seed_sequence

# What sets are composed and made with unless a run says otherwise (methods B).
SEED = 42
Made = TypeVar("Made", Images, Dataset)


def load_dataset(
    name: str,
    *,
    seed: int = SEED,
    channels: int | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
) -> Dataset:
    """Load or make a data set by name.

    Args:
        name: One of :func:`dataset_names`; mixtures also the other way round.
        seed: Seed of composed sets and of those made by rule; sources do not depend on it.
        channels: 3 copies grey images into three equal channels (methods B8, quirk 6); None
            leaves images as they are.
        n_train: How many train samples to keep, the first ones; None keeps all.
        n_test: How many test samples to keep.

    Raises:
        InvalidInputError: If an argument makes no sense, or a file is damaged or not to be had.
    """
    require_dataset(name, seed=seed, channels=channels, n_train=n_train, n_test=n_test)
    made = find_entry(name).make(seed)
    if isinstance(made, Dataset):
        return _first_samples(made, name, n_train, n_test)
    made = _first_samples(made, name, n_train, n_test)
    return _with_channels(made, channels).dataset(name)


@dataclass(frozen=True)
class Outline:
    """What is known of a data set before it is read.

    Attributes:
        name: Its name.
        task: "classification" or "regression".
        input_shape: Of one sample.
        n_outputs: Number of classes or targets.
        n_train: Number of training samples; None where that is known when the files are read.
    """

    name: str
    task: str
    input_shape: tuple[int, ...]
    n_outputs: int
    n_train: int | None


def require_dataset(
    name: str,
    *,
    seed: int = SEED,
    channels: int | None = None,
    n_train: int | None = None,
    n_test: int | None = None,
) -> Outline:
    """Check, in seconds at most, that a data set can be loaded or downloaded.

    Arguments as of :func:`load_dataset`.

    Returns:
        What is known of it.

    Raises:
        InvalidInputError: If an argument makes no sense, or a file is in no folder and cannot be
            downloaded.
    """
    entry = find_entry(name)
    try:
        seed_sequence(seed)
    except InvalidInputError as error:
        raise InvalidInputError(f"dataset.{error}") from None
    _check_channels(entry, channels)
    for key, number, size in zip(
        ("n_train", "n_test"), (n_train, n_test), entry.sizes, strict=True
    ):
        # How many images a file holds is known when it is read: it may be one of the user's own.
        _check_number(key, number, name, None if entry.files else size)
    folders = dataset_folders()
    for file in entry.files:
        if locate(file, folders) is None:
            require_obtainable(file, folders)
    return Outline(
        entry.name,
        entry.task,
        entry.input_shape if channels is None else (*entry.input_shape[:-1], channels),
        entry.n_outputs,
        n_train if n_train is not None or entry.files else entry.sizes[0],
    )


def dataset_names() -> list[str]:
    """Return the names of all data sets, of a mixture one way round."""
    return [entry.name for entry in listed_entries()]


def dataset_task(name: str) -> str:
    """Return the task of a data set, without reading it.

    Raises:
        InvalidInputError: If there is no such data set.
    """
    return find_entry(name).task


def _check_channels(entry: Entry, channels: int | None) -> None:
    own = entry.input_shape[-1] if len(entry.input_shape) == 3 else None
    if channels is None or (channels == own and not isinstance(channels, bool)):
        return
    if own is None:
        raise InvalidInputError(
            f"dataset.channels={channels!r}, but the inputs of {entry.name} are no images; "
            "expected null"
        )
    if channels == 1 and own == 3:
        raise InvalidInputError(
            f"dataset.channels={channels!r}, but {entry.name} is in colour; expected 3 or null, or "
            f"the data set {entry.name.replace('cifar10', 'cifar10_grey')}"
        )
    if channels != 3 or own != 1:
        raise InvalidInputError(
            f"dataset.channels={channels!r}, but images of {entry.name} have {own}; expected "
            f"{'1, 3' if own == 1 else own} or null"
        )


def _check_number(key: str, number: Any, name: str, available: int | None) -> None:
    if number is None:
        return
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
        raise InvalidInputError(
            f"dataset.{key}={number!r}; expected a number of samples of 1 or more, or null for all"
        )
    if available is not None and number > available:
        raise InvalidInputError(
            f"dataset.{key}={number}, but {name} has {available} such samples; expected at most as "
            "many, or null for all"
        )


def _first_samples(made: Made, name: str, n_train: int | None, n_test: int | None) -> Made:
    changes: dict[str, Any] = {}
    for split, number in (("train", n_train), ("test", n_test)):
        if number is not None:
            x, y = getattr(made, f"x_{split}"), getattr(made, f"y_{split}")
            _check_number(f"n_{split}", number, name, len(y))
            # copies, so that the others need not be kept in memory
            changes |= {f"x_{split}": x[:number].copy(), f"y_{split}": y[:number].copy()}
    return replace(made, **changes)


def _with_channels(images: Images, channels: int | None) -> Images:
    if channels is None or channels == images.x_train.shape[3]:
        return images
    x_train, x_test = (np.repeat(x, channels, axis=3) for x in (images.x_train, images.x_test))
    return replace(images, x_train=x_train, x_test=x_test)
