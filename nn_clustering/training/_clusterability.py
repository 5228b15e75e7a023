"""The clusterability gradient: train a network towards a weight graph that falls apart (methods I).

Its loss term is a mean of small eigenvalues of the graph's normalised Laplacian, and its gradient
the true one (the studies took half of it, quirk 5).
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import keras
import numpy as np
import scipy.linalg
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph, graph_from_weights
from nn_clustering.networks.structure import (
    KERNEL_NORMS,
    WeightLayer,
    chain_of_layers,
    find_weight_layers,
    is_homogeneous,
)
from nn_clustering.threads import one_thread
from nn_clustering.training._phases import ClusterabilityGradient

# Singular values of a normalised adjacency, which are 1 at most, count as 0 below this.
_ZERO_SINGULAR_VALUE = 1e-6

# The square of a unit's norm below which it counts as dead: float32 has few digits there.
_ZERO_SQUARED_NORM = 1e-30


class ClusterabilityTerm:
    """The loss term of the clusterability gradient, and the scaling of units that goes with it.

    The graph is that of :func:`~nn_clustering.graphs.graph_from_weights`. As it is a chain of
    layers, its normalised adjacency joins even layers to odd ones by a matrix B alone, and the
    eigenvalues of its Laplacian are 1 minus the singular values of B, found exactly by LAPACK from
    the smaller of B B' and B' B.

    Both methods can be called in a ``tf.function``, but not in one that XLA compiles.

    Args:
        network: An MLP or CNN whose hidden units are ReLU.
        settings: Weight, number of eigenvalues and kernel norm of the term.

    Raises:
        InvalidInputError: If the network is not a chain that has a graph of units, has a layer
            between its weights through which units cannot be scaled, or too few units.
    """

    def __init__(self, network: keras.Model, settings: ClusterabilityGradient) -> None:
        weight_layers = find_weight_layers(network)
        _check_eigenvalues(graph_from_weights(network, kernel_norm=settings.kernel_norm), settings)
        _check_homogeneous(network, weight_layers)
        chain = chain_of_layers(network)
        self._layers = [chain[layer.position] for layer in weight_layers]
        convolutions = [chain[layer.position] for layer in weight_layers if layer.is_convolution]
        # The first convolution reads the image, not units.
        self._kernels = [layer.kernel for layer in convolutions[1:] or self._layers]
        self._settings = settings

    def loss(self) -> tf.Tensor:
        """Return weight * mean of the eigenvalues 2 to n_eigenvalues + 1, a float32 scalar.

        Units without edges are left out. An eigenvalue that a pruned graph is too small to have
        counts as 1, and has no gradient. A component more of the graph makes an eigenvalue 0, where
        it stays. Of eigenvalues equal to the last that counts, any one counts: the gradient is then
        one of the subgradients. With weights that are NaN or infinite the term is NaN.
        """

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def term(*kernels: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], list[tf.Tensor]]]:
            value, *gradients = tf.numpy_function(
                self._value_and_gradients,
                kernels,
                [tf.float32] * (1 + len(kernels)),
                stateful=False,
            )

            def backward(upstream: tf.Tensor) -> list[tf.Tensor]:
                shaped = zip(gradients, kernels, strict=True)
                return [upstream * tf.ensure_shape(g, kernel.shape) for g, kernel in shaped]

            return tf.ensure_shape(value, ()), backward

        return term(*(_read(kernel) for kernel in self._kernels))

    def normalise(self) -> None:
        """Scale every hidden unit to a norm of sqrt 2, without a change of the function (I3).

        A unit's incoming weights and bias, taken together, get that Euclidean norm, and its
        outgoing weights are divided by the same factor: ReLU and what else lies between commute
        with it. Layers are taken in order, so that the incoming weights are those already divided.
        Zeros stay zeros, and units with neither weights nor bias are left as they are.
        """
        divisor = None
        for index, layer in enumerate(self._layers):
            kernel = _read(layer.kernel)
            if divisor is not None:
                # After a flatten, every position has a row for each of the channels.
                n_positions = kernel.shape[-2] // divisor.shape[0]
                kernel /= tf.tile(divisor, [n_positions])[:, None]
            if index < len(self._layers) - 1:
                divisor = _scale_to_norm(layer, kernel)
                kernel *= divisor
            layer.kernel.assign(kernel)

    def _value_and_gradients(self, *kernels: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        settings = self._settings
        if not all(np.isfinite(kernel).all() for kernel in kernels):
            return [np.full(shape, np.nan, np.float32) for shape in ((), *map(np.shape, kernels))]
        exact = [kernel.astype(np.float64) for kernel in kernels]
        norms = [
            KERNEL_NORMS[settings.kernel_norm](kernel) if kernel.ndim == 4 else np.abs(kernel)
            for kernel in exact
        ]
        # One thread, so that the result does not depend on how many cores there are; for matrices
        # of this size more threads gain little.
        with one_thread():
            value, by_weight = _mean_eigenvalue(norms, settings.n_eigenvalues)
        by_kernel = [
            _NORM_GRADIENTS[settings.kernel_norm](kernel, gradient)
            if kernel.ndim == 4
            else np.sign(kernel) * gradient
            for kernel, gradient in zip(exact, by_weight, strict=True)
        ]
        results = [np.array(value), *by_kernel]
        return [(settings.weight * result).astype(np.float32) for result in results]


def clusterability_loss(network: keras.Model, settings: ClusterabilityGradient) -> float:
    """Return the loss term of the clusterability gradient for a network as it stands.

    Args:
        network: Any chain of layers that has a graph of units; batch norm is folded in.
        settings: Weight, number of eigenvalues and kernel norm of the term.

    Raises:
        InvalidInputError: If the network is not a chain that has a graph of units, or has too few.
    """
    find_weight_layers(network)  # refuses what is no chain: the arithmetic below is that of one
    graph = graph_from_weights(network, kernel_norm=settings.kernel_norm)
    _check_eigenvalues(graph, settings)
    weights = [edges.weights for edges in graph.edges]
    return settings.weight * _mean_eigenvalue(weights, settings.n_eigenvalues)[0]


def _check_eigenvalues(graph: UnitGraph, settings: ClusterabilityGradient) -> None:
    sizes = [layer.n_units for layer in graph.layers]
    most = min(sum(sizes[::2]), sum(sizes[1::2])) - 1
    if settings.n_eigenvalues > most:
        raise InvalidInputError(
            f"clusterability_gradient.n_eigenvalues={settings.n_eigenvalues} for layers of "
            f"{', '.join(map(str, sizes))} units; expected 1 to {most}, or a larger network"
        )


def _check_homogeneous(network: keras.Model, weight_layers: Sequence[WeightLayer]) -> None:
    chain = chain_of_layers(network)
    first, last = weight_layers[0].position, weight_layers[-1].position
    for layer in chain[first:last]:
        if not is_homogeneous(layer):
            activation = getattr(getattr(layer, "activation", None), "__name__", "")
            raise InvalidInputError(
                f"layer {layer.name!r} of network {network.name!r} is a {type(layer).__name__}"
                f"{activation and ' with activation ' + activation}, which the clusterability "
                "gradient cannot scale units through without changing the function; expected "
                "hidden layers with relu, and no batch norm or noise between them"
            )


def _read(variable: keras.Variable) -> tf.Tensor:
    return tf.cast(tf.convert_to_tensor(variable.value), tf.float32)


def _scale_to_norm(layer: keras.Layer, kernel: tf.Tensor) -> tf.Tensor:
    """Scale the biases of a layer with incoming weights ``kernel``, and return the factors."""
    squares = tf.reduce_sum(tf.square(kernel), axis=list(range(kernel.shape.rank - 1)))
    bias = _read(layer.bias) if layer.use_bias else tf.constant(0.0)
    squares += tf.square(bias)
    # written so that NaN stays NaN, for the diverging training to be seen
    factor = tf.where(squares < _ZERO_SQUARED_NORM, 1.0, tf.sqrt(2.0 / squares))
    if layer.use_bias:
        layer.bias.assign(bias * factor)
    return factor


def _mean_eigenvalue(
    weights: Sequence[NDArray[np.floating]], n_eigenvalues: int
) -> tuple[float, list[NDArray[np.float64]]]:
    """Return the mean of the eigenvalues 2 to n_eigenvalues + 1 of the normalised Laplacian.

    With u_i, v_j the entries of a pair of singular vectors at units of degrees d_i, d_j and s the
    singular value, the eigenvalue 1 - s has the derivative
    s (u_i^2 / d_i + v_j^2 / d_j) / 2 - u_i v_j / sqrt(d_i d_j) by the weight between them.

    Args:
        weights: Of a chain of layers: non-negative, each of shape (source units, target units).
        n_eigenvalues: How many eigenvalues count.

    Returns:
        The mean, and its gradient by each of ``weights`` (0 by those of isolated units).
    """
    forward = [matrix.sum(axis=1) for matrix in weights]
    backward = [matrix.sum(axis=0) for matrix in weights]
    degrees = [forward[0], *map(np.add, forward[1:], backward), backward[-1]]
    scales = [np.where(d > 0, 1 / np.sqrt(np.where(d > 0, d, 1)), 0) for d in degrees]
    normalised = [
        matrix * source[:, None] * target
        for matrix, (source, target) in zip(weights, pairwise(scales), strict=True)
    ]
    singular_values, vectors = _leading_singular_vectors(normalised, n_eigenvalues + 1)
    # The first is 1 whatever the weights are.
    singular_values = singular_values[1:]
    scaled = [vector[:, 1:] * scale[:, None] for vector, scale in zip(vectors, scales, strict=True)]
    through_degree = [vector**2 @ singular_values / 2 for vector in scaled]
    gradients = [
        (
            through_degree[layer][:, None]
            + through_degree[layer + 1]
            - scaled[layer] @ scaled[layer + 1].T
        )
        / n_eigenvalues
        for layer in range(len(weights))
    ]
    return float(1 - singular_values.mean()), gradients


def _leading_singular_vectors(
    blocks: Sequence[NDArray[np.floating]], n: int
) -> tuple[NDArray[np.float64], list[NDArray[np.float64]]]:
    """Return the n largest singular values of the matrix B that joins even layers to odd ones.

    Args:
        blocks: The matrix from every layer to the next, of shape (source units, target units).
        n: At most the number of units on the smaller side.

    Returns:
        The values, largest first, and for every layer its part of the singular vectors, of shape
        (units, n). Where a value is 0, so are the parts in the layers of the larger side.
    """
    sizes = [len(blocks[0]), *(block.shape[1] for block in blocks)]
    # Where a layer starts among the layers of its side, the even ones or the odd ones.
    starts = [sum(sizes[layer % 2 : layer : 2]) for layer in range(len(sizes))]
    small = int(sum(sizes[1::2]) < sum(sizes[::2]))
    joins = {layer: _join(blocks, starts, layer) for layer in range(1 - small, len(sizes), 2)}
    of_small = _leading_eigenvectors(joins.values(), sum(sizes[small::2]), n)
    of_large = [matrix.T @ of_small[units] for units, matrix in joins.values()]
    # B times the vectors of the small side: those of the larger one, times the singular values.
    values = np.linalg.norm(np.concatenate(of_large), axis=0)
    # Where a value is 0, what is left of its vector is noise.
    nonzero = values > _ZERO_SINGULAR_VALUE
    inverse = np.where(nonzero, 1 / np.where(nonzero, values, 1), 0)
    scaled = {layer: part * inverse for layer, part in zip(joins, of_large, strict=True)}
    vectors = [
        scaled[layer] if layer in joins else of_small[starts[layer] : starts[layer] + size]
        for layer, size in enumerate(sizes)
    ]
    return values * nonzero, vectors


def _join(
    blocks: Sequence[NDArray[np.floating]], starts: Sequence[int], layer: int
) -> tuple[slice, NDArray[np.float64]]:
    """Return what joins a layer to the other side: to which units there, and the matrix from them.

    The layers before and after it follow each other among the layers of their side.
    """
    before, after = blocks[max(layer - 1, 0) : layer], blocks[layer : layer + 1]
    matrix = np.concatenate([*before, *(block.T for block in after)])
    start = starts[layer - 1] if before else 0
    return slice(start, start + len(matrix)), matrix


def _leading_eigenvectors(
    joins: Iterable[tuple[slice, NDArray[np.float64]]], n_units: int, n: int
) -> NDArray[np.float64]:
    """Return the n leading eigenvectors of B' B, where B' has these rows, largest first."""
    gram = np.zeros((n_units, n_units))
    for units, matrix in joins:
        gram[units, units] += matrix @ matrix.T
    wanted = [n_units - n, n_units - 1]
    return scipy.linalg.eigh(gram, subset_by_index=wanted, check_finite=False)[1][:, ::-1]


def _l1_gradient(kernel: NDArray[np.float64], by_norm: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(kernel) * by_norm


def _frobenius_gradient(
    kernel: NDArray[np.float64], by_norm: NDArray[np.float64]
) -> NDArray[np.float64]:
    norms = KERNEL_NORMS["frobenius"](kernel)
    return kernel * (by_norm / np.where(norms > 0, norms, 1))


def _spectral_gradient(
    kernel: NDArray[np.float64], by_norm: NDArray[np.float64]
) -> NDArray[np.float64]:
    left, values, right = np.linalg.svd(kernel.transpose(2, 3, 0, 1))
    outer = left[..., :, :1] * right[..., :1, :]
    outer = np.where(values[..., :1, None] > 0, outer, 0)
    return (outer * by_norm[..., None, None]).transpose(2, 3, 0, 1)


def _max_column_sum_gradient(
    kernel: NDArray[np.float64], by_norm: NDArray[np.float64]
) -> NDArray[np.float64]:
    sums = np.abs(kernel).sum(axis=0)
    is_largest = np.arange(len(sums))[:, None, None] == sums.argmax(axis=0)
    found: NDArray[np.float64] = np.sign(kernel) * is_largest * by_norm
    return found


# Each takes kernels of shape (height, width, in, out) and the gradient by their norms, of shape
# (in, out), and returns the gradient by the kernels: one of the subgradients where a norm has a
# kink, of which it is 0 at a kernel of zeros.
_NORM_GRADIENTS: dict[str, Callable[..., NDArray[np.float64]]] = {
    "l1": _l1_gradient,
    "frobenius": _frobenius_gradient,
    "spectral": _spectral_gradient,
    "max_column_sum": _max_column_sum_gradient,
}
