"""The images that lesions are tested on: arrays, or a stream that is read batch by batch.

An image is whatever a network reads as one, a sequence of tokens too. Of one that answers at every
position each position at which something is asked counts as an image does elsewhere.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError


class Samples:
    """Images with their classes or targets, checked against a network.

    Attributes:
        shape: Of an image.
        dtype: Of what the network reads.
        n_samples: How many there are.
        n_images: Answers asked of them: as many, or those of all positions.
        has_positions: Whether the network answers at every position.
        n_outputs: Classes or targets.
        class_sizes: Answers of each class, or of each group, with those of no group last if there
            are any; ``n_images`` for each target; shape (scores,).
    """

    def __init__(
        self,
        network: keras.Model,
        x: Any,
        y: Any,
        *,
        task: str,
        output: int = 0,
        groups: NDArray[Any] | None = None,
        n_groups: int | None = None,
    ) -> None:
        """Read all labels, a stream's too.

        Args:
            network: The network.
            x: The images.
            y: Their classes or targets.
            task: "classification" or "regression".
            output: Which of the network's outputs answers.
            groups: By which group every right answer is counted, of the shape of ``y``.
            n_groups: Number of groups.

        Raises:
            InvalidInputError: If the images or labels do not fit the network or the task.
        """
        self._classifies = task == "classification"
        self._output_shape = _output_shape(network, output)
        self.n_outputs = self._output_shape[-1]
        self.has_positions = len(self._output_shape) == 2
        self.dtype = network.inputs[0].dtype
        self._x, self._y = x, y
        if isinstance(x, tf.data.Dataset):
            self.shape = _check_stream(x, y)
        else:
            self.shape = np.shape(x)[1:]
        _check_images(network, self.shape)
        if None in self._output_shape:
            self._output_shape = _shape_made(network, self.shape, output)
        if not isinstance(x, tf.data.Dataset):
            _check_labels(x, y)
        self._counts_for, n_groups = self._checked_groups(groups, n_groups)
        n_counts = self.n_outputs if n_groups is None else n_groups
        # one more, for answers of no group
        sizes = np.zeros(n_counts + 1, np.int64)
        self.n_samples = 0
        for labels in self._labels():
            sizes += self._sizes(labels, n_counts)
            self.n_samples += len(labels)
        self.n_images = int(sizes.sum() if self._classifies else sizes.max())
        if not self.n_images:
            raise InvalidInputError(f"{self._nothing_in_words()}; expected one at least")
        if self._classifies and (sizes[:-1] > 0).sum() < 2:
            kind, several = ("class", "classes") if n_groups is None else ("group", "groups")
            raise InvalidInputError(
                f"the test images are all of one {kind}; expected two {several} at least"
            )
        self.class_sizes = sizes if sizes[-1] else sizes[:-1]

    @property
    def n_scores(self) -> int:
        """Number of classes, groups or targets that scores are of."""
        return len(self.class_sizes)

    def batches(self, size: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield so many images at a time, the last time what is left, with what is asked of them.

        With classes, of int32, goes on a last axis what a right answer counts for; targets are of
        float64.
        """
        for x, y, counts_for in self._slices(size):
            yield (
                tf.cast(tf.convert_to_tensor(x), self.dtype),
                tf.stack([tf.cast(y, tf.int32), tf.cast(counts_for, tf.int32)], axis=-1)
                if self._classifies
                else tf.cast(tf.convert_to_tensor(y), tf.float64),
            )

    def n_answers(self, y: tf.Tensor) -> int:
        """Return how many answers are asked of images that :meth:`batches` has yielded."""
        return int(np.count_nonzero(y.numpy()[..., 0] >= 0)) if self.has_positions else len(y)

    def _slices(self, size: int) -> Iterator[tuple[Any, Any, Any]]:
        if isinstance(self._x, tf.data.Dataset):
            yield from ((x, y, y) for x, y in self._x.rebatch(size))
            return
        counts_for = self._y if self._counts_for is None else self._counts_for
        for start in range(0, self.n_samples, size):
            rows = slice(start, start + size)
            yield self._x[rows], self._y[rows], counts_for[rows]

    def _labels(self) -> Iterator[np.ndarray]:
        if isinstance(self._x, tf.data.Dataset):
            yield from (y.numpy() for _, y in self._x)
        else:
            yield np.asarray(self._y)

    def _checked_groups(
        self, groups: NDArray[Any] | None, n_groups: int | None
    ) -> tuple[NDArray[np.int32] | None, int | None]:
        """Return what every answer counts for, and how many groups there are.

        Answers of no group count for one more, behind the groups.
        """
        if groups is None:
            return None, None
        if not self._classifies or isinstance(self._x, tf.data.Dataset):
            what = "targets" if not self._classifies else "a tf.data.Dataset"
            raise InvalidInputError(
                f"groups of answers beside {what}; expected arrays of images and classes"
            )
        groups, y = np.asarray(groups), np.asarray(self._y)
        if groups.shape != y.shape or not np.issubdtype(groups.dtype, np.integer):
            raise InvalidInputError(
                f"groups of shape {groups.shape} and type {groups.dtype}; expected integers of "
                f"shape {y.shape}, one for each label"
            )
        most = int(groups.max(initial=-1))
        if n_groups is None:
            n_groups = most + 1
        if most >= n_groups:
            raise InvalidInputError(
                f"an answer of group {most}, but n_groups={n_groups}; expected groups 0 to "
                f"{n_groups - 1}, and -1 for none"
            )
        counts_for = np.where(groups < 0, n_groups, groups)
        return np.where(y < 0, -1, counts_for).astype(np.int32), n_groups

    def _nothing_in_words(self) -> str:
        if self.has_positions and self.n_samples:
            return "nothing is asked at any position of the test sequences"
        return "there are no test images"

    def _sizes(self, y: np.ndarray, n_counts: int) -> np.ndarray:
        """Check some labels and return how many answers count for each class, group or target."""
        if not self._classifies:
            if y.ndim != 2 or y.shape[1] != self.n_outputs or not np.isfinite(y).all():
                raise InvalidInputError(
                    f"targets of shape {y.shape}; expected numbers of shape (images, "
                    f"{self.n_outputs}), one for each of the network's outputs"
                )
            return np.append(np.full(self.n_outputs, len(y)), 0)
        positions = self._output_shape[:-1]
        if y.shape[1:] != positions or not np.issubdtype(y.dtype, np.integer):
            each = "one integer an image"
            if self.has_positions:
                each = f"one integer for each of {positions[0]} positions"
            raise InvalidInputError(
                f"labels of shape {y.shape} and type {y.dtype}; expected {each}"
            )
        if y.size and (y.min() < -self.has_positions or y.max() >= self.n_outputs):
            raise InvalidInputError(
                f"the data set has classes {y.min()} to {y.max()}, the network {self.n_outputs} "
                f"outputs; expected classes 0 to {self.n_outputs - 1}"
            )
        counts_for = y if self._counts_for is None else self._counts_for
        return np.bincount(counts_for[y >= 0], minlength=n_counts + 1)


