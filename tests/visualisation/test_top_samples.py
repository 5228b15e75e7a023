"""The samples that move sub-clusters most, by hand and by plain loops."""

from dataclasses import replace
from itertools import pairwise
from statistics import mean

import keras
import numpy as np
import pandas
import pytest

from nn_clustering.datasets import changed
from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition, SubCluster, units_beside_random
from nn_clustering.visualisation import (
    Bounds,
    InputOptimiser,
    Objective,
    VisualisationTest,
    top_samples,
    visualisation_test,
)
from tests.visualisation.stand_in import HIDDEN, StandIn, entropy_of, partition_of


class ByHand:
    """A network whose four units answer a sample by what stands in it."""

    sample_shape = (4,)
    objective = Objective()

    def __init__(self, samples_at_a_time):
        self._size = samples_at_a_time

    def as_read(self, inputs):
        return inputs + 1

    def values(self, layers, x):
        for start in range(0, len(x), self._size):
            rows = slice(start, min(start + self._size, len(x)))
            yield rows, {"hidden": x[rows]}


PARTITION = Partition((Layer("hidden", 4),), np.array([0, 0, 1, 1], np.int32), 2)
# units:         0  1  2  3    units 0 and 1, 2 and 3 together
X = np.array([[1, 2, 0, 5],  # 3, 5
              [4, 0, 1, 1],  # 4, 2
              [2, 2, 3, 3],  # 4, 6
              [0, 1, 4, 2],  # 1, 6
              [3, 1, 0, 0]], np.float32)  # 4, 0  # fmt: skip
Y = np.array([0, 1, 2, 0, 1])


def hand_made_test(**changed_values):
    values = {
        "sub_clusters": (
            SubCluster("hidden", 0, np.array([0, 1])),
            SubCluster("hidden", 1, np.array([2, 3])),
        ),
        "n_candidates": np.array([4, 4]),
        "scores": np.array([[8.0, 7, 9], [5, 6, 4]]),
        "entropies": None,
        "dispersions": np.zeros((2, 3)),
        # read as what stands there, plus 1
        "inputs": np.array([[[4, 1, 0, 0]], [[0, 0, 0, 0]]], np.float32),
    }
    return VisualisationTest(**{**values, **changed_values})


def by_hand(test=None, *, x=X, y=Y, n_classes=3, n_top=2, at_a_time=2, **options):
    test = test or hand_made_test()
    options = {"seed": 0, **options}
    return top_samples(
        ByHand(at_a_time), test, PARTITION, x, y, n_classes=n_classes, n_top=n_top, **options
    )


def test_by_hand():
    read = []
    tops = by_hand(on_progress=read.append)
    assert read == [2, 2, 1]
    # of samples 1, 2 and 4, all with 4, the first two; of 2 and 3 both
    assert tops.indices.tolist() == [[1, 2], [2, 3]]
    assert tops.objectives.tolist() == [[4, 4], [6, 6]]
    assert tops.classes.tolist() == [[1, 2], [2, 0]]
    # each of two samples of another class
    np.testing.assert_allclose(tops.class_entropies[:, 0], np.log(2))
    assert tops.top_shares.tolist() == [4 / 8, 6 / 5]
    # all five samples are at most at 8; those with 5, 2 and 0 at 5
    assert tops.score_quantiles.tolist() == [1, 3 / 5]
    # mean answer (3, 1, 2, 2) of samples 1 and 2; the input's is (5, 2, 1, 1)
    expected = np.corrcoef([3, 1, 2, 2], [5, 2, 1, 1])[0, 1]
    assert tops.profile_correlations[0] == pytest.approx(expected)
    # all units answer the other input alike
    assert np.isnan(tops.profile_correlations[1])
    assert tops.agreement() == {
        "top_share": pytest.approx((4 / 8 + 6 / 5) / 2),
        "score_quantile": pytest.approx(4 / 5),
        "profile_correlation": pytest.approx(expected),
    }
    one_not_moved = replace(tops, top_shares=np.array([0.2, 0.3, 1000, np.nan]))
    assert one_not_moved.agreement()["top_share"] == 0.3
    table = pandas.DataFrame(
        {
            "layer": ["hidden"] * 4,
            "label": [0, 0, 1, 1],
            "rank": [1, 2, 1, 2],
            "sample": [1, 2, 2, 3],
            "objective": [4.0, 4, 6, 6],
            "class": [1, 2, 2, 0],
        }
    )
    pandas.testing.assert_frame_equal(tops.table(), table)


