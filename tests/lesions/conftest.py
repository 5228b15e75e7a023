"""Networks to lesion: random weights suffice to tell one lesion from another."""

import keras
import numpy as np
import pytest

from nn_clustering.datasets import load_dataset
from nn_clustering.networks import build_network
from nn_clustering.training import Phase, train


@pytest.fixture(scope="session")
def images():
    """120 digits: images and labels."""
    dataset = load_dataset("digits")
    return dataset.x_test[:120], dataset.y_test[:120]


def with_random_weights(network, seed, x):
    """Give every variable values that leave no layer without effect, and answers that vary."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        values = []
        for variable in layer.weights:
            name, shape = variable.name, variable.shape
            if name == "kernel":
                values.append(random.normal(0, 1.5 / np.sqrt(np.prod(shape[:-1])), shape))
            elif name in ("gamma", "moving_variance"):
                values.append(random.uniform(0.5, 2, shape))
            elif name in ("bias", "beta", "moving_mean"):
                values.append(random.normal(0, 0.3, shape))
            else:  # the state of a dropout layer's generator
                values.append(variable.numpy())
        layer.set_weights(values)
    # every class is the answer to some images: logits of mean 0 and variance 1 over the images
    kernel, _ = network.layers[-1].get_weights()
    features = keras.Model(network.inputs[0], network.layers[-2].output)
    logits = features(x).numpy() @ kernel
    spread = logits.std(axis=0)
    network.layers[-1].set_weights([kernel / spread, -logits.mean(axis=0) / spread])
    return network


@pytest.fixture(scope="session")
def networks(images):
    """One network of each kind that lesions must be right for."""
    sizes = {"hidden_units": [9, 7], "conv_filters": [4, 5, 6]}

    def build(kind, dropout=False):
        return build_network(kind, (8, 8, 1), 10, **sizes, dropout=dropout, seed=0)

    layers = keras.layers
    with_batch_norm = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(5, 3, name="conv_1", use_bias=False),
            layers.ReLU(),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(name="norm_1"),
            layers.Conv2D(6, 2, strides=1, activation="relu", name="conv_2"),
            layers.BatchNormalization(name="norm_2"),
            layers.Dropout(0.4),
            layers.Flatten(),
            layers.Dense(8, activation="sigmoid", name="dense_1"),
            layers.BatchNormalization(name="norm_3"),
            layers.Dense(10, activation="softmax", name="output"),
        ],
        name="with_batch_norm",
    )
    found = {
        "mlp": build("mlp"),
        "mlp with dropout": build("mlp", dropout=True),
        "cnn": build("cnn"),
        "cnn with dropout": build("cnn", dropout=True),
        "batch norm": with_batch_norm,
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
