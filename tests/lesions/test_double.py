"""Lesions of pairs of sub-clusters against a pass through the network for every lesion."""

from itertools import combinations_with_replacement, permutations

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import (
    LesionEngine,
    double_lesion_test,
    n_double_lesions,
    n_double_tasks,
)
from nn_clustering.lesions._double import _Pairs, _Task
from nn_clustering.partitions import SubCluster
from tests.lesions.naive import accuracy_changes
from tests.lesions.test_single import HIDDEN, Recorder, random_partition


@pytest.fixture(scope="module")
def engine(trained):
    network, dataset = trained
    return LesionEngine(network, dataset.x_test[:100], dataset.y_test[:100])


@pytest.fixture(scope="module")
def partition():
    return random_partition(5, n_isolated=2)


def some_of(partition):
    """Two sub-clusters of the first hidden layer, and one of the second."""
    found = partition.sub_clusters(HIDDEN)
    return [found[0], found[2], found[4]]


def run_test(engine, partition, **options):
    options = {"n_shuffles": 4, "seed": 1, **options}
    return double_lesion_test(engine, partition, some_of(partition), **options)


@pytest.mark.parametrize("overlap", [False, True])
def test_everything_again_in_numpy(engine, trained, partition, overlap):
    network, dataset = trained
    recorder, scores = Recorder(engine), {}
    test = run_test(
        recorder,
        partition,
        overlap=overlap,
        on_scores=lambda task, of_task: scores.update({task: of_task}),
    )
    subs = some_of(partition)
    found = {}
    for lesions in (lesions for lesions in recorder.asked if lesions):
        assert list(lesions) in (["dense_1"], ["dense_2"], ["dense_1", "dense_2"])
        rows = [dict(zip(lesions, row, strict=True)) for row in zip(*lesions.values(), strict=True)]
        assert len(rows) in (4, 5)
        overall = [
            accuracy_changes(network, dataset.x_test[:100], dataset.y_test[:100], row)[1]
            for row in rows
        ]
        found.setdefault(tuple(lesions), []).append(np.array(overall))
    assert len(scores) == sum(map(len, found.values())) == n_double_tasks(3) == 12
    assert sum(len(of_task) for of_task in scores.values()) == n_double_lesions(3, 4) == 54

    # tasks of the same layers follow one another, joint ones first
    tasks = {
        ("dense_1",): [(0, 0, True), (0, 1, True), (1, 1, True), (0, 1, False), (1, 0, False)],
        ("dense_1", "dense_2"): [
            (0, 2, True),
            (1, 2, True),
            (0, 2, False),
            (1, 2, False),
            (2, 0, False),
            (2, 1, False),
        ],
        ("dense_2",): [(2, 2, True)],
    }
    for layers, expected in tasks.items():
        for (i, j, joint), changes in zip(expected, found[layers], strict=True):
            if not joint:
                np.testing.assert_allclose(
                    test.random_conditional_changes[i, j], changes, atol=1e-12
                )
                continue
            union = {}
            for sub in (subs[i], subs[j]):
                union.setdefault(sub.layer, []).extend(sub.units)
            of_both = accuracy_changes(network, dataset.x_test[:100], dataset.y_test[:100], union)[
                1
            ]
            assert changes[0] == pytest.approx(of_both)
            for a, b in ((i, j), (j, i)):
                assert test.joint_changes[a, b] == pytest.approx(of_both)
                np.testing.assert_allclose(test.random_joint_changes[a, b], changes[1:], atol=1e-12)
    names = [(sub.layer, sub.label) for sub in test.sub_clusters]
    assert names == [(sub.layer, sub.label) for sub in subs]
    assert (test.overlap, test.n_shuffles) == (overlap, 4)
    assert test.intact_overall == engine.intact().sum() / 100
    assert np.isnan(test.random_conditional_changes[[0, 1, 2], [0, 1, 2]]).all()


def pairs_of(partition, **options):
    options = {"n_shuffles": 200, "seed": 0, "overlap": False, **options}
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    subs = tuple(partition.sub_clusters(HIDDEN))
    return _Pairs(sub_clusters=subs, layers=HIDDEN, labels=labels, **options), labels


def test_random_pairs_in_one_layer_are_disjoint_unless_they_may_overlap(partition):
    sizes = [len(sub.units) for sub in partition.sub_clusters(HIDDEN)]
    n_silenced = {}
    for overlap in (False, True):
        pairs, labels = pairs_of(partition, overlap=overlap)
        silenced = pairs.silenced(_Task(0, 1, False))
        assert list(silenced) == ["dense_1"]
        assert not silenced["dense_1"][:, labels["dense_1"] == -1].any()
        n_silenced[overlap] = silenced["dense_1"].sum(axis=1)
        assert n_silenced[overlap][0] == sizes[0] + sizes[1]
    assert set(n_silenced[False]) == {sizes[0] + sizes[1]}
    # drawn independently, they have |a| |b| / n units in common
    n = (labels["dense_1"] >= 0).sum()
    expected = sizes[0] + sizes[1] - sizes[0] * sizes[1] / n
    assert n_silenced[True][1:].mean() == pytest.approx(expected, abs=0.4)


