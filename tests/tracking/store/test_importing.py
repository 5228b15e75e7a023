"""Runs that are taken from one store into another: nothing changed but numbers, nothing twice."""

import datetime
import json
import math
import os
import shutil
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bson
import gridfs
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from nn_clustering.tracking import RunStore, Server, connect
from nn_clustering.tracking.command_line.export import export_runs
from nn_clustering.tracking.extended_json import from_extended_json, to_extended_json
from nn_clustering.tracking.gridfs import add_artifact, digest_file, store_source
from nn_clustering.tracking.store.export_folders import (
    LARGEST_TEXT,
    exported_runs,
    manifest_text,
)
from nn_clustering.tracking.store.importing import import_runs
from nn_clustering.tracking.store.originals import originals_in

TIME = datetime.datetime(2024, 1, 1, 12, 0, 0, 123000)


@pytest.fixture
def other(embedded_server):
    """Another store: an empty database."""
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    yield database
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def two_runs(database, tmp_path):
    """A training with files of all kinds, and a clustering that read it."""
    source = tmp_path / "train.py"
    source.write_text("print('training')\n")
    source_id, md5 = store_source(database, source, Path("/lab/train.py"))
    document = {
        "_id": 7,
        "experiment": {"name": "train", "base_dir": "/lab", "sources": [["train.py", source_id]]},
        "status": "COMPLETED", "start_time": TIME, "stop_time": TIME, "heartbeat": TIME,
        "config": {"seed": 2**40, "rate": float("inf"), "tags": ["paper"], "train_run": None},
        "result": {"accuracy": float("nan"), "zero": -0.0, "raw": b"\x00\xff", "n": bson.Int64(3)},
        "info": {"metrics": [], "odd": {"$oid": "no id", "$$x": 1}, "when": TIME},
        "resources": [["/lab/train.py", md5]],
        "omniboard": {"tags": ["good"], "notes": "the one of figure 2"},
        "tracking": {"token": "a" * 32, "identity": None},
        "captured_out": "äöü\n",
        "artifacts": [],
    }  # fmt: skip
    metric = {"_id": bson.ObjectId(), "run_id": 7, "name": "loss", "steps": [0, 1],
              "values": [0.5, float("nan")], "timestamps": [TIME, TIME]}  # fmt: skip
    document["info"]["metrics"] = [{"name": "loss", "id": str(metric["_id"])}]
    database["runs"].insert_one(document)
    database["metrics"].insert_one(metric)
    for name, content in (("a.keras", b"x" * 300_000), ("a b/c.html", b"<p>"), ("empty", b"")):
        path = tmp_path / "artifact"
        path.write_bytes(content)
        add_artifact(database, 7, path, name, metadata={"kind": 3}, added=TIME)
    database["runs"].insert_one(
        {
            "_id": 9, "experiment": {"name": "cluster"}, "status": "COMPLETED",
            "start_time": TIME, "config": {"train_run": 7, "n_clusters": 7, "runs": [7, 8]},
            "result": {"runs": {"train": 7}, "ncut": 7}, "tracking": {"token": "b" * 32},
            "info": {"lineage": {"train_run": 7}, "inputs": {"network": "7", "run": 7}},
        }
    )  # fmt: skip


@pytest.fixture
def exported(database, two_runs, home, tmp_path):
    """The folder of an export of both runs."""
    store = RunStore(database, home)
    return export_runs(store, store.find(), tmp_path / "exported")


def documents(database, collection="runs"):
    return list(database[collection].find().sort("_id", 1))


def everything(database):
    names = ("runs", "metrics", "fs.files", "imports")
    return bson.encode({name: documents(database, name) for name in names})


def without_ids(document):
    """What must be the same in both stores."""
    kept = {key: value for key, value in document.items() if key not in ("_id", "origin")}
    kept["tracking"].pop("registered", None)  # when it came here
    return bson.encode(kept)


