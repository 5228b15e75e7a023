"""Nothing is lost: real runs, whose server, disk or own process is really taken away."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import gridfs
import pytest

from nn_clustering.tracking import connect, resolve_server, stop_embedded, sync_journals
from nn_clustering.tracking.server import processes
from nn_clustering.tracking.writing.delivery import POINTS_A_DOCUMENT
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_reading import is_finished, journal_folders, read_header
from tests.programs import PROJECT, WarmProcess, environment, run_warm
from tests.tracking.conftest import PROGRAM
from tests.tracking.sample_experiment import ODD

PATIENCE = 120.0  # seconds until a condition that shall come true counts as one that never will
IN_A_NEW_INTERPRETER = ("env",)  # a command that starts another
OFTEN = ("-b", "0.2")  # heartbeats, so that a short run has some


class Place:
    """A home with a server of its own, and what a test does to it."""

    def __init__(self, folder):
        self.folder = folder
        self.journals = folder / ".mongo" / "journal"

    @contextlib.contextmanager
    def database(self):
        """The database of the runs; the server is started if need be."""
        database = connect(resolve_server(environment(self.folder)))
        try:
            yield database
        finally:
            database.client.close()

    def start(self):
        resolve_server(environment(self.folder))

    def kill_server(self):
        state = json.loads((self.folder / ".mongo" / "server.json").read_text())
        os.kill(state["pid"], signal.SIGKILL)
        assert processes.wait_until_gone(state["pid"], PATIENCE)

    def sync(self):
        """Deliver what runs left; returns what the command says, line by line."""
        command = ["-m", "nn_clustering.tracking", "sync"]
        ended = run_warm(command, environment(self.folder))
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout.splitlines()


class Program:
    """The sample experiment as a process of its own, its output in files.

    With a prefix, which is a command that starts another, in a new interpreter, else in a forked
    child of one that has imported the libraries already.
    """

    def __init__(self, home, folder, action, *options, prefix=(), updates=(), **environ):
        self.folder = folder
        folder.mkdir(exist_ok=True)
        (folder / "tmp").mkdir(exist_ok=True)
        arguments = [*OFTEN, *options, "with", f"action={action}", f"folder={folder}", *updates]
        command = [str(PROGRAM), *arguments]
        start = WarmProcess
        if prefix:
            start, command = subprocess.Popen, [*prefix, sys.executable, *command]
        with self._file("stdout").open("wb") as out, self._file("stderr").open("wb") as errors:
            self.process = start(
                command,
                env=environment(home, TMPDIR=str(folder / "tmp"), **environ),
                cwd=PROJECT,
                stdout=out,
                stderr=errors,
            )

    def _file(self, name):
        return self.folder / f"{name}.txt"

    @property
    def errors(self):
        return self._file("stderr").read_text("utf-8")

    @property
    def end_of_errors(self):
        return self.errors[-2000:]

    @property
    def last_line(self):
        return self.errors.strip().splitlines()[-1]

    @property
    def captures(self):
        """The files that catch what the run prints, while it lives."""
        return [path for path in (self.folder / "tmp").iterdir() if path.is_file()]

    def count(self):
        """Number of things that were logged so far."""
        path = self.folder / "logged.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def logged(self, kind=None):
        """What was logged so far; of a killed run, without the line that it was writing."""
        path = self.folder / "logged.jsonl"
        lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
        entries = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in entries if kind in (None, entry["kind"])]

    def tell(self, word):
        (self.folder / word).touch()

    def wait_for(self, condition, what):
        """Wait until the condition holds, for as long as the run lives."""

        def holds():
            found = condition()
            assert found or self.process.poll() is None, (
                f"ended before {what}: {self.end_of_errors}"
            )
            return found

        return wait_until(holds, what)

    def wait_for_more(self, n_entries=100):
        """Wait until so much more is logged."""
        already = self.count()
        self.wait_for(lambda: self.count() >= already + n_entries, "more is logged")

    def wait_for_word(self, word):
        self.wait_for((self.folder / word).exists, word)

    def end(self):
        """Wait for the end; returns the exit status."""
        return self.process.wait(PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        # What it had printed reaches the file through another process.
        lines = self.logged("line")
        if lines:
            wait_until(
                lambda: all(lines[-1]["text"] in path.read_text("utf-8") for path in self.captures),
                "the printed text is in the file",
            )


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.02)
    return found


@pytest.fixture
def place(own_home):
    return Place(own_home)


@pytest.fixture
def launch(own_home, tmp_path):
    """Starts the sample experiment; what still runs at the end of the test is killed."""
    started = []

    def start(action, *options, home=own_home, name="run", **more):
        program = Program(home, tmp_path / name, action, *options, **more)
        started.append(program)
        return program

    yield start
    for program in started:
        if program.process.poll() is None:
            program.process.kill()
            program.process.wait()


def stored_points(database, run_id):
    """Steps and values of each metric, as they lie in the database, however many documents."""
    columns = {}
    for document in database["metrics"].find({"run_id": run_id}).sort([("name", 1), ("part", 1)]):
        steps, values = columns.setdefault(document["name"], ([], []))
        assert len(steps) % POINTS_A_DOCUMENT == 0
        assert len(document["steps"]) == len(document["values"]) == len(document["timestamps"])
        assert document["timestamps"] == sorted(document["timestamps"])
        steps += document["steps"]
        values += document["values"]
    return {name: list(zip(*points, strict=True)) for name, points in columns.items()}


def stored_artifacts(database, run_id):
    """Name and SHA-256 of each artifact, computed from its bytes."""
    files = gridfs.GridFS(database)
    found = []
    for entry in database["runs"].find_one({"_id": run_id})["artifacts"]:
        name, content = entry.get("original_name", entry["name"]), files.get(entry["file_id"])
        found.append((name, _sha256(content.read())))
        assert content.metadata["sha256"] == found[-1][1]
        assert content.metadata["size"] == content.length
    return found


def _sha256(content):
    return hashlib.sha256(content).hexdigest()


def logged_points(program):
    points = {}
    for entry in program.logged("point"):
        points.setdefault(entry["name"], []).append((entry["step"], entry["value"]))
    return points


def assert_all_there(database, program, status, run_id=1, *, was_killed=False):
    """The run's document, points, artifacts and output are what the program logged."""
    document = database["runs"].find_one({"_id": run_id})
    assert document["status"] == status, (document.get("fail_trace"), program.end_of_errors)
    expected, found = logged_points(program), stored_points(database, run_id)
    artifacts = [(entry["name"], entry["sha256"]) for entry in program.logged("artifact")]
    stored = stored_artifacts(database, run_id)
    lines = [entry["text"] for entry in program.logged("line")]
    words = {line.split()[0] for line in lines}
    captured = document["captured_out"].splitlines()
    printed = [line for line in captured if line.split() and line.split()[0] in words]
    if was_killed:
        # One call may have done its work and not come back to be noted, and be the one of its kind.
        n_more = sum(len(points) for points in found.values()) - len(program.logged("point"))
        n_more += len(stored) - len(artifacts) + len(printed) - len(lines)
        assert n_more in (0, 1)
        found = {name: points[: len(expected.get(name, ()))] for name, points in found.items()}
        found = {name: points for name, points in found.items() if points}
        stored, printed = stored[: len(artifacts)], printed[: len(lines)]
    assert found == expected
    assert stored == artifacts
    assert printed == lines
    metrics = {entry["name"] for entry in document["info"].get("metrics", ())}
    assert metrics >= set(expected)
    assert document["stop_time"] >= document["start_time"]


