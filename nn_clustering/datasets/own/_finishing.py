"""What is done to data once it is read: classes named, samples chosen, images changed."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._dataset import NOT_ASKED, Dataset
from nn_clustering.datasets._images import LUMINANCE
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets._samples import changed, chosen
from nn_clustering.datasets._settings import Settings, check_available
from nn_clustering.datasets.own._class_names import listed_classes, positions_of, shown_names
from nn_clustering.datasets.own._decoding import middle
from nn_clustering.datasets.own._request import Request
from nn_clustering.datasets.own._selection import chosen_rows
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def outline_of(
    request: Request,
    task: str,
    sample_shape: tuple[int, ...],
    names: tuple[str, ...],
    n_train: int,
    *,
    n_tokens: int | None = None,
    answers_positions: bool = False,
) -> Outline:
    """Return the outline of data of which this is known before samples are chosen or changed.

    Args:
        request: What is asked.
        task: "classification" or "regression".
        sample_shape: Of a sample, as it is stored.
        names: Of the classes or targets, as they are stored.
        n_train: Number of training samples that there are.
        n_tokens: Number of tokens of its vocabulary, if it has one.
        answers_positions: Whether a class is asked at every position of a sample.

    Raises:
        InvalidInputError: If what is asked cannot be had.
    """
    settings = request.settings
    _, names = _named(request, task, names)
    shape = _changed_shape(request, sample_shape)
    n_chosen = min(n_train, settings.n_train or n_train)
    return Outline(
        request.name,
        task,
        shape,
        len(names),
        n_chosen,
        n_tokens=n_tokens,
        answers_positions=answers_positions,
    )


def finished(dataset: Dataset, request: Request) -> Dataset:
    """Return data with the classes named, the samples chosen and the images changed that are asked.

    Args:
        dataset: All of the data, as it is stored.
        request: What is asked.

    Raises:
        InvalidInputError: If what is asked cannot be had.
    """
    positions, names = _named(request, dataset.task, dataset.class_names)
    shape = _changed_shape(request, dataset.input_shape)
    sha = hashlib.sha256(dataset.digest().encode())
    sha.update(repr((names, shape, request.settings.is_cropped)).encode())
    parts: dict[str, Any] = {}
    groups = dataset.groups
    for split in ("train", "test"):
        x, y = getattr(dataset, f"x_{split}"), getattr(dataset, f"y_{split}")
        if positions is not None:
            y = np.where(y == NOT_ASKED, np.int32(NOT_ASKED), positions[y])
        rows = _chosen_rows(request, split, y, names)
        if rows is not None:
            x, y = chosen(x, rows), y[rows]
            groups = None if groups is None else groups.chosen(split, rows)
            sha.update(rows.astype("<i8").data)
        sha.update(y.astype("<i4" if dataset.task == "classification" else "<f4").tobytes())
        if shape != dataset.input_shape:
            change = partial(_changed, shape=shape, is_cropped=request.settings.is_cropped)
            x = changed(x, change, shape) if len(x) else np.empty((0, *shape), np.float32)
        parts |= {f"x_{split}": x, f"y_{split}": y}
    notes = (*dataset.notes, *_of_resizing(request, dataset.input_shape, shape))
    return replace(
        dataset,
        **parts,
        class_names=names,
        source_digest=sha.hexdigest(),
        notes=notes,
        groups=groups,
    )


def resized(dataset: Dataset, settings: Settings) -> Dataset:
    """Return a data set of images whose images become the size that is asked, as they are read.

    Args:
        dataset: Images.
        settings: What is asked.
    """
    size = settings.size
    if size is None or size == dataset.input_shape[:2]:
        return dataset
    shape = (*size, dataset.input_shape[2])
    change = partial(_changed, shape=shape, is_cropped=settings.is_cropped)
    made = (dataset.digest(), shape, settings.is_cropped)
    return replace(
        dataset,
        x_train=changed(dataset.x_train, change, shape),
        x_test=changed(dataset.x_test, change, shape),
        source_digest=hashlib.sha256(repr(made).encode()).hexdigest(),
    )


def _named(
    request: Request, task: str, names: tuple[str, ...]
) -> tuple[NDArray[np.int32] | None, tuple[str, ...]]:
    """Return the positions of classes in the network's output, None for as they are; all names."""
    settings = request.settings
    listed = listed_classes(settings)
    if listed is None:
        return None, names
    if task != "classification":
        raise InvalidInputError(
            f"dataset.class_names={settings.class_names!r}, but {request.name} has targets and no "
            "classes; leave it out"
        )
    positions = positions_of(names, listed, request.name, str(settings.class_names))
    return positions, shown_names(listed)


