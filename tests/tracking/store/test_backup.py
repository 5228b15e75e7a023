"""Backups: a restored database is the old one, byte for byte; a damaged one changes nothing."""

import datetime
import gzip
import hashlib
import io
import json
import math
import os
import signal
import subprocess
import sys
import tarfile
import time

import bson
import gridfs
import pymongo
import pytest
from bson import Code, Decimal128, Int64, MaxKey, MinKey, Regex, Timestamp

from nn_clustering.tracking import (
    DamagedArtifactError,
    InvalidInputError,
    RunStore,
    TrackingError,
    back_up,
    read_backup,
    restore_backup,
)
from nn_clustering.tracking.indexes import ensure_indexes
from tests.programs import environment
from tests.tracking.stored_files import store_file

ODD = {
    "int": 1, "long": Int64(1), "double": 1.0, "nan": math.nan, "minus zero": -0.0,
    "decimal": Decimal128("1.10"), "bytes": b"\x00\xff", "old binary": bson.Binary(b"x", 128),
    "regex": Regex("a/b", "i"), "code": Code("f()", {"x": 1}), "stamp": Timestamp(1, 2),
    "min": MinKey(), "max": MaxKey(), "null": None, "a.b": {"$set": 1, "": []},
    "date": datetime.datetime(2024, 1, 1), "far": bson.datetime_ms.DatetimeMS(2**60),
    "order": {"b": 1, "a": 2}, "letters": "é\n\x00\U0001f600",
}  # fmt: skip


@pytest.fixture
def filled(database, run_sample):
    """A database with a real run, and all that MongoDB's own collections can be."""
    ended = run_sample("succeed")
    assert ended.returncode == 0, ended.stderr
    ensure_indexes(database)
    database["odd"].insert_many([{"_id": {"x": [number]}, **ODD} for number in (2, 1, 3)])
    database["odd/#name ä"].insert_one({"_id": "a"})
    database.create_collection("last", capped=True, size=4096, max=2)
    database["last"].insert_many([{"_id": number} for number in (3, 1, 2)])
    database.create_collection("words", collation={"locale": "de", "strength": 1})
    database["words"].create_index([("w", 1), ("a", -1)], unique=True, sparse=True)
    simple = {"locale": "simple"}
    database["words"].create_index([("text", "text")], weights={"text": 3}, collation=simple)
    database.create_collection("seen", viewOn="odd", pipeline=[{"$match": {"int": 1}}])
    database.create_collection("nothing")
    now = datetime.datetime.now(datetime.timezone.utc)
    database["leases"].insert_one({"_id": "i", "expires_at": now + datetime.timedelta(hours=1)})
    gridfs.GridFS(database).put(os.urandom(2**21) * 20, filename="larger than a piece")
    return database


@pytest.fixture
def other(database):
    """Another database of the server, without anything."""
    other = database.client[f"{database.name}_other"]
    yield other
    other.client.drop_database(other.name)


@pytest.fixture
def file(database, tmp_path):
    """A small backup: two runs, of which one has an artifact."""
    database["runs"].insert_one({"_id": 1, "status": "COMPLETED"})
    artifacts = [store_file(database, "network.keras", b"x" * 1000)]
    database["runs"].insert_one({"_id": 2, "status": "COMPLETED", "artifacts": artifacts})
    return written(database, tmp_path / "small.tar.gz")


def written(database, path):
    with path.open("wb") as handle:
        back_up(database, handle)
    return path


def everything(database):
    """All that is in a database: bytes of documents in their order, indexes, and options."""
    found = {}
    for entry in database.list_collections():
        name = entry["name"]
        if entry["type"] == "view":
            found[name] = (entry["options"],)
        elif not name.startswith("system."):
            content = b"".join(database[name].find_raw_batches({}))
            indexes = [bson.encode(index) for index in database[name].list_indexes()]
            found[name] = (content, sorted(indexes), bson.encode(entry["options"]))
    return found


