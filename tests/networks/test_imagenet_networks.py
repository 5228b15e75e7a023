"""Networks of ImageNet of two packages: what is known of them, and small ones that are built."""

import inspect
import re
import sys

import h5py
import keras
import numpy as np
import pytest
from classification_models import weights as published
from classification_models.models import senet
from classification_models.models_factory import ModelsFactory
from classification_models.tfkeras import TFKerasModelsFactory
from keras.src.applications import inception_resnet_v2, resnet
from keras.src.legacy.saving import legacy_h5_format
from keras_applications import inception_resnet_v2 as keras_applications_inception

from nn_clustering import networks
from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks._image_classifiers import _modules
from tests.networks.sample_networks import sequential

IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
IMAGES_224 = np.resize(IMAGES, (1, 224, 224, 3))
KERAS = {
    f"keras_{name.lower()}": name for name in dir(keras.applications) if name[0].isupper()
}  # fmt: skip


def keras_module(name):
    return sys.modules[getattr(keras.applications, KERAS[name]).__module__]


def small(name, **settings):
    return networks.build_imagenet_network(name, input_size=(64, 64), n_outputs=5, **settings)


def save_as_keras_2(network, path):
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, network)


def answers(network, x=IMAGES):
    return np.asarray(network(x, training=False))


def test_there_are_the_networks_of_both_packages():
    assert sorted(networks.imagenet_network_names()) == sorted([*ModelsFactory._models, *KERAS])
    with pytest.raises(InvalidInputError, match=r"'resnet19' is no network.*did you mean"):
        networks.imagenet_network("resnet19")


@pytest.mark.parametrize("name", networks.imagenet_network_names())
def test_preprocessing_is_that_of_the_package(name):
    known = networks.imagenet_network(name)
    if name in KERAS:
        module = sys.modules[f"keras.src.applications.{keras_module(name).__name__.split('.')[-1]}"]
        theirs = module.preprocess_input(IMAGES.copy())
    else:
        theirs = TFKerasModelsFactory().get(name)[1](IMAGES.copy())
    ours = networks.preprocessing(known.preprocessing, IMAGES.shape[1:])(IMAGES)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", networks.imagenet_network_names())
def test_weights_are_those_that_the_package_downloads(name):
    known = networks.imagenet_network(name)
    own = [entry for entry in published.WEIGHTS_COLLECTION if entry["model"] == name]
    if own:
        (entry,) = (entry for entry in own if entry["include_top"] and entry["classes"] == 1000)
        assert (known.weights_url, known.checksum) == (entry["url"], entry["md5"])
        return
    if name in KERAS:
        source = inspect.getsource(keras_module(name)) + inspect.getsource(resnet)
    else:
        module = inspect.getmodule(ModelsFactory._models[name][0])
        source = inspect.getsource(module)
        if "resnet_common" in source:
            source = inspect.getsource(sys.modules["keras_applications.resnet_common"])
    folder = known.weights_url.rsplit("/", 2)[-2]
    assert f"{folder}/" in source
    assert known.checksum is None or f"{known.checksum}" in source
    assert (known.checksum is None) == name.removeprefix("keras_").startswith(
        ("mobilenetv2", "mobilenet")
    ) or "v3" in name


def test_no_two_files_of_weights_have_one_name():
    known = [networks.imagenet_network(name) for name in networks.imagenet_network_names()]
    by_name = {}
    for network in known:
        by_name.setdefault(network.weights_file, set()).add(network.checksum or network.name)
    assert [name for name, files in by_name.items() if len(files) > 1] == []


@pytest.fixture(scope="module", params=["resnet18", "seresnet18", "densenet121"])
def built(request):
    return small(request.param, seed=3)


def test_network_is_of_keras_own_layers_and_read_back(built):
    read = networks.network_from_bytes(networks.network_bytes(built), "it")
    np.testing.assert_array_equal(answers(read), answers(built))
    for layer in built.layers:
        assert type(layer).__module__.startswith("keras.src.layers")
    assert graph_from_weights(built).n_units > 3000


def test_seed_fixes_random_weights():
    weights = [small("resnet18", seed=seed).get_weights() for seed in (1, 1, 2)]
    same = [all(map(np.array_equal, weights[0], others)) for others in weights[1:]]
    assert same == [True, False]


def test_images_too_small_for_a_network_are_refused():
    with pytest.raises(
        InvalidInputError, match=r"network.input_size=\[20, 20\].*inceptionv3 cannot"
    ):
        networks.build_imagenet_network("inceptionv3", input_size=(20, 20))


PARAMETERS = senet.ModelParams(
    "small", repetitions=(1, 2), residual_block=senet.SEResNeXtBottleneck, groups=4, reduction=16,
    init_filters=32, input_3x3=False, dropout=None,
)  # fmt: skip


def test_network_in_groups_computes_what_the_package_has_in_slices(tmp_path):
    """And reads the weights that belong to slices, each of which has a convolution there."""
    shape = {"input_shape": (64, 64, 3), "classes": 5, "weights": None}
    theirs = senet.SENet(PARAMETERS, **shape, **TFKerasModelsFactory.get_kwargs())
    ours = senet.SENet(PARAMETERS, **shape, **_modules())
    assert len(theirs.layers) > len(ours.layers)
    save_as_keras_2(theirs, tmp_path / "theirs.h5")
    networks.load_weights(ours, tmp_path / "theirs.h5")
    # before the softmax, which makes 0 and 1 of most weights' sums
    sums = [keras.Model(one.input, one.layers[-1].input) for one in (ours, theirs)]
    found, expected = (answers(one) for one in sums)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    assert np.ptp(expected) > 0.01 * np.abs(expected).max()
    assert {layer.groups for layer in ours.layers if hasattr(layer, "groups")} == {1, 4}


