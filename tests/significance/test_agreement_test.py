"""The permutation tests of agreement: by hand, their null hypothesis, their power."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import CommonUnits, Partition, common_units, profile_overlap
from nn_clustering.seeds import generator
from nn_clustering.significance._agreement_test import (
    PermutationTest,
    agreement_test,
    permuted_within_layers,
    profile_test,
)


def partition(*sizes, labels):
    layers = tuple(Layer(f"layer_{index}", size) for index, size in enumerate(sizes))
    labels = np.asarray(labels, np.int32)
    return Partition(layers, labels, int(labels.max()) + 1)


def test_numbers_by_hand():
    """Null values 1, 2, 3, 6: mean 3, variance 14 / 3; two are as high as 3."""
    test = PermutationTest(3.0, np.array([1.0, 2.0, 3.0, 6.0]))
    assert test.mean == 3
    assert test.std == pytest.approx(np.sqrt(14 / 3))
    assert PermutationTest(5.0, test.null).z_score == pytest.approx(2 / np.sqrt(14 / 3))
    assert test.p_value == 3 / 5
    assert PermutationTest(7.0, test.null).p_value == 1 / 5


def test_equal_values_are_ties_whatever_their_last_digits():
    null = np.full(9, 0.1 + 0.2)  # 0.30000000000000004
    test = PermutationTest(0.3, null * [1, 1, 1, 1, 1, 1, 1, 1, 1 - 1e-15])
    assert test.p_value == 1
    assert PermutationTest(0.1 + 0.2, np.full(9, 0.3)).p_value == 1
    half = 0.6276576012985  # in the middle between two numbers of 12 digits
    assert PermutationTest(half, np.full(9, half)).p_value == 1
    assert np.isnan(test.z_score)


def test_labels_are_permuted_within_layers():
    """Partitions that follow the layers agree fully, and no more than chance does."""
    by_layer = np.repeat([0, 1, 2], [6, 5, 4])
    units = common_units(partition(6, 5, 4, labels=by_layer), partition(6, 5, 4, labels=by_layer))
    test = agreement_test(units, n_permutations=19, seed=0)
    assert test.adjusted_rand.observed == 1
    assert test.adjusted_rand.null.tolist() == [1] * 19
    assert test.adjusted_rand.p_value == test.mutual_information.p_value == 1
    assert np.isnan(test.adjusted_rand.z_score)


def test_every_permutation_keeps_the_labels_of_each_layer():
    second = np.array([0, 1, 1, 0, 0, 2, 3, 3, 2])
    units = CommonUnits(("a", "b", "c"), np.repeat([0, 2], [5, 4]), np.arange(9) % 3, second)
    seen = [permuted_within_layers(units, generator(0, "test", index)) for index in range(10)]
    assert len({labels.tobytes() for labels in seen}) > 5
    for labels in seen:
        assert sorted(labels[:5]) == [0, 0, 0, 1, 1]
        assert sorted(labels[5:]) == [2, 2, 3, 3]
    test = agreement_test(units, n_permutations=3, seed=4)
    peers = [permuted_within_layers(units, generator(4, "agreement", index)) for index in range(3)]
    expected = [adjusted_rand_score(units.first, labels) for labels in peers]
    assert test.adjusted_rand.null.tolist() == pytest.approx(expected)


def test_equal_partitions_agree_more_than_chance():
    labels = np.tile([0, 1, 2], 12)
    units = common_units(partition(20, 16, labels=labels), partition(20, 16, labels=2 - labels))
    calls = []
    test = agreement_test(units, n_permutations=49, seed=0, on_permutation=lambda: calls.append(1))
    for measure in (test.adjusted_rand, test.mutual_information):
        assert measure.observed == pytest.approx(1)
        assert measure.p_value == 1 / 50
        assert measure.z_score > 5
        assert measure.null.shape == (49,)
    assert abs(test.adjusted_rand.mean) < 0.05
    assert len(calls) == 49


def independent(seed):
    """Partitions that follow the layers, and beyond that are independent."""
    random = np.random.default_rng(seed)
    sizes = (9, 8, 7)
    tilt = [[0.7, 0.2, 0.1], [0.1, 0.7, 0.2], [0.2, 0.1, 0.7]]
    return [
        partition(
            *sizes,
            labels=np.concatenate(
                [random.choice(3, size, p=p) for size, p in zip(sizes, tilt, strict=True)]
            ),
        )
        for _ in range(2)
    ]


def test_p_values_are_valid():
    """Of independent partitions a share of at most about alpha has p <= alpha."""
    p = np.array(
        [
            agreement_test(
                common_units(*independent(seed)), n_permutations=9, seed=seed
            ).adjusted_rand.p_value
            for seed in range(60)
        ]
    )
    # 3 standard errors of a share of alpha in 60
    for alpha in (0.1, 0.2, 0.5):
        assert (p <= alpha).mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / 60)
    assert (p <= 0.5).mean() > 0.25


def test_layers_divided_alike():
    """Units in other places, clusters under other names: the profiles are the same."""
    random = np.random.default_rng(0)
    labels = [np.repeat([0, 1], [18, 2]), np.repeat([0, 1, 2], [2, 15, 3]), np.full(10, 2)]
    one = partition(20, 20, 10, labels=np.concatenate(labels))
    other = partition(
        20, 20, 10, labels=(np.concatenate([random.permutation(own) for own in labels]) + 1) % 3
    )
    test = profile_test(one, other, n_permutations=49, seed=0)
    assert test.observed == pytest.approx(1)
    assert test.p_value == 1 / 50


def test_layers_divided_by_chance():
    """Uniform p-values: their mean is about 1/2, with a standard error of 0.065."""
    p = []
    for seed in range(20):
        random = np.random.default_rng(seed)
        one, other = (partition(20, 20, 10, labels=random.integers(0, 3, 50)) for _ in range(2))
        test = profile_test(one, other, n_permutations=19, seed=seed)
        assert test.observed == pytest.approx(profile_overlap(one, other))
        p.append(test.p_value)
    assert 0.3 < np.mean(p) < 0.75


def test_seed_fixes_every_permutation():
    one, other = independent(3)
    units = common_units(one, other)
    for run in (
        lambda seed: agreement_test(units, n_permutations=5, seed=seed).adjusted_rand.null,
        lambda seed: profile_test(one, other, n_permutations=5, seed=seed).null,
    ):
        assert run(0).tolist() == run(0).tolist()
        assert run(0).tolist() != run(1).tolist()


@pytest.mark.parametrize("n_permutations", [0, 1, True, 2.0, "9"])
def test_refused(n_permutations):
    one, other = independent(0)
    message = f"n_permutations={n_permutations!r}; expected an integer of 2 or more"
    with pytest.raises(InvalidInputError, match=message):
        agreement_test(common_units(one, other), n_permutations=n_permutations, seed=0)
    with pytest.raises(InvalidInputError, match=message):
        profile_test(one, other, n_permutations=n_permutations, seed=0)
