"""Stored runs' programs run again, by the command."""

import contextlib
import tempfile
from pathlib import Path

import bson
import pytest
from hypothesis import given, strategies as st

from nn_clustering.tracking import RunStore, TrackingError
from nn_clustering.tracking.gridfs import store_source
from nn_clustering.tracking.store.stored_programs import write_program
from tests.programs import environment, run_warm
from tests.tracking.command_line.test_commands import COMMAND
from tests.tracking.foreign_project import write_project
from tests.tracking.stored_files import store_file


@pytest.fixture
def rerun(home, database, tmp_path):
    """Runs a run again, in a folder that has nothing to do with its own."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def rerun(*arguments, **more):
        environ = environment(home, MONGO_DB=database.name, **more)
        return run_warm([*COMMAND, "rerun", *arguments], environ, cwd=elsewhere)

    return rerun


def test_a_stage_again_with_the_code_that_it_had(succeed, rerun, project, store, tmp_path):
    numbers = tmp_path / "their numbers"
    numbers.write_text("1 2.5")
    succeed("measure", "with", f"file={numbers}", "seed=3", "halve", "tags=paper")
    succeed("total", "with", "measure_run=1")
    for path in (project / "experiments").glob("*.py"):
        path.write_text("raise SystemExit('changed')")
    for path in (project / "configs").rglob("*.yaml"):
        path.unlink()
    again = rerun("1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "run 3 has the same result and metrics as run 1" in again.stdout
    assert "measuring" in again.stdout
    new = store.run(3)
    assert new.result == store.run(1).result
    assert new.config["scale"] == store.run(1).config["scale"]
    assert new.tags == ()
    assert new.notes.startswith("rerun of run 1 (")
    assert rerun("2").returncode == 0
    assert store.run(4).lineage == {"measure_run": 1}


def test_a_stage_of_stages_again(succeed, rerun, store, tmp_path):
    (tmp_path / "numbers").write_text("1 2")
    succeed("both", "with", f"measure.file={tmp_path / 'numbers'}")
    again = rerun("1")
    # It has run its parts again, too, and says only in its result which they are.
    assert again.returncode == 1
    assert [line.split()[0] for line in again.stdout.splitlines()[-2:]] == ["key", "result.runs"]
    assert store.run(4).result["runs"] == [5, 6]


def test_differences_are_named(succeed, rerun, database):
    succeed("draw", "with", "seed=5")
    database["runs"].update_one({}, {"$set": {"result.first": -1.5, "result.gone": 3}})
    again = rerun("1")
    assert again.returncode == 1
    lines = [line.split() for line in again.stdout.splitlines()]
    assert ["key", "then", "now"] in lines
    assert ["result.first", "-1.5"] in [line[:2] for line in lines]
    assert ["result.gone", "3", "-"] in lines


def test_other_packages_are_said_first(succeed, rerun, database):
    succeed("draw")
    dependencies = database["runs"].find_one()["experiment"]["dependencies"]
    (name,) = [entry for entry in dependencies if entry.startswith("sacred==")] or [None]
    changed = ["sacred==0.1", *(entry for entry in dependencies if entry != name)]
    database["runs"].update_one(
        {}, {"$set": {"experiment.dependencies": changed, "host.python_version": "3.1.4"}}
    )
    lines = rerun("1").stdout.splitlines()
    assert lines[0].startswith("python was 3.1.4, is 3.")
    assert lines[1].startswith("sacred was 0.1, is ")
    assert lines[2].startswith("run 1 again: experiments/draw.py, in ")


@pytest.mark.parametrize("program", ["brew", "distil"])
def test_another_project(home, database, store, rerun, tmp_path, program):
    folder = tmp_path / "theirs"
    write_project(folder)
    environ = environment(home, MONGO_DB=database.name, PYTHONDONTWRITEBYTECODE="1")
    made = run_warm([folder / f"{program}.py", "with", "seed=4"], environ, cwd=folder)
    assert made.returncode == 0, made.stderr
    (folder / "kettle" / "deep" / "salts.py").write_text("HARDNESS = 8")
    again = rerun("1")
    assert again.returncode == 0, again.stdout + again.stderr
    assert store.run(2).result == store.run(1).result
    assert store.run(2).config["seed"] == 4


def test_to_a_folder_that_stays(succeed, rerun, tmp_path):
    succeed("draw")
    assert rerun("1", "--to", tmp_path / "kept").returncode == 0
    assert (tmp_path / "kept" / "experiments" / "draw.py").is_file()
    assert (tmp_path / "kept" / "configs" / "draw" / "default.yaml").is_file()
    refused = rerun("1", "--to", tmp_path / "kept")
    assert refused.returncode == 1
    assert "expected an empty folder" in refused.stderr


def test_where_files_are_found(succeed, run, rerun, project, home, database):
    (project / "experiments" / "draw.py").write_text(
        (project / "experiments" / "draw.py")
        .read_text()
        .replace('print(f"drew', 'print(open("near.txt").read()); print(f"drew')
    )
    (project / "near.txt").write_text("found it")
    succeed("draw")
    lost = rerun("1")
    assert lost.returncode == 1
    assert "status" in lost.stdout
    assert "FAILED" in lost.stdout
    assert rerun("1", "--start-in", project).returncode == 0


def test_a_program_that_stores_nothing_here(succeed, rerun, database):
    succeed("draw")
    database["runs"].update_one({}, {"$set": {"config.below": 0}})
    refused = rerun("1")
    assert refused.returncode == 1
    assert "below=0; expected 1 or more" in refused.stderr
    assert "has stored no run in database" in refused.stderr


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "run 1 has no stored sources"),
        ({"experiment": {"name": "x", "sources": "none"}}, "run 1 has no stored sources"),
        ({"experiment": {"name": "x", "sources": [["a.py", 1]]}}, "which of its sources is the"),
        ({"status": "QUEUED"}, "run 1 is QUEUED"),
    ],
)
def test_what_cannot_be_run_again(add_run, database, rerun, fields, message):
    add_run(1)
    if fields:
        database["runs"].update_one({}, {"$set": fields})
    refused = rerun("1")
    assert refused.returncode == 1
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_missing_and_damaged_sources_are_named(succeed, rerun, database):
    succeed("draw")
    sources = dict(database["runs"].find_one()["experiment"]["sources"])
    database["fs.files"].delete_one({"_id": sources["experiments/count.py"]})
    chunk = {"files_id": sources["experiments/draw.py"]}
    database["fs.chunks"].update_one(chunk, {"$set": {"data": b"print(1)"}})
    refused = rerun("1")
    assert refused.returncode == 1
    assert f"2 of {len(sources)} stored sources" in refused.stderr
    assert "'experiments/count.py' is missing" in refused.stderr
    assert "'experiments/draw.py' is damaged" in refused.stderr


NAMES = st.lists(
    st.text(max_size=20)
    | st.sampled_from(["../../x.py", "/etc/x.py", "a/../../b.py", "..\\..\\c.py", "//x/y.py", "."]),
    unique=True, max_size=4,
)  # fmt: skip


@given(names=NAMES, base=st.sampled_from(["", "/", "/home/me/project", "../..", "relative"]))
def test_sources_stay_within_the_folder(names, base):
    from nn_clustering.tracking.store.stored_programs import _places

    places = _places(base, [*names, "main.py"])
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "inner").resolve()
        for path in (places.base, *places.files.values()):
            with contextlib.suppress(OSError):
                assert (folder / path).resolve().is_relative_to(folder)
            assert ".." not in path.parts
            assert not path.is_absolute()


def test_sources_with_paths_for_names(database, add_run, home, tmp_path):
    names = ["../../../outside.py", "/etc/cron.d/job", "main.py"]
    entries = [
        [name, store_file(database, name, f"# {name}".encode())["file_id"]] for name in names
    ]
    experiment = {"name": "x", "sources": entries, "mainfile": "main.py", "base_dir": "/a/b"}
    add_run(1, command="main")
    database["runs"].update_one({}, {"$set": {"experiment": experiment}})
    folder = tmp_path / "deep" / "folder"
    folder.mkdir(parents=True)
    store = RunStore(database, home)
    program = write_program(database, store.run(1), folder)
    assert program.program.read_text() == "# main.py"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) == 3
    assert all(path.is_relative_to(folder) for path in written)
    database["runs"].update_one({}, {"$set": {"command": "--unobserved"}})
    with pytest.raises(TrackingError, match="which command"):
        write_program(database, store.run(1), folder)


def test_large_integers_of_a_config_are_numbers(succeed, rerun, database, store):
    succeed("draw", "with", "seed=5")
    database["runs"].update_one({}, {"$set": {"config.seed": bson.Int64(5)}})
    rerun("1")
    assert (store.run(2).status, store.run(2).config["seed"]) == ("COMPLETED", 5)


@pytest.mark.parametrize(
    "fields",
    [
        {"config": {"network": bson.ObjectId()}},
        {"experiment.sources.0.1": {"of": "another tool"}},
        {"experiment.sources.0.1": {"$ne": None}},
        {"experiment.sources.0.1": bson.Code("x", {})},
        {"info.config_files": {"config.draw.default.yaml": "x" * 300}},
    ],
)
def test_odd_documents_are_refused_in_a_line(succeed, rerun, database, fields):
    succeed("draw")
    database["runs"].update_one({}, {"$set": fields})
    refused = rerun("1")
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert "run 1" in line


def test_a_program_beside_its_folder(database, add_run, home, tmp_path):
    path = tmp_path / "source"
    path.write_text("from . import parts\n")
    source, _ = store_source(database, path, Path("/lab/prog.py"))
    experiment = {"base_dir": "/lab", "mainfile": "../prog.py", "sources": [["../prog.py", source]]}
    add_run(1, command="main")
    database["runs"].update_one({}, {"$set": {"experiment": experiment}})
    folder = tmp_path / "program"
    folder.mkdir()
    program = write_program(database, RunStore(database, home).run(1), folder)
    assert program.arguments == [str(program.program)]
    assert program.base.is_dir()
