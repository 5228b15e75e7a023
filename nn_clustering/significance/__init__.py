"""Is it more than chance? Null models of graphs, p-values and their combination."""

from nn_clustering.significance._p_values import fisher_combination, p_value
from nn_clustering.significance._shuffle_test import (
    ShuffleTest,
    check_shuffle_test,
    shuffle_test,
    shuffled_ncuts,
)
from nn_clustering.significance._shuffles import SHUFFLES, shuffle

__all__ = [
    "SHUFFLES",
    "ShuffleTest",
    "check_shuffle_test",
    "fisher_combination",
    "p_value",
    "shuffle",
    "shuffle_test",
    "shuffled_ncuts",
]