def members(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def packed(path, content):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in content.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_a_restored_store_equals_the_old_one(filled, other, tmp_path):
    path = written(filled, tmp_path / "backup.tar.gz")
    restore_backup(other, read_backup(path))
    restored, original = everything(other), everything(filled)
    assert set(restored) == set(original)
    for name in original:
        assert restored[name] == original[name], name
    store, there = RunStore(filled), RunStore(other)
    (run,), (same,) = store.find(), there.find()
    artifacts = [file.name for file in run.artifact_info()]
    assert "network.npz" in artifacts
    for name in artifacts:
        assert same.artifact(name) == run.artifact(name)


def test_ordinary_tools_read_it(filled, tmp_path):
    path = written(filled, tmp_path / "backup.tar.gz")
    subprocess.run(["tar", "xzf", path.name], cwd=tmp_path, check=True)
    checked = subprocess.run(
        ["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=tmp_path / "backup", check=False
    )
    assert checked.returncode == 0
    assert len(list((tmp_path / "backup").glob("fs.chunks/*.bson"))) > 1, "one piece for all"
    runs = bson.decode_all((tmp_path / "backup" / "runs" / "00001.bson").read_bytes())
    assert [run["_id"] for run in runs] == [1]


def test_runs_are_not_written_over(file, database, other):
    before = everything(database)
    with pytest.raises(InvalidInputError, match="holds 2 runs, which would be lost"):
        restore_backup(database, read_backup(file))
    assert everything(database) == before
    database["runs"].delete_many({})
    database["settings"].insert_one({"_id": "mine"})
    restore_backup(database, read_backup(file))
    after = everything(database)
    assert database["settings"].find_one() == {"_id": "mine"}
    del after["settings"]
    assert after == before


@pytest.mark.parametrize("what", ["cut", "flipped", "changed", "left out", "no end", "no backup"])
def test_what_is_damaged_is_refused_before_anything_is_written(what, file, other, tmp_path):
    content, path = members(file), tmp_path / "damaged.tar.gz"
    packed_bytes = file.read_bytes()
    if what == "cut":
        path.write_bytes(packed_bytes[:-20])
    elif what == "flipped":
        middle = len(packed_bytes) // 2
        path.write_bytes(
            packed_bytes[:middle] + bytes([packed_bytes[middle] ^ 1]) + packed_bytes[middle + 1 :]
        )
    elif what == "no backup":
        path.write_bytes(gzip.compress(b"x" * 10000))
    else:
        if what == "changed":
            content["backup/fs.chunks/00001.bson"] = content["backup/fs.chunks/00001.bson"].replace(
                b"xx", b"xy", 1
            )
        else:
            del content["backup/SHA256SUMS" if what == "no end" else "backup/fs.chunks/00001.bson"]
        packed(path, content)
    with pytest.raises(InvalidInputError if what == "no backup" else DamagedArtifactError):
        restore_backup(other, read_backup(path))
    assert everything(other) == {}


def test_runs_are_written_before_what_they_name(file):
    """What a run names was stored before it, so that it is in a backup that is made meanwhile."""
    names = [name.split("/")[1] for name in members(file)]
    assert names == ["runs", "fs.files", "fs.chunks", "manifest.json", "SHA256SUMS"]


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"format": 2}, InvalidInputError, "has the format 2; expected 1: a newer version"),
        ({"collections": []}, DamagedArtifactError, "its documents are not those of manifest"),
        ({"collections": [{}]}, DamagedArtifactError, "its manifest.json cannot be read"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(file, tmp_path, change, error, told):
    content = {name.partition("/")[2]: data for name, data in members(file).items()}
    del content["SHA256SUMS"]
    manifest = {**json.loads(content["manifest.json"]), **change}
    content["manifest.json"] = json.dumps(manifest).encode()
    sums = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items()]
    content["SHA256SUMS"] = "".join(sums).encode()
    whole = {f"backup/{name}": data for name, data in content.items()}
    with pytest.raises(error, match=told):
        read_backup(packed(tmp_path / "other.tar.gz", whole))


def test_a_file_that_changes_after_it_was_looked_at_is_refused(file, database):
    backup = read_backup(file)
    database["runs"].update_one({"_id": 1}, {"$set": {"status": "FAILED"}})
    written(database, file)
    with pytest.raises(DamagedArtifactError, match="was changed while it was read: runs/00001"):
        list(backup.pieces())


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/backup/x.bson", "backup/../x.bson", "other/00001.bson"]
)
def test_a_name_that_leads_elsewhere_is_written_nowhere(name, file, tmp_path):
    content = {name: b"", **members(file)}
    with pytest.raises((DamagedArtifactError, InvalidInputError)):
        read_backup(packed(tmp_path / "odd.tar.gz", content))


def test_a_restore_that_is_killed_leaves_nothing_to_see_and_the_next_one_works(
    filled, other, home, tmp_path
):
    path = written(filled, tmp_path / "backup.tar.gz")
    command = ["-m", "nn_clustering.tracking", "restore", str(path), "--into", other.name]
    environ = environment(home, MONGO_DB=filled.name)
    process = subprocess.Popen([sys.executable, *command], env=environ, start_new_session=True)
    while not any(name.startswith("restoring.") for name in other.list_collection_names()):
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert other["runs"].count_documents({}) == 0
    restore_backup(other, read_backup(path))
    assert everything(other) == everything(filled)


def test_an_error_of_the_server_leaves_the_database_as_it_was(file, other):
    backup = read_backup(file)
    broken = [
        {"key": {"status": 1}, "name": "s", "v": 2, "unique": True},  # both have COMPLETED
    ]
    runs = [entry for entry in backup.manifest.collections if entry.name == "runs"]
    runs[0].indexes.extend(broken)
    other["runs"].create_index("mine")
    before = everything(other)
    with pytest.raises(pymongo.errors.OperationFailure):
        restore_backup(other, backup)
    assert everything(other) == before


def test_runs_that_are_deleted_meanwhile_make_no_backup(database, add_run):
    for run_id in range(1, 4):
        add_run(run_id)

    class Deleting(io.BytesIO):
        def write(self, content):
            database["runs"].delete_one({"_id": 2})
            return super().write(content)

    with pytest.raises(TrackingError, match="deleted while they were backed up"):
        back_up(database, Deleting())
