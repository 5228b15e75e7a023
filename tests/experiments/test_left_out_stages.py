"""A pipeline without some of its stages: what it runs, what its result has and what it says."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest

from experiments import pipeline
from nn_clustering.errors import InvalidInputError

RESULTS = {
    "train": {"unpruned": {"test_accuracy": 0.9, "test_loss": 0.5, "sparsity": 0.25}},
    "import_network": {"n_parameters": 1234},
    "cluster": {"ncut": 2.5, "n_units": 9},
    "lesion": {"n_subclusters": 4, "importance": None, "coherence": None, "accuracy": 0.75},
    "visualise": {"n_subclusters": 5, "score": None, "entropy": None, "dispersion": None},
}


class Whole:
    """As much of the pipeline's run as its work takes, whose parts have made-up results."""

    id, seed, is_tracked = 9, 5, True
    context = SimpleNamespace(mistakes_of_part=nullcontext)

    def __init__(self, named, **config):
        self.named_configs = named
        self.config = {**pipeline.experiment.full_config(list(named)), **config}
        self.sacred_run = SimpleNamespace(info={})
        self.store = SimpleNamespace(run=lambda _: SimpleNamespace(file_names=dict))
        self.parts = {}

    def typed_keys(self):
        return []

    def run_part(self, experiment, updates, named):
        stage, run_id = experiment.path, 40 + len(self.parts)
        links = ("train_run", "cluster_run", "model_code")
        self.parts[stage] = {key: updates[key] for key in links if updates.get(key) is not None}
        phase = "imported" if "import_network" in self.parts else "unpruned"
        return SimpleNamespace(_id=run_id, result=RESULTS[stage], info={"phase": phase})


@pytest.fixture
def of_whole(monkeypatch, tmp_path, capsys):
    """Runs the pipeline on made-up parts; returns its run, its result and what it says."""
    monkeypatch.setattr(pipeline, "project_root", lambda: tmp_path)

    def run(*named, leave_out):
        whole = Whole(named, leave_out=leave_out)
        result = pipeline.pipeline(whole)
        said = capsys.readouterr().out.splitlines()
        return whole, result, [" ".join(line.split()) for line in said]

    return run


def test_none_but_the_clustering(of_whole):
    run, result, said = of_whole("mlp", "digits", leave_out=["shuffle_test", "lesion", "visualise"])
    assert run.parts == {"train": {}, "cluster": {"train_run": 40}}
    assert run.sacred_run.info["lineage"] == {"train_run": 40, "cluster_run": 41}
    assert result == {
        "runs": {"train": 40, "cluster": 41},
        "phase": "unpruned",
        **RESULTS["train"]["unpruned"],
        "ncut": 2.5,
    }
    assert "test accuracy 0.9000, sparsity 0.250 (unpruned)" in said
    assert "n-cut 2.5000" in said
    assert "runs train 40, cluster 41" in said
    assert not [line for line in said if line.startswith("sub-clusters")]


def test_an_imported_network_that_is_visualised_alone(of_whole):
    """Nothing has told how well it does."""
    run, result, said = of_whole("resnet18", leave_out=["shuffle_test", "lesion"])
    assert run.parts == {
        "import_network": {}, "cluster": {"train_run": 40}, "visualise": {"cluster_run": 41},
    }  # fmt: skip
    assert result == {
        "runs": {"import_network": 40, "cluster": 41, "visualise": 42},
        "phase": "imported",
        **{"test_accuracy": None, "test_loss": None, "n_parameters": 1234},
        **{"ncut": 2.5, "score": None, "entropy": None},
    }
    assert "network not tested, 1,234 parameters (imported)" in said
    assert not [line for line in said if line.startswith("sub-clusters")]


def test_an_imported_network_that_is_lesioned_alone(of_whole):
    """The intact network's accuracy is that of the lesions."""
    run, result, said = of_whole("resnet18", leave_out=["visualise", "shuffle_test"])
    assert list(run.parts) == ["import_network", "cluster", "lesion"]
    assert (result["test_accuracy"], result["n_subclusters"]) == (0.75, 4)
    assert "test accuracy 0.7500, 1,234 parameters (imported)" in said
    assert "sub-clusters 4" in said


def test_what_does_not_fit_a_stage_that_is_left_out_is_no_mistake(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "project_root", lambda: tmp_path)
    run = Whole(["mlp", "digits", "local"])
    with pytest.raises(InvalidInputError, match=r"for its shuffle test"):
        pipeline.check(run)
    run.config["leave_out"] = ["shuffle_test"]
    pipeline.check(run)
    run.config["lesion"]["dataset"]["name"] = "poly"
    with pytest.raises(InvalidInputError, match=r"lesion\.dataset\.name=poly"):
        pipeline.check(run)
    run.config["leave_out"] = ["shuffle_test", "lesion"]
    pipeline.check(run)


def test_the_code_of_an_imported_networks_layers_is_named_once(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "project_root", lambda: tmp_path)
    run = Whole(["resnet18"], leave_out=["shuffle_test"])
    run.config["import_network"]["model_code"] = "my_layers"
    pipeline.pipeline(run)
    assert len(run.parts) == 4
    assert {links["model_code"] for links in run.parts.values()} == {"my_layers"}
