"""Figures and tables of stored results."""

from nn_clustering.reports._figures import (
    figure_of_clusters,
    figure_of_learning_curves,
    figure_of_lesions,
    figure_of_null_distribution,
    figure_of_random_networks,
)

__all__ = [
    "figure_of_clusters",
    "figure_of_learning_curves",
    "figure_of_lesions",
    "figure_of_null_distribution",
    "figure_of_random_networks",
]
