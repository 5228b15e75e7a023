"""The number of threads that a run computes with: in its process, and in those that it starts."""

import os

import numpy as np  # noqa: F401  # its linear algebra is a library that is loaded already
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from nn_clustering.tracking import InvalidInputError, StageExperiment
from nn_clustering.tracking.stages.experiment import Input
from nn_clustering.tracking.stages.threads import VARIABLES

KEYS = "seed: 0\nn_threads: null\nresume: null\nreuse: true\ntags: []\n"


def threads():
    """The numbers that libraries are loaded with, and of those that are loaded."""
    loaded = {library["num_threads"] for library in threadpool_info()}
    return {name: os.environ.get(name) for name in VARIABLES}, loaded


def all_are(number):
    return dict.fromkeys(VARIABLES, str(number)), {number}


@pytest.fixture(autouse=True)
def others():
    """Other numbers before and after."""
    with threadpool_limits(2), pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "2")
        for name in VARIABLES[1:]:
            patch.delenv(name, raising=False)
        yield
        assert threads() == ({**dict.fromkeys(VARIABLES), "OMP_NUM_THREADS": "2"}, {2})


@pytest.fixture
def weigh(tmp_path):
    """A stage that notes its threads, and can go on with another run."""
    for stage in ("weigh", "whole"):
        (tmp_path / "configs" / stage).mkdir(parents=True)
        (tmp_path / "configs" / stage / "default.yaml").write_text(KEYS)
    experiment = StageExperiment("weigh", base_dir=tmp_path, save_git_info=False)
    experiment.configure(tmp_path / "configs")

    def inputs(run):
        if run.config["resume"] is None:
            return {}
        begun = run.unfinished_run("resume", "weigh")
        run.adopt_config(begun)
        assert threads() == all_are(1)  # for what is read, too
        return {"begun": Input(begun, begun.id)}

    @experiment.stage(inputs=inputs)
    def weigh(run):
        if run.seed == 13:
            raise RuntimeError("too heavy")
        return {"threads": threads()}

    return experiment


def test_run_computes_with_so_many_and_leaves_the_others_theirs(weigh):
    for number in (1, 3):
        run = weigh.run(config_updates={"n_threads": number})
        assert run.result["threads"] == all_are(number)
    before = threads()
    assert weigh.run().result["threads"] == before


def test_threads_are_set_back_after_an_error(weigh):
    with pytest.raises(RuntimeError, match="too heavy"):
        weigh.run(config_updates={"n_threads": 1, "seed": 13})


def test_part_has_those_of_the_whole(weigh, tmp_path):
    whole = StageExperiment("whole", base_dir=tmp_path, save_git_info=False)
    whole.configure(tmp_path / "configs", parts={"weigh": ("seed", "resume")})

    @whole.stage
    def both(run):
        part = run.run_part(weigh, {})
        return {
            "n_threads": part.config["n_threads"],
            "threads": [part.result["threads"], threads()],
        }

    result = whole.run(config_updates={"n_threads": 1}).result
    assert result == {"n_threads": 1, "threads": [all_are(1), all_are(1)]}
    with pytest.raises(InvalidInputError, match=r"weigh\.n_threads"):
        whole.run(config_updates={"weigh": {"n_threads": 1}})


def test_run_that_goes_on_has_those_of_the_other(weigh, add_run, server, home, monkeypatch):
    for name, value in {"MONGO_URL": server.url, "MONGO_DB": server.database}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    add_run(7, "weigh", "FAILED", config={"seed": 0, "n_threads": 1})
    run = weigh.run(config_updates={"resume": 7})
    assert run.config["n_threads"] == 1
    assert run.result["threads"] == all_are(1)
    with pytest.raises(InvalidInputError, match="where n_threads is 1; leave out n_threads=3"):
        weigh.run(config_updates={"resume": 7, "n_threads": 3})


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "two", 10**6])
def test_other_numbers_are_refused(weigh, value):
    with pytest.raises(InvalidInputError, match=f"n_threads={value!r}: expected an integer from 1"):
        weigh.run(config_updates={"n_threads": value})


def test_key_of_that_name_is_anybodys_own_in_another_experiment(tmp_path):
    experiment = StageExperiment("sew", base_dir=tmp_path, save_git_info=False)
    experiment.add_config(n_threads="of wool")

    @experiment.stage
    def sew(run):
        return {"threads": run.config["n_threads"]}

    assert experiment.run().result == {"threads": "of wool"}
