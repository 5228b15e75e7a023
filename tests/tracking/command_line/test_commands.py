"""The commands about runs, as a user types them."""

import contextlib
import datetime
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios

import pytest

from nn_clustering.tracking import RunStore
from tests.programs import PROJECT, environment, run_python, run_warm
from tests.tracking.stored_files import store_file

COMMAND = ["-m", "nn_clustering.tracking"]


@pytest.fixture
def environ(home, database):
    return environment(home, MONGO_DB=database.name)


@pytest.fixture
def type_in(environ):
    """Types a command; returns the finished process."""

    def type_in(*arguments, **options):
        return run_warm([*COMMAND, *arguments], environ, **options)

    return type_in


@pytest.fixture
def on_terminal(environ):
    """Types a command on a terminal; returns its exit status and what the terminal shows."""

    def on_terminal(*arguments, columns=80, answer=""):
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(PROJECT)
            size = struct.pack("HHHH", 40, columns, 0, 0)
            fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCSWINSZ, size)
            os.execve(sys.executable, [sys.executable, *COMMAND, *arguments], environ)
        os.write(terminal, answer.encode())
        shown = b""
        with contextlib.suppress(OSError):  # the end of a terminal
            while piece := os.read(terminal, 65536):
                shown += piece
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return status, shown.decode().replace("\r\n", "\n")

    return on_terminal


@pytest.fixture
def study(database, add_run):
    """Two trainings, of which one failed, and a clustering."""
    start = datetime.datetime(2024, 1, 1, 12)
    end = start + datetime.timedelta(seconds=75)
    add_run(
        1, config={"seed": 1, "dataset": {"name": "mnist"}, "tags": ["paper"]}, start_time=start,
        stop_time=end, result={"accuracy": 0.98}, host={"hostname": "lab3"},
        captured_out="".join(f"line {number}\x1b[2J\n" for number in range(20)),
        artifacts=[store_file(database, "pruned.keras", b"x" * 2048)],
        meta={"comment": "first try"},
    )  # fmt: skip
    add_run(
        2, status="FAILED", config={"seed": 2, "dataset": {"name": "digits"}},
        fail_trace=["Traceback (most recent call last):\n", "ValueError: broken\n"],
    )  # fmt: skip
    add_run(
        3, experiment="cluster", config={"seed": 1, "n_clusters": 12},
        result={"ncut": 8.75, "bad": float("nan")}, info={"lineage": {"train_run": 1}},
    )  # fmt: skip
    points = {"steps": [0, 1], "values": [0.5, 0.25], "timestamps": [start, end]}
    database["metrics"].insert_one({"run_id": 1, "name": "loss", **points})


def listed(process):
    assert process.returncode == 0, process.stderr
    return [run["run"] for run in json.loads(process.stdout)]


def refusal(process, status=1):
    assert process.returncode == status
    assert process.stderr.count("\n") == 1, process.stderr
    return process.stderr


