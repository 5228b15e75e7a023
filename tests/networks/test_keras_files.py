"""Networks go into `.keras` files and come back the same."""

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import (
    build_network,
    network_bytes,
    network_from_bytes,
    read_file,
    read_network,
)

X = np.random.default_rng(0).uniform(size=(20, 8, 8, 1)).astype(np.float32)


def build(kind):
    return build_network(
        kind,
        (8, 8, 1),
        10,
        hidden_units=[6],
        conv_filters=[3, 2],
        dropout=True,
        seed=1,
    )


@pytest.fixture(scope="module")
def content():
    return network_bytes(build("mlp"))


@pytest.mark.parametrize("kind", ["mlp", "cnn", "vgg"])
def test_round_trip(kind, tmp_path):
    network = build(kind)
    path = tmp_path / "my network.keras"
    path.write_bytes(network_bytes(network))
    for read in (read_network(path), read_network(str(path))):
        assert [layer.name for layer in read.layers] == [layer.name for layer in network.layers]
        np.testing.assert_array_equal(read(X), network(X))


def test_reads_what_keras_writes(tmp_path):
    network = build("mlp")
    network.compile("adam", "sparse_categorical_crossentropy")
    network.save(tmp_path / "network.keras")
    assert read_file(tmp_path / "network.keras")[:2] == b"PK"
    np.testing.assert_array_equal(read_network(tmp_path / "network.keras")(X), network(X))


@pytest.mark.parametrize("name", ["missing.keras", "folder.keras", "network.h5", "network"])
def test_not_a_keras_file(tmp_path, content, name):
    (tmp_path / "folder.keras").mkdir()
    (tmp_path / "network.h5").write_bytes(content)
    (tmp_path / "network").write_bytes(content)
    for function in (read_file, read_network):
        with pytest.raises(InvalidInputError, match="expected a network as") as refusal:
            function(tmp_path / name)
        assert str(refusal.value).startswith(str(tmp_path / name))
        assert "\n" not in str(refusal.value)


def without_weights(content):
    return content.replace(b"model.weights.h5", b"nodel.weights.h5")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"not a zip file",
        lambda content: content[: len(content) // 2],
        lambda content: content[:500] + bytes(500) + content[1000:],
        without_weights,
    ],
    ids=["empty", "text", "truncated", "overwritten", "without weights"],
)
def test_damaged(tmp_path, content, damage):
    path = tmp_path / "damaged.keras"
    path.write_bytes(damage(content))
    with pytest.raises(InvalidInputError, match="cannot be read as a Keras network") as refusal:
        read_network(path)
    message = str(refusal.value)
    assert message.startswith(str(path))
    assert "save it again" in message
    assert "\n" not in message
    assert len(message) < 500


def test_code_in_a_file_is_not_run(tmp_path):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    with pytest.raises(InvalidInputError, match="run 7, pruned cannot be read"):
        network_from_bytes(network_bytes(network), "run 7, pruned")
