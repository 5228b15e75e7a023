"""Whatever is logged and whenever the line breaks, MongoDB has it in the end, once and in order.

Hypothesis makes up sequences of events and outages. The server is real, and so is the line, which
is cut before or after a message has arrived.
"""

import datetime
import math
import tempfile
from pathlib import Path

import gridfs
import pymongo
import pytest
from hypothesis import HealthCheck, Phase, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from nn_clustering.errors import ServerUnavailableError
from nn_clustering.tracking import TrackingObserver, sync_journals
from nn_clustering.tracking.writing import courier
from nn_clustering.tracking.writing.journal_reading import journal_folders
from tests.tracking.faulty_line import FaultyLine

NAMES = st.sampled_from(["loss", "test.accuracy", "ä $.b"])
VALUES = st.one_of(st.floats(), st.integers(-(2**63), 2**63 - 1), st.booleans())
# Of files; the large one is of several chunks.
CONTENTS = {
    "empty": b"",
    "small": b"weights",
    "page": b"<script>",
    "large": bytes(range(256)) * 2500,
}
TIME = datetime.datetime(2024, 1, 1)


def same(stored, logged):
    return len(stored) == len(logged) and all(
        a == b or (isinstance(b, float) and math.isnan(a) and math.isnan(b))
        for a, b in zip(stored, logged, strict=True)
    )


