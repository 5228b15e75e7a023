"""What the units of a network answer to samples (methods E1, E2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._from_activations import (
    MAP_NORMS,
    MEMORY_MB,
    POSITIONS,
    check_correlation,
)
from nn_clustering.graphs._residual import by_residual_rule, resolved_residual
from nn_clustering.graphs._tables import DiskTable, Table, parts, require_disk_space
from nn_clustering.graphs._unit_activations import (
    MomentSums,
    UnitActivations,
    UnitMoments,
    check_finite,
    check_n_samples,
)
from nn_clustering.graphs._unit_graph import Layer
from nn_clustering.graphs._unit_sets import UnitSet, active_unit_sets
from nn_clustering.networks.structure import (
    KERNEL_NORMS,
    NetworkWeights,
    Walk,
    around_nonlinearity,
    layer_kind,
    read_weights,
    walk_network,
)

if TYPE_CHECKING:
    from nn_clustering.datasets import Samples

# Values that all tensors of a batch hold together, 4 bytes each.
_VALUES_A_BATCH = 2**26
_LARGEST_BATCH = 512


def unit_activations(
    network: keras.Model,
    x: Samples,
    *,
    position: str = "post",
    map_norm: str = "spectral",
    residual: str | None = None,
    on_progress: Callable[[int], object] = lambda n_samples: None,
) -> UnitActivations:
    """Return what every hidden unit answers to every sample, in memory.

    Units are the hidden units of dense layers, or all filters of a network with convolutions, the
    first convolution's included and dense layers behind them left out (methods E1). Merges such as
    sums are units as they are in the graph of the weights, under the same names, so that partitions
    of the two graphs can be compared layer by layer.

    In a network with attention, every position of a sample (a token, a patch) is a sample of its
    own: neurons and values answer at each of them, position by position, and what answers once, as
    behind a pooling, answers the same at all. So does a map that has other positions, of which
    ``map_norm`` makes one number; and where no number of positions is common to what answers at
    several, as in an encoder and a decoder, ``map_norm`` makes one of each sample's.

    Args:
        network: Any network of which a graph of the weights can be made, with one input.
        x: Samples, of the shape that the network reads; a batch of them is read at a time.
        position: ``post``, after the unit's nonlinearity, or ``pre``, before it (methods E2). It is
            the first that follows where the unit arises, normalisation and pooling between allowed
            but no merge, concatenation or other weight layer; without one the two are the same.
        map_norm: What makes one number of a filter's map: one of :data:`KERNEL_NORMS`, taken of
            the map as a matrix (in one dimension, of one column), or ``mean``.
        residual: Which sets of units there are where several layers read a stream: ``one_set`` or
            ``contracted`` of :func:`graph_from_weights`; None as there.
        on_progress: Called with the number of samples done since the last call.

    Raises:
        InvalidInputError: If a setting is unknown, the samples do not fit the network or are fewer
            than 3, the network has no hidden units, an activation is NaN or infinite, or what
            ``pre`` asks for is before a reshape that makes the units.
    """
    active = _active_units(network, x, position, residual)
    tables = [np.empty((active.n_rows(x), layer.n_units), np.float32) for layer in active.layers]
    return _filled(active, x, map_norm, tables, on_progress)


def gather_activations(
    network: keras.Model,
    x: Samples,
    *,
    correlation: str,
    position: str = "post",
    map_norm: str = "spectral",
    residual: str | None = None,
    memory_mb: float = MEMORY_MB,
    on_progress: Callable[[int], object] = lambda n_samples: None,
) -> UnitActivations | UnitMoments:
    """Return of what hidden units answer to samples as much as a correlation needs.

    Beside a batch of samples and the graph that is made of them, in memory are at most

    - all activations and their ranks, 8 bytes for every sample (of a network with attention, every
      position of one) and unit, if they fit;
    - else for ``pearson`` the sums of products of every two units, 8 bytes for every two, if these
      fit: the samples are read once, and nothing of them is kept;
    - else some of the activations, of which the rest and their ranks are on disk, 8 bytes for every
      sample and unit, in the folder for temporary files.

    The graph is the same to the last bit from memory and from disk; from sums of products it
    differs by rounding.

    Args:
        network: See :func:`unit_activations`.
        x: See :func:`unit_activations`.
        correlation: What :func:`graph_from_activations` is to make of them.
        position: See :func:`unit_activations`.
        map_norm: See :func:`unit_activations`.
        residual: See :func:`unit_activations`.
        memory_mb: Memory for all samples together, in MB (2^20 bytes).
        on_progress: Called with the number of samples done since the last call.

    Raises:
        InvalidInputError: As :func:`unit_activations` does, or if kendall would take hours, or they
            do not fit onto the disk.
    """
    active = _active_units(network, x, position, residual)
    kept = _what_is_kept(active.layers, active.n_rows(x), correlation, memory_mb)
    if kept is UnitMoments:
        sums = MomentSums(active.layers)
        for _, answers in active.answers(x, map_norm, on_progress):
            sums.add(answers)
        return sums.moments()
    shapes = [(active.n_rows(x), layer.n_units) for layer in active.layers]
    tables: list[Table] = (
        [DiskTable(shape) for shape in shapes]
        if kept is DiskTable
        else [np.empty(shape, np.float32) for shape in shapes]
    )
    return _filled(active, x, map_norm, tables, on_progress)


def count_active_units(
    network: keras.Model,
    x: Samples,
    *,
    correlation: str,
    position: str = "post",
    residual: str | None = None,
    memory_mb: float = MEMORY_MB,
) -> int:
    """Return how many units :func:`gather_activations` is of, for which nothing is computed.

    Raises:
        InvalidInputError: If the samples do not fit the network, it has no hidden units, what
            ``pre`` asks for is before a reshape that makes the units, kendall would take hours, or
            the activations do not fit onto the disk.
    """
    active = _active_units(network, x, position, residual)
    _what_is_kept(active.layers, active.n_rows(x), correlation, memory_mb)
    return sum(layer.n_units for layer in active.layers)


def _what_is_kept(
    layers: Sequence[Layer], n_samples: int, correlation: str, memory_mb: float
) -> type[NDArray[Any] | UnitMoments | DiskTable]:
    """Return what of the activations is kept: all in memory or on disk, or their moments.

    Raises:
        InvalidInputError: If kendall would take hours, or they do not fit onto the disk.
    """
    sizes = [layer.n_units for layer in layers]
    check_correlation(correlation, sum(sizes), n_samples)
    n_bytes, most = 8 * n_samples * sum(sizes), memory_mb * 2**20
    if n_bytes <= most:
        return np.ndarray
    if correlation == "pearson" and _bytes_of_products(sizes) <= most:
        return UnitMoments
    require_disk_space(n_bytes)
    return DiskTable


@dataclass(frozen=True, eq=False)
class _ActiveUnits:
    """The hidden units of a network, and the tensors that hold what they answer.

    Attributes:
        walk: The steps of the network.
        layers: The layers of units.
        tensors: For each layer, the number of its tensor.
        dtype: Type of what the network reads.
        n_positions: How many answers a sample has of each unit.
        answers_apart: For each layer, whether the positions of its tensor are these; else there is
            one number for all of them.
    """

    walk: Walk
    layers: tuple[Layer, ...]
    tensors: tuple[int, ...]
    dtype: str
    n_positions: int
    answers_apart: tuple[bool, ...]

    def n_rows(self, x: Samples) -> int:
        """Return how many answers there are of each unit to some samples."""
        return len(x) * self.n_positions

    def answers(
        self, x: Samples, map_norm: str, on_progress: Callable[[int], object]
    ) -> Iterator[tuple[slice, list[NDArray[np.float32]]]]:
        """Yield what they answer to some samples after others, of shape (answers, units)."""
        if map_norm not in MAP_NORMS:
            raise InvalidInputError(
                f"map_norm={map_norm!r}; expected one of {', '.join(MAP_NORMS)}"
            )
        check_n_samples(len(x))

        @tf.function  # type: ignore[untyped-decorator]
        def run(batch: tf.Tensor) -> list[tf.Tensor]:
            found = self.walk.run({self.walk.inputs[0]: batch}, self.tensors)
            return [tf.cast(found[tensor], tf.float32) for tensor in self.tensors]

        size = batch_size_for(self.walk, x)
        together: list[list[NDArray[np.float32]]] = []
        start = 0
        # Norms of many small matrices take longer than the network does.
        with ThreadPoolExecutor(joblib.cpu_count()) as pool:
            for batch in parts(len(x), size):
                made = run(read_samples(x, batch, self.dtype))
                together.append(
                    [
                        self._answers(maps.numpy(), apart, map_norm, pool)
                        for maps, apart in zip(made, self.answers_apart, strict=True)
                    ]
                )
                on_progress(batch.stop - batch.start)
                # Large networks take a few samples a batch, too few to go on with.
                if batch.stop - start >= _LARGEST_BATCH or batch.stop == len(x):
                    answers = [np.concatenate(of_layer) for of_layer in zip(*together, strict=True)]
                    for layer, values in zip(self.layers, answers, strict=True):
                        check_finite(layer, values)
                    yield slice(start * self.n_positions, batch.stop * self.n_positions), answers
                    start, together = batch.stop, []

    def _answers(
        self, maps: NDArray[np.float32], apart: bool, map_norm: str, pool: Executor
    ) -> NDArray[np.float32]:
        """Return the answers that a tensor holds, of shape (answers, units)."""
        if apart:
            return maps.reshape(-1, maps.shape[-1])
        numbers = _numbers(maps, map_norm, pool)
        return numbers if self.n_positions == 1 else numbers.repeat(self.n_positions, axis=0)


def _active_units(
    network: keras.Model, x: Samples, position: str, residual: str | None
) -> _ActiveUnits:
    if position not in POSITIONS:
        raise InvalidInputError(f"position={position!r}; expected one of {', '.join(POSITIONS)}")
    walk = walk_network(network, x.shape[1:])
    check_samples(walk, x)
    weights = with_sets_of_values(read_weights(network), residual)
    sets = active_unit_sets(weights)
    if position == "pre":
        _require_nonlinearities_behind(walk, weights, sets)
    tensors = tuple(around_nonlinearity(walk, units.tensor)[position == "post"] for units in sets)
    dtype = dtype_read(network)
    n_positions, apart = 1, (False,) * len(sets)
    if weights.has_attention:
        n_positions, apart = _positions(walk, sets, tensors, x, dtype)
    layers = tuple(Layer(units.name, units.n_units) for units in sets)
    return _ActiveUnits(walk, layers, tensors, dtype, n_positions, apart)


def with_sets_of_values(weights: NetworkWeights, residual: str | None) -> NetworkWeights:
    """Return a network with the sets of units of a rule, of which each has one value at a position.

    Raises:
        InvalidInputError: If the rule makes others, or is unknown.
    """
    rule = resolved_residual(weights, residual)
    if rule not in ("one_set", "contracted"):
        why = (
            "by which a stream is one set, though every sum of it has other values"
            if rule == "units"
            else "by which a stream is a set for each reader, all of the same values"
        )
        raise InvalidInputError(
            f"residual={rule!r} with values of units, {why}; expected one_set or contracted, or a "
            "graph of the weights"
        )
    return by_residual_rule(weights, rule)


def dtype_read(network: keras.Model) -> str:
    """Return the type of what a network reads: integers, such as of tokens, or float32."""
    dtype = str(keras.backend.standardize_dtype(network.inputs[0].dtype))
    return dtype if dtype.startswith(("int", "uint")) else "float32"


def _positions(
    walk: Walk, sets: Sequence[UnitSet], tensors: Sequence[int], x: Samples, dtype: str
) -> tuple[int, tuple[bool, ...]]:
    """Return how many positions are common to what answers at several, and which sets have them."""
    shapes: list[tuple[Any, ...]] = [walk.shapes[tensor][1:-1] for tensor in tensors]
    if any(None in shape for shape in shapes) and len(x):
        one = {walk.inputs[0]: read_samples(x, slice(0, 1), dtype)}
        found = walk.run(one, tensors)
        shapes = [tuple(found[tensor].shape[1:-1]) for tensor in tensors]
    numbers = [int(np.prod(shape, dtype=np.int64)) for shape in shapes]
    of_sequences = {
        number
        for number, units in zip(numbers, sets, strict=True)
        if units.arises_from != "convolution" and number > 1
    }
    n_positions = of_sequences.pop() if len(of_sequences) == 1 else 1
    return n_positions, tuple(n_positions == number for number in numbers)


def _bytes_of_products(sizes: Sequence[int]) -> int:
    """Return how much the float64 products of every two units take, those within layers twice."""
    return 4 * (sum(sizes) ** 2 + sum(size**2 for size in sizes))


def _filled(
    active: _ActiveUnits,
    x: Samples,
    map_norm: str,
    tables: Sequence[Table],
    on_progress: Callable[[int], object],
) -> UnitActivations:
    for rows, answers in active.answers(x, map_norm, on_progress):
        for table, values in zip(tables, answers, strict=True):
            table[rows, :] = values
    return UnitActivations(active.layers, tuple(tables))


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


def check_samples(walk: Walk, x: Samples) -> None:
    """Check that samples fit a network, by their shape.

    Raises:
        InvalidInputError: If the network has several inputs, or the samples have another shape.
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


