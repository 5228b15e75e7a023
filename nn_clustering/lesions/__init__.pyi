from ._double import (
    double_lesion_test as double_lesion_test,
    n_double_lesions as n_double_lesions,
    n_double_tasks as n_double_tasks,
)
from ._double_results import (
    DoubleLesionTest as DoubleLesionTest,
)
from ._engine import (
    LesionEngine as LesionEngine,
    lesionable_layers as lesionable_layers,
)
from ._heads import (
    HeadLesions as HeadLesions,
    check_head_lesions as check_head_lesions,
    partition_into_heads as partition_into_heads,
)
from ._lesion_settings import (
    check_lesion_test as check_lesion_test,
)
from ._measures import (
    Groups as Groups,
    answers_in_groups as answers_in_groups,
    classes_of as classes_of,
    targets_in_groups as targets_in_groups,
)
from ._single import (
    lesion_test as lesion_test,
)
from ._single_results import (
    LesionTest as LesionTest,
    SubClusterResult as SubClusterResult,
)
from ._single_units import (
    UnitLesions as UnitLesions,
    single_unit_lesions as single_unit_lesions,
    single_unit_tasks as single_unit_tasks,
)
from ._statistics import (
    class_mean as class_mean,
    class_range as class_range,
    coherence_measure as coherence_measure,
    importance_measure as importance_measure,
)
from ._taxonomy import (
    DRASTIC as DRASTIC,
    KINDS as KINDS,
)