def _output_shape(network: keras.Model, output: int) -> tuple[Any, ...]:
    """Return the shape of what answers: (outputs,), or (positions, outputs)."""
    if len(network.inputs) != 1:
        raise InvalidInputError(
            f"network {network.name!r} has {len(network.inputs)} inputs; expected one, of which a "
            "data set holds images"
        )
    shape = tuple(network.outputs[output].shape)[1:]
    if len(shape) not in (1, 2) or shape[-1] is None:
        raise InvalidInputError(
            f"network {network.name!r} has outputs of shape {shape}; expected one number for "
            "each class or target, of each position at most"
        )
    return shape


def _shape_made(network: keras.Model, shape: tuple[int, ...], output: int) -> tuple[Any, ...]:
    """Return the shape of what answers to an image of a shape, where it is open in the network."""
    made = network.compute_output_spec(keras.KerasTensor((None, *shape), network.inputs[0].dtype))
    found: tuple[Any, ...] = tuple(keras.tree.flatten(made)[output].shape)[1:]
    return found


def _check_images(network: keras.Model, shape: tuple[int, ...]) -> None:
    expected = tuple(network.inputs[0].shape[1:])
    if len(shape) != len(expected) or any(
        size not in (None, found) for size, found in zip(expected, shape, strict=True)
    ):
        raise InvalidInputError(
            f"network {network.name!r} takes inputs of shape {expected}, the data set's images are "
            f"{shape}: choose the data set that it was trained on"
        )


def _check_labels(x: Any, y: Any) -> None:
    if y is None or np.ndim(y) == 0 or len(y) != len(x):
        raise InvalidInputError(
            f"{len(x)} test images but {'no labels' if y is None else f'{np.size(y)} labels'}; "
            "expected one an image"
        )


def _check_stream(stream: tf.data.Dataset, y: Any) -> tuple[int, ...]:
    """Return the shape of an image of a stream."""
    spec = stream.element_spec
    if y is not None or not isinstance(spec, tuple) or len(spec) != 2:
        raise InvalidInputError(
            "a tf.data.Dataset that is not of pairs, or labels beside it; expected batches (x, y) "
            "in the one, and no other labels"
        )
    if stream.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InvalidInputError("the stream of images never ends; expected one without repeat()")
    shape = tuple(spec[0].shape[1:])
    if None in shape:
        raise InvalidInputError(
            f"a stream of images of shape {shape}; expected images of a known shape"
        )
    return shape
