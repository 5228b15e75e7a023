"""The bands between sub-clusters in the drawing of a network."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse
from matplotlib.path import Path
from numpy.typing import NDArray

from nn_clustering.reports.drawing._layout import Column

Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Band:
    """A band between two sub-clusters, as wide at each end as their share of the weight there.

    Attributes:
        source: Cluster that it comes from.
        target: Cluster that it goes to.
        source_end: Lower and upper end at its source.
        target_end: Lower and upper end at its target.
        weight: Total weight that it stands for.
    """

    source: int
    target: int
    source_end: Span
    target_end: Span
    weight: float

    @property
    def width(self) -> float:
        """Of its wider end."""
        return max(high - low for low, high in (self.source_end, self.target_end))

    @property
    def is_within_cluster(self) -> bool:
        """Whether it joins units of one cluster."""
        return self.source == self.target


def weights_between_clusters(
    weights: NDArray[np.floating],
    source_labels: NDArray[np.integer],
    target_labels: NDArray[np.integer],
    n_clusters: int,
) -> NDArray[np.float64]:
    """Return the total weight between each two sub-clusters, shape (n_clusters, n_clusters)."""
    by_source = _membership(source_labels, n_clusters, weights.dtype) @ weights
    by_both = _membership(target_labels, n_clusters, np.float64) @ by_source.T.astype(np.float64)
    found: NDArray[np.float64] = by_both.T
    return found


def _membership(
    labels: NDArray[np.integer], n_clusters: int, dtype: np.typing.DTypeLike
) -> scipy.sparse.csr_array:
    units = np.flatnonzero(labels >= 0)
    ones = np.ones(units.size, dtype)
    return scipy.sparse.csr_array((ones, (labels[units], units)), (n_clusters, labels.size))


def bands_between(totals: NDArray[np.float64], source: Column, target: Column) -> Iterator[Band]:
    """Yield the bands between two columns.

    Each side of a sub-cluster is divided among its bands by their weight, in the order of the
    clusters in the columns: the coloured part of the side is the share of the weight that stays
    within the cluster.

    Args:
        totals: Total weight between each two sub-clusters, shape (clusters, clusters).
        source: The left column.
        target: The right column.
    """
    at_source = _ends(totals, source)
    at_target = _ends(totals.T, target)
    for (one, other), source_end in at_source.items():
        weight = float(totals[one, other])
        yield Band(one, other, source_end, at_target[other, one], weight)


def chords_within(totals: NDArray[np.float64], column: Column) -> Iterator[Band]:
    """Yield the bands between the sub-clusters of one column; within a cluster from half to half.

    Args:
        totals: Total weight between each two sub-clusters, symmetric.
        column: The column.
    """
    ends = _ends(totals, column)
    for (one, other), (low, high) in ends.items():
        weight = float(totals[one, other])
        if one == other:
            middle = (low + high) / 2
            yield Band(one, one, (middle, high), (low, middle), weight)
        elif one > other:
            yield Band(one, other, (low, high), ends[other, one], 2 * weight)


def widest_bands(bands: Iterable[Band], n: int) -> list[Band]:
    """Return the n widest bands, those within clusters before all others."""
    order = sorted(bands, key=lambda band: (not band.is_within_cluster, -band.width))
    return order[:n]


def _ends(totals: NDArray[np.float64], column: Column) -> dict[tuple[int, int], Span]:
    """Divide one side of every sub-cluster, from the top down, among all that it is joined to."""
    ends = {}
    for label, (low, high) in column.spans.items():
        total = totals[label].sum() if label >= 0 else 0.0
        if total == 0:
            continue
        upper = high
        for other in np.flatnonzero(totals[label])[::-1].tolist():
            lower = upper - (high - low) * totals[label, other] / total
            ends[label, other] = (lower, upper)
            upper = lower
    return ends


def band_path(band: Band, left: float, right: float) -> Path:
    """Return the outline of a band from the right edge of one column to the left one of another."""
    middle = (left + right) / 2
    (low, high), (far_low, far_high) = band.source_end, band.target_end
    return _outline(
        [(left, high), (middle, high), (middle, far_high), (right, far_high)],
        [(right, far_low), (middle, far_low), (middle, low), (left, low)],
    )


def chord_paths(chords: Sequence[Band], edge: float, depth: float) -> list[Path]:
    """Return the outlines of bands that leave a column's right edge and come back to it.

    Args:
        chords: The bands; the source of each lies above its target.
        edge: The column's right edge.
        depth: How far the band that spans most goes to the right.
    """
    heights = [chord.source_end[1] - chord.target_end[0] for chord in chords]
    # Short ones stay round, and long ones do not lie on top of each other.
    depths = [
        min(depth * (height / max(heights)) ** 0.5, 0.75 * height) if height else 0.0
        for height in heights
    ]
    return [
        _chord_path(chord, edge, *pair)
        for chord, *pair in zip(chords, heights, depths, strict=True)
    ]


def _chord_path(chord: Band, edge: float, height: float, depth: float) -> Path:
    (low, high), (far_low, far_high) = chord.source_end, chord.target_end
    # A cubic curve reaches three quarters of the way to its control points.
    outer = edge + depth * 4 / 3
    inner = edge + depth * 4 / 3 * (low - far_high) / max(height, 1e-9)
    return _outline(
        [(edge, high), (outer, high), (outer, far_low), (edge, far_low)],
        [(edge, far_high), (inner, far_high), (inner, low), (edge, low)],
    )


def _outline(there: list[tuple[float, float]], back: list[tuple[float, float]]) -> Path:
    # Thousandths of a point cannot be seen, and double the size of an SVG file.
    vertices = np.round([*there, *back, there[0]], 2)
    codes = [Path.MOVETO, *[Path.CURVE4] * 3, Path.LINETO, *[Path.CURVE4] * 3, Path.CLOSEPOLY]
    return Path(vertices, codes)
