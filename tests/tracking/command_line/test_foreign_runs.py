"""Runs of other projects of Sacred in the same database: whatever they hold, all can be used."""

import contextlib
import io
import json

import bson
import pymongo.errors
import pytest
from bson.raw_bson import RawBSONDocument
from hypothesis import HealthCheck, Phase, assume, given, settings, strategies as st

from nn_clustering.tracking import RunStore
from nn_clustering.tracking.command_line.main import main
from nn_clustering.tracking.run_ids import id_text, meant_ids, read_id
from tests.tracking.foreign_documents import BODIES, FILES, IDS, METRICS

# Each example takes a second, and is small as it stands.
MANY = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    report_multiple_bugs=False,
    deadline=None,
)
GOOD = {"experiment": {"name": "good"}, "status": "COMPLETED", "config": {"seed": 1}, "result": 0.5}


class OpenStore(RunStore):
    """Stays connected from command to command: to log in takes longer than most of them."""

    def close(self):
        pass


@pytest.fixture
def type_in(home, database, monkeypatch):
    """Types a command in this process; returns its exit status and what it printed."""
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(RunStore, "open", lambda: OpenStore(database, home))

    def type_in(*arguments):
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = main(list(arguments))
        return status, output.getvalue(), errors.getvalue()

    return type_in


def fill(database, documents, metrics=(), files=()):
    """Put these documents beside a good run; those that MongoDB does not take are left out."""
    for name in ("runs", "metrics", "fs.files", "deleted_runs"):
        database[name].delete_many({})
    database["runs"].insert_one({"_id": 1000, **GOOD})
    ids = []
    for run_id, document in documents:
        # Told apart as MongoDB does: 12.0 is the id 12 once more.
        if read_id(run_id) not in map(read_id, [*ids, 1000]):
            with contextlib.suppress(pymongo.errors.WriteError):
                database["runs"].insert_one({**document, "_id": run_id})
                ids.append(run_id)
    for number, document in enumerate(metrics):
        document["run_id"] = ids[number % len(ids)] if ids else 1000
        with contextlib.suppress(pymongo.errors.WriteError):
            database["metrics"].insert_one(document)
    for file_id, document in zip(("file", 7, {"a": 1}), files, strict=False):
        with contextlib.suppress(pymongo.errors.WriteError):
            database["fs.files"].insert_one({**document, "_id": file_id})
    return ids


def is_shown(text):
    return all(line.isprintable() for line in text.split("\n"))


@settings(MANY, max_examples=25)
@given(
    documents=st.lists(st.tuples(IDS, BODIES), min_size=1, max_size=3),
    metrics=st.lists(METRICS, max_size=3),
    files=st.lists(FILES, max_size=3),
)
def test_no_document_ends_a_command_or_hides_another(
    type_in, database, tmp_path_factory, documents, metrics, files
):
    ids = fill(database, documents, metrics, files)
    status, table, _ = type_in("list", "--limit", "99")
    assert status == 0
    assert is_shown(table)
    rows = table.splitlines()[1:]
    assert any(row.split()[:2] == ["1000", "good"] for row in rows)
    status, listed, _ = type_in("list", "--json")
    assert status == 0
    names = [str(run["run"]) for run in json.loads(listed)]
    assert sorted(names) == sorted(map(id_text, map(read_id, [*ids, 1000])))
    for key in ("run", "start_time", "status"):
        status, ordered, errors = type_in("list", "--sort", key)
        assert (status, "good" in ordered) == (0, True), errors
    for name in names:
        # What is longer than half the terminal is cut.
        assert any(row.lstrip().startswith(name[:100]) for row in rows), (name, table)
        for command in (["show", name], ["lineage", name], ["compare", name, "1000"]):
            status, shown, errors = type_in(*command)
            assert status == 0 or (name == "1000" and command[0] == "compare"), errors
            assert is_shown(shown)
            status, shown, errors = type_in(*command, "--json")
            assert status == 0 or (name == "1000" and command[0] == "compare"), errors
            assert shown == "" or json.loads(shown)
    folder = tmp_path_factory.mktemp("export")
    status, printed, errors = type_in("export", "--to", str(folder / "in"))
    assert is_shown(printed + errors)
    assert status == 0 or "could not be exported" in errors or "is damaged" in errors
    assert list(folder.iterdir()) == [folder / "in"]
    assert (folder / "in" / "run_1000" / "run.json").is_file()


