"""Lesion tests: does silencing a sub-cluster matter more than silencing as many random units?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nn_clustering.lesions._checks import SILENCINGS, check_lesion_test
from nn_clustering.lesions._statistics import (
    Coherence,
    Importance,
    class_range,
    ratio_effects,
    relative_effects,
)

if TYPE_CHECKING:
    from nn_clustering.lesions._engine import LesionEngine, lesionable_layers
    from nn_clustering.lesions._single import LesionTest, SubClusterResult, lesion_test

__all__ = [
    "SILENCINGS",
    "Coherence",
    "Importance",
    "LesionEngine",
    "LesionTest",
    "SubClusterResult",
    "check_lesion_test",
    "class_range",
    "lesion_test",
    "lesionable_layers",
    "ratio_effects",
    "relative_effects",
]


def __getattr__(name: str) -> Any:
    """Import Keras only for who asks for lesions themselves: settings are checked without it."""
    if name in ("LesionEngine", "lesionable_layers"):
        return getattr(import_module("nn_clustering.lesions._engine"), name)
    if name in __all__:
        return getattr(import_module("nn_clustering.lesions._single"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