class Runs(RuleBasedStateMachine):
    """A run at a time, and what it logged."""

    # The database over the faulty line, the same in reach always, and the line.
    world = None

    @initialize()
    def start(self):
        self.database, self.direct, self.line = self.world
        self.folder = Path(tempfile.mkdtemp(prefix="runs"))
        self.start_run()

    def start_run(self):
        self.metrics, self.artifacts, self.resources = {}, [], set()
        self.info, self.captured = {}, ""
        self.line.restore()
        while True:
            self.observer = TrackingObserver(self.database, self.folder / "journal")
            try:
                self.run_id = self.observer.started_event(
                    {"name": "sample", "base_dir": str(self.folder), "sources": []},
                    "main", {}, TIME, {"seed": 1}, {}, None,
                )  # fmt: skip
                return
            except ServerUnavailableError:  # the last of the connections that were cut
                continue

    @rule(name=NAMES, value=VALUES, count=st.integers(1, 30))
    def log(self, name, value, count):
        points = self.metrics.setdefault(name, [])
        for _ in range(count):
            self.observer.log_point(name, value, len(points))
            points.append(value)

    @rule(name=st.sampled_from(["a.npz", "b", "page.html"]), kind=st.sampled_from(sorted(CONTENTS)))
    def add_artifact(self, name, kind):
        path = self.folder / "artifact"
        path.write_bytes(CONTENTS[kind])
        self.observer.artifact_event(name, str(path))
        path.unlink()
        self.artifacts.append((name, kind))

    @rule(kind=st.sampled_from(sorted(CONTENTS)))
    def read_resource(self, kind):
        path = self.folder / "resource"
        path.write_bytes(CONTENTS[kind])
        self.observer.resource_event(str(path))
        self.resources.add(kind)

    @rule(info=st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9)), text=st.text(max_size=9))
    def take_heartbeat(self, info, text):
        self.info = info
        self.captured += text.encode("utf-8", "replace").decode()
        self.observer.heartbeat_event(info, self.captured, TIME, None)

    @rule()
    def cut(self):
        self.line.cut()

    @rule(n_sends=st.integers(1, 12))
    def cut_after(self, n_sends):
        self.line.cut_after(n_sends)

    @rule()
    def restore(self):
        self.line.restore()

    @rule()
    def be_taken_for_dead(self):
        self.direct["runs"].update_one({"_id": self.run_id}, {"$set": {"status": "DIED"}})

    @rule(n_sends=st.lists(st.integers(1, 12), max_size=3))
    def be_killed(self, n_sends):
        """The process ends without a word; its journal is delivered later, with interruptions."""
        self.observer._courier.stop()
        self.observer._courier.join()
        self.observer._journal.close()
        self.sync(n_sends)
        self.check("DIED")
        self.start_run()

    @rule(is_failed=st.booleans(), n_sends=st.lists(st.integers(1, 12), max_size=3))
    def end(self, is_failed, n_sends):
        status = "FAILED" if is_failed else "COMPLETED"
        try:
            if is_failed:
                self.observer.failed_event(TIME, ["trace"])
            else:
                self.observer.completed_event(TIME, None)
        except SystemExit as left:
            assert "tracking sync" in str(left)  # noqa: PT017
        self.observer._courier.join()
        if journal_folders(self.folder / "journal"):
            stored = self.direct["runs"].find_one({"_id": self.run_id})
            assert stored["status"] in ("RUNNING", "DIED", status)
            self.sync(n_sends)
        self.check(status)
        self.start_run()

    def sync(self, n_sends):
        root = self.folder / "journal"
        for count in n_sends:
            self.line.cut_after(count)
            sync_journals(self.database.client, root, say=lambda line: None)
        self.line.restore()
        for _ in range(5):  # the client may still believe in an outage
            report = sync_journals(self.database.client, root, say=lambda line: None)
            if not report.left:
                break
        assert report.left == ()
        assert journal_folders(root) == []

    def check(self, status):
        stored = self.direct["runs"].find_one({"_id": self.run_id})
        assert stored["status"] == status
        metrics = {
            document["name"]: document
            for document in self.direct["metrics"].find({"run_id": self.run_id})
        }
        assert set(metrics) == set(self.metrics)
        for name, values in self.metrics.items():
            assert metrics[name]["steps"] == list(range(len(values)))
            assert same(metrics[name]["values"], values)
            assert len(metrics[name]["timestamps"]) == len(values)
        listed = {entry["name"]: entry["id"] for entry in stored["info"].pop("metrics", ())}
        assert listed == {name: str(document["_id"]) for name, document in metrics.items()}
        files = gridfs.GridFS(self.direct)
        kinds = {content: kind for kind, content in CONTENTS.items()}
        artifacts = [
            (entry.get("original_name", entry["name"]), kinds[files.get(entry["file_id"]).read()])
            for entry in stored["artifacts"]
        ]
        assert artifacts == self.artifacts
        resources = [
            kinds[files.find_one({"filename": name, "md5": md5}).read()]
            for name, md5 in stored["resources"]
        ]
        assert sorted(resources) == sorted(self.resources)
        assert stored["info"] == self.info
        assert stored["captured_out"] == self.captured

    def teardown(self):
        if hasattr(self, "observer"):
            self.be_killed([])
            self.end(False, [])
            self.observer._courier.stop()
            self.observer._courier.join()
            self.observer._journal.discard()


@pytest.fixture
def faulty(database, server, monkeypatch):
    """The machine on a faulty line, whose courier does not take its time."""
    for name, value in (("GATHER", 0.01), ("PAUSES", (0.01,)), ("GIVE_UP", 0.15), ("BEAT", 0.1)):
        monkeypatch.setattr(courier, name, value)
    # Nor the driver, which looks for a lost server every half second.
    monkeypatch.setattr(pymongo.common, "MIN_HEARTBEAT_INTERVAL", 0.02)
    line = FaultyLine(server.address)
    client = pymongo.MongoClient(
        server.url.replace(server.address, line.address),
        journal=True, serverSelectionTimeoutMS=100, heartbeatFrequencyMS=100,
    )  # fmt: skip
    Runs.world = client[server.database], database, line
    yield Runs
    line.close()
    client.close()


def test_random_events_and_outages(faulty):
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        faulty,
        settings=settings(
            max_examples=25,
            stateful_step_count=25,
            deadline=None,
            phases=[Phase.generate],  # to make a failure shorter would take minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