@settings(MANY, max_examples=15)
@given(
    document=st.tuples(IDS, BODIES),
    metrics=st.lists(METRICS, max_size=1),
    files=st.lists(FILES, max_size=3),
)
def test_run_is_changed_and_deleted_by_the_id_that_is_listed(
    type_in, database, document, metrics, files
):
    ids = fill(database, [document], metrics, files)
    assume(ids)
    name = id_text(read_id(ids[0]))
    for command in (["tag", name, "mine"], ["note", name, "a line"]):
        status, printed, errors = type_in(*command)
        assert status == 0 or "Omniboard did not write" in errors
        assert is_shown(printed + errors)
    tagged = json.loads(type_in("list", "--tag", "mine", "--json")[1])
    if status == 0:
        assert [str(run["run"]) for run in tagged] == [name]
    for command in (["drop", name, "--artifacts", "*", "--yes"], ["rerun", name]):
        status, printed, errors = type_in(*command)
        assert is_shown(printed + errors)
        assert status == 0 or errors.count("\n") == 1
    status, printed, errors = type_in("delete", name, "--yes")
    if status == 1:
        assert "is RUNNING" in errors
    else:
        assert printed.startswith(f"{name} ")
        assert [run["_id"] for run in database["runs"].find()] == [1000]
        assert database["metrics"].count_documents({}) == 0


@given(IDS, IDS)
def test_ids_have_texts_of_their_own(first, second):
    first, second = read_id(first), read_id(second)
    assert (id_text(first) == id_text(second)) == (first == second)
    assert id_text(first).isprintable()
    assert meant_ids(id_text(first))[0] == first
    # A list's columns are separated by blanks, and options begin with a hyphen.
    if isinstance(first, str):
        assert not id_text(first).startswith("-")
        assert " " not in id_text(first).replace('"', "").strip() or id_text(first)[0] == '"'


def test_number_and_text_of_equal_letters_are_told_apart(type_in, database, add_run):
    add_run(12, experiment="numbered")
    add_run(1, _id="12", experiment="named")
    add_run(2, _id=bson.ObjectId("5" * 24), experiment="by object id")
    add_run(3, _id="5" * 24, experiment="by letters")
    add_run(4, _id="latest", experiment="not the latest")
    shown = {
        text: type_in("show", text)[1].partition(", ")[0]
        for text in ("12", '"12"', "5" * 24, f'"{"5" * 24}"', '"latest"', "latest")
    }
    assert shown == {
        "12": "run 12: numbered",
        '"12"': 'run "12": named',
        "5" * 24: f"run {'5' * 24}: by object id",
        f'"{"5" * 24}"': f'run "{"5" * 24}": by letters',
        '"latest"': 'run "latest": not the latest',
        "latest": "run 12: numbered",
    }


def test_quotes_may_be_left_out_where_only_one_can_be_meant(type_in, add_run):
    add_run(1, _id="12", experiment="named")
    add_run(2, _id="a b", experiment="apart")
    assert type_in("show", "12")[1].startswith('run "12": named')
    assert type_in("show", "a b")[1].startswith('run "a b": apart')
    assert "there is no run 13" in type_in("show", "13")[2]
    assert "'a c' is no run" in type_in("show", "a c")[2]


def test_id_that_the_table_has_cut_is_taken(type_in, add_run, monkeypatch):
    add_run(1, _id="a_very_long_name_of_a_run_" * 4 + "1", experiment="first")
    add_run(2, _id="another_very_long_name_of_a_run_" * 4 + "2", experiment="second")
    monkeypatch.setenv("COLUMNS", "80")
    names = [line.split()[0] for line in type_in("list")[1].splitlines()[1:3]]
    assert all(name.endswith("…") for name in names)
    monkeypatch.setenv("COLUMNS", "300")
    assert ": second, " in type_in("show", names[0])[1]
    assert "is no run" in type_in("show", "a…")[2]