def test_fewer_samples_than_are_asked_for():
    tops = by_hand(n_top=9)
    assert tops.n_top == 5
    assert tops.indices.tolist() == [[1, 2, 4, 0, 3], [2, 3, 0, 1, 4]]
    # of all samples: nothing tells sub-clusters apart
    assert len(set(tops.class_entropies.ravel().tolist())) == 1
    assert tops.class_entropies[0, 0] == pytest.approx(entropy_of([2 / 5, 2 / 5, 1 / 5]))
    assert tops.entropy.p_values.tolist() == [1, 1]


def test_entropies_of_the_same_counts_are_ties():
    """Whichever classes they are of: a sum in another order must not tell them apart."""
    from nn_clustering.visualisation._top_samples import class_entropies

    counts = [5, 7, 11, 13, 3]
    orders = [np.random.default_rng(seed).permutation(5) for seed in range(20)]
    classes = [np.repeat(np.arange(5), np.array(counts)[order]) for order in orders]
    found = class_entropies(np.array(classes), 9)
    assert len(set(found.tolist())) == 1
    assert found[0] == pytest.approx(entropy_of([count / 39 for count in counts]))
    # counts of so many classes are held of a few sets at a time
    np.testing.assert_array_equal(class_entropies(np.array(classes), 2**18), found)
    assert str(class_entropies(np.array([[4, 4, 4]]), 5)[0]) == "0.0"


def test_regression_has_no_classes():
    tops = by_hand(y=None, n_classes=None)
    assert tops.classes is None is tops.class_entropies is tops.entropy
    assert list(tops.columns()) == ["top_share", "score_quantile", "profile_correlation"]
    assert list(tops.table()) == ["layer", "label", "rank", "sample", "objective"]
    assert tops.indices.tolist() == by_hand().indices.tolist()


def test_share_of_a_score_that_is_not_above_zero_is_undefined():
    test = hand_made_test(scores=np.array([[0.0, 1, 1], [-1, 1, 1]]))
    tops = by_hand(test)
    assert np.isnan(tops.top_shares).all()
    assert tops.agreement()["top_share"] is None


@pytest.mark.parametrize("reduction", ["sum", "absolute", "mean"])
@pytest.mark.parametrize("draws", ["joint", "afresh"])
def test_everything_again_in_a_loop(draws, reduction):
    """Samples whose values are few, so that many are equal."""
    optimiser = StandIn(reduction=reduction)
    partition = partition_of(4, n_isolated=2)
    random = np.random.default_rng(1)
    x = random.integers(0, 2, (70, 6)).astype(np.float32)
    y = random.integers(0, 4, 70)
    options = {"n_shuffles": 6, "seed": 2, "draws": draws}
    test = visualisation_test(optimiser, partition, HIDDEN, **options)
    tops = top_samples(optimiser, test, partition, x, y, n_classes=4, n_top=8, seed=2)
    # once all in their order, and for each layer the top ones and the inputs
    assert optimiser.read[:5] == list(pairwise([0, 16, 32, 48, 64, 70]))
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    entropies = np.empty(test.scores.shape)
    for row, sub in enumerate(test.sub_clusters):
        answers = optimiser.answers(sub.layer, x).astype(np.float32).astype(float)
        for column, units in enumerate(units_beside_random(labels[sub.layer], sub, **options)):
            values = [sum(answer[unit] for unit in units) for answer in answers]
            values = [value / len(units) if reduction == "mean" else value for value in values]
            # rounding aside: an equal sum can come in another order
            ranked = sorted(range(70), key=lambda at: (-round(values[at], 9), at))[:8]
            shares = [mean(int(y[at] == label) for at in ranked) for label in range(4)]
            entropies[row, column] = entropy_of(shares)
            if column:
                continue
            assert tops.indices[row].tolist() == ranked
            np.testing.assert_allclose(tops.objectives[row], [values[at] for at in ranked])
            score = test.scores[row, 0]
            assert tops.top_shares[row] == pytest.approx(mean(values[at] for at in ranked) / score)
            below = mean(int(value <= score) for value in values)
            assert tops.score_quantiles[row] == pytest.approx(below)
            profile = optimiser.answers(sub.layer, optimiser.as_read(test.inputs[row, :1]))[0]
            expected = np.corrcoef(answers[ranked].mean(axis=0), profile)[0, 1]
            assert tops.profile_correlations[row] == pytest.approx(expected)
    np.testing.assert_allclose(tops.class_entropies, entropies, atol=1e-12)
    table = test.table(tops)
    assert list(table)[-11:] == [
        *("top_entropy", "random_top_entropy", "top_entropy_p", "top_entropy_effect"),
        *("top_entropy_effect_null", "top_entropy_effect_each"),
        *("top_entropy_ratio", "top_entropy_ratio_null"),
        *("top_share", "score_quantile", "profile_correlation"),
    ]
    np.testing.assert_allclose(table["random_top_entropy"], entropies[:, 1:].mean(axis=1))
    # few values: most have ties, which count
    rounded = entropies.round(9)
    expected = (1 + (rounded[:, 1:] <= rounded[:, :1]).sum(axis=1)) / 7
    np.testing.assert_allclose(table["top_entropy_p"], expected)
    assert len(set(expected)) > 2
    assert list(test.random_effects(tops))[-3:] == [
        *("top_entropy_effect", "top_entropy_ratio", "top_entropy_effect_each"),
    ]
    assert tops.entropy.summary(seed=0)["n_combined"] == 6


