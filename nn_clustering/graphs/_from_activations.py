"""The graph of correlations between units' activations (methods E1, E2)."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._correlation_blocks import layer_pairs, linear_blocks, square_in_place
from nn_clustering.graphs._isolation import NEGLIGIBLE, check_isolated_below
from nn_clustering.graphs._unit_activations import UnitActivations, UnitMoments, check_n_samples
from nn_clustering.graphs._unit_graph import Edges, UnitGraph
from nn_clustering.networks.structure import KERNEL_NORMS

CORRELATIONS = ("spearman", "pearson", "kendall")
POSITIONS = ("post", "pre")
MAP_NORMS = (*KERNEL_NORMS, "mean")

# Of what units answer, in memory; 134,000 samples of 1,000 units.
MEMORY_MB = 1024

# Kendall's correlation compares all pairs of samples for all pairs of units.
_MOST_UNITS_TIMES_SAMPLES = 2_500_000

# Of rows of signs at once; their products are counted exactly in float32, up to 2^24.
_PAIRS_AT_ONCE = 8192


def check_activation_settings(
    *,
    n_samples: int | None,
    position: str,
    map_norm: str,
    correlation: str,
    memory_mb: float = MEMORY_MB,
) -> None:
    """Check how activations are taken and compared, before anything is computed.

    Args:
        n_samples: How many samples, 3 or more; None for all.
        position: ``post`` or ``pre``, of a unit's nonlinearity.
        map_norm: One of :data:`MAP_NORMS`, which makes one number of a filter's map.
        correlation: One of :data:`CORRELATIONS`.
        memory_mb: See :func:`~nn_clustering.graphs.gather_activations`; more than 0.

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
        check_n_samples(n_samples)
    if isinstance(memory_mb, bool) or not isinstance(memory_mb, int | float) or not memory_mb > 0:
        raise InvalidInputError(
            f"memory_mb={memory_mb!r}; expected a number above 0, in MB (2^20 bytes)"
        )


def graph_from_activations(
    activations: UnitActivations | UnitMoments,
    *,
    correlation: str = "spearman",
    isolated_below: float = NEGLIGIBLE,
) -> UnitGraph:
    """Build the graph of squared correlations between units (methods E1).

    Every two units, of one layer or of two, have an edge of their correlation squared, between 0
    and 1. A unit that answers the same to every sample, or nearly the same beside what its layer's
    units do on average, has no correlation, and is isolated.

    Memory holds the weights in float32, of which blocks between layers stand once, and one copy of
    the activations beside them; of activations on disk the copy is there too.

    Args:
        activations: What the units answer to a number of samples, or for ``pearson`` its moments.
        correlation: ``spearman`` (of ranks, ties given their average), ``pearson``, or ``kendall``
            (tau-b, whose cost grows with the squares of the numbers of units and of samples).
        isolated_below: See :meth:`UnitActivations.silent` and :class:`UnitGraph`.

    Raises:
        InvalidInputError: If the correlation is not one of these, ``isolated_below`` is out of
            range, there are moments only for another correlation than pearson, or kendall would
            take hours.
    """
    check_isolated_below(isolated_below)
    check_correlation(correlation, activations.n_units, activations.n_samples)
    pairs = layer_pairs(len(activations.layers))
    blocks = _blocks(activations, correlation)
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


def check_correlation(correlation: str, n_units: int, n_samples: int) -> None:
    """Check that a correlation of so much can be taken.

    Raises:
        InvalidInputError: If it is not one of :data:`CORRELATIONS`, or would take hours.
    """
    if correlation not in CORRELATIONS:
        raise InvalidInputError(
            f"correlation={correlation!r}; expected one of {', '.join(CORRELATIONS)}"
        )
    if correlation == "kendall" and n_units * n_samples > _MOST_UNITS_TIMES_SAMPLES:
        raise InvalidInputError(
            f"correlation='kendall' of {n_units} units over {n_samples} samples; expected units "
            f"times samples of at most {_MOST_UNITS_TIMES_SAMPLES} as its time grows with the "
            "square: take fewer samples, or correlation=spearman"
        )


def _blocks(
    activations: UnitActivations | UnitMoments, correlation: str
) -> list[NDArray[np.float32]]:
    """Return the squared correlations of every two layers."""
    if isinstance(activations, UnitMoments):
        if correlation != "pearson":
            raise InvalidInputError(
                f"correlation={correlation!r} of moments, of which no sample is kept; expected "
                "pearson, or what the units answer to every sample"
            )
        return activations.squared_correlations()
    if correlation == "kendall":
        return _kendall_blocks(activations)
    return linear_blocks(activations.values, of_ranks=correlation == "spearman")


def _kendall_blocks(activations: UnitActivations) -> list[NDArray[np.float32]]:
    squares = _kendall(np.concatenate([table[:, :] for table in activations.values], axis=1))
    square_in_place(squares)
    offsets = np.cumsum([0, *(layer.n_units for layer in activations.layers)])
    units = [slice(int(a), int(b)) for a, b in pairwise(offsets)]
    pairs = layer_pairs(len(units))
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
