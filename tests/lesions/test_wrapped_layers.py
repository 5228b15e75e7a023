"""Lesions of networks whose layers wrap, scale, gate, mask or unflatten others."""

import keras
import numpy as np
import pytest
from keras import layers
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_gradients, unit_activations
from nn_clustering.lesions import LesionEngine
from tests.graphs.test_from_gradients import jacobian
from tests.lesions.conftest import convolution, functional, with_random_weights
from tests.lesions.masked_networks import scores, silenced_for
from tests.lesions.test_engine import lesions_of, silent_places
from tests.networks.sample_networks import block


def _timed(x):
    x = layers.Reshape((2, 4, 8, 1))(x)
    x = layers.TimeDistributed(convolution(4, "inner_1"), name="timed_1")(x)
    x = layers.TimeDistributed(layers.MaxPooling2D(2))(x)
    x = layers.TimeDistributed(convolution(5, "inner_2"), name="timed_2")(x)
    x = layers.TimeDistributed(layers.Flatten())(x)
    x = layers.TimeDistributed(layers.Dense(6, "relu"), name="timed_dense")(x)
    return layers.GlobalAveragePooling1D()(x)


def _scaled(x):
    stem = convolution(5, "stem")(x)
    x = layers.LayerNormalization()(layers.DepthwiseConv2D(3, padding="same", name="depth")(stem))
    x = layers.Dense(8, "gelu", name="expand")(x)
    x = layers.Dense(5, name="shrink")(x)
    x = StochasticDepth(0.5)(LayerScale(0.5, 5)(x))
    total = layers.Add(name="sum")([stem, x])
    x = layers.SpectralNormalization(convolution(6, "inner"), name="spectral")(total)
    x = layers.EinsumDense("abcd,de->abce", (8, 8, 6), bias_axes="e", name="einsum")(x)
    back = layers.Conv2D(6, 1, name="back")(total)
    x = layers.ReLU()(CustomScaleLayer(0.3, name="scaled_sum")([back, x]))
    return layers.GlobalAveragePooling2D()(x)


def _decoder(x):
    x = layers.Dense(7, "relu", name="code")(layers.Flatten()(x))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Dense(2 * 3 * 4, name="spread")(x)))
    x = layers.Permute((2, 1, 3))(layers.Reshape((2, 3, 4), name="maps")(x))
    x = layers.Conv2DTranspose(5, 2, activation="relu", name="up")(x)
    return layers.GlobalMaxPooling2D()(x)


def _spatial_gate(x):
    trunk = convolution(6, "trunk")(x)
    gate = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="gate")(trunk)
    x = convolution(5, "after")(layers.Multiply(name="gated")([trunk, gate]))
    return layers.GlobalAveragePooling2D()(x)


CONNECT = {
    "timed": _timed,
    "scaled": _scaled,
    "decoder": _decoder,
    "spatial gate": _spatial_gate,
}
# As in the tests of the engine: which layers read each hidden layer's units, and where.
READERS = {
    "timed": {
        "timed_1": {"timed_2": (0, 4, 1)},
        "timed_2": {"timed_dense": (0, 5, 1)},
        "timed_dense": {"output": (0, 6, 1)},
    },
    "scaled": {
        "stem": {"expand": (0, 5, 1)},
        "expand": {"shrink": (0, 8, 1)},
        "sum": {"spectral": (0, 5, 1), "back": (0, 5, 1)},
        "spectral": {"einsum": (0, 6, 1)},
        "scaled_sum": {"output": (0, 6, 1)},
    },
    "decoder": {
        "code": {"spread": (0, 7, 1)},
        "maps": {"up": (0, 4, 1)},
        "up": {"output": (0, 5, 1)},
    },
    "spatial gate": {
        "trunk": {"gate": (0, 6, 1)},
        "gated": {"after": (0, 6, 1)},
        "after": {"output": (0, 5, 1)},
    },
}
# Layers that lead into the units, where they are not of that name.
MAKERS = {"sum": ["stem", "shrink"], "scaled_sum": ["back", "einsum"], "maps": ["spread"]}
CASES = [(kind, layer) for kind, layers_of in READERS.items() for layer in layers_of]


@pytest.fixture(scope="module")
def built(images):
    return {
        kind: with_random_weights(functional(kind.replace(" ", "_"), connect), seed, images[0])
        for seed, (kind, connect) in enumerate(CONNECT.items())
    }


@pytest.mark.parametrize(("kind", "layer"), CASES)
@pytest.mark.parametrize("silence", ["output", "mean"])
def test_lesioned_unit_is_silent_for_the_next_layer(built, images, kind, layer, silence):
    network, readers = built[kind], READERS[kind][layer]
    x, y = images
    task = "classification"
    if silence == "output":  # of errors every rounding shows
        task, y = "regression", np.eye(10)[y]
    engine = LesionEngine(network, x, y, silence=silence, task=task)
    assert set(engine.layers) == set(READERS[kind])
    lesions = lesions_of(engine.layers[layer])[1:5:2]
    found = engine.lesioned({layer: lesions})
    for units, score in zip(lesions, found, strict=True):
        places = silent_places(network, readers, units)
        lesioned = silenced_for(network, places, x if silence == "mean" else None)
        expected = scores(lesioned, x, y)
        if task == "regression":
            np.testing.assert_allclose(score, expected, rtol=1e-4)
        else:  # a tie of rounding may fall either way
            assert np.abs(score - expected).sum() <= 1
    assert (found != engine.intact()).any()