def test_a_run_comes_back_as_it_was(database, exported, other):
    report = import_runs(other, exported_runs(exported))
    assert report.imported == {"run 7 in run_7": 1, "run 9 in run_9": 2}
    (old, _), (new, clustered) = documents(database), documents(other)
    assert without_ids(new) == without_ids(old)
    assert new["origin"]["id"] == 7
    assert new["origin"]["store"] == database["tracking"].find_one()["id"]
    # When it came here, by which it is in order among runs with other ids.
    assert clustered["tracking"]["registered"] > TIME
    (old_metric,), (metric,) = documents(database, "metrics"), documents(other, "metrics")
    assert bson.encode({**old_metric, "run_id": 1}) == bson.encode(metric)
    assert clustered["info"]["lineage"] == {"train_run": 1}
    assert clustered["info"]["inputs"] == {"network": "7", "run": 1}
    assert clustered["config"] == {"train_run": 1, "n_clusters": 7, "runs": [1, 8]}
    assert clustered["result"] == {"runs": {"train": 1}, "ncut": 7}
    assert documents(other, "imports") == []


def test_files_come_back_as_they_were(database, exported, other, home):
    import_runs(other, exported_runs(exported))
    there, here = (RunStore(each, home) for each in (database, other))
    old, new = there.run(7), here.run(1)
    assert new.artifact_info() == old.artifact_info()
    for name in old.artifacts:
        assert new.artifact(name) == old.artifact(name)
    (source,) = other["runs"].find_one({"_id": 1})["experiment"]["sources"]
    stored = other["fs.files"].find_one({"_id": source[1]})
    assert stored["filename"] == "/lab/train.py"
    ids = {file["_id"] for file in documents(database, "fs.files")}
    assert ids == {file["_id"] for file in documents(other, "fs.files")}  # shared with runs here


def test_a_run_of_one_folder_alone(exported, other):
    report = import_runs(other, exported_runs(exported / "run_7"))
    assert list(report.imported.values()) == [1]


def test_nothing_is_imported_twice(database, exported, other, home, tmp_path):
    import_runs(other, exported_runs(exported))
    before = everything(other)
    report = import_runs(other, exported_runs(exported))
    assert list(report.here.values()) == [1, 2]
    assert not report.imported
    assert everything(other) == before
    # Nor into the store that they came from, neither at once nor by way of the other.
    assert list(import_runs(database, exported_runs(exported)).here.values()) == [7, 9]
    there = RunStore(other, home)
    again = export_runs(there, there.find(), tmp_path / "again")
    assert list(import_runs(database, exported_runs(again)).here.values()) == [7, 9]
    assert len(documents(database)) == 2


def test_from_one_database_to_another(database, two_runs, other):
    report = import_runs(other, originals_in(database, [9, 7]))
    assert report.imported == {"run 7": 1, "run 9": 2}
    assert without_ids(documents(other)[0]) == without_ids(documents(database)[0])


def test_passwords_that_were_stored_elsewhere_stay_there(database, other):
    url = "mongodb://ann:it's 4 secret@h/db"
    metric = {"_id": bson.ObjectId(), "run_id": 4, "name": url, "steps": [0], "values": [0.5]}
    database["metrics"].insert_one(metric)
    info = {"metrics": [{"name": url, "id": str(metric["_id"])}], url: [url]}
    run = {"_id": 4, "start_time": TIME, "status": "COMPLETED", "config": {"url": url}}
    database["runs"].insert_one({**run, "experiment": {"name": url}, "info": info})
    assert import_runs(other, originals_in(database, [4])).imported == {"run 4": 1}
    assert b"secret" not in everything(other)
    assert documents(other)[0]["config"] == {"url": "mongodb://***@h/db"}
    assert documents(other, "metrics")[0]["name"] == "mongodb://***@h/db"