def read_samples(x: Samples, rows: slice, dtype: str = "float32") -> tf.Tensor:
    """Return some samples as a network reads them.

    Args:
        x: All samples.
        rows: Which.
        dtype: Type of what the network reads.

    Raises:
        InvalidInputError: If they are NaN or infinite.
    """
    samples = x[rows]
    if not np.isfinite(samples).all():
        raise InvalidInputError("the samples hold NaN or infinite values; expected numbers")
    return tf.cast(tf.convert_to_tensor(samples), dtype)


def batch_size_for(walk: Walk, x: Samples) -> int:
    """Return a number of samples whose tensors fit into memory, all at once."""
    open_size = max(x.shape[1:], default=1)
    a_sample = sum(
        int(np.prod([open_size if size is None else size for size in shape[1:]], dtype=np.int64))
        for shape in walk.shapes
    )
    return int(np.clip(_VALUES_A_BATCH // max(a_sample, 1), 1, _LARGEST_BATCH))


def _numbers(maps: NDArray[np.float32], map_norm: str, pool: Executor) -> NDArray[np.float32]:
    """Return one number of every map, of shape (samples, units)."""
    some = np.array_split(maps, joblib.cpu_count())
    return np.concatenate(list(pool.map(lambda part: _numbers_of(part, map_norm), some)))


def _numbers_of(maps: NDArray[np.float32], map_norm: str) -> NDArray[np.float32]:
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
