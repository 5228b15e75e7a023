"""Fresh networks: what a run stores of them, and what is refused."""

import csv
import io
import re
import statistics

import pytest

from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks import build_network, modular_initialisation
from nn_clustering.partitions import ncut, spectral_partition
from tests.experiments.conftest import DATABASE
from tests.experiments.test_mistakes import assert_refused
from tests.experiments.test_titles import pdf_texts
from tests.programs import PROJECT, environment, run_warm


def rows_of(run):
    return list(csv.DictReader(io.StringIO(run.artifact("ncuts.csv").decode())))


def ncut_by_hand(seed, modules=None):
    """Of the network of `fast` with this seed."""
    network = build_network(
        "mlp", (28, 28, 1), 10, hidden_units=[32, 32], conv_filters=[8], seed=seed
    )
    if modules is not None:
        modular_initialisation(network, seed=seed, **modules)
    graph = graph_from_weights(network)
    return ncut(graph, spectral_partition(graph, 4, seed=seed).labels)


def test_ncuts_are_those_of_fresh_networks(run_experiment, store):
    finished = run_experiment("random_init", "with", "fast", "seed=3")
    assert finished.returncode == 0, finished.stderr
    run = store.run(finished.run_id, experiment="random_init")
    rows = rows_of(run)
    assert [row["network"] for row in rows] == list("01234")
    assert len({row["seed"] for row in rows}) == 5
    ncuts = [float(row["ncut"]) for row in rows]
    assert ncuts == [ncut_by_hand(int(row["seed"])) for row in rows]
    assert run.metric("ncut")["value"].tolist() == ncuts
    spread = statistics.stdev(ncuts)
    assert run.result == pytest.approx(
        {
            "mean": statistics.mean(ncuts),
            "std": spread,
            "standard_error": spread / 5**0.5,
            "min": min(ncuts),
            "max": max(ncuts),
        }
    )
    assert run.artifact("ncuts.png").startswith(b"\x89PNG")
    texts = pdf_texts(run.artifact("ncuts.pdf"))
    assert any(text.endswith("mlp, untrained, 4 clusters") for text in texts), texts
    assert not [text for text in texts if re.search(r"\brun\b", text)]
    assert f"n-cut {run.result['mean']:.4f} with standard error" in finished.stdout

    again = run_experiment("random_init", "with", "fast", "seed=3")
    assert f"using random_init run {run.id}" in again.stdout
    assert f"n-cut {run.result['mean']:.4f} with standard error" in again.stdout


def test_modular_networks_cut_lower(run_experiment, store):
    modules = {"n_modules": 4, "down": 0.3, "all_layers": True}
    options = [f"modular_init.{key}={value}" for key, value in modules.items()]
    finished = run_experiment("random_init", "with", "fast", "modular_init", "seed=3", *options)
    assert finished.returncode == 0, finished.stderr
    rows = rows_of(store.run(finished.run_id, experiment="random_init"))
    for row in rows:
        assert float(row["ncut"]) == ncut_by_hand(int(row["seed"]), modules)
        assert float(row["ncut"]) < ncut_by_hand(int(row["seed"]))


@pytest.mark.parametrize(
    ("named", "filters"),
    [
        ("cnn_128", [128, 128, 128]),
        ("vgg", [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]),
    ],
)
def test_named_networks_in_the_studies_graphs(run_experiment, named, filters):
    printed = run_experiment("random_init", "print_config", "with", named, "published").stdout
    side, channels = (32, 3) if named == "vgg" else (28, 1)
    for line in (
        f"conv_filters = {filters}",
        f"input_shape = [{side}, {side}, {channels}]",
        f"kind = '{named.partition('_')[0]}'",
        "kernel_norm = 'max_column_sum'",
        "n_init = 25",
        "select = 'inertia'",
    ):
        assert line in printed


def test_network_of_ones_own(store, home, tmp_path):
    code = """
import keras

def wide(input_shape, n_outputs):
    return keras.Sequential([
        keras.Input(input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(40, activation="relu"),
        keras.layers.Dense(n_outputs, activation="softmax"),
    ])
"""
    (tmp_path / "my_networks.py").write_text(code)
    options = ["with", "fast", "network.kind=my_networks.wide", "input_shape=[6,6,1]"]
    program = [PROJECT / "experiments" / "random_init.py", *options]
    environ = environment(home, MONGO_DB=DATABASE)
    finished = run_warm(program, environ, computes=True, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    run = store.run("latest", experiment="random_init")
    assert run.artifact("network_code.py") == code.encode()
    assert run.result["std"] > 0
    assert (
        f"using random_init run {run.id}"
        in run_warm(program, environ, computes=True, cwd=tmp_path).stdout
    )
    (tmp_path / "my_networks.py").write_text(code.replace("40", "30"))
    finished = run_warm(program, environ, computes=True, cwd=tmp_path)
    assert store.run("latest", experiment="random_init").id > run.id

    (tmp_path / "my_networks.py").write_text("def wide(input_shape): return 3")
    assert_refused(
        run_warm(program, environ, computes=True, cwd=tmp_path), "returned a int", "a keras.Model"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["n_networks=1"], ["n_networks=1", "2 or more"]),
        (["n_clusters=900"], ["n_clusters=900", "expected 2 to 858"]),
        (["network.kind=my_networks.wide"], ["there is no module my_networks"]),
        (["network.kind=cnn", "input_shape=[2,2,1]"], ["2 x 2 pixels", "at least 4 x 4"]),
        (["modular_init", "modular_init.down=2"], ["modular_init.down=2"]),
        (["cnn", "vgg"], ["cnn", "vgg", "network.kind"]),
    ],
)
def test_refuses(run_experiment, options, expected):
    assert_refused(run_experiment("random_init", "with", "fast", *options), *expected)