def test_many_samples_some_at_a_time():
    """More objectives than are held at a time, of samples that come in an ascending order."""
    x = np.arange(4000, dtype=np.float32)[:, np.newaxis] * np.ones(4, np.float32)
    test = hand_made_test(scores=np.ones((2, 601)))
    y = np.arange(4000) // 3995
    tops = by_hand(test, x=x, y=y, n_classes=2, n_top=10, at_a_time=3000)
    assert tops.indices.tolist() == [list(range(3999, 3989, -1))] * 2
    np.testing.assert_allclose(tops.class_entropies, np.log(2))


def test_a_network_reads_samples_when_they_are_needed():
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(8, 3, activation="relu", name="hidden"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax", name="output"),
        ]
    )
    optimiser = InputOptimiser(network, (4, 4, 1), bounds=Bounds(0, 1))
    labels = np.array([0, 0, 1, 1, 1, 1, 0, -1], np.int32)
    partition = Partition((Layer("hidden", 8),), labels, 2)
    pixels = np.random.default_rng(0).integers(0, 255, (30, 4, 4, 1))
    asked = []

    def read(images):
        asked.append(len(images))
        return (images / 255).astype(np.float32)

    sub_clusters = partition.sub_clusters()
    test = hand_made_test(
        sub_clusters=tuple(sub_clusters),
        n_candidates=np.array([7, 7]),
        inputs=(pixels[:2] / 255).astype(np.float32)[:, np.newaxis],
    )
    x = changed(pixels, read, (4, 4, 1))
    y = np.arange(30) % 3
    tops = top_samples(optimiser, test, partition, x, y, n_classes=3, n_top=4, seed=0)
    images = (pixels / 255).astype(np.float32)
    means = keras.Model(network.inputs[0], network.layers[0].output)(images).numpy()
    means = means.mean(axis=(1, 2))
    for row, sub in enumerate(sub_clusters):
        values = means[:, sub.units].sum(axis=1)
        assert tops.indices[row].tolist() == np.argsort(-values)[:4].tolist()
        np.testing.assert_allclose(tops.objectives[row], np.sort(values)[::-1][:4], rtol=1e-5)
        expected = np.corrcoef(means[tops.indices[row]].mean(axis=0), means[row])[0, 1]
        assert tops.profile_correlations[row] == pytest.approx(expected, rel=1e-4)
    # all once, then the few top ones
    assert sum(asked) == 30 + len(np.unique(tops.indices))


def test_refuses():
    nan = np.where(X == 5, np.nan, X)
    other = replace(hand_made_test(), sub_clusters=partition_of(0).sub_clusters(("dense_1",))[:2])
    cases = [
        ({"n_top": 0}, "n_top=0; expected an integer from 1 to 1000"),
        ({"n_top": 2.0}, "n_top=2.0; expected an integer"),
        ({"n_top": 1001}, "n_top=1001; expected an integer from 1 to 1000"),
        ({"x": X[:0], "y": Y[:0]}, "no samples to look for"),
        ({"y": Y[:4]}, r"int64 classes of shape \(4,\); expected one integer for each of 5"),
        ({"y": Y / 2}, "float64 classes of shape"),
        ({"n_classes": 2}, "classes 0 to 2; expected some from 0 to below n_classes=2"),
        ({"n_classes": None}, "classes 0 to 2; expected some from 0 to below n_classes=None"),
        ({"x": nan}, "units of layer 'hidden' answer NaN or infinite values to samples"),
        ({"test": other}, "layer 'dense_1' that the partition does not have"),
    ]
    for options, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            by_hand(**options)
        assert "\n" not in str(refusal.value)
