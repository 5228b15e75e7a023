"""Do two partitions agree, of one network or of two?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions._alignment import contingency, matched_order
from nn_clustering.partitions._cluster_weights import cluster_weights
from nn_clustering.partitions._ncut import ncut
from nn_clustering.partitions._partition import Partition
from nn_clustering.partitions._subgraph import subgraph


@dataclass(frozen=True, eq=False)
class CommonUnits:
    """The units that two partitions both put into a cluster.

    Attributes:
        layers: Names of the layers that were compared, in the order of the first partition.
        layer: Index in ``layers`` of every unit, ascending, shape (units,).
        first: Cluster of every unit in the first partition, shape (units,).
        second: The same in the second.
    """

    layers: tuple[str, ...]
    layer: NDArray[np.int64]
    first: NDArray[np.int32]
    second: NDArray[np.int32]

    @property
    def n_units(self) -> int:
        """The number of units."""
        return self.layer.size

    def agreement(self) -> "Agreement":
        """Return the measures of agreement between the two partitions."""
        # scikit-learn takes long to import: only who compares partitions waits for it
        from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

        return Agreement(
            float(adjusted_rand_score(self.first, self.second)),
            float(normalized_mutual_info_score(self.first, self.second)),
        )

    def contingency(self) -> "Contingency":
        """Return how many units the clusters of both have in common, clusters matched."""
        rows, in_row = np.unique(self.first, return_inverse=True)
        columns, in_column = np.unique(self.second, return_inverse=True)
        counts = contingency(in_row, in_column, (rows.size, columns.size))
        row_order, column_order = matched_order(counts)
        return Contingency(
            counts[np.ix_(row_order, column_order)], rows[row_order], columns[column_order]
        )


@dataclass(frozen=True, eq=False)
class Contingency:
    """How many units are in cluster i of one partition and in cluster j of another.

    Attributes:
        counts: Shape (clusters of the first, clusters of the second). Clusters are ordered so that
            the pairs of the one-to-one matching with most units in common are on the diagonal.
        first: The first partition's label of every row.
        second: The second partition's label of every column.
    """

    counts: NDArray[np.int64]
    first: NDArray[np.int32]
    second: NDArray[np.int32]


@dataclass(frozen=True)
class Agreement:
    """How alike two partitions of the same units are.

    Attributes:
        adjusted_rand: Adjusted Rand index: 1 for the same partition, 0 expected by chance.
        mutual_information: Mutual information over the mean of both entropies, 0 to 1. It is above
            0 by chance too, the more so the more clusters there are.
    """

    adjusted_rand: float
    mutual_information: float


def common_units(
    first: Partition, second: Partition, layers: Sequence[str] | None = None
) -> CommonUnits:
    """Return the units with a cluster in both partitions, layer by layer.

    Units are the same if their layers have the same name and size, and they the same place.

    Args:
        first: A partition.
        second: Another, of the same or another network.
        layers: Names of the layers to compare; by default all that are in both.

    Raises:
        InvalidInputError: If a layer is not in both, or no unit is.
    """
    shared = [layer for layer in first.layers if layer in second.layers]
    names = [layer.name for layer in shared]
    unknown = [name for name in layers or () if name not in names]
    if unknown or not names:
        raise InvalidInputError(
            f"layers={'all' if layers is None else list(layers)}: the layers that both partitions "
            f"have with the same number of units are {', '.join(names) or 'none'}; expected some "
            "of those"
        )
    chosen = [name for name in names if layers is None or name in layers]
    in_first = {layer.name: labels for layer, labels in first.by_layer()}
    in_second = {layer.name: labels for layer, labels in second.by_layer()}
    ones = np.concatenate([in_first[name] for name in chosen])
    others = np.concatenate([in_second[name] for name in chosen])
    index = np.repeat(np.arange(len(chosen)), [in_first[name].size for name in chosen])
    both = (ones >= 0) & (others >= 0)
    if not both.any():
        raise InvalidInputError(
            f"layers {', '.join(chosen)}: no unit is in a cluster of both partitions; expected "
            "units that have edges in both graphs"
        )
    return CommonUnits(tuple(chosen), index[both], ones[both], others[both])


def profile_overlap(first: Partition, second: Partition) -> float:
    """Return how alike two partitions divide the layers among their clusters, units unmatched.

    The hidden units of two separately trained networks do not correspond, but their layers do. The
    profile of a cluster is its share of the clustered units of each layer. Clusters are matched one
    to one so that what the profiles have in common, the mean over layers of the sum over clusters
    of the smaller share, is largest: 1 if every layer is divided alike.

    Args:
        first: A partition.
        second: Another; layers of the same name and size are compared that have clustered units in
            both.

    Raises:
        InvalidInputError: If there is no such layer.
    """
    units = common_layers(first, second)
    return overlap_of_profiles(*(cluster_profile(part, units) for part in (first, second)))


def common_layers(first: Partition, second: Partition) -> tuple[str, ...]:
    """Return the names of the layers that have the same size and clustered units in both.

    Raises:
        InvalidInputError: If there is none.
    """
    in_second = dict(second.by_layer())
    names = tuple(
        layer.name
        for layer, labels in first.by_layer()
        if layer in in_second and (labels >= 0).any() and (in_second[layer] >= 0).any()
    )
    if not names:
        raise InvalidInputError(
            "the partitions share no layer of the same name and number of units; expected "
            "partitions of networks of one architecture"
        )
    return names


def cluster_profile(partition: Partition, layers: Sequence[str]) -> NDArray[np.float64]:
    """Return each cluster's share of the clustered units of each layer, (layers, clusters)."""
    by_name = {layer.name: labels for layer, labels in partition.by_layer()}
    counts = np.array(
        [
            np.bincount(by_name[name][by_name[name] >= 0], minlength=partition.n_clusters)
            for name in layers
        ]
    )
    found: NDArray[np.float64] = counts / counts.sum(axis=1, keepdims=True)
    return found