def test_server_killed_again_and_again_in_a_stream_of_metrics(place, launch):
    run = launch("stream", prefix=IN_A_NEW_INTERPRETER)
    for _ in range(3):
        run.wait_for_more(300)
        place.kill_server()
        run.wait_for_more(30)
        place.start()
    run.wait_for_more(30)
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")
        n_steps = database["runs"].find_one()["result"]
    assert len(logged_points(run)["loss"]) == n_steps
    assert journal_folders(place.journals) == []


def test_server_killed_while_a_large_artifact_is_stored(place, launch):
    for run_id in range(1, 6):  # on a loaded machine we may be too late
        run = launch("upload", name=f"run {run_id}")
        with place.database() as database:
            run.wait_for(
                lambda database=database: database["fs.chunks"].find_one({"n": 32}),
                "some is stored",
            )
            place.kill_server()
        with place.database() as database:
            was_in_the_middle = database["runs"].find_one({"_id": run_id})["artifacts"] == []
        assert run.end() == 0, run.end_of_errors
        with place.database() as database:
            assert_all_there(database, run, "COMPLETED", run_id)
            known = {file["_id"] for file in database["fs.files"].find({}, {"_id": 1})}
            assert set(database["fs.chunks"].distinct("files_id")) <= known
            if was_in_the_middle:
                return
            database["fs.chunks"].delete_many({})
    pytest.fail("the server was never killed in the middle")


