"""Cluster a graph with many numbers of clusters, to choose one: n-cut and eigengap.

python experiments/choose_k.py with cluster_run=latest k_max=30
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure
from experiments._partitions import clustering_config, volume_constant
from experiments._titles import title_on
from nn_clustering import graphs, partitions, reports
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    from nn_clustering.graphs import UnitGraph
    from nn_clustering.tracking import Run, StageRun

experiment = StageExperiment("choose_k", base_dir=PROJECT, save_git_info=False)
configure(experiment)


@dataclass(frozen=True)
class Inputs:
    """The clustering whose graph is clustered with other numbers of clusters."""

    cluster_run: Input[Run]
    graph: Input[UnitGraph]


def inputs(run: StageRun) -> Inputs:
    """Check the numbers and read the clustered graph."""
    k_min, k_max = run.config["k_min"], run.config["k_max"]
    if not 2 <= k_min <= k_max:
        raise InvalidInputError(f"k_min={k_min} k_max={k_max}; expected 2 <= k_min <= k_max")
    clustered = run.read_run("cluster_run", "cluster")
    content = clustered.artifact("graph.npz")
    graph = graphs.UnitGraph.from_npz(content)
    n_connected = int((~graph.isolated).sum())
    if k_max > n_connected:
        raise InvalidInputError(
            f"k_max={k_max}; expected at most {n_connected}, the number of units that have edges "
            f"in the graph of run {clustered.id}"
        )
    return Inputs(Input(clustered, clustered.id), Input.of_bytes(content, graph))


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print the suggested number of clusters."""
    k = result["suggested"]
    if k is None:
        print("\nno eigengap: there are as many clusters as units")
        return
    print(
        f"\nlargest eigengap {result['eigengap']:.4f} at {k} clusters, of {run.config['k_min']} to "
        f"{run.config['k_max']}: n-cut {result['ncut']:.4f}, n-cut / k {result['ncut'] / k:.4f}"
    )


@experiment.stage(inputs=inputs, summary=summary)
def choose_k(run: StageRun[Inputs]) -> dict[str, Any]:
    """Cluster with every k; the result holds the k of the largest eigengap and its n-cut."""
    clustered, graph = run.inputs.cluster_run.value, run.inputs.graph.value
    ks = range(run.config["k_min"], run.config["k_max"] + 1)
    with run.progress(len(ks), "numbers of clusters") as bar:

        def log(k: int, value: float) -> None:
            run.log("ncut", value, k)
            bar.update()

        numbers = partitions.cluster_numbers(
            graph,
            ks,
            seed=run.seed,
            **clustering_config(clustered)["kmeans"],
            assign_labels=clustered.config["partition"]["assign_labels"],
            volume_constant=volume_constant(clustered.config),
            on_clustering=log,
        )
    table = numbers.table()
    run.add_artifact("cluster_numbers.csv", table.to_csv(index=False).encode())
    title = title_on(run, clustered, of_clusters=False)
    run.add_figure("cluster_numbers", reports.figure_of_cluster_numbers(numbers, title))
    chosen = table[table["n_clusters"] == numbers.suggested].to_dict("records")
    return {
        "suggested": numbers.suggested,
        "ncut": chosen[0]["ncut"] if chosen else None,
        "eigengap": chosen[0]["eigengap"] if chosen else None,
    }


if __name__ == "__main__":
    experiment.run_commandline()
