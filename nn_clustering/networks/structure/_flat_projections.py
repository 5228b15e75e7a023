"""Einsum layers whose units stand on several axes, as steps that have them on the last one.

The values of attention are such: (positions, heads, channels of a head). As steps of a walk a layer
that makes them makes (positions, heads * channels), so that units are the last axis everywhere.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray


@dataclass(frozen=True)
class Equation:
    """What an ``EinsumDense`` does that is a dense layer on the last axes.

    Attributes:
        order: The axes of the kernel in the order of what is read, then of what is made.
        n_read: Number of axes that are summed over, the last ones of what is read.
        n_made: Number of axes that are made, the last ones.
    """

    order: tuple[int, ...]
    n_read: int
    n_made: int

    @classmethod
    def of(cls, layer: keras.layers.EinsumDense) -> "Equation | None":
        """Return that of a layer; None if it is no dense layer on the last axes."""
        found = re.fullmatch(
            r"(\.\.\.)?(\w+),(\w+)->(\.\.\.)?(\w+)", layer.equation.replace(" ", "")
        )
        if found is None or found[1] != found[4]:
            return None
        read, kernel, made = found[2], found[3], found[5]
        kept = [label for label in read if label not in kernel]
        summed = [label for label in read if label in kernel and label not in made]
        new = [label for label in made if label not in read]
        labels = [*summed, *new]
        is_dense = (
            list(read) == kept + summed
            and list(made) == kept + new
            and sorted(labels) == sorted(kernel)
            and bool(summed and new)
            and len(set(labels)) == len(labels)
        )
        if not is_dense:
            return None
        return cls(tuple(kernel.index(label) for label in labels), len(summed), len(new))

    def matrix(self, kernel: NDArray[Any]) -> NDArray[Any]:
        """Return a kernel of shape (what is read, what is made), all axes of each on one."""
        ordered = np.transpose(kernel, self.order)
        n_read = int(np.prod(ordered.shape[: self.n_read]))
        return ordered.reshape(n_read, -1)

    def sizes(self, kernel: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the sizes of the axes that are summed over, and of those that are made."""
        sizes = tuple(int(kernel.shape[axis]) for axis in self.order)
        return sizes[: self.n_read], sizes[self.n_read :]


class FlatOperation(keras.Operation):  # type: ignore[misc]
    """An operation of a walk that no network has: what stands in for a part of a layer."""


class FlatProjection(FlatOperation):
    """An ``EinsumDense`` layer, which reads and makes units on one axis each.

    Attributes:
        layer: The layer, without its activation.
        equation: What it does.
    """

    def __init__(self, layer: keras.layers.EinsumDense, equation: Equation) -> None:
        super().__init__()
        self.layer, self.equation = layer, equation
        self._read, self._made = equation.sizes(layer.kernel)

    @property
    def kernel(self) -> Any:
        """The layer's kernel."""
        return self.layer.kernel

    @property
    def quantization_mode(self) -> str | None:
        """Into what the layer is quantised."""
        mode: str | None = self.layer.quantization_mode
        return mode

    @property
    def n_heads(self) -> int | None:
        """Number of heads that the units are of; None if they stand on one axis."""
        return self._made[0] if len(self._made) > 1 else None

    def call(self, x: Any) -> Any:
        """Return what the layer makes."""
        return joined(self.layer(parted(x, self._read)), len(self._made))


class Parted(FlatOperation):
    """What stands on the last axis put on several.

    Attributes:
        sizes: Their sizes.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)

    def call(self, x: Any) -> Any:
        """Return it so."""
        return parted(x, self.sizes)


class Joined(FlatOperation):
    """What stands on the last axes put on one.

    Attributes:
        n_axes: How many.
    """

    def __init__(self, n_axes: int) -> None:
        super().__init__()
        self.n_axes = n_axes

    def call(self, x: Any) -> Any:
        """Return it so."""
        return joined(x, self.n_axes)


class ConcatenatedForEach(FlatOperation):
    """Tensors side by side, of which constants that stand for one sample go with each.

    Attributes:
        axis: Along which axis.
    """

    def __init__(self, concatenate: keras.Operation) -> None:
        super().__init__()
        self.axis = concatenate.axis

    def call(self, tensors: Any) -> Any:
        """Return them so."""
        of_samples = [ops.shape(x)[0] for x in tensors if x.shape[0] != 1]
        if of_samples:
            tensors = [
                ops.broadcast_to(x, (of_samples[0], *x.shape[1:])) if x.shape[0] == 1 else x
                for x in tensors
            ]
        return ops.concatenate(tensors, self.axis)


def parted(x: Any, sizes: Sequence[int]) -> Any:
    """Return values with the last axis as several of these sizes."""
    return x if len(sizes) == 1 else ops.reshape(x, (*ops.shape(x)[:-1], *sizes))


def joined(x: Any, n_axes: int) -> Any:
    """Return values with so many last axes as one."""
    if n_axes == 1:
        return x
    shape = ops.shape(x)
    return ops.reshape(x, (*shape[:-n_axes], int(np.prod(x.shape[-n_axes:]))))
