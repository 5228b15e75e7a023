"""Combined p-values of partitions that mean nothing, on a network that has learnt something.

Units are assigned to sub-clusters at random, so every combined p-value should be uniform. The joint
p-value is. Fisher's method takes the sub-clusters of a layer for independent; but what one of them
takes from the rest of the layer the others lack, so that its p-values crowd together: the standard
deviation of their normal scores, 1 of uniform ones, is far below 1.
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
    """A combined p-value, the joint one also of draws that are not joint.

    Of a partition of which it says that all draws are as extreme it is no more than almost 1.
    """
    options = {
        "count_ties": True,
        "layers": [sub.layer for sub in test.sub_clusters],
        "combined": np.ones(len(test.sub_clusters), bool),
    }
    if measure == "importance":
        options |= {"intact": test.intact.mean(), "harm": -1, "tail": "left"}
        found = importance_measure(test.mean_changes, test.random_mean_changes, **options)
    else:
        found = coherence_measure(test.ranges, test.random_ranges, **options)
    return min(found.joint_p, 0.9999) if method == "joint_p" else found.summary(seed=0)[method]


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


def p_values_of(found, measure, method):
    return np.array([combined(test, measure, method) for test in found])


@pytest.mark.parametrize("measure", ["importance", "coherence"])
def test_joint_p_values_are_uniform(found, measure):
    """Two layers of 9 draws: multiples of 1/100 from 1/100 on, with states as equal as they may."""
    p_values = p_values_of(found["joint"], measure, "joint_p")
    assert p_values.min() >= 1 / (N_SHUFFLES + 1) ** 2 - 1e-12
    for level in (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95):
        error = np.sqrt(level * (1 - level) / N_PARTITIONS)
        assert np.mean(p_values <= level + 1e-9) == pytest.approx(level, abs=3 * error + 0.01)


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
    p_values = p_values_of(found[draws], measure, method)
    assert scipy.stats.norm.ppf(p_values).std(ddof=1) < 0.87
