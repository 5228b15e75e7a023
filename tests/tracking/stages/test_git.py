"""The state of a real git checkout."""

import subprocess

import pytest

from nn_clustering.tracking.stages.git import checkout_state


def git(folder, *arguments):
    author = ["-c", "user.name=me", "-c", "user.email=me@example.org"]
    command = ["git", "-C", str(folder), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    # No checkout around the temporary folder counts.
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.py").write_text("A = 1")
    git(folder, "add", "a.py")
    git(folder, "commit", "-q", "-m", "begin")
    return folder


def test_commit_and_changes_are_noted(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    clean = [{"url": f"git:/{checkout}", "commit": commit, "dirty": False}]
    assert checkout_state(checkout) == clean
    (checkout / "new.py").write_text("")  # not git's matter yet
    assert checkout_state(checkout) == clean
    (checkout / "a.py").write_text("A = 2")
    assert checkout_state(checkout)[0]["dirty"]


def test_address_is_that_of_origin(checkout):
    git(checkout, "remote", "add", "origin", "https://example.org/a.git")
    assert checkout_state(checkout)[0]["url"] == "https://example.org/a.git"


def test_folder_outside_any_checkout_has_no_state(checkout):
    assert checkout_state(checkout.parent) == []


def test_without_git_there_is_none(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert checkout_state(checkout) == []
