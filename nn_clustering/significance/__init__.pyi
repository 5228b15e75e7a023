from ._agreement_test import (
    AgreementTest as AgreementTest,
    PermutationTest as PermutationTest,
    agreement_test as agreement_test,
    check_n_permutations as check_n_permutations,
    profile_test as profile_test,
)
from ._bootstrap import (
    MeanEstimate as MeanEstimate,
    bootstrap_interval as bootstrap_interval,
    estimate_mean as estimate_mean,
)
from ._combination import (
    bates_combination as bates_combination,
    chi_square_of_ranks as chi_square_of_ranks,
    fisher_combination as fisher_combination,
    fisher_statistic as fisher_statistic,
    fisher_statistic_by_chance as fisher_statistic_by_chance,
    stouffer_combination as stouffer_combination,
)
from ._effects import (
    finite_mean as finite_mean,
    ratio_effects as ratio_effects,
    relative_effects as relative_effects,
)
from ._joint import (
    JointTest as JointTest,
    joint_test as joint_test,
    p_value_of_sum as p_value_of_sum,
)
from ._measure import (
    Effects as Effects,
    Measure as Measure,
    measure_beside_random as measure_beside_random,
    null_interval as null_interval,
    statistic_columns as statistic_columns,
)
from ._multiple_testing import (
    FalseDiscoveryControl as FalseDiscoveryControl,
    benjamini_hochberg as benjamini_hochberg,
)
from ._null_models import (
    METHODS as METHODS,
    VALUE_PERMUTATIONS as VALUE_PERMUTATIONS,
    FreshNetworks as FreshNetworks,
    NullModel as NullModel,
    ShuffledEdges as ShuffledEdges,
    Transformed as Transformed,
    shuffled_edges as shuffled_edges,
)
from ._other_seeds import (
    OtherSeeds as OtherSeeds,
    other_seeds as other_seeds,
)
from ._p_values import (
    SMALLEST_SHOWN as SMALLEST_SHOWN,
    check_n_draws as check_n_draws,
    cohens_d as cohens_d,
    p_in_words as p_in_words,
    p_value as p_value,
    sequential_p_value as sequential_p_value,
)
from ._permuted_values import (
    PermutedValues as PermutedValues,
    permuted_values as permuted_values,
)
from ._shuffle_test import (
    SIGNIFICANT as SIGNIFICANT,
    VERDICTS as VERDICTS,
    Clustering as Clustering,
    ShuffleTest as ShuffleTest,
    check_shuffle_test as check_shuffle_test,
    shuffle_test as shuffle_test,
    shuffled_ncuts as shuffled_ncuts,
    worker_pool as worker_pool,
)
from ._shuffled_kernels import (
    ShuffledKernels as ShuffledKernels,
    shuffled_kernels as shuffled_kernels,
)
from ._shuffles import (
    ENTRY_SHUFFLES as ENTRY_SHUFFLES,
    SHUFFLES as SHUFFLES,
    shuffle as shuffle,
)
from ._sub_cluster_test import (
    SubClusterTest as SubClusterTest,
    check_n_shuffles as check_n_shuffles,
)
