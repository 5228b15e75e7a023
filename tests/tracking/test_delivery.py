"""Measurements are stored exactly once, whatever happens to the acknowledgements."""

import pymongo.errors
import pytest

from nn_clustering.tracking._delivery import Artifact, Batch, Leftovers, PendingMetrics


class LosesAcknowledgements:
    """A real collection behind a line that breaks before or after every second write."""

    def __init__(self, collection, is_written):
        self.collection = collection
        self.is_written = is_written
        self.calls = 0

    def _write(self, method, *arguments):
        self.calls += 1
        if self.calls % 2 and not self.is_written:
            raise pymongo.errors.AutoReconnect
        getattr(self.collection, method)(*arguments)
        if self.calls % 2:
            raise pymongo.errors.AutoReconnect

    def insert_one(self, *arguments):
        self._write("insert_one", *arguments)

    def update_one(self, *arguments):
        self._write("update_one", *arguments)


@pytest.mark.parametrize("is_written", [True, False])
def test_each_measurement_arrives_once(database, is_written):
    pending = PendingMetrics(LosesAcknowledgements(database["metrics"], is_written))
    pending.run_id = 1
    for step in range(4):
        pending.add(Batch("loss", [step], [step / 2], [None]))
        with pytest.raises(pymongo.errors.AutoReconnect):
            pending.deliver()
        # More is logged before the second attempt.
        pending.add(Batch("accuracy", [step], [1.0], [None]))
        while True:
            try:
                pending.deliver()
                break
            except pymongo.errors.AutoReconnect:
                continue
    stored = {metric["name"]: metric for metric in database["metrics"].find()}
    assert stored["loss"]["steps"] == [0, 1, 2, 3]
    assert stored["loss"]["values"] == [0.0, 0.5, 1.0, 1.5]
    assert stored["accuracy"]["steps"] == [0, 1, 2, 3]
    assert pending.take() == []


def test_what_can_never_be_stored_holds_nothing_up(database):
    pending = PendingMetrics(database["metrics"])
    pending.run_id = 1
    rejected = Batch("bad", [0], [2**70], [None])
    pending.add(rejected)
    pending.add(Batch("good", [0], [1.0], [None]))
    pending.deliver()
    assert database["metrics"].distinct("name") == ["good"]
    assert pending.take() == [rejected]


def test_leftover_artifact_is_copied_and_forgotten_once_stored(tmp_path):
    file = tmp_path / "network.keras"
    file.write_bytes(b"weights")
    leftovers = Leftovers(tmp_path / "undelivered")
    leftovers.run_id = 3
    leftovers.keep_artifact(Artifact("network.keras", file))
    (kept,) = leftovers.artifacts
    assert kept.path.read_bytes() == b"weights"
    assert "run 3 is incomplete" in leftovers.message()
    leftovers.forget_artifact(kept)
    assert not leftovers.any
    assert list((tmp_path / "undelivered").iterdir()) == []
