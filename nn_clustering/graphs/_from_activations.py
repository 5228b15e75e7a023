"""The graph of correlations between units' activations (methods E1, E2)."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement, pairwise

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._isolation import NEGLIGIBLE, check_isolated_below
from nn_clustering.graphs._unit_graph import Edges, Layer, UnitGraph
from nn_clustering.networks.structure import KERNEL_NORMS
from nn_clustering.threads import one_thread

CORRELATIONS = ("spearman", "pearson", "kendall")
POSITIONS = ("post", "pre")
MAP_NORMS = (*KERNEL_NORMS, "mean")

# With two samples every correlation is 1 or -1.
_FEWEST_SAMPLES = 3

# Units that are ranked, or multiplied with all others of a layer, at once.
_UNITS_AT_ONCE = 512

# Kendall's correlation compares all pairs of samples for all pairs of units.
_MOST_UNITS_TIMES_SAMPLES = 2_500_000

# Of rows of signs at once; their products are counted exactly in float32, up to 2^24.
_PAIRS_AT_ONCE = 8192


@dataclass(frozen=True, eq=False)
class UnitActivations:
    """What every unit answers to every sample.

    Attributes:
        layers: The layers of units, as a graph of the network's weights names them.
        values: For each layer, float32 of shape (samples, units).

    Raises:
        InvalidInputError: If there are no layers, an array does not fit its layer or the number
            of samples, there are fewer than 3 samples, or a value is NaN or infinite.
    """

    layers: tuple[Layer, ...]
    values: tuple[NDArray[np.float32], ...]

    def __post_init__(self) -> None:
        if not self.layers or len(self.layers) != len(self.values):
            raise InvalidInputError(
                f"activations of {len(self.values)} layers for {len(self.layers)} layers; expected "
                "one array for each of one layer or more"
            )
        for layer, values in zip(self.layers, self.values, strict=True):
            expected = (len(self.values[0]), layer.n_units)
            if values.shape != expected:
                raise InvalidInputError(
                    f"activations of layer {layer.name!r} of shape {values.shape}; expected "
                    f"{expected}, samples by units"
                )
            if not np.isfinite(values).all():
                raise InvalidInputError(
                    f"activations of layer {layer.name!r} hold NaN or infinite values: check the "
                    "network's weights and the samples"
                )
        _check_n_samples(self.n_samples)

    @property
    def n_samples(self) -> int:
        """The number of samples."""
        return len(self.values[0])

    @property
    def n_units(self) -> int:
        """The number of units in all layers."""
        return sum(layer.n_units for layer in self.layers)

    @cached_property
    def spreads(self) -> tuple[NDArray[np.float64], ...]:
        """Standard deviation (n - 1) over the samples of every unit, an array a layer."""
        return tuple(_spread(values) for values in self.values)

    def silent(self, isolated_below: float) -> NDArray[np.bool_]:
        """Whether a unit's spread is at most such a share of its layer's mean, shape (n_units,).

        What is left of its activations is rounding, whose correlations mean nothing.
        """
        return np.concatenate(
            [of_layer <= isolated_below * of_layer.mean() for of_layer in self.spreads]
        )


def check_activation_settings(
    *, n_samples: int | None, position: str, map_norm: str, correlation: str
) -> None:
    """Check how activations are taken and compared, before anything is computed.

    Args:
        n_samples: How many samples, 3 or more; None for all.
        position: ``post`` or ``pre``, of a unit's nonlinearity.
        map_norm: One of :data:`MAP_NORMS`, which makes one number of a filter's map.
        correlation: One of :data:`CORRELATIONS`.

    Raises:
        InvalidInputError: If one of them is something else.
    """
    named = {
        "position": (position, POSITIONS),
        "map_norm": (map_norm, MAP_NORMS),
        "correlation": (correlation, CORRELATIONS),
    }
    for name, (value, known) in named.items():
        if value not in known:
            raise InvalidInputError(f"{name}={value!r}; expected one of {', '.join(known)}")
    if n_samples is not None:
        _check_n_samples(n_samples)


def _check_n_samples(n_samples: int) -> None:
    if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer):
        raise InvalidInputError(
            f"n_samples={n_samples!r}; expected a whole number, or None for all"
        )
    if n_samples < _FEWEST_SAMPLES:
        raise InvalidInputError(
            f"n_samples={n_samples}; expected {_FEWEST_SAMPLES} or more: with fewer every "
            "correlation is 1 or -1"
        )


def graph_from_activations(
    activations: UnitActivations,
    *,
    correlation: str = "spearman",
    isolated_below: float = NEGLIGIBLE,
) -> UnitGraph:
    """Build the graph of squared correlations between units (methods E1).

    Every two units, of one layer or of two, have an edge of their correlation squared, between 0
    and 1. A unit that answers the same to every sample, or nearly the same beside what its layer's
    units do on average, has no correlation, and is isolated.

    Memory holds the weights in float32, of which blocks between layers stand once, and one copy of
    the activations beside them.

    Args:
        activations: What the units answer to a number of samples.
        correlation: ``spearman`` (of ranks, ties given their average), ``pearson``, or ``kendall``
            (tau-b, whose cost grows with the squares of the numbers of units and of samples).
        isolated_below: See :meth:`UnitActivations.silent` and :class:`UnitGraph`.

    Raises:
        InvalidInputError: If the correlation is not one of these, ``isolated_below`` is out of
            range, or kendall would take hours.
    """
    check_isolated_below(isolated_below)
    if correlation not in CORRELATIONS:
        raise InvalidInputError(
            f"correlation={correlation!r}; expected one of {', '.join(CORRELATIONS)}"
        )
    pairs = list(combinations_with_replacement(range(len(activations.layers)), 2))
    blocks = (
        _kendall_blocks(activations, pairs)
        if correlation == "kendall"
        else _linear_blocks(activations, pairs, of_ranks=correlation == "spearman")
    )
    heard = np.split(
        ~activations.silent(isolated_below),
        np.cumsum([layer.n_units for layer in activations.layers])[:-1],
    )
    for (source, target), block in zip(pairs, blocks, strict=True):
        block[~heard[source]] = 0
        block[:, ~heard[target]] = 0
    return UnitGraph(
        activations.layers,
        tuple(Edges(*pair, block) for pair, block in zip(pairs, blocks, strict=True)),
        isolated_below,
    )


def _spread(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the standard deviation of every column, exactly 0 of a constant one."""
    spread = np.zeros(values.shape[1])
    for start in range(0, values.shape[1], _UNITS_AT_ONCE):
        units = slice(start, start + _UNITS_AT_ONCE)
        some = values[:, units]
        varies = some.max(axis=0) > some.min(axis=0)
        spread[units] = np.where(varies, some.std(axis=0, ddof=1, dtype=np.float64), 0)
    return spread


