"""The type that every way to make a data set returns."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.datasets._groups import Groups
from nn_clustering.datasets._samples import Samples
from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import in_units, memory_bytes

TASKS = ("classification", "regression")
# White in images of bytes.
WHITE_BYTE = 255
# The class of a position at which nothing is asked.
NOT_ASKED = -1


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images, vectors or tokens with classes or real-valued targets, split into train and test.

    Attributes:
        name: What the data set is called in configs.
        x_train: Inputs: images of shape (samples, height, width, channels), or vectors of shape
            (samples, features), of any finite values; or tokens, int32 of shape (samples, length),
            numbers in ``vocabulary``. Arrays, or what reads them when they are needed; none at all
            where there is no train part.
        y_train: For classification, classes, int32 of shape (samples,), in 0..n_outputs - 1, or,
            of tokens, (samples, length), a class at every position, -1 where nothing is asked; for
            regression, targets, float32 of shape (samples, n_outputs).
        x_test: Like ``x_train``.
        y_test: Like ``y_train``.
        class_names: One name a class, or a target.
        task: "classification" or "regression".
        white: The value that white has in the images: 1, or 255 in images of bytes; None for
            vectors, and for images whose values are of no known scale.
        source_digest: SHA-256 of what the arrays are read out of and of how; None where it is to be
            computed of them.
        skipped: Names of what could not be read and was left out, as a config said.
        notes: What whoever uses it should be told, in sentences.
        vocabulary: One name a token; None where the inputs are no tokens.
        groups: What accuracy is measured by beside the classes.

    Raises:
        InvalidInputError: If types, shapes, ranges or labels are not as above.
    """

    name: str
    x_train: Samples
    y_train: NDArray[Any]
    x_test: Samples
    y_test: NDArray[Any]
    class_names: tuple[str, ...]
    task: str = "classification"
    white: float | None = 1.0
    source_digest: str | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] | None = None
    groups: Groups | None = None

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InvalidInputError(
                f"data set {self.name!r}: task {self.task!r}; expected {' or '.join(TASKS)}"
            )
        if self.source_digest is None and not isinstance(self.x_test, np.ndarray):
            raise InvalidInputError(
                f"data set {self.name!r}: no source_digest, and samples that are read when "
                "they are needed; expected the digest of what they are read out of"
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
            if split == "train" and not len(x):
                continue
            if self.vocabulary is not None:
                _check_tokens(where, x, len(self.vocabulary))
            else:
                _check_inputs(where, x, self.white)
            if self.task == "classification":
                _check_classes(where, y, self._shapes_of_classes(x), self.n_outputs)
            else:
                _check_targets(where, y, len(x), self.n_outputs)
            if self.groups is not None:
                _check_groups(where, self.groups.of(split), y)
        self._check_parts_alike()

    def _check_parts_alike(self) -> None:
        if self.groups is not None and self.task != "classification":
            raise InvalidInputError(
                f"data set {self.name!r}: groups of answers of a regression; expected none"
            )
        if self.has_train_part and self.y_train.ndim != self.y_test.ndim:
            raise InvalidInputError(
                f"data set {self.name!r}: train labels of shape {self.y_train.shape}, test labels "
                f"of shape {self.y_test.shape}; expected one class a sample, or one a position, in "
                "both"
            )
        if self.has_train_part and self.x_train.shape[1:] != self.x_test.shape[1:]:
            raise InvalidInputError(
                f"data set {self.name!r}: train inputs are {self.x_train.shape[1:]}, test inputs "
                f"{self.x_test.shape[1:]}; expected one shape"
            )

    def _shapes_of_classes(self, x: Samples) -> tuple[tuple[int, ...], ...]:
        """Return the shapes that labels of samples may have."""
        whole: tuple[int, ...] = (len(x),)
        return (whole,) if self.vocabulary is None else (whole, tuple(x.shape))

    @property
    def answers_positions(self) -> bool:
        """Whether a class is asked at every position of a sample, not of the whole."""
        return self.task == "classification" and self.y_test.ndim == 2

    @property
    def n_tokens(self) -> int | None:
        """The number of tokens of the vocabulary; None where the inputs are no tokens."""
        return None if self.vocabulary is None else len(self.vocabulary)

    @property
    def n_outputs(self) -> int:
        """The number of classes, or of targets."""
        return len(self.class_names)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: (height, width, channels), (features,), or (length,)."""
        return tuple(self.x_test.shape[1:])

    @property
    def has_train_part(self) -> bool:
        """Whether there are samples to train on."""
        return len(self.x_train) > 0

    def in_memory(self) -> Dataset:
        """Return the data set with its samples as arrays: tokens, or float32, pixels from 0 to 1.

        Raises:
            InvalidInputError: If they are larger than half of the memory there is.
        """
        n_bytes = 4 * sum(math.prod(x.shape) for x in (self.x_train, self.x_test))
        if n_bytes > memory_bytes() / 2:
            raise InvalidInputError(
                f"data set {self.name!r} takes {in_units(n_bytes)} in memory, and there are "
                f"{in_units(memory_bytes())}; expected half of that at most: take fewer samples "
                "(dataset.n_train, dataset.n_test), or smaller images (dataset.image_size)"
            )
        return replace(
            self,
            x_train=_read(self.x_train, self.white),
            x_test=_read(self.x_test, self.white),
            white=1.0 if self.white == WHITE_BYTE else self.white,
        )

    def digest(self) -> str:
        """Return the SHA-256 of all arrays or of their source, the same on every machine."""
        digest = self.source_digest or _digest_of(
            self.x_train, self.y_train, self.x_test, self.y_test
        )
        if self.vocabulary is None and self.groups is None:
            return digest
        # of tokens their meaning too, and what the answers are grouped by
        sha = hashlib.sha256(f"{digest} {self.vocabulary}".encode())
        if self.groups is not None:
            sha.update(f"{self.groups.kind} {self.groups.names}".encode())
            sha.update(_digest_of(self.groups.train, self.groups.test).encode())
        return sha.hexdigest()


def _digest_of(*arrays: Samples) -> str:
    sha = hashlib.sha256()
    for samples in arrays:
        array = np.asarray(samples)
        little_endian = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        sha.update(f"{array.shape} {array.dtype}".encode())
        sha.update(little_endian.data)
    return sha.hexdigest()


def _read(x: Samples, white: float | None) -> NDArray[Any]:
    values: NDArray[Any] = x[:]
    return values.astype(np.float32) / np.float32(WHITE_BYTE) if white == WHITE_BYTE else values


def _check_inputs(where: str, x: Samples, white: float | None) -> None:
    if len(x.shape) not in (2, 4) or 0 in x.shape:
        raise InvalidInputError(
            f"{where}: inputs of shape {x.shape}; expected images (samples, height, width, "
            "channels) or vectors (samples, features), with at least one sample"
        )
    if x.dtype == np.uint8 and white == WHITE_BYTE and len(x.shape) == 4:
        return
    if x.dtype != np.float32:
        raise InvalidInputError(f"{where}: inputs of {x.dtype}; expected float32")
    if isinstance(x, np.ndarray):
        _check_values(where, x, white)


def _check_values(where: str, x: NDArray[np.float32], white: float | None) -> None:
    # NaN and infinity both show in the extremes, without a copy of the size of the data.
    lowest, highest = x.min(), x.max()
    if not np.isfinite([lowest, highest]).all():
        raise InvalidInputError(f"{where}: the inputs hold NaN or infinity")
    if x.ndim == 4 and white is not None and (lowest < 0 or highest > white):
        raise InvalidInputError(
            f"{where}: pixels run from {lowest} to {highest}; expected 0 to {white:g} (divide "
            "pixels of 0 to 255 by 255)"
        )


def _check_tokens(where: str, x: Samples, n_tokens: int) -> None:
    if n_tokens == 0:
        raise InvalidInputError(f"{where}: an empty vocabulary; expected one name a token")
    if len(x.shape) != 2 or 0 in x.shape:
        raise InvalidInputError(
            f"{where}: tokens of shape {x.shape}; expected (samples, length), with at least one "
            "sample"
        )
    if x.dtype != np.int32:
        raise InvalidInputError(f"{where}: tokens of {x.dtype}; expected int32")
    if isinstance(x, np.ndarray) and (x.min() < 0 or x.max() >= n_tokens):
        raise InvalidInputError(
            f"{where}: tokens run from {x.min()} to {x.max()}; expected 0 to {n_tokens - 1}, the "
            "numbers of the vocabulary"
        )


def _check_classes(
    where: str, y: NDArray[Any], shapes: tuple[tuple[int, ...], ...], n_classes: int
) -> None:
    if y.shape not in shapes:
        or_positions = f", expected {' or '.join(map(str, shapes))}" if len(shapes) > 1 else ""
        raise InvalidInputError(
            f"{where}: {shapes[0][0]} inputs but labels of shape {y.shape}{or_positions}"
        )
    if y.dtype != np.int32:
        raise InvalidInputError(f"{where}: labels of {y.dtype}; expected int32")
    lowest, highest = (0 if y.ndim == 1 else NOT_ASKED), y.max()
    if y.min() < lowest or highest >= n_classes:
        unasked = "" if lowest == 0 else f", or {NOT_ASKED} where nothing is asked"
        raise InvalidInputError(
            f"{where}: labels run from {y.min()} to {highest}; expected 0 to {n_classes - 1}"
            f"{unasked}"
        )
    if highest < 0:
        raise InvalidInputError(
            f"{where}: nothing is asked at any position; expected a class at one at least"
        )


def _check_groups(where: str, groups: NDArray[np.int32], y: NDArray[Any]) -> None:
    if groups.shape != y.shape:
        raise InvalidInputError(
            f"{where}: groups of shape {groups.shape} for labels of shape {y.shape}; expected one "
            "a label"
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