def test_pages_that_others_stored_are_shown_as_text(database, other, home, tmp_path):
    """Sacred's own observer stores them under names that a browser would run."""
    file_id = gridfs.GridFS(database).put(b"<p>", filename="artifact://x/1/page.html")
    database["runs"].insert_one(
        {"_id": 1, "experiment": {"name": "x"}, "status": "COMPLETED", "start_time": TIME,
         "artifacts": [{"name": "page.html", "file_id": file_id}]}
    )  # fmt: skip
    import_runs(other, originals_in(database, [1]))
    (entry,) = documents(other)[0]["artifacts"]
    assert (entry["name"], entry["original_name"]) == ("page.html.txt", "page.html")
    assert RunStore(other, home).run(1).artifact("page.html") == b"<p>"


def test_what_was_dropped_there_says_so_here(database, two_runs, other):
    """Though the other store has not got so far as to remove the file."""
    note = {"name": "state.npz", "size": 3, "file_id": bson.ObjectId()}
    database["runs"].update_one({"_id": 7}, {"$set": {"dropped_artifacts": [note, "odd"]}})
    import_runs(other, originals_in(database, [7]))
    dropped = documents(other)[0]["dropped_artifacts"]
    assert dropped == [{"name": "state.npz", "size": 3}, "odd"]


def test_identity_that_is_not_made_as_ours_is_not_taken(database, two_runs, other):
    """What it was made of cannot be said of the runs here."""
    database["runs"].update_one({"_id": 9}, {"$set": {"tracking.identity": "of a former version"}})
    import_runs(other, originals_in(database, [7, 9]))
    assert documents(other)[1]["tracking"]["identity"] is None


def test_runs_without_a_token_are_recognised(database, other):
    database["runs"].insert_one({"_id": "my run", "start_time": TIME, "experiment": {"name": "x"}})
    assert import_runs(other, originals_in(database, ["my run"])).imported == {'run "my run"': 1}
    assert import_runs(other, originals_in(database, ["my run"])).here == {'run "my run"': 1}
    assert import_runs(database, originals_in(other, [1])).here == {"run 1": "my run"}


def test_a_run_whose_input_is_missing(exported, other):
    shutil.rmtree(exported / "run_7")
    refused = import_runs(other, exported_runs(exported)).refused
    assert "train_run" in refused["run 9 in run_9"]
    assert "--without-inputs" in refused["run 9 in run_9"]
    assert documents(other) == []
    import_runs(other, exported_runs(exported), without_inputs=True)
    (run,) = documents(other)
    assert run["info"]["lineage"] == {}
    assert run["config"]["train_run"] == "run 7 of another store"
    assert run["origin"]["lineage"] == {"train_run": 7}


def test_an_input_that_was_imported_before(exported, other, tmp_path):
    import_runs(other, exported_runs(exported / "run_7"))
    import_runs(other, exported_runs(exported / "run_9"))
    assert documents(other)[1]["info"]["lineage"] == {"train_run": 1}


@pytest.mark.parametrize(
    "name", ["artifacts/a.keras", "exact.json", "metrics.jsonl", "stored.zip", "manifest.json"]
)
def test_a_damaged_file_is_named_and_its_run_left_out(exported, other, name):
    path = exported / "run_7" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    report = import_runs(other, exported_runs(exported))
    reason = next(why for label, why in report.refused.items() if "run_7" in label)
    assert name in reason
    assert "damaged" in reason
    assert [len(documents(other, each)) for each in ("runs", "metrics", "imports")] == [0, 0, 0]


def test_a_missing_file_is_named(exported, other):
    (exported / "run_7" / "artifacts" / "empty").unlink()
    report = import_runs(other, exported_runs(exported / "run_7"))
    assert report.refused == {"run 7 in run_7": "'artifacts/empty' is missing in the folder run_7"}


def redirect(folder, target):
    """Have the manifest and the documents of a run speak of another file than their own."""
    from nn_clustering.tracking.gridfs import digest_file
    from nn_clustering.tracking.store.export_folders import manifest_text

    exact = json.loads((folder / "exact.json").read_text())
    exact["files"][0].update(path=target, member="")
    (folder / "exact.json").write_text(json.dumps(exact))
    digests = json.loads((folder / "manifest.json").read_text())["sha256"]
    digests["exact.json"] = digest_file(folder / "exact.json")
    digests[target] = digest_file(folder / target)
    (folder / "manifest.json").write_text(manifest_text(digests))


