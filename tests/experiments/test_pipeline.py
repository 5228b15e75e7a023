"""The main job, from training to lesions, as a user runs it."""

import io
import json
import uuid

import numpy as np
import pandas
import pytest
import scipy.sparse
from sklearn.cluster import SpectralClustering

from experiments.pipeline import copy_figures
from nn_clustering.graphs import UnitGraph, graph_from_weights
from nn_clustering.networks import network_from_bytes
from nn_clustering.partitions import Partition, ncut
from nn_clustering.tracking import RunStore, Server, connect
from tests.experiments.conftest import PIPELINE_OPTIONS
from tests.tracking.stored_files import store_file

STAGES = ("train", "cluster", "shuffle_test", "lesion", "visualise")


def test_every_stage_is_a_completed_run_of_its_own(runs):
    assert [runs[stage].experiment for stage in STAGES] == list(STAGES)
    assert {run.status for run in runs.values()} == {"COMPLETED"}
    assert {run.config["seed"] for run in runs.values()} == {3}


def test_stages_are_chained_by_run_id(runs):
    ids = {stage: runs[stage].id for stage in STAGES}
    assert runs["pipeline"].info["lineage"] == {f"{stage}_run": ids[stage] for stage in STAGES}
    assert runs["cluster"].info["lineage"] == {"train_run": ids["train"]}
    assert runs["shuffle_test"].info["lineage"] == {"cluster_run": ids["cluster"]}
    assert runs["lesion"].info["lineage"] == {"cluster_run": ids["cluster"]}
    assert runs["visualise"].info["lineage"] == {"cluster_run": ids["cluster"]}


def test_summary_names_what_was_found_and_what_to_do_next(pipeline, runs):
    result = runs["pipeline"].result
    for expected in (
        f"{result['test_accuracy']:.4f}",
        f"{result['ncut']:.4f}",
        f"z = {result['z_score']:.2f}",
        f"train {runs['train'].id}, cluster {runs['cluster'].id}",
        "make up",
    ):
        assert expected in pipeline.stdout
    assert "Traceback" not in pipeline.stderr
    assert "Warning" not in pipeline.stderr


def test_figures_are_copied_where_the_summary_says(pipeline, runs, home):
    folder = home / "figures" / f"run_{runs['pipeline'].id}"
    assert str(folder) in pipeline.stdout
    names = {path.name for path in folder.iterdir()}
    figures = {
        "learning_curves",
        "clusters_by_layer",
        "network",
        "null_distribution",
        "lesions",
        "class_changes",
        "importance_by_size",
        "lesion_nulls",
        "contact_sheet_dense_1",
        "contact_sheet_dense_2",
        "score_nulls",
    }
    assert names == {f"{name}{ending}" for name in figures for ending in (".png", ".pdf")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in folder.glob("*.png"))
    assert all(path.read_bytes().startswith(b"%PDF-") for path in folder.glob("*.pdf"))


def test_figures_stay_in_their_folder(embedded_server, tmp_path):
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    folder = tmp_path / "figures" / "run_2"
    folder.mkdir(parents=True)
    entry = store_file(database, "x", b"png")
    names = ["../../escaped.png", str(tmp_path / "absolute.png"), "plain.png", "a.txt"]
    artifacts = [{**entry, "name": name} for name in names]
    database["runs"].insert_one({"_id": 1, "status": "COMPLETED", "artifacts": artifacts})
    try:
        copy_figures(RunStore(database, tmp_path / "home"), [1], folder)
    finally:
        database.client.drop_database(database.name)
        database.client.close()
    written = [path for path in tmp_path.rglob("*.png") if path.read_bytes() == b"png"]
    assert len(written) == 3
    assert {path.parent for path in written} == {folder}
    assert folder / "plain.png" in written


