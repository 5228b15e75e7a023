"""A data set of arrays as people have them: of any type of number, labels in any usual form."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._dataset import WHITE_BYTE, Dataset
from nn_clustering.datasets._samples import Samples, changed
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEYS = ("x_train", "y_train", "x_test", "y_test")
# Bytes that are looked at, or converted, at a time.
BLOCK = 2**24
# More classes than any network tells apart: such labels are numbers of something else.
_MOST_CLASSES = 100_000
# Larger arrays are converted when they are read.
_CONVERTED_AT_ONCE = 2**28


@dataclass(eq=False)
class Survey:
    """What is found in an array when it is looked at once, block by block.

    Attributes:
        lowest: The lowest value; NaN where there is one.
        highest: The highest.
        sha: Of what it holds, in the order of its values and as little-endian numbers.
    """

    lowest: float = math.inf
    highest: float = -math.inf
    sha: Any = field(default_factory=hashlib.sha256)

    def begin(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Take down what an array is like."""
        self.sha.update(f"{shape} {dtype.newbyteorder('<').str}".encode())

    def add(self, block: NDArray[Any]) -> None:
        """Take down the next values of an array."""
        if block.dtype.hasobject:
            raise InvalidInputError(f"an array is of {block.dtype}; expected numbers or texts")
        ordered = np.ascontiguousarray(block, block.dtype.newbyteorder("<"))
        self.sha.update(ordered.reshape(-1).view(np.uint8).data)
        if block.size and block.dtype.kind in "biuf":
            # NaN passes through both
            self.lowest = float(np.minimum(self.lowest, block.min()))
            self.highest = float(np.maximum(self.highest, block.max()))


def survey(samples: Samples) -> Survey:
    """Look at samples once, first to last."""
    found = Survey()
    found.begin(tuple(samples.shape), samples.dtype)
    for block in blocks_of(samples):
        found.add(block)
    return found


