"""A graph that is of no network: clustered, tested, and not lesioned."""

import networkx
import numpy as np
import pytest

from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions import Partition


@pytest.fixture(scope="module")
def club(tmp_path_factory):
    """Zachary's karate club as a list of edges."""
    path = tmp_path_factory.mktemp("graph") / "club.npz"
    edges = networkx.karate_club_graph().edges(data="weight")
    sources, targets, weights = zip(*edges, strict=True)
    np.savez(path, sources=sources, targets=targets, weights=weights)
    return path


@pytest.fixture(scope="module")
def finished(run_experiment, club):
    """Its clustering, with a line of standard error for every module that was imported."""
    arguments = ["graph.source=file", f"graph.file={club}", "n_clusters=2", "stability.n_seeds=2"]
    done = run_experiment(
        "cluster", "with", *arguments, in_new_interpreter=True, PYTHONPROFILEIMPORTTIME="1"
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def clustered(finished, store):
    return store.run(finished.run_id, experiment="cluster")


def test_neither_run_nor_network_is_needed_nor_tensorflow(finished):
    imported = {line.split("|")[-1].strip() for line in finished.stderr.splitlines()}
    assert "scipy" in imported  # the list is one
    assert not {"tensorflow", "keras"} & imported
    assert "shuffle_test.py" in finished.stdout
    assert "lesion.py" not in finished.stdout


def test_the_run_holds_graph_partition_and_what_it_is_about(clustered, club):
    graph = UnitGraph.from_npz(clustered.artifact("graph.npz"))
    assert graph.n_units == 34
    assert np.array_equal(
        graph.degrees, [d for _, d in networkx.karate_club_graph().degree(weight="weight")]
    )
    labels = Partition.from_npz(clustered.artifact("partition.npz")).labels
    parts = [set(np.flatnonzero(labels == label).tolist()) for label in (0, 1)]
    cut = networkx.normalized_cut_size(networkx.karate_club_graph(), *parts, weight="weight")
    assert clustered.result["ncut"] == pytest.approx(cut)
    assert clustered.result["n_dead"] == 0
    assert {"partition.csv", "network.pdf", "network.txt", "clusters_by_layer.png"} <= set(
        clustered.artifacts
    )
    assert "network.keras" not in clustered.artifacts
    digest = clustered.info["inputs"]["graph"]
    assert clustered.about == {"network": {"kind": club.name, "sha256": digest}}


def test_it_is_tested_and_chosen_for(run_experiment, store, clustered):
    options = ["n_shuffles=19", "n_workers=1"]
    for method in ("layer", "all_edges"):
        tested = run_experiment(
            "shuffle_test", "with", f"cluster_run={clustered.id}", f"method={method}", *options
        )
        assert tested.returncode == 0, tested.stderr
        result = store.run(tested.run_id, experiment="shuffle_test").result
        assert result["ncut"] == clustered.result["ncut"] < result["shuffled_mean"]
    chosen = run_experiment("choose_k", "with", f"cluster_run={clustered.id}", "k_max=4")
    assert chosen.returncode == 0, chosen.stderr
    assert store.run(chosen.run_id, experiment="choose_k").about == clustered.about


def test_two_clusterings_of_it_agree_unit_by_unit(run_experiment, store, clustered, club):
    arguments = ["graph.source=file", f"graph.file={club}", "n_clusters=3", "stability.n_seeds=0"]
    other = run_experiment("cluster", "with", *arguments)
    assert other.returncode == 0, other.stderr
    compared = run_experiment(
        "agreement", "with", "fast", f"cluster_run={clustered.id}", f"other_run={other.run_id}"
    )
    assert compared.returncode == 0, compared.stderr
    assert store.run(compared.run_id, experiment="agreement").result["n_units"] == 34


@pytest.mark.parametrize(
    ("stage", "option"),
    [
        ("lesion", "dataset.name=digits"),
        ("shuffle_test", "kernels=weights"),
        ("shuffle_test", "fresh_initialisation"),
    ],
)
def test_what_needs_a_network_is_refused(run_experiment, store, clustered, stage, option):
    before = store.count(experiment=stage)
    finished = run_experiment(stage, "with", f"cluster_run={clustered.id}", option)
    assert finished.returncode == 1
    (line,) = [line for line in finished.stderr.splitlines() if line.startswith("Error: ")]
    assert f"run {clustered.id} has graph.source=file" in line
    assert store.count(experiment=stage) == before
