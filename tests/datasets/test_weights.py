"""Published files of weights: found, downloaded from a real server, and never taken for others."""

import hashlib

import pytest

from nn_clustering.datasets import given_file, weight_file
from nn_clustering.errors import InvalidInputError
from tests.datasets.test_download import server  # noqa: F401, a fixture

CONTENT = b"weights of a network" * 100
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder that weights are put into: that of the last folder of data files."""
    monkeypatch.setenv("NN_CLUSTERING_DATASETS", str(tmp_path / "first"))
    monkeypatch.setattr(
        "nn_clustering.datasets._weights.dataset_folders",
        lambda: [tmp_path / "first", tmp_path / "last"],
    )
    return tmp_path / "last" / "weights"


def refusal(*arguments):
    with pytest.raises(InvalidInputError) as refused:
        weight_file(*arguments)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("checksum", [MD5, SHA256, None])
def test_file_is_downloaded_once_and_kept_with_its_checksum(server, folder, checksum):  # noqa: F811
    server.files["net.h5"] = CONTENT
    url = f"{server.url}/net.h5"
    for _ in range(2):
        found = weight_file("own.h5", url, checksum)
        assert (found.path, found.sha256, found.is_published) == (folder / "own.h5", SHA256, True)
    assert server.requested == ["/net.h5"]
    assert found.path.read_bytes() == CONTENT
    assert (folder / "own.h5.sha256").read_text() == f"{SHA256}  own.h5\n"
    assert {path.name for path in folder.iterdir()} == {"own.h5", "own.h5.sha256"}


@pytest.mark.parametrize("how", ["/half", "/unmeasured"])
def test_no_half_of_a_file_takes_its_name(server, folder, how):  # noqa: F811
    server.files["net.h5"] = CONTENT
    message = refusal("net.h5", f"{server.url}{how}/net.h5", MD5)
    assert f"try again, or put it into {folder} by hand (from {server.url}{how}/net.h5)" in message
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("checksum", [MD5, None])
def test_another_file_of_that_name_is_named_and_stays(server, folder, checksum):  # noqa: F811
    server.files["net.h5"] = CONTENT
    url = f"{server.url}/net.h5"
    if checksum is None:
        weight_file("net.h5", url, None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.h5").write_bytes(b"others")
    message = refusal("net.h5", url, checksum)
    assert str(folder / "net.h5") in message
    assert ("its MD5 differs" if checksum else "differs from its checksum") in message
    assert (folder / "net.h5").read_bytes() == b"others"
    assert server.requested == ([] if checksum else ["/net.h5"])


def test_without_a_network_the_file_its_address_and_the_folder_are_named(folder):
    url = "http://127.0.0.1:9/net.h5"
    message = refusal("net.h5", url, MD5)
    assert message.startswith(f"net.h5 is in none of {folder.parents[1]}/first/weights, {folder},")
    assert "127.0.0.1:9 cannot be reached" in message
    assert f"put the file of {url} there by hand, as {folder}/net.h5" in message


def test_file_that_is_named_is_told_from_the_published_one(tmp_path):
    path = tmp_path / "mine.h5"
    path.write_bytes(CONTENT)
    assert given_file(str(path), MD5).is_published
    assert not given_file(str(path), "0" * 32).is_published
    assert not given_file(str(path), None).is_published
    with pytest.raises(InvalidInputError, match="is not there; expected imagenet, random, or"):
        given_file(str(tmp_path / "other.h5"), MD5)