@pytest.mark.parametrize("phase", ["unpruned", "pruned"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_training_logs_every_epoch_of_every_phase(runs, phase, split):
    n_epochs = {"unpruned": 8, "pruned": 2}[phase]
    for measure in ("loss", "accuracy"):
        curve = runs["train"].metric(f"{phase}.{split}.{measure}")
        assert curve["step"].tolist() == list(range(1, n_epochs + 1))
        assert np.isfinite(curve["value"]).all()
    accuracies = runs["train"].metric(f"{phase}.test.accuracy")["value"]
    assert accuracies.iloc[-1] == runs["train"].result[phase]["test_accuracy"]


def test_stored_networks_have_the_sparsity_of_the_result(runs):
    for phase, zeros in (("unpruned", 0.0), ("pruned", 0.9)):
        network = network_from_bytes(runs["train"].artifact(f"{phase}.keras"), phase)
        kernels = [layer.kernel.numpy() for layer in network.layers if hasattr(layer, "kernel")]
        kept = [round((1 - zeros) * kernel.size) for kernel in kernels]
        assert [np.count_nonzero(kernel) for kernel in kernels] == kept
        sparsity = runs["train"].result[phase]["sparsity"]
        assert sparsity == 1 - sum(kept) / sum(kernel.size for kernel in kernels)


def test_partition_is_of_the_trained_network(runs):
    network = network_from_bytes(runs["train"].artifact("pruned.keras"), "pruned")
    graph = graph_from_weights(network)
    stored = UnitGraph.from_npz(runs["cluster"].artifact("graph.npz"))
    assert stored.layers == graph.layers
    for ours, theirs in zip(stored.edges, graph.edges, strict=True):
        np.testing.assert_array_equal(ours.weights, theirs.weights)
    partition = Partition.from_npz(runs["cluster"].artifact("partition.npz"))
    result = runs["cluster"].result
    assert ncut(graph, partition.labels) == result["ncut"]
    assert result["n_units"] == 64 + 32 + 32 + 10
    assert result["n_isolated"] == (partition.labels == -1).sum()
    assert result["cluster_sizes"] == partition.cluster_sizes()


def test_shuffle_test_logs_every_ncut_and_sums_them_up(runs):
    curve = runs["shuffle_test"].metric("shuffled_ncut")
    values = curve["value"].tolist()
    result = runs["shuffle_test"].result
    assert curve["step"].tolist() == list(range(5))
    assert result["shuffled_mean"] == pytest.approx(np.mean(values))
    assert result["z_score"] == pytest.approx(
        (result["ncut"] - np.mean(values)) / np.std(values, ddof=1)
    )
    assert result["p_value"] == (sum(value <= result["ncut"] for value in values) + 1) / 6


def test_lesion_table_agrees_with_the_result(runs):
    table = pandas.read_csv(io.BytesIO(runs["lesion"].artifact("sub_clusters.csv")))
    result = runs["lesion"].result
    assert len(table) == result["n_subclusters"]
    tidy = pandas.read_csv(io.BytesIO(runs["lesion"].artifact("class_changes.csv")))
    assert len(tidy) == 10 * len(table)
    by_class = tidy.set_index(["layer", "label", "class"])["change"]
    assert set(table["layer"]) <= {"dense_1", "dense_2"}
    partition = Partition.from_npz(runs["cluster"].artifact("partition.npz"))
    sizes = {(sub.layer, sub.label): len(sub.units) for sub in partition.sub_clusters()}
    for _, row in table.iterrows():
        assert row["n_units"] == sizes[row["layer"], row["label"]]
        changes = by_class[row["layer"], row["label"]]
        assert row["class_mean_change"] == pytest.approx(changes.mean(), abs=1e-12)
        assert row["most_harmed_change"] == changes.min()
        if changes.min():
            assert changes[int(row["most_harmed_class"])] == changes.min()
    assert result["accuracy"] == runs["train"].result["pruned"]["test_accuracy"]


def test_run_documents_are_plain_json(runs):
    for run in runs.values():
        json.dumps([run.config, run.result, run.info])
        assert "py/" not in json.dumps(run.result)


def test_same_seed_same_numbers_with_one_worker_and_with_four(runs, run_experiment, store):
    for n_workers in (1, 4):
        finished = run_experiment(
            "shuffle_test",
            "with",
            "fast",
            f"cluster_run={runs['cluster'].id}",
            f"n_workers={n_workers}",
            "seed=3",
        )
        assert finished.returncode == 0, finished.stderr
        repeated = store.run(finished.run_id, experiment="shuffle_test")
        assert repeated.config["n_workers"] == n_workers
        assert repeated.result == runs["shuffle_test"].result
        curves = [run.metric("shuffled_ncut") for run in (runs["shuffle_test"], repeated)]
        assert curves[0]["value"].tolist() == curves[1]["value"].tolist()
        assert curves[0]["step"].tolist() == curves[1]["step"].tolist()


def test_same_seed_same_network_labels_and_p_values(runs, run_experiment, store):
    finished = run_experiment("pipeline", *PIPELINE_OPTIONS, "reuse=False")
    assert finished.returncode == 0, finished.stderr
    assert "using " not in finished.stdout
    again = store.run(finished.run_id, experiment="pipeline")
    first = {key: value for key, value in runs["pipeline"].result.items() if key != "runs"}
    assert {key: value for key, value in again.result.items() if key != "runs"} == first
    partitions = [
        Partition.from_npz(store.run(run.result["runs"]["cluster"]).artifact("partition.npz"))
        for run in (runs["pipeline"], again)
    ]
    np.testing.assert_array_equal(partitions[0].labels, partitions[1].labels)


def test_scikit_learn_finds_no_better_ncut_for_the_trained_network(runs):
    graph = UnitGraph.from_npz(runs["cluster"].artifact("graph.npz"))
    connected = graph.without_isolated()
    adjacency = scipy.sparse.csr_matrix(connected.adjacency())
    adjacency.indices = adjacency.indices.astype(np.int32)
    adjacency.indptr = adjacency.indptr.astype(np.int32)
    n_clusters = runs["cluster"].config["n_clusters"]
    clustering = SpectralClustering(
        n_clusters, affinity="precomputed", eigen_solver="arpack", n_init=25, random_state=0
    )
    theirs = ncut(connected, clustering.fit_predict(adjacency))
    assert theirs >= 0.99 * runs["cluster"].result["ncut"]
