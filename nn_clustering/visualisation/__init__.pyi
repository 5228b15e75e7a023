from ._settings import (
    BASES as BASES,
    REDUCTIONS as REDUCTIONS,
    Ascent as Ascent,
    Objective as Objective,
    Parametrisation as Parametrisation,
    Transformations as Transformations,
)
from ._visualisation_test import (
    Optimised as Optimised,
    VisualisationTest as VisualisationTest,
)
