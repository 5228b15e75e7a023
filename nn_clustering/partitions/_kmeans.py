"""k-means from many starts at once: one matrix product assigns the points of all of them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

# Squared distances held at a time: few enough to stay in a processor's cache.
_TILE = 1 << 17

# As scikit-learn.
_MAX_ITERATIONS = 300


class Points:
    """Points prepared for k-means: about their mean, in units of their spread, with a last 1.

    Neither changes a partition. The 1 lets one product give |x - c|^2 - |x|^2 for all points x and
    centres c, and another the sums of the points of every cluster together with their number.

    Args:
        coordinates: Shape (points, dimensions).
    """

    def __init__(self, coordinates: NDArray[np.floating]) -> None:
        centred = coordinates - coordinates.mean(axis=0)
        spread = np.sqrt((centred**2).sum(axis=1).mean())
        scaled = centred / (spread if spread > 0 else 1)
        self.extended = np.column_stack([scaled, np.ones(len(scaled))]).astype(np.float32)
        self.squares = (self.coordinates**2).sum(axis=1)

    @property
    def coordinates(self) -> NDArray[np.float32]:
        """Shape (points, dimensions)."""
        return self.extended[:, :-1]

    def __len__(self) -> int:
        return len(self.extended)

    def centres_of(self, members: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return the means of sets of points.

        Args:
            members: Whether a point is in a set, shape (sets, points); no set is empty.

        Returns:
            Array of shape (sets, dimensions).
        """
        sums = members.astype(np.float32) @ self.extended
        return sums[:, :-1] / sums[:, -1:]


def k_means(
    points: Points, centres: NDArray[np.float32], *, tolerance: float = 1e-4
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Run Lloyd's algorithm from several sets of centres side by side.

    Args:
        points: The points.
        centres: Where each start begins, shape (starts, clusters, dimensions).
        tolerance: A start ends when the squares of its centres' moves sum to less, in units of
            the points' variance in one dimension; as scikit-learn's.

    Returns:
        The cluster of every point, shape (starts, points), and the inertia of every start in units
        of the points' variance, shape (starts,).
    """
    found = centres.copy()
    running, current = np.arange(len(centres)), centres
    largest = tolerance / points.coordinates.shape[1]
    for _ in range(_MAX_ITERATIONS):
        moved = _moved_centres(points, current)
        runs_on = ((moved - current) ** 2).sum(axis=(1, 2)) > largest
        current = moved
        if not runs_on.all():
            found[running] = current
            running, current = running[runs_on], current[runs_on]
            if not running.size:
                break
    found[running] = current
    labels = np.empty((len(centres), len(points)), np.int32)
    inertia = np.zeros(len(centres))
    ranks = np.arange(centres.shape[1], dtype=np.int16)[:, None]
    for tile, distances in _distances(points, found):
        # numpy's argmin along an axis that is not the last one takes many times as long
        nearest = distances == distances.min(axis=1, keepdims=True)
        labels[:, tile] = np.where(nearest, ranks, len(ranks)).min(axis=1)
        inertia += distances.min(axis=1).sum(axis=1, dtype=float) + points.squares[tile].sum()
    return labels, inertia


def _distances(
    points: Points, centres: NDArray[np.float32]
) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Yield |x - c|^2 - |x|^2, tile by tile of points: shape (starts, clusters, points)."""
    n_starts, n_clusters = centres.shape[:2]
    squares = (centres**2).sum(axis=2, keepdims=True)
    factors = np.concatenate([-2 * centres, squares], axis=2).reshape(n_starts * n_clusters, -1)
    n_points = max(_TILE // len(factors), 64)
    for first in range(0, len(points), n_points):
        tile = slice(first, min(first + n_points, len(points)))
        distances = factors @ points.extended[tile].T
        yield tile, distances.reshape(n_starts, n_clusters, -1)


def _moved_centres(points: Points, centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """Move every centre to the mean of the points that are nearest to it."""
    n_starts, n_clusters, n_dimensions = centres.shape
    sums = np.zeros((n_starts * n_clusters, n_dimensions + 1), np.float32)
    for tile, distances in _distances(points, centres):
        nearest = (distances == distances.min(axis=1, keepdims=True)).astype(np.float32)
        sums += nearest.reshape(len(sums), -1) @ points.extended[tile]
    sums = sums.reshape(n_starts, n_clusters, -1)
    sizes = sums[:, :, -1:]
    empty = sizes[:, :, 0] == 0
    moved = (sums[:, :, :-1] / np.maximum(sizes, 1)).astype(np.float32, copy=False)
    for start in np.flatnonzero(empty.any(axis=1)):
        moved[start, empty[start]] = _far_points(points, centres[start], int(empty[start].sum()))
    return moved


def _far_points(points: Points, centres: NDArray[np.float32], n_points: int) -> NDArray[np.float32]:
    """Return the points that are farthest from their centres: where empty clusters go."""
    nearest = np.concatenate([d[0].min(axis=0) for _, d in _distances(points, centres[None])])
    return points.coordinates[np.argsort(-(nearest + points.squares), kind="stable")[:n_points]]


def k_means_plus_plus(
    points: Points, n_clusters: int, randoms: list[np.random.Generator]
) -> NDArray[np.float32]:
    """Choose centres for several starts among the points, far from each other.

    Each next centre is the best of a few points drawn in proportion to the squared distance to the
    centres so far: k-means++ (Arthur and Vassilvitskii, 2007) in the greedy form that scikit-learn
    uses, with as many trials.

    Args:
        points: The points.
        n_clusters: Number of centres of each start.
        randoms: One generator a start.

    Returns:
        Array of shape (starts, clusters, dimensions).
    """
    n_starts, n_trials = len(randoms), 2 + int(np.log(n_clusters))
    draws = np.stack([random.random((n_clusters, n_trials)) for random in randoms], axis=1)
    chosen = np.empty((n_starts, n_clusters), int)
    chosen[:, 0] = draws[0, :, 0] * len(points)
    closest = _squared_distances(points, chosen[:, :1])[:, 0]
    starts = np.arange(n_starts)
    for cluster in range(1, n_clusters):
        candidates = _drawn(closest, draws[cluster])
        distances = _squared_distances(points, candidates)
        np.minimum(distances, closest[:, None], out=distances)
        best = distances.sum(axis=2).argmin(axis=1)
        chosen[:, cluster] = candidates[starts, best]
        closest = distances[starts, best]
    return points.coordinates[chosen]


def _squared_distances(points: Points, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return those of all points to some: shape (starts, chosen points, points)."""
    products = points.coordinates[chosen.ravel()] @ points.coordinates.T
    products *= -2
    products += points.squares
    products += points.squares[chosen.ravel(), None]
    products[np.arange(len(products)), chosen.ravel()] = 0
    found: NDArray[np.float32] = np.maximum(products, 0, out=products).reshape(*chosen.shape, -1)
    return found


def _drawn(weights: NDArray[np.float32], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Draw points of every start in proportion to their weights, shape (starts, draws)."""
    n_starts, n_points = weights.shape
    # All starts in one sorted row, so that one search finds the points of all of them.
    ends = np.cumsum(weights, dtype=float)
    totals = ends[n_points - 1 :: n_points]
    begins = np.concatenate([[0], totals[:-1]])[:, None]
    found = np.searchsorted(ends, begins + uniform * (totals[:, None] - begins), side="right")
    first = n_points * np.arange(n_starts)[:, None]
    result: NDArray[np.int64] = np.clip(found - first, 0, n_points - 1)
    return result
