"""The digest that tells whether a run would repeat another."""

import sys

import pytest
import yaml

from nn_clustering.tracking import InvalidInputError
from nn_clustering.tracking.stages.identity import (
    code_digest,
    completed_run,
    required_packages,
    run_identity,
)
from tests.tracking.stored_files import store_file

INFO = {
    "name": "train",
    "base_dir": "/home/one",
    "sources": [("a.py", "1f"), ("b.py", "2e")],
    "dependencies": ["keras==3.1", "numpy==2.0"],
}
CONFIG = {"seed": 0, "dataset": {"name": "digits"}, "units": [1, 2], "reuse": True, "tags": []}
INPUTS = [{"dataset": "3d"}, {"train_run": 3}]


def test_order_place_and_notes_do_not_count():
    info = {**INFO, "base_dir": "/home/two", "sources": INFO["sources"][::-1], "mainfile": "a.py"}
    config = {**dict(reversed(CONFIG.items())), "reuse": False, "tags": ["a"], "units": (1, 2)}
    assert run_identity(info, config, INPUTS) == run_identity(INFO, CONFIG, INPUTS)


def test_number_of_runs_and_of_those_side_by_side_does_not_count():
    config = {**CONFIG, "n_repeats": 1, "n_workers": None}
    others = {**config, "n_repeats": 5, "n_workers": 2}
    assert run_identity(INFO, others, INPUTS) == run_identity(INFO, config, INPUTS)
    # Workers of a stage that runs once are its own matter.
    alone = {**CONFIG, "n_workers": 1}
    assert run_identity(INFO, alone, INPUTS) != run_identity(INFO, CONFIG, INPUTS)


@pytest.mark.parametrize(
    ("info", "config", "inputs"),
    [
        ({**INFO, "name": "cluster"}, CONFIG, INPUTS),
        ({**INFO, "sources": [("a.py", "1f"), ("b.py", "2f")]}, CONFIG, INPUTS),
        ({**INFO, "sources": [("a.py", "1f"), ("c.py", "2e")]}, CONFIG, INPUTS),
        ({**INFO, "dependencies": ["keras==3.2", "numpy==2.0"]}, CONFIG, INPUTS),
        (INFO, {**CONFIG, "seed": 1}, INPUTS),
        (INFO, {**CONFIG, "dataset": {"name": "mnist"}}, INPUTS),
        (INFO, {**CONFIG, "units": [2, 1]}, INPUTS),
        (INFO, CONFIG, [{"dataset": "4d"}, {"train_run": 3}]),
        (INFO, CONFIG, [{"dataset": "3d"}, {"train_run": 4}]),
    ],
)
def test_everything_else_does(info, config, inputs):
    assert run_identity(info, config, inputs) != run_identity(INFO, CONFIG, INPUTS)


def test_another_python_is_other_code(monkeypatch):
    ours = code_digest(INFO)
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(sys, "version_info", (3, 99, 1, "final", 0))
        assert code_digest(INFO) != ours
        elsewhere.setattr(sys, "version_info", (*sys.version_info[:2], 99, "final", 0))
    assert code_digest(INFO) == ours


def test_packages_that_fix_the_numbers_are_recorded():
    versions = {package.name: package.version for package in required_packages(["nn_clustering"])}
    assert {"keras", "numpy", "scipy", "scikit-learn"} <= set(versions)
    assert {"tensorflow", "tensorflow-cpu"} & set(versions)
    assert "pytest" not in versions
    assert all(versions.values())


def test_package_that_another_distribution_holds_is_found_by_its_module(tmp_path, monkeypatch):
    """As tensorflow-cpu holds that of tensorflow; here PyYAML that of yaml."""
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    required = ("yaml>=5", "pymongo; extra == 'all'", "nowhere_at_all")
    lines = "".join(f"Requires-Dist: {name}\n" for name in required)
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n{lines}"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {package.name.lower(): package.version for package in required_packages(["theirs"])}
    assert found == {"pyyaml": yaml.__version__}


def test_packages_of_a_distribution_that_is_not_installed_are_refused():
    with pytest.raises(InvalidInputError, match="no distribution nowhere_at_all is installed"):
        list(required_packages(["nowhere_at_all"]))


def test_newest_completed_run_is_found(add_run, database):
    for run_id, status in ((1, "COMPLETED"), (2, "COMPLETED"), (3, "FAILED"), (4, "RUNNING")):
        add_run(run_id, status=status, tracking={"identity": "a"})
    add_run(5, tracking={"identity": "b"})
    add_run(6)
    assert completed_run(database, "a") == 2
    assert completed_run(database, "c") is None


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
