"""The type that every way to make a data set returns."""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError

TASKS = ("classification", "regression")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images or vectors with classes or real-valued targets, split into train and test.

    Attributes:
        name: What the data set is called in configs.
        x_train: Inputs, float32: images of shape (samples, height, width, channels), in [0, 1],
            or vectors of shape (samples, features), of any finite values.
        y_train: For classification, classes, int32 of shape (samples,), in 0..n_outputs - 1; for
            regression, targets, float32 of shape (samples, n_outputs).
        x_test: Like ``x_train``.
        y_test: Like ``y_train``.
        class_names: One name a class, or a target.
        task: "classification" or "regression".

    Raises:
        InvalidInputError: If types, shapes, ranges or labels are not as above.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[Any]
    x_test: NDArray[np.float32]
    y_test: NDArray[Any]
    class_names: tuple[str, ...]
    task: str = "classification"

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InvalidInputError(
                f"data set {self.name!r}: task {self.task!r}; expected {' or '.join(TASKS)}"
            )
        if not self.class_names:
            raise InvalidInputError(
                f"data set {self.name!r}: no class_names; expected one name a class, or a target"
            )
        for split, x, y in (
            ("train", self.x_train, self.y_train),
            ("test", self.x_test, self.y_test),
        ):
            where = f"data set {self.name!r}, {split} split"
            _check_inputs(where, x)
            if self.task == "classification":
                _check_classes(where, y, len(x), self.n_outputs)
            else:
                _check_targets(where, y, len(x), self.n_outputs)
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise InvalidInputError(
                f"data set {self.name!r}: train inputs are {self.x_train.shape[1:]}, test inputs "
                f"{self.x_test.shape[1:]}; expected one shape"
            )

    @property
    def n_outputs(self) -> int:
        """The number of classes, or of targets."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: (height, width, channels), or (features,)."""
        return tuple(self.x_train.shape[1:])

    def digest(self) -> str:
        """Return the SHA-256 of all arrays, the same on every machine."""
        sha = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            sha.update(f"{array.shape} {array.dtype}".encode())
            sha.update(little_endian.data)
        return sha.hexdigest()


def _check_inputs(where: str, x: NDArray[Any]) -> None:
    if x.ndim not in (2, 4) or x.size == 0:
        raise InvalidInputError(
            f"{where}: inputs of shape {x.shape}; expected images (samples, height, width, "
            "channels) or vectors (samples, features), with at least one sample"
        )
    if x.dtype != np.float32:
        raise InvalidInputError(f"{where}: inputs of {x.dtype}; expected float32")
    # NaN and infinity both show in the extremes, without a copy of the size of the data.
    lowest, highest = x.min(), x.max()
    if not np.isfinite([lowest, highest]).all():
        raise InvalidInputError(f"{where}: the inputs hold NaN or infinity")
    if x.ndim == 4 and (lowest < 0 or highest > 1):
        raise InvalidInputError(
            f"{where}: pixels run from {lowest} to {highest}; expected 0 to 1 (divide pixels of 0 "
            "to 255 by 255)"
        )


def _check_classes(where: str, y: NDArray[Any], n_samples: int, n_classes: int) -> None:
    if y.shape != (n_samples,):
        raise InvalidInputError(f"{where}: {n_samples} inputs but labels of shape {y.shape}")
    if y.dtype != np.int32:
        raise InvalidInputError(f"{where}: labels of {y.dtype}; expected int32")
    if y.min() < 0 or y.max() >= n_classes:
        raise InvalidInputError(
            f"{where}: labels run from {y.min()} to {y.max()}; expected 0 to {n_classes - 1}"
        )


def _check_targets(where: str, y: NDArray[Any], n_samples: int, n_targets: int) -> None:
    if y.shape != (n_samples, n_targets):
        raise InvalidInputError(
            f"{where}: {n_samples} inputs and {n_targets} names but targets of shape {y.shape}"
        )
    if y.dtype != np.float32:
        raise InvalidInputError(f"{where}: targets of {y.dtype}; expected float32")
    if not np.isfinite([y.min(), y.max()]).all():
        raise InvalidInputError(f"{where}: the targets hold NaN or infinity")
