from ._agreement import (
    Agreement as Agreement,
    CommonUnits as CommonUnits,
    Contingency as Contingency,
    MeanWeights as MeanWeights,
    SharedGraph as SharedGraph,
    cluster_profile as cluster_profile,
    common_layers as common_layers,
    common_shares as common_shares,
    common_units as common_units,
    mean_weights as mean_weights,
    overlap_of_profiles as overlap_of_profiles,
    profile_overlap as profile_overlap,
    shared_graph as shared_graph,
)
from ._alignment import (
    align_labels as align_labels,
    matched_order as matched_order,
)
from ._cluster_numbers import (
    ClusterNumbers as ClusterNumbers,
    cluster_numbers as cluster_numbers,
)
from ._cluster_weights import (
    ClusterShares as ClusterShares,
    cluster_shares as cluster_shares,
)
from ._embedding import (
    leading_eigenvectors as leading_eigenvectors,
    spectral_embedding as spectral_embedding,
)
from ._local import (
    ENDS as ENDS,
    LocalPartition as LocalPartition,
    local_partition as local_partition,
)
from ._methods import (
    PARTITION_METHODS as PARTITION_METHODS,
    WITH_N_CLUSTERS as WITH_N_CLUSTERS,
    check_partition_settings as check_partition_settings,
    check_units as check_units,
    make_partition as make_partition,
)
from ._modularity import (
    modularity as modularity,
)
from ._ncut import (
    PUBLISHED_VOLUME_CONSTANT as PUBLISHED_VOLUME_CONSTANT,
    check_volume_constant as check_volume_constant,
    in_out_ratio as in_out_ratio,
    ncut as ncut,
)
from ._partition import (
    Partition as Partition,
    SubCluster as SubCluster,
)
from ._partition_files import (
    check_partition_file as check_partition_file,
    read_partition as read_partition,
)
from ._random_sub_clusters import (
    check_draws as check_draws,
    possible_draws as possible_draws,
    random_units as random_units,
    unit_masks as unit_masks,
    units_beside_random as units_beside_random,
)
from ._spectral import (
    SpectralClustering as SpectralClustering,
    check_clustering as check_clustering,
    spectral_clustering as spectral_clustering,
    spectral_partition as spectral_partition,
)
from ._stability import (
    Stability as Stability,
    check_n_seeds as check_n_seeds,
    partition_stability as partition_stability,
)
from ._sub_cluster_selection import (
    SizeFilter as SizeFilter,
    check_fit as check_fit,
    check_possible_draws as check_possible_draws,
    select_sub_clusters as select_sub_clusters,
)
