"""Stages that would repeat a stored run use it, alone and as parts of the pipeline."""

import re

import pytest

from tests.experiments.conftest import DATABASE, PIPELINE_OPTIONS
from tests.experiments.test_startup import SLOW
from tests.programs import PROJECT, environment, run_python

STAGES = ("train", "cluster", "shuffle_test", "lesion")
# By the config of the pipeline that the fixture has run.
ALONE = {
    "train": ["mlp", "digits", "pruned", "fast", "training.epochs=8"],
    "cluster": ["fast", "train_run={train}"],
    "shuffle_test": ["fast", "cluster_run={cluster}"],
    "lesion": ["fast", "cluster_run={cluster}"],
}


@pytest.mark.parametrize("stage", STAGES)
def test_stage_of_the_pipeline_is_used_when_typed_alone(home, store, runs, stage):
    ids = {name: runs[name].id for name in STAGES}
    newest = store.find(limit=1)[0].id
    options = [option.format(**ids) for option in ALONE[stage]]
    program = PROJECT / "experiments" / f"{stage}.py"
    finished = run_python(
        ["-X", "importtime", program, "with", "seed=3", *options],
        environment(home, MONGO_DB=DATABASE),
    )
    assert finished.returncode == 0
    found = re.search(rf"using {stage} run (\d+): same config, inputs and code", finished.stdout)
    used = store.run(int(found[1]), experiment=stage)
    assert used.result == runs[stage].result  # the pipeline's, or one that repeated it
    assert store.find(limit=1)[0].id == newest
    # What this stage ends with otherwise, the next commands with the id of the run that is used.
    expected = {
        "train": f"test accuracy {runs['train'].result['test_accuracy']:.4f}",
        "cluster": f"n-cut {runs['cluster'].result['ncut']:.4f} of 4 clusters",
        "shuffle_test": f"z = {runs['shuffle_test'].result['z_score']:.2f}",
        "lesion": f"{runs['lesion'].result['n_subclusters']} sub-clusters lesioned",
    }
    assert expected[stage] in finished.stdout
    if stage == "train":
        next_command = f"next: python experiments/cluster.py with train_run={used.id}"
        assert next_command in finished.stdout
    imported = {line.split("|")[-1].strip() for line in finished.stderr.splitlines()}
    assert "sacred" in imported
    assert sorted((SLOW - {"pymongo"}) & imported) == []


def test_pipeline_typed_again_is_a_run_of_its_own_on_the_same_stages(run_experiment, runs, store):
    newest = store.find(limit=1)[0].id
    finished = run_experiment("pipeline", *PIPELINE_OPTIONS)
    assert finished.returncode == 0, finished.stderr
    again = store.run(finished.run_id, experiment="pipeline")
    assert [run.id for run in store.find() if run.id > newest] == [again.id]
    assert {**again.result, "runs": {}} == {**runs["pipeline"].result, "runs": {}}
    assert set(again.info["lineage"].values()) == set(again.result["runs"].values())
    assert finished.stdout.count("same config, inputs and code") == 5


def test_own_network_is_known_by_its_content(run_experiment, runs, store, tmp_path):
    path = tmp_path / "my network.keras"
    path.write_bytes(runs["train"].artifact("unpruned.keras"))
    command = ["cluster", "with", "fast", f"model={path}"]
    finished = run_experiment(*command)
    assert finished.returncode == 0
    first = store.run(finished.run_id, experiment="cluster")
    assert f"using cluster run {first.id}:" in run_experiment(*command).stdout
    path.write_bytes(runs["train"].artifact("pruned.keras"))
    finished = run_experiment(*command)
    assert "using" not in finished.stdout
    second = store.run(finished.run_id, experiment="cluster")
    assert second.id != first.id
    assert second.artifact("network.keras") == path.read_bytes()
    assert second.result["ncut"] != first.result["ncut"]


def test_run_says_what_it_read(runs):
    digests = {stage: runs[stage].info["inputs"] for stage in STAGES}
    assert digests["train"]["dataset"] == digests["lesion"]["dataset"]
    assert digests["cluster"]["network"] == digests["lesion"]["network"]
    assert digests["shuffle_test"]["cluster_run"] == runs["cluster"].id


def test_configs_used_are_stored_with_every_run(runs):
    folder = PROJECT / "configs"
    for stage in STAGES:
        used = ("default", "fast", *(("mlp", "digits", "pruned") if stage == "train" else ()))
        expected = {f"config.{stage}.{name}.yaml" for name in used}
        stored = {name for name in runs[stage].artifacts if name.startswith("config.")}
        assert stored == expected
        assert expected <= set(runs["pipeline"].artifacts)
        for name in used:
            (path,) = (folder / stage).rglob(f"{name}.yaml")
            content = path.read_bytes()
            assert runs[stage].artifact(f"config.{stage}.{name}.yaml") == content
