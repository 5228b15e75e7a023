"""The clusterability gradient: train a network towards a weight graph that falls apart (methods I).

Its loss term is a mean of small eigenvalues of the graph's normalised Laplacian, and its gradient
the true one (the studies took half of it, quirk 5).
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np
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
from nn_clustering.training._kernel_norm_gradients import KERNEL_NORM_GRADIENTS
from nn_clustering.training._phases import ClusterabilityGradient
from nn_clustering.training._small_eigenvalues import mean_eigenvalue

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

    def normalise(
        self, factor_of: Callable[[keras.Variable], tf.Tensor | float] = lambda kernel: 1.0
    ) -> None:
        """Scale every hidden unit to a norm of sqrt 2, without a change of the function (I3).

        A unit's incoming weights and bias, taken together, get that Euclidean norm, and its
        outgoing weights are divided by the same factor: ReLU and what else lies between commute
        with it. Layers are taken in order, so that the incoming weights are those already divided.
        Zeros stay zeros, and units with neither weights nor bias are left as they are.

        Args:
            factor_of: What the weights of a kernel, not the biases, are multiplied by in the norm.
        """
        divisor = None
        for index, layer in enumerate(self._layers):
            kernel = _read(layer.kernel)
            if divisor is not None:
                # After a flatten, every position has a row for each of the channels.
                n_positions = kernel.shape[-2] // divisor.shape[0]
                kernel /= tf.tile(divisor, [n_positions])[:, None]
            if index < len(self._layers) - 1:
                divisor = _scale_to_norm(layer, kernel, factor_of(layer.kernel))
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
            value, by_weight = mean_eigenvalue(norms, settings.n_eigenvalues)
        by_kernel = [
            KERNEL_NORM_GRADIENTS[settings.kernel_norm](kernel, gradient)
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
    return settings.weight * mean_eigenvalue(weights, settings.n_eigenvalues)[0]


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


def _scale_to_norm(layer: keras.Layer, kernel: tf.Tensor, factor: tf.Tensor | float) -> tf.Tensor:
    """Scale the biases of a layer, and return the factors of its units.

    Args:
        layer: The layer.
        kernel: Its incoming weights.
        factor: What these are multiplied by in the norm.
    """
    squares = tf.reduce_sum(tf.square(kernel), axis=list(range(kernel.shape.rank - 1)))
    squares *= factor**2
    bias = _read(layer.bias) if layer.use_bias else tf.constant(0.0)
    squares += tf.square(bias)
    # written so that NaN stays NaN, for the diverging training to be seen
    scale = tf.where(squares < _ZERO_SQUARED_NORM, 1.0, tf.sqrt(2.0 / squares))
    if layer.use_bias:
        layer.bias.assign(bias * scale)
    return scale
