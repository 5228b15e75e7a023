"""What the engine spares itself changes no count."""

import numpy as np
import pytest

from nn_clustering.lesions import LesionEngine
from nn_clustering.lesions._repeated import Repeated
from nn_clustering.partitions import SubCluster, random_units
from tests.lesions.masked_networks import scores, silenced_for


def lesions_of_all_sizes(n_units, seed=0):
    """Two lesions of every size, the whole layer and nothing included."""
    random = np.random.default_rng(seed)
    sizes = np.repeat(np.arange(n_units + 1), 2)
    ranks = random.permuted(np.tile(np.arange(n_units), (len(sizes), 1)), axis=1)
    return ranks < sizes[:, None]


@pytest.mark.parametrize(("kind", "layer", "reader"), [
    ("mlp", "dense_1", "dense_2"),
    ("batch norm", "conv_1", "conv_2"),
    ("residual", "inner", "back"),
])  # fmt: skip
@pytest.mark.parametrize("silence", ["output", "mean"])
def test_lesions_of_every_size(networks, images, kind, layer, reader, silence):
    network, (x, y) = networks[kind], images
    engine = LesionEngine(network, x, y, silence=silence)
    n_units = engine.layers[layer]
    lesions = lesions_of_all_sizes(n_units)
    found = engine.lesioned({layer: lesions})
    assert len(np.unique(found, axis=0)) > n_units // 2
    for units, answered in zip(lesions, found, strict=True):
        fill = x if silence == "mean" else None
        by_hand = silenced_for(network, {reader: (units, n_units)}, fill)
        assert answered.tolist() == scores(by_hand, x, y).tolist(), units


def test_equal_lesions_are_computed_once(networks, images):
    engine = LesionEngine(networks["mlp"], *images)
    every = np.eye(9, dtype=bool)
    progress = []
    expected = engine.lesioned({"dense_1": every[:3]}, on_progress=progress.append)
    calls = []
    passes, _ = engine._compiled[("dense_1",)]
    compute = passes.scores
    passes.scores = lambda held, y, masks: calls.append(len(masks[0])) or compute(held, y, masks)
    pairs = every[[0, 1]] | every[[1, 2]]
    again = np.concatenate([every[[2, 0, 0, 1]], pairs[[0, 0, 1]]])
    found = engine.lesioned({"dense_1": again}, on_progress=progress.append)
    assert calls == [2]  # one unit each was known, one of the pairs was there twice
    assert found[:4].tolist() == expected[[2, 0, 0, 1]].tolist()
    assert found[4].tolist() == found[5].tolist()
    assert found[4:].tolist() == LesionEngine(networks["mlp"], *images).lesioned(
        {"dense_1": again[4:]}
    ).tolist()  # fmt: skip
    assert sum(progress) == 10 * 120


def test_equal_lesions_of_two_layers():
    first, second = np.eye(3, dtype=bool)[[0, 0, 1, 0]], np.eye(2, dtype=bool)[[0, 1, 0, 0]]
    found = Repeated.of([first, second])
    assert found.first.tolist() == [0, 1, 2]
    assert found.counts.tolist() == [2, 1, 1]
    assert found.number.tolist() == [0, 1, 2, 0]


def test_isolated_units_are_never_drawn():
    """What the partition calls isolated is in no random sub-cluster."""
    labels = np.array([0, 0, 1, -1, 1, -1, 0, 1], np.int32)
    sub = SubCluster("dense_1", 0, np.array([0, 1, 6]))
    for draws in ("joint", "afresh"):
        drawn = [random_units(labels, sub, shuffle=s, seed=0, draws=draws) for s in range(50)]
        assert set(np.concatenate(drawn)) == {0, 1, 2, 4, 6, 7}
