"""p-values of partitions that mean nothing: a true sub-cluster is one more random one.

Units are dealt to clusters at random, so that each of the 1 + n values of a sub-cluster is as
likely as the others to be the true one. Values that are equal (of classes of a few samples) are
ranked at random, in which the ranks of exchangeable values are uniform with ties too.
"""

import keras
import numpy as np
import pytest
import scipy.stats

from nn_clustering.graphs import Layer
from nn_clustering.visualisation import (
    Ascent,
    Bounds,
    InputOptimiser,
    top_samples,
    visualisation_test,
)
from tests.visualisation.stand_in import HIDDEN, StandIn, partition_of

N_SHUFFLES, N_PARTITIONS = 4, 60
TAILS = {"scores": "right", "entropies": "left", "dispersions": "left", "class_entropies": "left"}
# The seed of a start that moves units less than most.
DARK = 3
# Uniform ranks come below it once in a thousand times.
LEVEL = 1e-3


def values_of_random_partitions(optimiser, draws="joint"):
    """Values of true (first column) and random sub-clusters, shape (sub-clusters, 1 + n)."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(300, 6)), random.integers(0, 10, 300)
    found = {name: [] for name in TAILS}
    for seed in range(N_PARTITIONS):
        partition = partition_of(100 + seed, n_clusters=5)
        options = {"n_shuffles": N_SHUFFLES, "seed": seed, "draws": draws, "n_kept": 0}
        test = visualisation_test(optimiser, partition, HIDDEN, **options)
        tops = top_samples(optimiser, test, partition, x, y, n_classes=10, n_top=40, seed=seed)
        for name, values in found.items():
            values.append(getattr(tops if name == "class_entropies" else test, name))
    return {name: np.concatenate(values) for name, values in found.items()}


def uniformity(values, tail):
    """p-value of equal chances for all ranks of the first column."""
    first, others = values[:, :1], values[:, 1:]
    beyond = (others > first) if tail == "right" else (others < first)
    ties = np.random.default_rng(0).integers(0, (others == first).sum(axis=1) + 1)
    return scipy.stats.chisquare(np.bincount(beyond.sum(axis=1) + ties, minlength=5)).pvalue


@pytest.fixture(scope="module", params=["joint", "afresh"])
def found(request):
    return values_of_random_partitions(StandIn(), request.param)


@pytest.mark.parametrize("name", TAILS)
def test_p_values_of_random_partitions_are_uniform(found, name):
    assert len(found[name]) > 500
    assert uniformity(found[name], TAILS[name]) > LEVEL


@pytest.mark.parametrize("name", TAILS)
def test_no_more_often_significant_than_it_says(found, name):
    """Ties, which count, make p-values larger only."""
    values, sign = found[name], -1 if TAILS[name] == "left" else 1
    p_values = (sign * values >= sign * values[:, :1]).mean(axis=1)
    for level in (0.2, 0.4, 0.6, 0.8):
        error = np.sqrt(level * (1 - level) / len(p_values))
        assert np.mean(p_values <= level + 1e-9) <= level + 3.3 * error


class TellsApart(StandIn):
    """Optimises a sub-cluster and its random ones in a batch of their own, the true one first."""

    def batch_size(self, layer):
        return N_SHUFFLES + 1


class WithAnotherStart(TellsApart):
    """Begins the inputs of all true sub-clusters alike."""

    def optimise(self, layer, masks, seeds, *, on_progress):
        return super().optimise(layer, masks, [DARK, *seeds[1:]], on_progress=on_progress)


class OfAnotherSize(TellsApart):
    """Leaves a unit of each random sub-cluster out."""

    def optimise(self, layer, masks, seeds, *, on_progress):
        masks = masks.copy()
        for mask in masks[1:]:
            mask[np.flatnonzero(mask)[1:2]] = False
        return super().optimise(layer, masks, seeds, on_progress=on_progress)


@pytest.mark.parametrize(
    ("optimiser", "names"),
    [
        (WithAnotherStart, ("scores", "entropies", "dispersions")),
        (OfAnotherSize, ("scores",)),
    ],
)
def test_what_tells_true_sub_clusters_from_random_ones_is_seen(optimiser, names):
    """Were random sub-clusters smaller, or begun elsewhere, ranks would not be uniform."""
    found = values_of_random_partitions(optimiser())
    for name in names:
        assert uniformity(found[name], TAILS[name]) < 1e-9, name


def test_p_values_of_a_network_are_uniform():
    """The same of inputs that are optimised, of which some units are silent."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((5, 4, 1)),
            keras.layers.Conv2D(16, 3, activation="relu", name="conv_1"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, "softmax", name="output"),
        ]
    )
    ascent = Ascent(n_steps=4, learning_rate=0.2)
    optimiser = InputOptimiser(network, (5, 4, 1), bounds=Bounds(0, 1), ascent=ascent)
    found = {name: [] for name in ("scores", "entropies", "dispersions")}
    for seed in range(60):
        partition = partition_of(200 + seed, n_clusters=4, layers=(Layer("conv_1", 16),))
        options = {"n_shuffles": N_SHUFFLES, "seed": seed, "n_kept": 0}
        test = visualisation_test(optimiser, partition, ["conv_1"], **options)
        for name, values in found.items():
            values.append(getattr(test, name))
    for name, values in found.items():
        assert uniformity(np.concatenate(values), TAILS[name]) > LEVEL, name
