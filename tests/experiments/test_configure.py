"""What all stages have in common: where their configs are, and what counts as their code."""

import subprocess

import pytest

from experiments import config_folders, pipeline, train
from tests.programs import PROJECT


def test_configs_of_the_current_folder_come_after_the_projects(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert config_folders() == [PROJECT / "configs", tmp_path / "configs"]


@pytest.mark.parametrize("by", ["name", "link"])
def test_configs_of_the_project_are_read_once(tmp_path, monkeypatch, by):
    (tmp_path / "configs").symlink_to(PROJECT / "configs")
    monkeypatch.chdir(PROJECT if by == "name" else tmp_path)
    assert config_folders() == [PROJECT / "configs"]


def test_keys_that_the_pipeline_sets_are_not_set_by_its_user():
    config = pipeline.experiment.full_config([])
    inputs = {"train_run", "model", "checkpoint", "cluster_run", "against_run", "resume"}
    for part in ("train", "cluster", "shuffle_test", "lesion"):
        assert not {"seed", "reuse", "tags", "n_repeats", *inputs} & set(config[part]), part
    assert "n_workers" not in config["train"]
    assert "n_workers" in config["shuffle_test"]  # processes of one run


def test_packages_of_a_stage_are_noted_with_their_versions():
    info = train.experiment.get_experiment_info()
    packages = {dependency.partition("==")[0] for dependency in info["dependencies"]}
    assert {"keras", "scipy", "numpy", "tensorflow-datasets", "matplotlib"} <= packages


@pytest.mark.skipif(not (PROJECT / ".git").exists(), reason="this is no git checkout")
def test_commit_of_the_project_is_noted():
    asked = ["git", "-C", str(PROJECT), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()
    (noted,) = train.experiment.get_experiment_info()["repositories"]
    assert noted["commit"] == commit
