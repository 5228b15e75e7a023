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
from ._test_in_batches import (
    n_batches as n_batches,
    visualisation_test as visualisation_test,
)
from ._top_sample_results import (
    TopSamples as TopSamples,
)
from ._top_samples import (
    MOST_TOP as MOST_TOP,
    top_samples as top_samples,
)
from ._visualisation_test import (
    Optimised as Optimised,
    VisualisationTest as VisualisationTest,
)
