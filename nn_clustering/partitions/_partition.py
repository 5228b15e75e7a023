"""A partition of a network's units, and the sub-clusters that it makes in each layer."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer, layers_from_arrays, layers_to_arrays

# Of a partition as CSV: name of the layer, index of the unit within it, cluster.
CSV_COLUMNS = ("layer", "unit", "label")


@dataclass(frozen=True, eq=False)
class SubCluster:
    """The units of one cluster in one layer (methods G1).

    Attributes:
        layer: Name of the layer.
        label: The cluster.
        units: Indices of the units within the layer, ascending.
    """

    layer: str
    label: int
    units: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Partition:
    """The cluster of every unit of a network.

    Attributes:
        layers: The layers of the graph that was partitioned.
        labels: Cluster of every unit, 0..n_clusters - 1, through all layers in order; -1 where a
            unit is isolated. Shape (units of all layers,).
        n_clusters: The number of clusters asked for.

    Raises:
        InvalidInputError: If there is not one integer label a unit, or a label is out of range.
    """

    layers: tuple[Layer, ...]
    labels: NDArray[np.int32]
    n_clusters: int

    def __post_init__(self) -> None:
        n_units = sum(layer.n_units for layer in self.layers)
        if self.labels.shape != (n_units,) or not np.issubdtype(self.labels.dtype, np.integer):
            raise InvalidInputError(
                f"a partition with {self.labels.dtype} labels of shape {self.labels.shape}; "
                f"expected one integer for each of {n_units} units"
            )
        if n_units and (self.labels.min() < -1 or self.labels.max() >= self.n_clusters):
            raise InvalidInputError(
                f"a partition with labels {self.labels.min()} to {self.labels.max()}; expected -1 "
                f"(isolated) to {self.n_clusters - 1}"
            )

    def by_layer(self) -> Iterator[tuple[Layer, NDArray[np.int32]]]:
        """Yield every layer with the labels of its units."""
        start = 0
        for layer in self.layers:
            yield layer, self.labels[start : start + layer.n_units]
            start += layer.n_units

    def cluster_sizes(self) -> list[int]:
        """Return the number of units of every cluster, over all layers."""
        found: list[int] = np.bincount(
            self.labels[self.labels >= 0], minlength=self.n_clusters
        ).tolist()
        return found

    def sub_clusters(self, layer_names: tuple[str, ...] | None = None) -> list[SubCluster]:
        """Return the sub-clusters, layer by layer and label by label; empty ones are left out.

        Args:
            layer_names: Only those of these layers.
        """
        return [
            SubCluster(layer.name, label, np.flatnonzero(labels == label))
            for layer, labels in self.by_layer()
            if layer_names is None or layer.name in layer_names
            for label in range(self.n_clusters)
            if (labels == label).any()
        ]

    def to_npz(self) -> bytes:
        """Return the partition as the content of an ``.npz`` file, without pickle."""
        buffer = io.BytesIO()
        arrays = {"labels": self.labels, "n_clusters": np.array(self.n_clusters)}
        arrays |= layers_to_arrays(self.layers)
        np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
        return buffer.getvalue()

    def to_csv(self) -> str:
        """Return the partition as CSV with the columns layer, unit (from 0), label; a line a unit.

        :func:`read_partition` reads it.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(CSV_COLUMNS)
        for layer, labels in self.by_layer():
            writer.writerows((layer.name, unit, label) for unit, label in enumerate(labels))
        return text.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> "Partition":
        """Read a partition that :meth:`to_npz` wrote.

        Raises:
            InvalidInputError: If the content is not such a file.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                layers = layers_from_arrays(arrays)
                labels, n_clusters = arrays["labels"], int(arrays["n_clusters"])
        except Exception as error:  # whatever numpy, zipfile or zlib objects to
            raise InvalidInputError(f"not the .npz file of a partition ({error})") from error
        return cls(layers, labels, n_clusters)
