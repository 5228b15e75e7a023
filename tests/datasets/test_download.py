"""Downloads, from a real server: good ones, damaged ones, and those that end half-way."""

import gzip
import hashlib
import io
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import numpy as np
import pytest

from nn_clustering.datasets._data_files import Distributed
from nn_clustering.datasets._download import fetch, require_obtainable
from nn_clustering.datasets._sources import CIFAR10, FASHION, MNIST, load_images
from nn_clustering.errors import InvalidInputError
from tests.datasets.conftest import arrays_of, random_images


class Handler(BaseHTTPRequestHandler):
    """Answers with the server's files; /half/NAME ends the connection in the middle."""

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.server.requested.append(self.path)
        self.answer(with_body=True)

    def answer(self, with_body):
        *how, name = self.path.strip("/").split("/")
        content = self.server.files.get(name)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        if how != ["unmeasured"]:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content if how == [] else content[: len(content) // 2])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.files, running.requested = {}, []
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}"
        yield SimpleNamespace(url=url, files=running.files, requested=running.requested)
        running.shutdown()
        thread.join()


def served(server, file, contents, how=""):
    """The data file whose parts are on the server, which has just these contents."""
    parts = []
    for part, content in zip(file.distributed, contents, strict=True):
        server.files[part.name] = content
        sha256 = hashlib.sha256(content).hexdigest()
        parts.append(Distributed(f"{server.url}{how}/{part.name}", sha256))
    return replace(file, distributed=tuple(parts))


def npz(arrays):
    written = io.BytesIO()
    np.savez(written, **arrays)
    return written.getvalue()


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return gzip.compress(header + array.tobytes())


def cifar_archive(arrays):
    """The archive of binary files, its train images in five of them."""
    written = io.BytesIO()
    parts = zip(np.split(arrays["x_train"], 5), np.split(arrays["y_train"], 5), strict=True)
    batches = {f"data_batch_{n}": part for n, part in enumerate(parts, start=1)}
    batches["test_batch"] = (arrays["x_test"], arrays["y_test"])
    with tarfile.open(fileobj=written, mode="w:gz") as archive:
        for name, (x, y) in batches.items():
            planes = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
            content = np.column_stack([y, planes]).astype(np.uint8).tobytes()
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}.bin")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def check_images(images, arrays):
    for key in ("x_train", "x_test"):
        ours = getattr(images, key)
        np.testing.assert_array_equal(ours, arrays[key].reshape(ours.shape))
    np.testing.assert_array_equal(images.y_train, arrays["y_train"])
    np.testing.assert_array_equal(images.y_test, arrays["y_test"])


def names_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def contents_of(file):
    if file is MNIST:
        arrays = arrays_of(28, 28)
        return arrays, [npz(arrays)]
    if file is FASHION:
        arrays = arrays_of(28, 28)
        keys = ("x_train", "y_train", "x_test", "y_test")
        return arrays, [idx(arrays[key]) for key in keys]
    arrays = arrays_of(32, 32, 3)
    return arrays, [cifar_archive(arrays)]


@pytest.mark.parametrize("file", [MNIST, FASHION, CIFAR10], ids=lambda file: file.name)
def test_download(server, tmp_path, capfd, file):
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "new" / "datasets"
    elsewhere.mkdir()
    arrays, contents = contents_of(file)
    ours = served(server, file, contents)
    check_images(load_images(ours, [elsewhere, folder]), arrays)
    assert names_in(folder) == [file.name, f"{file.name}.sha256"]
    assert names_in(elsewhere) == []
    assert len(server.requested) == len(contents)
    # a line for each, where no terminal could show progress
    said = capfd.readouterr().err.splitlines()
    assert said == [f"Downloading {part.url}" for part in ours.distributed]
    # and from now on it is there
    check_images(load_images(ours, [elsewhere, folder]), arrays)
    assert len(server.requested) == len(contents)


def test_mnist_stays_as_it_is_distributed(server, tmp_path):
    _, (content,) = contents_of(MNIST)
    path = fetch(served(server, MNIST, [content]), [tmp_path])
    assert path.read_bytes() == content


