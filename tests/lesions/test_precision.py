"""Lesions computed in bfloat16 first: the counts are those of the network's own precision."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import LesionEngine
from nn_clustering.lesions._doubt import Doubt
from tests.lesions.conftest import functional, with_random_weights
from tests.lesions.masked_networks import scores
from tests.lesions.test_engine import lesioned_by_hand, lesions_of


def is_reduced(engine, layer):
    passes, _ = engine._compiled[(layer,)]
    return passes._reduced is not None


@pytest.mark.parametrize("silence", ["output", "weights", "mean"])
@pytest.mark.parametrize(("kind", "layer"), [
    ("batch norm", "conv_1"),  # a norm behind pooling, one behind a convolution, one at the end
    ("residual", "first"),
    ("residual", "sum_1"),
    ("separable", "stem"),  # of whose readers none is linear
    ("concatenated", "left"),
])  # fmt: skip
def test_counts_are_those_of_float32(networks, images, kind, layer, silence):
    network, (x, y) = networks[kind], images
    engine = LesionEngine(network, x, y, silence=silence, precision="bfloat16")
    lesions = lesions_of(engine.layers[layer])
    found = engine.lesioned({layer: lesions})
    assert is_reduced(engine, layer)
    assert len(np.unique(found, axis=0)) > 2
    for units, answered in zip(lesions, found, strict=True):
        by_hand = lesioned_by_hand(kind, network, x, silence, {layer: units})
        assert answered.tolist() == scores(by_hand, x, y).tolist(), units


def _preactivated(x):
    """As ImageNet's networks are: padding, convolution and norm apart, sums of streams."""

    def convolution(x, filters, strides=1):
        bias = strides == 1  # which a norm behind it scales, too
        return layers.Conv2D(filters, 3, strides, use_bias=bias)(layers.ZeroPadding2D(1)(x))

    x = convolution(layers.BatchNormalization(scale=False)(x), 6)
    # silenced, as the sum's incoming weights, before its norm
    x = layers.Add()([x, layers.BatchNormalization()(convolution(layers.ReLU()(x), 6))])
    x = convolution(x, 6)
    # which does not read it alone
    x = layers.Add()([layers.ReLU()(x), layers.BatchNormalization()(x)])
    for filters in (6, 8):
        read = layers.Activation("relu")(layers.BatchNormalization()(x))
        shortcut = layers.Conv2D(filters, 1, strides=2, use_bias=False)(read)
        x = layers.ReLU()(layers.BatchNormalization()(convolution(read, filters, 2)))
        x = layers.Add()([convolution(x, filters), shortcut])
    return layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))


@pytest.mark.parametrize("silence", ["output", "weights"])
def test_padding_and_norms_in_kernels(images, silence):
    x, y = images
    network = with_random_weights(functional("preactivated", _preactivated), 0, x)
    exact = LesionEngine(network, x, y, silence=silence, precision="float32")
    engine = LesionEngine(network, x, y, silence=silence, precision="bfloat16")
    first, *_ = engine.layers
    for layer, n_units in [*engine.layers.items()][:2]:
        lesions = {layer: lesions_of(n_units)}
        found = engine.lesioned(lesions)
        assert found.tolist() == exact.lesioned(lesions).tolist()
        assert engine.lesioned(lesions).tolist() == found.tolist()
        doubt = engine._compiled[(layer,)][0].doubt
        assert doubt.held
        assert 1e-3 < doubt.bound < 0.6  # twice some hundredths: it computes what the network does
    assert is_reduced(engine, first)
    assert not is_reduced(exact, first)


def test_answers_that_bfloat16_cannot_tell(images):
    """Activations that differ by less than it rounds: all is in doubt, and computed again."""
    x, y = images
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(16, activation="relu", name="first"),
            layers.Dense(12, activation="relu", name="second"),
            layers.Dense(12, name="third"),
            layers.Dense(10),
            layers.Activation("softmax"),
        ]
    )
    keras.utils.set_random_seed(0)
    *_, kernel, bias = network.get_weights()
    offset = network.layers[2].bias
    offset.assign(offset + 1000.0)
    features = keras.Model(network.inputs[0], network.layers[3].output)(x).numpy()
    output = network.layers[4]
    output.bias.assign(bias - features.mean(axis=0) @ kernel)
    engine = LesionEngine(network, x, y, precision="bfloat16")
    lesions = np.tile(lesions_of(16), (8, 1))
    lesions[:, :] ^= np.eye(16, dtype=bool)[np.arange(48) % 16]
    found = engine.lesioned({"first": lesions})
    assert is_reduced(engine, "first")
    assert not engine._compiled[("first",)][0].doubt.pays
    exact = LesionEngine(network, x, y, precision="float32")
    assert found.tolist() == exact.lesioned({"first": lesions}).tolist()
    assert len(np.unique(found, axis=0)) > 2


