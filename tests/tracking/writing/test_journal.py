"""The journal keeps what was written, up to the byte where the machine stopped."""

import contextlib
import gc
import hashlib
import itertools
import json
import multiprocessing
import os
import signal
import time
import zlib
from functools import partial

import bson
import bson.errors
import pytest
from hypothesis import given, strategies as st

from nn_clustering.errors import InvalidInputError, TrackingError
from nn_clustering.tracking.writing.frames import HEADER_BYTES, damages_of, read_frames, seed_of
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_bound import JournalFullError, journal_bound
from nn_clustering.tracking.writing.journal_reading import (
    is_finished,
    journal_folders,
    read_document,
    read_header,
)


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
    journal.drop(first, [])
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


SEED = seed_of("token")


def segment_of(root, n_events, padding=""):
    """The bytes of a segment with so many events, and how long it was after each of them."""
    journal = Journal.create(root, "token")
    lengths = [0]
    for number in range(n_events):
        journal.append({"number": number, "text": padding})
        lengths.append((journal.folder / "1.events").stat().st_size)
    content = (journal.folder / "1.events").read_bytes()
    journal.discard()
    return content, lengths


def numbers_in(content):
    return [event.record["number"] for event in read_frames(content, SEED).events]


@given(cut=st.integers(0, 600), garbage=st.binary(max_size=HEADER_BYTES - 1))
def test_torn_end_costs_only_what_is_torn(tmp_path_factory, cut, garbage):
    content, lengths = segment_of(tmp_path_factory.mktemp("journal"), 5, "x" * 40)
    frames = read_frames(content[:cut], SEED)
    whole = max(index for index, length in enumerate(lengths) if length <= cut)
    assert numbers_in(content[:cut]) == list(range(whole))
    assert list(damages_of("1.events", frames, 0, None)) == []
    # Unless it is known that there was more.
    (damage,) = damages_of("1.events", frames, 0, 6)
    assert damage.n_missing == 6 - whole
    assert numbers_in(content[:cut] + garbage) == list(range(whole))


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_damaged_event_is_named_and_costs_no_other(tmp_path_factory, position, bit):
    content, lengths = segment_of(tmp_path_factory.mktemp("journal"), 5)
    position %= len(content)
    damaged = bytearray(content)
    damaged[position] ^= 1 << bit
    hit = max(index for index, length in enumerate(lengths) if length <= position)
    frames = read_frames(bytes(damaged), SEED)
    assert numbers_in(bytes(damaged)) == [number for number in range(5) if number != hit]
    (damage,) = damages_of("1.events", frames, 0, 5)
    assert (damage.position, damage.n_missing) == (lengths[hit], 1)
    (damage,) = damages_of("1.events", frames, 0, None)
    assert damage.position == lengths[hit]


@given(begin=st.integers(0, 10**6), length=st.integers(1, 200), content=st.binary(max_size=200))
def test_whatever_is_written_over_it_no_event_is_wrong(tmp_path_factory, begin, length, content):
    whole, _ = segment_of(tmp_path_factory.mktemp("journal"), 8)
    begin %= len(whole)
    found = numbers_in(whole[:begin] + content + whole[begin + length :])
    assert found == sorted(set(found) & set(range(8)))


def former_segment(n_events):
    """A segment as version 0.2.0 wrote it, and where each event begins."""
    content, starts = b"", []
    for number in range(n_events):
        starts.append(len(content))
        document = bson.encode({"number": number})
        content += zlib.crc32(document).to_bytes(4, "little") + document
    return content, starts


