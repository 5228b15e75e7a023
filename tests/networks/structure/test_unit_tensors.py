"""Where the nonlinearity of units is looked for, and where not."""

import keras
import pytest
from keras import layers

from nn_clustering.networks.structure import around_nonlinearity, walk_network
from tests.networks.sample_networks import conv, dense, sequential


def found(network, name):
    """Names of the steps that make the tensors before and after the nonlinearity of a layer."""
    walk = walk_network(network)
    made_by = {number: step.name for step in walk.steps for number in step.outputs}
    (tensor,) = next(step.outputs for step in walk.steps if step.name == name)
    return tuple(made_by[number] for number in around_nonlinearity(walk, tensor))


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([dense([[1]], "units", activation="tanh")], ("units", "units/activation")),
        ([dense([[1]], "units"), layers.PReLU(name="act")], ("units", "act")),
        ([dense([[1]], "units"), layers.Activation("gelu", name="act")], ("units", "act")),
        ([dense([[1]], "units"), layers.BatchNormalization(name="norm"), layers.ReLU(name="act")],
         ("norm", "act")),
        ([dense([[1]], "units"), layers.Dropout(0.5, name="drop"), layers.ELU(name="act")],
         ("drop", "act")),
        ([dense([[1]], "units"), layers.Activation("linear"), layers.Softmax()],
         ("units", "units")),
        ([dense([[1]], "units", activation="softmax"), layers.ReLU()], ("units", "units")),
        ([dense([[1]], "units"), dense([[1]], "next", activation="relu")], ("units", "units")),
    ],
)  # fmt: skip
def test_first_nonlinearity_of_each_units_own(parts, expected):
    assert found(sequential((1,), *parts), "units") == expected


def test_maps_are_pooled_before_their_nonlinearity_but_not_weighed():
    pooled = [layers.MaxPooling2D(name="pool"), layers.ReLU(name="act")]
    network = sequential((4, 4, 1), conv(2, "units"), *pooled)
    assert found(network, "units") == ("pool", "act")
    network = sequential((4, 4, 1), conv(2, "units"), layers.DepthwiseConv2D(1), layers.ReLU())
    assert found(network, "units") == ("units", "units")


def test_nonlinearity_of_a_sum_is_not_that_of_what_it_adds():
    inputs = keras.Input((2,))
    left, right = layers.Dense(3, name="left")(inputs), layers.Dense(3, name="right")(inputs)
    total = layers.ReLU(name="act")(layers.Add(name="sum")([left, right]))
    network = keras.Model(inputs, total)
    assert found(network, "left") == ("left", "left")
    assert found(network, "sum") == ("sum", "act")
