"""Training is Adam on cross-entropy, and its figures are what Keras says they are."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from nn_clustering.datasets import Dataset, load_dataset
from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.networks import build_network
from nn_clustering.seeds import generator
from nn_clustering.training import (
    Penalty,
    Phase,
    PruningSchedule,
    evaluate,
    prunable_kernels,
    train,
)

ONE = Phase(epochs=1, batch_size=32, learning_rate=0.002)
TWO = replace(ONE, epochs=2)


def build(kind="mlp", *, dropout=False, seed=1):
    if kind == "batch norm":
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(12, "relu", kernel_initializer=keras.initializers.HeNormal(0)),
                keras.layers.BatchNormalization(momentum=0.8),
                keras.layers.Dense(
                    10, "softmax", kernel_initializer=keras.initializers.HeNormal(1)
                ),
            ]
        )
    return build_network(
        kind,
        (8, 8, 1),
        10,
        hidden_units=[12],
        conv_filters=[3, 4],
        dropout=dropout,
        seed=seed,
    )


class Naive:
    """Train step by step, with Adam and pruning in numpy; only the gradients are TensorFlow's."""

    def __init__(self, network, learning_rate):
        self.network, self.learning_rate = network, learning_rate
        self.variables = network.trainable_variables
        self.first = [np.zeros(v.shape, np.float32) for v in self.variables]
        self.second = [np.zeros(v.shape, np.float32) for v in self.variables]
        self.n_steps = 0

    def step(self, x, y):
        with tf.GradientTape() as tape:
            probabilities = self.network(x, training=True)
            chosen = tf.gather(probabilities, y, batch_dims=1)
            loss = tf.reduce_mean(-tf.math.log(chosen))
        gradients = tape.gradient(loss, [v.value for v in self.variables])
        self.n_steps += 1
        t = self.n_steps
        rate = self.learning_rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        for index, (variable, gradient) in enumerate(zip(self.variables, gradients, strict=True)):
            g = gradient.numpy()
            self.first[index] = 0.9 * self.first[index] + 0.1 * g
            self.second[index] = 0.999 * self.second[index] + 0.001 * g**2
            change = rate * self.first[index] / (np.sqrt(self.second[index]) + 1e-7)
            variable.assign(variable.numpy() - change.astype(np.float32))
        n_correct = (probabilities.numpy().argmax(axis=1) == y).sum()
        return float(loss) * len(y), n_correct

    def epoch(self, dataset, order, batch_size, before=lambda step: None, after=lambda: None):
        loss = n_correct = 0
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            before(self.n_steps)
            step_loss, step_correct = self.step(dataset.x_train[batch], dataset.y_train[batch])
            after()
            loss += step_loss
            n_correct += step_correct
        return loss / len(order), n_correct / len(order)


