"""Whatever happens to a file of a journal: nothing wrong is delivered, nothing lost in silence."""

import datetime
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import gridfs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from nn_clustering.tracking import sync_journals
from nn_clustering.tracking.command_line.main import main
from nn_clustering.tracking.writing.courier import Courier
from nn_clustering.tracking.writing.delivery import Delivery
from nn_clustering.tracking.writing.event_writer import EventWriter
from nn_clustering.tracking.writing.journal_reading import damaged_journals, journal_folders
from nn_clustering.tracking.writing.registration import register_run, run_entry
from nn_clustering.tracking.writing.run_end import RunEnd
from nn_clustering.tracking.writing.run_record import RunRecord

TIME = datetime.datetime(2024, 1, 1)
INFO, RESULT, PRINTED = {"scores": [1, 2]}, {"ncut": 1.5}, "printed\n"


@dataclass
class LeftRun:
    """A run whose process is gone, with all that it logged in its journal.

    `n_counted` is the number of points when its document was written for the last time.
    """

    database: object
    folder: Path
    is_finished: bool
    points: dict = field(default_factory=dict)
    artifacts: list = field(default_factory=list)
    n_counted: int = 0

    def __post_init__(self):
        # What was printed before anything was stored keeps the places of Sacred's observer.
        info = {"name": "sample", "sources": [], "base_dir": str(self.folder)}
        entry = run_entry(info, "main", {}, TIME, {}, {})
        entry["tracking"] = {"token": "token", "identity": None}
        self.run_id, journal = register_run(
            self.database, self.folder / "template", "token", entry, self.folder
        )
        record = RunRecord("token")
        delivery = Delivery(self.database, journal, self.run_id, "token")
        courier = Courier(delivery, journal, "the run")  # which never starts
        self.writer = EventWriter(self.run_id, journal, courier, record)
        for part in range(3):
            self.log_points(8)
            self.log_file(f"state-{part}.bin", b"state %d " % part * 20)
        (self.folder / "read.txt").write_text("a resource")
        self.writer.write_resource(str(self.folder / "read.txt"))
        self.log_points(8)
        record.take_heartbeat(INFO, PRINTED, TIME, RESULT)
        if self.is_finished:
            record.end("COMPLETED", TIME)
        self.writer.write_document()
        self.n_counted = sum(map(len, self.points.values()))
        if not self.is_finished:
            self.log_points(4)
        journal.close()
        self.entry = self.database["runs"].find_one()

    def log_points(self, count):
        for _ in range(count):
            for name in ("loss", "test accuracy"):
                points = self.points.setdefault(name, [])
                point = (len(points), len(points) / 7)
                self.writer.write_point(name, point[1], point[0])
                points.append(point)

    def log_file(self, name, content):
        (self.folder / "file").write_bytes(content)
        self.writer.write_artifact(name, self.folder / "file")
        self.artifacts.append((name, content))

    @property
    def files(self):
        """The journal's files that hold something."""
        paths = sorted((self.folder / "template" / "token").rglob("*"))
        found = [path for path in paths if path.is_file() and path.stat().st_size]
        assert len(found) == 11, found  # header, document, 5 segments, 4 copies of files
        return [path.relative_to(self.folder / "template") for path in found]

    def begin_again(self):
        """Put all back as it was before any delivery; returns the folder of journals."""
        for name in ("metrics", "fs.files", "fs.chunks"):
            self.database[name].delete_many({})
        self.database["runs"].replace_one({}, self.entry)
        root = self.folder / "journal"
        shutil.rmtree(root, ignore_errors=True)
        shutil.copytree(self.folder / "template", root)
        return root

    def stored_points(self):
        found = {}
        for document in self.database["metrics"].find():
            assert len(document["steps"]) == len(document["values"])
            found[document["name"]] = list(zip(document["steps"], document["values"], strict=True))
        return found

    def stored_artifacts(self):
        files, run = gridfs.GridFS(self.database), self.database["runs"].find_one()
        return [(entry["name"], files.get(entry["file_id"]).read()) for entry in run["artifacts"]]

    def is_whole(self):
        """Whether all that it logged is stored; what is stored is right in any case."""
        run, points, artifacts = (
            self.database["runs"].find_one(), self.stored_points(), self.stored_artifacts(),
        )  # fmt: skip
        for name, logged in self.points.items():
            stored = points.get(name, [])
            assert stored == [point for point in logged if point in stored]
        assert artifacts == [artifact for artifact in self.artifacts if artifact in artifacts]
        info = {key: value for key, value in run["info"].items() if key != "metrics"}
        assert info in ({}, INFO)
        assert run.get("result") in (None, RESULT)
        assert run["captured_out"] in ("", PRINTED)
        return (
            points == self.points
            and artifacts == self.artifacts
            and len(run["resources"]) == 1
            and (info, run.get("result"), run["captured_out"]) == (INFO, RESULT, PRINTED)
        )

    def lost_only_the_torn_end(self, path):
        """Whether no more is missing than a loss of power may take, from the last segment."""
        stored = self.stored_points()
        n_stored = sum(map(len, stored.values()))
        is_start = all(stored[name] == self.points[name][: len(stored[name])] for name in stored)
        return path.name == "5.events" and is_start and n_stored >= self.n_counted


