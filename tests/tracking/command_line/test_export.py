"""Exported runs can be read by anything, and export damages nothing that is there."""

import csv
import datetime
import json
import math
import unicodedata

import pytest
from bson import ObjectId
from hypothesis import assume, example, given, strategies as st

from nn_clustering.errors import InvalidInputError, TrackingError
from nn_clustering.tracking import RunStore
from nn_clustering.tracking.command_line.export import export_runs, with_inputs
from nn_clustering.tracking.names import file_name, safe_file_names
from tests.tracking.stored_files import store_file


@pytest.fixture
def store(database, tmp_path):
    return RunStore(database, tmp_path / "home")


@pytest.fixture
def two_runs(database, add_run):
    add_run(
        1, config={"seed": 1}, result={"ncut": math.nan, "p_value": 0.5}, captured_out="äöü\n",
        some_id=ObjectId("0" * 24), artifacts=[store_file(database, "a.csv", b"1,2\n")],
    )  # fmt: skip
    add_run(2, config={"seed": 2, "tags": ["a", "b"]}, result={"ncut": 3.5})
    columns = {"steps": [0, 1], "values": [1.0, 2.0], "timestamps": [datetime.datetime(2024, 1, 1)]}
    database["metrics"].insert_one({"run_id": 2, "name": "loss", **columns})


def read_csv(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_files_of_an_export(store, two_runs, tmp_path):
    folder = tmp_path / "new" / "export"
    assert export_runs(store, store.find(), folder) == folder
    runs = {row["run"]: row for row in read_csv(folder / "runs.csv")}
    assert set(runs) == {"1", "2"}
    assert (runs["2"]["config.seed"], runs["2"]["tags"]) == ("2", "a, b")
    assert (runs["2"]["result.ncut"], runs["1"]["result.ncut"]) == ("3.5", "")
    first, second = read_csv(folder / "metrics.csv")
    assert [first[key] for key in ("run", "metric", "step", "value")] == ["2", "loss", "0", "1.0"]
    assert first["timestamp"].startswith("2024-01-01")
    assert second["timestamp"] == ""
    document = json.loads((folder / "run_1" / "run.json").read_text("utf-8"))
    assert document["captured_out"] == "äöü\n"
    assert document["result"] == {"ncut": None, "p_value": 0.5}
    assert document["start_time"] == "2024-01-01T01:00:00+00:00"
    assert document["some_id"] == "0" * 24
    assert (folder / "run_1" / "artifacts" / "a.csv").read_bytes() == b"1,2\n"
    written = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    exact = ["exact.json", "metrics.jsonl", "stored.zip", "manifest.json"]
    assert written == {
        "runs.csv", "metrics.csv", "run_1/run.json", "run_2/run.json", "run_1/artifacts/a.csv",
        *(f"run_{run}/{name}" for run in (1, 2) for name in exact),
    }  # fmt: skip


def test_nothing_is_overwritten_unless_asked(store, two_runs, tmp_path):
    there = tmp_path / "run_2" / "run.json"
    there.parent.mkdir()
    there.write_text("mine")
    with pytest.raises(InvalidInputError, match=r"run_2/run\.json is there already.*--overwrite"):
        export_runs(store, store.find(), tmp_path)
    assert there.read_text() == "mine"
    assert not (tmp_path / "runs.csv").exists()
    export_runs(store, store.find(), tmp_path, overwrite=True)
    assert json.loads(there.read_text())["_id"] == 2


def test_artifacts_stay_within_their_folder(store, database, add_run, tmp_path):
    names = [
        "../../escaped",
        "/absolute",
        "a/b.png",
        "a\\b.png",
        "A_b.PNG",
        "..",
        ".hidden",
        "a\0b",
    ]
    artifacts = [store_file(database, "x", name.encode()) for name in names]
    entries = [{**entry, "name": name} for entry, name in zip(artifacts, names, strict=True)]
    add_run(1, artifacts=entries)
    export_runs(store, store.find(), tmp_path / "export")
    folder = tmp_path / "export" / "run_1" / "artifacts"
    assert sorted(path.read_bytes().decode() for path in folder.iterdir()) == sorted(names)
    assert not (tmp_path / "escaped").exists()


# What file systems, shells or other software take for more than letters.
HOSTILE = [
    "", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "C:\\x", "a\0b", "a\nb", "con", "NUL.txt",
    "com1.tar.gz", "a.", "a ", " a", "-rf", "~", "\x1b[2J", "a\u202eb", "x" * 300, "\udce4", "é",
    "e\u0301", "A", "a", "a-0123456789ab", "a-0123456789ab.png", "run_1", ".hidden", "...", "a:b",
    "$x", "x.png" + "y" * 90,
]  # fmt: skip
texts = st.one_of(
    st.sampled_from(HOSTILE), st.text(max_size=300), st.text("a/\\.\0 -~:\u0301", max_size=6)
)


@given(st.lists(texts, unique=True, max_size=8))
@example(["a", "A"])
@example(["com1.tar.gz", "NUL.txt", "con"])
def test_names_for_files(names):
    chosen = safe_file_names(names)
    assert list(chosen) == names
    assert len({name.casefold() for name in chosen.values()}) == len(names)
    for name in chosen.values():
        assert 0 < len(name.encode()) <= 255
        assert not name.startswith((".", "-", " "))
        assert not name.endswith((".", " "))
        assert not set(name) & set('/\\:*?"<>|$~')
        assert name.isprintable()
        assert unicodedata.is_normalized("NFC", name)
        assert name.partition(".")[0].casefold() not in ("con", "nul", "com1")


@given(texts, texts)
def test_file_name_tells_texts_apart_wherever_it_is_made(first, second):
    assert (file_name(first) == file_name(second)) == (first == second)
    # Nor can a text be chosen such that it has the name of another.
    assert (file_name(file_name(first)) == file_name(first)) == (first == file_name(first))


@given(st.from_regex(r"[a-z0-9_]{1,20}\.[a-z0-9]{1,5}", fullmatch=True))
def test_ordinary_names_stay(name):
    assume(name.partition(".")[0] not in ("con", "prn", "aux", "nul"))
    assume(name[:3] not in ("com", "lpt") or name.find(".") != 4)
    assert safe_file_names([name]) == {name: name}


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("../../escaped.png", "_.._escaped-", ".png"),
        ("run_a/b", "run_a_b-", ""),
        ("", "unnamed-", ""),
    ],
)
def test_names_stay_readable(text, start, end):
    name = file_name(text)
    assert name.startswith(start)
    assert name.endswith(end)


