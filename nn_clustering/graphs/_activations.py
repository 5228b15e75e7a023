"""What the units of a network answer to samples (methods E1, E2)."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import joblib
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._from_activations import MAP_NORMS, POSITIONS, UnitActivations
from nn_clustering.graphs._unit_graph import Layer
from nn_clustering.graphs._unit_sets import UnitSet, unit_sets, weight_readers
from nn_clustering.networks.structure import (
    KERNEL_NORMS,
    NetworkWeights,
    Walk,
    around_nonlinearity,
    layer_kind,
    read_weights,
    walk_network,
)

# Values that all tensors of a batch hold together, 4 bytes each.
_VALUES_A_BATCH = 2**26
_LARGEST_BATCH = 512


def unit_activations(
    network: keras.Model,
    x: NDArray[np.floating],
    *,
    position: str = "post",
    map_norm: str = "spectral",
    on_progress: Callable[[int], object] = lambda n_samples: None,
) -> UnitActivations:
    """Return what every hidden unit answers to every sample.

    Units are the hidden units of dense layers, or all filters of a network with convolutions, the
    first convolution's included and dense layers behind them left out (methods E1). Merges such as
    sums are units as they are in the graph of the weights, under the same names, so that partitions
    of the two graphs can be compared layer by layer.

    Args:
        network: Any network of which a graph of the weights can be made, with one input.
        x: Samples, of the shape that the network reads.
        position: ``post``, after the unit's nonlinearity, or ``pre``, before it (methods E2). It is
            the first that follows where the unit arises, normalisation and pooling between allowed
            but no merge, concatenation or other weight layer; without one the two are the same.
        map_norm: What makes one number of a filter's map: one of :data:`KERNEL_NORMS`, taken of
            the map as a matrix (in one dimension, of one column), or ``mean``.
        on_progress: Called with the number of samples done since the last call.

    Raises:
        InvalidInputError: If a setting is unknown, the samples do not fit the network or are fewer
            than 3, the network has no hidden units, an activation is NaN or infinite, or what
            ``pre`` asks for is before a reshape that makes the units.
    """
    for name, value, known in (
        ("position", position, POSITIONS),
        ("map_norm", map_norm, MAP_NORMS),
    ):
        if value not in known:
            raise InvalidInputError(f"{name}={value!r}; expected one of {', '.join(known)}")
    walk = walk_network(network)
    check_samples(walk, x)
    weights = read_weights(network)
    sets = _hidden_units(weights)
    if position == "pre":
        _require_nonlinearities_behind(walk, weights, sets)
    tensors = [around_nonlinearity(walk, units.tensor)[position == "post"] for units in sets]
    values = [np.empty((len(x), units.n_units), np.float32) for units in sets]

    @tf.function  # type: ignore[untyped-decorator]
    def run(batch: tf.Tensor) -> list[tf.Tensor]:
        found = walk.run({walk.inputs[0]: batch}, tensors)
        return [tf.cast(found[tensor], tf.float32) for tensor in tensors]

    # Norms of many small matrices take longer than the network does.
    with ThreadPoolExecutor(joblib.cpu_count()) as pool:
        for batch in batches(len(x), batch_size_for(walk, x)):
            answers = run(tf.convert_to_tensor(x[batch], tf.float32))
            for into, maps in zip(values, answers, strict=True):
                parts = np.array_split(maps.numpy(), joblib.cpu_count())
                numbers = pool.map(lambda part: _numbers(part, map_norm), parts)
                into[batch] = np.concatenate(list(numbers))
            on_progress(batch.stop - batch.start)
    layers = tuple(Layer(units.name, units.n_units) for units in sets)
    return UnitActivations(layers, tuple(values))


def count_active_units(
    network: keras.Model, x: NDArray[np.floating], *, position: str = "post"
) -> int:
    """Return how many units :func:`unit_activations` is of, for which nothing is computed.

    Raises:
        InvalidInputError: If the samples do not fit the network, it has no hidden units, or what
            ``pre`` asks for is before a reshape that makes the units.
    """
    walk = walk_network(network)
    check_samples(walk, x)
    weights = read_weights(network)
    sets = _hidden_units(weights)
    if position == "pre":
        _require_nonlinearities_behind(walk, weights, sets)
    return sum(units.n_units for units in sets)


def _require_nonlinearities_behind(
    walk: Walk, weights: NetworkWeights, sets: list[UnitSet]
) -> None:
    """Check that no units that a reshape makes have passed a nonlinearity before."""
    made = {layer.tensor for layer in weights.weight_layers.values()}
    for units in sets:
        before = walk.steps_between(made.union(walk.inputs), [units.tensor])
        kinds = [layer_kind(step.operation) for step in before]
        if units.arises_from == "reshape" and any(
            kind.is_nonlinearity and not kind.joins_units for kind in kinds
        ):
            raise InvalidInputError(
                f"position='pre' for network {walk.name!r}, whose layer {units.name!r} makes maps "
                "of values that have passed their nonlinearity; expected it behind the reshape, "
                "or position='post'"
            )


def check_samples(walk: Walk, x: NDArray[np.floating]) -> None:
    """Check that samples fit a network.

    Raises:
        InvalidInputError: If the network has several inputs, or the samples have another shape or
            are NaN or infinite.
    """
    if len(walk.inputs) != 1:
        raise InvalidInputError(
            f"network {walk.name!r} has {len(walk.inputs)} inputs; expected one, of which a data "
            "set holds samples"
        )
    shape = walk.shapes[walk.inputs[0]]
    if len(x.shape) != len(shape) or any(
        known not in (None, found) for known, found in zip(shape[1:], x.shape[1:], strict=True)
    ):
        raise InvalidInputError(
            f"samples of shape {x.shape} for network {walk.name!r}; expected {shape}: take the "
            "data set that it was trained on"
        )
    if isinstance(x, np.ndarray) and not np.isfinite(x).all():
        raise InvalidInputError("the samples hold NaN or infinite values; expected numbers")


def batch_size_for(walk: Walk, x: NDArray[np.floating]) -> int:
    """Return a number of samples whose tensors fit into memory, all at once."""
    open_size = max(x.shape[1:], default=1)
    a_sample = sum(
        int(np.prod([open_size if size is None else size for size in shape[1:]], dtype=np.int64))
        for shape in walk.shapes
    )
    return int(np.clip(_VALUES_A_BATCH // max(a_sample, 1), 1, _LARGEST_BATCH))


def batches(n_samples: int, size: int) -> Iterator[slice]:
    """Return slices of so many samples each; the last may be shorter."""
    for start in range(0, n_samples, size):
        yield slice(start, min(start + size, n_samples))


def _hidden_units(weights: NetworkWeights) -> list[UnitSet]:
    """Return the hidden units of dense layers, or, if there are convolutions, all filters."""
    filters = weights.has_convolutions
    is_convolution = {
        layer.name: weights.is_convolutional(layer) for layer in weights.weight_layers.values()
    }
    readers = weight_readers(weights, inputs=True, dense_layers=True)
    made = {
        target
        for reader in readers
        for target in reader.targets
        if is_convolution[reader.name] == filters
    }
    read = {source for reader in readers for source in reader.sources}
    hidden = [
        units
        for index, units in enumerate(unit_sets(weights, inputs=True, dense_layers=True))
        if index in made and (filters or index in read)
    ]
    if not hidden:
        raise InvalidInputError(
            f"network {weights.name!r} has no hidden units; expected at least one dense layer "
            "before the last, or a convolution"
        )
    return hidden


def _numbers(maps: NDArray[np.float32], map_norm: str) -> NDArray[np.float32]:
    """Return one number of every map, of shape (samples, units)."""
    if maps.ndim == 2:
        return maps
    if map_norm == "mean":
        found: NDArray[np.float32] = maps.mean(axis=tuple(range(1, maps.ndim - 1)))
        return found
    # of more than two dimensions all but the last are rows
    rows, columns = (maps.shape[1:-2], maps.shape[-2]) if maps.ndim > 3 else (maps.shape[1:2], 1)
    matrices = maps.reshape(len(maps), int(np.prod(rows)), columns, maps.shape[-1])
    return KERNEL_NORMS[map_norm](matrices.transpose(1, 2, 0, 3))