@pytest.mark.parametrize("way", ["above", "absolute", "link", "linked folder"])
def test_nothing_outside_the_folder_is_read(exported, other, tmp_path, way):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("a secret")
    folder = exported / "run_7"
    (folder / "link").symlink_to(secret / "key")
    (folder / "linked").symlink_to(secret)
    names = {
        "above": "../../secret/key", "absolute": str(secret / "key"), "link": "link",
        "linked folder": "linked/key",
    }  # fmt: skip
    redirect(folder, names[way])
    report = import_runs(other, exported_runs(folder))
    (reason,) = report.refused.values()
    assert "leads out" in reason or "is a link" in reason
    assert documents(other, "fs.files") == []


def test_damage_in_the_other_store_is_named(database, two_runs, other):
    file = database["fs.files"].find_one({"length": 300_000})
    database["fs.chunks"].update_one({"files_id": file["_id"], "n": 0}, {"$set": {"data": b"y"}})
    report = import_runs(other, originals_in(database, [7]))
    assert "'a.keras' is damaged" in report.refused["run 7"]
    assert documents(other, "runs") == documents(other, "fs.files") == []
    assert documents(other, "imports") == []


def test_a_run_that_goes_on_is_left_for_later(database, add_run, other):
    add_run(1, status="RUNNING", tracking={"token": "c"})
    assert import_runs(other, originals_in(database, [1])).waiting == ["run 1"]
    database["runs"].update_one({}, {"$set": {"status": "COMPLETED"}})
    assert import_runs(other, originals_in(database, [1])).imported == {"run 1": 1}


class Killed(BaseException):
    """In the place of a signal."""


@pytest.mark.parametrize("step", range(4))
def test_an_import_that_was_killed_is_invisible_and_gone_on_with(
    database, two_runs, other, monkeypatch, step
):
    from nn_clustering.tracking.store import importing

    steps = iter(range(100))
    put = importing.put_held_file

    def put_or_die(*arguments, **fields):
        if next(steps) == step:
            raise Killed
        return put(*arguments, **fields)

    monkeypatch.setattr(importing, "put_held_file", put_or_die)
    originals = originals_in(database, [7])
    with pytest.raises(Killed):
        import_runs(other, originals)
    assert documents(other) == []
    monkeypatch.undo()
    assert import_runs(other, originals).imported == {"run 7": 1}
    assert len(documents(other, "fs.files")) == len(documents(database, "fs.files"))
    assert documents(other, "imports") == []


def test_a_new_run_does_not_take_the_number_of_an_import(database, two_runs, other):
    from nn_clustering.tracking.writing.registration import next_run_id

    other["imports"].insert_one({"_id": f"token:{'a' * 32}", "run": 1, "files": []})
    assert next_run_id(other) == 2
    assert import_runs(other, originals_in(database, [7])).imported == {"run 7": 1}


def test_another_observer_may_take_the_number(database, two_runs, other, add_run):
    other["imports"].insert_one({"_id": f"token:{'a' * 32}", "run": 1, "files": []})
    other["runs"].insert_one({"_id": 1, "experiment": {"name": "theirs"}})
    assert import_runs(other, originals_in(database, [7])).imported == {"run 7": 2}
    assert [metric["run_id"] for metric in documents(other, "metrics")] == [2]


def test_several_at_once_import_each_run_once(database, two_runs, other):
    others = [
        {"_id": number, "start_time": TIME, "status": "COMPLETED", "experiment": {"name": "x"},
         "artifacts": database["runs"].find_one({"_id": 7})["artifacts"],
         "tracking": {"token": f"{number}" * 16}}
        for number in range(10, 20)
    ]  # fmt: skip
    database["runs"].insert_many(others)
    ids = [7, 9, *range(10, 20)]
    with ThreadPoolExecutor(3) as threads:
        reports = list(
            threads.map(lambda _: import_runs(other, originals_in(database, ids)), range(3))
        )
    for report in reports:
        assert len(report.imported) + len(report.here) == len(ids), report.refused
    tokens = [document["tracking"]["token"] for document in documents(other)]
    assert len(tokens) == len(set(tokens)) == len(ids)
    assert len({number for report in reports for number in report.imported.values()}) == len(ids)
    (metric,) = documents(other, "metrics")
    assert other["runs"].find_one({"_id": metric["run_id"]})["tracking"]["token"] == "a" * 32
    assert documents(other, "imports") == []


