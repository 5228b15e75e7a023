"""Penalties are those of Keras' regularisers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from nn_clustering.training import Penalty, Phase, prunable_kernels, train
from nn_clustering.training._penalties import penalty_term


def build(first=None, others=None, kind="mlp"):
    """A network with regularisers of its own, or without."""
    keras.utils.set_random_seed(3)
    layers = [keras.Input((8, 8, 1))]
    if kind == "cnn":
        layers += [
            keras.layers.Conv2D(3, 3, activation="relu", kernel_regularizer=first),
            keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer=others),
        ]
    layers.append(keras.layers.Flatten())
    first_dense = first if kind == "mlp" else others
    layers += [
        keras.layers.Dense(9, "relu", kernel_regularizer=first_dense, bias_initializer="ones"),
        keras.layers.Dense(10, "softmax", kernel_regularizer=others),
    ]
    return keras.Sequential(layers)


@settings(max_examples=25, deadline=None)
@given(
    l1=st.floats(0, 2), l2=st.floats(0, 2), first_layer_l1=st.booleans(), seed=st.integers(0, 99)
)
def test_term_and_gradient_by_hand(l1, l2, first_layer_l1, seed):
    random = np.random.default_rng(seed)
    values = [random.normal(size=shape).astype(np.float32) for shape in ((3, 3, 2, 4), (5, 2))]
    values[1][0, 0] = 0
    kernels = [keras.Variable(value) for value in values]
    with tf.GradientTape() as tape:
        term = penalty_term(kernels, Penalty(l1=l1, l2=l2, first_layer_l1=first_layer_l1))
    gradients = tape.gradient(
        term, [kernel.value for kernel in kernels], unconnected_gradients="zero"
    )
    rates = [(l1 + l2, 0.0) if first_layer_l1 else (l1, l2), (l1, l2)]
    expected = 0.0
    for (a, b), w, gradient in zip(rates, values, gradients, strict=True):
        expected += a * np.abs(w.astype(float)).sum() + b * np.square(w.astype(float)).sum()
        np.testing.assert_allclose(gradient, a * np.sign(w) + 2 * b * w, rtol=1e-5, atol=1e-6)
    assert float(term) == pytest.approx(expected, rel=1e-5)


L1, L2 = keras.regularizers.L1, keras.regularizers.L2


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize(
    ("penalty", "first", "others"),
    [
        (Penalty(l1=0.003), L1(0.003), L1(0.003)),
        (Penalty(l2=0.01), L2(0.01), L2(0.01)),
        (Penalty(l2=0.01, first_layer_l1=True), L1(0.01), L2(0.01)),
    ],
)
def test_training_equals_keras_with_regularisers(digits, kind, penalty, first, others):
    """A network of Keras' own trains the same by fit, and by train, and as one with a penalty."""
    options = {"epochs": 2, "batch_size": 50, "shuffle": False}
    network, plain = build(kind=kind), build(kind=kind)
    regularised, model = build(first, others, kind), build(first, others, kind)
    ours = train(network, digits, Phase(penalty=penalty, **options), seed=0)
    own = train(regularised, digits, Phase(**options), seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(digits.x_train, digits.y_train, verbose=0, **options).history["loss"]
    train(plain, digits, Phase(**options), seed=0)

    for results in (ours, own):
        # Keras' loss is the sum of both
        assert [r.train_loss + r.penalty for r in results] == pytest.approx(history, rel=1e-4)
        assert all(r.penalty > 0.05 for r in results)
    for other in (regularised, model):
        for a, b in zip(network.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)
    # ... and the penalty matters
    for kernel, free in zip(prunable_kernels(network), prunable_kernels(plain), strict=True):
        assert np.abs(kernel.numpy() - free.numpy()).max() > 5e-4


def test_penalty_reported_is_the_mean_over_batches(digits):
    """With a learning rate next to nothing it is that of the network as it stands."""
    network = build()
    expected = 0.01 * sum(np.abs(kernel.numpy()).sum() for kernel in prunable_kernels(network))
    phase = Phase(epochs=1, batch_size=64, learning_rate=1e-12, penalty=Penalty(l1=0.01))
    (result,) = train(network, digits, phase, seed=0)
    assert result.penalty == pytest.approx(expected, rel=1e-4)
    (result,) = train(network, digits, Phase(epochs=1, batch_size=64), seed=0)
    assert result.penalty is None
    assert result.clusterability is None


def test_losses_that_layers_add_count(digits):
    class Restless(keras.layers.Layer):
        def call(self, x):
            self.add_loss(0.25 * keras.ops.mean(keras.ops.square(x)))
            return x

    def with_loss(layer):
        keras.utils.set_random_seed(3)
        middle = keras.layers.Dense(9, "relu")
        last = keras.layers.Dense(10, "softmax")
        return keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Flatten(), middle, layer, last]
        )

    options = {"epochs": 2, "batch_size": 50, "shuffle": False}
    network, model = with_loss(Restless()), with_loss(Restless())
    results = train(network, digits, Phase(**options), seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(digits.x_train, digits.y_train, verbose=0, **options).history["loss"]
    assert [r.train_loss + r.penalty for r in results] == pytest.approx(history, rel=1e-4)
    assert results[0].penalty > 0.01


def test_biases_are_free(digits):
    """A penalty so large that it drives all kernels towards 0 leaves the biases."""
    network = build()
    *_, hidden, output = network.layers
    before = [np.abs(layer.kernel.numpy()).max() for layer in (hidden, output)]
    phase = Phase(epochs=40, batch_size=50, learning_rate=0.005, penalty=Penalty(l2=30))
    train(network, digits, phase, seed=0)
    for layer, largest in zip((hidden, output), before, strict=True):
        assert np.abs(layer.kernel.numpy()).max() < largest / 4
    assert (hidden.bias.numpy() > 0.5).all()