@pytest.fixture
def finished(database, tmp_path):
    return LeftRun(database, tmp_path, is_finished=True)


@pytest.fixture
def dead(database, tmp_path):
    return LeftRun(database, tmp_path, is_finished=False)


def deliver(run, root):
    said = []
    report = sync_journals(run.database.client, root, said.append)
    assert [*report.left, *report.incomplete] == [line for line in said if "all in" not in line]
    return report


def damage(path, position, bit):
    """Flip a bit; without one, cut the file off."""
    content = bytearray(path.read_bytes())
    position %= len(content)
    if bit is None:
        del content[position:]
    else:
        content[position] ^= 1 << bit
    path.write_bytes(content)


def assert_told(run, report, root):
    """The run is never COMPLETED, the rest is there, and the journal is kept, never redelivered."""
    assert report.left == report.delivered == ()
    (line,) = report.incomplete
    (kept,) = damaged_journals(root)
    assert str(kept) in line
    assert journal_folders(root) == []
    stored = run.database["runs"].find_one()
    assert stored["status"] in ("FAILED", "DIED")
    assert str(kept) in stored["fail_trace"][-1]
    before = run.stored_points(), run.stored_artifacts()
    assert deliver(run, root) == type(report)((), (), ())
    assert before == (run.stored_points(), run.stored_artifacts())


FAULTS = given(
    number=st.integers(0, 10),
    position=st.integers(0, 10**6),
    bit=st.none() | st.integers(0, 7),
)
MANY = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_undamaged_journals_are_delivered_whole(finished):
    root = finished.begin_again()
    assert deliver(finished, root).delivered == (1,)
    assert finished.is_whole()
    assert finished.database["runs"].find_one()["status"] == "COMPLETED"


def test_undamaged_journal_of_the_dead(dead):
    root = dead.begin_again()
    assert deliver(dead, root).delivered == (1,)
    assert dead.is_whole()
    assert dead.database["runs"].find_one()["status"] == "DIED"


@MANY
@FAULTS
def test_any_damage_to_a_finished_run_is_told(finished, number, position, bit):
    root = finished.begin_again()
    damage(root / finished.files[number], position, bit)
    report = deliver(finished, root)
    is_whole = finished.is_whole()
    if report.incomplete or report.left or not is_whole:
        assert_told(finished, report, root)
    else:  # a blank of the header in the place of another
        assert finished.files[number].name == "header.json"
        assert finished.database["runs"].find_one()["status"] == "COMPLETED"


@MANY
@FAULTS
def test_any_damage_to_a_dead_run_is_told(dead, number, position, bit):
    root, path = dead.begin_again(), dead.files[number]
    damage(root / path, position, bit)
    report = deliver(dead, root)
    if dead.is_whole() and not report.incomplete:
        assert path.name in ("header.json", "5.events")
    elif report.incomplete:
        assert_told(dead, report, root)
    else:
        assert bit is None
        assert dead.lost_only_the_torn_end(path)
    assert dead.database["runs"].find_one()["status"] == "DIED"


@pytest.mark.parametrize("number", range(11))
def test_each_file_is_named(finished, number):
    """And all is delivered that was not in the damaged place."""
    root, path = finished.begin_again(), finished.files[number]
    damage(root / path, (root / path).stat().st_size // 2, 3)
    report = deliver(finished, root)
    assert_told(finished, report, root)
    is_copy = path.parent.name == "files"
    assert ("the copy of " if is_copy else f"{path.name} is damaged") in report.incomplete[0]
    finished.is_whole()
    n_points = sum(map(len, finished.stored_points().values()))
    n_files = len(finished.stored_artifacts())
    n_files += len(finished.database["runs"].find_one()["resources"])
    n_lost = sum(map(len, finished.points.values())) + 4 - n_points - n_files
    assert n_lost == (1 if is_copy or path.suffix == ".events" else 0)


def test_damage_is_told_on_the_command_line(finished, server, tmp_path, monkeypatch, capsys):
    """A point is lost, `sync` fails once, and everybody can see it afterwards."""
    monkeypatch.setenv("MONGO_URL", server.url)
    monkeypatch.setenv("MONGO_DB", server.database)
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(tmp_path / "home"))
    root = finished.begin_again()
    damage(root / "token" / "1.events", 500, 1)
    home = tmp_path / "home" / ".mongo" / "journal"
    shutil.copytree(root, home)
    assert main(["sync"]) == 1
    said = capsys.readouterr().out
    assert "run 1 is FAILED, and not whole in MongoDB: 1.events is damaged at byte " in said
    assert "1 event is missing" in said
    assert f"its journal is kept in {home / 'damaged' / 'token'}" in said
    assert main(["show", "1"]) == 0
    shown = capsys.readouterr().out
    assert "FAILED" in shown.splitlines()[0]
    assert "not everything that was logged is in MongoDB: 1.events is damaged" in shown
    assert main(["list"]) == 0
    assert "FAILED" in capsys.readouterr().out
    assert main(["sync"]) == 0
    assert "1 damaged journal is kept in" in capsys.readouterr().out