def test_list_is_a_table(study, type_in):
    lines = type_in("list").stdout.splitlines()
    assert lines[0].split() == [
        "run", "experiment", "status", "started", "(UTC)", "duration", "tags", "seed",
        "dataset.name", "ncut", "bad", "accuracy",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:]] == ["3", "2", "1"]
    assert "tags" not in type_in("list", "--experiment", "cluster").stdout.splitlines()[0]
    assert lines[3].split()[1:] == [
        "train", "COMPLETED", "2024-01-01", "12:00", "1", "min", "15", "s", "paper", "1", "mnist",
        "0.98",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["--experiment", "train"], [2, 1]),
        (["--status", "failed"], [2]),
        (["--config", "dataset.name=mnist"], [1]),
        (["--config", "seed>=2"], [2]),
        (["--config", "seed = 1", "--config", "n_clusters!=11"], [3]),
        (["--config", "seed>0", "--config", "seed<2"], [3, 1]),
        (["--result", "ncut<9"], [3]),
        (["--result", "accuracy==0.98"], [1]),
        (["--result", "accuracy>97e-2"], [1]),
        (["--tag", "paper"], [1]),
        (["--since", "2024-01-01T06:00"], [1]),
        (["--limit", "2"], [3, 2]),
        (["--limit", "9" * 20], [3, 2, 1]),
        (["--sort", "run"], [1, 2, 3]),
        (["--sort", "run", "--reverse"], [3, 2, 1]),
        (["--sort", "dataset.name"], [2, 1, 3]),
        (["--sort", "result.ncut", "--limit", "1"], [3]),
        (["--reverse"], [1, 2, 3]),
    ],
)
def test_filters(study, type_in, filters, expected):
    assert listed(type_in("list", "--json", *filters)) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["list", "--experiment", "trian"],
            "no run matches experiment 'trian' (did you mean train?); there are runs of",
        ),
        (
            ["list", "--experiment", "train", "--tag", "draft"],
            "no run matches experiment 'train', tags ['draft']; there are runs of",
        ),
        (["list", "--tag", "draft", "--json"], "no run matches tags ['draft']"),
        (
            ["list", "--config", "dataset.name=cifar10", "--config", "seed>1"],
            "no run matches config dataset.name=cifar10, config seed>1; dataset.name is digits, "
            "mnist in those that have it; seed is 1, 2 in those that have it; there are runs of",
        ),
        (
            ["list", "--experiment", "train", "--config", "dataset=mnist"],
            "no run matches experiment 'train', config dataset=mnist; none has dataset in its "
            "config (did you mean dataset.name?); there are runs of",
        ),
        (
            ["list", "--result", 'ncuts=""', "--result", "ncut>9", "--result", "ncut<10"],
            'matches result ncuts="", result ncut>9, result ncut<10; none has ncuts in its result '
            "(did you mean ncut?); ncut is 8.75 in those that have it; there are runs of",
        ),
        (
            ["list", "--experiment", "TRAIN"],
            "no run matches experiment 'TRAIN' (did you mean train?)",
        ),
        (["list", "--status", "DONE"], "status='DONE': no run has it; expected one of RUNNING"),
        (["list", "--config", "seed"], "--config seed: expected a key"),
        (["list", "--config", "seed="], "--config seed=: expected a key"),
        (["list", "--result", "$where=1"], "is no key"),
        (["list", "--config", "seed<[1]"], "expected a number or a text"),
        (["list", "--since", "yesterday"], "since='yesterday': expected a date"),
        (["list", "--limit", "0"], "--limit 0: expected at least 1"),
        (["list", "--sort", "nothing"], "--sort nothing: none of these runs has it"),
        (["list", "--metric", "lost"], "has 'lost' (did you mean loss?); expected some of: loss"),
        (["list", "--sort", "ncuts"], "has it (did you mean ncut?); expected one of run, "),
        (["list", "--columns", "sed"], "--columns sed: none of these runs has it (did you mean se"),
        (["list", "--columns", "seed,,ncut"], "expected names of columns, separated by commas"),
        (["show", "9"], "there is no run 9"),
        (["show", "last"], "'last' is no run (did you mean latest?); expected a run's number, or"),
        (["show", "first"], "'first' is no run; expected a run's number, or 'latest'"),
        (["show", "9" * 30], "is no run"),
        (["compare", "1"], "expected at least two runs"),
        (["compare", "1", "9"], "there is no run 9"),
        (["lineage", "9"], "there is no run 9"),
        (["export", "9", "--to", "x"], "there is no run 9"),
        (["export", "1", "--tag", "draft", "--to", "x"], "run 1 does not match the filters"),
        (["delete", "9", "--yes"], "there is no run 9"),
        (["delete", "1", "--yes"], "run 1 cannot be deleted: 3 read it"),
        (["delete", "3"], "1 run would be deleted for good"),
        (["tag", "9", "a"], "there is no run 9"),
        (["tag", "1", "paper", "--remove"], "is in the run's config"),
        (["note", "1", " "], "expected a text"),
        (["add", "1", "nowhere.txt"], "nowhere.txt is no file"),
        (["add", "1", __file__, "--name", "../a.txt"], "'../a.txt': expected a name as files have"),
    ],
)
def test_mistakes_are_one_line(study, type_in, tmp_path, database, arguments, message):
    assert message in refusal(type_in(*arguments, cwd=tmp_path, stdin=subprocess.DEVNULL))
    assert database["runs"].count_documents({}) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["list"], ["export", "--to", "x"]])
