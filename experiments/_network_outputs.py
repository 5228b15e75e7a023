"""Whether a network has the outputs that a data set asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nn_clustering import datasets, networks
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from experiments._networks import NetworkFile
    from nn_clustering.datasets import Dataset


def has_outputs(n_outputs: int, n_classes: int, class_names: str | None) -> bool:
    """Return whether a network with so many outputs has one for each of so many classes.

    Args:
        n_outputs: Of the network.
        n_classes: Classes or targets.
        class_names: The file of their names: an object of positions may leave out the last outputs.
    """
    is_open = class_names is not None and not datasets.lists_all_classes(class_names)
    return n_outputs == n_classes or (is_open and n_outputs > n_classes)


def check_output(file: NetworkFile, dataset: Dataset, config: Mapping[str, Any]) -> None:
    """Check that a network has an output for the classes or targets of a data set.

    Raises:
        InvalidInputError: If it has not.
    """
    output = config["output"]
    index = networks.output_index(file.network, output)
    shape = tuple(file.network.outputs[index].shape[1:])
    # a network that was trained here may have learnt more classes than the images are of
    if file.was_trained and output is None:
        return
    names_file = file.dataset_settings(config["dataset"]).get("class_names")
    if dataset.answers_positions and len(shape) == 2:
        shape = shape[1:]
    name, n_outputs = networks.output_names(file.network)[index], dataset.n_outputs
    if len(shape) == 1 and has_outputs(shape[0], n_outputs, names_file):
        return
    if len(shape) == 1 and names_file is not None and not datasets.lists_all_classes(names_file):
        raise InvalidInputError(
            f"dataset.class_names={names_file!r}: {dataset.class_names[-1]!r} is at "
            f"{n_outputs - 1}, and {file.source} has the {shape[0]} outputs 0 to {shape[0] - 1} in "
            f"{name}; expected positions among them"
        )
    kind = "class" if dataset.task == "classification" else "target"
    ending = "" if n_outputs == 1 else "es" if kind == "class" else "s"
    shown = " to ".join(dict.fromkeys((dataset.class_names[0], dataset.class_names[-1])))
    raise InvalidInputError(
        f"output={output!r}: {file.source} has the output {name} of shape {shape}, the data "
        f"set {dataset.name} has {n_outputs} {kind}{ending}, {shown}; "
        "expected one number for each: take another output, or the data set that it was trained "
        "on, or say in a file (dataset.class_names) which output is which class: "
        '["cat", "dog"], or {"cat": 3} of some'
    )
