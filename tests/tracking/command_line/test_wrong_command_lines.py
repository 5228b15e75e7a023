"""Every kind of wrong command line, of every command: one clear line, and nothing is changed."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from nn_clustering.tracking import Server, connect
from nn_clustering.tracking.command_line.commands import COMMANDS
from tests.programs import environment, run_warm
from tests.tracking.stored_files import store_file
from tests.wrong_command_lines import Line, everything_in, lines_of

DATABASE = "test_wrong_command_lines"
PROGRAM = ["-m", "nn_clustering.tracking"]

# What stands in the folder of every line.
FILES = {
    "notes.txt": b"just words\n",
    "foreign/notes.txt": b"just words\n",
    "empty_url": b"\n",
    "latin_url": b"mongodb://caf\xe9",
    "http_url": b"http://user:secret@127.0.0.1/",
    "away_url": b"mongodb://user:secret@127.0.0.1:1/",
    "tabs.yaml": b"metric_columns:\n\t- 3\n",
    "latin.yaml": b"metric_columns: [] # caf\xe9\n",
    "list.yaml": b"- 1\n",
    "number.yaml": b"metric_columns: 3\n",
    "texts.yaml": b"config_columns: [ncut]\n",
    "extrema.yaml": b"metric_columns: [{name: a, metric_name: b, extrema: most}]\n",
    "dotted.yaml": b"config_columns: [{name: a.b, config_path: c}]\n",
    "twice.yaml": b"config_columns: [{name: a, config_path: b}, {name: a, config_path: c}]\n",
    "visit.yaml": b"first_visit: [nothing]\n",
    "visits.yaml": b"first_visit: 3\n",
    "plot.yaml": b"plot: {x_axis: epochs}\n",
    "former/run_1/run.json": b"{}",
    "other/1/run.json": b"{",
    "other/1/config.json": b"{}",
}

# Letters that would steer the terminal, or end the line, and bytes that are no text.
ODD = [
    Line(command, tuple(words), ())
    for letters in ("a\x1b[2J\nb", "\udcff")
    for command, *words in (
        ("", letters),
        ("list", letters),
        ("list", f"--{letters}"),
        ("list", "--limit", letters),
        ("list", "--since", letters),
        ("list", "--config", letters),
        ("list", "--config", f"{letters}=1"),
        ("list", "--config", f"seed={letters}"),
        ("list", "--result", f"ncut={letters}"),
        ("list", "--status", letters),
        ("list", "--experiment", letters),
        ("list", "--tag", letters),
        ("list", "--sort", letters),
        ("list", "--columns", letters),
        ("list", "--metric", letters),
        ("show", letters),
        ("show", f'"{letters}"'),
        ("compare", "1", letters),
        ("lineage", letters),
        ("tag", letters, "a"),
        ("tag", "1", letters),
        ("tag", "1", letters, "--remove"),
        ("note", letters, "a"),
        ("add", "1", letters),
        ("add", "1", "notes.txt", "--name", letters),
        ("export", letters, "--to", "out"),
        ("export", "--to", f"notes.txt/{letters}"),
        ("import", letters),
        ("import", f"mongodb://{letters}"),
        ("import", "mongodb://127.0.0.1:1/", "--database", letters),
        ("rerun", letters),
        ("rerun", "1", "--to", f"notes.txt/{letters}"),
        ("rerun", "1", "--start-in", letters),
        ("drop", letters, "--artifacts", "*"),
        ("drop", "1", "--artifacts", letters),
        ("drop", "1", "--larger", letters),
        ("delete", letters),
        ("backup", letters),
        ("backup", "--to", f"notes.txt/{letters}"),
        ("restore", letters),
        ("restore", "notes.txt", "--into", letters),
        ("up", "--columns", letters),
        ("completion", letters),
    )
]

ENVIRONMENTS = [
    Line(command, (), tuple(expected), environ=environ)
    for commands, environ, *expected in (
        ("list", {"MONGO_URL": "nonsense"}, "MONGO_URL", "mongodb://"),
        ("list up", {"MONGO_URL": "http://user:secret@127.0.0.1"}, "MONGO_URL", "mongodb://"),
        ("list", {"MONGO_URL": "mongodb://"}, "MONGO_URL"),
        ("list status", {"MONGO_URL": "mongodb://127.0.0.1:port"}, "MONGO_URL"),
        ("list", {"MONGO_URL": "mongodb://127.0.0.1:99999"}, "MONGO_URL"),
        ("list up status", {"MONGO_URL": "mongodb://user:secret@127.0.0.1:1"}, "127.0.0.1:1"),
        (
            "list",
            {"MONGO_URL": "mongodb://127.0.0.1:1/a.b", "MONGO_DB": ""},
            "the path of MONGO_URL",
        ),
        (
            "list",
            {"MONGO_URL": "mongodb://127.0.0.1:1", "MONGO_URL_FILE": "away_url"},
            "both set",
        ),
        ("list up", {"MONGO_URL_FILE": "nowhere"}, "MONGO_URL_FILE='nowhere'", "No such file"),
        (
            "list status",
            {"MONGO_URL_FILE": "empty_url"},
            "MONGO_URL_FILE='empty_url'",
            "it is empty",
        ),
        ("list", {"MONGO_URL_FILE": "latin_url"}, "MONGO_URL_FILE='latin_url'", "no text"),
        ("list", {"MONGO_URL_FILE": "foreign"}, "MONGO_URL_FILE='foreign'", "directory"),
        ("list", {"MONGO_URL_FILE": "http_url"}, "MONGO_URL_FILE", "mongodb://"),
        ("list", {"MONGO_URL_FILE": "away_url"}, "127.0.0.1:1"),
        ("list up status", {"MONGO_DB": "a b"}, "MONGO_DB='a b'", "letters, digits"),
        ("list", {"MONGO_DB": "a/b"}, "MONGO_DB='a/b'"),
        ("list", {"MONGO_DB": "$a"}, "MONGO_DB='$a'"),
        ("list", {"MONGO_DB": "a" * 64}, "MONGO_DB=", "up to 63"),
        ("list up", {"MONGO_DB": "\udcff"}, "MONGO_DB="),
        ("list up down status", {"NN_CLUSTERING_HOME": "notes.txt"}, "'notes.txt' is no folder"),
        ("list up", {"NN_CLUSTERING_HOME": "nowhere"}, "'nowhere' is no folder"),
        ("list down", {"NN_CLUSTERING_HOME": "a\nb"}, "NN_CLUSTERING_HOME=", "is no folder"),
        ("import", {"IMPORT_MONGO_URL": "nonsense"}, "IMPORT_MONGO_URL", "mongodb://"),
        ("import", {"IMPORT_MONGO_URL": "mongodb://user:secret@127.0.0.1:1"}, "127.0.0.1:1"),
        ("import", {"IMPORT_MONGO_URL_FILE": "nowhere"}, "IMPORT_MONGO_URL_FILE='nowhere'"),
        ("import", {"IMPORT_MONGO_URL_FILE": "empty_url"}, "IMPORT_MONGO_URL_FILE", "it is empty"),
        ("import", {"IMPORT_MONGO_URL_FILE": "latin_url"}, "IMPORT_MONGO_URL_FILE", "no text"),
        ("import", {"IMPORT_MONGO_URL_FILE": "away_url"}, "127.0.0.1:1"),
        (
            "import",
            {"IMPORT_MONGO_URL": "mongodb://127.0.0.1:1", "IMPORT_MONGO_URL_FILE": "away_url"},
            "IMPORT_MONGO_URL and IMPORT_MONGO_URL_FILE are both set",
        ),
    )
    for command in commands.split()
]

LINES = [
    *lines_of(Path(__file__).with_name("wrong_command_lines.txt")),
    *ODD,
    *ENVIRONMENTS,
]
# What they would do, they say first.
SAYS_FIRST = {"delete", "drop", "import", "rerun"}


@pytest.fixture(scope="module")
def database(embedded_server):
    """A training, one that failed, a clustering of the first, one that runs, and another's."""
    database = connect(Server(embedded_server.url, DATABASE, embedded=True))
    now = datetime.datetime.now(datetime.timezone.utc)
    shown = {"config": {"seed": 1}, "result": {"ncut": 8.75}, "start_time": now, "stop_time": now}
    alive = {"host": {"hostname": "elsewhere"}, "heartbeat": now + datetime.timedelta(days=1)}
    points = {"steps": [0], "values": [0.5], "timestamps": [now]}
    database["metrics"].insert_one({"run_id": 1, "name": "loss", **points})
    network = store_file(database, "network.keras", b"x" * 2048)
    for run_id, experiment, status, fields in (
        (1, "train", "COMPLETED", {**shown, "artifacts": [network]}),
        (2, "train", "FAILED", {"config": {"seed": 2}, "start_time": now}),
        (3, "cluster", "COMPLETED", {**shown, "info": {"lineage": {"train_run": 1}}}),
        (6, "train", "COMPLETED", {**shown, "artifacts": [network]}),
        (4, "train", "RUNNING", {"config": {"seed": 4}, "start_time": now, **alive}),
        ("mine", "theirs", "COMPLETED", {"config": {"seed": 5}, "start_time": now}),
    ):
        document = {"_id": run_id, "experiment": {"name": experiment}, "status": status, **fields}
        database["runs"].insert_one(document)
    database["deleted_runs"].insert_one({"_id": 5, "experiment": "train", "deleted": now})
    yield database
    database.client.drop_database(DATABASE)
    database.client.close()


