"""Do two clusterings agree: of one network's weights and activations, or of two networks?

python experiments/agreement.py with cluster_run=12 other_run=15
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas
from numpy.typing import NDArray

from experiments import PROJECT, configure
from experiments._graph_files import have_one_graph, is_of_file
from experiments._keras import import_keras
from experiments._networks import NetworkFile, clustered_network
from experiments._titles import titles_apart
from experiments._undefined import none_if_nan
from nn_clustering import graphs, partitions, reports, significance
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import structure
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    from nn_clustering.graphs import UnitGraph
    from nn_clustering.partitions import CommonUnits, Contingency, Partition
    from nn_clustering.significance import PermutationTest
    from nn_clustering.tracking import Run, StageRun

# The config keys that name the two runs.
RUNS = ("cluster_run", "other_run")

experiment = StageExperiment("agreement", base_dir=PROJECT, save_git_info=False)
configure(experiment)


@dataclass(frozen=True)
class Clustering:
    """What a clustering run has made."""

    run: Run
    graph: UnitGraph = field(repr=False)
    partition: Partition = field(repr=False)

    @property
    def is_of_correlations(self) -> bool:
        """Whether the weights of the graph are squared correlations."""
        settings = self.run.config["graph"]
        return settings["source"] == "activations" and not settings["commute_time"]


@dataclass(frozen=True)
class Inputs:
    """The two clusterings, and the layers whose units are compared one by one."""

    cluster_run: Input[Clustering]
    other_run: Input[Clustering]
    layers: Input[tuple[str, ...]]


def inputs(run: StageRun) -> Inputs:
    """Check the numbers and read the two graphs and their partitions."""
    significance.check_n_permutations(run.config["n_permutations"])
    read = {}
    for key in RUNS:
        clustered = run.read_run(key, "cluster")
        contents = [clustered.artifact(name) for name in ("graph.npz", "partition.npz")]
        graph = graphs.UnitGraph.from_npz(contents[0])
        partition = partitions.Partition.from_npz(contents[1])
        read[key] = Input.of_bytes(b"".join(contents), Clustering(clustered, graph, partition))
    first, second = (one.value for one in read.values())
    if first.run.id == second.run.id:
        raise InvalidInputError(
            f"cluster_run={first.run.id} other_run={second.run.id}: one run, which agrees with "
            "itself; expected two"
        )
    partitions.common_layers(first.partition, second.partition)  # refuses networks that share none
    layers = _layers_to_compare(run, first, second)
    if layers:
        partitions.common_units(first.partition, second.partition, layers)
    return Inputs(**read, layers=Input(layers, ",".join(layers)))


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print how far the two partitions agree, beside chance."""
    print()
    for key, name in (
        ("adjusted_rand", "adjusted Rand index"),
        ("mutual_information", "normalised mutual information"),
        ("profile_overlap", "overlap of the clusters' shares of the layers"),
    ):
        test = result[key]
        if test is not None:
            z_score = "undefined" if test["z_score"] is None else f"{test['z_score']:.2f}"
            print(
                f"{name} {test['observed']:.4f}, permuted {test['null_mean']:.4f} (std "
                f"{test['null_std']:.4f}): z = {z_score}, p = {test['p_value']:.3g} of "
                f"{run.config['n_permutations']} permutations"
            )
    if result["layers"]:
        print(f"of {result['n_units']} units in the layers {', '.join(result['layers'])}")
    else:
        print("no units compared one by one: the networks' units do not correspond")
    for key in RUNS:
        if result["transfer"][key] is not None:
            print(_transfer_in_words(run.config[key], result["transfer"][key]))


def _transfer_in_words(cluster_run: int, transfer: Mapping[str, Any]) -> str:
    text = (
        "n-cut of run {}'s graph {own_ncut:.4f} of {own_n_clusters} clusters ({own_per_cluster:.4f}"
        " a cluster), by the other's {transfer_n_clusters} clusters {transfer_ncut:.4f} "
        "({transfer_per_cluster:.4f} a cluster)"
    ).format(cluster_run, **transfer)
    own, other = transfer["own_n_clusters"], transfer["transfer_n_clusters"]
    if own == other:
        return text
    return text + (
        f"; n-cuts of {own} and of {other} clusters are not on one scale: compare them a cluster, "
        f"and with (k - 1)/k by chance, {1 - 1 / own:.4f} and {1 - 1 / other:.4f}"
    )


@experiment.stage(inputs=inputs, summary=summary)
def agreement(run: StageRun[Inputs]) -> dict[str, Any]:
    """Compare two partitions; the result holds agreement and nulls, transfer n-cuts, mean r^2."""
    first, second = run.inputs.cluster_run.value, run.inputs.other_run.value
    layers = run.inputs.layers.value
    title, names = titles_apart(first.run, second.run)
    result: dict[str, Any] = {
        "layers": list(layers),
        "n_units": 0,
        "adjusted_rand": None,
        "mutual_information": None,
        "profile_overlap": _profile_overlap(run, first.partition, second.partition, names, title),
        "transfer": dict.fromkeys(RUNS),
        "mean_r_squared": dict.fromkeys(RUNS),
    }
    if not layers:
        return result
    units = partitions.common_units(first.partition, second.partition, layers)
    result["n_units"] = units.n_units
    result.update(_agreement(run, units, names, title))
    for key, own, other in ((RUNS[0], first, second), (RUNS[1], second, first)):
        result["transfer"][key], result["mean_r_squared"][key] = _on_graph(own, other, layers)
    return result


