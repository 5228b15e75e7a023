"""A study's stored code is written out once a machine, as it was, wherever it lay."""

import errno
import os
import shutil
import threading
import time

import pytest

from nn_clustering.studies._cell_orders import CellOutcome, Snapshot
from nn_clustering.studies._cell_process import run_cell
from nn_clustering.studies._snapshot import UNUSED_SECONDS, snapshot_of, written_snapshot
from nn_clustering.tracking import TrackingError
from tests.studies.counting_project import CountingStudy

MODULE = "from own_parts import SIZE\n\n\ndef size():\n    return SIZE\n\n\nNUMBER = size()\n"


@pytest.fixture(scope="module")
def study(embedded_server, home, tmp_path_factory):
    """A study with a module and a config of the user's own, which lie beside the project."""
    place = tmp_path_factory.mktemp("somebody's")
    study = CountingStudy(
        place / "project", embedded_server, home, start="../own work", of="'own_code.NUMBER'"
    )
    (study.start / "own_code.py").write_text(MODULE)
    (study.start / "own_parts.py").write_text("SIZE = 4\n")
    own = study.start / "configs" / "count" / "default.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("n_steps: 2\n")
    study.begin()
    study.settings["of"] = "own_code.NUMBER"
    (study.start / "own_parts.py").write_text("SIZE = 5\n")
    own.write_text("n_steps: 1\n")
    yield study
    study.close()


@pytest.fixture
def written(study, tmp_path):
    """The code, written out in a home of the test's own."""
    return written_snapshot(study.database, study.snapshot, tmp_path)


def test_all_code_lies_as_it_did(study, written):
    assert written.base.name == "project"
    assert written.start == written.base.parent / "own work"
    found = {
        path.relative_to(written.code).as_posix()
        for path in written.code.rglob("*")
        if path.is_file()
    }
    assert found == {
        *("project/experiments/count.py", "project/experiments/step_size.py"),
        "project/configs/count/default.yaml",
        *("own work/own_code.py", "own work/own_parts.py", "own work/configs/count/default.yaml"),
    }
    assert (written.start / "own_parts.py").read_text() == "SIZE = 4\n"


def test_a_cell_runs_code_and_config_of_the_user_as_they_were(study, monkeypatch):
    for name in set(os.environ) - set(study.environ):
        monkeypatch.delenv(name)
    for name, value in study.environ.items():
        monkeypatch.setenv(name, value)
    outcome = CellOutcome.from_plain(run_cell(study.order(1)))
    assert outcome.state == "completed", outcome
    run = study.store.run(outcome.run_id)
    assert run.result == {"number": 8, "first": 0}
    assert run.info["code"] == study.run.info["code"]


def test_code_that_only_a_config_of_the_users_own_names_is_there_too(study, tmp_path):
    mine = study.start / "configs" / "count" / "mine.yaml"
    mine.write_text("of: own_code.NUMBER\n")
    written = written_snapshot(study.database, study.plan("mine"), tmp_path)
    assert (written.start / "own_code.py").read_text() == MODULE
    assert (written.start / "own_parts.py").is_file()
    assert (written.start / "configs" / "count" / "mine.yaml").read_bytes() == mine.read_bytes()
    assert written.program("experiments/count.py").is_file()


def test_damaged_code_is_made_anew(study, written, tmp_path):
    for name, content in (("own_code.py", "NUMBER = 0\n"), ("one_more.py", "")):
        (written.start / name).write_text(content)
        again = written_snapshot(study.database, study.snapshot, tmp_path)
        assert again == written
        assert (again.start / "own_code.py").read_text() == MODULE
        assert not (again.start / "one_more.py").exists()
    assert [path.name for path in written.code.parents[1].iterdir() if path.is_dir()] == [
        study.snapshot.digest
    ]


def test_several_processes_write_it_once(study, tmp_path):
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(
                written_snapshot(study.database, study.snapshot, tmp_path).code.stat().st_ino
            )
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1


def test_compiled_modules_are_no_damage(study, written, tmp_path):
    folder = written.base / "experiments" / "__pycache__"
    folder.mkdir()
    (folder / "count.cpython-311.pyc").touch()
    written_snapshot(study.database, study.snapshot, tmp_path)
    assert folder.is_dir()


def test_code_that_is_not_the_one_of_the_start_is_refused(study, tmp_path):
    other = Snapshot(study.run.id, "0" * 64, study.snapshot.start_folder)
    with pytest.raises(TrackingError, match=r"is not what it was when the\s+study started"):
        written_snapshot(study.database, other, tmp_path)
    programs = tmp_path / ".mongo" / "programs"
    assert [path for path in programs.iterdir() if path.is_dir()] == []


def test_a_stage_that_is_not_there_is_refused(written):
    for name in ("experiments/other.py", "../../../other.py", "/etc/passwd"):
        with pytest.raises(TrackingError, match="has no"):
            written.program(name)


def test_code_that_nobody_used_for_long_goes(study, written, tmp_path):
    programs = written.code.parents[1]
    old = programs / ("1" * 64)
    old.mkdir()
    long_ago = time.time() - UNUSED_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    os.utime(written.code.parent, (long_ago, long_ago))
    written_snapshot(study.database, study.snapshot, tmp_path)  # which is used now
    (written.start / "own_code.py").unlink()
    written_snapshot(study.database, study.snapshot, tmp_path)
    assert not old.exists()
    assert written.start.is_dir()


def test_a_full_disk_is_told_once(study, tmp_path, monkeypatch):
    def copy(source, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source, None, target)

    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.raises(TrackingError, match="No space left on device") as raised:
        snapshot_of(study.database, study.run.id, root=tmp_path)
    assert str(raised.value).count("No space left") == 1
    assert "free some space" in str(raised.value)


def test_the_same_code_is_taken_as_the_same(study, tmp_path):
    start = study.snapshot.start_folder
    again = snapshot_of(study.database, study.run.id, start, tmp_path)
    assert again == study.snapshot
