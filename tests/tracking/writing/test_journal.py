"""The journal keeps what was written, up to the byte where the machine stopped."""

import contextlib
import hashlib
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import time
from functools import partial

import bson.errors
import pytest
from hypothesis import given, strategies as st

from nn_clustering.errors import InvalidInputError, TrackingError
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_bound import JournalFullError, journal_bound
from nn_clustering.tracking.writing.journal_reading import is_finished, journal_folders, read_header


@pytest.fixture
def root(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def journal(root):
    journal = Journal.create(root, "token")
    yield journal
    journal.close()


def events_of(journal):
    return [event for segment in journal.segments() for event in journal.records(segment)]


def test_events_are_read_in_their_order(journal):
    for number in range(10):
        journal.append({"number": number})
        if number % 4 == 0:
            journal.segments()  # begins a new one
    assert events_of(journal) == [{"number": number} for number in range(10)]


def test_dropped_segments_are_gone_and_numbers_go_on(journal):
    journal.append({"number": 0})
    (first,) = journal.segments()
    journal.append({"number": 1})
    journal.drop(first)
    assert events_of(journal) == [{"number": 1}]
    assert journal.segments()[0].name != first.name


def test_another_process_finds_it_after_the_end(journal, root):
    journal.write_header({"token": "token", "run_id": 3})
    journal.append({"number": 0})
    journal.write_document({"fields": {"status": "RUNNING"}, "finished": False})
    assert Journal.open(journal.folder) is None  # ours as long as we live
    journal.close()
    (folder,) = journal_folders(root)
    found = Journal.open(folder)
    assert found.header["run_id"] == 3
    assert found.document["fields"] == {"status": "RUNNING"}
    # What was torn when the other one died is not written on.
    with (folder / "1.events").open("ab") as segment:
        segment.write(b"half a frame")
    found.append({"number": 1})
    assert events_of(found) == [{"number": 0}, {"number": 1}]
    found.discard()
    assert journal_folders(root) == []
    assert Journal.open(folder) is None


@given(cut=st.integers(0, 400), garbage=st.binary(max_size=60))
def test_torn_end_costs_only_what_is_torn(tmp_path_factory, cut, garbage):
    root = tmp_path_factory.mktemp("journal")
    journal = Journal.create(root, "token")
    lengths = [0]
    for number in range(5):
        journal.append({"number": number, "text": "x" * 40})
        lengths.append((journal.folder / "1.events").stat().st_size)
    (segment,) = journal.segments()
    segment.write_bytes(segment.read_bytes()[:cut] + garbage)
    whole = max(index for index, length in enumerate(lengths) if length <= cut)
    read = [event["number"] for event in journal.records(segment)]
    assert read[:whole] == list(range(whole))
    assert len(read) == whole or garbage
    journal.discard()
    shutil.rmtree(root)


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_damaged_event_is_not_taken(tmp_path_factory, position, bit):
    root = tmp_path_factory.mktemp("journal")
    journal = Journal.create(root, "token")
    for number in range(5):
        journal.append({"number": number})
    (segment,) = journal.segments()
    content = bytearray(segment.read_bytes())
    content[position % len(content)] ^= 1 << bit
    segment.write_bytes(content)
    read = [event["number"] for event in journal.records(segment)]
    assert read == list(range(len(read)))
    assert len(read) < 5
    journal.discard()
    shutil.rmtree(root)


def test_copy_is_of_the_content_then(journal, tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(b"before")
    copy, sha256 = journal.copy_in(path)
    path.write_bytes(b"after!")
    assert journal.file(copy).read_bytes() == b"before"
    assert sha256 == hashlib.sha256(b"before").hexdigest()
    with pytest.raises(FileNotFoundError):
        journal.copy_in(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        journal.copy_in(tmp_path)


def test_copies_go_with_their_segment(journal, tmp_path):
    (tmp_path / "a").write_bytes(b"content")
    copy, _ = journal.copy_in(tmp_path / "a")
    journal.append({"kind": "artifact", "file": copy})
    (segment,) = journal.segments()
    journal.drop(segment)
    assert not journal.file(copy).exists()


def test_bound_is_that_of_all_journals_together(root, tmp_path, monkeypatch):
    monkeypatch.setattr("nn_clustering.tracking.writing.journal_bound.MEASURE_SECONDS", 0.0)
    (tmp_path / "half").write_bytes(b"x" * 600_000)
    first = Journal.create(root, "first", bound=10**6)
    second = Journal.create(root, "second", bound=10**6)
    copy, _ = first.copy_in(tmp_path / "half")
    with pytest.raises(JournalFullError, match="bound of 1 MB"):
        second.copy_in(tmp_path / "half")
    assert second.used > 0.5
    second.append({"number": 0})  # there is room for something small
    first.file(copy).unlink()
    second.copy_in(tmp_path / "half")
    for journal in (first, second):
        journal.close()


def test_bound_is_reached_by_events_too(root):
    journal = Journal.create(root, "token", bound=20_000)
    number = 0
    with contextlib.suppress(JournalFullError):
        for number in range(1000):
            journal.append({"number": number, "text": "x" * 100})
    assert 100 < number < 200
    assert len(events_of(journal)) == number
    journal.close()


@pytest.mark.parametrize("text", ["0", "-1", "many", "nan", "inf"])
def test_bound_that_is_none_is_refused(text):
    with pytest.raises(InvalidInputError, match="NN_CLUSTERING_JOURNAL_MB"):
        journal_bound({"NN_CLUSTERING_JOURNAL_MB": text})


def test_bound_from_the_environment():
    assert journal_bound({"NN_CLUSTERING_JOURNAL_MB": "1.5"}) == 1_572_864
    assert journal_bound({}) == 10 * 2**30


def test_value_that_bson_cannot_hold_leaves_no_trace(journal):
    journal.append({"number": 0})
    for value in (2**70, object()):
        with pytest.raises((OverflowError, bson.errors.BSONError)):
            journal.append({"value": value})
    journal.append({"number": 1})
    assert events_of(journal) == [{"number": 0}, {"number": 1}]


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match="expected a folder with room") as refused:
        Journal.create(tmp_path / "file" / "journal", "token")
    assert "\n" not in str(refused.value)


def test_finished_run_is_told_from_a_dead_one(journal):
    assert not is_finished(journal.folder)
    journal.write_document({"finished": False})
    assert not is_finished(journal.folder)
    journal.write_document({"finished": True})
    assert is_finished(journal.folder)
    (journal.folder / "document.bson").write_bytes(b"torn")
    assert not is_finished(journal.folder)


def test_torn_header_is_empty(journal):
    (journal.folder / "header.json").write_text('{"run_id":')
    assert read_header(journal.folder) == {}


def test_folder_is_the_owners_alone(journal):
    assert journal.folder.stat().st_mode & 0o077 == 0


def _write_until_killed(root, log):
    journal = Journal.create(root, "token")
    with open(log, "w") as handle:
        for number in range(10**9):
            journal.append({"number": number, "text": "x" * (number % 50)})
            handle.write(f"{number}\n")
            handle.flush()


def test_killed_writer_keeps_all_that_it_was_told_is_written(root, tmp_path):
    process = multiprocessing.get_context("spawn").Process(
        target=_write_until_killed, args=(root, tmp_path / "log")
    )
    process.start()
    log = tmp_path / "log"
    while not log.exists() or log.stat().st_size < 20_000:  # more than a thousand events
        assert process.is_alive()
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    told = len(log.read_text().splitlines())
    journal = Journal.open(root / "token")
    numbers = [event["number"] for event in events_of(journal)]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= told > 1000
    journal.discard()


def test_interrupt_in_the_middle_tells_what_was_written(journal):
    """Ctrl-C at any moment: an event counts as written exactly if it is."""
    written = set()

    def interrupt(number, frame):
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        for n_interrupts in itertools.count():
            if n_interrupts >= 300 and len(written) > 1000:
                break
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005)
                while True:
                    number = len(written)
                    journal.append({"number": number}, partial(written.add, number))
            except KeyboardInterrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, previous)
    numbers = [event["number"] for event in events_of(journal)]
    assert sorted(written) == numbers == list(range(len(numbers)))


def test_header_is_plain_json(journal):
    journal.write_header({"address": "127.0.0.1:1", "run_id": 1})
    assert json.loads((journal.folder / "header.json").read_text())["run_id"] == 1
