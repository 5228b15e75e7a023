"""Networks go into files and come back the same, and no code comes with them."""

import io
import json
import zipfile

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import (
    build_network,
    in_float32,
    network_bytes,
    network_from_bytes,
    read_file,
    read_network,
)
from tests.networks.keras2_files import zipped

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


@pytest.mark.parametrize("name", ["net.h5", "net.hdf5", "net", "misnamed.keras"])
def test_hdf5_by_whatever_name(tmp_path, name):
    network = build("vgg")
    network.save(tmp_path / "net.h5")
    path = tmp_path / name
    path.write_bytes((tmp_path / "net.h5").read_bytes())
    np.testing.assert_array_equal(read_network(path)(X), network(X))


def test_layers_are_written_and_computed_like_any(content):
    """Nothing is left of how the network was read: it goes into a file, and into float32, again."""
    mixed = build_network(
        "mlp", (8, 8, 1), 10, hidden_units=[6], conv_filters=[], seed=1, precision="mixed_float16"
    )
    for network in (network_from_bytes(content, "it"), mixed):
        again = network_from_bytes(network_bytes(network), "it")
        assert all("WithinBudget" not in str(layer.get_config()) for layer in again.layers)
        np.testing.assert_array_equal(network_from_bytes(network_bytes(again), "it")(X), network(X))
        full = in_float32(again)
        assert {weights.dtype for weights in full.weights} == {"float32"}


@pytest.mark.parametrize("place", ["kernel", "bias"])
def test_weights_that_are_not_finite_are_refused(place):
    network = build("mlp")
    getattr(network.layers[-1], place).assign(np.nan * getattr(network.layers[-1], place))
    with pytest.raises(InvalidInputError, match=rf"it: \d+ of \d+ weights of .*{place} are NaN"):
        network_from_bytes(network_bytes(network), "it")


class Doubling(keras.layers.Layer):
    """Not registered: known by name alone."""

    def call(self, x):
        return 2 * x


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.Lambda(lambda x: x + 1), r"'scale' that is a Lambda, .*Rescaling\(1/255\)"),
        (Doubling(), r"needs Doubling of its layer 'scale', .*model_code=MODULE"),
    ],
)
def test_code_in_a_file_is_not_run(layer, message):
    layer.name = "scale"
    content = network_bytes(keras.Sequential([keras.Input((2,)), layer]))
    with pytest.raises(InvalidInputError, match=message) as refusal:
        network_from_bytes(content, "run 7, pruned")
    assert str(refusal.value).startswith("run 7, pruned ")
    assert "save" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("get_file", "keras.utils", r"keras\.utils\.get_file, which is no part of a network"),
        ("system", "os", "needs system of its layer 'dense'"),
        ("exec", "builtins", "needs exec of its layer 'dense'"),
    ],
)
def test_functions_that_are_no_activations_are_not_called(name, module, message):
    function = {
        "class_name": "function", "module": module, "config": name, "registered_name": name,
    }  # fmt: skip
    content = edited(
        lambda config: config["config"]["layers"][1]["config"].update(activation=function)
    )
    with pytest.raises(InvalidInputError, match=message):
        network_from_bytes(content, "it")


def edited(edit):
    """The file of a network with a dense layer, its config edited."""
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="dense")])
    with zipfile.ZipFile(io.BytesIO(network_bytes(network))) as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    edit(config)
    return zipped({**members, "config.json": json.dumps(config)})


def test_layers_take_no_more_weights_than_the_file_holds():
    """Else a small file makes as large a network as it likes."""
    content = edited(lambda config: config["config"]["layers"][1]["config"].update(units=10**9))
    with pytest.raises(InvalidInputError, match="has layers of more weights than the 15 that it"):
        network_from_bytes(content, "it")


def test_nor_do_layers_whose_config_says_nothing_of_their_weights():
    def edit(config):
        first, dense = config["config"]["layers"]
        first["config"]["batch_shape"] = [None, 10**10]
        normalisation = {
            "name": "norm",
            "axis": -1,
            "invert": False,
            "mean": None,
            "variance": None,
        }
        entry = {"module": "keras.layers", "class_name": "Normalization", "config": normalisation}
        config["config"]["layers"] = [first, {**entry, "registered_name": None}, dense]

    with pytest.raises(InvalidInputError, match="has layers of more weights than the 15 that it"):
        network_from_bytes(edited(edit), "it")


@pytest.mark.parametrize(
    "edit",
    [
        lambda config: config["config"]["layers"][1]["config"].update(units=-3),
        lambda config: config["config"]["layers"][1]["config"].update(unheard_of=1),
        lambda config: config["config"].update(layers=7),
        lambda config: config.clear(),
    ],
)
def test_config_that_keras_refuses(edit):
    content = edited(edit)
    with pytest.raises(InvalidInputError, match=r"^it (was written by Keras 3|holds a)") as refusal:
        network_from_bytes(content, "it")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_weights_that_do_not_fit_are_refused():
    content = edited(lambda config: config["config"]["layers"][1]["config"].update(units=4))
    with pytest.raises(InvalidInputError, match="damaged: its weights do not fit its layers"):
        network_from_bytes(content, "it")