def _agreement(
    run: StageRun, units: CommonUnits, names: tuple[str, str], title: str
) -> dict[str, Any]:
    n_permutations = run.config["n_permutations"]
    with run.progress(n_permutations, "permutations") as bar:
        test = significance.agreement_test(
            units, n_permutations=n_permutations, seed=run.seed, on_permutation=bar.update
        )
    table = units.contingency()
    run.add_artifact("contingency.csv", _as_csv(table).encode())
    run.add_figure("contingency", reports.figure_of_contingency(table, names, title))
    return {
        "adjusted_rand": _described(test.adjusted_rand),
        "mutual_information": _described(test.mutual_information),
    }


def _profile_overlap(
    run: StageRun, first: Partition, second: Partition, names: tuple[str, str], title: str
) -> dict[str, Any]:
    test = significance.profile_test(
        first, second, n_permutations=run.config["n_permutations"], seed=run.seed
    )
    run.add_figure("profiles", reports.figure_of_profiles(first, second, names, title))
    return _described(test)


def _on_graph(
    own: Clustering, other: Clustering, layers: tuple[str, ...]
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the n-cuts of a graph by both partitions, and its mean r^2 if it has such."""
    shared = partitions.shared_graph(own.graph, own.partition, other.partition, layers)
    if shared.own_ncut is None or shared.transfer_ncut is None:
        return None, None
    n_own, n_other = shared.own_n_clusters, shared.other_n_clusters
    ncuts = {
        "own_ncut": shared.own_ncut,
        "own_n_clusters": n_own,
        "own_per_cluster": shared.own_ncut / n_own,
        "transfer_ncut": shared.transfer_ncut,
        "transfer_n_clusters": n_other,
        "transfer_per_cluster": shared.transfer_ncut / n_other,
    }
    if not own.is_of_correlations:
        return ncuts, None
    return ncuts, {
        "own": _mean_r_squared(shared.graph, shared.own),
        "other": _mean_r_squared(shared.graph, shared.other),
    }


def _mean_r_squared(graph: UnitGraph, labels: NDArray[np.int32]) -> dict[str, float | None]:
    means = partitions.mean_weights(graph, labels)
    return {"within": none_if_nan(means.within), "between": none_if_nan(means.between)}


def _as_csv(table: Contingency) -> str:
    """Return the counts with a row a cluster of the first and a column a cluster of the other."""
    columns = [f"other_{label}" for label in table.second]
    frame = pandas.DataFrame(table.counts, columns=columns)
    frame.insert(0, "cluster", table.first)
    return frame.to_csv(index=False)


def _described(test: PermutationTest) -> dict[str, float | None]:
    return {
        "observed": test.observed,
        "null_mean": test.mean,
        "null_std": test.std,
        "z_score": none_if_nan(test.z_score),
        "p_value": test.p_value,
    }


def _layers_to_compare(run: StageRun, first: Clustering, second: Clustering) -> tuple[str, ...]:
    """Return the layers whose units correspond one by one; none if no units do."""
    shared = [layer.name for layer in first.partition.layers if layer in second.partition.layers]
    given = run.config["layers"]
    if given is not None:
        if not given or isinstance(given, str) or not all(isinstance(name, str) for name in given):
            raise InvalidInputError(
                f"layers={given!r}; expected a list of names, layers=\"['first','second']\", of "
                f"{', '.join(shared) or 'which both runs share none'}"
            )
        return tuple(given)
    if is_of_file(first.run.config) or is_of_file(second.run.config):
        return tuple(shared) if have_one_graph(first.run, second.run) else ()
    return _layers_of_networks(run, first, second, shared)


def _layers_of_networks(
    run: StageRun, first: Clustering, second: Clustering, shared: list[str]
) -> tuple[str, ...]:
    one, other = (clustered_network(run, clustering.run) for clustering in (first, second))
    if one.content == other.content:
        return tuple(shared)
    if one.training is None or other.training is None:
        return ()
    if one.training.id == other.training.id:
        return tuple(shared)
    if one.training.config["dataset"] != other.training.config["dataset"]:
        return ()
    ends = _ends(one).intersection(_ends(other))
    return tuple(name for name in shared if name in ends)


def _ends(file: NetworkFile) -> set[str]:
    """Return the names of a network's layers of inputs and of outputs."""
    import_keras()
    weights = structure.read_weights(file.network)
    everything = {"inputs": True, "outputs": True, "dense_layers": True}
    read = {
        index for reader in graphs.weight_readers(weights, **everything) for index in reader.sources
    }
    return {
        units.name
        for index, units in enumerate(graphs.unit_sets(weights, **everything))
        if units.arises_from == "input" or index not in read
    }


if __name__ == "__main__":
    experiment.run_commandline()
