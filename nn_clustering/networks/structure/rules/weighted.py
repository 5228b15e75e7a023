"""Layers whose kernels join units: dense layers, and convolutions of every kind."""

import re

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.structure._channels import Depthwise
from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.variables import kernel_of


def dense(builder: WeightsBuilder, step: Step) -> None:
    """Every unit reads every channel."""
    builder.add_weighted(step, kernel_of(builder, step, step.operation.kernel))


def einsum_dense(builder: WeightsBuilder, step: Step) -> None:
    """An equation that says what a dense layer does."""
    equation = step.operation.equation.replace(" ", "")
    if not _is_of_dense_layer(equation):
        raise builder.refusal(
            step,
            f"with the equation {step.operation.equation!r}; expected a product over the last "
            "axis alone, such as '...x,xy->...y'",
        )
    dense(builder, step)


def flat_projection(builder: WeightsBuilder, step: Step) -> None:
    """An equation whose units stand on several axes, as a dense layer."""
    projection = step.operation
    kernel = projection.equation.matrix(kernel_of(builder, step, projection.kernel))
    builder.add_weighted(step, kernel, n_heads=projection.n_heads)


def convolution(builder: WeightsBuilder, step: Step) -> None:
    """Every filter reads every channel of its group."""
    kernel = _two_dimensional(kernel_of(builder, step, step.operation.kernel))
    builder.add_weighted(step, kernel, groups=step.operation.groups)


def transposed_convolution(builder: WeightsBuilder, step: Step) -> None:
    """As a convolution, of which Keras' kernel has the filters before the channels."""
    kernel = _two_dimensional(kernel_of(builder, step, step.operation.kernel))
    builder.add_weighted(step, np.swapaxes(kernel, 2, 3))


def depthwise_convolution(builder: WeightsBuilder, step: Step) -> None:
    """Every channel becomes one or several, by a kernel each."""
    kernel = _two_dimensional(kernel_of(builder, step, step.operation.kernel))
    read = builder.read(step)
    builder.add(Depthwise(read, builder.add_kernel(step, kernel)), step.outputs[0])


def separable_convolution(builder: WeightsBuilder, step: Step) -> None:
    """A depthwise convolution, and filters that read one position of what it makes."""
    layer = step.operation
    depthwise = _two_dimensional(kernel_of(builder, step, layer.depthwise_kernel))
    pointwise = _two_dimensional(kernel_of(builder, step, layer.pointwise_kernel))
    read = builder.read(step)
    depth = builder.add_inner(Depthwise(read, builder.add_kernel(step, depthwise)))
    builder.add_weighted(step, pointwise, reads=depth)


def _is_of_dense_layer(equation: str) -> bool:
    found = re.fullmatch(r"(\.\.\.|\w*)(\w),(\w)(\w)->(\.\.\.|\w*)(\w)", equation)
    if found is None:
        return False
    before, read, rows, columns, kept, made = found.groups()
    return (
        (read, columns, before) == (rows, made, kept)
        and read != made  # else the diagonal alone is read
        and not {read, made} & set(before)
    )


def _two_dimensional(kernel: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a kernel as (height, width, ...), with a width of 1 if it has one dimension."""
    return kernel if kernel.ndim == 4 else kernel[:, None]
