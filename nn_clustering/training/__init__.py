"""Training: a compiled epoch, its conditions, and magnitude pruning as a second phase."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nn_clustering.training._checkpoints import Checkpoint, EpochResult, restore_variables
from nn_clustering.training._phases import (
    Augmentation,
    ClusterabilityGradient,
    Penalty,
    Phase,
    PruningSchedule,
    check_phase,
)

if TYPE_CHECKING:
    from nn_clustering.training._clusterability import clusterability_loss
    from nn_clustering.training._epochs import evaluate, train
    from nn_clustering.training._pruning import magnitude_mask, prunable_kernels, sparsity

__all__ = [
    "Augmentation",
    "Checkpoint",
    "ClusterabilityGradient",
    "EpochResult",
    "Penalty",
    "Phase",
    "PruningSchedule",
    "check_phase",
    "clusterability_loss",
    "evaluate",
    "magnitude_mask",
    "prunable_kernels",
    "restore_variables",
    "sparsity",
    "train",
]

_MODULES = {
    "clusterability_loss": "_clusterability",
    "evaluate": "_epochs",
    "magnitude_mask": "_pruning",
    "prunable_kernels": "_pruning",
    "sparsity": "_pruning",
    "train": "_epochs",
}


def __getattr__(name: str) -> Any:
    """Import TensorFlow only for who trains: a config is checked without it."""
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
