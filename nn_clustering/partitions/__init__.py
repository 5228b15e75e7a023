"""Partitions of a network's units: spectral clustering, and how good a partition is."""

from nn_clustering.partitions._ncut import in_out_ratio, ncut
from nn_clustering.partitions._partition import Partition, SubCluster
from nn_clustering.partitions._spectral import (
    check_clustering,
    spectral_embedding,
    spectral_partition,
)

__all__ = [
    "Partition",
    "SubCluster",
    "check_clustering",
    "in_out_ratio",
    "ncut",
    "spectral_embedding",
    "spectral_partition",
]
