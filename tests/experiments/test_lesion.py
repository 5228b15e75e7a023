"""Lesions as a user makes them: tables, pairs, single units, regressions, resuming, refusals."""

import io

import keras
import numpy as np
import pandas
import pytest
from sacred.arg_parser import get_config_updates

from experiments import lesion
from nn_clustering.errors import NnClusteringError
from nn_clustering.partitions import Partition
from tests.experiments.conftest import DATABASE, identity_of
from tests.planted_transformer import TOKENS, planted_transformer, samples


@pytest.fixture
def in_process(store, home, monkeypatch):
    """Runs a lesion test in this process, untracked; returns its run."""
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", DATABASE)

    def run(*arguments):
        updates, named = get_config_updates(arguments)
        return lesion.experiment.run(config_updates=updates, named_configs=named)

    return run


def finished_run(run_experiment, store, stage, *arguments):
    finished = run_experiment(stage, "with", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "Warning" not in finished.stderr
    return store.run(finished.run_id, experiment=stage), finished.stdout


def table_of(run, name):
    table = pandas.read_csv(io.BytesIO(run.artifact(f"{name}.csv")), keep_default_na=False)
    parquet = pandas.read_parquet(io.BytesIO(run.artifact(f"{name}.parquet")))
    assert table.columns.tolist() == parquet.columns.tolist()
    assert len(table) == len(parquet)
    return parquet


def test_everything_at_once(run_experiment, store, runs):
    """Pairs of all sub-clusters and single units beside the sub-clusters themselves."""
    run, printed = finished_run(
        run_experiment, store, "lesion", "fast", "double", "single_units", "mean",
        f"cluster_run={runs['cluster'].id}", "double.sub_clusters=all", "n_shuffles=9", "seed=4",
    )  # fmt: skip
    result = run.result
    table = table_of(run, "sub_clusters")
    assert len(table) == result["n_subclusters"] == sum(result["kinds"].values())
    assert run.metric("importance_p")["value"].tolist() == table["importance_p"].tolist()
    assert run.metric("accuracy_change")["value"].tolist() == table["accuracy_change"].tolist()
    effects = table_of(run, "random_effects")
    assert len(effects) == 9
    for measure in ("importance", "coherence"):
        found = result[measure]
        for key, column in (("effect", "effect"), ("effect_ratio", "ratio")):
            of_draws = effects[f"{measure}_{column}"]
            assert found[f"{key}_null"] == pytest.approx(of_draws.mean())
            assert found[f"{key}_null_low"] == pytest.approx(np.quantile(of_draws, 0.05))
        assert found["joint_layers"] <= 2
        assert found["joint_p"] >= found["joint_p_smallest"] >= 1 / 100
        assert f"place of the partition have {found['effect_null']:.3f} (" in printed
    n = len(table)
    pairs = table_of(run, "double_lesions")
    assert pairs["lesion"].value_counts().to_dict() == {
        "joint": n * (n + 1) // 2,
        "conditional": n * (n - 1),
    }
    alone = pairs[
        (pairs["layer"] == pairs["other_layer"]) & (pairs["label"] == pairs["other_label"])
    ]
    assert alone["score"].tolist() == table["accuracy_change"].tolist()
    assert result["double"]["n_sub_clusters"] == n
    units = table_of(run, "units")
    assert units["layer"].value_counts().to_dict() == {"dense_1": 32, "dense_2": 32}
    assert len(table_of(run, "unit_class_changes")) == 64 * 10
    for name in ("lesions", "class_changes", "importance_by_size", "lesion_nulls", "dependencies"):
        assert run.artifact(f"{name}.png").startswith(b"\x89PNG")
    for text in (f"{n} sub-clusters lesioned", "joint p = ", "pairs of", "lesion_table.py"):
        assert text in printed
    assert "p-value can be below 0.1," in printed
    assert "units.csv" in printed


def test_killed_test_goes_on_to_the_same_end(run_experiment, in_process, runs, store, killed_run):
    arguments = [f"cluster_run={runs['cluster'].id}", "n_shuffles=20", "double", "seed=9"]
    whole, _ = finished_run(run_experiment, store, "lesion", *arguments)
    killed = killed_run("lesion", *arguments, "reuse=False", after=("artifact", "scores", 2))
    options = [f"resume={killed.id}", "reuse=False"]
    resumed, printed = finished_run(run_experiment, store, "lesion", *options)
    assert f"going on with run {killed.id} after " in printed
    assert f"after 0 of {whole.result['n_subclusters']}" not in printed
    assert resumed.result == whole.result
    assert identity_of(store, resumed) == identity_of(store, whole)
    assert resumed.artifact("sub_clusters.csv") == whole.artifact("sub_clusters.csv")
    assert resumed.artifact("double_lesions.csv") == whole.artifact("double_lesions.csv")
    assert_refused(in_process, [f"resume={killed.id}", "n_shuffles=7"], ["n_shuffles=7", "20"])


def test_regression_is_lesioned_by_monomial(run_experiment, store):
    arguments = (
        "mlp",
        "poly",
        "fast",
        "train.network.hidden_units=[16,16]",
        "cluster.n_clusters=3",
    )
    run, printed = finished_run(run_experiment, store, "pipeline", *arguments)
    assert "test loss" in printed
    lesioned = store.run(run.result["runs"]["lesion"])
    table = table_of(lesioned, "sub_clusters")
    tidy = table_of(lesioned, "class_changes")
    assert tidy["class"].nunique() == 9
    assert "x1^2 x2" in set(tidy["class"])
    means = tidy.groupby(["layer", "label"], sort=False)["change"].mean()
    np.testing.assert_allclose(means, table["class_mean_change"])
    error = lesioned.result["mean_squared_error"]
    assert error == pytest.approx(run.result["test_loss"], rel=1e-4)


def test_branched_network_of_ones_own(run_experiment, store, tmp_path):
    """A residual block; clusters of its activations, local ones too."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 1))
    first = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="first")(inputs)
    inner = keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="inner")(first)
    total = keras.layers.Add(name="total")([first, inner])
    last = keras.layers.Conv2D(8, 3, activation="relu", name="last")(total)
    outputs = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling2D()(last))
    path = tmp_path / "residual.keras"
    keras.Model(inputs, outputs).save(path)
    for named in ([], ["activations", "local", "dataset.name=digits"]):
        clustered, printed = finished_run(
            run_experiment, store, "cluster", f"model={path}", "n_clusters=3", "fast", *named
        )
        assert "lesion.py" in printed
        lesioned, _ = finished_run(
            run_experiment, store, "lesion", "fast", f"cluster_run={clustered.id}",
            "dataset.name=digits",
        )  # fmt: skip
        partition = Partition.from_npz(clustered.artifact("partition.npz"))
        found = set(table_of(lesioned, "sub_clusters")["layer"])
        assert found <= {layer.name for layer in partition.layers}
        assert {"total", "last"} <= found


def test_transformer_of_two_tasks(run_experiment, store, tmp_path):
    """Clusters of its weights, of which each harms its own task; and local ones of activations."""
    network, data = tmp_path / "planted.keras", tmp_path / "tasks.npz"
    planted_transformer().save(network)
    x, y, tasks = samples(80)
    np.savez(
        data, x_test=x, y_test=y, vocabulary=TOKENS, class_names=["a", "b", "0", "1"],
        groups_test=tasks, group_names=["letters", "digits"], group_kind="task",
    )  # fmt: skip
    on_data, found = f"dataset.name={data}", []
    for of_cluster, of_lesion in (
        (["graph.residual=contracted"], ["whole_heads", "n_shuffles=3"]),
        (["activations", "local", on_data], ["fast", "measure_by=class"]),
    ):
        options = [f"model={network}", "n_clusters=2", "fast", *of_cluster]
        clustered, _ = finished_run(run_experiment, store, "cluster", *options)
        options = [f"cluster_run={clustered.id}", on_data, *of_lesion]
        found.append(finished_run(run_experiment, store, "lesion", *options))
    (by_task, printed), (by_class, _) = found
    assert by_task.result["measured_by"] == "task"
    assert "80 sequences of 7 tokens" in printed
    assert "measured by task; accuracy of letters 1.0000, digits 1.0000" in printed
    lost = table_of(by_task, "class_changes").pivot(
        index=["layer", "label"], columns="class", values="change"
    )
    assert len(lost) == 8  # both clusters, of values and neurons of both blocks
    assert (lost.min(axis=1) < -0.3).all()
    assert (lost.max(axis=1) == 0).all()
    heads = table_of(by_task, "heads")
    assert heads["layer"].value_counts().to_dict() == dict.fromkeys(
        ("block_0_attention/value", "block_1_attention/value"), 8
    )
    assert heads["n_channels"].eq(2).all()
    by_head = table_of(by_task, "head_class_changes")
    assert set(by_head["class"]) == {"letters", "digits"}
    assert by_task.metric("head_accuracy_change")["value"].tolist() == (
        heads["accuracy_change"].tolist()
    )
    assert f"heads: {by_task.result['heads']['n_important']} of 16 do more harm" in printed
    assert by_task.artifact("heads.png").startswith(b"\x89PNG")
    assert by_class.result["measured_by"] == "class"
    assert set(table_of(by_class, "class_changes")["class"]) == {"a", "b", "0", "1"}
    assert "block_1_mlp_in" in set(table_of(by_class, "sub_clusters")["layer"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["cluster_run=None"]),
        (["cluster_run=1", "draws=twice"], ["draws='twice'", "joint, afresh"]),
        (["cluster_run=1", "tail=both"], ["tail='both'", "left, right"]),
        (["cluster_run=1", "measure_by=task"], ["measure_by='task'", "class, group or null"]),
        (["cluster_run=1", "sizes.min_units=0"], ["sizes.min_units=0"]),
        (["cluster_run=1", "sizes.max_share=2"], ["sizes.max_share=2"]),
        (["cluster_run=1", "memory_mb=0"], ["memory_mb=0"]),
        (["cluster_run=1", "double.n_shuffles=1"], ["double.n_shuffles=1", "1 / (n + 1)"]),
        (["cluster_run=1", "n_shuffles=1"], ["n_shuffles=1", "1 / (n + 1)"]),
        (
            ["cluster_run=1", "double.sub_clusters=some"],
            ["sub_clusters='some'", "important or all"],
        ),
        (["resume=99999"], ["resume=99999", "no run 99999"]),
    ],
)
def test_settings_are_refused(in_process, arguments, expected):
    assert_refused(in_process, arguments, expected)


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "no sub-cluster is important alone"), (1, "1 sub-cluster is"), (2, "pairs of 2")],
)
def test_pairs_in_words(count, expected):
    found = {"n_sub_clusters": count, "n_important_pairs": 0, "n_dependencies": 0}
    assert expected in lesion.pairs_in_words(found)


def test_pairs_need_an_accuracy(in_process, runs):
    arguments = [f"cluster_run={runs['cluster'].id}", "double", "dataset.name=poly"]
    assert_refused(in_process, arguments, ["double.enabled=True", "poly", "regression"])


def assert_refused(in_process, arguments, expected):
    with pytest.raises(NnClusteringError) as refusal:
        in_process(*arguments)
    message = str(refusal.value)
    assert "\n" not in message
    for text in expected:
        assert text in message