def test_ids_are_no_paths(store, database, add_run, tmp_path):
    """Each run has a folder of its own, within that of the export."""
    ids = [
        "../../escaped",
        f"{tmp_path}/absolute",
        "a/b",
        ".",
        "",
        "a\nb",
        "x" * 1000,
        "12",
        "A",
        "a",
    ]
    for run_id in ids:
        add_run(1, _id=run_id)
    add_run(12)
    folder = export_runs(store, store.find(), tmp_path / "in" / "export")
    documents = {path: json.loads(path.read_text("utf-8")) for path in folder.glob("*/run.json")}
    assert sorted(map(repr, (document["_id"] for document in documents.values()))) == sorted(
        map(repr, [*ids, 12])
    )
    assert documents[folder / "run_12" / "run.json"]["_id"] == 12
    outside = {
        path for path in tmp_path.rglob("*") if path.is_file() and folder not in path.parents
    }
    assert not outside


def test_damaged_artifact_does_not_keep_the_others_back(store, database, two_runs, tmp_path):
    add = store_file(database, "z.csv", b"3,4\n")
    database["runs"].update_one({"_id": 1}, {"$push": {"artifacts": add}})
    lost = database["runs"].find_one({"_id": 1})["artifacts"][0]["file_id"]
    database["fs.chunks"].delete_many({"files_id": lost})
    with pytest.raises(TrackingError, match=r"1 of 14 files could not be.*'a\.csv' of run 1"):
        export_runs(store, store.find(), tmp_path)
    assert (tmp_path / "run_1" / "artifacts" / "z.csv").read_bytes() == b"3,4\n"
    assert not (tmp_path / "run_1" / "artifacts" / "a.csv").exists()


def test_all_that_a_run_read_goes_with_it(store, add_run):
    add_run(1)
    add_run(2, info={"lineage": {"train_run": 1}})
    add_run(3, info={"lineage": {"cluster_run": 2, "lost_run": 9}})
    chosen = store.find(config=None, since="2024-01-01T03:00")
    assert chosen.ids == [3]
    assert sorted(with_inputs(store, chosen).ids) == [1, 2, 3]


def test_exported_twice_it_is_the_same(store, two_runs, tmp_path):
    first, second = (export_runs(store, store.find(), tmp_path / name) for name in "ab")
    for path in first.rglob("*"):
        if path.is_file():
            assert (second / path.relative_to(first)).read_bytes() == path.read_bytes()


def test_folder_that_cannot_be_written(store, two_runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInputError, match=r"cannot be written \(Not a directory\)"):
        export_runs(store, store.find(), tmp_path / "file" / "export")
