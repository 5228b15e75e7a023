"""k-means from many starts at once, beside a plain loop and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from sklearn.cluster import KMeans, kmeans_plusplus

from nn_clustering.partitions._kmeans import Points, k_means, k_means_plus_plus
from nn_clustering.seeds import generator


def blobs(n_points, n_dimensions, seed):
    random = np.random.default_rng(seed)
    means = random.normal(size=(6, n_dimensions))
    return means[random.integers(6, size=n_points)] + 0.4 * random.normal(
        size=(n_points, n_dimensions)
    )


def started(coordinates, n_clusters, n_starts, seed=0):
    points = Points(coordinates)
    randoms = [generator(seed, "start", index) for index in range(n_starts)]
    return points, k_means_plus_plus(points, n_clusters, randoms)


def inertia(coordinates, labels):
    return sum(
        ((coordinates[labels == c] - coordinates[labels == c].mean(axis=0)) ** 2).sum()
        for c in set(labels.tolist())
    )


def lloyd(points, centres):
    """One point and one centre after the other."""
    for _ in range(300):
        labels = np.array([((centres - point) ** 2).sum(axis=1).argmin() for point in points])
        moved = np.array([points[labels == c].mean(axis=0) for c in range(len(centres))])
        if np.allclose(moved, centres, atol=1e-3):
            return labels
        centres = moved
    raise AssertionError


@given(st.integers(0, 100), st.integers(1, 5), st.integers(2, 6))
@settings(max_examples=20, deadline=None)
def test_every_start_is_lloyds_algorithm(seed, n_dimensions, n_clusters):
    coordinates = blobs(90, n_dimensions, seed)
    points, centres = started(coordinates, n_clusters, 3, seed)
    found, inertias = k_means(points, centres)
    for labels, value, own_centres in zip(found, inertias, centres, strict=True):
        expected = lloyd(points.coordinates.astype(float), own_centres.astype(float))
        # stopping a step earlier or later moves a point or two at a border
        assert (labels != expected).mean() <= 0.05
        assert value == pytest.approx(inertia(points.coordinates, labels), rel=0.02)


def test_as_low_an_inertia_as_scikit_learn():
    """Over many starts, with the same number of trials, the same distribution of results."""
    coordinates = blobs(400, 4, 1)
    points, centres = started(coordinates, 8, 40)
    ours = [inertia(coordinates, labels) for labels in k_means(points, centres)[0]]
    theirs = [
        KMeans(8, n_init=1, random_state=seed).fit(coordinates).inertia_ for seed in range(40)
    ]
    error = np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(40)
    assert abs(np.mean(ours) - np.mean(theirs)) < 4 * error
    assert min(ours) == pytest.approx(min(theirs), rel=0.01)


def test_starts_are_as_far_apart_as_scikit_learns():
    coordinates = blobs(300, 3, 2)
    points, centres = started(coordinates, 6, 80)

    def potential(of_start, points):
        return ((points[:, None] - of_start) ** 2).sum(axis=2).min(axis=1).sum()

    ours = [potential(of_start, points.coordinates) for of_start in centres]
    theirs = [
        potential(kmeans_plusplus(points.coordinates, 6, random_state=seed)[0], points.coordinates)
        for seed in range(80)
    ]
    error = np.hypot(np.std(ours), np.std(theirs)) / np.sqrt(80)
    assert abs(np.mean(ours) - np.mean(theirs)) < 4 * error


def test_other_starts_do_not_matter():
    coordinates = blobs(200, 4, 3)
    points, centres = started(coordinates, 5, 7)
    assert (started(coordinates, 5, 3)[1] == centres[:3]).all()
    together, alone = k_means(points, centres)[0], k_means(points, centres[4:5])[0][0]
    assert (together[4] == alone).all()


def test_more_points_than_are_looked_at_together(monkeypatch):
    coordinates = blobs(500, 4, 4)
    points, centres = started(coordinates, 5, 3)
    whole = k_means(points, centres)
    monkeypatch.setattr("nn_clustering.partitions._kmeans._TILE", 1000)
    tiled = k_means(points, centres)
    assert (whole[0] == tiled[0]).all()
    assert whole[1] == pytest.approx(tiled[1], rel=1e-5)


def test_place_and_scale_do_not_matter():
    coordinates = blobs(200, 3, 5)
    expected = k_means(*started(coordinates, 5, 4))
    for scale in (1e-30, 1e30):
        found = k_means(*started(scale * (coordinates + 4), 5, 4))
        assert (found[0] == expected[0]).all()
        assert found[1] == pytest.approx(expected[1], rel=1e-3)


def test_empty_cluster_moves_to_the_farthest_point():
    """Centres at 0, 0.1 and far away from all: that one takes the point at 10."""
    points = Points(np.array([[0.0], [0.1], [0.2], [5.0], [10.0]]))
    centres = points.coordinates[[0, 1, 1]].copy()
    centres[2] = 100
    labels = k_means(points, centres[None])[0][0]
    assert len(set(labels.tolist())) == 3
    assert labels[4] == 2


def test_as_many_clusters_as_points():
    labels, inertias = k_means(*started(blobs(7, 3, 6), 7, 5))
    assert all(sorted(of_start.tolist()) == list(range(7)) for of_start in labels)
    assert inertias == pytest.approx(np.zeros(5), abs=1e-5)


def test_fewer_different_points_than_clusters():
    coordinates = np.repeat([[0.0, 0], [1, 0], [0, 1]], 5, axis=0)
    labels, inertias = k_means(*started(coordinates, 4, 3))
    for of_start in labels:
        assert len({tuple(of_start[start : start + 5]) for start in (0, 5, 10)}) == 3
        assert all(len(set(of_start[start : start + 5].tolist())) == 1 for start in (0, 5, 10))
    assert inertias == pytest.approx(np.zeros(3), abs=1e-6)


def test_all_points_alike():
    assert k_means(*started(np.ones((6, 2)), 2, 2))[1] == pytest.approx(np.zeros(2), abs=1e-6)