def test_a_journal_that_is_in_the_way_of_nothing_is_removed(finished):
    """The disk was read-only when the process wanted to remove it: its run had ended well."""
    root = finished.begin_again()
    finished.database["runs"].update_one({}, {"$set": {"status": "COMPLETED"}})
    damage(root / "token" / "document.bson", 40, 1)
    assert deliver(finished, root).delivered == (1,)
    assert finished.database["runs"].find_one()["status"] == "COMPLETED"
    assert list(root.iterdir()) == []


def test_document_that_is_missing_is_told(finished):
    root = finished.begin_again()
    (root / "token" / "document.bson").unlink()
    report = deliver(finished, root)
    assert_told(finished, report, root)
    assert "document.bson is missing" in report.incomplete[0]
    assert finished.stored_points() == finished.points


def test_copy_of_a_segment_beside_it_changes_nothing(finished):
    root = finished.begin_again()
    shutil.copy(root / "token" / "1.events", root / "token" / "1 (copy).events")
    assert deliver(finished, root).delivered == (1,)
    assert finished.is_whole()
    assert list(root.iterdir()) == []


def test_end_says_that_the_journal_is_gone(database, tmp_path, monkeypatch):
    """Its disk was taken away after the end was written, and the server is away too."""
    entry = run_entry({"name": "x", "sources": [], "base_dir": ""}, "main", {}, TIME, {}, {})
    entry["tracking"] = {"token": "token", "identity": None}
    run_id, journal = register_run(database, tmp_path / "journal", "token", entry, tmp_path)
    record, delivery = RunRecord("token"), Delivery(database, journal, run_id, "token")
    courier = Courier(delivery, journal, "the run")
    writer = EventWriter(run_id, journal, courier, record)

    def give_up():
        (tmp_path / "journal").rename(tmp_path / "elsewhere")
        return False

    monkeypatch.setattr(courier, "finish", give_up)
    said = RunEnd(run_id, journal, courier, record, writer).finish("COMPLETED", TIME)
    assert f"its journal {tmp_path / 'journal' / 'token'} is gone" in said
    assert "if its disk comes back, `python -m nn_clustering.tracking sync` delivers it" in said


def leave_run(database, folder, token, value):
    """Leave the journal of a finished run that logged, and returned, one number alone."""
    info = {"name": "sample", "sources": [], "base_dir": str(folder)}
    entry = run_entry(info, "main", {}, TIME, {}, {})
    entry["tracking"] = {"token": token, "identity": None}
    run_id, journal = register_run(database, folder / "journal", token, entry, folder)
    record, delivery = RunRecord(token), Delivery(database, journal, run_id, token)
    writer = EventWriter(run_id, journal, Courier(delivery, journal, "the run"), record)
    for step in range(5):
        writer.write_point("loss", value, step)
    record.take_result(value)
    record.end("COMPLETED", TIME)
    writer.write_document()
    journal.close()


@pytest.mark.parametrize("name", ["1.events", "document.bson", "header.json", "."])
def test_files_of_another_journal_are_damage(database, tmp_path, name):
    """They are whole, and what they hold is another run's."""
    values = {"first": 1, "second": 2}
    for token, value in values.items():
        leave_run(database, tmp_path, token, value)
    root = tmp_path / "journal"
    first, second, aside = root / "first" / name, root / "second" / name, tmp_path / "aside"
    for path, target in ((first, aside), (second, first), (aside, second)):
        path.rename(target)
    report = sync_journals(database.client, root, print)
    assert (len(report.incomplete), report.delivered, report.left) == (2, (), ())
    assert len(damaged_journals(root)) == 2
    for run in database["runs"].find():
        value = values[run["tracking"]["token"]]
        assert run["status"] in ("FAILED", "DIED")
        assert run.get("result") in (None, value)
        points = database["metrics"].find({"run_id": run["_id"]})
        assert all(set(metric["values"]) == {value} for metric in points)
