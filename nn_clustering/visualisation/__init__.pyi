from ._bounds import (
    Bounds as Bounds,
)
from ._input_optimiser import (
    InputOptimiser as InputOptimiser,
)
from ._reduction import (
    reduced as reduced,
)
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