def test_empty_database_names_the_next_step(type_in, arguments):
    assert "run an experiment first" in refusal(type_in(*arguments))


def test_values_of_filters_are_read_as_yaml():
    from nn_clustering.tracking import parse_condition

    def value(text):
        return parse_condition("--config", f"a.b={text}")[1][1]

    assert [value(text) for text in ("1", "1.5", "1e-3", "-2")] == [1, 1.5, 0.001, -2]
    assert [value(text) for text in ("true", "False", "null", "None")] == [True, False, None, None]
    assert [value(text) for text in ("mnist", '""', "'1'", "[1, a]")] == [
        "mnist",
        "",
        "1",
        [1, "a"],
    ]
    assert [value(text) for text in ("2024-01-01", "{a: 1}", "a=b", "[1")] == [
        "2024-01-01", "{a: 1}", "a=b", "[1",
    ]  # fmt: skip


def test_list_says_how_many_more_there_are(add_run, type_in):
    for number in range(1, 26):
        add_run(number)
    lines = type_in("list").stdout.splitlines()
    assert len(lines) == 22
    assert lines[-1] == "20 of 25 runs, 5 more with --limit 25"
    assert len(listed(type_in("list", "--json"))) == 20
    assert "more" not in type_in("list", "--limit", "25").stdout


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_tables_fit_the_terminal(study, database, on_terminal, columns):
    long = {f"config.key_{number}": "long value " * 9 for number in range(9)}
    database["runs"].update_one({"_id": 1}, {"$set": long})
    for arguments in (["list"], ["compare", "1", "2", "3"], ["show", "1"], ["lineage", "1"]):
        status, shown = on_terminal(*arguments, columns=columns)
        assert status == 0
        lines = shown.splitlines()
        assert max(map(len, lines)) <= columns
        assert len(lines) < 60
    assert "did not fit (see --columns): " in on_terminal("list", columns=60)[1]
    wide = "--columns=" + ",".join(f"key_{number}" for number in range(9))
    assert "did not fit (COLUMNS=200 makes" in on_terminal("list", wide, columns=60)[1]


def test_column_that_sorts_is_shown_where_there_is_little_room(study, on_terminal):
    def headings(*arguments):
        return on_terminal("list", *arguments, columns=70)[1].splitlines()[0].split()

    assert "dataset.name" not in headings()
    assert "dataset.name" in headings("--sort", "dataset.name")
    assert "loss" in headings("--metric", "loss")


def test_show(study, type_in):
    shown = type_in("show", "1").stdout
    assert "\x1b" not in shown
    lines = [" ".join(line.split()) for line in shown.splitlines()]
    for expected in (
        "run 1: train, COMPLETED", "took 1 min 15 s", "host lab3", "tags paper", "first try",
        "accuracy 0.98", "loss 0.25", "dataset.name mnist", "3 cluster COMPLETED (train_run)",
        "output, last 10 lines", "line 19?[2J",
    ):  # fmt: skip
        assert expected in lines
    (artifact,) = (line for line in lines if line.startswith("pruned.keras"))
    assert artifact.split()[1:3] == ["2.0", "kB"]
    assert not any(line.startswith("line 9?") for line in lines)
    assert "1 train COMPLETED (train_run)" in type_in("show", "3").stdout


def test_show_says_why_a_run_failed(study, type_in):
    assert "ValueError: broken" in type_in("show", "2").stdout


def test_latest_is_a_run(study, type_in):
    assert type_in("show", "latest").stdout.startswith("run 3: cluster")


