"""Partitions from files, matched to the graph that they partition."""

import csv
import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer, UnitGraph
from nn_clustering.partitions._partition import CSV_COLUMNS, Partition

_EXPECTED = f"expected a partition.npz, or CSV with the columns {', '.join(CSV_COLUMNS)}"


def read_partition(content: bytes, name: str, graph: UnitGraph) -> Partition:
    """Read a partition of a graph from the content of a file.

    Layers are matched by name, in any order. Units of the graph that have edges need a label; the
    isolated ones have the label -1, or are left out of a CSV.

    Args:
        content: What :meth:`Partition.to_npz` or :meth:`Partition.to_csv` writes.
        name: Of the file, for messages.
        graph: The graph. Its dead units get the label -1, whatever the file has.

    Raises:
        InvalidInputError: If the content is neither; or a layer or a unit is unknown, a unit is
            missing or there twice, or a label is out of range, or -1 for a unit with edges only.
    """
    try:
        if content.startswith(b"PK"):  # .npz files are zip archives
            stored = Partition.from_npz(content)
            labels, n_clusters = _labels_of_npz(stored, graph), stored.n_clusters
        else:
            labels = _labels_of_csv(content, graph)
            n_clusters = int(labels.max(initial=0)) + 1
        # whoever made the file may not have known them as such: their weights are not 0
        labels = np.where(graph.dead, -1, labels).astype(np.int32)
        _check_isolated(labels, graph)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from None
    return Partition(graph.layers, labels, n_clusters)


def check_partition_file(content: bytes, name: str) -> None:
    """Check that a file holds a partition of some graph; arguments as of :func:`read_partition`.

    Raises:
        InvalidInputError: If it is neither of the two kinds, or CSV with rows of something else.
    """
    try:
        if content.startswith(b"PK"):
            Partition.from_npz(content)
        elif not any(True for _ in list(_rows(content))):
            raise InvalidInputError(f"there is no row; {_EXPECTED}")
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from None


def _labels_of_npz(stored: Partition, graph: UnitGraph) -> NDArray[np.int32]:
    by_name = {layer.name: labels for layer, labels in stored.by_layer()}
    _check_names(by_name, graph)
    for layer in graph.layers:
        if layer.name not in by_name:
            raise InvalidInputError(f"layer {layer.name!r} is missing; expected {_layers(graph)}")
        if len(by_name[layer.name]) != layer.n_units:
            raise InvalidInputError(
                f"layer {layer.name!r} has {len(by_name[layer.name])} units; expected "
                f"{layer.n_units}"
            )
    return np.concatenate([by_name[layer.name] for layer in graph.layers]).astype(np.int32)


def _labels_of_csv(content: bytes, graph: UnitGraph) -> NDArray[np.int32]:
    labels = np.full(graph.n_units, -1, np.int32)
    seen = np.zeros(graph.n_units, bool)
    index_of = {layer.name: index for index, layer in enumerate(graph.layers)}
    for line, layer, unit, label in _rows(content):
        if layer not in index_of:
            raise InvalidInputError(
                f"line {line}: unknown layer {layer!r}; expected {_layers(graph)}"
            )
        n_units = graph.layers[index_of[layer]].n_units
        if not 0 <= unit < n_units:
            raise InvalidInputError(
                f"line {line}: unit {unit} of layer {layer!r}; expected 0 to {n_units - 1}"
            )
        if not -1 <= label < graph.n_units:
            raise InvalidInputError(
                f"line {line}: label {label}; expected a cluster, 0 to {graph.n_units - 1}, or -1 "
                "for an isolated unit"
            )
        number = graph.units(index_of[layer]).start + unit
        if seen[number]:
            raise InvalidInputError(
                f"line {line}: unit {unit} of layer {layer!r} is there twice; expected one label "
                "for each unit"
            )
        seen[number], labels[number] = True, label
    missing = np.flatnonzero(~seen & ~graph.isolated)
    if missing.size:
        raise InvalidInputError(
            f"{missing.size} units that have edges are missing, first {_unit(graph, missing[0])}; "
            "expected a label for each"
        )
    return labels


def _rows(content: bytes) -> Iterator[tuple[int, str, int, int]]:
    """Yield line number, layer, unit and label of every row."""
    try:
        text = content.decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text), strict=True)
        if not set(CSV_COLUMNS) <= set(reader.fieldnames or ()):
            raise InvalidInputError(
                f"the first line is {','.join(reader.fieldnames or ())[:80]!r}; {_EXPECTED}"
            )
        for row in reader:
            layer, unit, label = (row[column] for column in CSV_COLUMNS)
            try:
                yield reader.line_num, layer, int(unit), int(label)
            except (TypeError, ValueError):
                raise InvalidInputError(
                    f"line {reader.line_num}: unit {unit!r}, label {label!r}; expected two integers"
                ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"cannot be read as text ({error}); {_EXPECTED}") from None


def _check_names(names: dict[str, NDArray[np.int32]], graph: UnitGraph) -> None:
    known = {layer.name for layer in graph.layers}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise InvalidInputError(f"unknown layer {unknown!r}; expected {_layers(graph)}")


def _check_isolated(labels: NDArray[np.int32], graph: UnitGraph) -> None:
    for wrong, what in (
        (graph.isolated & (labels >= 0), "is isolated in the graph; expected the label -1"),
        (~graph.isolated & (labels < 0), "has edges in the graph; expected the label of a cluster"),
    ):
        units = np.flatnonzero(wrong)
        if units.size:
            raise InvalidInputError(
                f"{_unit(graph, units[0])} has the label {labels[units[0]]} and {what} "
                f"({units.size} such units)"
            )


def _unit(graph: UnitGraph, number: int) -> str:
    index = int(np.searchsorted(graph.offsets, number, side="right")) - 1
    return f"unit {number - graph.offsets[index]} of layer {graph.layers[index].name!r}"


def _layers(graph: UnitGraph) -> str:
    def described(layer: Layer) -> str:
        return f"{layer.name} ({layer.n_units} units)"

    return "the layers " + ", ".join(described(layer) for layer in graph.layers)
