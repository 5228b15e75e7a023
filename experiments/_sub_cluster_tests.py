"""What tests of sub-clusters, lesions and visualisations, have in common: config and inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments._networks import NetworkFile, clustered_network, model_code_of
from nn_clustering import datasets, partitions
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import Input

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset
    from nn_clustering.partitions import Partition
    from nn_clustering.tracking import Run, StageRun


@dataclass(frozen=True)
class Inputs:
    """What a test of sub-clusters rests on.

    Attributes:
        model_code: The module with the layers of the network's author, where it is named.
        unfinished: The test to go on with.
    """

    cluster_run: Input[Run]
    partition: Input[Partition]
    network: Input[NetworkFile]
    model_code: Input[bytes] | None
    dataset: Input[Dataset]
    unfinished: Input[Run] | None


def read_inputs(
    run: StageRun, unfinished: Run | None, check_dataset: Callable[[Dataset], None]
) -> Inputs:
    """Read partition, network and data set.

    Args:
        run: The run.
        unfinished: The test to go on with.
        check_dataset: Refuses a data set that the test cannot be made on.
    """
    clustered = run.read_run("cluster_run", "cluster")
    network = clustered_network(run, clustered)
    network.check_computes(f"cluster_run={clustered.id}")
    dataset = network.dataset(run.config["dataset"])
    check_dataset(dataset)
    code = model_code_of(network, clustered)
    partition = clustered.artifact("partition.npz")
    return Inputs(
        cluster_run=Input(clustered, clustered.id),
        partition=Input.of_bytes(partition, partitions.Partition.from_npz(partition)),
        network=Input.of_bytes(network.content, network),
        model_code=code,
        dataset=Input(dataset, dataset.digest()),
        unfinished=None if unfinished is None else Input(unfinished, unfinished.id),
    )


def unfinished_test(run: StageRun, stage: str, keep: Collection[str] = ()) -> Run | None:
    """Return the test to go on with, after its config, but for some keys, became this run's."""
    if run.config["resume"] is None:
        return None
    stored = run.unfinished_run("resume", stage)
    run.adopt_config(stored, keep=keep)
    return stored


def check_chosen_dataset(config: Mapping[str, Any]) -> None:
    """Check that there is the data set that the section `dataset` names, if it names one."""
    asked = {key: value for key, value in config["dataset"].items() if value is not None}
    if "name" in asked:
        datasets.require_dataset(**asked)


@contextmanager
def named(group: str) -> Iterator[None]:
    """Name a key by its group too, as the user set it, where its value is refused."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{group}.{error}") from None
