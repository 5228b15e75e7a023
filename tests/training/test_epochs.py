"""Training is Adam on cross-entropy, and its figures are what Keras says they are."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from nn_clustering.datasets import load_dataset
from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.networks import build_network
from nn_clustering.seeds import generator
from nn_clustering.training import PruningSchedule, evaluate, prunable_kernels, train

OPTIONS = {"epochs": 1, "batch_size": 32, "learning_rate": 0.002, "seed": 5}


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
    results = train(network, digits, **{**OPTIONS, "epochs": 2})
    naive = Naive(clone, OPTIONS["learning_rate"])
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
    train(network, digits, **{**OPTIONS, "epochs": 2}, phase="pruned", pruning=schedule)

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

    naive = Naive(clone, OPTIONS["learning_rate"])
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
        results = train(network, digits, **OPTIONS, on_epoch=seen.append)
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
    results = train(network, load_dataset("digits"), **{**OPTIONS, "epochs": 8})
    losses = [result.train_loss for result in results]
    assert losses == sorted(losses, reverse=True)
    assert results[-1].test_accuracy > 0.85


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_seed_and_phase_fix_all(digits, kind):
    def trained(**changes):
        network = build(kind, dropout=True)
        result = train(network, digits, **{**OPTIONS, "batch_size": 40, **changes})
        return network.get_weights(), result

    weights, result = trained()
    again, result_again = trained()
    assert result == result_again
    for ours, theirs in zip(weights, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for changes in ({"seed": 6}, {"phase": "pruned"}):
        other, _ = trained(**changes)
        assert (other[0] != weights[0]).any(), changes


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_diverging_loss(digits, kind):
    with pytest.raises(NnClusteringError, match="weights not finite") as refusal:
        train(build(kind), digits, **{**OPTIONS, "learning_rate": 1e30})
    message = str(refusal.value)
    assert message.startswith("epoch 1 of the unpruned phase diverged (loss ")
    assert "smaller training.learning_rate than 1e+30" in message
    assert "\n" not in message


def test_divergence_in_the_very_last_step(digits):
    """The loss of the only step is that before it; the network after it is lost."""
    with pytest.raises(NnClusteringError, match=r"loss 2.*, of the test set nan"):
        train(build(), digits, **{**OPTIONS, "batch_size": 200, "learning_rate": 1e38})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "training.epochs=0; expected an integer of 1 or more"),
        ({"epochs": 1.5}, "training.epochs=1.5; expected an integer"),
        ({"epochs": True}, "training.epochs=True; expected an integer"),
        ({"batch_size": 0}, "training.batch_size=0; expected an integer of 1 or more"),
        ({"batch_size": 201}, "training.batch_size=201; expected 1 to 200, .* of digits200"),
        ({"learning_rate": 0}, "training.learning_rate=0; expected more than 0"),
        ({"learning_rate": float("nan")}, "training.learning_rate=nan; expected more than 0"),
        ({"learning_rate": float("inf")}, "training.learning_rate=inf; expected"),
        ({"learning_rate": "high"}, "training.learning_rate='high'; expected"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_refuses(digits, changes, message):
    network = build()
    before = network.get_weights()
    with pytest.raises(InvalidInputError, match=message) as refusal:
        train(network, digits, **{**OPTIONS, **changes})
    assert "\n" not in str(refusal.value)
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
