"""Layers and activations of a network's author, from the one module that is named."""

import json
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks import network_from_bytes, read_network
from tests.networks.keras2_files import zipped
from tests.programs import environment, run_python

LAYERS = """
import keras
from keras import ops
from {name}_blocks import WIDTH

@keras.saving.register_keras_serializable("{name}")
class Orth(keras.regularizers.Regularizer):
    def __call__(self, w):
        return 0.01 * ops.sum(ops.abs(w))
    def get_config(self):
        return {{}}

@keras.saving.register_keras_serializable("{name}")
class Init(keras.initializers.Initializer):
    def __call__(self, shape, dtype=None):
        return keras.random.uniform(shape, seed=1)
    def get_config(self):
        return {{}}

@keras.saving.register_keras_serializable("{name}")
class Positive(keras.constraints.Constraint):
    def __call__(self, w):
        return w
    def get_config(self):
        return {{}}

@keras.saving.register_keras_serializable("{name}")
def bent(t):
    return t * ops.tanh(ops.softplus(t))

def plain(t):
    return 2 * t

class Twice(keras.layers.Dense):
    '''Derived, and computes as Dense does.'''

    def __init__(self, factor=2, **settings):
        super().__init__(**settings)
        self.factor = factor
    def get_config(self):
        return {{**super().get_config(), "factor": self.factor}}

if __name__ == "__main__":
    L = keras.layers
    for file, layer in {{
        "trained": L.Dense(WIDTH, "relu", kernel_regularizer=Orth(), kernel_initializer=Init(),
                           bias_constraint=Positive(), activity_regularizer=Orth()),
        "bent": L.Dense(WIDTH, bent),
        "plain": L.Dense(WIDTH, plain),
        "activation": L.Activation(bent),
        "derived": Twice(units=WIDTH, factor=3),
    }}.items():
        layer.name = "own"
        network = keras.Sequential([keras.Input((4,)), layer, L.Dense(3)])
        network.compile(loss=lambda y, p: p)
        for suffix in ("keras", "h5"):
            network.save(f"{{file}}.{{suffix}}")
"""
FILES = ("bent", "plain", "activation", "derived")


