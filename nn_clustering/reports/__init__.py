"""Figures and tables of stored results."""

from nn_clustering.reports._figures import (
    figure_of_clusters,
    figure_of_lesions,
    figure_of_null_distribution,
)

__all__ = ["figure_of_clusters", "figure_of_lesions", "figure_of_null_distribution"]
