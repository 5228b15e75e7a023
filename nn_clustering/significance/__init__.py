"""Is it more than chance? Null models, p-values and their combination, how sure a mean is."""

from nn_clustering.significance._agreement_test import (
    AgreementTest,
    PermutationTest,
    agreement_test,
    check_n_permutations,
    profile_test,
)
from nn_clustering.significance._bootstrap import (
    MeanEstimate,
    bootstrap_interval,
    estimate_mean,
)
from nn_clustering.significance._combination import (
    bates_combination,
    chi_square_of_ranks,
    fisher_combination,
    fisher_statistic,
    fisher_statistic_by_chance,
    stouffer_combination,
)
from nn_clustering.significance._joint import joint_p_value
from nn_clustering.significance._multiple_testing import (
    FalseDiscoveryControl,
    benjamini_hochberg,
)
from nn_clustering.significance._null_models import (
    METHODS,
    FreshNetworks,
    NullModel,
    ShuffledEdges,
    Transformed,
    check_null_model,
    shuffled_edges,
)
from nn_clustering.significance._p_values import (
    cohens_d,
    p_value,
    sequential_p_value,
)
from nn_clustering.significance._shuffle_test import (
    Clustering,
    ShuffleTest,
    check_shuffle_test,
    shuffle_test,
    shuffled_ncuts,
    worker_pool,
)
from nn_clustering.significance._shuffled_kernels import ShuffledKernels, shuffled_kernels
from nn_clustering.significance._shuffles import SHUFFLES, shuffle

__all__ = [
    "METHODS",
    "SHUFFLES",
    "AgreementTest",
    "Clustering",
    "FalseDiscoveryControl",
    "FreshNetworks",
    "MeanEstimate",
    "NullModel",
    "PermutationTest",
    "ShuffleTest",
    "ShuffledEdges",
    "ShuffledKernels",
    "Transformed",
    "agreement_test",
    "bates_combination",
    "benjamini_hochberg",
    "bootstrap_interval",
    "check_n_permutations",
    "check_null_model",
    "check_shuffle_test",
    "chi_square_of_ranks",
    "cohens_d",
    "estimate_mean",
    "fisher_combination",
    "fisher_statistic",
    "fisher_statistic_by_chance",
    "joint_p_value",
    "p_value",
    "profile_test",
    "sequential_p_value",
    "shuffle",
    "shuffle_test",
    "shuffled_edges",
    "shuffled_kernels",
    "shuffled_ncuts",
    "stouffer_combination",
    "worker_pool",
]