def test_files_of_an_import_are_not_removed_with_another_run(database, two_runs, other):
    from nn_clustering.tracking.gridfs import remove_unreferenced

    import_runs(other, originals_in(database, [7]))
    run = other["runs"].find_one_and_delete({})
    ids = [entry["file_id"] for entry in run["artifacts"]]
    other["imports"].insert_one({"_id": "another", "run": 5, "files": ids})
    assert remove_unreferenced(other, ids) == 0
    other["imports"].delete_many({})
    assert remove_unreferenced(other, ids) == len(ids)


def test_an_imported_run_is_used_again(succeed, database, other):
    succeed("measure")
    succeed("total", "with", "measure_run=1")
    import_runs(other, originals_in(database, [1, 2]))
    for name in ("runs", "metrics", "fs.files", "fs.chunks"):
        database[name].delete_many({})
    database["runs"].insert_one({"_id": 10, "status": "COMPLETED"})
    import_runs(database, originals_in(other, [1, 2]))
    assert "using measure run 11: same config" in succeed("measure").stdout
    assert "using total run 12" in succeed("total", "with", "measure_run=11").stdout
    assert "using total run 12" in succeed("total", "with", "measure_run=latest").stdout


# One of them all: neither Python nor extended JSON tells the many NaN of IEEE 754 apart.
FLOATS = st.floats().map(lambda value: math.nan if math.isnan(value) else value)
VALUES = st.recursive(
    st.none() | st.booleans() | FLOATS | st.integers(-(2**63), 2**63 - 1) | st.text()
    | st.binary() | st.datetimes(datetime.datetime(1, 1, 1)).map(
        lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
    ),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.text(max_size=5).filter(lambda key: "\0" not in key)
        | st.sampled_from(["$oid", "$$date", "$ref", "$numberInt", "$binary"]),
        inner,
        max_size=3,
    ),
    max_leaves=10,
)  # fmt: skip


@given(VALUES)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_extended_json_gives_back_the_same(value):
    document = bson.decode(bson.encode({"value": value}))
    text = to_extended_json(document)
    assert bson.encode(from_extended_json(text)) == bson.encode(document)
    json.loads(text)  # strict: no NaN


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"$oid": 3}', '{"$date": "x"}'])
def test_text_that_is_no_extended_json(text):
    with pytest.raises(ValueError, match="no document"):
        from_extended_json(text)


def signed(folder):
    """Have the manifest fit whatever the folder of a run holds now."""
    noted = json.loads((folder / "manifest.json").read_text())["sha256"]
    digests = {name: digest_file(folder / name) for name in noted}
    (folder / "manifest.json").write_text(manifest_text(digests))


def with_exact(change):
    def write(folder):
        exact = json.loads((folder / "exact.json").read_text())
        change(exact)
        (folder / "exact.json").write_text(json.dumps(exact))

    return write


def with_result(value):
    return with_exact(lambda exact: exact["document"].update(result=value))


def with_files(**fields):
    return with_exact(lambda exact: [file.update(fields) for file in exact["files"]])


def with_metrics(content):
    return lambda folder: (folder / "metrics.jsonl").write_bytes(content)


def with_metric(**fields):
    return with_metrics(json.dumps({"_id": 1, "name": "loss", **fields}).encode())


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def with_encrypted_archive(folder):
    content = (folder / "stored.zip").read_bytes()
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        parts = content.split(signature)
        rest = [part[: offset - 4] + b"\x01" + part[offset - 3 :] for part in parts[1:]]
        content = signature.join([parts[0], *rest])
    (folder / "stored.zip").write_bytes(content)