@given(position=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_damaged_event_of_the_former_version(position, bit):
    content, starts = former_segment(5)
    assert numbers_in(content) == list(range(5))
    damaged = bytearray(content)
    position %= starts[-1]
    damaged[position] ^= 1 << bit
    hit = max(index for index, start in enumerate(starts) if start <= position)
    frames = read_frames(bytes(damaged), SEED)
    assert numbers_in(bytes(damaged)) == [number for number in range(5) if number != hit]
    (damage,) = damages_of("1.events", frames, None, None)
    assert (damage.position, damage.n_missing) == (starts[hit], None)
    assert "some events are missing" in str(damage)


def test_zeros_that_a_loss_of_power_left_are_no_damage(tmp_path):
    content, _ = segment_of(tmp_path, 3)
    frames = read_frames(content + bytes(5000), SEED)
    assert list(damages_of("1.events", frames, 0, None)) == []
    assert len(frames.events) == 3


def test_lost_segments_are_counted(root):
    journal = Journal.create(root, "token")
    for number in range(30):
        journal.append({"number": number})
        if number % 10 == 9:
            journal.segments()
    journal.write_document({})
    journal.close()
    (journal.folder / "2.events").unlink()
    (journal.folder / "3.events").write_bytes(b"")
    left = Journal.open(journal.folder)
    assert [event["number"] for event in events_of(left)] == list(range(10))
    assert list(left.damages) == [
        "header.json is missing",
        "1.events is damaged at byte 410: 10 events are missing",  # which were in 2.events
        "3.events is damaged at byte 0: 10 events are missing",
    ]
    left.close()


@pytest.mark.parametrize("is_removed", [True, False])
def test_events_in_memory_outlive_the_disk(journal, is_removed):
    for number in range(10):
        journal.append({"number": number})
        if number % 4 == 0:
            journal.segments()
    for path in journal.segments():
        path.unlink() if is_removed else path.write_bytes(b"other")
    assert [event["number"] for event in events_of(journal)] == list(range(10))
    assert not journal.damages


def test_events_that_only_the_disk_had_are_named(journal, monkeypatch):
    monkeypatch.setattr("nn_clustering.tracking.writing.segments.KEPT_EVENTS", 5)
    for number in range(10):
        journal.append({"number": number})
    first = journal.segments()[0]
    journal.append({"number": 10})
    assert [event["number"] for event in events_of(journal)] == list(range(11))
    first.unlink()
    assert [event["number"] for event in events_of(journal)] == [10]
    (damage,) = journal.damages
    assert damage == (
        "1.events cannot be read (No such file or directory): 10 events of it are missing"
    )


def test_header_and_document_are_what_was_written_or_nothing(root):
    journal = Journal.create(root, "token")
    header = {"token": "token", "database": "runs", "run_id": 3}
    journal.write_header(header)
    journal.write_document({"fields": {"result": 1.0}, "finished": True})
    journal.close()
    for name, read in (("header.json", read_header), ("document.bson", read_document)):
        path = journal.folder / name
        content, whole = path.read_bytes(), read(journal.folder)
        for position in range(len(content)):
            for bit in (0, 3, 7):
                damaged = bytearray(content)
                damaged[position] ^= 1 << bit
                path.write_bytes(damaged)
                assert read(journal.folder) in ({}, whole)
            path.write_bytes(content[:position])
            assert read(journal.folder) == {}
        path.write_bytes(content)
        assert read(journal.folder) == whole


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
    journal.drop(segment, journal.records(segment))
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
    gc.disable()  # hypothesis has a callback there, and Python drops what is raised in one
    try:
        for n_interrupts in itertools.count():
            if n_interrupts >= 300 and len(written) > 1000:
                break
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 * (1 + n_interrupts % 8))
                while True:
                    number = len(written)
                    journal.append({"number": number}, partial(written.add, number))
            except KeyboardInterrupt:
                pass
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        gc.enable()
        signal.signal(signal.SIGALRM, previous)
    numbers = [event["number"] for event in events_of(journal)]
    assert sorted(written) == numbers == list(range(len(numbers)))


def test_header_is_plain_json(journal):
    journal.write_header({"address": "127.0.0.1:1", "run_id": 1})
    written = json.loads((journal.folder / "header.json").read_text())
    assert written["header"]["run_id"] == 1
