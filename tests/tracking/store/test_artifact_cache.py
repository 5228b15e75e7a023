"""Artifacts come from the disk where they can, and never other than they were stored."""

import hashlib
import os
import stat
import time

import pytest

from nn_clustering.errors import DamagedArtifactError
from nn_clustering.tracking import RunStore
from nn_clustering.tracking.atomic_files import DRAFT
from nn_clustering.tracking.store.artifact_cache import ArtifactCache
from tests.tracking.stored_files import store_file

CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def root(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def store(database, root):
    return RunStore(database, root)


@pytest.fixture
def cached(root):
    return root / ".mongo" / "cache" / DIGEST


@pytest.fixture
def stored(database, add_run):
    add_run(1, artifacts=[store_file(database, "network.keras", CONTENT)])


def digest_of(content):
    return hashlib.sha256(content).hexdigest()


def test_second_reading_needs_no_chunks(stored, store, database, cached):
    assert store.run(1).artifact("network.keras") == CONTENT
    assert cached.read_bytes() == CONTENT
    assert stat.S_IMODE(cached.parent.stat().st_mode) == 0o700
    database["fs.chunks"].delete_many({})
    assert store.run(1).artifact("network.keras") == CONTENT


def test_damaged_file_of_the_cache_is_replaced(stored, store, cached):
    store.run(1).artifact("network.keras")
    cached.write_bytes(b"Weights")
    assert store.run(1).artifact("network.keras") == CONTENT
    assert cached.read_bytes() == CONTENT


def test_damaged_artifact_does_not_enter_the_cache(database, add_run, store, cached):
    add_run(1, artifacts=[store_file(database, "network.keras", b"Weights", DIGEST)])
    with pytest.raises(DamagedArtifactError, match=r"'network\.keras' of run 1"):
        store.run(1).artifact("network.keras")
    assert not cached.exists()


def test_artifact_without_a_digest_is_not_cached(database, add_run, store, cached):
    add_run(1, artifacts=[store_file(database, "a", CONTENT)])
    database["fs.files"].update_many({}, {"$unset": {"metadata": 1}})
    assert store.run(1).artifact("a") == CONTENT
    assert not cached.exists()


@pytest.mark.parametrize("digest", ["../../escaped", "A" * 64, "", DIGEST + "\n"])
def test_digest_from_the_database_is_no_path(root, digest):
    cache = ArtifactCache(root / "a" / "b")
    cache.write(digest, CONTENT)
    assert cache.read(digest) is None
    assert not root.exists()


def test_cache_that_cannot_be_written_is_no_error(stored, store, root):
    root.mkdir()
    (root / ".mongo").write_text("in the way")
    assert store.run(1).artifact("network.keras") == CONTENT


def test_least_recently_used_go_first(root):
    cache = ArtifactCache(root, limit=25)
    contents = [bytes([65 + number]) * 10 for number in range(3)]
    for age, content in zip((30, 20), contents[:2], strict=True):
        cache.write(digest_of(content), content)
        os.utime(root / digest_of(content), (time.time() - age,) * 2)
    cache.read(digest_of(contents[0]))
    cache.write(digest_of(contents[2]), contents[2])
    kept = [cache.read(digest_of(content)) for content in contents]
    assert kept == [contents[0], None, contents[2]]


def test_what_is_larger_than_the_cache_leaves_it_alone(root):
    cache = ArtifactCache(root, limit=10)
    cache.write(DIGEST, CONTENT)
    cache.write(digest_of(b"x" * 11), b"x" * 11)
    assert [path.name for path in root.iterdir()] == [DIGEST]


def test_drafts_of_a_crash_are_removed_and_those_of_others_kept(root):
    root.mkdir()
    abandoned, written = root / f"{DRAFT}1", root / f"{DRAFT}2"
    for path in (abandoned, written):
        path.write_bytes(b"half")
    os.utime(abandoned, (time.time() - 7200,) * 2)
    ArtifactCache(root).write(DIGEST, CONTENT)
    assert {path.name for path in root.iterdir()} == {DIGEST, written.name}