def overlap_of_profiles(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return what two cluster profiles have in common under the best matching of clusters."""
    import scipy.optimize

    in_common = common_shares(first, second)
    return float(in_common[scipy.optimize.linear_sum_assignment(in_common, maximize=True)].sum())


def common_shares(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over layers of the smaller share of every pair of clusters."""
    found: NDArray[np.float64] = np.minimum(first[:, :, None], second[:, None, :]).mean(axis=0)
    return found


@dataclass(frozen=True, eq=False)
class SharedGraph:
    """A graph of the units that its own partition and another one both put into a cluster.

    Attributes:
        graph: The graph of these units and the edges among them.
        own: Cluster of every unit in the graph's own partition, shape (n_units,).
        other: The same in the other.
    """

    graph: UnitGraph
    own: NDArray[np.int32]
    other: NDArray[np.int32]

    @property
    def own_ncut(self) -> float | None:
        """The n-cut by the graph's own partition; None without edges."""
        return None if self.graph.isolated.all() else ncut(self.graph, self.own)

    @property
    def transfer_ncut(self) -> float | None:
        """The n-cut by the other partition (methods E3); None without edges."""
        return None if self.graph.isolated.all() else ncut(self.graph, self.other)

    @property
    def own_n_clusters(self) -> int:
        """The number of clusters of the graph's own partition that have edges here."""
        return np.unique(self.own[~self.graph.isolated]).size

    @property
    def other_n_clusters(self) -> int:
        """The number of clusters of the other partition that have edges here."""
        return np.unique(self.other[~self.graph.isolated]).size


def shared_graph(
    graph: UnitGraph, own: Partition, other: Partition, layers: Sequence[str] | None = None
) -> SharedGraph:
    """Return the part of a graph whose units two partitions have in common.

    Args:
        graph: The graph.
        own: Its own partition.
        other: The partition of a graph that shares units with it.
        layers: Names of the layers to keep; by default all that are in both.

    Raises:
        InvalidInputError: If a layer is not in both, or they share no unit.
    """
    chosen = common_units(own, other, layers).layers
    by_name = {layer.name: labels for layer, labels in other.by_layer()}
    others = np.concatenate(
        [
            by_name[layer.name] if layer.name in chosen else np.full(layer.n_units, -1, np.int32)
            for layer in graph.layers
        ]
    )
    kept = (own.labels >= 0) & (others >= 0)
    return SharedGraph(subgraph(graph, kept), own.labels[kept], others[kept])


@dataclass(frozen=True)
class MeanWeights:
    """Mean edge weight of the pairs of units within and between clusters.

    Attributes:
        within: Over pairs of units of one cluster; NaN if there is none.
        between: Over pairs of units of two clusters; NaN if there is none.
    """

    within: float
    between: float


def mean_weights(graph: UnitGraph, labels: NDArray[np.integer]) -> MeanWeights:
    """Return the mean weight within and between clusters: of activations, the mean r^2 (E3).

    Every unordered pair of two different units counts once if the graph joins their layers, with a
    weight of 0 if it has no edge there (quirk 16).

    Args:
        graph: The graph.
        labels: Cluster of every unit, shape (n_units,); pairs with a unit of the label -1 do not
            count.

    Raises:
        InvalidInputError: If there is not one label a unit.
    """
    labels = np.asarray(labels)
    weights = cluster_weights(graph, labels)
    # edges stand in the table twice, once from either end; so do the pairs counted here
    pairs = np.zeros_like(weights)
    for block in graph.edges:
        source, target = (
            np.bincount(own[own >= 0], minlength=len(weights)).astype(float)
            for own in (labels[graph.units(block.source)], labels[graph.units(block.target)])
        )
        of_block = np.outer(source, target)
        pairs += of_block - np.diag(source) if block.is_within_layer else of_block + of_block.T
    sums, numbers = ((np.trace(table), table.sum() - np.trace(table)) for table in (weights, pairs))
    within, between = (
        float(total / number) if number else float("nan")
        for total, number in zip(sums, numbers, strict=True)
    )
    return MeanWeights(within, between)
