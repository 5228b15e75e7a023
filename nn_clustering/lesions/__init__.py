"""Lesion tests: does silencing a sub-cluster matter more than silencing as many random units?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nn_clustering.lesions._checks import SILENCINGS, check_lesion_test, check_n_shuffles
from nn_clustering.lesions._double import double_lesion_test, n_double_lesions, n_double_tasks
from nn_clustering.lesions._double_results import DoubleLesionTest
from nn_clustering.lesions._draws import DRAWS, SizeFilter, check_draws, select_sub_clusters
from nn_clustering.lesions._measures import Groups, classes_of, targets_in_groups
from nn_clustering.lesions._single import lesion_test
from nn_clustering.lesions._single_results import LesionTest, SubClusterResult
from nn_clustering.lesions._statistics import (
    Measure,
    class_mean,
    class_range,
    coherence_measure,
    importance_measure,
    ratio_effects,
    relative_effects,
)
from nn_clustering.lesions._taxonomy import KINDS
from nn_clustering.lesions._units import single_unit_lesions, single_unit_tasks

if TYPE_CHECKING:
    from nn_clustering.lesions._engine import LesionEngine, lesionable_layers

__all__ = [
    "DRAWS",
    "KINDS",
    "SILENCINGS",
    "DoubleLesionTest",
    "Groups",
    "LesionEngine",
    "LesionTest",
    "Measure",
    "SizeFilter",
    "SubClusterResult",
    "check_draws",
    "check_lesion_test",
    "check_n_shuffles",
    "class_mean",
    "class_range",
    "classes_of",
    "coherence_measure",
    "double_lesion_test",
    "importance_measure",
    "lesion_test",
    "lesionable_layers",
    "n_double_lesions",
    "n_double_tasks",
    "ratio_effects",
    "relative_effects",
    "select_sub_clusters",
    "single_unit_lesions",
    "single_unit_tasks",
    "targets_in_groups",
]


def __getattr__(name: str) -> Any:
    """Import Keras only for who asks for lesions themselves: settings are checked without it."""
    if name in ("LesionEngine", "lesionable_layers"):
        return getattr(import_module("nn_clustering.lesions._engine"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
