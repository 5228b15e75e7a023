"""Tests of sub-clusters' inputs beside random ones', every number again by a plain loop."""

from dataclasses import replace
from statistics import mean, pstdev

import keras
import numpy as np
import pandas
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.lesions import LesionEngine, classes_of, lesion_test
from nn_clustering.partitions import Partition, SizeFilter
from nn_clustering.significance import fisher_combination
from nn_clustering.visualisation import (
    Ascent,
    Bounds,
    InputOptimiser,
    n_batches,
    visualisation_test,
)
from tests.visualisation.stand_in import HIDDEN, StandIn, partition_of

MEASURES = {"score": "right", "entropy": "left", "dispersion": "left"}


def run_test(optimiser, partition, layers=HIDDEN, **options):
    options = {"n_shuffles": 5, "seed": 3, **options}
    return visualisation_test(optimiser, partition, layers, **options)


def effect(true, random):
    total = true + random
    return 2 * true / total if abs(total) > 1e-12 else float("nan")


def defined_mean(values):
    values = [value for value in values if np.isfinite(value)]
    return mean(values) if values else float("nan")


def naive_row(true, random, tail, *, count_ties=True):
    """All that the table says of a statistic of one sub-cluster."""
    extreme = [value > true if tail == "right" else value < true for value in random]
    if count_ties:
        extreme = [one or value == true for one, value in zip(extreme, random, strict=True)]
    others = [random[:at] + random[at + 1 :] for at in range(len(random))]
    return {
        "": true,
        "random": mean(random),
        "p": (sum(extreme) + 1) / (len(random) + 1),
        "effect": effect(true, mean(random)),
        "effect_null": defined_mean(
            effect(one, mean(rest)) for one, rest in zip(random, others, strict=True)
        ),
        "effect_each": defined_mean(effect(true, one) for one in random),
        "ratio": mean(random) / true if abs(true) > 1e-12 else float("nan"),
        "ratio_null": defined_mean(
            mean(rest) / one if abs(one) > 1e-12 else float("nan")
            for one, rest in zip(random, others, strict=True)
        ),
    }


def naive_table(test, measures=MEASURES, **options):
    arrays = {"score": test.scores, "entropy": test.entropies, "dispersion": test.dispersions}
    columns = {}
    for name, tail in measures.items():
        rows = [naive_row(row[0], row[1:], tail, **options) for row in arrays[name].tolist()]
        for key in rows[0]:
            column = {"": name, "random": f"random_{name}"}.get(key, f"{name}_{key}")
            columns[column] = [row[key] for row in rows]
    return pandas.DataFrame(columns)


