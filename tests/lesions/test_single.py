"""Lesion tests against direct recomputation, and on networks whose answer is known."""

import keras
import numpy as np
import pytest
import scipy.stats

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.lesions import LesionEngine, LesionTest, SubClusterResult, lesion_test
from nn_clustering.partitions import Partition, SubCluster

LAYERS = (Layer("input", 64), Layer("dense_1", 24), Layer("dense_2", 20), Layer("output", 10))
HIDDEN = ("dense_1", "dense_2")


def random_partition(seed, *, n_clusters=3, n_isolated=0, layers=LAYERS):
    random = np.random.default_rng(seed)
    labels = [random.integers(0, n_clusters, layer.n_units) for layer in layers]
    for in_layer in labels:
        in_layer[random.choice(len(in_layer), n_isolated, replace=False)] = -1
    return Partition(layers, np.concatenate(labels).astype(np.int32), n_clusters)


@pytest.fixture(scope="module")
def engine(trained):
    network, dataset = trained
    return LesionEngine(network, dataset.x_test, dataset.y_test)


class Recorder(LesionEngine):
    """A real engine that also tells which lesions it was asked for."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.asked = {}

    def lesioned(self, layer, keep, **options):
        self.asked.setdefault(layer, []).append(keep.copy())
        return super().lesioned(layer, keep, **options)


def class_accuracies(network, x, y, layer, silent):
    """Accuracies of every class by a forward pass in numpy."""
    for name in ("dense_1", "dense_2", "output"):
        kernel, bias = network.get_layer(name).get_weights()
        x = x.reshape(len(x), -1) @ kernel + bias
        x = np.maximum(x, 0) if name != "output" else x
        if name == layer:
            x[:, silent] = 0
    correct = x.argmax(axis=1) == y
    return np.array([correct[y == label].mean() for label in range(10)]), correct.mean()


def test_everything_again_in_numpy(trained):
    network, dataset = trained
    x, y = dataset.x_test, dataset.y_test
    engine = Recorder(network, x, y)
    partition = random_partition(0, n_isolated=4)
    test = lesion_test(engine, partition, HIDDEN, n_shuffles=9, seed=3)
    table = test.table(dataset.class_names)

    intact, accuracy = class_accuracies(network, x, y, "output", [])
    np.testing.assert_allclose(test.class_accuracies, intact)
    assert test.accuracy == pytest.approx(accuracy)
    assert len(test.results) == len(table) == 6
    effects = []
    for index, result in enumerate(test.results):
        layer, label = HIDDEN[index // 3], index % 3
        row = table.iloc[index]
        labels = {found.name: labels for found, labels in partition.by_layer()}[layer]
        units = np.flatnonzero(labels == label)
        assert (row.layer, row.label, row.n_units) == (layer, label, len(units))
        assert result.sub_cluster.units.tolist() == units.tolist()

        asked = engine.asked[layer][-1].reshape(3, 10, -1)[label]
        assert np.flatnonzero(asked[0] == 0).tolist() == units.tolist()
        found = [class_accuracies(network, x, y, layer, keep == 0) for keep in asked]
        changes = np.array([accuracies for accuracies, _ in found]) - intact
        np.testing.assert_allclose(result.class_changes, changes[0], atol=1e-12)
        np.testing.assert_allclose(result.random_class_changes, changes[1:], atol=1e-12)
        assert row.accuracy_change == pytest.approx(found[0][1] - accuracy)

        means = changes.mean(axis=1)
        assert row.class_mean_change == pytest.approx(means[0])
        assert row.random_class_mean_change == pytest.approx(means[1:].mean())
        importance_p = (1 + (means[1:] <= means[0] + 1e-9).sum()) / 10
        assert row.importance_p == result.importance_p == pytest.approx(importance_p)

        scaled = changes / means[:, None]
        ranges = scaled.max(axis=1) - scaled.min(axis=1)
        assert row.class_range == pytest.approx(ranges[0])
        assert row.random_class_range == pytest.approx(ranges[1:].mean())
        coherence_p = (1 + (ranges[1:] >= ranges[0] - 1e-9).sum()) / 10
        assert row.coherence_p == result.coherence_p == pytest.approx(coherence_p)

        harmful = means[0] < 0 and means[1:].mean() < 0
        effect = 2 * means[0] / (means[0] + means[1:].mean()) if harmful else 0
        assert row.importance_effect == pytest.approx(effect)
        assert row.coherence_effect == pytest.approx(
            2 * ranges[0] / (ranges[0] + ranges[1:].mean())
        )
        effects.append((intact + changes[1:]).mean() / (intact + changes[0]).mean())
        for name, change in zip(dataset.class_names, changes[0], strict=True):
            assert row[f"change_{name}"] == pytest.approx(change)
    np.testing.assert_allclose(test.importance.ratios, effects)
    assert test.importance.n_null == test.coherence.n_null == 9
    # the p-values are not all one and the same
    assert table.importance_p.nunique() > 2 < table.coherence_p.nunique()


def random_lesions(network, dataset, partition, layers=HIDDEN, **options):
    engine = Recorder(network, dataset.x_test[:40], dataset.y_test[:40])
    lesion_test(engine, partition, layers, **{"n_shuffles": 5, "seed": 1, **options})
    return engine.asked


def test_random_sub_clusters(trained):
    network, dataset = trained
    partition = random_partition(1, n_isolated=6)
    asked = random_lesions(network, dataset, partition, n_shuffles=60)
    for layer, labels in partition.by_layer():
        if layer.name not in HIDDEN:
            continue
        sizes = np.bincount(labels[labels >= 0], minlength=3)
        silent = asked[layer.name][-1].reshape(3, 61, -1) == 0
        assert set(np.unique(asked[layer.name][-1])) == {0, 1}
        for label, size in enumerate(sizes):
            assert (silent[label].sum(axis=1) == size).all()
        drawn = silent[:, 1:].sum(axis=(0, 1))
        assert (drawn[labels == -1] == 0).all()
        # every other unit equally often: 60 draws of each of the three sizes add up to this
        expected = 60 * sizes.sum() / (labels >= 0).sum()
        assert expected == 60
        assert (np.abs(drawn[labels >= 0] - expected) < 30).all()
        # afresh for each sub-cluster and each shuffle
        assert len(np.unique(silent[sizes.argmax(), 1:], axis=0)) > 50


def test_seed_fixes_the_random_units_whatever_else_is_lesioned(trained):
    network, dataset = trained
    partition = random_partition(2)
    asked = random_lesions(network, dataset, partition)
    again = random_lesions(network, dataset, partition)
    alone = random_lesions(network, dataset, partition, ("dense_2",))
    more = random_lesions(network, dataset, partition, n_shuffles=8)
    other = random_lesions(network, dataset, partition, seed=2)
    for layer in HIDDEN:
        np.testing.assert_array_equal(asked[layer][-1], again[layer][-1])
    assert "dense_1" not in alone
    np.testing.assert_array_equal(asked["dense_2"][-1], alone["dense_2"][-1])
    first = more["dense_2"][-1].reshape(3, 9, -1)[:, :6].reshape(18, -1)
    np.testing.assert_array_equal(asked["dense_2"][-1], first)
    assert (asked["dense_2"][-1] != other["dense_2"][-1]).any()


def test_same_seed_same_result_bit_for_bit(engine, trained):
    names = trained[1].class_names
    first, again = (
        lesion_test(engine, random_partition(3), HIDDEN, n_shuffles=4, seed=5).table(names)
        for _ in range(2)
    )
    assert first.equals(again)


def test_progress_adds_up(engine, trained):
    answers = []
    test = lesion_test(
        engine, random_partition(3), HIDDEN, n_shuffles=4, seed=5, on_progress=answers.append
    )
    assert sum(answers) == len(test.results) * 5 * len(trained[1].y_test)


def test_p_values_of_random_partitions_are_uniform(engine):
    """Random sub-clusters are exchangeable with their null: every rank is equally likely."""
    p_values = {"importance": [], "coherence": []}
    for seed in range(25):
        partition = random_partition(100 + seed, n_clusters=5)
        test = lesion_test(engine, partition, HIDDEN, n_shuffles=4, seed=seed)
        for result in test.results:
            p_values["importance"].append(result.importance_p)
            p_values["coherence"].append(result.coherence_p)
    for measure, values in p_values.items():
        counts = np.bincount(np.round(5 * np.array(values)).astype(int), minlength=6)[1:]
        assert counts.sum() > 240
        assert scipy.stats.chisquare(counts).pvalue > 0.01, (measure, counts)


def planted_network():
    """Two tasks side by side: units 0-3 see pixel 0 alone and decide between the classes 0 and 1,
    units 4-7 see pixel 1 alone and decide between 2 and 3; units 8-11 do nothing that matters.

    Pixel 0 is 0.2 for class 0, 0.8 for class 1, and 0 for others; likewise pixel 1.
    """
    network = keras.Sequential(
        [
            keras.Input((1, 2, 1)),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(12, "relu", name="hidden"),
            keras.layers.Dense(4, "softmax", name="output"),
        ]
    )
    kernel, bias = np.zeros((2, 12), np.float32), np.zeros(12, np.float32)
    kernel[0, 0:4] = kernel[1, 4:8] = [10, 10, 10, 10]
    bias[0:4] = bias[4:8] = [0, 0, -5, -5]  # the last two of each answer only to 0.8
    out = np.zeros((12, 4), np.float32)
    for start, classes in ((0, (0, 1)), (4, (2, 3))):
        out[start : start + 2, classes[0]] = 1
        out[start : start + 2, classes[1]] = 0.5
        out[start + 2 : start + 4, classes[1]] = 3
    network.set_weights([kernel, bias, out, np.array([0, 0, 0, 0], np.float32)])
    y = np.repeat([0, 1, 2, 3], 25).astype(np.int32)
    x = np.zeros((100, 1, 2, 1), np.float32)
    for label, (pixel, value) in enumerate([(0, 0.2), (0, 0.8), (1, 0.2), (1, 0.8)]):
        x[y == label, 0, pixel, 0] = value
    return network, x, y


def test_planted_modules():
    network, x, y = planted_network()
    layers = (Layer("input", 2), Layer("hidden", 12), Layer("output", 4))
    labels = [0, 1, *[0] * 4, *[1] * 4, *[2] * 4, 0, 0, 1, 1]
    partition = Partition(layers, np.array(labels, np.int32), 3)
    engine = LesionEngine(network, x, y)
    test = lesion_test(engine, partition, ("hidden",), n_shuffles=99, seed=0)
    assert test.accuracy == 1
    first, second, idle = test.results
    # without its module an input of a task looks like nothing at all: every logit is 0, and the
    # answer is class 0, right for class 0 alone
    assert first.class_changes.tolist() == [0, -1, 0, 0]
    assert second.class_changes.tolist() == [0, 0, -1, -1]
    assert idle.class_changes.tolist() == [0, 0, 0, 0]
    assert first.range == pytest.approx(4)
    assert second.range == pytest.approx(2)
    assert idle.range == 0
    assert idle.importance_p == 1
    assert idle.coherence_p == 1
    # nothing of four units hurts more than the whole second module
    assert second.change == min([*second.random_changes, -0.5])
    assert second.importance_p < 0.05
    assert test.table("abcd")[["change_c", "change_d"]].iloc[1].tolist() == [-1, -1]


def test_effects_where_lesions_do_no_harm():
    """Methods G9: importance is 0 unless both the lesion and its random ones do harm."""
    network, x, y = planted_network()
    layers = (Layer("hidden", 12),)
    labels = np.array([-1] * 8 + [0, 0, 1, 1], np.int32)  # only idle units are ever drawn
    test = lesion_test(
        LesionEngine(network, x, y), Partition(layers, labels, 2), ("hidden",), n_shuffles=3, seed=0
    )
    assert test.importance.effects.tolist() == [0, 0]
    assert test.importance.ratios.tolist() == [1, 1]
    assert np.isnan(test.coherence.effects).all()
    assert test.coherence.summary()["n_undefined"] == 2


def test_infinite_ranges_of_random_sub_clusters_are_counted():
    """Quirk 13: changes that average to 0 make a range infinite, and no mean."""
    even = np.array([[0.1, -0.1], [-0.2, -0.4], [0.3, -0.3]])
    sub_cluster = SubCluster("hidden", 0, np.array([0]))
    result = SubClusterResult(sub_cluster, np.array([-0.1, -0.3]), even, -0.2, 0.5, 0.5)
    test = LesionTest(np.array([1.0, 1.0]), 1.0, (result,), 3)
    assert test.coherence.summary()["n_infinite_null"] == 2
    # true range 0.2 / 0.2 = 1, the finite random one 0.2 / 0.3: 2 * 1 / (1 + 2 / 3)
    assert test.coherence.summary()["effect"] == pytest.approx(1.2)


def test_ties_count_or_not():
    network, x, y = planted_network()
    partition = Partition((Layer("hidden", 12),), np.array([-1] * 8 + [0] * 4, np.int32), 1)
    for count_ties, p in ((True, 1.0), (False, 1 / 6)):
        test = lesion_test(
            LesionEngine(network, x, y),
            partition,
            ("hidden",),
            n_shuffles=5,
            seed=0,
            count_ties=count_ties,
        )
        assert test.results[0].importance_p == test.results[0].coherence_p == p


def test_class_without_images():
    network, x, y = planted_network()
    some = y != 2
    partition = Partition((Layer("hidden", 12),), np.array([0] * 4 + [1] * 8, np.int32), 2)
    engine = LesionEngine(network, x[some], y[some])
    test = lesion_test(engine, partition, ("hidden",), n_shuffles=2, seed=0)
    assert test.class_accuracies[[0, 1, 3]].tolist() == [1, 1, 1]
    assert np.isnan(test.class_accuracies[2])
    assert test.results[0].class_changes.tolist() == [0, -1, 0]
    assert test.results[0].change == pytest.approx(-1 / 3)
    columns = [name for name in test.table("abcd") if name.startswith("change_")]
    assert columns == ["change_a", "change_b", "change_d"]
    assert np.isfinite(test.importance.ratios).all()


def test_refuses(engine):
    good = random_partition(0)
    other = random_partition(0, layers=(Layer("dense_1", 23),))
    unknown = random_partition(0, layers=(Layer("conv_1", 24),))
    isolated = Partition((Layer("dense_1", 24),), np.full(24, -1, np.int32), 2)
    cases = [
        (good, HIDDEN, 0, "n_shuffles=0; expected an integer of 1 or more"),
        (good, HIDDEN, 2.0, "n_shuffles=2.0; expected an integer"),
        (good, HIDDEN, True, "n_shuffles=True; expected an integer"),
        (good, (), 2, "no sub-cluster in layers none"),
        (isolated, ("dense_1",), 2, "no sub-cluster in layers dense_1: nothing to lesion"),
        (other, ("dense_1",), 2, r"lesions of shape \(9, 23\) for layer 'dense_1'; expected"),
        (unknown, ("conv_1",), 2, "no layer of units 'conv_1'"),
    ]
    for partition, layers, n_shuffles, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            lesion_test(engine, partition, layers, n_shuffles=n_shuffles, seed=0)
        assert "\n" not in str(refusal.value)
