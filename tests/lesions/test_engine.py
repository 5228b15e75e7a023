"""The engine counts what a network with zeroed units really answers."""

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.lesions import LesionEngine, lesionable_layers

HIDDEN = {
    "mlp": ["dense_1", "dense_2"],
    "mlp with dropout": ["dense_1", "dense_2"],
    "cnn": ["conv_1", "conv_2", "conv_3", "dense_1", "dense_2"],
    "cnn with dropout": ["conv_1", "conv_3", "dense_1"],
    "batch norm": ["conv_1", "conv_2", "dense_1"],
}
# The layer after whose output a silenced unit is silent.
LAST = {"conv_1": "norm_1", "conv_2": "norm_2", "dense_1": "norm_3"}


def class_counts(probabilities, y):
    correct = probabilities.argmax(axis=1) == y
    return [int(correct[y == label].sum()) for label in range(10)]


def copy_of(network):
    clone = keras.models.clone_model(network)
    clone.set_weights(network.get_weights())
    return clone


def without_incoming_weights(network, layer_name, silent):
    """A copy with zeros for the kernel columns (or filters) and biases of the silent units."""
    clone = copy_of(network)
    layer = clone.get_layer(layer_name)
    kernel, *bias = (array.copy() for array in layer.get_weights())
    kernel[..., silent] = 0
    for array in bias:
        array[silent] = 0
    layer.set_weights([kernel, *bias])
    return clone


class Mask(keras.layers.Layer):
    def __init__(self, keep):
        super().__init__()
        self.keep = keep

    def call(self, x):
        return x * self.keep


def without_output(network, layer_name, silent):
    """The same layers rebuilt, with a mask right after the named layer."""
    clone = copy_of(network)
    keep = np.ones(clone.get_layer(layer_name).output.shape[-1], np.float32)
    keep[silent] = 0
    x = inputs = keras.Input(network.input_shape[1:])
    for layer in clone.layers:
        x = layer(x)
        if layer.name == layer_name:
            x = Mask(keep)(x)
    return keras.Model(inputs, x)


def random_lesions(n_units, n_lesions=4):
    """Lesions of nothing, of everything, and of random units."""
    keep = np.random.default_rng(n_units).integers(0, 2, (n_lesions, n_units)).astype(np.float32)
    keep[0], keep[1] = 1, 0
    return keep


@pytest.mark.parametrize("kind", HIDDEN)
def test_zeroed_weights(networks, images, kind):
    network, (x, y) = networks[kind], images
    engine = LesionEngine(network, x, y, silence="weights")
    seen = set()
    for layer in HIDDEN[kind]:
        keep = random_lesions(engine.n_units(layer))
        counts = engine.lesioned(layer, keep)
        for row, count in zip(keep, counts, strict=True):
            lesioned = without_incoming_weights(network, layer, row == 0)
            assert count.tolist() == class_counts(lesioned(x).numpy(), y), layer
            seen.add(tuple(count))
    assert len(seen) > len(HIDDEN[kind])  # the lesions differ, or all this shows nothing


@pytest.mark.parametrize("kind", HIDDEN)
def test_silenced_output(networks, images, kind):
    network, (x, y) = networks[kind], images
    engine = LesionEngine(network, x, y)
    for layer in HIDDEN[kind]:
        keep = random_lesions(engine.n_units(layer))
        counts = engine.lesioned(layer, keep)
        for row, count in zip(keep, counts, strict=True):
            if kind == "batch norm":
                lesioned = without_output(network, LAST[layer], row == 0)
            else:  # ReLU of 0 is 0: here both ways to silence a unit are one
                lesioned = without_incoming_weights(network, layer, row == 0)
            assert count.tolist() == class_counts(lesioned(x).numpy(), y), layer


def test_batch_norm_makes_the_two_ways_differ(networks, images):
    network, (x, y) = networks["batch norm"], images
    keep = np.zeros((1, 6), np.float32)
    by_output, by_weights = (
        LesionEngine(network, x, y, silence=silence).lesioned("conv_2", keep)
        for silence in ("output", "weights")
    )
    assert (by_output != by_weights).any()


