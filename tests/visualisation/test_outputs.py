"""The entropy of an output is measured where it is of classes."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.visualisation import Bounds, InputOptimiser

LOGITS = np.array([1.0, 2, -1], np.float32)
SHARES = np.exp(LOGITS) / np.exp(LOGITS).sum()
ENTROPY = -(SHARES * np.log(SHARES)).sum()
# two classes for each of three things, their probabilities in a row
SEVERAL = (layers.Reshape((3, 2)), layers.Softmax(), layers.Flatten())


def network(*ends, width=3):
    last = layers.Dense(width, name="last", kernel_initializer="zeros")
    found = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="unit"), last, *ends])
    last.bias.assign(np.resize(LOGITS, width))
    return found


def optimiser(*ends, width=3, **settings):
    return InputOptimiser(network(*ends, width=width), (4,), bounds=Bounds(), **settings)


@pytest.mark.parametrize(
    "ends",
    [
        (),
        (layers.Softmax(),),
        (layers.Activation("softmax"), layers.Identity()),
        (layers.Activation("log_softmax"),),
        (layers.Rescaling(1.0), layers.Reshape((3,))),
    ],
    ids=["logits", "softmax", "activation", "logarithms", "scaled"],
)
def test_entropy_of_classes(ends):
    found = optimiser(*ends)
    assert found.measures_entropy
    answer = found.measured("unit", np.zeros((2, 4)), np.ones((2, 2), bool))
    np.testing.assert_allclose(answer.entropies, [ENTROPY] * 2, rtol=1e-6)


@pytest.mark.parametrize("ends", [(), (layers.Softmax(),), (layers.Activation("log_softmax"),)])
def test_outputs_that_are_sure_are_told_apart(ends):
    """Probabilities of 1e-60 are 0 in float32, and 1 - 1e-60 is 1 in float64."""
    entropies = []
    for logit in (20.0, 140.0, 150.0):
        sure = network(*ends)
        sure.get_layer("last").bias.assign([logit, 0, 0])
        found = InputOptimiser(sure, (4,), bounds=Bounds())
        answer = found.measured("unit", np.zeros((1, 4)), np.ones((1, 2), bool))
        entropies += answer.entropies.tolist()
    # two classes of probability p = exp(-logit): their -p ln p, and p each of the first
    expected = [2 * np.exp(-logit) * (logit + 1) for logit in (20.0, 140.0, 150.0)]
    np.testing.assert_allclose(entropies, expected, rtol=1e-6)


def test_an_output_that_is_sure_has_no_entropy():
    sure = network()
    sure.get_layer("last").bias.assign([1e5, 0, 0])
    found = InputOptimiser(sure, (4,), bounds=Bounds())
    assert found.measured("unit", np.zeros((1, 4)), np.ones((1, 2), bool)).entropies == [0]


@pytest.mark.parametrize(
    ("ends", "settings", "message"),
    [
        ((layers.Activation("sigmoid"),), {}, "is no softmax and no logits"),
        ((layers.ReLU(),), {}, "is no softmax and no logits"),
        ((layers.Softmax(), layers.Rescaling(2.0)), {}, "is no softmax and no logits"),
        ((), {"task": "regression"}, "is of a regression"),
        ((), {"width": 1}, "is no softmax and no logits"),
        (SEVERAL, {"width": 6}, "is no softmax and no logits"),
    ],
)
def test_other_outputs_have_none(ends, settings, message):
    found = optimiser(*ends, **settings)
    assert not found.measures_entropy
    answer = found.measured("unit", np.zeros((1, 4)), np.ones((1, 2), bool))
    assert answer.entropies is None
    with pytest.raises(InvalidInputError, match=message):
        optimiser(*ends, **settings, entropy=True)


def test_entropy_is_left_out_if_asked():
    assert not optimiser(entropy=False).measures_entropy
