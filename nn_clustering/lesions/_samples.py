"""The images that lesions are tested on: arrays, or a stream that is read batch by batch."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from nn_clustering.errors import InvalidInputError


class Samples:
    """Images with their classes or targets, checked against a network.

    Attributes:
        shape: Of an image.
        dtype: Of what the network reads.
        n_images: How many there are.
        n_outputs: Classes or targets.
        class_sizes: Images of each class; ``n_images`` for each target; shape (outputs,).
    """

    def __init__(self, network: keras.Model, x: Any, y: Any, *, task: str, output: int = 0) -> None:
        """Read all labels, a stream's too.

        Args:
            network: The network.
            x: The images.
            y: Their classes or targets.
            task: "classification" or "regression".
            output: Which of the network's outputs answers.

        Raises:
            InvalidInputError: If the images or labels do not fit the network or the task.
        """
        self.n_outputs = _n_outputs(network, output)
        self._classifies = task == "classification"
        self.dtype = network.inputs[0].dtype
        self._x, self._y = x, y
        if isinstance(x, tf.data.Dataset):
            self.shape = _check_stream(x, y)
        else:
            self.shape = np.shape(x)[1:]
        _check_images(network, self.shape)
        if not isinstance(x, tf.data.Dataset):
            _check_labels(x, y)
        self.class_sizes = np.zeros(self.n_outputs, np.int64)
        for labels in self._labels():
            self.class_sizes += self._sizes(labels)
        self.n_images = int(
            self.class_sizes.sum() if self._classifies else self.class_sizes.max(initial=0)
        )
        if not self.n_images:
            raise InvalidInputError("there are no test images; expected one at least")
        if self._classifies and (self.class_sizes > 0).sum() < 2:
            raise InvalidInputError(
                "the test images are all of one class; expected two classes at least"
            )

    def batches(self, size: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
        """Yield so many images at a time, the last time what is left, with what is asked of them.

        Classes are of int32, targets of float64.
        """
        for x, y in self._slices(size):
            yield (
                tf.cast(tf.convert_to_tensor(x), self.dtype),
                tf.cast(tf.convert_to_tensor(y), tf.int32 if self._classifies else tf.float64),
            )

    def _slices(self, size: int) -> Iterator[tuple[Any, Any]]:
        if isinstance(self._x, tf.data.Dataset):
            yield from self._x.rebatch(size)
            return
        for start in range(0, self.n_images, size):
            yield self._x[start : start + size], self._y[start : start + size]

    def _labels(self) -> Iterator[np.ndarray]:
        if isinstance(self._x, tf.data.Dataset):
            yield from (y.numpy() for _, y in self._x)
        else:
            yield np.asarray(self._y)

    def _sizes(self, y: np.ndarray) -> np.ndarray:
        """Check some labels and return how many images of each class, or target, they are of."""
        if not self._classifies:
            if y.ndim != 2 or y.shape[1] != self.n_outputs or not np.isfinite(y).all():
                raise InvalidInputError(
                    f"targets of shape {y.shape}; expected numbers of shape (images, "
                    f"{self.n_outputs}), one for each of the network's outputs"
                )
            return np.full(self.n_outputs, len(y))
        if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
            raise InvalidInputError(
                f"labels of shape {y.shape} and type {y.dtype}; expected one integer an image"
            )
        if y.size and (y.min() < 0 or y.max() >= self.n_outputs):
            raise InvalidInputError(
                f"the data set has classes {y.min()} to {y.max()}, the network {self.n_outputs} "
                f"outputs; expected classes 0 to {self.n_outputs - 1}"
            )
        return np.bincount(y, minlength=self.n_outputs)


def _n_outputs(network: keras.Model, output: int) -> int:
    if len(network.inputs) != 1:
        raise InvalidInputError(
            f"network {network.name!r} has {len(network.inputs)} inputs; expected one, of which a "
            "data set holds images"
        )
    shape = tuple(network.outputs[output].shape)
    if len(shape) != 2 or shape[1] is None:
        raise InvalidInputError(
            f"network {network.name!r} has outputs of shape {shape[1:]}; expected one number for "
            "each class or target"
        )
    return int(shape[1])


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