@pytest.mark.parametrize("count_ties", [True, False])
@pytest.mark.parametrize("draws", ["joint", "afresh"])
def test_everything_again_in_a_loop(draws, count_ties):
    optimiser = StandIn()
    partition = partition_of(0, n_isolated=3)
    test = run_test(optimiser, partition, draws=draws, count_ties=count_ties, n_kept=2)
    assert (test.n_shuffles, test.n_kept, test.n_left_out) == (5, 2, 0)
    assert test.n_candidates.tolist() == [15] * 3 + [12] * 3
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    # batches of 7 of the first layer's 18 inputs, of 8 of the second's
    assert [len(masks) for _, masks, _ in optimiser.asked] == [7, 7, 4, 8, 8, 2]
    masks = [mask for _, of_batch, _ in optimiser.asked for mask in of_batch]
    seeds = [seed for _, _, of_batch in optimiser.asked for seed in of_batch.tolist()]
    assert len(set(seeds)) == len(seeds) == 36
    sets = iter(zip(masks, seeds, strict=True))
    for index, sub in enumerate(test.sub_clusters):
        of_layer = labels[sub.layer]
        assert (sub.layer, sub.label) == (HIDDEN[index // 3], index % 3)
        for column in range(6):
            mask, seed = next(sets)
            if column == 0:
                assert np.flatnonzero(mask).tolist() == sub.units.tolist()
            assert mask.sum() == len(sub.units)
            assert not mask[of_layer == -1].any()
            start = StandIn.start(seed)
            found = optimiser.measured_one(sub.layer, start.astype(np.float32), mask)
            places = test.scores, test.entropies, test.dispersions
            np.testing.assert_array_equal([values[index, column] for values in places], found)
            if column <= 2:
                np.testing.assert_allclose(test.inputs[index, column], start, rtol=1e-6)
    table = test.table()
    expected = naive_table(test, count_ties=count_ties)
    pandas.testing.assert_frame_equal(table[list(expected)], expected, rtol=1e-9)
    assert len(set(table["score_p"])) > 2 < len(set(table["entropy_p"]))
    assert list(table) == [
        *("layer", "label", "n_units", "combined", "possible_draws"),
        *(expected.columns),
    ]
    assert table["label"].tolist() == [0, 1, 2] * 2
    assert table["n_units"].tolist() == [len(sub.units) for sub in test.sub_clusters]


def test_summaries_and_effects_of_draws():
    test = run_test(StandIn(), partition_of(0))
    table, summaries = test.table(), test.summaries(seed=0)
    draws = test.random_effects()
    assert set(summaries) == set(MEASURES)
    for name, summary in summaries.items():
        each = table[f"{name}_effect_each"]
        assert summary["effect_each"] == pytest.approx(each.mean())
        assert summary["effect_each_median"] == pytest.approx(each.median())
        assert summary["effect_each_standard_error"] == pytest.approx(each.sem())
        assert summary["effect_each_low"] < summary["effect_each"] < summary["effect_each_high"]
        assert summary["effect"] == pytest.approx(table[f"{name}_effect"].mean())
        assert summary["effect_each_null"] == pytest.approx(draws[f"{name}_effect_each"].mean())
        # 2 a / (a + b) and 2 b / (a + b) add up to 2
        assert summary["effect_each_null"] == pytest.approx(1)
        assert summary["effect_null"] == pytest.approx(draws[f"{name}_effect"].mean())
        assert summary["n_undefined_each"] == 0
        assert 0 < summary["joint_p"] <= 1
    assert list(draws) == [
        f"{name}_{kind}" for name in MEASURES for kind in ("effect", "ratio", "effect_each")
    ]
    values = {"score": test.scores, "entropy": test.entropies, "dispersion": test.dispersions}
    for name, of_measure in values.items():
        for draw in range(5):
            rows = [(row[draw], row[:draw] + row[draw + 1 :]) for row in of_measure[:, 1:].tolist()]
            assert draws[f"{name}_effect"][draw] == pytest.approx(
                mean(effect(one, mean(rest)) for one, rest in rows)
            )
            assert draws[f"{name}_effect_each"][draw] == pytest.approx(
                mean(mean(effect(one, other) for other in rest) for one, rest in rows)
            )
    apart = run_test(StandIn(), partition_of(0), draws="afresh").summaries(seed=0)
    assert apart["score"]["joint_p"] is None is not apart["score"]["fisher_p"]


def test_fisher_without_ties_is_the_studies():
    """Strictly more extreme ones count; p moves down by half a rank, so that none is 1 or 0."""
    test = run_test(StandIn(), partition_of(1), draws="afresh", count_ties=False)
    more = (test.scores[:, 1:] > test.scores[:, :1]).sum(axis=1)
    shifted = (more + 1) / 6 - 1 / 12
    summary = test.score.summary(seed=0)
    assert summary["fisher_statistic"] == pytest.approx(-np.log(shifted).mean())
    assert summary["fisher_p"] == pytest.approx(fisher_combination((more + 1) / 6, 5))


def test_known_batches_are_not_optimised_again():
    partition, kept, steps = partition_of(2), {}, []
    whole = run_test(
        StandIn(),
        partition,
        on_batch=lambda index, found: kept.update({index: found}),
        on_progress=steps.append,
    )
    assert list(kept) == list(range(6)) == list(range(n_batches_of(partition)))
    assert sum(steps) == 36 * 10
    # inputs of sub-clusters and of their first random ones: columns 0 and 1 of 0 to 5
    assert [len(found.inputs) for found in kept.values()] == [3, 3, 0, 4, 2, 0]
    optimiser, again, steps = StandIn(), [], []
    resumed = run_test(
        optimiser,
        partition,
        known={index: kept[index] for index in (0, 2, 5)},
        on_batch=lambda index, found: again.append((index, found.scores.tolist())),
        on_progress=steps.append,
    )
    assert [len(masks) for _, masks, _ in optimiser.asked] == [7, 8, 8]
    assert sum(steps) == 23 * 10
    assert again == [(index, found.scores.tolist()) for index, found in kept.items()]
    for name in ("scores", "entropies", "dispersions", "inputs"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


def n_batches_of(partition, **options):
    return n_batches(StandIn(), partition, HIDDEN, n_shuffles=5, **options)


def test_seed_fixes_units_and_starts_whatever_else_is_looked_at():
    partition = partition_of(2)

    def sets(layers=HIDDEN, **options):
        optimiser = StandIn()
        test = run_test(optimiser, partition, layers, **options)
        masks = [
            (mask.tolist(), seed)
            for _, *of in optimiser.asked
            for mask, seed in zip(*of, strict=True)
        ]
        size = test.n_shuffles + 1
        return {
            (sub.layer, sub.label): masks[index * size : (index + 1) * size]
            for index, sub in enumerate(test.sub_clusters)
        }, test

    everything, whole = sets()
    for options in ({"layers": ["dense_2"]}, {"sizes": SizeFilter(min_units=6)}):
        some, test = sets(**options)
        assert set(some) < set(everything)
        assert all(found == everything[name] for name, found in some.items())
        rows = [index for index, name in enumerate(everything) if name in some]
        np.testing.assert_array_equal(test.scores, whole.scores[rows])
    more, other = sets(n_shuffles=7)[0], sets(seed=4)[0]
    for name, found in everything.items():
        assert more[name][:6] == found
        assert other[name][0][0] == found[0][0]
        assert all(one[1] != another[1] for one, another in zip(found, other[name], strict=True))
    assert test.n_left_out == len(everything) - len(some) > 0
    assert n_batches_of(partition, sizes=SizeFilter(min_units=6)) < 6


def test_sub_cluster_that_is_all_of_its_layer_and_one_of_a_single_unit():
    """The one can only be drawn again; the other and its random ones have no dispersion."""
    labels = np.array([-1] * 6 + [0] * 18 + [1] + [0] * 12 + [-1] * 2 + [-1] * 4, np.int32)
    partition = Partition(partition_of(0).layers, labels, 2)
    test = run_test(StandIn(), partition)
    assert test.sizes.tolist() == [18, 12, 1]
    assert test.combined.tolist() == [False, True, True]
    assert test.possible_draws.tolist() == [1, 13, 13]
    assert test.n_few_draws == 1
    # not the same input, for each has a start of its own
    assert len(set(test.scores[0].tolist())) == 6
    assert not test.dispersions[2].any()
    assert test.dispersion.p_values[2] == 1
    assert np.isnan(test.table()["dispersion_effect"][2])
    assert np.isnan(test.table()["dispersion_effect_each"][2])
    summary = test.dispersion.summary(seed=0)
    assert (summary["n_combined"], summary["n_undefined_each"]) == (2, 1)
    # the one that is all of its layer is left out of means
    mean_effect = test.table()["score_effect_each"][1:].mean()
    assert test.score.summary(seed=0)["effect_each"] == pytest.approx(mean_effect)
    of_first_draw = [
        mean(effect(row[1], other) for other in row[2:]) for row in test.scores[1:].tolist()
    ]
    assert test.random_effects()["score_effect_each"][0] == pytest.approx(mean(of_first_draw))
    strict = run_test(StandIn(), partition, count_ties=False)
    assert strict.dispersion.p_values[2] == 1 / 6


def test_what_is_not_measured_has_no_columns():
    test = run_test(StandIn(measures_entropy=False), partition_of(0))
    assert test.entropies is None is test.entropy
    assert test.summaries(seed=0)["entropy"] is None
    assert not [name for name in test.table() if "entropy" in name]
    assert not [name for name in test.random_effects() if "entropy" in name]
    expected = naive_table(test, {"score": "right", "dispersion": "left"})
    pandas.testing.assert_frame_equal(test.table()[list(expected)], expected, rtol=1e-9)


def test_refuses():
    good = partition_of(0)
    found = {}
    run_test(StandIn(), good, on_batch=lambda index, batch: found.update({index: batch}))
    batch = found[0]
    other = partition_of(0, layers=(Layer("dense_1", 17),))
    unknown = partition_of(0, layers=(Layer("conv_1", 18),))
    whole = Partition((Layer("dense_1", 18),), np.zeros(18, np.int32), 1)
    few = Partition((Layer("dense_1", 18),), np.array([0, 0, 1, 1, *[-1] * 14], np.int32), 2)
    cases = [
        (good, HIDDEN, {"n_shuffles": 1}, "n_shuffles=1; expected an integer of 2 or more"),
        (good, HIDDEN, {"draws": "new"}, "draws='new'; expected one of joint, afresh"),
        (good, HIDDEN, {"n_kept": 6}, "n_kept=6; expected an integer from 0 to n_shuffles=5"),
        (good, HIDDEN, {"n_kept": True}, "n_kept=True; expected an integer from 0"),
        (good, HIDDEN, {"known": {6: batch}}, "batch 6; expected those of batches 0 to 5 alone"),
        (good, HIDDEN, {"known": {2: batch}}, r"of batch 2 .*\(7,\).* expected .*another test"),
        (good, HIDDEN, {"known": {0: batch}, "n_kept": 2}, "batch 0 have shapes .* another test"),
        (good, HIDDEN, {"known": {0: replace(batch, entropies=None)}}, "None.* another test"),
        (good, (), {}, "no sub-cluster in layers none"),
        (other, ("dense_1",), {}, "layer 'dense_1' of 17 units, the network 18: the partition"),
        (unknown, ("conv_1",), {}, "layer 'conv_1' of 18 units, the network no such hidden layer"),
        (good, ("output",), {}, "layer 'output' of 4 units, the network no such hidden layer"),
        (whole, ("dense_1",), {}, "every sub-cluster is all of its layer"),
        (few, ("dense_1",), {"n_shuffles": 7}, "n_shuffles=7, but of no .* at most 6"),
    ]
    for partition, layers, options, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            run_test(StandIn(), partition, layers, **options)
        assert "\n" not in str(refusal.value)


class Recorder:
    """Hands everything to a real engine or optimiser, and tells which units it was asked for."""

    def __init__(self, real):
        self._real = real
        self.masks = {}

    def __getattr__(self, name):
        return getattr(self._real, name)

    def _take(self, layer, masks):
        self.masks.setdefault(layer, []).extend(masks.tolist())

    def lesioned(self, silenced, **options):
        for layer, masks in silenced.items():
            self._take(layer, masks)
        return self._real.lesioned(silenced, **options)

    def optimise(self, layer, masks, seeds, **options):
        self._take(layer, masks)
        return self._real.optimise(layer, masks, seeds, **options)


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(18, 3, activation="relu", name="dense_1"),
            keras.layers.Flatten(),
            keras.layers.Dense(15, "relu", name="dense_2"),
            keras.layers.Dense(4, "softmax", name="output"),
        ]
    )


@pytest.fixture(scope="module")
def optimiser(network):
    return InputOptimiser(network, (4, 4, 1), bounds=Bounds(0, 1), ascent=Ascent(n_steps=3))


@pytest.mark.parametrize("draws", ["joint", "afresh"])
def test_same_random_units_are_lesioned_and_visualised(network, optimiser, draws):
    partition = partition_of(5, n_isolated=2)
    random = np.random.default_rng(0)
    images, classes = random.random((20, 4, 4, 1), np.float32), np.arange(20) % 4
    options = {"n_shuffles": 4, "seed": 6, "draws": draws}
    engine = Recorder(LesionEngine(network, images, classes))
    groups = classes_of(engine.class_sizes, "abcd")
    lesion_test(engine, partition, HIDDEN, groups=groups, **options)
    asked = Recorder(optimiser)
    test = visualisation_test(asked, partition, HIDDEN, **options)
    assert asked.masks == {layer: engine.masks[layer] for layer in HIDDEN}
    # what the test says is what the network answers
    sub = test.sub_clusters[4]
    mask = np.array(asked.masks["dense_2"][5:6])
    again = optimiser.measured(sub.layer, test.inputs[4, :1], mask)
    np.testing.assert_allclose(test.scores[4, 0], again.scores[0], rtol=1e-6)
    hidden = keras.Model(network.inputs[0], network.layers[-2].output)(test.inputs[4, :1])[0]
    units = hidden.numpy()[sub.units].astype(float).tolist()
    assert test.scores[4, 0] == pytest.approx(sum(units), rel=1e-5)
    assert test.dispersions[4, 0] == pytest.approx(pstdev(units), rel=1e-5)
