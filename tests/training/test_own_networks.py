"""Networks of one's own: what fits the data set trains, what does not is refused."""

import keras
import numpy as np
import pytest

from nn_clustering.datasets import Dataset
from nn_clustering.errors import InvalidInputError
from nn_clustering.training import Phase, PruningSchedule, prunable_kernels, sparsity, train

ONE = Phase(epochs=1, batch_size=50)
layers = keras.layers


def residual():
    """Branches, separable and depthwise convolutions, batch norm, and a model within."""
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    y = layers.BatchNormalization()(layers.SeparableConv2D(4, 3, padding="same")(x))
    x = layers.Add()([x, layers.DepthwiseConv2D(3, padding="same")(y)])
    head = keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu"), layers.Dropout(0.2)])
    x = head(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(10, "softmax")(x))


class Subclassed(keras.Model):
    """Built by its first call."""

    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(8, "relu")
        self.last = layers.Dense(10, "softmax")

    def call(self, x):
        return self.last(self.hidden(keras.ops.reshape(x, (-1, 64))))


@pytest.mark.parametrize("network", [residual, Subclassed])
def test_trains_and_prunes(digits, network):
    keras.utils.set_random_seed(0)
    network = network()
    first, *_, last = train(network, digits, Phase(epochs=6, batch_size=20), seed=0)
    assert last.train_loss < first.train_loss
    pruned = Phase("pruned", 2, 50, pruning=PruningSchedule(0.5, 0.75, n_steps=8))
    train(network, digits, pruned, seed=0)
    assert sparsity(network) == pytest.approx(0.75, abs=0.01)
    for kernel in prunable_kernels(network):
        assert (kernel.numpy() == 0).sum() == kernel.numpy().size - round(kernel.numpy().size / 4)


def test_layers_that_xla_does_not_know(digits):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.RandomRotation(0.05, seed=0),
            layers.Flatten(),
            layers.Dense(10, "softmax"),
        ]
    )
    assert train(network, digits, ONE, seed=0)[0].train_loss > 0


def dense(*last, shape=(8, 8, 1)):
    return keras.Sequential([keras.Input(shape), layers.Flatten(), *last])


def regression():
    x, y = np.zeros((60, 8, 8, 1), np.float32), np.ones((60, 10), np.float32)
    return Dataset("sums", x, y, x, y, tuple("abcdefghij"), "regression")


@pytest.mark.parametrize(
    ("network", "is_regression", "message"),
    [
        (dense(layers.Dense(9, "softmax")), False, r"shape \(9,\) a sample; expected \(10,\) for"),
        (dense(layers.Dense(9)), True, r"shape \(9,\) a sample; expected \(10,\) for sums"),
        (dense(layers.Dense(10)), False, "no class probabilities .* expected a last layer with so"),
        (dense(layers.Dense(10, "sigmoid")), False, "no class probabilities"),
        (dense(layers.Dense(10, "softmax")), True, "ends in a softmax, but sums is a regression"),
        (
            dense(layers.Dense(10, "softmax"), shape=(7, 7, 1)),
            False,
            r"cannot take samples of digits200, of shape \(8, 8, 1\) .* expected a network built",
        ),
    ],
)
def test_refuses_networks_that_do_not_fit(digits, network, is_regression, message):
    before = network.get_weights()
    with pytest.raises(InvalidInputError, match=message) as refusal:
        train(network, regression() if is_regression else digits, ONE, seed=0)
    assert str(refusal.value).isprintable()
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
