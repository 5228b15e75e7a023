"""What is brought to the disk in which order, so that a loss of power leaves whole files."""

import os
from pathlib import Path

import pytest

from nn_clustering.tracking.atomic_files import write_at_once
from nn_clustering.tracking.writing.journal import Journal
from nn_clustering.tracking.writing.journal_reading import read_document


@pytest.fixture
def recorded(monkeypatch):
    """The real calls as they come: (sync, path, bytes that the file holds) and (rename, path)."""
    calls = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def sync(descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        size = None if path.is_dir() else os.fstat(descriptor).st_size
        fsync(descriptor)
        calls.append(("sync", path, size))

    def put_in_place(step):
        def call(source, target, **folders):
            step(source, target, **folders)
            calls.append(("rename", Path(source), Path(target)))

        return call

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", put_in_place(replace))
    monkeypatch.setattr(os, "rename", put_in_place(rename))
    return calls


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="tells the path of a descriptor")
class TestOrder:
    def assert_written(self, calls, path, size):
        """The draft whole, then under its name, then the folder's list of names."""
        (sync, draft, written), (rename, source, target), (sync_folder, folder, _) = calls
        assert (sync, rename, sync_folder) == ("sync", "rename", "sync")
        assert draft == source
        assert draft.name.startswith(".draft-")
        assert written == size
        assert target == path
        assert folder == path.parent

    def test_file_is_whole_before_it_has_its_name(self, tmp_path, recorded):
        path = tmp_path / "state.json"
        write_at_once(path, b"content", is_synced=True)
        self.assert_written(recorded, path, 7)

    def test_file_that_may_be_lost_is_not_waited_for(self, tmp_path, recorded):
        write_at_once(tmp_path / "copy", b"content")
        assert [call[0] for call in recorded] == ["rename"]

    def test_header_and_document_of_a_journal(self, tmp_path, recorded):
        journal = Journal.create(tmp_path / "journal", "token")
        recorded.clear()
        journal.write_header({"run_id": 3})
        path = journal.folder / "header.json"
        self.assert_written(recorded, path, path.stat().st_size)
        recorded.clear()
        journal.write_document({"fields": {"status": "RUNNING"}})
        path = journal.folder / "document.bson"
        self.assert_written(recorded, path, path.stat().st_size)
        journal.close()

    def test_events_before_the_document_that_counts_them(self, tmp_path, recorded):
        journal = Journal.create(tmp_path / "journal", "token")
        journal.append({"point": 1})
        recorded.clear()
        journal.write_document({"fields": {"status": "RUNNING"}})
        (segment,) = journal.segments()
        assert [call[:2] for call in recorded[:3]] == [
            ("sync", segment),
            ("sync", journal.folder / "files"),
            ("sync", journal.folder),
        ]
        self.assert_written(recorded[3:], journal.folder / "document.bson", recorded[3][2])
        assert read_document(journal.folder)["events"] == 1
        journal.close()

    def test_copies_before_the_events_that_name_them_and_folders_last(self, tmp_path, recorded):
        journal = Journal.create(tmp_path / "journal", "token")
        artifact = tmp_path / "network.keras"
        artifact.write_bytes(b"weights")
        # an event that needs no copy is written first, and is no reason to sync it first
        journal.append({"point": 1})
        names = []
        for _ in range(3):
            name, _ = journal.copy_in(artifact)
            journal.append({"file": name})
            names.append(name)
        assert [call[0] for call in recorded] == ["rename"] * 3
        recorded.clear()
        journal.sync()
        assert {call[0] for call in recorded} == {"sync"}
        synced = [path for _, path, _ in recorded]
        assert set(synced[:3]) == {journal.file(name) for name in names}
        assert {size for _, _, size in recorded[:3]} == {len(b"weights")}
        assert set(synced[3:-2]) == set(journal.segments())
        assert synced[-2:] == [journal.folder / "files", journal.folder]
        recorded.clear()
        journal.sync()
        assert recorded == []  # nothing was written since
        journal.append({"point": 2})
        journal.sync()
        assert [path.suffix for _, path, _ in recorded] == [".events", "", ""]
        journal.close()