def test_json_is_one_strict_document(study, type_in):
    def constant(name):
        raise AssertionError(f"{name} is no JSON")

    def read(*arguments):
        process = type_in(*arguments, "--json")
        assert process.returncode == 0, process.stderr
        return json.loads(process.stdout, parse_constant=constant)

    found = {run["run"]: run for run in read("list")}
    assert found[3]["result"] == {"ncut": 8.75, "bad": None}
    assert found[1]["start_time"] == "2024-01-01T12:00:00+00:00"
    assert found[3]["lineage"] == {"train_run": 1}
    one = read("show", "1")
    assert one["metrics"] == {"loss": 0.25}
    assert one["artifacts"][0]["size"] == 2048
    assert one["lineage"]["read_by"][0]["run"] == 3
    compared = read("compare", "1", "3")
    assert compared["runs"] == [1, 3]
    assert compared["differences"]["config.n_clusters"] == {"1": None, "3": 12}
    assert read("lineage", "3")["reads"][0]["experiment"] == "train"


def test_compare(study, add_run, type_in):
    shown = type_in("compare", "1", "2").stdout.splitlines()
    assert shown[0].split() == ["key", "run", "1", "run", "2"]
    assert ["config.dataset.name", "mnist", "digits"] in [line.split() for line in shown]
    add_run(4)
    add_run(5)
    assert "same config and the same result" in type_in("compare", "4", "5").stdout


def test_compare_tells_none_from_what_a_run_lacks(study, database, type_in):
    database["runs"].update_one({"_id": 1}, {"$set": {"config.phase": None, "config.reuse": True}})
    database["runs"].update_one({"_id": 3}, {"$set": {"config.seed": 7}})
    shown = [line.split() for line in type_in("compare", "1", "3").stdout.splitlines()]
    assert shown[1] == ["config.seed", "1", "7"]
    assert ["config.phase", "None", "-"] in shown
    assert ["config.n_clusters", "-", "12"] in shown
    assert not {"config.reuse", "config.tags"} & {line[0] for line in shown}


def test_message_names_few_of_many_columns(study, database, type_in):
    many = {f"result.key_{number}": number for number in range(100)}
    database["runs"].update_one({"_id": 1}, {"$set": many})
    for option in ("--sort", "--columns"):
        message = refusal(type_in("list", option, "nonsense"))
        assert len(message) < 500
        assert "; of the config: " in message
        assert ", ..." in message


def test_columns_of_the_list_can_be_chosen(study, database, type_in):
    database["runs"].update_many({}, {"$set": {"config.same": "yes", "config.reuse": True}})

    def cells(*names):
        lines = type_in("list", "--experiment", "train", "--columns", ",".join(names)).stdout
        return [line.split() for line in lines.splitlines()]

    assert cells("seed", "config.dataset.name", "accuracy") == [
        ["run", "seed", "dataset.name", "accuracy"],
        ["2", "2", "digits"],
        ["1", "1", "mnist", "0.98"],
    ]
    # A key that is the same in all runs, and columns that the table leaves out elsewhere.
    assert cells("tags", "same") == [
        ["run", "tags", "config.same"], ["2", "yes"], ["1", "paper", "yes"],
    ]  # fmt: skip
    assert cells("started (UTC)") == cells("start_time") == cells(" started ")
    assert cells("run") == [["run"], ["2"], ["1"]]
    assert "reuse" not in type_in("list").stdout


def test_lineage(study, type_in):
    assert type_in("lineage", "3").stdout == (
        "3 cluster COMPLETED\nread\n└─ 1 train COMPLETED (train_run)\n"
    )


def test_tags_notes_and_files(study, type_in, store, tmp_path):
    assert type_in("tag", "1", "good", "new").stdout == "run 1 has the tags paper, good, new\n"
    assert type_in("tag", "1", "new", "--remove").stdout == "run 1 has the tags paper, good\n"
    assert type_in("note", "1", "too", "slow").returncode == 0
    assert store.run(1).notes == "first try\ntoo slow"
    path = tmp_path / "plot.png"
    path.write_bytes(b"png")
    assert type_in("add", "1", path).returncode == 0
    assert type_in("add", "1", path, "--name", "again.png").returncode == 0
    assert store.run(1).artifacts == ("pruned.keras", "plot.png", "again.png")