def test_server_killed_between_the_last_metric_and_the_end(place, launch):
    run = launch("burst")
    run.wait_for_word("held")
    place.kill_server()
    run.tell("go")
    run.wait_for(lambda: any(map(is_finished, journal_folders(place.journals))), "it wants to end")
    place.start()
    assert run.end() == 0, run.end_of_errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


def test_run_goes_on_in_a_long_outage(place, launch):
    run = launch("stream")
    run.wait_for_more()
    place.kill_server()
    killed = time.time()
    # Longer than the courier's pauses and what it waits for the server between them.
    run.wait_for(lambda: run.logged()[-1]["returned"] > killed + 22, "a while has gone by")
    run.wait_for_more(1000)  # soon done, but not by one that waits for the server at each
    back = time.time()
    place.start()
    run.wait_for_more()
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    in_outage = [entry for entry in run.logged("point") if killed < entry["started"] < back]
    assert sum(entry["returned"] > back for entry in in_outage) <= 1  # nothing waited for it
    assert "goes on" in run.errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


def test_server_away_until_after_the_end(place, launch):
    run = launch("burst")
    run.wait_for_word("held")
    place.kill_server()
    run.tell("go")
    assert run.end() == 1
    (folder,) = journal_folders(place.journals)
    assert str(folder) in run.last_line
    assert "python -m nn_clustering.tracking sync" in run.last_line
    with place.database() as database:
        assert database["runs"].find_one()["status"] == "RUNNING"
        assert place.sync() == ["run 1 is all in MongoDB: COMPLETED"]
        assert_all_there(database, run, "COMPLETED")
        assert not folder.exists()
        before = _everything(database)
        assert place.sync() == ["nothing waits to be delivered"]
        assert _everything(database) == before


def _everything(database):
    return {
        name: sorted(database[name].find(), key=lambda document: str(document["_id"]))
        for name in database.list_collection_names()
    }


@pytest.mark.parametrize("is_server_up", [True, False])
def test_killed_run_is_delivered_by_sync(place, launch, is_server_up):
    run = launch("stream", prefix=IN_A_NEW_INTERPRETER)
    run.wait_for_more(300)
    if not is_server_up:
        place.kill_server()
        run.wait_for_more(300)
    run.kill()
    assert len(run.captures) == 1
    assert place.sync() == ["run 1 is all in MongoDB: DIED"]
    with place.database() as database:
        assert_all_there(database, run, "DIED", was_killed=True)
    assert run.captures == []
    assert journal_folders(place.journals) == []


@pytest.mark.parametrize("is_server_up", [True, False])
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run(place, launch, is_server_up, signal_number):
    run = launch("stream", prefix=IN_A_NEW_INTERPRETER)
    run.wait_for_more()
    if not is_server_up:
        place.kill_server()
        run.wait_for_more()
    run.process.send_signal(signal_number)
    if not is_server_up:
        run.wait_for(lambda: any(map(is_finished, journal_folders(place.journals))), "its end")
        place.start()
    assert run.end() != 0
    with place.database() as database:
        assert_all_there(database, run, "INTERRUPTED", was_killed=True)
    assert journal_folders(place.journals) == []