@pytest.fixture(scope="module")
def environ(home, database):
    return environment(home, MONGO_DB=database.name)


@pytest.fixture(scope="module")
def files(environ, database, tmp_path_factory):
    """A folder of files, and of exports: a whole one, and those that are not."""
    folder = tmp_path_factory.mktemp("files")
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "empty").mkdir()
    exported = run_warm([*PROGRAM, "export", "6", "--to", folder / "exported"], environ)
    assert exported.returncode == 0, exported.stderr
    database["runs"].delete_one({"_id": 6})
    for name in ("damaged", "newer", "halved"):
        shutil.copytree(folder / "exported", folder / name)
    (folder / "damaged" / "run_6" / "exact.json").write_text("{}")
    (folder / "halved" / "run_6" / "artifacts" / "network.keras").unlink()
    manifest = folder / "newer" / "run_6" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 2}))
    return folder


def everything_stored(database):
    """All documents; a collection may be made that has none."""
    names = sorted(database.list_collection_names())
    return [(name, repr(document)) for name in names for document in database[name].find()]


def test_there_are_many_lines_of_every_command():
    commands = [line.program for line in LINES]
    assert len(set(map(str, LINES))) == len(LINES) >= 80
    assert {"", "completion", *(command.name for command in COMMANDS)} == set(commands)


@pytest.mark.parametrize("line", LINES, ids=str)
def test_wrong_command_line_is_answered_in_one_line(line, database, environ, files, home):
    before = everything_in(files), everything_stored(database)
    started = sorted(path.name for path in home.rglob("*pid*"))
    finished = run_warm(
        [*PROGRAM, *filter(None, [line.program]), *line.words],
        {**environ, **line.environ},
        cwd=files,
        stdin=subprocess.DEVNULL,
        errors="replace",
    )
    assert finished.returncode in (1, 2), finished
    assert "Traceback" not in finished.stderr
    answer = finished.stderr.removesuffix("\n")
    assert answer
    assert answer.isprintable()
    for text in line.expected:
        assert text in answer
    assert "secret" not in finished.stdout + answer
    assert line.program in SAYS_FIRST or finished.stdout == ""
    assert (everything_in(files), everything_stored(database)) == before
    assert sorted(path.name for path in home.rglob("*pid*")) == started
