"""Which units have no edges to speak of (methods C5, quirk 26)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError

# Indices of the layers that edges come from and go to, and their weights.
Block = tuple[int, int, NDArray[np.floating]]

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
    units: Sequence[slice], edges: Sequence[Block], isolated_below: float
) -> NDArray[np.bool_]:
    """Return which units have at most a negligible share of the weight in all their edges.

    A unit's share in a matrix of weights is the sum of its weights over the mean sum of a unit of
    its layer there; it is compared with the layers that it feeds and is fed by, not with the
    graph, whose layers may have scales far apart. What is isolated is left out, and the rest
    looked at anew, until all that is left has edges to what is left.

    Args:
        units: The numbers of every layer's units.
        edges: The weights between and within the layers, with the layers that they join.
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
    units: Sequence[slice], edges: Sequence[Block], kept: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the largest share that every unit has in a matrix, counting only units kept."""
    shares = np.zeros(kept.size)
    for source, target, matrix in edges:
        ends = [(source, target, matrix)]
        if source != target:  # within a layer every edge stands twice already
            ends.append((target, source, matrix.T))
        for own, other, weights in ends:
            own_kept, other_kept = kept[units[own]], kept[units[other]]
            if not own_kept.any():
                continue
            reached = weights if other_kept.all() else weights[:, other_kept]
            sums = reached.sum(axis=1, dtype=np.float64)
            mean = sums[own_kept].mean()
            if mean > 0:
                shares[units[own]] = np.maximum(shares[units[own]], sums / mean)
    return shares
