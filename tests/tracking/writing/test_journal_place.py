"""Journals in a folder that several machines share, and folders that cannot hold them."""

import datetime
import errno
import fcntl
import os
import time
from pathlib import Path
from subprocess import DEVNULL

import pytest

from nn_clustering.tracking import InvalidInputError, RunNotFoundError, RunStore, sync_journals
from nn_clustering.tracking.store.liveness import mark_died
from nn_clustering.tracking.writing.disk import try_lock
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_place import journals_folder, require_locks
from nn_clustering.tracking.writing.journal_reading import journal_folders, read_header
from nn_clustering.tracking.writing.run_end import tell_of_earlier_runs
from tests.programs import WarmProcess, environment, run_warm
from tests.tracking.conftest import PROGRAM

PLACE = "NN_CLUSTERING_JOURNAL"
LONG_AGO = datetime.timedelta(minutes=10)
RECENTLY = datetime.timedelta(seconds=30)


@pytest.fixture
def shared(tmp_path):
    folder = tmp_path / "shared by the machines"
    folder.mkdir()
    return folder


@pytest.fixture
def store(database, home, shared):
    return RunStore(database, home, {PLACE: str(shared)})


@pytest.fixture
def leave_journal(database, add_run, shared):
    """Leaves what a machine's killed run had logged; nobody holds its lock, as seen from here."""

    def leave(seen, written, *, host="lab2", status="RUNNING", **document):
        now = datetime.datetime.utcnow()
        tracking = {"last_seen": now - seen, "token": "token1"}
        add_run(1, status=status, host={"hostname": host}, tracking=tracking, metrics=[], info={})
        journal = Journal.create(shared, "token1")
        facts = {"token": "token1", "database": database.name, "address": "lab:1", "pid": 1}
        journal.write_header({**facts, "host": host, "run_id": 1})
        journal.write_document({"fields": {"status": status, "result": 5}, **document})
        journal.close()
        moment = (datetime.datetime.now() - written).timestamp()
        for path in (*journal.folder.iterdir(), journal.folder):
            os.utime(path, (moment, moment))
        return journal.folder

    return leave


def sync(database, shared):
    return sync_journals(database.client, shared, lambda line: None)


def test_by_default_beside_the_runs(tmp_path):
    assert journals_folder({}, tmp_path) == tmp_path.resolve() / ".mongo" / "journal"
    assert journals_folder({PLACE: " "}, tmp_path) == tmp_path.resolve() / ".mongo" / "journal"


def test_where_the_variable_says(shared, tmp_path):
    assert journals_folder({PLACE: str(shared)}, tmp_path) == shared


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_folder_of_another_user_is_refused(shared):
    os.chown(shared, 65534, 65534)
    with pytest.raises(Exception, match=f"belongs to .*: set {PLACE} to a folder of your own"):
        journals_folder({PLACE: str(shared)})


def test_folder_that_holds_journals_is_left_as_it_was(shared):
    require_locks(shared)
    assert list(shared.iterdir()) == []


def without_locks(path, *, create=False):
    """What flock does on Lustre without the option, and on an NFS without lockd."""
    os.close(os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600))
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def with_locks_that_nobody_sees(path, *, create=False):
    return os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)


@pytest.mark.parametrize(
    ("lock", "reason"),
    [
        (without_locks, "no file locks: No locks available"),
        (with_locks_that_nobody_sees, "a lock is not seen by others"),
    ],
)
def test_file_system_without_locks_is_refused(shared, lock, reason):
    with pytest.raises(InvalidInputError) as refused:
        require_locks(shared, lock)
    assert str(refused.value).startswith(f"{PLACE}='{shared}' cannot hold journals ({reason});")
    assert list(shared.iterdir()) == []


@pytest.mark.parametrize("folder", ["/proc/self", "/sys"])
def test_folder_that_cannot_be_written_is_refused(folder):
    with pytest.raises(InvalidInputError, match=r"cannot hold journals \("):
        require_locks(Path(folder), try_lock)


