from ._activations import (
    count_active_units as count_active_units,
    gather_activations as gather_activations,
    unit_activations as unit_activations,
)
from ._commute_time import (
    commute_time_graph as commute_time_graph,
)
from ._frequencies import (
    UnitFrequencies as UnitFrequencies,
    unit_frequencies as unit_frequencies,
)
from ._from_activations import (
    POSITIONS as POSITIONS,
    check_activation_settings as check_activation_settings,
    graph_from_activations as graph_from_activations,
)
from ._from_file import (
    graph_from_file as graph_from_file,
)
from ._from_gradients import (
    count_differentiable_units as count_differentiable_units,
    graph_from_gradients as graph_from_gradients,
)
from ._from_weights import (
    graph_from_weights as graph_from_weights,
    graph_of_weights as graph_of_weights,
)
from ._isolation import (
    NEGLIGIBLE as NEGLIGIBLE,
    check_isolated_below as check_isolated_below,
    isolated_units as isolated_units,
)
from ._residual import (
    RESIDUAL_RULES as RESIDUAL_RULES,
    by_residual_rule as by_residual_rule,
    check_residual as check_residual,
    resolved_residual as resolved_residual,
)
from ._selection import (
    CONTRACTED as CONTRACTED,
)
from ._unit_activations import (
    UnitActivations as UnitActivations,
    UnitMoments as UnitMoments,
)
from ._unit_graph import (
    Edges as Edges,
    Layer as Layer,
    UnitGraph as UnitGraph,
    layers_from_arrays as layers_from_arrays,
    layers_to_arrays as layers_to_arrays,
)
from ._unit_normalisation import (
    normalise_units as normalise_units,
)
from ._unit_positions import (
    Places as Places,
    UnitLayers as UnitLayers,
    unit_layers as unit_layers,
)
from ._unit_sets import (
    KernelUnits as KernelUnits,
    Reader as Reader,
    UnitSet as UnitSet,
    active_unit_sets as active_unit_sets,
    kernel_units as kernel_units,
    unit_sets as unit_sets,
    weight_readers as weight_readers,
)
