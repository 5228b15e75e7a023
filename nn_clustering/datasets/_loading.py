"""Loading data sets by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nn_clustering.datasets._catalogue import Entry, Rule, entry_of, listed_entries, no_such_dataset
from nn_clustering.datasets._data_files import dataset_folders, locate
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._download import require_obtainable
from nn_clustering.datasets._images import Images
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets._settings import SEED, Settings, check_available
from nn_clustering.datasets.own import Found, find
from nn_clustering.datasets.own._finishing import resized
from nn_clustering.datasets.own._selection import chosen_rows
from nn_clustering.errors import InvalidInputError

Made = TypeVar("Made", Images, Dataset)
# What acts on data sets of the catalogue, besides seed, n_train and n_test.
OF_CATALOGUE = ("channels", "per_class", "image_size", "resize")


def load_dataset(name: str, *, seed: int = SEED, **others: Any) -> Dataset:
    """Load or make a data set by name, or read one's own.

    Args:
        name: One of :func:`dataset_names`, mixtures also the other way round; or the path of a
            folder of images by class, of a folder that TensorFlow Datasets prepared, of an .npz,
            .csv, .parquet or .txt file; or the dotted name of a function.
        seed: Seed of composed sets, of those made by rule, and of what is drawn; sources do not
            depend on it.
        others: What else is asked, by its name; None is as if it were not. ``channels``: 3 copies
            grey images into three equal channels (methods B8, quirk 6), 1 reads one's own images
            in grey. ``n_train``: how many train samples to keep, of the catalogue's sets the first
            ones, of others some that are drawn, balanced by class; ``n_test``: how many test
            samples; ``per_class``: how many test samples of every class, drawn. ``image_size``:
            (height, width) of the images, or one number for both; ``resize``: "straight" or
            "crop". ``class_names``: a JSON file with the names of the classes. ``targets``: columns
            of a table that are predicted. ``damaged``: "refuse" or "skip" images and rows that
            cannot be read. ``prime``: modulus of modular addition. ``length``: characters of a
            sample of a text. ``train_share``: share of the samples that are for training, of
            modular addition and texts.

    Raises:
        InvalidInputError: If an argument makes no sense, or a file is damaged or not to be had.
    """
    settings = Settings(seed=seed, **others)
    named = _find(name)
    if isinstance(named, Found):
        return named.read(settings)
    if named.own is not None:
        settings.check_act(named.own.takes, named.name)
        return named.own.read(settings)
    if named.rule is not None:
        settings.check_act(named.rule.takes, named.name)
        return _chosen(named.rule.read(settings), named.name, settings)
    _require(named, settings)
    made = named.make(seed)
    if isinstance(made, Dataset):
        return _chosen(made, named.name, settings)
    images = _with_channels(_chosen(made, named.name, settings), settings.channels)
    return resized(images.dataset(named.name), settings)


def require_dataset(name: str, **settings: Any) -> Outline:
    """Check, in seconds at most, that a data set can be loaded or downloaded.

    Args:
        name: As of :func:`load_dataset`.
        settings: Its other arguments.

    Returns:
        What is known of it.

    Raises:
        InvalidInputError: If an argument makes no sense, or a file is in no folder and cannot be
            downloaded.
    """
    asked = Settings(**settings)
    named = _find(name)
    return named.outline(asked) if isinstance(named, Found) else _require(named, asked)


def outline_of_own(name: str, **settings: Any) -> Outline | None:
    """Check what is asked of a data set that may be used later, as far as that goes unread.

    Args:
        name: As of :func:`load_dataset`.
        settings: Its other arguments.

    Returns:
        What is known of data of one's own; None of a set of the catalogue, whose files need not be
        there yet.

    Raises:
        InvalidInputError: If there is no such data set, or an argument makes no sense.
    """
    asked = Settings(**settings)
    named = _find(name)
    if isinstance(named, Found):
        return named.outline(asked)
    if named.rule is not None:
        return _require(named, asked)
    asked.check_act(OF_CATALOGUE if named.own is None else named.own.takes, named.name)
    if named.own is None:
        _check_channels(named, asked.channels)
    return None


def dataset_names() -> list[str]:
    """Return the names of all data sets, of a mixture one way round."""
    return [entry.name for entry in listed_entries()]


def is_own(name: str) -> bool:
    """Return whether a name is that of data of one's own, or of what is read as these are.

    Their images are resized for any network.

    Raises:
        InvalidInputError: If there is no such data set.
    """
    found = _find(name)
    return isinstance(found, Found) or found.own is not None


def fitted_settings(name: str, shape: Sequence[int | None]) -> dict[str, Any]:
    """Return what is asked of a data set so that its samples fit a network, as far as it is asked.

    Args:
        name: As of :func:`load_dataset`.
        shape: (height, width, channels), or (length,), that the network takes; None for any.

    Returns:
        image_size and channels, or length, where the network takes a certain one and the data set
        can have it.

    Raises:
        InvalidInputError: If there is no such data set.
    """
    named = _find(name)
    own = named.kind if isinstance(named, Found) else named.own
    fitted = _sizes_of_images(*shape) if len(shape) == 3 else {"length": shape[0]}
    return {
        key: value
        for key, value in fitted.items()
        if value is not None and own is not None and key in own.fitted
    }


def _sizes_of_images(height: int | None, width: int | None, channels: int | None) -> dict[str, Any]:
    fitted: dict[str, Any] = {}
    if height is not None and width is not None:
        fitted["image_size"] = (height, width)
    if channels in (1, 3):
        fitted["channels"] = channels
    return fitted


def dataset_task(name: str) -> str | None:
    """Return the task of a data set, without reading it; None where that alone tells.

    Raises:
        InvalidInputError: If there is no such data set.
    """
    found = _find(name)
    return require_dataset(name).task if isinstance(found, Found) else found.task


def _find(name: str) -> Entry | Found:
    entry = entry_of(name)
    found = entry or (find(name) if isinstance(name, str) else None)
    if found is None:
        raise no_such_dataset(name)
    return found


def _require(entry: Entry, settings: Settings) -> Outline:
    if entry.own is not None:
        settings.check_act(entry.own.takes, entry.name)
        return entry.own.outline(settings)
    if entry.rule is not None:
        return _of_rule(entry, entry.rule, settings)
    settings.check_act(OF_CATALOGUE, entry.name)
    channels, n_train = settings.channels, settings.n_train
    _check_channels(entry, channels)
    for key, size in zip(("n_train", "n_test"), entry.sizes, strict=True):
        # How many images a file holds is known when it is read: it may be one of the user's own.
        available = None if entry.files else size
        check_available(key, getattr(settings, key), available, entry.name)
    shape = entry.input_shape
    if settings.size is not None and len(shape) != 3:
        raise InvalidInputError(
            f"dataset.image_size={settings.image_size!r}, but the inputs of {entry.name} are no "
            "images; expected null"
        )
    folders = dataset_folders()
    for file in entry.files:
        if locate(file, folders) is None:
            require_obtainable(file, folders)
    return Outline(
        entry.name,
        entry.task,
        (*(settings.size or shape[:-1]), channels or shape[-1]),
        entry.n_outputs,
        n_train if n_train is not None or entry.files else entry.sizes[0],
    )


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


def _of_rule(entry: Entry, rule: Rule, settings: Settings) -> Outline:
    settings.check_act(rule.takes, entry.name)
    found = rule.outline(settings)
    if settings.n_train is None:
        return found
    check_available("n_train", settings.n_train, found.n_train, entry.name)
    return replace(found, n_train=settings.n_train)


def _chosen(made: Made, name: str, settings: Settings) -> Made:
    """Return the first samples, as the studies took them, or some of every class."""
    for split in ("train", "test"):
        rows = _rows(made, split, name, settings)
        if rows is None:
            continue
        # copies, so that the others need not be kept in memory
        changes: dict[str, Any] = {
            f"x_{split}": getattr(made, f"x_{split}")[rows],
            f"y_{split}": getattr(made, f"y_{split}")[rows],
        }
        if isinstance(made, Dataset) and made.groups is not None:
            changes["groups"] = made.groups.chosen(split, rows)
        made = replace(made, **changes)
    return made


def _rows(
    made: Images | Dataset, split: str, name: str, settings: Settings
) -> NDArray[np.int64] | None:
    y, number = getattr(made, f"y_{split}"), getattr(settings, f"n_{split}")
    if split == "test" and settings.per_class is not None:
        return chosen_rows(settings, split, y, made.class_names, name)
    if number is None:
        return None
    check_available(f"n_{split}", number, len(y), name)
    return np.arange(number)


def _with_channels(images: Images, channels: int | None) -> Images:
    if channels is None or channels == images.x_train.shape[3]:
        return images
    x_train, x_test = (np.repeat(x, channels, axis=3) for x in (images.x_train, images.x_test))
    return replace(images, x_train=x_train, x_test=x_test)
