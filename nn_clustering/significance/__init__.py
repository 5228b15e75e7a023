"""Is it more than chance? Null models of graphs, p-values and their combination."""

from nn_clustering.significance._agreement_test import (
    AgreementTest,
    PermutationTest,
    agreement_test,
    check_n_permutations,
    profile_test,
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
    fisher_combination,
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
    "FreshNetworks",
    "NullModel",
    "PermutationTest",
    "ShuffleTest",
    "ShuffledEdges",
    "ShuffledKernels",
    "Transformed",
    "agreement_test",
    "check_n_permutations",
    "check_null_model",
    "check_shuffle_test",
    "cohens_d",
    "fisher_combination",
    "p_value",
    "profile_test",
    "sequential_p_value",
    "shuffle",
    "shuffle_test",
    "shuffled_edges",
    "shuffled_kernels",
    "shuffled_ncuts",
    "worker_pool",
]
