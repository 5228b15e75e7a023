"""Agreement of clusterings: of one network's weights and activations, and of two networks."""

import io

import keras
import numpy as np
import pandas
import pytest
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from experiments import agreement
from nn_clustering.errors import NnClusteringError
from nn_clustering.graphs import UnitGraph
from nn_clustering.partitions import Partition, mean_weights, profile_overlap
from tests.experiments.conftest import DATABASE

HIDDEN = ["dense_1", "dense_2"]


@pytest.fixture(scope="module")
def of_activations(run_experiment, store, runs):
    """The network of the pipeline, clustered by its activations."""
    options = ["activations", "n_clusters=3", "stability.n_seeds=0"]
    finished = run_experiment("cluster", "with", f"train_run={runs['train'].id}", *options)
    assert finished.returncode == 0, finished.stderr
    return store.run(finished.run_id, experiment="cluster")


@pytest.fixture(scope="module")
def of_other_seed(run_experiment, store, runs):
    """Another network of the same kind and data, clustered by its weights."""
    finished = run_experiment("train", "with", "mlp", "digits", "fast", "seed=11")
    assert finished.returncode == 0, finished.stderr
    options = [f"train_run={finished.run_id}", "n_clusters=3", "stability.n_seeds=0"]
    finished = run_experiment("cluster", "with", *options)
    assert finished.returncode == 0, finished.stderr
    return store.run(finished.run_id, experiment="cluster")


@pytest.fixture
def compared(home, monkeypatch):
    """The result of a comparison in this process, which is not stored."""
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", DATABASE)

    def compare(first, second, **updates):
        given = {"cluster_run": first, "other_run": second, "n_permutations": 9, **updates}
        return agreement.experiment.run(config_updates=given).result

    return compare


def read(run):
    return (
        UnitGraph.from_npz(run.artifact("graph.npz")),
        Partition.from_npz(run.artifact("partition.npz")),
    )


def labels_of(partition, names):
    return np.concatenate([labels for layer, labels in partition.by_layer() if layer.name in names])


def ncut_by_definition(adjacency, labels):
    """The sum over clusters of what leaves them over all that they have."""
    total = 0.0
    for label in np.unique(labels):
        inside = labels == label
        total += adjacency[inside][:, ~inside].sum() / adjacency[inside].sum()
    return total


def test_weights_and_activations_of_one_network(run_experiment, store, runs, of_activations):
    weights = runs["cluster"]
    options = [f"cluster_run={weights.id}", f"other_run={of_activations.id}"]
    finished = run_experiment("agreement", "with", "fast", *options)
    assert finished.returncode == 0, finished.stderr
    run = store.run(finished.run_id, experiment="agreement")
    result = run.result

    (_, first), (activation_graph, second) = read(weights), read(of_activations)
    one, other = labels_of(first, HIDDEN), labels_of(second, HIDDEN)
    both = (one >= 0) & (other >= 0)
    assert result["layers"] == HIDDEN
    assert result["n_units"] == both.sum()
    ari, nmi = result["adjusted_rand"], result["mutual_information"]
    assert ari["observed"] == pytest.approx(adjusted_rand_score(one[both], other[both]))
    assert nmi["observed"] == pytest.approx(normalized_mutual_info_score(one[both], other[both]))
    assert result["profile_overlap"]["observed"] == pytest.approx(profile_overlap(first, second))
    for test in (ari, nmi, result["profile_overlap"]):
        assert test["p_value"] in [rank / 10 for rank in range(1, 11)]
        assert test["z_score"] == pytest.approx(
            (test["observed"] - test["null_mean"]) / test["null_std"]
        )

    # all activations are of units that the graph of weights has too
    assert len(second.labels) == len(both)
    adjacency = activation_graph.adjacency().toarray()[np.ix_(both, both)]
    own, transfer = (ncut_by_definition(adjacency, labels[both]) for labels in (other, one))
    n_own, n_transfer = (len(set(labels[both])) for labels in (other, one))
    assert n_own != n_transfer
    assert result["transfer"]["other_run"] == pytest.approx(
        {
            "own_ncut": own,
            "own_n_clusters": n_own,
            "own_per_cluster": own / n_own,
            "transfer_ncut": transfer,
            "transfer_n_clusters": n_transfer,
            "transfer_per_cluster": transfer / n_transfer,
        },
        rel=1e-5,
    )
    assert (
        f"by the other's {n_transfer} clusters {transfer:.4f} ({transfer / n_transfer:.4f} a "
        f"cluster); n-cuts of {n_own} and of {n_transfer} clusters are not on one scale"
    ) in finished.stdout
    assert result["transfer"]["cluster_run"]["own_ncut"] > 0
    assert result["mean_r_squared"]["cluster_run"] is None
    labels = np.where(both, other, -1)
    expected = mean_weights(activation_graph, labels)
    found = result["mean_r_squared"]["other_run"]
    assert found["own"] == pytest.approx({"within": expected.within, "between": expected.between})
    assert found["own"]["within"] > found["other"]["within"]

    table = pandas.read_csv(io.BytesIO(run.artifact("contingency.csv")), index_col="cluster")
    for (row, column), count in table.stack().items():
        label = int(column.removeprefix("other_"))
        assert count == ((one == row) & (other == label)).sum()
    assert table.to_numpy().sum() == both.sum()
    for name in ("contingency.png", "profiles.png"):
        assert run.artifact(name).startswith(b"\x89PNG")
    lineage = {"cluster_run": weights.id, "other_run": of_activations.id}
    assert run.info["lineage"] == lineage
    assert f"adjusted Rand index {ari['observed']:.4f}" in finished.stdout
    assert f"of {both.sum()} units in the layers dense_1, dense_2" in finished.stdout


