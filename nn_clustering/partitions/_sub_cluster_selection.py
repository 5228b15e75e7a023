"""Which sub-clusters of a partition are looked at, by layer and size (methods G3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions._partition import Partition, SubCluster
from nn_clustering.partitions._random_sub_clusters import possible_draws


@dataclass(frozen=True)
class SizeFilter:
    """Which sub-clusters count, by size, both ends inclusive (methods G3).

    Attributes:
        min_units: The fewest units.
        max_share: The largest share of its layer's units that are not isolated.

    Raises:
        InvalidInputError: If a value is out of range.
    """

    min_units: int = 1
    max_share: float = 1.0

    def __post_init__(self) -> None:
        if isinstance(self.min_units, bool) or not isinstance(self.min_units, int):
            raise InvalidInputError(f"min_units={self.min_units!r}; expected an integer")
        if self.min_units < 1:
            raise InvalidInputError(f"min_units={self.min_units}; expected 1 or more")
        is_number = isinstance(self.max_share, int | float) and not isinstance(self.max_share, bool)
        if not is_number or not 0 < self.max_share <= 1:
            raise InvalidInputError(
                f"max_share={self.max_share!r}; expected more than 0 and at most 1"
            )

    def keeps(self, n_units: int, n_candidates: int) -> bool:
        """Whether a sub-cluster counts that has so many of its layer's candidates."""
        return n_units >= self.min_units and n_units / n_candidates <= self.max_share


def select_sub_clusters(
    partition: Partition, layers: Sequence[str], sizes: SizeFilter
) -> tuple[list[SubCluster], int]:
    """Return the sub-clusters of some layers that count, and how many are left out.

    Args:
        partition: The partition.
        layers: Names of the layers.
        sizes: Which of them by size.

    Raises:
        InvalidInputError: If the partition has no such layer, or nothing is left to test.
    """
    labels = {layer.name: labels for layer, labels in partition.by_layer()}
    for name in layers:
        if name not in labels:
            raise InvalidInputError(
                f"layer {name!r} is not of the partition; expected some of {', '.join(labels)}"
            )
    found = partition.sub_clusters(tuple(layers))
    if not found:
        raise InvalidInputError(
            f"the partition has no sub-cluster in layers {', '.join(layers) or 'none'}: nothing to "
            "test"
        )
    kept = [
        sub for sub in found if sizes.keeps(len(sub.units), int((labels[sub.layer] >= 0).sum()))
    ]
    if not kept:
        units = [len(sub.units) for sub in found]
        raise InvalidInputError(
            f"none of {len(found)} sub-clusters of {min(units)} to {max(units)} units has at least "
            f"min_units={sizes.min_units} and at most max_share={sizes.max_share} of its layer: "
            "nothing to test, choose wider limits"
        )
    return kept, len(found) - len(kept)


def check_fit(n_units: Mapping[str, int], layer: str, n_labels: int) -> None:
    """Raise InvalidInputError unless a partition's layer is a hidden one of a network.

    Args:
        n_units: Units of every hidden layer of the network, by name.
        layer: Name of the partition's layer.
        n_labels: Its number of units.
    """
    if n_units.get(layer) != n_labels:
        found = n_units.get(layer, "no such hidden layer")
        raise InvalidInputError(
            f"the partition has a layer {layer!r} of {n_labels} units, the network {found}: the "
            "partition belongs to another network"
        )


def check_possible_draws(
    partition: Partition,
    layers: Sequence[str],
    n_shuffles: int,
    sizes: SizeFilter = SizeFilter(),
) -> None:
    """Refuse a test in which every single random sub-cluster would have to be drawn repeatedly.

    Args:
        partition: Clusters of the units.
        layers: Names of the layers whose sub-clusters are tested.
        n_shuffles: Number of random sub-clusters for each.
        sizes: Which sub-clusters are tested.

    Raises:
        InvalidInputError: If it is one, or there is no sub-cluster to test.
    """
    chosen, _ = select_sub_clusters(partition, layers, sizes)
    n_candidates = {layer.name: int((labels >= 0).sum()) for layer, labels in partition.by_layer()}
    most = max(possible_draws(len(sub.units), n_candidates[sub.layer]) for sub in chosen)
    if most == 1:
        raise InvalidInputError(
            "every sub-cluster is all of its layer, so that no other units can be drawn to compare "
            "it with: choose a partition that divides the layers"
        )
    if most < n_shuffles:
        raise InvalidInputError(
            f"n_shuffles={n_shuffles}, but of no sub-cluster are there more than {most} possible "
            f"draws: choose n_shuffles of at most {most}"
        )