def test_export(study, type_in, tmp_path):
    process = type_in("export", "--experiment", "train", "--to", tmp_path / "all")
    assert process.returncode == 0, process.stderr
    assert {path.name for path in (tmp_path / "all").iterdir()} == {
        "runs.csv", "metrics.csv", "run_1", "run_2",
    }  # fmt: skip
    assert "--overwrite" in refusal(type_in("export", "1", "--to", tmp_path / "all"))
    assert type_in("export", "1", "--to", tmp_path / "all", "--overwrite").returncode == 0
    assert (tmp_path / "all" / "runs.csv").read_text().count("\n") == 2
    assert type_in("export", "2", "3", "1", "--to", tmp_path / "chosen").returncode == 0
    lines = (tmp_path / "chosen" / "runs.csv").read_text().splitlines()
    assert [line.partition(",")[0] for line in lines] == ["run", "2", "3", "1"]


def test_delete_on_a_terminal_asks(study, on_terminal, store):
    status, shown = on_terminal("delete", "3", answer="n\n")
    assert status == 1
    assert "3 cluster COMPLETED" in shown
    assert "Delete 1 run for good" in shown
    assert store.find().ids == [3, 2, 1]
    status, shown = on_terminal("delete", "3", answer="y\n")
    assert status == 0
    assert shown.endswith("deleted 1 run\n")
    assert store.find().ids == [2, 1]


def test_delete_without_a_terminal(study, type_in, store):
    process = type_in("delete", "1", "--with-dependents", "--yes")
    assert process.stdout.splitlines() == [
        "3 cluster COMPLETED", "1 train COMPLETED", "deleted 2 runs",
    ]  # fmt: skip
    assert store.find().ids == [2]
    assert "deleted on" in refusal(type_in("show", "1"))


def test_sync_with_nothing_to_deliver(tmp_path, environ, server):
    own = {**environ, "NN_CLUSTERING_HOME": str(tmp_path), "MONGO_URL": server.url}
    process = run_python([*COMMAND, "sync"], own)
    assert (process.returncode, process.stdout) == (0, "nothing waits to be delivered\n")


def test_dead_runs_are_listed_as_such(add_run, type_in):
    add_run(1, status="RUNNING")
    assert "DIED" in type_in("list").stdout


def test_closed_pipe_is_no_error(study, environ):
    command = [sys.executable, *COMMAND, "show", "1"]
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run(
        command, env=environ, cwd=PROJECT, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (141, b"")


def test_ctrl_c_ends_quietly(study, environ):
    terminal, child = pty.openpty()
    command = [sys.executable, *COMMAND, "delete", "3"]
    with subprocess.Popen(
        command, env=environ, cwd=PROJECT, stdin=child, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == b"3 cluster COMPLETED\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    os.close(terminal)
    os.close(child)
    assert (process.returncode, errors) == (130, b"")


def test_server_that_is_away_is_one_line(tmp_path):
    environ = environment(tmp_path, MONGO_URL="mongodb://user:secret@127.0.0.1:1/")
    message = refusal(run_python([*COMMAND, "list"], environ))
    assert "no usable MongoDB at 127.0.0.1:1" in message
    assert "secret" not in message


@pytest.mark.parametrize(
    "command",
    ["list", "show", "compare", "lineage", "export", "tag", "note", "add", "delete", "sync"],
)
def test_help_of_each_command(command, tmp_path):
    process = run_warm([*COMMAND, command, "--help"], environment(tmp_path))
    assert process.returncode == 0
    assert f"nn_clustering.tracking {command}" in process.stdout


def test_list_and_show_load_no_heavy_library(study, database, home):
    heavy = "{'tensorflow', 'keras', 'sacred', 'pandas', 'numpy'}"
    script = (
        "import sys; from nn_clustering.tracking.command_line.main import main; "
        "assert main(['list']) == main(['show', '1']) == 0; "
        f"loaded = {heavy} & set(sys.modules); assert not loaded, loaded"
    )
    process = run_python(["-c", script], environment(home, MONGO_DB=database.name))
    assert process.returncode == 0, process.stderr


def test_store_and_command_agree(study, type_in, database, tmp_path):
    assert listed(type_in("list", "--json")) == RunStore(database, tmp_path).find().ids