def test_sums_that_the_package_scales_in_code_are_those_of_keras(monkeypatch):
    for name in ("backend", "layers"):
        monkeypatch.setattr(keras_applications_inception, name, _modules()[name])
    blocks = []
    for package in (keras_applications_inception, inception_resnet_v2):
        inputs = keras.Input((4, 4, 8))
        outputs = package.inception_resnet_block(inputs, 0.17, "block35", 1)
        blocks.append(keras.Model(inputs, outputs))
    ours, theirs = blocks
    theirs.set_weights(ours.get_weights())
    x = IMAGES[:, :4, :4].repeat(3, axis=3)[..., :8]
    np.testing.assert_allclose(answers(ours, x), answers(theirs, x), rtol=1e-5)
    assert not np.allclose(answers(ours, x), x)


def test_efficientnet_is_normalised_as_keras_does_with_its_own_file(tmp_path, monkeypatch):
    """Keras adds a layer where it downloads the weights."""
    own = networks.build_imagenet_network("keras_efficientnetb0", seed=1)
    kind = keras.layers.Normalization
    normalisation = next(layer for layer in own.layers if isinstance(layer, kind))
    normalisation.adapt_variance.assign([0.2, 0.3, 0.4])
    path = tmp_path / "efficientnetb0.h5"
    save_as_keras_2(own, path)
    module = keras_module("keras_efficientnetb0")
    monkeypatch.setattr(module.file_utils, "get_file", lambda *_, **__: path)
    theirs = keras.applications.EfficientNetB0(weights="imagenet")
    ours = networks.build_imagenet_network("keras_efficientnetb0", weights=path, is_published=True)
    at_the_stem = [
        answers(keras.Model(network.input, network.get_layer("stem_conv").output), IMAGES_224)
        for network in (ours, theirs, own)
    ]
    np.testing.assert_allclose(*at_the_stem[:2], rtol=1e-4, atol=1e-4)
    assert np.abs(at_the_stem[2] - at_the_stem[1]).max() > 0.1


def dense(n_units=4, seed=0):
    keras.utils.set_random_seed(seed)
    network = sequential(
        (8, 8, 3),
        keras.layers.Conv2D(n_units, 3),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(5, "softmax"),
    )
    network.build((None, 8, 8, 3))
    for weights in network.weights:
        weights.assign(np.random.default_rng(seed).uniform(0.1, 1, weights.shape))
    return network


WRITERS = {
    "weights.h5": save_as_keras_2,
    "whole.h5": lambda network, path: network.save(path),
    "network.keras": lambda network, path: network.save(path),
    "network.weights.h5": lambda network, path: network.save_weights(path),
}


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", WRITERS)
def test_weights_are_read_from_every_kind_of_file(name, tmp_path):
    given, network = dense(seed=1), dense(seed=2)
    WRITERS[name](given, tmp_path / name)
    networks.load_weights(network, tmp_path / name)
    assert all(map(np.array_equal, network.get_weights(), given.get_weights()))

    WRITERS[name](dense(6), tmp_path / name)
    with pytest.raises(InvalidInputError) as refused:
        networks.load_weights(network, tmp_path / name)
    told = str(refused.value)
    assert f"{name} does not fit net" in told
    assert re.search(r"[( ]6,?\) in the file, .*[( ]4,?\).* in the network", told)
    assert all(map(np.array_equal, network.get_weights(), given.get_weights()))


def test_what_a_layer_computes_of_its_weights_is_computed_anew(tmp_path):
    def normalised():
        return sequential((8, 8, 3), keras.layers.Normalization(), keras.layers.Flatten())

    given, network = normalised(), normalised()
    layer = given.layers[0]
    layer.adapt_mean.assign([1.0, 2.0, 3.0])
    layer.adapt_variance.assign([4.0, 5.0, 6.0])
    layer.finalize_state()
    save_as_keras_2(given, tmp_path / "given.h5")
    networks.load_weights(network, tmp_path / "given.h5")
    np.testing.assert_array_equal(
        answers(network, IMAGES[:, :8, :8]), answers(given, IMAGES[:, :8, :8])
    )


def test_weights_of_fewer_or_more_layers_are_refused(tmp_path):
    network = dense()
    longer = sequential((8, 8, 3), *network.layers, keras.layers.Dense(2))
    for name, one, other in (("long", longer, network), ("short", network, longer)):
        for ending, save in (
            ("h5", save_as_keras_2),
            ("weights.h5", WRITERS["network.weights.h5"]),
        ):
            save(one, tmp_path / f"{name}.{ending}")
            with pytest.raises(
                InvalidInputError, match=r"the first that differs is .*missing|more"
            ):
                networks.load_weights(other, tmp_path / f"{name}.{ending}")


def test_what_holds_no_weights_is_refused(tmp_path):
    network = dense()
    with pytest.raises(InvalidInputError, match="is not there; expected imagenet, random"):
        networks.load_weights(network, tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no weights")
    with pytest.raises(InvalidInputError, match=r"text\.h5 is neither an archive nor an HDF5"):
        networks.load_weights(network, tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.zeros(3)
    with pytest.raises(InvalidInputError, match=r"other\.h5 is an HDF5 file of something else"):
        networks.load_weights(network, tmp_path / "other.h5")
    network.weights[0].assign(np.full(network.weights[0].shape, np.nan))
    save_as_keras_2(network, tmp_path / "nan.h5")
    with pytest.raises(InvalidInputError, match=r"nan\.h5: 108 of 108 weights .* are NaN"):
        networks.load_weights(dense(), tmp_path / "nan.h5")
