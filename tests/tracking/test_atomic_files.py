"""A file is replaced as a whole, or not at all."""

import os

import pytest

from nn_clustering.tracking.atomic_files import write_at_once


def test_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "state.json"
    for content in (b"first", b"second"):
        write_at_once(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("is_synced", [False, True])
def test_file_can_be_the_owners_alone(tmp_path, is_synced):
    path = tmp_path / "secret"
    path.write_text("for everybody")
    path.chmod(0o666)
    write_at_once(path, b"for me", mode=0o600, is_synced=is_synced)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == b"for me"


def test_what_was_there_stays_where_nothing_can_be_written(tmp_path):
    path = tmp_path / "folder"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(OSError, match=r"directory"):
        write_at_once(path, b"content")  # a file replaces no folder
    assert os.listdir(tmp_path) == ["folder"]
    assert os.listdir(path) == ["inside"]