def with_archive(method, *, damage=False):
    def write(folder):
        path = folder / "stored.zip"
        with zipfile.ZipFile(path) as archive:
            contents = {name: archive.read(name) * 100 for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        if damage:
            first = archive.infolist()[0]
            start = first.header_offset + 30 + len(first.filename.encode())
            content = bytearray(path.read_bytes())
            content[start : start + 4] = b"\xff" * 4
            path.write_bytes(content)

    return write


def enlarged(name):
    """Make a file one byte longer than what it holds may be; the disk has room for it."""
    return lambda folder: os.truncate(folder / name, LARGEST_TEXT + 1)


HOSTILE = {
    "large document": enlarged("exact.json"),
    "large line": enlarged("metrics.jsonl"),
    "decimal": with_result({"$numberDecimal": "one"}),
    "date": with_result({"$date": {"$numberLong": "9" * 30}}),
    "time zone": with_result({"$date": "0001-01-01T00:00:00+14:00"}),
    "nested": with_result(nested(300)),
    "null in key": with_result({"a\0b": 1}),
    "artifact": with_exact(
        lambda exact: exact["document"]["artifacts"].append({"name": "x", "file_id": {"a": 1}})
    ),
    "key": with_exact(lambda exact: exact.update(key="token:" + "c" * 32)),
    "long key": with_exact(lambda exact: exact.update(key="x" * 17_000_000)),
    "size": with_files(size="many"),
    "infinite size": with_files(size={"$numberDouble": "Infinity"}),
    "fields": with_files(fields="ab"),
    "nested fields": with_files(fields={"metadata": nested(250)}),
    "no metric": with_metrics(b"{}\n"),
    "list of metrics": with_metrics(b"[]\n"),
    "other text": with_metrics(b"\xff\xfe\n"),
    "large number": with_metric(values=[10**40]),
    "nested metric": with_metric(values=nested(250)),
    "large metric": with_metric(values=["x" * 17_000_000]),
    "encrypted": with_encrypted_archive,
    "another method": with_archive(zipfile.ZIP_LZMA),
    "no deflated content": with_archive(zipfile.ZIP_DEFLATED, damage=True),
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_what_export_never_writes_hinders_no_other_run(change, exported, other):
    change(exported / "run_7")
    signed(exported / "run_7")
    lines = []
    report = import_runs(
        other,
        exported_runs(exported),
        without_inputs=True,
        on_run=lambda line, is_refused: lines.append(line),
    )
    assert len(report.imported) == 1, lines
    assert len(report.refused) == 1
    assert [document["experiment"]["name"] for document in documents(other)] == ["cluster"]
    assert not documents(other, "imports")
    assert not documents(other, "metrics")


def test_ids_that_cannot_be_hashed(database, two_runs, other):
    stored = database["fs.files"].find_one({"filename": {"$regex": "keras"}})
    odd = {"of": "another tool"}
    database["fs.chunks"].update_many({"files_id": stored["_id"]}, {"$set": {"files_id": odd}})
    database["fs.files"].insert_one({**stored, "_id": odd, "contentType": 5})
    database["runs"].update_one(
        {"artifacts.file_id": stored["_id"]}, {"$set": {"artifacts.$.file_id": odd}}
    )
    report = import_runs(other, originals_in(database, [7]))
    assert list(report.imported.values()) == [1]
    (entry,) = (entry for entry in documents(other)[0]["artifacts"] if "keras" in entry["name"])
    assert other["fs.files"].find_one({"_id": entry["file_id"]})["length"] == 300_000


def test_an_input_whose_number_is_zero(database, two_runs, other):
    training = documents(database)[0]
    other["runs"].insert_one({**training, "_id": 0})
    import_runs(other, originals_in(database, [9]))
    assert other["runs"].find_one({"experiment.name": "cluster"})["info"]["lineage"] == {
        "train_run": 0
    }
