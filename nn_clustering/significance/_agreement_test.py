"""Do two partitions agree more than chance? Permutation tests of their agreement."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nn_clustering.partitions import (
    CommonUnits,
    Partition,
    cluster_profile,
    common_layers,
    overlap_of_profiles,
)
from nn_clustering.seeds import generator
from nn_clustering.significance._p_values import check_n_draws, p_value

# Equal agreements can differ in their last digits, as the order of a sum does.
_DIGITS = 12


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """A measure of agreement beside its values under permuted labels.

    Attributes:
        observed: Of the two partitions.
        null: Of every permutation, shape (n_permutations,).
    """

    observed: float
    null: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over the permutations."""
        return float(self.null.mean())

    @property
    def std(self) -> float:
        """Standard deviation over the permutations (n - 1)."""
        return float(self.null.std(ddof=1))

    @property
    def z_score(self) -> float:
        """(observed - mean) / std; NaN if all permutations have the same value."""
        if np.ptp(self.null.round(_DIGITS)) == 0:
            return float("nan")
        return (self.observed - self.mean) / self.std

    @property
    def p_value(self) -> float:
        """Right-tailed: the share of values as high, (r + 1) / (n + 1) with ties included."""
        return p_value(
            float(np.round(self.observed, _DIGITS)), self.null.round(_DIGITS), tail="right"
        )


@dataclass(frozen=True, eq=False)
class AgreementTest:
    """The agreement of two partitions of the same units, tested.

    Attributes:
        adjusted_rand: The adjusted Rand index.
        mutual_information: The normalised mutual information.
    """

    adjusted_rand: PermutationTest
    mutual_information: PermutationTest


def check_n_permutations(n_permutations: int) -> None:
    """Check the number of permutations of a test.

    Raises:
        InvalidInputError: If it is no integer of 2 or more.
    """
    check_n_draws("n_permutations", n_permutations)


def agreement_test(
    units: CommonUnits,
    *,
    n_permutations: int,
    seed: int,
    on_permutation: Callable[[], object] = lambda: None,
) -> AgreementTest:
    """Test whether two partitions of the same units agree more than chance.

    Under the null hypothesis the labels of the second partition are permuted within every layer.
    Clusters often follow the layers, which makes any two partitions of a network alike; permuting
    within layers keeps the number of units that each cluster has in each layer, and so asks for
    agreement beyond that.

    Args:
        units: The units and their labels in both.
        n_permutations: Number of permutations, 2 or more.
        seed: Fixes every permutation.
        on_permutation: Called after each.

    Raises:
        InvalidInputError: If the number is out of range.
    """
    check_n_permutations(n_permutations)
    null = []
    for index in range(n_permutations):
        second = permuted_within_layers(units, generator(seed, "agreement", index))
        null.append(replace(units, second=second).agreement())
        on_permutation()
    observed = units.agreement()
    return AgreementTest(
        PermutationTest(observed.adjusted_rand, np.array([one.adjusted_rand for one in null])),
        PermutationTest(
            observed.mutual_information, np.array([one.mutual_information for one in null])
        ),
    )


def permuted_within_layers(units: CommonUnits, random: np.random.Generator) -> NDArray[np.int32]:
    """Return the second partition's labels, permuted within every layer."""
    # the layers of the units are ascending: all of one, then all of the next
    ends = np.flatnonzero(np.diff(units.layer)) + 1
    return np.concatenate([random.permutation(part) for part in np.split(units.second, ends)])


def profile_test(
    first: Partition, second: Partition, *, n_permutations: int, seed: int
) -> PermutationTest:
    """Test whether two partitions divide the layers alike; see ``profile_overlap``.

    Under the null hypothesis the labels of the second partition are permuted over all its layers:
    clusters keep their sizes, and take units from every layer alike.

    Args:
        first: A partition.
        second: Another, of a network whose units do not correspond to the first's.
        n_permutations: Number of permutations, 2 or more.
        seed: Fixes every permutation.

    Raises:
        InvalidInputError: If the number is out of range, or no layer has the same name and size and
            clustered units in both.
    """
    check_n_permutations(n_permutations)
    layers = common_layers(first, second)
    own, other = (cluster_profile(partition, layers) for partition in (first, second))
    by_name = {layer.name: labels for layer, labels in second.by_layer()}
    labels = [by_name[name][by_name[name] >= 0] for name in layers]
    dealt, ends = np.concatenate(labels), np.cumsum([part.size for part in labels])[:-1]
    null = []
    for index in range(n_permutations):
        permuted = generator(seed, "profile", index).permutation(dealt)
        profile = np.array(
            [
                np.bincount(part, minlength=second.n_clusters) / part.size
                for part in np.split(permuted, ends)
            ]
        )
        null.append(overlap_of_profiles(own, profile))
    return PermutationTest(overlap_of_profiles(own, other), np.array(null))