@pytest.mark.parametrize(("kind", "layer"), [case for case in CASES if case[0] != "spatial gate"])
def test_weights_into_a_unit_are_silent(built, images, kind, layer):
    network = built[kind]
    engine = LesionEngine(network, *images, silence="weights")
    lesions = lesions_of(engine.layers[layer])[2:4]
    found = engine.lesioned({layer: lesions})
    for units, right in zip(lesions, found, strict=True):
        kept = network.get_weights()
        for name in MAKERS.get(layer, [layer]):
            maker = network.get_layer(name)
            while hasattr(maker, "layer"):
                maker = maker.layer
            silent = np.resize(units, maker.bias.shape[-1])  # of maps every position
            is_transposed = isinstance(maker, layers.Conv2DTranspose)
            of_kernel = silent[:, None] if is_transposed else silent
            maker.kernel.assign(np.where(of_kernel, 0, maker.kernel.numpy()))
            maker.bias.assign(np.where(silent, 0, maker.bias.numpy()))
        expected = scores(network, *images)
        network.set_weights(kept)
        assert np.abs(right - expected).sum() <= 1


def test_weights_of_a_channel_that_goes_with_each_are_refused(built, images):
    message = "layer 'gated' .* joins one channel with each of several"
    with pytest.raises(InvalidInputError, match=message):
        LesionEngine(built["spatial gate"], *images, silence="weights")


DERIVATIVES = [
    ("timed", "timed_1", "timed_2"),
    ("timed", "timed_2", "timed_dense"),
    ("scaled", "expand", "sum"),
    ("scaled", "sum", "spectral"),
    ("decoder", "code", "maps"),
    ("decoder", "maps", "up"),
    ("spatial gate", "gated", "after"),
]


@pytest.mark.parametrize("kind", CONNECT)
def test_derivatives_are_those_of_the_network(built, images, kind):
    network, x = built[kind], images[0][:3].astype(np.float32)
    graph = graph_from_gradients(network, x, inputs=True, dense_layers=True)
    assert {layer.name for layer in graph.layers} >= set(READERS[kind])
    for source, target in [pair for name, *pair in DERIVATIVES if name == kind]:
        expected = jacobian(network, source, target, x)
        np.testing.assert_allclose(block(graph, source, target), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("kind", CONNECT)
def test_activations_are_those_of_the_network(built, images, kind):
    found = unit_activations(built[kind], images[0][:4], position="pre", map_norm="mean")
    names = {layer.name for layer in found.layers}
    assert names <= {*READERS[kind], "output"}
    for layer, values in zip(found.layers, found.values, strict=True):
        made = built[kind].get_layer(layer.name)
        if getattr(made, "activation", None) is not None or hasattr(made, "layer"):
            continue  # before the activation no tensor of Keras' stands
        output = keras.Model(built[kind].inputs[0], made.output)(images[0][:4]).numpy()
        means = output.reshape(4, -1, layer.n_units).mean(axis=1)
        np.testing.assert_allclose(values, means, rtol=1e-4, atol=1e-5)


def masked(*behind):
    inputs = keras.Input((5, 3))
    x = layers.Dense(4, name="dense")(layers.Masking()(inputs))
    for layer in behind:
        x = layer(x)
    return keras.Model(inputs, layers.Dense(2, name="output")(x), name="net")


def test_network_whose_layers_read_masks_is_refused():
    """A replaced tensor has no mask: the mean would be over places that do not count."""
    network = masked(layers.GlobalAveragePooling1D(name="pool"))
    x, y = np.ones((4, 5, 3), np.float32), np.array([0, 1, 0, 1])
    message = "layer 'pool' of network 'net' reads a mask, which a"
    with pytest.raises(InvalidInputError, match=message):
        LesionEngine(network, x, y)
    with pytest.raises(InvalidInputError, match=message):
        graph_from_gradients(network, x)


@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_mask_that_nothing_reads_changes_nothing():
    network = masked(layers.Flatten())
    random = np.random.default_rng(0)
    x, y = random.normal(size=(20, 5, 3)).astype(np.float32), random.integers(0, 2, 20)
    x[:, 2] = 0
    engine = LesionEngine(network, x, y)
    assert engine.intact().tolist() == scores(network, x, y).tolist()


def test_activations_go_with_their_masks():
    network = masked(layers.GlobalAveragePooling1D(), layers.Dense(3, name="hidden"))
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype(np.float32)
    x[:, 2:4] = 0
    found = unit_activations(network, x, position="pre", map_norm="mean")
    (hidden,) = [
        v for v, one in zip(found.values, found.layers, strict=True) if one.name == "hidden"
    ]
    expected = keras.Model(network.inputs[0], network.get_layer("hidden").output)(x).numpy()
    np.testing.assert_allclose(hidden, expected, rtol=1e-5)
