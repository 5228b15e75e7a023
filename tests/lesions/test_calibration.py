"""Combined p-values of partitions that mean nothing, on a network that has learnt something.

Units are assigned to sub-clusters at random, so every combined p-value should be uniform: its
normal score has mean 0 and standard deviation 1. That of the joint p-value has. Fisher's method
takes the sub-clusters of a layer for independent; but what one of them takes from the rest of the
layer the others lack, so that its p-values crowd together (standard deviation far below 1).
"""

import numpy as np
import pytest
import scipy.stats

from nn_clustering.graphs import Layer
from nn_clustering.lesions import (
    LesionEngine,
    classes_of,
    coherence_measure,
    importance_measure,
    lesion_test,
)
from nn_clustering.partitions import Partition

LAYERS = (Layer("dense_1", 24), Layer("dense_2", 20))
N_PARTITIONS, N_CLUSTERS, N_SHUFFLES = 240, 8, 9


def random_partition(seed):
    labels = [np.arange(layer.n_units) % N_CLUSTERS for layer in LAYERS]
    random = np.random.default_rng(seed)
    labels = np.concatenate([random.permutation(of_layer) for of_layer in labels])
    return Partition(LAYERS, labels.astype(np.int32), N_CLUSTERS)


def combined(test, measure, method):
    """A combined p-value, the joint one also of draws that are not joint."""
    options = {
        "count_ties": True,
        "jointly_drawn": True,
        "combined": np.ones(len(test.sub_clusters), bool),
    }
    if measure == "importance":
        options |= {"intact": test.intact.mean(), "harm": -1, "tail": "left"}
        found = importance_measure(test.mean_changes, test.random_mean_changes, **options)
    else:
        found = coherence_measure(test.ranges, test.random_ranges, **options)
    return found.joint_p if method == "joint_p" else found.summary(seed=0)[method]


class Asked:
    """Takes down what a lesion test asks of an engine, which answers later, all at once."""

    def __init__(self, engine):
        self._engine, self._intact = engine, engine.intact()
        self.lesions = []

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def intact(self):
        return self._intact

    def lesioned(self, silenced, **options):
        self.lesions += silenced.items()
        n_lesions = len(next(iter(silenced.values())))
        return np.zeros((n_lesions, self._engine.n_outputs), np.int64)


def lesion_tests(engine, groups, n, draws):
    """Lesion tests of n random partitions, of which the engine makes all lesions in two calls."""
    asked = Asked(engine)

    def run(seed, **options):
        layers = [layer.name for layer in LAYERS]
        options |= {"groups": groups, "n_shuffles": N_SHUFFLES, "seed": seed, "draws": draws}
        return lesion_test(asked, random_partition(seed), layers, **options)

    for seed in range(n):
        run(seed)
    scores = [None] * len(asked.lesions)
    for layer in LAYERS:
        numbers = [at for at, (name, _) in enumerate(asked.lesions) if name == layer.name]
        together = np.concatenate([asked.lesions[at][1] for at in numbers])
        answers = np.split(engine.lesioned({layer.name: together}), len(numbers))
        for at, answer in zip(numbers, answers, strict=True):
            scores[at] = answer
    n_each = len(scores) // n
    return [
        run(seed, known=dict(enumerate(scores[seed * n_each : (seed + 1) * n_each])))
        for seed in range(n)
    ]


@pytest.fixture(scope="module")
def found(trained):
    """Lesion tests of random partitions, by the way of drawing."""
    network, dataset = trained
    engine = LesionEngine(network, dataset.x_test[:200], dataset.y_test[:200])
    groups = classes_of(engine.class_sizes, dataset.class_names)
    return {
        draws: lesion_tests(engine, groups, N_PARTITIONS, draws) for draws in ("joint", "afresh")
    }


def normal_scores(found, measure, method):
    p_values = np.array([combined(test, measure, method) for test in found])
    return p_values, scipy.stats.norm.ppf(p_values)


@pytest.mark.parametrize("measure", ["importance", "coherence"])
def test_joint_p_values_are_uniform(found, measure):
    p_values, scores = normal_scores(found["joint"], measure, "joint_p")
    assert scipy.stats.kstest(p_values, "uniform").pvalue > 0.01
    # of 240 normal scores the standard deviation has a standard error of 0.046, the mean of 0.065
    assert 0.87 < scores.std(ddof=1) < 1.13
    assert abs(scores.mean()) < 0.18


@pytest.mark.parametrize(
    ("draws", "measure", "method"),
    [
        ("joint", "importance", "fisher_p"),
        ("joint", "coherence", "fisher_p"),
        ("afresh", "importance", "joint_p"),
    ],
)
def test_what_takes_sub_clusters_for_independent_is_not(found, draws, measure, method):
    """Neither Fisher's method, nor the joint p-value of draws that are not joint."""
    _, scores = normal_scores(found[draws], measure, method)
    assert scores.std(ddof=1) < 0.87
