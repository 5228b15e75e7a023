"""What of a data set a network reads, and of which data set: asked of functions, without a run."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from experiments._graphs import choose_samples
from experiments._network_samples import RawSamples, preprocessed
from experiments._networks import NetworkFile, residual_rule_of
from experiments._partitions import with_starts
from nn_clustering import networks
from nn_clustering.datasets import Dataset, changed
from nn_clustering.errors import InvalidInputError

BYTES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
FLOATS = BYTES.astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def content():
    """A network of images of 4 x 5 pixels in colour."""
    dense = [keras.layers.Flatten(), keras.layers.Dense(3)]
    return networks.network_bytes(keras.Sequential([keras.Input((4, 5, 3)), *dense]))


@pytest.mark.parametrize(("x", "white"), [(BYTES, 255.0), (FLOATS, 1.0)])
@pytest.mark.parametrize("name", [None, "unit", "none", "tf", "caffe"])
def test_pixels_are_the_same_of_bytes_and_of_floats(x, white, name):
    expected = {
        "unit": FLOATS,
        "none": 255 * FLOATS,
        "tf": 2 * FLOATS - 1,
        "caffe": 255 * FLOATS[..., ::-1] - np.float32([103.939, 116.779, 123.68]),
    }
    found = preprocessed(RawSamples(x, white), name)
    np.testing.assert_allclose(found[1:4], expected[name or "unit"][1:4], atol=1e-4)
    assert found[:].dtype == np.float32


def test_values_of_no_known_scale_stay_as_they_are():
    odd = 3 * FLOATS - 1
    for name in (None, "none"):
        assert preprocessed(RawSamples(odd, None), name) is odd
    for name in ("unit", "tf"):
        with pytest.raises(InvalidInputError, match="no known scale; expected images of bytes"):
            preprocessed(RawSamples(odd, None), name)
    vectors = odd.reshape(6, -1)
    assert preprocessed(RawSamples(vectors, None), "unit") is vectors


def test_samples_of_another_shape_are_reshaped_as_they_are_read(content):
    flat = FLOATS.reshape(6, -1)
    streamed = changed(flat, lambda x: x, flat.shape[1:])
    for x in (flat, streamed):
        samples = RawSamples(x, None).for_network(NetworkFile(content, "it"))
        assert samples.shape == FLOATS.shape
        np.testing.assert_array_equal(samples[2:5], FLOATS[2:5])


def test_another_text_is_cut_into_samples_as_long_as_the_network_takes(here):
    (here / "my.txt").touch()
    tokens = keras.Input((16,), dtype="int32")
    network = keras.Model(tokens, keras.layers.Embedding(3, 2)(tokens))
    file = NetworkFile(networks.network_bytes(network), "it")
    assert file.takes_tokens
    assert file.dataset_settings({"name": "my.txt"}) == {"name": "my.txt", "length": 16}
    asked = {"name": "my.txt", "length": 8}
    assert file.dataset_settings(asked) == asked


def test_tokens_and_positions_that_a_network_does_not_know_are_refused():
    tokens = keras.Input((None,), dtype="int32")
    made = keras.layers.Embedding(3, 2, name="token_embedding")(tokens)
    positions = keras.ops.cumsum(keras.ops.ones_like(tokens), axis=1) - 1
    made += keras.layers.Embedding(4, 2, name="position_embedding")(positions)
    file = NetworkFile(networks.network_bytes(keras.Model(tokens, made, name="net")), "it")
    for length, vocabulary, told in (
        (4, "abc", None), (5, "abc", "knows 4 positions, and the data set has 5"),
        (4, "abcd", "knows 3 tokens, and the data set has 4"),
    ):  # fmt: skip
        x, y = np.zeros((2, length), np.int32), np.zeros(2, np.int32)
        own = Dataset("own", x, y, x, y, ("a",), vocabulary=tuple(vocabulary))
        if told is None:
            assert RawSamples.of_tests(own).for_network(file).shape == (2, 4)
        else:
            with pytest.raises(InvalidInputError, match=told):
                RawSamples.of_tests(own).for_network(file)


def settings_of(content, own, **asked):
    whole = {"name": None, "seed": None, "n_test": None, "per_class": None, "class_names": None}
    run = SimpleNamespace(config={"dataset": whole | own}, experiment="import_network")
    return NetworkFile(content, "run 1", run).dataset_settings(whole | asked)


def test_data_set_of_an_import_and_what_another_takes_of_it(content):
    own = {"name": "my.data", "seed": 3, "n_test": 8, "class_names": "names.json"}
    own |= {"image_size": [4, 5]}
    assert settings_of(content, own) == own
    assert settings_of(content, own, per_class=2) == {
        "name": "my.data", "seed": 3, "per_class": 2, "class_names": "names.json",
        "image_size": [4, 5],
    }  # fmt: skip
    # the names of its classes are not those of another
    assert settings_of(content, own, name="digits") == {"name": "digits", "seed": 3, "n_test": 8}
    with pytest.raises(InvalidInputError, match=r"dataset\.name=None with run 1"):
        settings_of(content, {})


def test_images_become_what_the_network_takes_unless_another_size_is_asked(
    content, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    np.savez("own.npz", x_test=BYTES, y_test=np.arange(6) % 3)
    assert settings_of(content, {"name": "own.npz"})["image_size"] == (4, 5)
    assert settings_of(content, {"name": "own.npz"}, image_size=[2, 2])["image_size"] == [2, 2]


def test_samples_are_drawn_once_each_and_in_their_order():
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    y = (np.arange(20) % 2).astype(np.int32)
    dataset = Dataset("own", x[:8], y[:8], x[8:], y[8:], ("a", "b"), white=None)
    for split, of_split in (("train", x[:8]), ("test", x[8:])):
        chosen = choose_samples(dataset, {"split": split, "n_samples": 7}, seed=0)
        assert (np.diff(chosen[:, 0]) > 0).all()
        assert {*chosen[:, 0]} < {*of_split[:, 0]}
        everything = choose_samples(dataset, {"split": split, "n_samples": None}, seed=0)
        np.testing.assert_array_equal(everything, of_split)
    with pytest.raises(InvalidInputError, match="n_samples=9; expected at most 8"):
        choose_samples(dataset, {"split": "train", "n_samples": 9}, seed=0)


def test_starts_where_none_are_given():
    inputs = keras.Input((4, 4, 1))
    convolutions = [keras.layers.Conv2D(2, 1) for _ in range(3)]
    plain = keras.Model(inputs, convolutions[2](convolutions[1](convolutions[0](inputs))))
    stem = convolutions[0](inputs)
    total = keras.layers.Add()([stem, convolutions[1](stem)])
    residual = keras.Model(inputs, convolutions[2](total))
    for network, expected in ((None, 5), (plain, 5), (residual, 25)):
        given = {"kmeans": {"n_init": None, "select": "ncut"}}
        assert with_starts(given, network)["kmeans"] == {"n_init": expected, "select": "ncut"}
        assert with_starts({"kmeans": {"n_init": 7}}, network)["kmeans"]["n_init"] == 7


def test_the_rule_is_that_of_the_clustering():
    """Of a network's graph of weights as it was found, of former runs as it was asked for."""
    found = {"residual": "contracted"}
    assert (
        residual_rule_of({"graph": {"residual": None, "source": "weights"}}, found) == "contracted"
    )
    assert residual_rule_of({"graph": {"residual": "copied"}}, {}) == "copied"
    activations = {"graph": {"residual": "copied", "source": "activations"}}
    assert residual_rule_of(activations, {}) == "one_set"
    assert residual_rule_of({"graph": {}}, {}) == "one_set"
