"""Data sets: arrays in memory, the names of their outputs and a digest that a run records.

``python -m nn_clustering.datasets list`` shows all of them.
"""

from nn_clustering.datasets._catalogue import (
    dataset_names,
    dataset_task,
    load_dataset,
    require_dataset,
)
from nn_clustering.datasets._dataset import TASKS, Dataset
from nn_clustering.datasets._synthetic import monomial_membership, polynomial_names

__all__ = [
    "TASKS",
    "Dataset",
    "dataset_names",
    "dataset_task",
    "load_dataset",
    "monomial_membership",
    "polynomial_names",
    "require_dataset",
]