def _chosen_rows(
    request: Request, split: str, y: NDArray[Any], names: tuple[str, ...]
) -> NDArray[np.int64] | None:
    settings = request.settings
    per_class = settings.per_class if split == "test" else None
    if getattr(settings, f"n_{split}") is None and per_class is None:
        return None
    if not len(y):  # of no train part nothing can be chosen
        check_available(f"n_{split}", getattr(settings, f"n_{split}"), 0, request.name)
    return chosen_rows(settings, split, y, names, request.name)


def _changed_shape(request: Request, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that samples of a shape become."""
    settings = request.settings
    if len(shape) != 3:
        if settings.channels is not None:
            raise InvalidInputError(
                f"dataset.channels={settings.channels!r}, but the samples of {request.name} are no "
                "images; expected null"
            )
        return shape
    height, width = settings.size or shape[:2]
    channels = shape[2] if settings.channels is None else settings.channels
    if channels != shape[2] and (isinstance(channels, bool) or {channels, shape[2]} != {1, 3}):
        raise InvalidInputError(
            f"dataset.channels={settings.channels!r}, but the images of {request.name} have "
            f"{shape[2]}; expected {'1, 3' if shape[2] in (1, 3) else shape[2]} or null"
        )
    return height, width, channels


def _changed(x: NDArray[Any], *, shape: tuple[int, ...], is_cropped: bool) -> NDArray[np.float32]:
    """Return images of another size, or in grey or three equal channels.

    Args:
        x: Shape (samples, height, width, channels).
        shape: (height, width, channels) that they become.
        is_cropped: Whether they keep their proportions and lose what is too long.
    """
    if x.shape[1:3] != shape[:2]:
        x = _resized(x, shape[0], shape[1], is_cropped=is_cropped)
    if x.shape[3] == 3 and shape[2] == 1:
        x = x.astype(np.float32) @ (np.array(LUMINANCE, np.float32) / np.float32(sum(LUMINANCE)))
        x = x[..., np.newaxis]
    return np.broadcast_to(x.astype(np.float32, copy=False), (len(x), *shape))


def _of_resizing(
    request: Request, given: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[str, ...]:
    if given[:2] == shape[:2]:
        return ()
    how = "the middle of them" if request.settings.is_cropped else "straight"
    before, after = (f"{height} x {width}" for height, width, _ in (given, shape))
    return (f"{request.name}: images of {before} are resized to {after} ({how})",)


def _resized(x: NDArray[Any], height: int, width: int, *, is_cropped: bool) -> NDArray[np.float32]:
    from PIL import Image

    box = middle(x.shape[1], x.shape[2], height, width) if is_cropped else None
    found = np.empty((len(x), height, width, x.shape[3]), np.float32)
    for image, to in zip(x, found, strict=True):
        for channel in range(x.shape[3]):
            # whole numbers stay whole, and images of floats what they are
            picture = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            to[..., channel] = picture.resize((width, height), Image.Resampling.BILINEAR, box)
    if len(found):  # a mean of pixels is none beyond them, but by rounding
        np.clip(found, x.min(), x.max(), out=found)
    return found
