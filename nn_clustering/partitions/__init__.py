"""Partitions of a network's units: how they are made, how good they are, and whether they agree."""

from nn_clustering.partitions._agreement import (
    Agreement,
    CommonUnits,
    Contingency,
    MeanWeights,
    SharedGraph,
    cluster_profile,
    common_layers,
    common_shares,
    common_units,
    mean_weights,
    overlap_of_profiles,
    profile_overlap,
    shared_graph,
)
from nn_clustering.partitions._alignment import align_labels, matched_order
from nn_clustering.partitions._cluster_numbers import ClusterNumbers, cluster_numbers
from nn_clustering.partitions._embedding import leading_eigenvectors, spectral_embedding
from nn_clustering.partitions._local import LocalPartition, local_partition
from nn_clustering.partitions._methods import (
    PARTITION_METHODS,
    check_partition_settings,
    make_partition,
)
from nn_clustering.partitions._modularity import modularity
from nn_clustering.partitions._ncut import in_out_ratio, ncut
from nn_clustering.partitions._partition import Partition, SubCluster
from nn_clustering.partitions._reading import read_partition
from nn_clustering.partitions._spectral import (
    SpectralClustering,
    check_clustering,
    spectral_clustering,
    spectral_partition,
)
from nn_clustering.partitions._stability import Stability, partition_stability

__all__ = [
    "PARTITION_METHODS",
    "Agreement",
    "ClusterNumbers",
    "CommonUnits",
    "Contingency",
    "LocalPartition",
    "MeanWeights",
    "Partition",
    "SharedGraph",
    "SpectralClustering",
    "Stability",
    "SubCluster",
    "align_labels",
    "check_clustering",
    "check_partition_settings",
    "cluster_numbers",
    "cluster_profile",
    "common_layers",
    "common_shares",
    "common_units",
    "in_out_ratio",
    "leading_eigenvectors",
    "local_partition",
    "make_partition",
    "matched_order",
    "mean_weights",
    "modularity",
    "ncut",
    "overlap_of_profiles",
    "partition_stability",
    "profile_overlap",
    "read_partition",
    "shared_graph",
    "spectral_clustering",
    "spectral_embedding",
    "spectral_partition",
]
