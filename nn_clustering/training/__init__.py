"""Training: a compiled epoch, and magnitude pruning as a second phase."""

from nn_clustering.training._epochs import EpochResult, check_training, evaluate, train
from nn_clustering.training._pruning import (
    PruningSchedule,
    magnitude_mask,
    prunable_kernels,
    sparsity,
)

__all__ = [
    "EpochResult",
    "PruningSchedule",
    "check_training",
    "evaluate",
    "magnitude_mask",
    "prunable_kernels",
    "sparsity",
    "train",
]