def test_networks_of_two_seeds(compared, runs, of_other_seed):
    """Their pixels and classes are the same, their hidden units are not."""
    (_, first), (_, second) = read(runs["cluster"]), read(of_other_seed)
    result = compared(runs["cluster"].id, of_other_seed.id)
    ends = ["input", "output"]
    assert result["layers"] == ends
    one, other = labels_of(first, ends), labels_of(second, ends)
    both = (one >= 0) & (other >= 0)
    assert result["n_units"] == both.sum()
    assert result["adjusted_rand"]["observed"] == pytest.approx(
        adjusted_rand_score(one[both], other[both])
    )
    # no weights join the inputs to the outputs
    assert result["transfer"] == {"cluster_run": None, "other_run": None}
    assert 0 < result["profile_overlap"]["observed"] <= 1


def test_layers_of_ones_choice(compared, runs, of_other_seed):
    result = compared(runs["cluster"].id, of_other_seed.id, layers=["input", "dense_1"])
    assert result["layers"] == ["input", "dense_1"]
    assert result["transfer"]["other_run"]["transfer_ncut"] > 0


def test_activations_of_two_seeds(compared, of_activations, of_other_seed):
    """Neither inputs nor outputs are among the units of activations: nothing corresponds."""
    result = compared(of_activations.id, of_other_seed.id)
    assert result["layers"] == []
    assert result["n_units"] == 0
    assert result["adjusted_rand"] is None
    assert result["mutual_information"] is None
    assert 0 < result["profile_overlap"]["observed"] <= 1


@pytest.mark.parametrize(
    ("updates", "expected"),
    [
        ({"other_run": None}, "other_run=None"),
        ({"other_run": "cluster_run"}, "one run, which agrees with itself; expected two"),
        ({"n_permutations": 1}, "n_permutations=1; expected an integer of 2 or more"),
        ({"layers": "dense_1"}, "layers='dense_1'; expected a list of names"),
        ({"layers": []}, "layers=[]; expected a list of names"),
        ({"layers": ["dense_7"]}, "layers=['dense_7']: the layers that both"),
        ({"layers": ["input"]}, "layers=['input']: the layers that both"),
    ],
)
def test_mistakes_are_refused(compared, runs, of_activations, updates, expected):
    first, second = runs["cluster"].id, of_activations.id
    if updates.get("other_run") == "cluster_run":
        updates = {"other_run": first}
    with pytest.raises(NnClusteringError) as refusal:
        compared(first, updates.pop("other_run", second), **updates)
    assert expected in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_networks_of_other_architectures_are_refused(
    compared, run_experiment, store, runs, tmp_path
):
    path = tmp_path / "other.keras"
    keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(4, name="a"), keras.layers.Dense(3, name="b")]
    ).save(path)
    finished = run_experiment(
        "cluster", "with", f"model={path}", "n_clusters=2", "stability.n_seeds=0"
    )
    assert finished.returncode == 0, finished.stderr
    other = store.run(finished.run_id, experiment="cluster")
    with pytest.raises(NnClusteringError, match="share no layer of the same name and number of"):
        compared(runs["cluster"].id, other.id)
