from ._chain import (
    WeightLayer as WeightLayer,
    chain_of_layers as chain_of_layers,
    find_weight_layers as find_weight_layers,
)
from ._channels import (
    Broadcast as Broadcast,
    Copied as Copied,
    Depthwise as Depthwise,
    Flattened as Flattened,
    Gathered as Gathered,
    InputValues as InputValues,
    Merged as Merged,
    Origin as Origin,
    Rearranged as Rearranged,
    Scaled as Scaled,
    Unflattened as Unflattened,
    Weighted as Weighted,
)
from ._copies import (
    with_copies as with_copies,
)
from ._kernel_norms import (
    GATE_NORMS as GATE_NORMS,
    KERNEL_NORMS as KERNEL_NORMS,
    VALUES_AT_A_TIME as VALUES_AT_A_TIME,
    check_gate_norm as check_gate_norm,
    check_kernel_norm as check_kernel_norm,
    norms_of_kernel as norms_of_kernel,
    norms_over_gates as norms_over_gates,
)
from ._layer_kinds import (
    LayerKind as LayerKind,
    is_homogeneous as is_homogeneous,
    is_plain as is_plain,
    kernels_of as kernels_of,
    layer_kind as layer_kind,
)
from ._network_weights import (
    NetworkWeights as NetworkWeights,
)
from ._recurrence import (
    states_with_added as states_with_added,
)
from ._tensor_sizes import (
    most_alive as most_alive,
    tensor_bytes as tensor_bytes,
)
from ._tracing import (
    Contribution as Contribution,
    Part as Part,
    SharedFactors as SharedFactors,
    contributions_through as contributions_through,
    shared_factors as shared_factors,
    trace_contributions as trace_contributions,
    trace_parts as trace_parts,
)
from ._unit_tensors import (
    UnitPlaces as UnitPlaces,
    around_nonlinearity as around_nonlinearity,
    before_nonlinearity as before_nonlinearity,
)
from ._walk import (
    Step as Step,
    Walk as Walk,
)
from ._walker import (
    walk_network as walk_network,
)
from ._weights_reader import (
    read_weights as read_weights,
)