def assert_close_weights(network, other):
    for ours, theirs in zip(network.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


@pytest.mark.parametrize("kind", ["mlp", "cnn", "batch norm"])
def test_epochs_equal_naive_ones(digits, kind):
    network, clone = build(kind), build(kind)
    before = network.get_weights()
    results = train(network, digits, TWO, seed=5)
    naive = Naive(clone, TWO.learning_rate)
    for epoch, result in enumerate(results, start=1):
        order = generator(5, "sample order", "unpruned", epoch).permutation(200)
        loss, accuracy = naive.epoch(digits, order, 32)
        assert result.epoch == epoch
        assert result.train_loss == pytest.approx(loss, rel=1e-4)
        assert result.train_accuracy == pytest.approx(accuracy, abs=1e-9)
    assert naive.n_steps == 14  # six batches of 32 and one of 8, twice
    assert_close_weights(network, clone)
    # ... which is no small matter: every step moved them further than the tolerance
    moved = np.abs(np.asarray(network.get_weights()[0]) - before[0]).max()
    assert moved > 0.005


def naive_mask(kernel, sparsity):
    n_kept = round((1 - sparsity) * kernel.size)
    threshold = np.sort(np.abs(kernel), axis=None)[-n_kept]
    return np.abs(kernel) >= threshold


def test_pruning_equals_naive_pruning(digits):
    schedule = PruningSchedule(0.5, 0.9, n_steps=14, every_n_steps=3)
    network, clone = build(), build()
    train(network, digits, replace(TWO, name="pruned", pruning=schedule), seed=5)

    kernels = [clone.get_layer(name).kernel for name in ("dense_1", "output")]
    masks = [np.ones(kernel.shape, bool) for kernel in kernels]

    def refresh(step, every=3):
        if step % every:
            return
        wanted = 0.9 + (0.5 - 0.9) * (1 - step / 14) ** 3
        for index, kernel in enumerate(kernels):
            masks[index] = naive_mask(kernel.numpy(), wanted)
        apply_masks()

    def apply_masks():
        for kernel, mask in zip(kernels, masks, strict=True):
            kernel.assign(kernel.numpy() * mask)

    naive = Naive(clone, TWO.learning_rate)
    for epoch in (1, 2):
        order = generator(5, "sample order", "pruned", epoch).permutation(200)
        naive.epoch(digits, order, 32, refresh, apply_masks)
    refresh(14, every=1)
    assert_close_weights(network, clone)
    for ours, theirs in zip(prunable_kernels(network), kernels, strict=True):
        np.testing.assert_array_equal(ours.numpy() == 0, theirs.numpy() == 0)


def test_figures_equal_those_of_keras(digits):
    for kind in ("mlp", "cnn"):
        network = build(kind)
        seen = []
        results = train(network, digits, ONE, seed=5, on_epoch=seen.append)
        assert seen == results
        network.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        loss, accuracy = network.evaluate(digits.x_test, digits.y_test, verbose=0)
        assert results[-1].test_loss == pytest.approx(loss, rel=1e-4)
        assert results[-1].test_accuracy == pytest.approx(accuracy, abs=1e-6)


def test_evaluation_in_several_batches():
    full = load_dataset("digits")  # 1,433 images: a batch of 1,000 and one of the rest
    network = build()
    loss, accuracy = evaluate(network, full.x_train, full.y_train)
    probabilities = network(full.x_train).numpy().astype(float)
    chosen = probabilities[np.arange(1433), full.y_train]
    assert loss == pytest.approx(-np.log(chosen).mean(), rel=1e-5)
    assert accuracy == (probabilities.argmax(axis=1) == full.y_train).mean()


def test_dropout_is_off_in_evaluation(digits):
    with_dropout = build(dropout=True)
    without = build()
    without.set_weights([v.numpy() for v in with_dropout.trainable_variables])
    expected = evaluate(without, digits.x_test, digits.y_test)
    assert evaluate(with_dropout, digits.x_test, digits.y_test) == pytest.approx(expected)


def test_learns():
    network = build()
    results = train(network, load_dataset("digits"), replace(ONE, epochs=8), seed=5)
    losses = [result.train_loss for result in results]
    assert losses == sorted(losses, reverse=True)
    assert results[-1].test_accuracy > 0.85


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_seed_and_phase_fix_all(digits, kind):
    def trained(seed=5, name="unpruned"):
        network = build(kind, dropout=True)
        result = train(network, digits, replace(ONE, batch_size=40, name=name), seed=seed)
        return network.get_weights(), result

    weights, result = trained()
    again, result_again = trained()
    assert result == result_again
    for ours, theirs in zip(weights, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for changes in ({"seed": 6}, {"name": "pruned"}):
        other, _ = trained(**changes)
        assert (other[0] != weights[0]).any(), changes


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_diverging_loss(digits, kind):
    with pytest.raises(NnClusteringError, match="weights not finite") as refusal:
        train(build(kind), digits, replace(ONE, learning_rate=1e30), seed=5)
    message = str(refusal.value)
    assert message.startswith("epoch 1 of the unpruned phase diverged (loss ")
    assert "smaller training.learning_rate than 1e+30" in message
    assert "\n" not in message


def test_divergence_in_the_very_last_step(digits):
    """The loss of the only step is that before it; the network after it is lost."""
    with pytest.raises(NnClusteringError, match=r"loss 2.*, of the test set nan"):
        train(build(), digits, replace(ONE, batch_size=200, learning_rate=1e38), seed=5)


def test_diverging_penalty(digits):
    """The loss is finite, and so are the weights after the only step."""
    phase = replace(ONE, batch_size=200, penalty=Penalty(l1=1e38))
    with pytest.raises(NnClusteringError, match=r"\(loss 2.*, penalty inf, weights finite\)") as e:
        train(build(), digits, phase, seed=5)
    assert str(e.value).endswith("than 0.002, or a smaller rate of the penalty")


def test_order_is_kept_without_shuffling(digits):
    network, clone = build(), build()
    train(network, digits, replace(TWO, shuffle=False), seed=5)
    naive = Naive(clone, TWO.learning_rate)
    for _ in range(2):
        naive.epoch(digits, np.arange(200), 32)
    assert_close_weights(network, clone)


def regression_of(n_samples=100):
    """Targets are x1 + x2 and x1 * x2."""
    x = np.random.default_rng(0).normal(size=(n_samples + 40, 2)).astype(np.float32)
    y = np.stack([x.sum(axis=1), x.prod(axis=1)], axis=1)
    train_set, test_set = (x[:n_samples], y[:n_samples]), (x[n_samples:], y[n_samples:])
    return Dataset("sums", *train_set, *test_set, ("sum", "product"), "regression")


def build_regression():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(16, "tanh"), keras.layers.Dense(2)]
    return keras.Sequential([keras.Input((2,)), *layers])


def test_regression_is_that_of_keras():
    dataset = regression_of()
    network, model = build_regression(), build_regression()
    results = train(network, dataset, replace(TWO, epochs=3, shuffle=False), seed=0)
    model.compile(keras.optimizers.Adam(0.002), "mse")
    history = model.fit(
        dataset.x_train, dataset.y_train, batch_size=32, epochs=3, shuffle=False, verbose=0,
        validation_data=(dataset.x_test, dataset.y_test),
    ).history  # fmt: skip
    assert [r.train_loss for r in results] == pytest.approx(history["loss"], rel=1e-4)
    assert [r.test_loss for r in results] == pytest.approx(history["val_loss"], rel=1e-4)
    assert_close_weights(network, model)
    assert {(r.train_accuracy, r.test_accuracy, r.penalty) for r in results} == {(None,) * 3}
    by_hand = np.square(model(dataset.x_test).numpy() - dataset.y_test).mean()
    assert evaluate(network, dataset.x_test, dataset.y_test) == (pytest.approx(by_hand), None)


def test_learns_a_regression():
    results = train(build_regression(), regression_of(), Phase(epochs=60, batch_size=10), seed=0)
    assert results[-1].test_loss < results[0].test_loss / 5


def test_vgg_with_batch_norm():
    """Statistics move inside the compiled epoch as they do step by step."""
    random = np.random.default_rng(0)
    x = random.random((24, 32, 32, 3), np.float32)
    y = np.arange(24, dtype=np.int32) % 3
    dataset = Dataset("colours", x[:20], y[:20], x[20:], y[20:], ("a", "b", "c"))

    def vgg():
        return build_network(
            "vgg", (32, 32, 3), 3, conv_filters=[[4], [4, 5]], hidden_units=[6, 6], seed=0
        )

    network, clone = vgg(), vgg()
    train(network, dataset, Phase(epochs=2, batch_size=8), seed=0)
    naive = Naive(clone, 0.001)
    for epoch in (1, 2):
        naive.epoch(dataset, generator(0, "sample order", "unpruned", epoch).permutation(20), 8)
    for ours, theirs in zip(network.get_weights(), clone.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    moved = [w for w in network.weights if w.name == "moving_variance"]
    assert len(moved) == 4
    assert all((np.abs(variance.numpy() - 1) > 1e-3).all() for variance in moved)


@pytest.mark.parametrize("seed", [-1, 1.5])
def test_refuses_seed(digits, seed):
    network = build()
    before = network.get_weights()
    with pytest.raises(InvalidInputError, match=f"seed={seed}"):
        train(network, digits, ONE, seed=seed)
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("every", [0, 1.5, True])
def test_refuses_checkpoint_every(digits, every):
    with pytest.raises(InvalidInputError, match=f"checkpoint_every={every}; expected a number"):
        train(build(), digits, ONE, seed=0, checkpoint_every=every)
