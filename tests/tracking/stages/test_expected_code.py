"""What the code of a run will be, and a program that refuses to run another."""

import json

import pytest

from nn_clustering.tracking.execution_keys import EXPECTED_CODE
from tests.programs import environment, run_warm
from tests.tracking.stage_programs import assert_refused

LOOK = """
import importlib, sys
sys.path.insert(0, "experiments")
experiment = importlib.import_module(sys.argv[1]).experiment
config = {**experiment.full_config([]), "scale": {"factor": 3.0}}
print(experiment.code_digest(config), experiment.expected_code(config), sep="\\n")
"""


@pytest.fixture
def look(project, home):
    """What a stage's code is, told without a run: its digest, and with what differs."""

    def look(stage):
        finished = run_warm(["-c", LOOK, stage], environment(home), cwd=project)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.split("\n")[:2]

    return look


def test_code_is_told_without_a_run(look, succeed, store):
    digest, expected = look("measure")
    for told in (digest, expected):
        succeed("measure", "with", "reuse=False", **{EXPECTED_CODE: told})
    assert [run.info["code"] for run in store.find()] == [digest, digest]


@pytest.mark.parametrize("stage", ["measure", "both", "draw"])
def test_other_code_is_refused_before_the_run(look, run, project, database, stage):
    digest, expected = look(stage)
    (project / "experiments" / "constants.py").write_text("OFFSET = 2\n")
    options = ["n_repeats=2"] if stage == "draw" else []
    for told, differs in ((digest, "cannot be told"), (expected, "here: sources")):
        refused = run(stage, "with", "seed=1", *options, **{EXPECTED_CODE: told})
        assert_refused(refused, f"the code of {stage} (sources, packages and Python)", differs)
    assert database["runs"].count_documents({}) == 0


def test_what_differs_is_told(look, run):
    facts = json.loads(look("measure")[1])
    packages = {**facts["packages"], "numpy": "1.0", "lost": "1.1"}
    other = {**facts, "code": "5c", "packages": packages, "python": [2, 7]}
    refused = run("measure", "with", "seed=1", **{EXPECTED_CODE: json.dumps(other)})
    assert_refused(
        refused, " instead of 2.7; ", "numpy ", " instead of 1.0", "lost missing instead of 1.1"
    )
    assert "; sources" not in refused.stderr


def test_no_process_of_the_stage_is_meant(look, succeed, database):
    """The runs of a command that makes several are checked once for all."""
    succeed("draw", "with", "n_repeats=2", **{EXPECTED_CODE: look("draw")[0]})
    assert database["runs"].count_documents({"status": "COMPLETED"}) == 2


EDITED = """
import os, sys
from pathlib import Path
sys.path.insert(0, "experiments")
from measure import experiment
own = Path("own_code.py")
own.write_text("SIZE = 1")
config = {**experiment.full_config([]), "file": "own_code.SIZE"}
before = experiment.code_digest(config)
assert [path.name for path in experiment.config_code(config).files] == ["own_code.py"]
own.write_text("SIZE = 2")
Path("experiments/constants.py").write_text("OFFSET = 2")
assert experiment.code_digest(config) == before
assert experiment.code_digest(experiment.full_config([])) != before
"""


def test_code_is_what_it_was_when_it_was_first_asked_for(project, home):
    finished = run_warm(["-c", EDITED], environment(home), cwd=project)
    assert finished.returncode == 0, finished.stderr
