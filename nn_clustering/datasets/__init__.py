"""Data sets: arrays in memory, their class names and a digest that a run records."""

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._sources import SOURCES, load_dataset, require_dataset

__all__ = ["SOURCES", "Dataset", "load_dataset", "require_dataset"]
