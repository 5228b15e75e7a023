"""The project's own stages can be run again from what their runs have stored."""

import pytest

from nn_clustering.tracking import RunStore, connect, resolve_server, stop_embedded
from tests.programs import PROJECT, environment, run_python, run_warm

TRAINING = ["digits", "mlp", "training.epochs=1", "network.hidden_units=[8,8]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("home of reruns")
    yield folder
    stop_embedded(folder)


@pytest.fixture(scope="module")
def stages(home, tmp_path_factory):
    """A training and a clustering of it; then each of them again, from nothing but the store."""
    environ = environment(home)
    for stage, settings in (("train", TRAINING), ("cluster", ["train_run=1", "n_clusters=3"])):
        program = PROJECT / "experiments" / f"{stage}.py"
        made = run_warm([program, "with", *settings], environ, computes=True)
        assert made.returncode == 0, made.stderr
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    command = ["-m", "nn_clustering.tracking", "rerun"]
    return [run_python([*command, run_id], environ, cwd=elsewhere) for run_id in ("1", "2")]


def test_their_results_are_the_same(stages, home):
    for again in stages:
        assert again.returncode == 0, again.stdout + again.stderr
        assert "has the same result and metrics" in again.stdout
    database = connect(resolve_server(environment(home), home))
    with RunStore(database, home) as store:
        assert store.run(4).lineage == {"train_run": 1}
        assert [store.run(number).experiment for number in (3, 4)] == ["train", "cluster"]
        # It was the stored code that ran.
        sources = [database["runs"].find_one({"_id": number})["experiment"] for number in (1, 3)]
        assert sources[0]["base_dir"] != sources[1]["base_dir"]
        assert {name for name, _ in sources[0]["sources"]} == {
            name for name, _ in sources[1]["sources"]
        }