def test_run_copied_from_a_folder_of_sacreds(type_in, database):
    """FileStorageObserver writes times as texts and names of artifacts."""
    stamp = "2021-04-18T10:00:00.123456"
    database["runs"].insert_one(
        {"_id": 1, "experiment": {"name": "old_project"}, "status": "COMPLETED", "result": 0.9,
         "config": {"lr": 0.1}, "start_time": stamp, "stop_time": "2021-04-18T10:00:05.123456Z",
         "heartbeat": stamp, "artifacts": ["model.h5"]}
    )  # fmt: skip
    status, shown, _ = type_in("show", "1")
    assert status == 0
    assert "started   2021-04-18 10:00 UTC" in shown
    assert "took      5.0 s" in shown
    assert "model.h5" in shown
    status, _, errors = type_in("list", "--since", "2021-04-18T09:00")
    assert (status, errors) == (0, "")
    assert type_in("list", "--since", "2021-04-18T11:00")[0] == 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"experiment": "old"}, "run 1: old, COMPLETED"),
        ({"experiment": {"name": None}}, "run 1: , COMPLETED"),
        ({"experiment": {"name": bson.Code("x")}}, "run 1: x, COMPLETED"),
        ({"status": ["COMPLETED", "late"]}, "run 1: other, COMPLETED, late"),
        ({"config": ["a", 1]}, "config  [a, 1]"),
        ({"info": "a text"}, "run 1: other"),
        ({"result": bson.Decimal128("NaN")}, "result  NaN"),
        ({"captured_out": b"caf\xc3\xa9\n"}, "café"),
        ({"fail_trace": "ValueError: broken"}, "ValueError: broken"),
        ({"artifacts": [bson.ObjectId("5" * 24)]}, "5" * 24),
        ({"artifacts": {"a.txt": bson.ObjectId("5" * 24)}}, "a.txt"),
        ({"config": {"tags": "a, b"}}, "tags      a, b"),
        ({"meta": {"comment": 5}}, "notes"),
    ],
)
def test_fields_of_other_kinds_are_shown(type_in, database, add_run, fields, expected):
    add_run(1)
    database["runs"].update_one({"_id": 1}, {"$set": {"experiment.name": "other"}})
    database["runs"].update_one({"_id": 1}, {"$set": fields})
    status, shown, errors = type_in("show", "1")
    assert (status, errors) == (0, "")
    assert expected in shown


def test_bytes_that_are_no_bson_spoil_their_field_only(type_in, database, add_run):
    """MongoDB stores them, and its driver refuses the whole batch."""
    binary = b"\x05a\0\x03\0\0\0\x02abc"  # of the old kind, without its inner length
    latin = b"\x02b\0\x04\0\0\0\xe4\xf6\xfc\0"
    for number, element in ((1, binary), (2, latin)):
        inner = (len(element) + 5).to_bytes(4, "little") + element + b"\0"
        start = bson.encode({"_id": number, "experiment": {"name": "odd"}, "status": "COMPLETED"})
        body = start[4:-1] + b"\x03config\0" + inner + b"\0"
        raw = (len(body) + 4).to_bytes(4, "little") + body
        database["runs"].insert_one(RawBSONDocument(raw))
    add_run(3, experiment="good")
    status, listed, _ = type_in("list")
    assert status == 0
    assert {line.split()[1] for line in listed.splitlines()[1:]} == {"odd", "good"}
    assert "(unreadable)" in type_in("show", "1")[1]
    assert "b  ���" in type_in("show", "2")[1]


def test_what_others_stored_does_not_steer_the_terminal(type_in, add_run):
    add_run(
        1, _id="a\x1b[2J", experiment="b\x1b[2J", status="c\x1b[2J", artifacts=["f\x1b[2J"],
        config={"k\x1b[2J": "v\x1b"}, omniboard={"notes": "n\x1b[2J", "tags": ["t\x1b[2J"]},
    )  # fmt: skip
    add_run(2, info={"lineage": {"r\x1b": "a\x1b[2J"}})
    name = '"a\\u001b[2J"'
    for command in (
        ["list"], ["list", "--sort", "nothing"], ["list", "--columns", "nothing"], ["show", name],
        ["show", "2"], ["compare", name, "2"], ["lineage", "2"], ["list", "--experiment", "no"],
        ["tag", name, "x"], ["note", name, "y"], ["list", "--status", "nothing"],
        ["delete", name, "--yes"], ["show", "nothing"],
    ):  # fmt: skip
        _, printed, errors = type_in(*command)
        assert is_shown(printed + errors), command


def test_large_documents_are_shown_in_a_moment(type_in, add_run):
    for run_id, part in ((1, "a"), (2, "b")):
        config = {f"{part}{number}": number for number in range(20_000)}
        add_run(run_id, config=config, experiment="wide")
    add_run(3, info={"text": "x" * 15_000_000}, experiment="long")
    add_run(4, config={"bytes": b"x" * 15_000_000}, experiment="bytes")
    status, listed, _ = type_in("list")
    assert status == 0
    shown = [line.split()[1] for line in listed.splitlines()[1:5]]
    assert shown == ["bytes", "long", "wide", "wide"]
    for number in ("1", "3", "4"):
        assert type_in("show", number)[0] == 0


def test_folder_of_an_export_is_named(type_in, add_run):
    add_run(1)
    for folder in ("", " "):
        status, _, errors = type_in("export", "--to", folder)
        assert status == 1
        assert "expected a folder" in errors