@pytest.mark.parametrize("silence", ["output", "weights"])
@pytest.mark.parametrize("kind", HIDDEN)
def test_intact_network(networks, images, kind, silence):
    network, (x, y) = networks[kind], images
    engine = LesionEngine(network, x, y, silence=silence)
    expected = class_counts(network.predict(x, verbose=0), y)
    assert engine.intact().tolist() == expected
    assert engine.class_sizes.tolist() == np.bincount(y, minlength=10).tolist()
    for layer in HIDDEN[kind]:
        nothing = np.ones((1, engine.n_units(layer)), np.float32)
        assert engine.lesioned(layer, nothing)[0].tolist() == expected


@pytest.mark.parametrize("kind", ["mlp", "cnn", "batch norm"])
def test_batch_size_does_not_matter(networks, images, kind):
    network, (x, y) = networks[kind], images
    layer = HIDDEN[kind][1]
    answers, progress = [], []
    for batch_size in (None, 1000, 120, 50, 7):
        engine = LesionEngine(network, x, y, batch_size=batch_size)
        keep = random_lesions(engine.n_units(layer))
        steps = []
        answers.append(engine.lesioned(layer, keep, on_progress=steps.append).tolist())
        progress.append(steps)
    assert all(answer == answers[0] for answer in answers)
    assert progress[:4] == [[480], [480], [480], [200, 200, 80]]
    assert progress[4] == [28] * 17 + [4]


def test_engine_leaves_the_network_alone(networks, images):
    network = networks["batch norm"]
    before = network.get_weights()
    LesionEngine(network, *images, silence="weights").lesioned("conv_1", random_lesions(5))
    for array, was in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_which_layers_can_be_lesioned(networks):
    mlp, cnn = networks["mlp"], networks["cnn"]
    whole = (Layer("input", 64), Layer("dense_1", 9), Layer("dense_2", 7), Layer("output", 10))
    assert lesionable_layers(whole, mlp) == ("dense_1", "dense_2")
    convolutions = (Layer("conv_1", 4), Layer("conv_2", 5), Layer("conv_3", 6))
    assert lesionable_layers(convolutions, cnn) == ("conv_1", "conv_2", "conv_3")
    for layers, found in (((Layer("dense_3", 7),), "no such layer"), ((Layer("dense_1", 8),), "9")):
        with pytest.raises(InvalidInputError, match=f"network 'mlp' has {found}: the partition"):
            lesionable_layers(layers, mlp)


def test_refuses(networks, images):
    x, y = images
    network = networks["mlp"]
    cases = [
        ((x, y, "both"), "silence='both'; expected one of output, weights"),
        ((x[:, :4], y, "output"), r"takes inputs of shape \(8, 8, 1\), the data set's images are"),
        ((x, y + 1, "output"), "the data set has classes 1 to 10: expected one output a class"),
        ((x, y - 1, "output"), "the data set has classes -1 to 8: expected one output a class"),
        ((x, y[:5], "output"), r"120 test images but labels of shape \(5,\)"),
        ((x[:0], y[:0], "output"), "0 test images"),
        ((x[y == 3], y[y == 3], "output"), "all of one class; expected two"),
    ]
    for (some_x, some_y, silence), message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            LesionEngine(network, some_x, some_y, silence=silence)
        assert "\n" not in str(refusal.value)
    engine = LesionEngine(network, x, y)
    with pytest.raises(InvalidInputError, match=r"\(1, 8\) for layer 'dense_1'; expected"):
        engine.lesioned("dense_1", np.ones((1, 8), np.float32))
    with pytest.raises(InvalidInputError, match="no layer of units 'conv_1'; expected one of"):
        engine.lesioned("conv_1", np.ones((1, 9), np.float32))


def test_refuses_what_is_no_classifier(images):
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(10, 3)])
    with pytest.raises(InvalidInputError, match=r"outputs of shape \(6, 6, 10\)"):
        LesionEngine(network, *images)
