"""Null models of a transformer through the stages: its raw kernels are shuffled, or its heads."""

import keras
import pytest

from experiments._partitions import clustering_config, clustering_with_starts
from nn_clustering.graphs import UnitGraph
from nn_clustering.networks.structure import read_weights
from nn_clustering.significance import permuted_values, shuffle_test, shuffled_kernels
from tests.experiments.in_process import refusal
from tests.planted_transformer import planted_transformer


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "planted.keras"
    planted_transformer().save(path)
    return path


@pytest.fixture(scope="module")
def clustered(run_experiment, store, network):
    """By the rule that a network with attention has where none is named."""
    finished = run_experiment("cluster", "with", f"model={network}", "n_clusters=2")
    assert finished.returncode == 0, finished.stderr
    return store.run(finished.run_id)


def test_raw_kernels_are_shuffled_where_an_edge_is_made_of_several(
    run_experiment, store, network, clustered
):
    """The graph's stored edges are products, which no null model looks at."""
    weights = read_weights(keras.saving.load_model(network))
    graph = UnitGraph.from_npz(clustered.artifact("graph.npz"))
    assert "token_embedding" not in {layer.name for layer in graph.layers}
    settings = {"residual": "contracted"}
    for method, null in (
        ("layer", shuffled_kernels(weights, "layer", settings)),
        ("heads", permuted_values(weights, "heads", settings)),
    ):
        arguments = (f"cluster_run={clustered.id}", f"method={method}", "n_shuffles=3")
        finished = run_experiment("shuffle_test", "with", *arguments, "n_workers=1")
        assert finished.returncode == 0, finished.stderr
        result = store.run(finished.run_id).result
        cluster = clustering_with_starts(clustering_config(clustered))
        expected = shuffle_test(null, cluster, clustered.result["ncut"], n_shuffles=3, seed=0)
        assert result["shuffled_mean"] == pytest.approx(expected.mean, rel=1e-6)
        assert result["shuffled_mean"] > 2 * result["ncut"]


def test_edges_that_are_made_of_several_kernels_are_not_shuffled(clustered, here):
    told = refusal("shuffle_test", f"cluster_run={clustered.id}", "kernels=norms")
    assert "graph.residual=contracted, with kernels=norms method=layer" in told
    assert "expected kernels=weights" in told
