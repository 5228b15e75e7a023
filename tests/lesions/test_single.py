"""Single lesion tests against a pass through the network in numpy for every lesion."""

import keras
import numpy as np
import pytest
import scipy.stats

from nn_clustering.datasets import load_dataset, monomial_membership
from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.lesions import LesionEngine, classes_of, lesion_test, targets_in_groups
from nn_clustering.partitions import Partition, SizeFilter
from tests.lesions.naive import accuracy_changes, error_changes

LAYERS = (Layer("input", 64), Layer("dense_1", 24), Layer("dense_2", 20), Layer("output", 10))
HIDDEN = ("dense_1", "dense_2")
NAMES = tuple("abcdefghij")


def random_partition(seed, *, n_clusters=3, n_isolated=0, layers=LAYERS):
    random = np.random.default_rng(seed)
    labels = [random.integers(0, n_clusters, layer.n_units) for layer in layers]
    for in_layer in labels:
        in_layer[random.choice(len(in_layer), n_isolated, replace=False)] = -1
    return Partition(layers, np.concatenate(labels).astype(np.int32), n_clusters)


@pytest.fixture(scope="module")
def engine(trained):
    network, dataset = trained
    return LesionEngine(network, dataset.x_test[:150], dataset.y_test[:150])


class Recorder:
    """Hands everything to a real engine, and tells which lesions it was asked for."""

    def __init__(self, engine):
        self._engine = engine
        self.asked = []

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def lesioned(self, silenced, **options):
        self.asked.append(silenced)
        return self._engine.lesioned(silenced, **options)


def run_test(engine, partition, layers=HIDDEN, **options):
    options = {"n_shuffles": 4, "seed": 3, **options}
    if "groups" not in options:
        options["groups"] = classes_of(engine.class_sizes, NAMES)
    return lesion_test(engine, partition, layers, **options)


