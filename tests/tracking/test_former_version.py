"""Runs that the former version stored are listed, shown, compared, read and synced as it did."""

import hashlib
import json
import shutil
import socket
from pathlib import Path

import pytest
from bson import json_util

from nn_clustering.tracking import RunNotFoundError, RunStore, sync_journals
from nn_clustering.tracking.command_line.main import main

FORMER = Path(__file__).with_name("former_version")
RUNS = range(1, 8)


@pytest.fixture
def former_home(tmp_path, database):
    """A home with the journals that the former version left there."""
    home = tmp_path / "home"
    shutil.copytree(FORMER / "journal", home / ".mongo" / "journal")
    for path in home.glob(".mongo/journal/*/header.json"):
        header = json.loads(path.read_text())
        path.write_text(json.dumps({**header, "database": database.name}))
    return home


@pytest.fixture
def former(database, former_home):
    """The store of its runs, all of them made on this machine."""
    text = (FORMER / "database.json").read_text(encoding="utf-8")
    for name, documents in json_util.loads(at_home(text)).items():
        database[name].insert_many(documents)
    return RunStore(database, former_home)


@pytest.fixture
def printed(former, former_home, server, monkeypatch, capsys):
    """Types a command with --json; returns what it prints."""
    monkeypatch.setenv("MONGO_URL", server.url)
    monkeypatch.setenv("MONGO_DB", server.database)
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(former_home))

    def printed(*arguments):
        assert main([*map(str, arguments), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return printed


def at_home(text):
    return text.replace("HOSTNAME", socket.gethostname())


def printed_by_former(name):
    return json.loads(at_home((FORMER / "printed" / f"{name}.json").read_text(encoding="utf-8")))


def test_runs_are_listed_as_before(printed):
    assert printed("list") == printed_by_former("list")


@pytest.mark.parametrize("run_id", RUNS)
def test_run_is_shown_as_before(printed, run_id):
    assert printed("show", run_id) == printed_by_former(f"show_{run_id}")


def test_runs_are_compared_as_before(printed, former):
    assert printed("compare", 3, 6) == printed_by_former("compare")
    table = former.compare([3, 6])
    assert list(table.index) == ["config.scale.factor", "result.numbers"]


def test_runs_are_found_by_what_they_are(former):
    assert former.find(experiment="measure", status="COMPLETED").ids == [6, 3]
    assert former.find(config={"scale.factor": ("<", 1)}).ids == [6, 5]
    assert former.find(tags=["kept"]).ids == [1]
    assert former.find(result={"ncut": 1.5}).ids == [1]
    assert former.run("latest", experiment="total").id == 4


def test_artifacts_are_read_with_their_digests(former):
    files = [(run, file) for run in former.find() for file in run.artifact_info()]
    assert len(files) >= 9
    for run, file in files:
        content = run.artifact(file.name)
        assert hashlib.sha256(content).hexdigest() == file.sha256
        assert len(content) == file.size


def test_metric_is_read(former):
    table = former.run(1).metric("test.accuracy")
    assert list(table["step"]) == [0, 1, 2]
    assert list(table["value"]) == [0.0, 0.5, 1.0]


def test_notes_and_tags_are_changed(former):
    former.tag(3, "again")
    former.note(1, "still there")
    assert former.run(3).tags == ("baseline", "again")
    assert former.run(1).notes == "as it should be\nstill there"


def test_lineage_leads_from_result_to_input(former):
    assert [(node.key, node.run) for node in former.lineage(4).reads] == [("measure_run", 3)]
    assert [node.run for node in former.lineage(3).read_by] == [4]


def test_run_that_was_read_is_deleted_with_its_reader_only(former):
    assert former.plan_deletion([3], with_dependents=True) == [4, 3]
    assert former.delete([3], with_dependents=True) == [4, 3]
    with pytest.raises(RunNotFoundError, match="deleted on"):
        former.run(4)


def test_failed_run_can_be_gone_on_with(former):
    failed = former.unfinished_run(7, experiment="count")
    assert failed.failure() == "RuntimeError: told to fail"
    assert float(failed.artifact("number_1")) == 2.0


def test_journals_are_synced(former, database, former_home):
    assert former.run(8, status=None).status == "RUNNING"  # it says itself how it ended
    root = former_home / ".mongo" / "journal"
    report = sync_journals(database.client, root, say=lambda line: None)
    assert sorted(report.delivered) == [8, 9]
    assert not report.left
    assert list(root.iterdir()) == []
    ended = former.run(8)
    assert list(ended.metric("loss")["value"]) == [step / 7 for step in range(40)]
    assert len(ended.artifact("state.bin")) == 4000
    died = former.run(9, status="DIED")
    assert list(died.metric("loss")["step"]) == list(range(20))
    assert len(died.artifact("state.bin")) == 2000


def test_journal_of_one_run_is_synced_before_it_is_gone_on_with(former, former_home):
    assert len(former.unfinished_run(9, experiment="sample").metric("loss")) == 20
    left = [path.name for path in (former_home / ".mongo" / "journal").iterdir()]
    assert left == ["bfc91c733e3666911d23a757c3f3bfb1"]