def test_run_interrupted_in_the_middle_of_a_call(database, launch, home):
    """A run that does nothing but log is nearly always in a call when the signal comes."""
    for number in range(1, 7):
        run = launch("rush", home=home, name=f"run {number}", MONGO_DB=database.name)
        run.wait_for_word("held")
        run.wait_for_more(200)
        run.process.send_signal(signal.SIGINT)
        assert run.end() != 0
        assert_all_there(database, run, "INTERRUPTED", number, was_killed=True)


def test_run_that_takes_no_interrupt_for_an_end(database, launch, home):
    run = launch("stubborn", home=home, MONGO_DB=database.name)
    run.wait_for_word("held")
    n_signals = 20
    for _ in range(n_signals):
        run.wait_for_more(100)
        run.process.send_signal(signal.SIGINT)
    run.wait_for_more(100)
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    document = database["runs"].find_one()
    assert document["status"] == "COMPLETED", document["fail_trace"]
    (stored,) = stored_points(database, 1).values()
    (noted,) = logged_points(run).values()
    assert [step for step, _ in stored] == sorted({step for step, _ in stored})
    assert set(stored) >= set(noted)
    assert len(stored) - len(noted) <= n_signals  # stored, but interrupted before that was noted


@pytest.fixture
def small_disk(place):
    """The start of a command in whose eyes the journals are on a disk of one megabyte."""
    place.journals.mkdir(parents=True)

    def prefix(prepare="true"):
        mount = f'mount -t tmpfs -o size=1m none "$1" && {prepare}; shift; exec "$@"'
        return ("unshare", "-rm", "sh", "-c", mount, "sh", str(place.journals))

    try:
        mounts = subprocess.run(
            [*prefix(), "cat", "/proc/mounts"], check=True, capture_output=True, text=True
        )
        is_mounted = "own\\040home/.mongo/journal tmpfs" in mounts.stdout
    except (OSError, subprocess.CalledProcessError):
        is_mounted = False
    if not is_mounted:
        pytest.skip("this system lets us mount no small disk")
    return prefix


def test_journal_on_a_full_disk_is_bypassed_while_the_server_runs(launch, place, small_disk):
    run = launch("burst", prefix=small_disk(), updates=["points=20000"])
    run.wait_for_word("held")
    run.tell("go")
    assert run.end() == 0, run.end_of_errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


@pytest.mark.parametrize("limit", ["disk", "bound"])
def test_run_waits_where_neither_journal_nor_server_takes_more(launch, place, limit, request):
    if limit == "disk":
        options = {"prefix": request.getfixturevalue("small_disk")()}
    else:
        options = {"NN_CLUSTERING_JOURNAL_MB": "1"}
    run = launch("stubborn", **options)
    run.wait_for_more()
    place.kill_server()
    run.wait_for(lambda: "nothing shall be lost" in run.errors, "it waits")
    n_entries = run.count()
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.process.wait(2.5)  # it tries again every second
    assert run.process.poll() is None
    assert run.count() == n_entries
    if limit == "bound":
        run.wait_for(lambda: "% of their bound" in run.errors, "it warns")
    place.start()
    run.wait_for_more()
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


def test_full_disk_at_the_start_is_refused(launch, place, small_disk):
    place.start()
    run = launch("burst", prefix=small_disk('head -c 2000000 /dev/zero 2>&- > "$1/filler"'))
    assert run.end() == 1
    assert str(place.journals) in run.last_line
    assert "free some" in run.last_line
    with place.database() as database:
        assert database["runs"].count_documents({"status": "RUNNING"}) == 0


