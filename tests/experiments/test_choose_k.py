"""Choosing a number of clusters: what a run stores, and what is refused."""

import io

import pandas
import pytest

from experiments import choose_k
from experiments._partitions import clustering_config
from nn_clustering.errors import NnClusteringError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions import cluster_numbers
from tests.experiments.conftest import DATABASE


def test_every_number_of_clusters(run_experiment, store, runs):
    clustered = runs["cluster"]
    options = ["with", "fast", f"cluster_run={clustered.id}", "seed=3"]
    finished = run_experiment("choose_k", *options)
    assert finished.returncode == 0, finished.stderr
    run = store.run(finished.run_id, experiment="choose_k")
    graph = UnitGraph.from_npz(clustered.artifact("graph.npz"))
    numbers = cluster_numbers(graph, [2, 3, 4, 5], seed=3, **clustering_config(clustered)["kmeans"])
    table = pandas.read_csv(io.BytesIO(run.artifact("cluster_numbers.csv")))
    assert table["n_clusters"].tolist() == [2, 3, 4, 5]
    assert table["ncut"].tolist() == pytest.approx(numbers.ncuts.tolist(), rel=1e-12)
    assert table["eigengap"].tolist() == pytest.approx(numbers.eigengaps.tolist(), rel=1e-9)
    # the clustering run has seed 3 too
    own = table.set_index("n_clusters")["ncut"][clustered.config["n_clusters"]]
    assert own == pytest.approx(clustered.result["ncut"], rel=1e-12)
    curve = run.metric("ncut")
    assert curve["step"].tolist() == [2, 3, 4, 5]
    assert curve["value"].tolist() == numbers.ncuts.tolist()
    assert run.result["suggested"] == numbers.suggested
    chosen = table.set_index("n_clusters").loc[numbers.suggested]
    assert run.result["ncut"] == pytest.approx(chosen["ncut"])
    assert run.result["eigengap"] == pytest.approx(chosen["eigengap"])
    assert run.artifact("cluster_numbers.png").startswith(b"\x89PNG")
    assert run.info["lineage"] == {"cluster_run": clustered.id}
    said = f"largest eigengap {run.result['eigengap']:.4f} at {numbers.suggested} clusters"
    assert said in finished.stdout
    assert f"using choose_k run {run.id}" in run_experiment("choose_k", *options).stdout


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ({"k_min": 1}, "k_min=1 k_max=20; expected 2 <= k_min <= k_max"),
        ({"k_min": 7, "k_max": 6}, "k_min=7 k_max=6"),
        ({"k_max": 500}, "k_max=500; expected at most"),
        ({"cluster_run": None}, "cluster_run=None"),
    ],
)
def test_mistakes_are_refused(runs, home, monkeypatch, updates, expected):
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", DATABASE)
    with pytest.raises(NnClusteringError) as refusal:
        choose_k.experiment.run(config_updates={"cluster_run": runs["cluster"].id, **updates})
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)
