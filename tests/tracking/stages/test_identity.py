"""The digest that tells whether a run would repeat another."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import nn_clustering.tracking
from nn_clustering.tracking.own_code import OwnCode
from nn_clustering.tracking.stages.identity import (
    code_digest,
    code_in_config,
    completed_run,
    completing_identity,
    run_identity,
)
from tests.tracking.stored_files import store_file

CODE = "5c"
CONFIG = {"seed": 0, "dataset": {"name": "digits"}, "units": [1, 2], "reuse": True, "tags": []}
INPUTS = [{"dataset": "3d"}, {"train_run": 3}]
INFO = {"base_dir": "/home/one", "sources": [("a.py", "1f"), ("b.py", "2e")]}
STUB = Path("/home/one/pkg/__init__.pyi")
OWN = OwnCode(
    names=frozenset({(STUB, "build", "._builders.build")}), packages=frozenset({"numpy", "keras"})
)


def test_order_and_notes_do_not_count():
    config = {**dict(reversed(CONFIG.items())), "reuse": False, "tags": ["a"], "units": (1, 2)}
    ours = run_identity("train", CONFIG, INPUTS, CODE)
    assert run_identity("train", config, INPUTS, CODE) == ours


def test_number_of_runs_and_of_those_side_by_side_does_not_count():
    config = {**CONFIG, "n_repeats": 1, "n_workers": None}
    others = {**config, "n_repeats": 5, "n_workers": 2}
    ours = run_identity("train", config, INPUTS, CODE)
    assert run_identity("train", others, INPUTS, CODE) == ours
    # Workers of a stage that runs once are its own matter.
    alone = {**CONFIG, "n_workers": 1}
    assert run_identity("train", alone, INPUTS, CODE) != ours


@pytest.mark.parametrize(
    "facts",
    [
        ("cluster", CONFIG, INPUTS, CODE),
        ("train", {**CONFIG, "seed": 1}, INPUTS, CODE),
        ("train", {**CONFIG, "dataset": {"name": "mnist"}}, INPUTS, CODE),
        ("train", {**CONFIG, "units": [2, 1]}, INPUTS, CODE),
        ("train", CONFIG, [{"dataset": "4d"}, {"train_run": 3}], CODE),
        ("train", CONFIG, [{"dataset": "3d"}, {"train_run": 4}], CODE),
        ("train", CONFIG, INPUTS, "6c"),
    ],
)
def test_everything_else_does(facts):
    assert run_identity(*facts) != run_identity("train", CONFIG, INPUTS, CODE)


def test_place_and_order_of_code_do_not_count():
    info = {**INFO, "base_dir": "/home/two", "sources": INFO["sources"][::-1], "mainfile": "a.py"}
    moved = replace(OWN, names=frozenset({(Path("/home/two/pkg/__init__.pyi"), *NAME)}))
    assert code_digest(info, moved) == code_digest(INFO, OWN)


NAME = ("build", "._builders.build")


@pytest.mark.parametrize(
    ("info", "own"),
    [
        ({"sources": [("a.py", "1f"), ("b.py", "2f")]}, {}),
        ({"sources": [("a.py", "1f"), ("c.py", "2e")]}, {}),
        ({}, {"names": frozenset({(STUB, "build", "._other.build")})}),
        ({}, {"packages": frozenset({"numpy"})}),
    ],
)
def test_other_code_is_other_code(info, own):
    assert code_digest({**INFO, **info}, replace(OWN, **own)) != code_digest(INFO, OWN)


def test_stubs_and_what_only_stores_do_not_count():
    folder = Path(nn_clustering.tracking.__file__).parent
    more = [("pkg/__init__.pyi", "3d"), (f"{folder}/stages/reuse.py", "4d")]
    info = {**INFO, "sources": [*INFO["sources"], *more]}
    assert code_digest(info, OWN) == code_digest(INFO, OWN)


def test_another_python_is_other_code(monkeypatch):
    ours = code_digest(INFO, OWN)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "version_info", (3, 99, 1, "final", 0))
        assert code_digest(INFO, OWN) != ours
        elsewhere.setattr(sys, "version_info", (*sys.version_info[:2], 99, "final", 0))
    assert code_digest(INFO, OWN) == ours


def test_code_that_a_config_names_is_found_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in {
        "my_nets": "from my_blocks import WIDTH", "my_blocks": "WIDTH = 3", "my_layers": "",
        "mnist": "",
    }.items():  # fmt: skip
        (tmp_path / f"{name}.py").write_text(content)

    def files(config, keys=()):
        return {path.name for path in code_in_config(config, keys).files}

    assert files({"network": {"kind": "my_nets.wide"}}) == {"my_nets.py", "my_blocks.py"}
    assert files({"of": ["my_nets.wide", "my_layers.first"]}) == {
        "my_nets.py", "my_blocks.py", "my_layers.py",
    }  # fmt: skip
    assert files({"model_code": "my_layers"}) == set()
    assert files({"model_code": "my_layers"}, ["model_code"]) == {"my_layers.py"}
    others = ["mnist", "numpy.linalg", "os.path", "a b.c", "no_such.thing", ".", "mnist..", 3, None]
    assert files({"dataset": others}) == set()


def test_newest_completed_run_is_found(add_run, database):
    for run_id, status in ((1, "COMPLETED"), (2, "COMPLETED"), (3, "FAILED"), (4, "RUNNING")):
        add_run(run_id, status=status, tracking={"identity": "a"})
    add_run(5, tracking={"identity": "b"})
    add_run(6)
    assert completed_run(database, "a") == 2
    assert completed_run(database, "c") is None


BEGUN = {"cluster_run": 3, "against_run": None, "resume": None, "n_shuffles": 5}
READ = {"cluster_run": 3, "network": "3d"}


@pytest.fixture
def completing(add_run, database):
    """The identity that a run takes over from run 7, which was begun like it but not resumed."""
    begun = run_identity("test", BEGUN, [READ, {"cluster_run": 3}], CODE)

    def completing(status="DIED", digests=READ, code=CODE, key="resume", **config):
        database["runs"].delete_many({})
        add_run(7, status=status, tracking={"identity": begun})
        going_on = {**BEGUN, key: 7, **config}
        found = {**digests, "unfinished": 7}, {"cluster_run": 3, key: 7}
        return completing_identity(database, "test", going_on, BEGUN, *found, code)

    return completing, begun


def test_run_that_goes_on_is_the_one_that_was_begun(completing):
    identity, begun = completing
    assert [identity(), identity("FAILED"), identity("INTERRUPTED")] == [begun] * 3


@pytest.mark.parametrize(
    "changed",
    [
        {"status": "COMPLETED", "key": "against_run"},
        {"digests": {**READ, "network": "4d"}},
        {"code": "6c"},
        {"n_shuffles": 6},
    ],
    ids=["compared", "input", "code", "config"],
)
def test_run_that_does_something_else_is_another(completing, changed):
    assert completing[0](**changed) is None


def test_run_that_lacks_a_file_or_its_result_is_passed_over(add_run, database):
    file_id = store_file(database, "a", b"12345")["file_id"]
    artifacts = [{"name": "a", "file_id": file_id}, {"name": "b", "file_id": file_id}]
    add_run(1, tracking={"identity": "a"}, artifacts=artifacts)
    lost = [*artifacts, {"name": "c", "file_id": "gone"}]
    add_run(2, tracking={"identity": "a"}, artifacts=lost)
    moved = [{"name": "result.json", "file_id": file_id}]
    add_run(3, tracking={"identity": "a"}, artifacts=moved)
    torn = store_file(database, "d", b"12345")
    database["fs.chunks"].update_one({"files_id": torn["file_id"]}, {"$set": {"data": b"1234"}})
    add_run(4, tracking={"identity": "a"}, artifacts=[*artifacts, torn])
    assert completed_run(database, "a") == 1
