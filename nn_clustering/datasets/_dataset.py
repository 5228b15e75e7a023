"""The type that every way to make a data set returns."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images with class labels, split into train and test.

    Attributes:
        name: What the data set is called in configs.
        x_train: Images, float32 of shape (samples, height, width, channels), in [0, 1].
        y_train: Classes, int32 of shape (samples,), in 0..n_classes - 1.
        x_test: Like ``x_train``.
        y_test: Like ``y_train``.
        class_names: One name a class.

    Raises:
        InvalidInputError: If types, shapes, ranges or labels are not as above.
    """

    name: str
    x_train: NDArray[np.float32]
    y_train: NDArray[np.int32]
    x_test: NDArray[np.float32]
    y_test: NDArray[np.int32]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        for split, x, y in (
            ("train", self.x_train, self.y_train),
            ("test", self.x_test, self.y_test),
        ):
            where = f"data set {self.name!r}, {split} split"
            if x.ndim != 4 or len(x) == 0:
                raise InvalidInputError(
                    f"{where}: images of shape {x.shape}; expected (samples, height, width, "
                    "channels) with at least one sample"
                )
            if y.shape != (len(x),):
                raise InvalidInputError(f"{where}: {len(x)} images but labels of shape {y.shape}")
            if x.dtype != np.float32 or y.dtype != np.int32:
                raise InvalidInputError(
                    f"{where}: images of {x.dtype} and labels of {y.dtype}; expected float32 and "
                    "int32"
                )
            if not np.isfinite(x).all():
                raise InvalidInputError(f"{where}: the images hold NaN or infinity")
            if x.min() < 0 or x.max() > 1:
                raise InvalidInputError(
                    f"{where}: pixels run from {x.min()} to {x.max()}; expected 0 to 1 (divide "
                    "pixels of 0 to 255 by 255)"
                )
            if y.min() < 0 or y.max() >= self.n_classes:
                raise InvalidInputError(
                    f"{where}: labels run from {y.min()} to {y.max()}; expected 0 to "
                    f"{self.n_classes - 1}"
                )
        if self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise InvalidInputError(
                f"data set {self.name!r}: train images are {self.x_train.shape[1:]}, test images "
                f"{self.x_test.shape[1:]}; expected one shape"
            )

    @property
    def n_classes(self) -> int:
        """The number of classes."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of one image: (height, width, channels)."""
        height, width, channels = self.x_train.shape[1:]
        return height, width, channels

    def digest(self) -> str:
        """Return the SHA-256 of all arrays, the same on every machine."""
        sha = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            sha.update(f"{array.shape} {array.dtype}".encode())
            sha.update(little_endian.data)
        return sha.hexdigest()
