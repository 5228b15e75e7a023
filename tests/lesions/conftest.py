"""Networks to lesion: random weights suffice to tell one lesion from another."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.datasets import load_dataset
from nn_clustering.networks import build_network
from nn_clustering.training import Phase, train


@pytest.fixture(scope="module", autouse=True)
def initial_weights():
    """The same in every run, where a test does not set them."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def images():
    """120 digits: images and labels."""
    dataset = load_dataset("digits")
    return dataset.x_test[:120], dataset.y_test[:120]


def with_random_weights(network, seed, x):
    """Give every variable values that leave no layer without effect, and answers that vary."""
    random = np.random.default_rng(seed)
    for variable in network.weights:
        name, shape = variable.name, variable.shape
        if "kernel" in name:
            variable.assign(random.normal(0, 1.5 / np.sqrt(np.prod(shape[:-1])), shape))
        elif name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 2, shape))
        elif name in ("bias", "beta", "moving_mean"):
            variable.assign(random.normal(0, 0.3, shape))
    # every class is the answer to some images: logits of mean 0 and variance 1 over the images
    last = network.layers[-1]
    features = keras.Model(network.inputs[0], last.input)
    logits = features(x).numpy() @ last.kernel.numpy()
    spread = logits.std(axis=0)
    last.kernel.assign(last.kernel.numpy() / spread)
    last.bias.assign(-logits.mean(axis=0) / spread)
    return network


def functional(name, connect):
    """A network of what ``connect`` makes of the input, and a dense output layer on top."""
    inputs = keras.Input((8, 8, 1))
    output = layers.Dense(10, activation="softmax", name="output")(connect(inputs))
    return keras.Model(inputs, output, name=name)


def convolution(filters, name, **options):
    return layers.Conv2D(filters, 3, padding="same", activation="relu", name=name, **options)


def _residual(x):
    x = convolution(6, "first")(x)
    y = convolution(5, "inner")(x)
    x = layers.Add(name="sum_1")([layers.Conv2D(6, 3, padding="same", name="back")(y), x])
    x = layers.ReLU()(x)
    y = layers.Conv2D(7, 3, strides=2, padding="same", name="down")(x)
    shortcut = layers.Conv2D(7, 1, strides=2, name="projection")(x)
    x = layers.ReLU()(layers.Add(name="sum_2")([y, shortcut]))
    return layers.GlobalAveragePooling2D()(x)


def _concatenated(x):
    x = layers.Flatten()(x)
    left = layers.Dense(6, activation="relu", name="left")(x)
    right = layers.Dense(5, activation="tanh", name="right")(x)
    both = layers.Concatenate(name="both")([left, right])
    joined = layers.Dense(7, activation="relu", name="joined")(both)
    return layers.Concatenate()([joined, left])


def _gated(x):
    x = layers.Dense(6, activation="relu", name="trunk")(layers.Flatten()(x))
    gate = layers.Dense(6, activation="sigmoid", name="gate")(x)
    return layers.Multiply(name="gated")([x, gate])


def _separable(x):
    x = convolution(4, "stem")(x)
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="depth")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(5, 1, activation="relu", name="point")(x)
    x = layers.SeparableConv2D(6, 3, activation="relu", name="separable")(x)
    return layers.GlobalMaxPooling2D()(x)


def _with_batch_norm(x):
    x = layers.Conv2D(5, 3, name="conv_1")(x)
    x = layers.BatchNormalization()(layers.MaxPooling2D(2)(layers.ReLU()(x)))
    x = layers.BatchNormalization()(convolution(6, "conv_2")(x))
    x = layers.Flatten()(layers.Dropout(0.4)(x))
    return layers.BatchNormalization()(layers.Dense(8, activation="sigmoid", name="dense_1")(x))


def _nested(x):
    inner_input = keras.Input((8, 8, 4))
    inner = convolution(5, "deep_1")(inner_input)
    inner = layers.MaxPooling2D(2)(convolution(6, "deep_2")(inner))
    x = keras.Model(inner_input, inner, name="inner")(convolution(4, "outer")(x))
    return layers.Dense(9, activation="relu", name="head")(layers.Flatten()(x))


@pytest.fixture(scope="session")
def networks(images):
    """One network of each kind that lesions must be right for."""

    def build(kind, **options):
        return build_network(kind, (8, 8, 1), 10, hidden_units=[9, 7], seed=0, **options)

    found = {
        "mlp": build("mlp", conv_filters=[]),
        "cnn": build("cnn", conv_filters=[4, 5, 6], dropout=True),
        "vgg": build("vgg", conv_filters=[[4, 5], [6]], dropout=True),
        "batch norm": functional("with_batch_norm", _with_batch_norm),
        "residual": functional("residual", _residual),
        "concatenated": functional("concatenated", _concatenated),
        "gated": functional("gated", _gated),
        "separable": functional("separable", _separable),
        "nested": functional("nested", _nested),
    }
    return {
        kind: with_random_weights(network, seed, images[0])
        for seed, (kind, network) in enumerate(found.items())
    }


@pytest.fixture(scope="session")
def trained():
    """A small network that has learnt the digits, with the images to test it on."""
    dataset = load_dataset("digits")
    network = build_network(
        "mlp", (8, 8, 1), 10, hidden_units=[24, 20], conv_filters=[], dropout=False, seed=0
    )
    train(network, dataset, Phase(epochs=6, batch_size=64, learning_rate=0.005), seed=0)
    return network, dataset