@pytest.mark.parametrize(
    ("folder", "reason"), [("nowhere", f"{PLACE}='nowhere' is no folder"), ("/sys", PLACE)]
)
def test_refused_in_one_line_before_there_is_a_run(run, database, folder, reason):
    ended = run("count", **{PLACE: folder})
    assert ended.returncode == 1
    (line,) = ended.stderr.strip().splitlines()
    assert reason in line
    assert database["runs"].find_one() is None


def test_run_keeps_its_journal_there(home, database, shared, tmp_path):
    """What a killed one had logged waits there, and is delivered from there."""
    environ = environment(home, MONGO_DB=database.name, **{PLACE: str(shared)})
    updates = ["action=burst", "points=2", f"folder={tmp_path}"]
    with WarmProcess([PROGRAM, "with", *updates], env=environ, stdout=DEVNULL) as process:
        while process.poll() is None and not (tmp_path / "held").exists():
            time.sleep(0.01)
        process.kill()
    (folder,) = journal_folders(shared)
    assert read_header(folder)["host"] == os.uname().nodename
    assert RunStore(database, home, environ).undelivered()[1].folder == folder
    synced = run_warm(["-m", "nn_clustering.tracking", "sync"], environ)
    assert (synced.returncode, synced.stdout) == (0, "run 1 is all in MongoDB: DIED\n")
    assert journal_folders(shared) == []


@pytest.mark.parametrize(
    ("seen", "written"), [(RECENTLY, LONG_AGO), (LONG_AGO, RECENTLY)], ids=["MongoDB", "journal"]
)
def test_run_of_another_machine_that_gives_signs_lives(
    database, shared, store, leave_journal, seen, written
):
    """Its lock, which its process holds, is unseen from here."""
    folder = leave_journal(seen, written)
    report = sync(database, shared)
    assert (report.running, report.delivered, report.left) == ((1,), (), ())
    assert folder.is_dir()
    assert mark_died(database, shared) == []
    assert store.undelivered() == {}
    with pytest.raises(RunNotFoundError, match="still running on lab2"):
        store.unfinished_run(1)


def test_run_of_another_machine_that_is_silent_is_delivered_to_be_gone_on_with(
    database, shared, store, leave_journal
):
    folder = leave_journal(LONG_AGO, LONG_AGO)
    run = store.unfinished_run(1)
    assert (run.status, run.result) == ("DIED", 5)
    assert not folder.exists()


def test_end_of_another_machines_run_waits_for_its_delivery(
    database, shared, store, leave_journal, caplog
):
    """It said how it ended, and was away before MongoDB was back."""
    leave_journal(LONG_AGO, LONG_AGO, finished=True, status="RUNNING")
    assert mark_died(database, shared) == []
    assert list(store.undelivered()) == [1]
    tell_of_earlier_runs(shared)
    assert "1 earlier run is not all in MongoDB yet" in caplog.text


def test_end_that_is_just_written_is_its_own_process_to_deliver(shared, leave_journal, caplog):
    leave_journal(LONG_AGO, RECENTLY, finished=True)
    tell_of_earlier_runs(shared)
    assert caplog.text == ""


def test_lock_that_is_seen_from_another_machine_counts(database, shared, leave_journal):
    folder = leave_journal(LONG_AGO, LONG_AGO)
    with (folder / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert sync(database, shared).running == (1,)
    assert sync(database, shared).delivered == (1,)


def test_output_file_of_another_machine_is_not_taken_for_one_of_this(
    database, shared, leave_journal, tmp_path
):
    output = tmp_path / "output"
    output.write_text("of another program")
    folder = leave_journal(LONG_AGO, LONG_AGO)
    found = output.stat()
    captured = {"path": str(output), "device": found.st_dev, "inode": found.st_ino}
    journal = Journal.open(folder)
    journal.write_header({**journal.header, "captured": captured})
    journal.close()
    for path in (*folder.iterdir(), folder):
        os.utime(path, (0, 0))
    assert sync(database, shared).delivered == (1,)
    assert output.exists()
    assert "of another" not in str(database["runs"].find_one())
