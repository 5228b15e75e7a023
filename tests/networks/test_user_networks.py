"""Keras models of one's own by a dotted name: what is taken, and what is refused in one line."""

import sys

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import (
    build_network,
    check_network,
    network_bytes,
    network_code,
    network_from_bytes,
)
from tests.programs import environment, run_python

SETTINGS = {"hidden_units": [5], "conv_filters": [3]}
GOOD = """
import keras

def residual(input_shape, n_outputs):
    inputs = keras.Input(input_shape)
    x = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    y = keras.layers.Add()([x, keras.layers.Conv2D(4, 3, padding="same")(x)])
    y = keras.layers.Dropout(0.5)(keras.layers.GlobalAveragePooling2D()(y))
    return keras.Model(inputs, keras.layers.Dense(n_outputs, activation="softmax")(y))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes a module into the current folder; returns what its name becomes."""
    monkeypatch.chdir(tmp_path)
    written = []

    def write(code, path=None):
        # a name of its own, since Python keeps modules that it has imported
        name = f"own_{len(written)}_{tmp_path.name}"
        path = tmp_path / (path or f"{name}.py").format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
        written.append(name)
        return name

    yield write
    for name in [loaded for loaded in sys.modules if loaded.partition(".")[0] in written]:
        monkeypatch.delitem(sys.modules, name)


def check(kind, input_shape=(8, 8, 1), n_outputs=10, **changes):
    check_network(kind, input_shape, n_outputs, **{**SETTINGS, **changes})


def build(kind, input_shape=(8, 8, 1), n_outputs=10, seed=0, **changes):
    return build_network(kind, input_shape, n_outputs, seed=seed, **{**SETTINGS, **changes})


def test_own_network_is_built_with_the_seed(own):
    kind = f"{own(GOOD)}.residual"
    check(kind)
    path = list(sys.path)
    first, again, other = (build(kind, seed=seed) for seed in (3, 3, 4))
    assert sys.path == path
    assert first.input_shape == (None, 8, 8, 1)
    assert first.output_shape == (None, 10)
    for array, same, different in zip(
        first.get_weights(), again.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(array, same)
        if array.ndim > 1:
            assert (array != different).any()
    x = np.ones((9, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(first(x, training=True), again(x, training=True))
    np.testing.assert_array_equal(network_from_bytes(network_bytes(first), "it")(x), first(x))


def test_seed_is_one_in_every_process(own, tmp_path):
    kind = f"{own(GOOD)}.residual"
    code = f"""
from nn_clustering.networks import build_network
network = build_network({kind!r}, (8, 8, 1), 10, hidden_units=[], conv_filters=[], seed=3)
print(sum(float(abs(array).sum()) for array in network.get_weights()))
"""
    finished = run_python(["-c", code], environment(tmp_path), cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    here = sum(float(abs(array).sum()) for array in build(kind, seed=3).get_weights())
    assert float(finished.stdout) == here


@pytest.mark.parametrize(
    ("signature", "given"),
    [
        ("input_shape, n_outputs, seed", {"input_shape", "n_outputs", "seed"}),
        ("*, seed, n_outputs=3", {"n_outputs", "seed"}),
        ("depth=2", set()),
        ("depth=2, **more", {"input_shape", "n_outputs", "seed"}),
    ],
)
def test_function_is_called_with_what_it_takes(own, signature, given):
    name = own(f"""
import keras
calls = []

def network({signature}):
    calls.append({{k: v for k, v in locals().items() if k not in ("depth", "more")}})
    calls[-1].update(locals().get("more", {{}}))
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(),
                             keras.layers.Dense(10, activation="softmax")])
""")
    build(f"{name}.network", seed=5)
    offered = {"input_shape": (8, 8, 1), "n_outputs": 10, "seed": 5}
    assert sys.modules[name].calls == [{key: offered[key] for key in given}]


def test_what_it_is_compiled_with_does_not_matter(own):
    name = own("""
import keras

def loss(y_true, y_predicted):
    return y_predicted

def network(input_shape, n_outputs):
    network = keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),
                                keras.layers.Dense(n_outputs, activation=keras.ops.softmax)])
    network.compile(loss=loss)
    return network
""")
    assert build(f"{name}.network").output_shape == (None, 10)


def test_regression_and_vectors(own):
    name = own("""
import keras

def line(input_shape, n_outputs):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Dense(n_outputs)])
""")
    network = build(f"{name}.line", (2,), 1, task="regression")
    assert network.output_shape == (None, 1)


def test_module_in_a_package_is_found_without_importing_anything(own):
    name = own("raise RuntimeError('imported')", "{}/__init__.py")
    module = own("raise RuntimeError('imported')\ndef network(): ...", f"{name}/inner.py")
    check(f"{name}.inner.network")
    assert network_code(f"{name}.inner.network").endswith(b"def network(): ...")
    assert name not in sys.modules
    assert module not in sys.modules
    with pytest.raises(InvalidInputError, match=r"cannot be imported \(RuntimeError: imported"):
        build(f"{name}.inner.network")


def test_code_is_the_modules_file(own):
    kind = f"{own(GOOD)}.residual"
    assert network_code(kind) == GOOD.encode()
    assert [network_code(built_in) for built_in in ("mlp", "cnn", "vgg")] == [None] * 3


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("try:\n    import x\nexcept ImportError:\n    def network(): ...", "network"),
        ("from keras.applications import MobileNetV2 as network", "network"),
        ("network = lambda: None", "network"),
        ("from keras.applications import *", "VGG16"),
        ("def __getattr__(name): ...", "network"),
    ],
)
def test_names_that_a_module_may_have(own, code, name):
    check(f"{own(code)}.{name}")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def other(): ...", "has no function network; expected one that returns a Keras model"),
        ("print(network)", "has no function network"),
        ("def network(:", "is no Python that can be read"),
        ("def network(): ...\0", "is no Python that can be read"),
    ],
)
def test_refused_before_it_is_imported(own, code, message):
    kind = f"{own(code)}.network"
    with pytest.raises(InvalidInputError, match=message) as refusal:
        check(kind)
    assert str(refusal.value).startswith(f"network.kind='{kind}'")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("kind", ["no_such_module.network", "no_such.module.network"])