@pytest.mark.parametrize("draws", ["joint", "afresh"])
def test_everything_again_in_numpy(engine, trained, draws):
    network, dataset = trained
    x, y = dataset.x_test[:150], dataset.y_test[:150]
    recorder = Recorder(engine)
    partition = random_partition(0, n_isolated=4)
    test = run_test(recorder, partition, n_shuffles=9, draws=draws)

    intact, accuracy = accuracy_changes(network, x, y, {"output": range(10)})
    # with no output at all the answer is the first class
    np.testing.assert_allclose(test.intact, (np.arange(10) == 0) - intact)
    assert test.intact_overall == pytest.approx((y == 0).mean() - accuracy)
    assert (test.task, test.harm, test.tail, test.draws) == ("classification", -1, "left", draws)
    assert test.groups == NAMES
    assert test.n_left_out == 0
    assert test.n_candidates.tolist() == [20] * 3 + [16] * 3
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    asked = [lesions for lesions in recorder.asked if lesions]
    assert len(asked) == len(test.sub_clusters) == 6
    for index, (sub, lesions) in enumerate(zip(test.sub_clusters, asked, strict=True)):
        assert (sub.layer, sub.label) == (HIDDEN[index // 3], index % 3)
        assert list(lesions) == [sub.layer]
        silenced = lesions[sub.layer]
        assert silenced.shape == (10, len(labels[sub.layer]))
        units = np.flatnonzero(labels[sub.layer] == sub.label)
        assert np.flatnonzero(silenced[0]).tolist() == sub.units.tolist() == units.tolist()
        assert (silenced.sum(axis=1) == len(units)).all()
        assert not silenced[:, labels[sub.layer] == -1].any()
        found = [accuracy_changes(network, x, y, {sub.layer: row}) for row in silenced]
        changes = np.array([by_class for by_class, _ in found])
        overall = np.array([change for _, change in found])
        np.testing.assert_allclose(test.changes[index], changes[0], atol=1e-12)
        np.testing.assert_allclose(test.random_changes[index], changes[1:], atol=1e-12)
        np.testing.assert_allclose(test.overall_changes[index], overall[0], atol=1e-12)
        np.testing.assert_allclose(test.random_overall_changes[index], overall[1:], atol=1e-12)

        means = changes.mean(axis=1)
        p = (1 + (means[1:] <= means[0] + 1e-9).sum()) / 10
        assert test.importance.p_values[index] == pytest.approx(p)
        spread = np.ptp(changes / means[:, None], axis=1)
        p = (1 + (spread[1:] >= spread[0] - 1e-9).sum()) / 10
        assert test.coherence.p_values[index] == pytest.approx(p)
        p = (1 + (overall[1:] <= overall[0] + 1e-9).sum()) / 10
        assert test.overall_p[index] == pytest.approx(p)
    # the p-values are not all one and the same
    assert len(set(test.importance.p_values)) > 2 < len(set(test.coherence.p_values))


def test_random_ones_of_a_joint_draw_are_disjoint_those_drawn_afresh_not(engine):
    partition = random_partition(1, n_isolated=3)
    most = {}
    for draws in ("joint", "afresh"):
        recorder = Recorder(engine)
        run_test(recorder, partition, ["dense_1"], draws=draws)
        lesions = [asked["dense_1"] for asked in recorder.asked if asked]
        assert len(lesions) == 3
        most[draws] = sum(lesion.astype(int) for lesion in lesions)[1:].max()
    assert most["joint"] == 1 < most["afresh"]


@pytest.mark.parametrize("draws", ["joint", "afresh"])
def test_seed_fixes_the_random_units_whatever_else_is_lesioned(engine, draws):
    partition = random_partition(2)

    def asked(layers=HIDDEN, **options):
        recorder = Recorder(engine)
        test = run_test(recorder, partition, layers, draws=draws, **options)
        lesions = [next(iter(lesions.values())) for lesions in recorder.asked if lesions]
        names = [(sub.layer, sub.label) for sub in test.sub_clusters]
        return dict(zip(names, lesions, strict=True))

    everything = asked()
    for other in (asked(), asked(["dense_2"]), asked(sizes=SizeFilter(min_units=7))):
        assert set(other) <= set(everything)
        for name, lesions in other.items():
            np.testing.assert_array_equal(lesions, everything[name])
    assert len(asked(sizes=SizeFilter(min_units=7))) < 6
    more, other = asked(n_shuffles=6), asked(seed=4)
    for name, lesions in everything.items():
        np.testing.assert_array_equal(lesions, more[name][:5])
        assert (lesions != other[name]).any()


def test_small_and_large_sub_clusters_are_left_out(engine):
    partition = random_partition(2)
    everything = run_test(engine, partition)
    some = run_test(engine, partition, sizes=SizeFilter(min_units=7))
    kept = everything.sizes >= 7
    assert some.n_left_out == (~kept).sum() > 0
    np.testing.assert_array_equal(some.random_changes, everything.random_changes[kept])


def test_known_scores_are_not_computed_again(engine):
    partition = random_partition(3)
    first, answers = {}, []
    whole = run_test(
        engine,
        partition,
        on_sub_cluster=lambda index, result: first.update({index: result}),
        on_progress=answers.append,
    )
    assert list(first) == list(range(6))
    assert sum(answers) == 6 * 5 * 150
    for index, result in first.items():
        assert result.sub_cluster is whole.sub_clusters[index]
        assert result.overall_change == whole.overall_changes[index]
        assert result.mean_change == whole.mean_changes[index]
        assert result.importance_p == whole.importance.p_values[index]
        assert result.coherence_p == whole.coherence.p_values[index]

    recorder, again, answers = Recorder(engine), {}, []
    resumed = run_test(
        recorder,
        partition,
        known={index: first[index].scores for index in (0, 1, 2, 5)},
        on_sub_cluster=lambda index, result: again.update({index: result.importance_p}),
        on_progress=answers.append,
    )
    assert [list(lesions) for lesions in recorder.asked if lesions] == [["dense_2"]] * 2
    assert sum(answers) == 2 * 5 * 150
    assert again == {index: result.importance_p for index, result in first.items()}
    assert resumed.table().equals(whole.table())
    np.testing.assert_array_equal(resumed.random_changes, whole.random_changes)


def test_p_values_of_random_partitions_are_uniform(engine):
    """Random sub-clusters are exchangeable with their null: every rank is equally likely."""
    p_values = {"importance": [], "coherence": []}
    for seed in range(25):
        test = run_test(engine, random_partition(100 + seed, n_clusters=5), seed=seed)
        for measure, values in p_values.items():
            values += list(getattr(test, measure).p_values)
    for measure, values in p_values.items():
        counts = np.bincount(np.round(5 * np.array(values)).astype(int), minlength=6)[1:]
        assert counts.sum() > 240
        assert scipy.stats.chisquare(counts).pvalue > 0.01, (measure, counts)


@pytest.fixture(scope="module")
def polynomials():
    """A network of random weights that puts out the 512 polynomials, badly."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(12, "relu", bias_initializer="glorot_uniform", name="dense_1"),
            keras.layers.Dense(9, "relu", name="dense_2"),
            keras.layers.Dense(512, name="output"),
        ]
    )
    dataset = load_dataset("poly", n_train=1, n_test=40)
    return network, dataset.x_test, dataset.y_test


@pytest.mark.parametrize("tail", [None, "left"])
def test_regression_by_monomials(polynomials, tail):
    network, x, y = polynomials
    recorder = Recorder(LesionEngine(network, x, y, task="regression"))
    layers = (Layer("dense_1", 12), Layer("dense_2", 9))
    names, membership = monomial_membership()
    test = run_test(
        recorder,
        random_partition(4, layers=layers),
        n_shuffles=5,
        groups=targets_in_groups(names, membership, tail=tail),
    )
    assert (test.task, test.harm, test.tail) == ("regression", 1, tail or "right")
    assert test.groups == names
    asked = [lesions for lesions in recorder.asked if lesions]
    for index, lesions in enumerate(asked):
        [(layer, silenced)] = lesions.items()
        found = [error_changes(network, x, y, {layer: row}, membership) for row in silenced]
        changes = np.array([by_group for by_group, _ in found])
        np.testing.assert_allclose(test.changes[index], changes[0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(test.random_changes[index], changes[1:], rtol=1e-4, atol=1e-4)
        assert test.overall_changes[index] == pytest.approx(found[0][1], rel=1e-4, abs=1e-4)
        means = changes.mean(axis=1)
        extreme = means[1:] <= means[0] if tail == "left" else means[1:] >= means[0]
        assert test.importance.p_values[index] == pytest.approx((1 + extreme.sum()) / 6)
    assert test.kinds == ("",) * 6
    assert list(test.table()["error_change"]) == list(test.overall_changes)


def test_class_without_images(trained):
    network, dataset = trained
    some = dataset.y_test != 2
    engine = LesionEngine(network, dataset.x_test[some], dataset.y_test[some])
    test = run_test(engine, random_partition(0))
    assert test.groups == tuple("abdefghij")
    assert test.changes.shape == (6, 9)
    assert np.isfinite(test.changes).all()


def test_sub_cluster_that_is_all_of_its_layer(engine):
    """Nothing but itself can be drawn: its p-value is 1, and is not combined with the others."""
    labels = np.array([0] * 24 + [0] * 8 + [1] * 8 + [-1] * 4, np.int32)
    partition = Partition((Layer("dense_1", 24), Layer("dense_2", 20)), labels, 2)
    test = run_test(engine, partition)
    assert test.kinds[0] == "complete"
    assert test.combined.tolist() == [False, True, True]
    assert test.importance.p_values[0] == test.coherence.p_values[0] == 1
    assert test.importance.summary(seed=0)["n_combined"] == 2
    assert test.possible_draws.tolist() == [1, 12870, 12870]
    assert test.n_few_draws == 1
    strict = run_test(engine, partition, count_ties=False)
    assert strict.importance.p_values[0] == 1 / 5


def test_refuses(engine, polynomials):
    good = random_partition(0)
    other = random_partition(0, layers=(Layer("dense_1", 23),))
    unknown = random_partition(0, layers=(Layer("conv_1", 24),))
    isolated = Partition((Layer("dense_1", 24),), np.full(24, -1, np.int32), 2)
    whole = Partition((Layer("dense_1", 24),), np.zeros(24, np.int32), 1)
    few = Partition((Layer("dense_1", 24),), np.array([0, 0, 1, 1, *[-1] * 20], np.int32), 2)
    other_groups = targets_in_groups(NAMES)
    too_few_groups = classes_of(np.ones(9, int), NAMES)
    scores = np.zeros((5, 9), int)
    cases = [
        (good, HIDDEN, {"n_shuffles": 1}, "n_shuffles=1; expected an integer of 2 or more"),
        (good, HIDDEN, {"n_shuffles": 2.0}, "n_shuffles=2.0; expected an integer"),
        (good, HIDDEN, {"draws": "new"}, "draws='new'; expected one of joint, afresh"),
        (good, HIDDEN, {"groups": other_groups}, "groups of 10 outputs of a regression; expected"),
        (good, HIDDEN, {"groups": too_few_groups}, "groups of 9 outputs of a classification; exp"),
        (good, HIDDEN, {"known": {6: scores}}, "known scores of task 6 .* tasks 0 to 5 alone"),
        (good, HIDDEN, {"known": {0: scores}}, r"shape \(5, 9\); expected \(5, 10\): they belong"),
        (good, (), {}, "no sub-cluster in layers none"),
        (isolated, ("dense_1",), {}, "no sub-cluster in layers dense_1: nothing to test"),
        (other, ("dense_1",), {}, "layer 'dense_1' of 23 units, the network 24: the partition"),
        (unknown, ("conv_1",), {}, "layer 'conv_1' of 24 units, the network no such hidden layer"),
        (good, ("output",), {}, "layer 'output' of 10 units, the network no such hidden layer"),
        (whole, ("dense_1",), {}, "every sub-cluster is all of its layer, so that no other units"),
        (few, ("dense_1",), {"n_shuffles": 7}, "n_shuffles=7, but of no .* choose .* at most 6"),
    ]
    for partition, layers, options, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            run_test(engine, partition, layers, **options)
        assert "\n" not in str(refusal.value)
    assert run_test(engine, few, ("dense_1",), n_shuffles=6).n_few_draws == 0
