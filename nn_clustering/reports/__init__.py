"""Figures and tables of stored results."""

from nn_clustering.reports._agreement import figure_of_contingency, figure_of_profiles
from nn_clustering.reports._cluster_numbers import figure_of_cluster_numbers
from nn_clustering.reports._figures import (
    figure_of_clusters,
    figure_of_learning_curves,
    figure_of_lesions,
    figure_of_null_distribution,
    figure_of_random_networks,
)

__all__ = [
    "figure_of_cluster_numbers",
    "figure_of_clusters",
    "figure_of_contingency",
    "figure_of_learning_curves",
    "figure_of_lesions",
    "figure_of_null_distribution",
    "figure_of_profiles",
    "figure_of_random_networks",
]
