"""What normalisation multiplies weights by, by hand and beside what networks compute."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from tests.networks.sample_networks import (
    conv,
    dense,
    pointwise,
    sequential,
    set_batch_norm,
    set_kernel,
)


def test_batch_norm_by_hand():
    """gamma / sqrt(variance + epsilon): 2 / sqrt(0.24 + 0.01) = 4, |-3| / sqrt(3.99 + 0.01) = 1.5.

    The first convolution's batch norm multiplies the kernels that read the image, so no edge.
    """
    network = sequential(
        (6, 6, 1),
        conv(2, "first"),
        layers.BatchNormalization(epsilon=0.01, name="norm_1"),
        conv(2, "second"),
        layers.ReLU(),
        layers.MaxPooling2D(),
        layers.BatchNormalization(epsilon=0.01, name="norm_2"),
    )
    kernels = np.zeros((2, 3, 2, 2))
    kernels[0, 0] = [[1, -2], [3, 5]]
    set_kernel(network.get_layer("second"), kernels)
    set_batch_norm(network.get_layer("norm_1"), [100.0, 100.0], [1.0, 1.0])
    set_batch_norm(network.get_layer("norm_2"), [2.0, -3.0], [0.24, 3.99])
    folded = graph_from_weights(network).edges[0].weights
    assert folded == pytest.approx(np.array([[1 * 4, 2 * 1.5], [3 * 4, 5 * 1.5]]), rel=1e-5)
    unfolded = graph_from_weights(network, fold_normalisation=False).edges[0].weights
    assert unfolded.tolist() == [[1, 2], [3, 5]]


def test_batch_norms_multiply_and_may_lack_gamma():
    """2 / sqrt(0.25) = 4 times 1 / sqrt(4) = 0.5 for the one unit."""
    network = sequential(
        (1,),
        layers.Dense(1, name="dense"),
        layers.BatchNormalization(epsilon=0.0, name="norm_1"),
        layers.BatchNormalization(epsilon=0.0, scale=False, name="norm_2"),
    )
    set_kernel(network.get_layer("dense"), [[-3]])
    set_batch_norm(network.get_layer("norm_1"), [2.0], [0.25])
    set_batch_norm(network.get_layer("norm_2"), None, [4.0])
    assert graph_from_weights(network).edges[0].weights == pytest.approx(np.array([[6.0]]))


def test_folded_weights_are_what_the_network_computes():
    """Without activations, an input of 1 instead of 0 changes a unit by its folded weight."""
    network = sequential((5,), layers.Dense(4), layers.BatchNormalization(name="norm"))
    random = np.random.default_rng(0)
    set_kernel(network.layers[0], random.normal(size=(5, 4)))
    gamma, variance = random.normal(size=4), random.uniform(0.5, 2, 4)
    set_batch_norm(network.get_layer("norm"), gamma, variance)
    inputs = np.vstack([np.eye(5), np.zeros((1, 5))]).astype(np.float32)
    outputs = keras.ops.convert_to_numpy(network(inputs, training=False))
    expected = np.abs(outputs[:5] - outputs[5])
    assert graph_from_weights(network).edges[0].weights == pytest.approx(expected, abs=1e-5)


def test_batch_norm_of_another_axis_refused():
    network = sequential(
        (6, 5, 1), conv(2, "first"), conv(3, "second"), layers.BatchNormalization(1, name="norm")
    )
    with pytest.raises(InvalidInputError, match=r"'norm' normalises 6 values; .* layer 'second'"):
        graph_from_weights(network)


def test_normalisation_by_statistics_of_another_axis_refused():
    normal = layers.Normalization(axis=1, mean=np.zeros(2), variance=np.full(2, 4.0), name="norm")
    network = sequential((2, 3, 1), pointwise(2, "first"), normal, pointwise(2, "second"))
    with pytest.raises(InvalidInputError, match=r"'norm' normalises 2 values; .* layer 'first'"):
        graph_from_weights(network)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (layers.LayerNormalization(), 6),
        (layers.GroupNormalization(1), 6),
        (layers.LayerNormalization(scale=False, center=False), 3),
        (layers.UnitNormalization(), 3),
    ],
)
def test_other_normalisations(layer, expected):
    """gamma, -2 here, times the weight 3; what they divide by is common to all units."""
    network = sequential((2,), dense([[3, 1], [3, 1]], "dense"), layer)
    for variable in layer.weights:
        variable.assign([-2.0, 1.0])
    assert graph_from_weights(network).edges[0].weights.tolist() == [[expected, 1]] * 2


def test_normalisation_of_the_inputs_does_not_count():
    normalisation = layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0])
    network = sequential((2,), normalisation, layers.BatchNormalization(), dense([[3], [5]], "a"))
    network.layers[1].gamma.assign([7.0, 11.0])
    assert graph_from_weights(network).edges[0].weights.tolist() == [[3], [5]]


@pytest.mark.parametrize("invert", [False, True])
def test_normalisation_by_given_statistics(invert):
    """Standard deviations 2 and 1000; of a column that never varies Keras' smallest divisor."""
    normal = layers.Normalization(mean=[1.0, 2, 3], variance=[4.0, 1e6, 0], invert=invert)
    network = sequential((1,), dense([[3, 5, 7]], "dense"), normal, dense(np.ones((3, 1)), "last"))
    deviations = np.array([2, 1000, keras.config.epsilon()])
    expected = np.array([3, 5, 7]) * (deviations if invert else 1 / deviations)
    weights = graph_from_weights(network).edges[0].weights
    assert weights == pytest.approx(expected[None], rel=1e-6)
    # which is what the layer computes of a step from the mean
    made = keras.ops.convert_to_numpy(normal(np.array([1.0, 2, 3]) + np.eye(3)[:2]))
    rest = keras.ops.convert_to_numpy(normal(np.array([[1.0, 2, 3]])))
    computed = np.abs(np.diag(made - rest))
    assert np.array([3, 5]) * computed == pytest.approx(expected[:2], rel=1e-3)


def test_inverse_of_a_normalisation_undoes_it():
    data = np.random.default_rng(0).normal(0, [1, 10, 100], (200, 3)).astype(np.float32)
    there, back = layers.Normalization(), layers.Normalization(invert=True)
    there.adapt(data)
    back.adapt(data)
    kernel = np.diag([3.0, 5, 7])
    network = sequential((3,), dense(kernel, "dense"), there, back, dense(np.eye(3), "last"))
    assert graph_from_weights(network).edges[0].weights == pytest.approx(kernel, rel=1e-6)