def test_lesions_that_put_out_nan_are_refused(images):
    """The root of less than the intact network has."""
    x, y = images
    x = np.abs(x) + 0.1
    inputs = keras.Input((8, 8, 1))
    first = layers.Dense(16, name="first", kernel_initializer="ones")(layers.Flatten()(inputs))
    second = layers.Dense(12, name="second", kernel_initializer="ones")(first)
    network = keras.Model(inputs, layers.Dense(10)(keras.ops.sqrt(second)))
    least = float(keras.Model(inputs, second)(x).numpy().min())
    network.get_layer("second").bias.assign(np.full(12, -0.9 * least))
    for precision in ("float32", "bfloat16"):
        engine = LesionEngine(network, x, y, precision=precision)
        with pytest.raises(InvalidInputError, match="NaN"):
            engine.lesioned({"first": np.arange(16) < np.array([[5]])})


def test_bound_follows_the_errors():
    doubt = Doubt()
    assert doubt.sample((8, 160)).sum() == 64  # the first, then fewer
    doubt.begin()
    doubt.learn(np.full(64, 0.01))
    doubt.end(1280, 70)
    assert doubt.bound == pytest.approx(0.02)
    assert doubt.sample((8, 160)).sum() == 5
    doubt.learn(np.array([0.018]))
    assert doubt.held  # larger than any before, but expected
    doubt.learn(np.array([0.021]))
    assert not doubt.held  # what was taken for sure may not have been
    doubt.begin()
    doubt.learn(np.zeros(1000))
    assert doubt.held
    assert doubt.bound == pytest.approx(1.5 * 0.021)
    assert doubt.pays
    doubt.end(1280, 1279)
    assert not doubt.pays


def test_lesions_anew_where_the_bound_did_not_hold(networks, images):
    engine = LesionEngine(networks["residual"], *images, precision="bfloat16")
    lesions = {"first": lesions_of(6)}
    expected = engine.lesioned(lesions).tolist()
    doubt = engine._compiled[("first",)][0].doubt
    begun, begin = [], doubt.begin

    def begin_too_low():
        begin()
        begun.append(1)
        if len(begun) == 1:
            doubt._lowest = 0.0

    doubt.begin = begin_too_low
    progress = []
    lesions["first"][2, :2] = True  # one that is not known yet
    engine.lesioned(lesions, on_progress=progress.append)
    assert len(begun) == 2
    assert sum(progress) == 120 * 6
    del doubt.begin
    assert engine.lesioned({"first": lesions_of(6)}).tolist() == expected


def test_where_there_is_no_gain(networks, images):
    x, y = images
    for engine in (
        LesionEngine(networks["residual"], x, y),  # too few operations
        LesionEngine(networks["residual"], x, np.eye(10)[y], task="regression",
                     precision="bfloat16"),  # errors show every rounding
    ):  # fmt: skip
        engine.lesioned({"first": lesions_of(6)})
        assert not is_reduced(engine, "first")
    with pytest.raises(InvalidInputError, match="precision='half'; expected one of auto, float32"):
        LesionEngine(networks["residual"], x, y, precision="half")


def test_compiled_starts_change_nothing(networks, images):
    """What takes long enough is compiled, though it is computed once for every batch of images."""
    network, (x, y) = networks["batch norm"], images
    engines = [LesionEngine(network, x, y, precision=name) for name in ("bfloat16", "float32")]
    lesions = {"conv_1": lesions_of(5)}
    expected = engines[1].lesioned(lesions).tolist()
    for engine in engines:
        engine._is_heavy = True
        engine._compiled.clear()
        assert engine.intact().tolist() == scores(network, x, y).tolist()
        assert engine.lesioned(lesions).tolist() == expected