def blocks_of(samples: Samples) -> Iterator[NDArray[Any]]:
    """Yield samples in blocks of some megabytes."""
    row = max(1, samples.dtype.itemsize * math.prod(samples.shape[1:]))
    size = max(1, BLOCK // row)
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def dataset_of_arrays(
    name: str,
    arrays: Mapping[str, Any],
    surveys: Mapping[str, Survey] | None = None,
) -> Dataset:
    """Return the data set of arrays in Keras' layout.

    Args:
        name: Of the data set; messages begin with it.
        arrays: ``x_test``, ``y_test`` and, where there is a train part, ``x_train``, ``y_train``:
            images (samples, height, width, channels), or without the last axis, or vectors
            (samples, features), arrays or samples that are read; labels as arrays: whole numbers
            or texts (samples,), one-hot rows (samples, classes), or floats, which are targets of
            a regression.
        surveys: What was found in them, where somebody looked before.

    Raises:
        InvalidInputError: If parts are missing, types, shapes or values are not as above.
    """
    check_keys(name, arrays)
    found = surveys or {key: survey(array) for key, array in arrays.items()}
    xs = {key: arrays[key] for key in arrays if key.startswith("x_")}
    for key in xs:
        _check_numbers(f"{name}: {key}", arrays[key], found[key])
        _check_lengths(name, key, arrays)
    white, dtype = _scale(name, xs, found)
    labels = labels_of(name, {key: arrays[key] for key in arrays if key.startswith("y_")})
    sha = hashlib.sha256()
    for key in KEYS:
        sha.update(found[key].sha.digest() if key in found else b"")
    x_test = _given(xs["x_test"], dtype)
    has_train = len(xs.get("x_train", ())) > 0
    return Dataset(
        name,
        _given(xs["x_train"], dtype) if has_train else np.empty((0, *x_test.shape[1:]), dtype),
        labels.y["y_train"] if has_train else labels.y["y_test"][:0],
        x_test,
        labels.y["y_test"],
        labels.names,
        task=labels.task,
        white=white,
        source_digest=sha.hexdigest(),
    )


def check_keys(name: str, arrays: Mapping[str, Any]) -> None:
    """Raise InvalidInputError unless all arrays of a test part, or of both, are there."""
    needed = KEYS if {"x_train", "y_train"} & set(arrays) else KEYS[2:]
    missing = [key for key in needed if key not in arrays]
    if missing:
        raise InvalidInputError(
            f"{name} has {', '.join(arrays) or 'no arrays'} but no {' and no '.join(missing)}; "
            "expected x_test and y_test, and x_train and y_train where there is a train part"
        )


@dataclass(frozen=True)
class Labels:
    """Labels or targets of all parts.

    Attributes:
        task: "classification" or "regression".
        y: Of every part, by its key, as a :class:`Dataset` has them.
        names: Of the classes or targets.
    """

    task: str
    y: dict[str, NDArray[Any]]
    names: tuple[str, ...]


def labels_of(name: str, ys: Mapping[str, NDArray[Any]]) -> Labels:
    """Return labels or targets as a data set has them.

    Args:
        name: Of the data set; messages begin with it.
        ys: Of every part, by its key.

    Raises:
        InvalidInputError: If they are neither classes nor targets.
    """
    columns = {key: _columns(f"{name}: {key}", np.asarray(y)) for key, y in ys.items()}
    (first, shape) = next((key, y.shape[1]) for key, y in columns.items())
    kinds = {key: _kind(y) for key, y in columns.items()}
    for key, y in columns.items():
        if y.shape[1] != shape or kinds[key] != kinds[first]:
            raise InvalidInputError(
                f"{name}: {key} is {y.dtype} of shape {ys[key].shape}, {first} {ys[first].dtype} "
                f"of shape {ys[first].shape}; expected labels of one kind"
            )
    if kinds[first] == "text":
        return _of_texts({key: y[:, 0] for key, y in columns.items()})
    if shape > 1 and all(_is_one_hot(y) for y in columns.values()):
        names = tuple(map(str, range(shape)))
        classes = {key: y.argmax(axis=1).astype(np.int32) for key, y in columns.items()}
        return Labels("classification", classes, names)
    if kinds[first] == "float":
        return _targets(name, columns)
    if shape > 1:
        raise InvalidInputError(
            f"{name}: {first} is {ys[first].dtype} of shape {ys[first].shape}, and not one-hot; "
            "expected one whole number a sample, one 1 in each row, or floats (a regression); of "
            "tokens, with a class at every position, their vocabulary as well"
        )
    return _classes(name, {key: y[:, 0] for key, y in columns.items()})


def _columns(where: str, y: NDArray[Any]) -> NDArray[Any]:
    """Return labels as a table of one column or more."""
    if y.dtype.kind not in "biufUS":
        raise InvalidInputError(
            f"{where} is of {y.dtype}; expected whole numbers or texts (classes) or floats "
            "(targets of a regression)"
        )
    if y.ndim not in (1, 2) or 0 in y.shape:
        raise InvalidInputError(
            f"{where} is of shape {y.shape}; expected one label a sample, (samples,), or a row of "
            "targets, (samples, targets)"
        )
    return y.reshape(len(y), -1)


def _kind(y: NDArray[Any]) -> str:
    return "text" if y.dtype.kind in "US" else "float" if y.dtype.kind == "f" else "whole"


def _is_one_hot(y: NDArray[Any]) -> bool:
    return bool(((y == 0) | (y == 1)).all() and ((y == 1).sum(axis=1) == 1).all())


def _of_texts(ys: Mapping[str, NDArray[Any]]) -> Labels:
    texts = {key: np.char.decode(y, "utf-8") if y.dtype.kind == "S" else y for key, y in ys.items()}
    names = np.unique(np.concatenate(list(texts.values())))
    classes = {key: np.searchsorted(names, y).astype(np.int32) for key, y in texts.items()}
    return Labels("classification", classes, tuple(map(str, names)))


def _targets(name: str, ys: Mapping[str, NDArray[Any]]) -> Labels:
    targets = {key: y.astype(np.float32) for key, y in ys.items()}
    for key, y in targets.items():
        wrong = ~np.isfinite(y).all(axis=1)
        if wrong.any():
            raise InvalidInputError(
                f"{name}: {key} holds NaN or infinity, first in row {int(wrong.argmax())}; "
                "expected finite targets"
            )
    n_targets = next(iter(targets.values())).shape[1]
    names = (
        ("target",) if n_targets == 1 else tuple(f"target {index}" for index in range(n_targets))
    )
    return Labels("regression", targets, names)


def _classes(name: str, ys: Mapping[str, NDArray[Any]]) -> Labels:
    for key, y in ys.items():
        if y.min() < 0 or y.max() >= _MOST_CLASSES:
            raise InvalidInputError(
                f"{name}: the labels of {key} run from {y.min()} to {y.max()}; expected classes "
                "counted from 0"
            )
    n_classes = 1 + max(int(y.max()) for y in ys.values())
    classes = {key: y.astype(np.int32) for key, y in ys.items()}
    return Labels("classification", classes, tuple(map(str, range(n_classes))))


def _check_numbers(where: str, x: Any, found: Survey) -> None:
    shape = tuple(x.shape)
    if x.dtype.kind not in "biuf":
        raise InvalidInputError(f"{where} is of {x.dtype}; expected numbers")
    if len(shape) not in (2, 3, 4) or 0 in shape:
        raise InvalidInputError(
            f"{where} is of shape {shape}; expected images (samples, height, width, channels) or "
            "vectors (samples, features), with at least one sample"
        )
    if len(shape) == 2 and x.dtype == np.uint8:
        raise InvalidInputError(
            f"{where} is uint8 of shape {shape}, bytes that are no images; expected images "
            "(samples, height, width, channels), which are flattened for a network that takes "
            "vectors, or floats as the network reads them"
        )
    if not np.isfinite(np.array([found.lowest, found.highest], np.float32)).all():
        raise InvalidInputError(
            f"{where} holds NaN or infinity{_first_such(x)}; expected finite numbers"
        )


def _first_such(x: Any) -> str:
    row = 0
    for block in blocks_of(x):
        wrong = ~np.isfinite(block.astype(np.float32)).reshape(len(block), -1).all(axis=1)
        if wrong.any():
            return f", first in row {row + int(wrong.argmax())}"
        row += len(block)
    return ""


def _check_lengths(name: str, key: str, arrays: Mapping[str, Any]) -> None:
    x, y = arrays[key], arrays[key.replace("x_", "y_")]
    if np.ndim(y) == 0 or len(x) != len(y):
        n_labels = 1 if np.ndim(y) == 0 else len(y)
        raise InvalidInputError(
            f"{name}: {key} has {len(x)} samples and {key.replace('x_', 'y_')} {n_labels} labels; "
            "expected as many"
        )


def with_channel_axis(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of samples; grey images have one channel."""
    return (*shape, 1) if len(shape) == 3 else shape


def _scale(
    name: str, xs: Mapping[str, Any], found: Mapping[str, Survey]
) -> tuple[float | None, np.dtype[Any]]:
    """Return the value of white, and the type in which samples are given."""
    if len({(tuple(x.shape[1:]), x.dtype.kind) for x in xs.values()}) > 1:
        told = ", ".join(f"{key} is {x.dtype} of shape {tuple(x.shape)}" for key, x in xs.items())
        raise InvalidInputError(f"{name}: {told}; expected samples of one shape and type")
    lowest = min(found[key].lowest for key in xs)
    highest = max(found[key].highest for key in xs)
    floats = np.dtype(np.float32)
    if len(xs["x_test"].shape) == 2 or lowest < 0:
        return None, floats
    if highest <= 1:
        return 1.0, floats
    if xs["x_test"].dtype.kind == "f" or highest > WHITE_BYTE:
        return None, floats
    is_bytes = all(x.dtype == np.uint8 for x in xs.values())
    return float(WHITE_BYTE), np.dtype(np.uint8) if is_bytes else floats


def _given(x: Any, dtype: np.dtype[Any]) -> Samples:
    """Return samples as a data set has them."""
    if isinstance(x, np.ndarray):
        x = x.reshape(with_channel_axis(x.shape))
        if x.dtype == dtype or x.nbytes <= _CONVERTED_AT_ONCE:
            converted: Samples = x.astype(dtype, copy=False)
            return converted
    if x.dtype == dtype:
        samples: Samples = x
        return samples
    return changed(x, lambda block: block.astype(np.float32), tuple(x.shape[1:]))