@pytest.fixture(scope="module")
def author(tmp_path_factory):
    """A folder with the author's module, files that a process of theirs has written, its name."""
    folder = tmp_path_factory.mktemp("author")
    name = "author_of_" + folder.name
    (folder / f"{name}.py").write_text(LAYERS.format(name=name))
    (folder / f"{name}_blocks.py").write_text("WIDTH = 5\n")
    finished = run_python([f"{name}.py"], environment(folder), cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder, name


@pytest.fixture
def in_folder(author, monkeypatch):
    """The folder is the current one, and nothing of the author's is known from before."""
    folder, name = author
    monkeypatch.chdir(folder)
    known = {
        registered: value
        for registered, value in keras.saving.get_custom_objects().items()
        if registered.startswith(f"{name}>")
    }
    for registered in known:
        del keras.saving.get_custom_objects()[registered]
    for module in [one for one in sys.modules if one.startswith(name)]:
        monkeypatch.delitem(sys.modules, module)
    return name


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_what_inference_never_uses_is_not_needed(in_folder, suffix):
    network = read_network(f"trained.{suffix}")
    assert in_folder not in sys.modules
    assert graph_from_weights(network).n_units == 4 + 5 + 3
    assert network.layers[0].kernel_regularizer is None
    assert (network.layers[0].get_weights()[0] > 0).all()  # those of the file, not zeros


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("file", FILES)
def test_what_is_missing_is_named(in_folder, file, suffix):
    missing = {"derived": "Twice", "plain": "plain"}.get(file, rf"bent \({in_folder}>bent\)")
    expected = rf"^{file}\.{suffix} needs {missing} of its layer 'own', which is not Keras' own: "
    with pytest.raises(InvalidInputError, match=expected + "name the module .* model_code=MODULE"):
        read_network(f"{file}.{suffix}")
    assert in_folder not in sys.modules


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("file", FILES)
def test_it_is_taken_from_the_module_that_is_named(in_folder, author, file, suffix):
    for named in (in_folder, f"{in_folder}.py", str(author[0] / f"{in_folder}.py")):
        network = read_network(f"{file}.{suffix}", model_code=named)
        x = np.array([[1.0, 2, 3, 4]], np.float32)
        kernel, bias = network.layers[-1].get_weights()
        first = network.layers[0]
        if file == "activation":
            hidden = x * np.tanh(np.log1p(np.exp(x)))
        else:
            own_kernel, own_bias = first.get_weights()
            hidden = x @ own_kernel + own_bias
            bent = hidden * np.tanh(np.log1p(np.exp(hidden)))
            hidden = {"bent": bent, "plain": 2 * hidden}.get(file, hidden)
        np.testing.assert_allclose(network(x), hidden @ kernel + bias, rtol=1e-5)


def test_file_is_not_taken_for_a_module_of_its_name_that_is_loaded(in_folder, tmp_path):
    assert "textwrap" in sys.modules
    (tmp_path / "textwrap.py").write_text("def plain(t):\n    return 2 * t\n")
    assert read_network("plain.keras", model_code=str(tmp_path / "textwrap.py"))


REGISTERING = """
import keras

def make():
    @keras.saving.register_keras_serializable("{package}", name="curve")
    def bent(t):
        return 2 * t
    return bent

make()
"""


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_it_is_known_by_what_it_is_registered_as(tmp_path, monkeypatch, suffix):
    """Under that name alone: the module has none of it."""
    monkeypatch.chdir(tmp_path)
    package = f"package_of_{tmp_path.name}"
    Path("registering.py").write_text(REGISTERING.format(package=package))
    namespace = {}
    exec(REGISTERING.format(package=package), namespace)
    dense = keras.layers.Dense(3, keras.saving.get_registered_object(f"{package}>curve"))
    made = keras.Sequential([keras.Input((4,)), dense])
    made.save(f"it.{suffix}")
    x = np.ones((1, 4), np.float32)
    for code in (None, "registering.py"):
        network = read_network(f"it.{suffix}", model_code=code)
        np.testing.assert_allclose(network(x), made(x), rtol=1e-6)
        keras.saving.get_custom_objects().pop(f"{package}>curve")
    with pytest.raises(InvalidInputError, match=rf"needs curve \({package}>curve\)"):
        read_network(f"it.{suffix}")


NEEDY = """
import keras

class Needy(keras.layers.Dense):
    def __init__(self, out_constraint, **settings):
        super().__init__(**settings)
        self.out_constraint = out_constraint
    def get_config(self):
        return {**super().get_config(), "out_constraint": self.out_constraint}
"""


def test_layer_of_an_author_gets_all_its_settings(tmp_path):
    """Also those that are called like what only the training of Keras' own layers needs."""
    (tmp_path / "needy.py").write_text(NEEDY)
    namespace = {"__name__": "needy"}
    exec(NEEDY, namespace)
    layer = namespace["Needy"](out_constraint={"of": "the sum"}, units=3)
    keras.Sequential([keras.Input((4,)), layer]).save(tmp_path / "it.keras")
    network = read_network(tmp_path / "it.keras", model_code=str(tmp_path / "needy.py"))
    assert network.layers[0].out_constraint == {"of": "the sum"}


def test_search_path_is_as_before(in_folder):
    path = list(sys.path)
    read_network("bent.keras", model_code=f"{in_folder}.py")
    read_network("bent.keras", model_code=in_folder)
    assert sys.path == path


@pytest.mark.parametrize(
    ("code", "named", "expected"),
    [
        (None, "no_such_module", r"model_code='no_such_module' is not there; expected a module"),
        (None, "no_such.py", r"model_code='no_such\.py' is not there"),
        ("import no_such_package", "broken.py", r"broken\.py cannot be imported \(ModuleNotFound"),
        ("def bent(:", "unreadable.py", r"unreadable\.py cannot be imported \(SyntaxError"),
        ("x = 1", "other.py", r"other\.py has no bent, and registers none as .*>bent, which bent"),
    ],
)
def test_modules_that_do_not_help(in_folder, code, named, expected):
    if code is not None:
        Path(named).write_text(code)
    with pytest.raises(InvalidInputError, match=expected) as refusal:
        read_network("bent.keras", model_code=named)
    assert str(refusal.value).startswith(f"model_code='{named}'")
    assert "\n" not in str(refusal.value)


def test_module_that_the_file_names_is_not_imported(in_folder):
    """Only the module that is named by the user is imported, whatever the config says."""
    Path("trap.py").write_text("class Twice: ...")
    with zipfile.ZipFile("derived.keras") as file:
        members = {name: file.read(name) for name in file.namelist()}
    config = json.loads(members["config.json"])
    config["config"]["layers"][1].update(module="trap", registered_name="trap")
    content = zipped({**members, "config.json": json.dumps(config)})
    with pytest.raises(InvalidInputError, match=r"it needs Twice \(trap\) of its layer 'own'"):
        network_from_bytes(content, "it")
    assert len(network_from_bytes(content, "it", in_folder).layers) == 2
    assert "trap" not in sys.modules
