"""Which units have no edges to speak of (methods C5, quirk 26)."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError


class Weights(Protocol):
    """A weight matrix that need not be there as an array."""

    def sums_among(
        self, source: NDArray[np.bool_], target: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the sum of every row over the columns, and of every column over the rows, kept."""


# Indices of the layers that edges come from and go to, and their weights.
Block = tuple[int, int, NDArray[np.floating] | Weights]

# A tenth of float32's resolution: what such a unit adds to the sums of the layers around it is
# lost in their rounding.
NEGLIGIBLE = 1e-8


def check_isolated_below(isolated_below: float) -> None:
    """Check the share of its layer's mean up to which a unit's weight is negligible.

    Raises:
        InvalidInputError: If it is no number from 0 to below 1.
    """
    is_number = isinstance(isolated_below, int | float) and not isinstance(isolated_below, bool)
    if not is_number or not 0 <= isolated_below < 1:
        raise InvalidInputError(
            f"isolated_below={isolated_below!r}; expected a number from 0 (only units without any "
            "weight are isolated) to below 1"
        )


def isolated_units(
    units: Sequence[slice], edges: Iterable[Block], isolated_below: float
) -> NDArray[np.bool_]:
    """Return which units have at most a negligible share of the weight in all their edges.

    A unit's share towards a layer that it feeds is the sum of its weights there over the mean of
    its own layer's units, if these had all weight that leads into that layer, and likewise towards
    a layer that it is fed by. So it is compared with what lies around it, not with the graph, whose
    layers may have scales far apart; and a dead branch is isolated beside one that lives. What is
    isolated is left out, and the rest looked at anew, until all that is left has edges to what is
    left.

    Args:
        units: The numbers of every layer's units.
        edges: The weights between and within the layers, with the layers that they join; read
            several times.
        isolated_below: The share up to which a unit is isolated; with 0 only units without any
            weight are.

    Returns:
        Shape (units of all layers,).
    """
    kept = np.ones(units[-1].stop if units else 0, bool)
    while True:
        shares = _shares(units, edges, kept)
        found = kept & (shares > isolated_below)
        if (found == kept).all():
            return ~kept
        kept = found


def _shares(
    units: Sequence[slice], edges: Iterable[Block], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the largest share that every unit has towards a layer, counting only units kept."""
    # for each end of each matrix its layer, which side of which layer it is at, and sums of units
    ends: list[tuple[int, tuple[str, int], NDArray[np.float64]]] = []
    for source, target, matrix in edges:
        of_rows, of_columns = _sums_among(matrix, kept[units[source]], kept[units[target]])
        if source == target:  # every edge stands there twice
            ends.append((source, ("within", source), of_rows))
        else:
            ends.append((source, ("into", target), of_rows))
            ends.append((target, ("out of", source), of_columns))
    totals: dict[tuple[str, int], float] = defaultdict(float)
    for own, side, sums in ends:
        totals[side] += float(sums[kept[units[own]]].sum())
    shares = np.zeros(kept.size)
    for own, side, sums in ends:
        if totals[side] > 0:
            of_mean = sums * (kept[units[own]].sum() / totals[side])
            shares[units[own]] = np.maximum(shares[units[own]], of_mean)
    return shares


def _sums_among(
    matrix: NDArray[np.floating] | Weights, source: NDArray[np.bool_], target: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if isinstance(matrix, np.ndarray):
        return _sums(matrix, target), _sums(matrix.T, source)
    return matrix.sums_among(source, target)


def _sums(matrix: NDArray[np.floating], kept: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the sum of every row over the columns kept."""
    found: NDArray[np.float64] = (matrix if kept.all() else matrix[:, kept]).sum(
        axis=1, dtype=np.float64
    )
    return found