def test_a_pair_with_itself_is_drawn_once(partition):
    for overlap in (False, True):
        pairs, _ = pairs_of(partition, overlap=overlap)
        silenced = pairs.silenced(_Task(2, 2, False))["dense_1"]
        assert set(silenced.sum(axis=1)) == {len(pairs.sub_clusters[2].units)}
        assert len(np.unique(silenced, axis=0)) > 150


def test_conditional_draws_keep_the_one_and_spare_its_units(partition):
    pairs, labels = pairs_of(partition)
    kept, drawn = pairs.sub_clusters[1], pairs.sub_clusters[0]
    [silenced] = pairs.silenced(_Task(0, 1, True)).values()
    assert len(silenced) == 200
    assert silenced[:, kept.units].all()
    rest = np.delete(silenced, kept.units, axis=1)
    assert set(rest.sum(axis=1)) == {len(drawn.units)}
    assert not silenced[:, labels["dense_1"] == -1].any()
    assert (rest.any(axis=0) == np.delete(labels["dense_1"] >= 0, kept.units)).all()
    # of two layers the kept one is the same in all lesions, the other all of its layer's
    silenced = pairs.silenced(_Task(0, 4, True))
    assert list(silenced) == ["dense_1", "dense_2"]
    assert (np.flatnonzero(silenced["dense_2"].all(axis=0)) == pairs.sub_clusters[4].units).all()
    assert (silenced["dense_2"] == silenced["dense_2"][0]).all()
    assert (silenced["dense_1"].any(axis=0) == (labels["dense_1"] >= 0)).all()


def test_draws_depend_on_the_pair_alone(partition):
    pairs, _ = pairs_of(partition, n_shuffles=5)
    fewer = _Pairs(
        pairs.sub_clusters[1:], pairs.layers, pairs.labels, n_shuffles=3, seed=0, overlap=False
    )
    other, _ = pairs_of(partition, n_shuffles=5, seed=1)
    for conditional, n in ((False, 4), (True, 3)):
        silenced = pairs.silenced(_Task(1, 3, conditional))
        for layer, same in fewer.silenced(_Task(0, 2, conditional)).items():
            np.testing.assert_array_equal(same, silenced[layer][:n])
        changed = other.silenced(_Task(1, 3, conditional))["dense_1"]
        assert (changed != silenced["dense_1"]).any()


def test_known_scores_are_not_computed_again(engine, partition):
    scores, answers = {}, []
    whole = run_test(
        engine,
        partition,
        on_scores=lambda task, of_task: scores.update({task: of_task}),
        on_progress=answers.append,
    )
    assert sum(answers) == 54 * 100
    new, answers = [], []
    resumed = run_test(
        engine,
        partition,
        known={task: scores[task] for task in range(5, 12)},
        on_scores=lambda task, of_task: new.append(task),
        on_progress=answers.append,
    )
    assert new == [0, 1, 2, 3, 4]
    assert sum(answers) == (3 * 5 + 2 * 4) * 100
    assert resumed.table().equals(whole.table())
    np.testing.assert_array_equal(resumed.random_joint_changes, whole.random_joint_changes)


@pytest.mark.parametrize(("n_sub_clusters", "n_shuffles"), [(0, 3), (1, 3), (5, 50)])
def test_cost(n_sub_clusters, n_shuffles):
    joint = len(list(combinations_with_replacement(range(n_sub_clusters), 2)))
    conditional = len(list(permutations(range(n_sub_clusters), 2)))
    assert n_double_tasks(n_sub_clusters) == joint + conditional
    expected = joint * (n_shuffles + 1) + conditional * n_shuffles
    assert n_double_lesions(n_sub_clusters, n_shuffles) == expected


def test_nothing_to_pair(engine, partition):
    test = double_lesion_test(engine, partition, [], n_shuffles=3, seed=0)
    assert len(test.table()) == 0
    assert "accuracy_change" in test.table()
    assert len(test.dependencies()) == 0
    assert test.n_shuffles == 3


def test_refuses(engine, trained, partition):
    network, dataset = trained
    first, other = partition.sub_clusters(HIDDEN)[:2]
    empty = SubCluster("dense_1", 0, np.array([], int))
    shifted = SubCluster("dense_1", 0, other.units)
    regression = LesionEngine(
        network, dataset.x_test[:5], np.zeros((5, 10), np.float32), task="regression"
    )
    cases = [
        (engine, [first, empty], {}, "sub-cluster 0 of layer 'dense_1' is empty; expected one"),
        (engine, [first, first], {}, "sub-cluster 0 of layer 'dense_1' is given twice"),
        (engine, [shifted], {}, "sub-cluster 0 of layer 'dense_1' is not the partition's"),
        (engine, partition.sub_clusters(("output",)), {}, "no such hidden layer: the partition be"),
        (engine, [first], {"n_shuffles": 1}, "n_shuffles=1; expected an integer of 2 or more"),
        (engine, [first], {"known": {0: np.zeros((5, 10))}}, r"expected \(4, 10\): they belong"),
        (regression, [first], {}, "double lesions of a regression; expected a classification"),
    ]
    for of, subs, options, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            double_lesion_test(of, partition, subs, **{"n_shuffles": 3, "seed": 0, **options})
        assert "\n" not in str(refusal.value)
