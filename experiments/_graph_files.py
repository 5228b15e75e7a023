"""Graphs that others have made, read from a file: for clusterings of no network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering import graphs
from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import in_units, memory_bytes
from nn_clustering.tracking import Input

if TYPE_CHECKING:
    from nn_clustering.graphs import UnitGraph
    from nn_clustering.tracking import Run

# The source of such a graph.
GRAPH_FILE = "file"
# The keys of ``cluster`` that choose a network.
_OF_NETWORKS = ("train_run", "model", "model_code", "preprocessing", "phase", "checkpoint")
# What a file's sections of ``cluster`` hold that only networks have a use for.
_OF_SAMPLES = ("dataset.", "activations.")


@dataclass(frozen=True, eq=False)
class GraphFile:
    """A graph, and how to speak of the file that it was read from."""

    graph: UnitGraph = field(repr=False)
    source: str


def is_of_file(config: Mapping[str, Any]) -> bool:
    """Whether a config of ``cluster``, also of a former version, has its graph from a file."""
    return bool(config["graph"]["source"] == GRAPH_FILE)


def check_graph_file_settings(config: Mapping[str, Any]) -> None:
    """Check the keys of ``cluster`` that do, or do not, go with a graph from a file.

    Raises:
        InvalidInputError: If there is a file without its source or the other way round, or a
            network beside it.
    """
    source, name = config["graph"]["source"], config["graph"]["file"]
    if is_of_file(config) != (name is not None) or not isinstance(name, str | None):
        raise InvalidInputError(
            f"graph.source={source} graph.file={name!r}: expected graph.source=file with "
            "graph.file=FILE.npz, or neither"
        )
    given = next((key for key in _OF_NETWORKS if config.get(key) is not None), None)
    if is_of_file(config) and given is not None:
        raise InvalidInputError(
            f"{given}={config[given]} changes nothing while graph.source=file, which has no "
            "network; leave it out, or take graph.source=weights"
        )


def acts_on_networks_alone(key: str) -> bool:
    """Whether a dotted key of ``cluster`` changes nothing where there is no network."""
    return key in _OF_NETWORKS or key.startswith(_OF_SAMPLES)


def graph_file(settings: Mapping[str, Any]) -> Input[GraphFile]:
    """Read the file that a section `graph` names.

    Raises:
        InvalidInputError: If there is none, or it holds no graph that fits into memory.
    """
    path = Path(settings["file"])
    name = f"graph.file={path}"
    if path.is_dir():
        raise InvalidInputError(f"{name} is a folder; expected an .npz file with a graph")
    try:
        size, most = os.stat(path).st_size, memory_bytes() // 2
        if size > most:
            raise InvalidInputError(
                f"{name} has {in_units(size)}; expected at most {in_units(most)}, half of this "
                "machine's memory"
            )
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"{name} cannot be read ({error.strerror}); expected an .npz file with a graph"
        ) from error
    graph = graphs.graph_from_file(content, name, isolated_below=settings["isolated_below"])
    if settings["normalise_units"]:
        graphs.normalise_units(graph)  # refuses what it cannot do, before a run
    return Input.of_bytes(content, GraphFile(graph, path.name))


def refuse_without_network(clustered: Run) -> None:
    """Refuse the network of a clustering run that had none.

    Raises:
        InvalidInputError: If its graph is from a file.
    """
    if is_of_file(clustered.config):
        raise InvalidInputError(
            f"cluster_run={clustered.id}: run {clustered.id} has graph.source=file, a graph "
            "without a network, and this needs one; expected a clustering of a network's units "
            "(train_run=ID or model=FILE)"
        )


def have_one_graph(first: Run, second: Run) -> bool:
    """Whether two clustering runs have their graphs from files of the same content."""
    digests = [run.info.get("inputs", {}).get("graph") for run in (first, second)]
    return digests[0] is not None and digests[0] == digests[1]