def test_no_such_module(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for function in (check, network_code):
        with pytest.raises(InvalidInputError, match="there is no module no_such") as refusal:
            function(kind)
        assert str(tmp_path) in str(refusal.value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"dropout": True}, "network.dropout=True with network.kind="),
        ({"dropout_rate": 0.2}, "network.dropout_rate=0.2 with network.kind="),
        ({"activation": "tanh"}, "network.activation='tanh' with network.kind="),
        ({"precision": "mixed_float16"}, "network.precision='mixed_float16' with network.kind="),
    ],
)
def test_settings_of_the_project_s_own_networks_are_refused(own, setting, message):
    kind = f"{own(GOOD)}.residual"
    for function in (check, build):
        with pytest.raises(InvalidInputError, match=message):
            function(kind, **setting)


def _sequential(*layers):
    return f"return keras.Sequential([keras.Input(input_shape), {', '.join(layers)}])"


FLAT, SOFTMAX = "keras.layers.Flatten()", "keras.layers.Dense(n_outputs, activation='softmax')"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "raise KeyError('lost\\nhere')",
            r"failed on \(input_shape=\(8, 8, 1\), n_outputs=10\): Key",
        ),
        ("return None", "returned a NoneType; expected a keras.Model"),
        ("return keras.layers.Dense(3)", "returned a Dense; expected a keras.Model"),
        (
            "return keras.Sequential([keras.layers.Dense(3)])",
            "returned a model without known inputs",
        ),
        (
            _sequential(FLAT, "keras.layers.Dense(7, activation='softmax')"),
            r"8, 8, 1\) to \(None, 7\); expected from \(None, 8, 8, 1\) to \(None, 10\)",
        ),
        (_sequential(SOFTMAX), r"to \(None, 8, 8, 10\); expected"),
        (_sequential(FLAT, "keras.layers.Dense(n_outputs)"), "are no probabilities"),
        (
            _sequential("keras.layers.Lambda(lambda x: x + 1)", FLAT, SOFTMAX),
            "that a .keras file cannot hold",
        ),
        (_sequential("Mine()", FLAT, SOFTMAX), r"cannot hold \(Mine is code of your own\)"),
        (
            _sequential("Registered()", FLAT, SOFTMAX),
            r"cannot hold \(nets>Registered is code of your own\)",
        ),
        (
            _sequential("keras.layers.Activation(twice)", FLAT, SOFTMAX),
            r"cannot hold \(nets>twice is code of your own\)",
        ),
        (_sequential("Unstorable(3)", FLAT, SOFTMAX), "that a .keras file cannot hold"),
    ],
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`:UserWarning")
def test_refused_as_a_network(own, body, message):
    name = own(f"""
import keras

class Mine(keras.layers.Layer):
    def call(self, x):
        return x

@keras.saving.register_keras_serializable(package="nets")
class Registered(Mine):
    pass

class Unstorable(Mine):
    def __init__(self, size):
        super().__init__()

@keras.saving.register_keras_serializable(package="nets")
def twice(x):
    return 2 * x

def network(input_shape, n_outputs):
    {body}
""")
    check(f"{name}.network")
    with pytest.raises(InvalidInputError, match=message) as refusal:
        build(f"{name}.network")
    assert str(refusal.value).startswith(f"network.kind='{name}.network'")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_function_with_other_arguments_is_refused(own):
    kind = f"{own('def network(depth, seed): ...')}.network"
    with pytest.raises(InvalidInputError, match="needs an argument depth"):
        build(kind)
    kind = f"{own('def network(seed, /): ...')}.network"
    with pytest.raises(InvalidInputError, match="needs an argument seed"):
        build(kind)
    kind = f"{own('network = 3')}.network"
    with pytest.raises(InvalidInputError, match="has no function network"):
        build(kind)