def _linear_blocks(
    activations: UnitActivations, pairs: Sequence[tuple[int, int]], *, of_ranks: bool
) -> list[NDArray[np.float32]]:
    """Return the squared correlations of the values, or of their ranks, for pairs of layers."""
    import joblib

    # Threads of our own, and one for each product: the sums then do not depend on how many there
    # are.
    with one_thread(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
        standard = [_standardised(v, pool, of_ranks=of_ranks) for v in activations.values]
        return [
            _squares_within(standard[source], pool)
            if source == target
            else _squares_between(standard[source], standard[target], pool)
            for source, target in pairs
        ]


def _standardised(
    values: NDArray[np.float32], pool: Executor, *, of_ranks: bool
) -> NDArray[np.float32]:
    """Return columns of mean 0 and norm 1, whose products are correlations; 0 for constant ones."""
    standard = np.empty(values.shape, np.float32)

    def fill(units: slice) -> None:
        columns = values[:, units].astype(np.float64)
        constant = columns.max(axis=0) == columns.min(axis=0)
        if of_ranks:
            from scipy.stats import rankdata

            columns = rankdata(columns, axis=0)
        columns -= columns.mean(axis=0)
        norms = np.sqrt(np.einsum("su,su->u", columns, columns))
        standard[:, units] = columns / np.where(constant, np.inf, norms)

    _in_parts(fill, values.shape[1], pool)
    return standard


def _squares_between(
    source: NDArray[np.float32], target: NDArray[np.float32], pool: Executor
) -> NDArray[np.float32]:
    squares = np.empty((source.shape[1], target.shape[1]), np.float32)

    def fill(units: slice) -> None:
        _square(np.matmul(source[:, units].T, target, out=squares[units]))

    _in_parts(fill, len(squares), pool)
    return squares


def _squares_within(standard: NDArray[np.float32], pool: Executor) -> NDArray[np.float32]:
    """Return them exactly symmetric, with a zero diagonal."""
    squares = np.empty((standard.shape[1],) * 2, np.float32)

    def fill(units: slice) -> None:
        rest = slice(units.start, None)
        _square(np.matmul(standard[:, units].T, standard[:, rest], out=squares[units, rest]))
        own = squares[units, units]
        own[:] = (own + own.T) / 2
        squares[units.stop :, units] = squares[units, units.stop :].T

    _in_parts(fill, len(squares), pool)
    np.fill_diagonal(squares, 0)
    return squares


def _square(correlations: NDArray[np.floating]) -> None:
    """Square correlations in their place, with 1 as the most that rounding may make of them."""
    np.square(correlations, out=correlations)
    np.minimum(correlations, 1, out=correlations)


def _in_parts(fill: Callable[[slice], None], n_units: int, pool: Executor) -> None:
    starts = range(0, n_units, _UNITS_AT_ONCE)
    list(pool.map(fill, [slice(s, min(s + _UNITS_AT_ONCE, n_units)) for s in starts]))


def _kendall_blocks(
    activations: UnitActivations, pairs: Sequence[tuple[int, int]]
) -> list[NDArray[np.float32]]:
    cost = activations.n_units * activations.n_samples
    if cost > _MOST_UNITS_TIMES_SAMPLES:
        raise InvalidInputError(
            f"correlation='kendall' of {activations.n_units} units over {activations.n_samples} "
            f"samples; expected units times samples of at most {_MOST_UNITS_TIMES_SAMPLES} as its "
            "time grows with the square: take fewer samples, or correlation=spearman"
        )
    squares = _kendall(np.concatenate(activations.values, axis=1))
    _square(squares)
    offsets = np.cumsum([0, *(layer.n_units for layer in activations.layers)])
    units = [slice(int(a), int(b)) for a, b in pairwise(offsets)]
    return [squares[units[a], units[b]].astype(np.float32) for a, b in pairs]


def _kendall(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return Kendall's tau-b of every two columns, with a zero diagonal.

    With s the sign of the difference between two samples, tau-b of the columns u and v is the sum
    of s_u s_v over all pairs of samples, divided by the root of the numbers of pairs that are no
    ties of u and no ties of v.
    """
    n_samples, n_units = values.shape
    concordance = np.zeros((n_units, n_units))
    signs = np.empty((_PAIRS_AT_ONCE, n_units), np.float32)
    filled = 0
    for later in range(1, n_samples):
        for start in range(0, later, _PAIRS_AT_ONCE):
            earlier = values[start : min(start + _PAIRS_AT_ONCE, later)]
            if filled + len(earlier) > _PAIRS_AT_ONCE:
                concordance += signs[:filled].T @ signs[:filled]
                filled = 0
            rows = signs[filled : filled + len(earlier)]
            np.subtract(
                earlier > values[later], earlier < values[later], out=rows, dtype=np.float32
            )
            filled += len(earlier)
    concordance += signs[:filled].T @ signs[:filled]
    untied = np.sqrt(concordance.diagonal())
    scale = np.divide(1, untied, out=np.zeros(n_units), where=untied > 0)
    np.fill_diagonal(concordance, 0)
    return concordance * scale * scale[:, None]