@pytest.mark.parametrize("how", ["/half", "/unmeasured"])
def test_download_that_ends_half_way(server, tmp_path, how):
    file = served(server, MNIST, contents_of(MNIST)[1], how)
    with pytest.raises(InvalidInputError, match=r"mnist.npz .*try again") as refusal:
        load_images(file, [tmp_path])
    wanted = "could not be downloaded" if how == "/half" else "is damaged (its SHA-256 differs)"
    assert wanted in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert names_in(tmp_path) == []


def test_download_of_something_else(server, tmp_path):
    _, contents = contents_of(FASHION)
    file = served(server, FASHION, contents)
    server.files["t10k-images-idx3-ubyte.gz"] = idx(random_images(9, 20, 28, 28))
    with pytest.raises(
        InvalidInputError, match=r"t10k-images-idx3-ubyte.gz as downloaded"
    ) as refusal:
        load_images(file, [tmp_path])
    assert str(tmp_path) in str(refusal.value)
    assert names_in(tmp_path) == []


def test_file_that_is_no_longer_there(server, tmp_path):
    file = served(server, MNIST, contents_of(MNIST)[1])
    server.files.clear()
    with pytest.raises(InvalidInputError, match=r"cannot be reached \(Not Found\)"):
        load_images(file, [tmp_path])
    with pytest.raises(InvalidInputError, match=r"mnist.npz could not be downloaded"):
        fetch(file, [tmp_path])
    assert names_in(tmp_path) == []


def test_distributed_files_put_there_by_hand(server, tmp_path):
    by_hand, folder = tmp_path / "by hand", tmp_path / "datasets"
    by_hand.mkdir()
    arrays, contents = contents_of(FASHION)
    file = served(server, FASHION, contents)
    for part, content in zip(file.distributed, contents, strict=True):
        (by_hand / part.name).write_bytes(content)
    server.files.clear()
    require_obtainable(file, [by_hand, folder])
    check_images(load_images(file, [by_hand, folder]), arrays)
    assert server.requested == []
    assert names_in(by_hand) == sorted(part.name for part in file.distributed)


def test_wrong_file_put_there_by_hand(server, tmp_path):
    file = served(server, CIFAR10, contents_of(CIFAR10)[1])
    wrong = tmp_path / "cifar-10-binary.tar.gz"
    wrong.write_bytes(contents_of(CIFAR10)[1][0][:-9])
    with pytest.raises(InvalidInputError) as refusal:
        load_images(file, [tmp_path])
    assert str(refusal.value).startswith(f"{wrong} is not the file of {server.url}/cifar-10-binary")
    assert "replace it, or remove it to have it downloaded" in str(refusal.value)


def test_folder_that_cannot_be_written(server, tmp_path):
    file = served(server, MNIST, contents_of(MNIST)[1])
    (tmp_path / "datasets").touch()  # no folder at all
    with pytest.raises(InvalidInputError, match=r"mnist.npz could not be written into") as refusal:
        load_images(file, [tmp_path / "datasets"])
    assert "NN_CLUSTERING_DATASETS" in str(refusal.value)


@pytest.mark.parametrize("host", ["https://does-not-exist.invalid", "https://127.0.0.1:9"])
@pytest.mark.parametrize("file", [MNIST, FASHION, CIFAR10], ids=lambda file: file.name)
def test_no_file_and_no_network(tmp_path, file, host):
    parts = tuple(Distributed(f"{host}/{part.name}", part.sha256) for part in file.distributed)
    with pytest.raises(InvalidInputError, match="cannot be reached") as refusal:
        load_images(replace(file, distributed=parts), [tmp_path / "first", tmp_path])
    message = str(refusal.value)
    assert message.startswith(f"{file.name} is in none of {tmp_path / 'first'}, {tmp_path} and ")
    assert all(part.url in message for part in parts)
    assert "digits" in message
    assert "\n" not in message
    assert names_in(tmp_path) == []


def test_server_that_never_answers(tmp_path):
    """A network that swallows everything is found out in seconds, not in minutes."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/mnist.npz"
        file = replace(MNIST, distributed=(Distributed(url, "0" * 64),))
        with pytest.raises(InvalidInputError, match=r"cannot be reached \(timed out\)"):
            require_obtainable(file, [tmp_path])
