"""Figures and tables of stored results."""

from nn_clustering.reports._agreement import figure_of_contingency, figure_of_profiles
from nn_clustering.reports._cluster_numbers import figure_of_cluster_numbers
from nn_clustering.reports._dependencies import figure_of_dependencies
from nn_clustering.reports._double_lesions import figure_of_double_lesions
from nn_clustering.reports._figures import (
    figure_of_clusters,
    figure_of_learning_curves,
    figure_of_null_distribution,
    figure_of_random_networks,
)
from nn_clustering.reports._lesion_nulls import figure_of_lesion_nulls
from nn_clustering.reports._lesion_sizes import figure_of_importance_by_size
from nn_clustering.reports._lesion_table import LesionTable, table_of_lesions
from nn_clustering.reports._lesioned_networks import LesionedNetwork, lesioned_network
from nn_clustering.reports._lesions import figure_of_class_changes, figure_of_lesions

__all__ = [
    "LesionTable",
    "LesionedNetwork",
    "figure_of_class_changes",
    "figure_of_cluster_numbers",
    "figure_of_clusters",
    "figure_of_contingency",
    "figure_of_dependencies",
    "figure_of_double_lesions",
    "figure_of_importance_by_size",
    "figure_of_learning_curves",
    "figure_of_lesion_nulls",
    "figure_of_lesions",
    "figure_of_null_distribution",
    "figure_of_profiles",
    "figure_of_random_networks",
    "lesioned_network",
    "table_of_lesions",
]
