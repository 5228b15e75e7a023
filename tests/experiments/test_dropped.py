"""Networks that were dropped to free disk: whoever needs one is told, and gets no other."""

import pytest

from experiments._phase_settings import network_name
from nn_clustering.networks import build_network
from tests.experiments.test_mistakes import assert_refused


@pytest.fixture
def without(store):
    """Copies a run, drops an artifact of the copy, and returns its number."""
    made = []

    def copy(run, artifact):
        document = store.database["runs"].find_one({"_id": run.id})
        made.append(10**6 + run.id)
        store.database["runs"].insert_one({**document, "_id": made[-1]})
        assert store.drop_artifacts(store.plan_drop(made[-1:], [artifact])) == 1
        return made[-1]

    yield copy
    store.database["runs"].delete_many({"_id": {"$in": made}})


def test_network_of_the_last_phase_is_not_replaced_by_anothers(runs, without, run_experiment):
    artifact = network_name("pruned")
    training = without(runs["train"], artifact)
    finished = run_experiment("cluster", "with", "fast", f"train_run={training}")
    assert_refused(finished, f"{artifact!r} of run {training} was dropped", f"rerun {training}")


def test_network_of_a_file_is_asked_for(store, without, run_experiment, tmp_path):
    path = tmp_path / "it.keras"
    build_network("mlp", (8, 8, 1), 10, hidden_units=[9, 8], conv_filters=[], seed=0).save(path)
    finished = run_experiment("cluster", "with", "fast", f"model={path}", "n_clusters=3")
    assert finished.returncode == 0, finished.stderr
    clustering = without(store.run(finished.run_id), "network.keras")
    arguments = (f"cluster_run={clustering}", "dataset.name=digits")
    finished = run_experiment("lesion", "with", "fast", *arguments)
    assert_refused(finished, f"'network.keras' of run {clustering} was dropped")
