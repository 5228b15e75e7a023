"""Lesion tests: does silencing a sub-cluster matter more than silencing as many random units?"""

from nn_clustering.lesions._engine import SILENCINGS, LesionEngine, lesionable_layers
from nn_clustering.lesions._single import (
    LesionTest,
    SubClusterResult,
    check_lesion_test,
    lesion_test,
)
from nn_clustering.lesions._statistics import (
    Coherence,
    Importance,
    class_range,
    ratio_effects,
    relative_effects,
)

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