def remove_while_written(folder):
    """Remove a folder into which another process goes on to write."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def test_journal_that_is_removed_while_the_run_goes_on(place, launch):
    run = launch("stream")
    run.wait_for_more()
    (folder,) = journal_folders(place.journals)
    remove_while_written(place.journals)
    run.wait_for_more(300)
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")
        (problem,) = database["runs"].find_one()["tracking"]["problems"]
    for told in (problem, run.errors):
        assert f"the journal {folder} cannot be written (No such file or directory)" in told
        assert "run 1 goes on without its journal, directly to MongoDB" in told
    assert run.errors.count("goes on without its journal") == 1
    shown = run_warm(["-m", "nn_clustering.tracking", "show", "1"], environment(place.folder))
    assert "goes on without its journal" in shown.stdout


def test_journal_that_is_removed_again_and_again_in_a_burst(place, launch):
    """Events that wait in the removed folder are delivered from memory."""
    run = launch("burst", updates=["points=800"])
    run.wait_for_more(1)
    while not (run.folder / "held").exists():
        assert run.process.poll() is None, run.end_of_errors
        for folder in journal_folders(place.journals):
            shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.2)
    run.tell("go")
    assert run.end() == 0, run.end_of_errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


def test_journal_and_server_are_gone_together(place, launch):
    """It waits for the server, and what it had logged is stored from memory."""
    run = launch("stubborn")
    run.wait_for_more()
    place.kill_server()
    run.wait_for_more()
    shutil.rmtree(place.journals)
    run.wait_for(lambda: "nothing shall be lost" in run.errors, "it waits")
    place.start()
    run.wait_for_more()
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


UNMOUNT = {
    "unmounted": "umount -l {}",
    # A disk that is written to cannot be made read-only; but one that is can lie over a folder.
    "read-only": 'for folder in {}/*; do mount -t tmpfs -o ro none "$folder" || exit 1; done',
}


@pytest.mark.parametrize("what", sorted(UNMOUNT))
def test_disk_of_the_journals_is_taken_away(place, launch, small_disk, what):
    run = launch("stream", prefix=small_disk())
    run.wait_for_more()
    enter = ["nsenter", f"--target={run.process.pid}", "--user", "--mount"]
    command = UNMOUNT[what].format(f"'{place.journals}'")
    done = subprocess.run(
        [*enter, "--preserve-credentials", "sh", "-c", command],
        capture_output=True,
        check=False,
        text=True,
    )
    if done.returncode != 0:
        run.tell("stop")
        pytest.skip(f"this system does not let us: {done.stderr.strip()}")
    run.wait_for_more(300)
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    assert "goes on without its journal" in run.errors
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


def test_ended_run_is_never_shown_as_running(place, launch):
    """Its server was away at the end: `list` and `show` know the journal, and say what to do."""
    run = launch("burst")
    run.wait_for_word("held")
    place.kill_server()
    run.tell("go")
    assert run.end() == 1
    place.start()
    (folder,) = journal_folders(place.journals)

    def typed(*arguments):
        ended = run_warm(["-m", "nn_clustering.tracking", *arguments], environment(place.folder))
        assert ended.returncode == 0, ended.stderr
        return ended

    for command in (["list"], ["show", "1"]):
        said = typed(*command)
        assert "RUNNING" not in said.stdout
        assert "UNDELIVERED" in said.stdout
        for told in ("run 1: it has ended as COMPLETED", "tracking sync`", str(folder)):
            assert told in said.stderr
        assert "tracking sync`" in typed(*command, "--json").stderr
    typed("sync")
    for command in (["list"], ["show", "1"]):
        said = typed(*command)
        assert "COMPLETED" in said.stdout
        assert said.stderr == ""


def test_killed_run_says_that_some_of_it_waits(place, launch):
    run = launch("stream", prefix=IN_A_NEW_INTERPRETER)
    run.wait_for_more()
    run.kill()
    shown = run_warm(["-m", "nn_clustering.tracking", "show", "1"], environment(place.folder))
    assert "DIED" in shown.stdout.splitlines()[0]
    assert "run 1: its process is gone, and not all of it is in MongoDB" in shown.stderr
    place.sync()


START = "from nn_clustering.tracking import resolve_server; resolve_server()"


@pytest.fixture
def server_disk(place):
    """The start of a command that sees the server's data on a disk of half a gigabyte."""
    data = place.folder / ".mongo" / "data"
    data.mkdir(parents=True)
    mount = 'mount -t tmpfs -o size=500m none "$1" && echo mounted && exec sleep 600'
    try:
        keeper = subprocess.Popen(
            ["unshare", "-rm", "sh", "-c", mount, "sh", str(data)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        pytest.skip("this system has no unshare")
    with keeper:
        try:
            if keeper.stdout.readline() != "mounted\n" or shutil.which("nsenter") is None:
                pytest.skip("this system lets us mount no small disk")
            enter = f"nsenter --target={keeper.pid} --user --mount --preserve-credentials"
            yield enter.split()
            stop_embedded(place.folder)
        finally:
            keeper.kill()


def test_disk_of_the_server_is_full(place, launch, server_disk):
    def start():
        command = [*server_disk, sys.executable, "-c", START]
        subprocess.run(command, env=environment(place.folder), check=True, cwd=PROJECT)

    def on_disk(command):
        disk = str(place.folder / ".mongo" / "data")
        subprocess.run([*server_disk, "sh", "-c", f'cd "$1" && {command}', "sh", disk], check=True)

    start()
    on_disk('head -c $(($(stat -f -c "%a * %S" .) - 20000000)) /dev/zero > filler')
    run = launch("upload")
    run.wait_for(lambda: "cannot be stored now" in run.errors, "the server refuses")
    on_disk("rm filler")
    while run.process.poll() is None:  # it may refuse for a while before it dies of it
        start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.process.wait(0.5)
    assert run.end() == 0, run.end_of_errors
    start()
    with place.database() as database:
        assert_all_there(database, run, "COMPLETED")


def test_twenty_runs_that_start_at_the_same_moment(database, launch, home, tmp_path):
    gate = tmp_path / "gate"
    gate.mkdir()
    options = {"home": home, "SAMPLE_GATE": str(gate), "MONGO_DB": database.name}
    runs = [launch("burst", name=f"run {number}", **options) for number in range(20)]
    wait_until(lambda: len(list(gate.glob("*.ready"))) == 20, "all are at the gate")
    (gate / "open").touch()
    for run in runs:
        run.tell("go")
    assert [run.end() for run in runs] == [0] * 20, [run.end_of_errors for run in runs]
    found = {run["config"]["folder"]: run["_id"] for run in database["runs"].find()}
    assert sorted(found.values()) == list(range(1, 21))
    for run in runs:
        assert_all_there(database, run, "COMPLETED", found[str(run.folder)])
    sources = [
        (file["filename"], file["md5"])
        for file in database["fs.files"].find({"md5": {"$exists": True}})
    ]
    assert sources
    assert len(sources) == len(set(sources))
    named = [run["experiment"]["sources"] for run in database["runs"].find()]
    assert all(sources == named[0] for sources in named)


SYNC = """
from nn_clustering.tracking import connect, project_root, resolve_server
from nn_clustering.tracking.writing.sync import sync_journals

client = connect(resolve_server()).client
print("ready", flush=True)
sync_journals(client, project_root() / ".mongo" / "journal")
"""


def test_sync_killed_half_way_again_and_again(place, launch):
    runs = [launch("burst", name=f"run {n}", updates=["points=60000"]) for n in range(2)]
    for run in runs:
        run.wait_for_more(1)
    place.kill_server()
    for run in runs:
        run.wait_for_word("held")
        run.kill()
    place.start()
    chance = random.Random(0)
    n_killed = 0
    for _ in range(8):
        syncing = subprocess.Popen(
            [sys.executable, "-c", SYNC],
            env=environment(place.folder),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert syncing.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.02, 0.3))
        syncing.kill()
        syncing.communicate()
        n_killed += syncing.returncode == -signal.SIGKILL
    assert n_killed > 2  # on any machine, the first ones
    place.sync()
    assert journal_folders(place.journals) == []
    with place.database() as database:
        found = {run["config"]["folder"]: run["_id"] for run in database["runs"].find()}
        for run in runs:
            assert_all_there(database, run, "DIED", found[str(run.folder)])


def test_sync_goes_on_when_a_run_ends_meanwhile(database, tmp_path):
    for name in ("first", "second", "third"):
        journal = Journal.create(tmp_path, name)
        journal.write_header(
            {"token": name, "database": database.name, "address": "host:1", "run_id": 1}
        )
        journal.close()
    said = []

    def say(line):
        shutil.rmtree(tmp_path / "second", ignore_errors=True)
        said.append(line)

    report = sync_journals(database.client, tmp_path, say)
    assert len(report.left) == len(said) == 2


def test_what_cannot_be_stored_is_named_at_once(database, launch, home):
    run = launch("refuse", home=home, MONGO_DB=database.name)
    run.wait_for_word("held")
    named = ("metric 'loss', step 1", "metric 'unit'", "refused.txt", "no such file", "'refused'")
    for what in named:  # the run waits for our word to end
        run.wait_for(lambda what=what: what in run.errors, f"{what} is named")
    run.tell("go")
    assert run.end() == 1
    document = database["runs"].find_one()
    for what in named:
        assert what in run.last_line
        assert what in "".join(document["fail_trace"])
    assert document["info"]["kept"] == [1, 2]
    assert_all_there(database, run, "FAILED")


@pytest.mark.parametrize("what", sorted(set(ODD) - {"many_objects"}))
def test_odd_things_never_make_a_run_lie(database, launch, home, what):
    """Stored or refused, but all else is there, and the status is true."""
    run = launch("odd", home=home, updates=[f"tag={what}"], MONGO_DB=database.name)
    status = "FAILED" if run.end() else "COMPLETED"
    document = database["runs"].find_one()
    odd = database["metrics"].find_one({"name": {"$ne": "loss"}})
    kind, _, word = what.partition("_")
    if status == "FAILED":
        assert {"info": f"info['{word}']", "name": "metric", "long": "'text'"}[
            kind
        ] in run.last_line
        assert document["fail_trace"]
    else:
        assert kind != "info"
        assert len(odd["values"]) == (100 if kind == "long" else 1)
    database["metrics"].delete_many({"name": {"$ne": "loss"}})
    assert_all_there(database, run, status)


def test_artifacts_of_one_name_at_the_same_time(database, launch, home):
    run = launch("versions", home=home, MONGO_DB=database.name)
    assert run.end() == 0, run.end_of_errors
    assert_all_there(database, run, "COMPLETED")


def test_output_that_is_read_late(database, launch, home):
    run = launch("slow_output", home=home, MONGO_DB=database.name)
    assert run.end() == 0, run.end_of_errors
    assert_all_there(database, run, "COMPLETED")


def test_equal_artifacts_of_two_runs_are_one_file(database, launch, home):
    for tag in ("one", "two"):
        run = launch("share", home=home, updates=[f"tag={tag}"], MONGO_DB=database.name)
        assert run.end() == 0, run.end_of_errors
    first, second = (
        {entry["name"]: entry for entry in run["artifacts"]}
        for run in database["runs"].find().sort("_id", 1)
    )
    assert set(first) == {"equal.bin", "page.html.txt", "tagged.bin"}
    for name in ("equal.bin", "page.html.txt"):
        assert first[name]["file_id"] == second[name]["file_id"]
    assert first["tagged.bin"]["file_id"] != second["tagged.bin"]["file_id"]
    assert database["fs.files"].count_documents({"metadata.size": 5}) == 3
    assert first["page.html.txt"]["original_name"] == "page.html"
    page = database["fs.files"].find_one({"_id": first["page.html.txt"]["file_id"]})
    assert page["contentType"] == "text/plain"
    assert gridfs.GridFS(database).get(page["_id"]).read() == b"<script>1</script>"


def test_metric_of_many_points_is_read_back_in_order(database, store, launch, home):
    run = launch("parts", home=home, updates=["points=250000"], MONGO_DB=database.name)
    assert run.end() == 0, run.end_of_errors
    table = store.run(1).metric("loss")
    assert list(table["step"]) == list(range(250_000))
    assert list(table["value"]) == [step * 0.5 for step in range(250_000)]
    assert database["metrics"].count_documents({}) == 3
    assert len(stored_points(database, 1)["loss"]) == 250_000


def test_run_that_is_deleted_while_it_runs(database, launch, home):
    run = launch("stream", home=home, MONGO_DB=database.name)
    run.wait_for_more()
    database["metrics"].delete_many({})
    database["runs"].delete_one({})
    run.wait_for(lambda: "no longer in database" in run.errors, "it says so")
    known = len(run.logged("point"))
    run.wait_for_more()
    run.tell("stop")
    assert run.end() == 1
    (folder,) = (
        path for path in journal_folders(home / ".mongo/journal") if path.name in run.last_line
    )
    assert read_header(folder)["database"] == database.name
    assert "deleted" in run.last_line
    assert "sync" not in run.last_line  # which could not deliver it
    journal = Journal.open(folder)
    records = [record for segment in journal.segments() for record in journal.records(segment)]
    journal.close()
    kept = {(record["name"], record["step"]) for record in records if record["kind"] == "point"}
    assert kept >= {(entry["name"], entry["step"]) for entry in run.logged("point")[known:]}
    for collection in ("runs", "metrics"):  # and nothing that belongs to no run
        assert database[collection].count_documents({}) == 0


def test_run_that_was_taken_for_dead_says_that_it_lives(database, launch, home):
    run = launch("stream", home=home, MONGO_DB=database.name)
    run.wait_for_more()
    database["runs"].update_one({}, {"$set": {"status": "DIED"}})
    run.wait_for(lambda: database["runs"].find_one()["status"] == "RUNNING", "it says that it runs")
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    assert_all_there(database, run, "COMPLETED")


def test_deleted_run_does_not_wait_for_room_in_its_journal(database, launch, home):
    run = launch("stream", home=home, MONGO_DB=database.name, NN_CLUSTERING_JOURNAL_MB="0.05")
    run.wait_for_more()
    database["runs"].delete_one({})
    run.wait_for(lambda: "bound" in run.errors or "could not be taken" in run.errors, "it is full")
    run.tell("stop")
    assert run.end() == 1
    assert "deleted" in run.last_line


def test_metrics_of_others_are_none_of_the_runs(database, launch, home):
    database["metrics"].insert_many(
        [{"run_id": 1, "steps": []}, {"run_id": 1, "name": "loss", "steps": [0, 1, 2]}]
    )
    run = launch("stream", home=home, MONGO_DB=database.name)
    run.wait_for_more()
    run.tell("stop")
    assert run.end() == 0, run.end_of_errors
    database["metrics"].delete_many({"values": {"$exists": False}})
    assert_all_there(database, run, "COMPLETED")


def test_refusals_are_counted_once_there_are_many(database, launch, home):
    run = launch("odd", home=home, updates=["tag=many_objects"], MONGO_DB=database.name)
    assert run.end() == 1
    document = database["runs"].find_one()
    assert document["fail_trace"][-1].strip() == "could not be stored: 2950 more"
    assert len(document["fail_trace"]) < 100
    assert len(run.last_line) < 10_000
    assert_all_there(database, run, "FAILED")


def test_forked_process_may_not_log(database, launch, home):
    run = launch("fork", home=home, MONGO_DB=database.name)
    assert run.end() == 0, run.end_of_errors
    assert "was forked from run 1" in (run.folder / "refused").read_text()
    assert_all_there(database, run, "COMPLETED")


def test_death_is_seen_while_a_forked_process_lives(place, launch):
    run = launch("fork", updates=["tag=orphan"])
    run.wait_for_word("held")
    run.process.kill()
    run.process.wait(PATIENCE)
    assert place.sync() == ["run 1 is all in MongoDB: DIED"]
    with place.database() as database:
        assert stored_points(database, 1) == logged_points(run)


def test_as_many_metrics_as_there_are_units(database, launch, home):
    run = launch("names", home=home, MONGO_DB=database.name)
    assert run.end() == 0, run.end_of_errors
    assert_all_there(database, run, "COMPLETED")
