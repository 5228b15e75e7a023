"""Training on tokens: answers at positions, weight decay, and accuracy by class and group."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from nn_clustering.datasets import Dataset, Groups
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import TokenInput, build_network
from nn_clustering.training import (
    Accuracy,
    Augmentation,
    Penalty,
    Phase,
    PruningSchedule,
    accuracies,
    check_phase_fits,
    evaluate,
    sparsity,
    train,
)

PHASE = Phase(epochs=1, batch_size=8, learning_rate=0.01)


def next_tokens(n_samples=40):
    """Sequences that count up by one or by two, which the second token tells; 9 tokens."""
    random = np.random.default_rng(0)
    start, step = random.integers(9, size=n_samples), random.integers(1, 3, size=n_samples)
    x = ((start[:, None] + step[:, None] * np.arange(7)) % 9).astype(np.int32)
    y = np.concatenate([x[:, 1:], np.full((n_samples, 1), -1, np.int32)], axis=1)
    y[:, 0] = -1  # the first token does not tell
    groups = np.where(y < 0, -1, step[:, None] - 1).astype(np.int32)
    names, parts = tuple("abcdefghi"), (x, y, x[:20], y[:20])
    tasks = Groups("task", ("one", "two"), groups, groups[:20])
    return Dataset("counting", *parts, names, vocabulary=names, groups=tasks)


def build(*, positions=True, seed=0, **changes):
    sizes = {"n_blocks": 1, "n_channels": 8, "n_heads": 2, "n_neurons": 16, "seed": seed}
    tokens = TokenInput(9, positions)
    return build_network(
        "transformer", (7,), 9, hidden_units=[], conv_filters=[], tokens=tokens, **sizes, **changes
    )


def losses_by_hand(network, x, y):
    probabilities = network(x, training=False).numpy()
    sample, place = np.nonzero(y >= 0)
    asked = probabilities[sample, place]
    answers = y[sample, place]
    return -np.log(asked[np.arange(len(answers)), answers]), asked.argmax(axis=1) == answers


def test_figures_are_those_of_the_positions_at_which_something_is_asked():
    dataset, network = next_tokens(), build()
    losses, right = losses_by_hand(network, dataset.x_test, dataset.y_test)
    assert len(losses) == 20 * 5
    loss, accuracy = evaluate(network, dataset.x_test, dataset.y_test)
    assert loss == pytest.approx(losses.mean(), rel=1e-5)
    assert accuracy == right.mean()


def test_what_is_not_asked_teaches_nothing():
    """One step is the same whatever the network says where nothing is asked."""
    dataset = next_tokens(8)
    asked_once = np.full_like(dataset.y_train, -1)
    asked_once[:, 3] = dataset.y_train[:, 3]
    once = replace(dataset, y_train=asked_once, groups=None)
    network, clone = build(norm="none"), build(norm="none")
    (result,) = train(network, once, PHASE, seed=0)
    losses, _ = losses_by_hand(clone, dataset.x_train, asked_once)
    assert result.train_loss == pytest.approx(losses.mean(), rel=1e-5)
    # ... and the same as where only that position's answer is put out
    optimizer = keras.optimizers.Adam(PHASE.learning_rate)
    cut = keras.Model(clone.input, clone.output[:, 3])
    cut.compile(optimizer, "sparse_categorical_crossentropy")
    cut.train_on_batch(dataset.x_train, asked_once[:, 3])
    for ours, theirs in zip(network.get_weights(), clone.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_learns_to_count():
    """By steps of two as well, which the tokens before tell: attention has to look back."""
    dataset, network = next_tokens(), build()
    results = train(network, dataset, replace(PHASE, epochs=60), seed=1)
    assert results[0].test_accuracy < 0.5
    assert results[-1].test_accuracy > 0.95
    found = accuracies(network, dataset)
    losses, right = losses_by_hand(network, dataset.x_test, dataset.y_test)
    answers = dataset.y_test[dataset.y_test >= 0]
    groups = dataset.groups.test[dataset.y_test >= 0]
    expected = [
        *(("class", "abcdefghi"[k], answers == k) for k in np.unique(answers)),
        *(("task", name, groups == k) for k, name in enumerate(("one", "two"))),
    ]
    assert found == [
        Accuracy(kind, name, int(chosen.sum()), float(right[chosen].mean()))
        for kind, name, chosen in expected
    ]
    for kind in ("class", "task"):
        own = [one for one in found if one.kind == kind]
        assert sum(one.n_answers for one in own) == len(losses)


def test_classes_of_the_whole():
    dataset = next_tokens()
    whole = replace(
        dataset, y_train=dataset.x_train[:, 0], y_test=dataset.x_test[:, 0], groups=None
    )
    network = build(positions=False)
    results = train(network, whole, replace(PHASE, epochs=40), seed=1)
    assert results[-1].test_accuracy > 0.95
    with pytest.raises(InvalidInputError, match=r"expected \(9,\) for counting"):
        train(build(), whole, PHASE, seed=0)
    with pytest.raises(InvalidInputError, match=r"expected \(7, 9\) for counting"):
        train(network, dataset, PHASE, seed=0)


def test_weight_decay_is_apart_from_the_gradient_and_of_kernels_and_embeddings():
    """A learning rate that hardly moves anything shows the decay alone."""
    dataset, network = next_tokens(16), build()
    before = {weights.path: weights.numpy() for weights in network.trainable_variables}
    for weights in network.trainable_variables:
        if weights.name == "bias":
            weights.assign(weights + 1)
            before[weights.path] = weights.numpy()
    train(network, dataset, replace(PHASE, learning_rate=1e-8, weight_decay=1e7), seed=0)
    for weights in network.trainable_variables:
        decays = weights.name in ("kernel", "embeddings")
        kept = (1 - 1e-8 * 1e7) ** 2 if decays else 1  # of two steps
        np.testing.assert_allclose(
            weights.numpy(), kept * before[weights.path], rtol=1e-4, atol=1e-6
        )


def test_attention_is_pruned_and_penalised():
    dataset, network = next_tokens(), build()
    schedule = PruningSchedule(0.5, 0.75, n_steps=10)
    penalty = Penalty(l1=1e-3)
    phase = replace(PHASE, epochs=2, name="pruned", pruning=schedule, penalty=penalty)
    results = train(network, dataset, phase, seed=0)
    assert sparsity(network) == pytest.approx(0.75, abs=0.01)
    value = network.get_layer("block_0_attention").value_dense.kernel.numpy()
    assert (value == 0).mean() == 0.75
    assert (network.get_layer("token_embedding").embeddings.numpy() != 0).all()
    assert results[-1].penalty > 0


def test_refuses():
    with pytest.raises(InvalidInputError, match=r"training.weight_decay=-1; expected a number"):
        Phase(weight_decay=-1)
    augmented = replace(PHASE, augmentation=Augmentation())
    with pytest.raises(InvalidInputError, match="moves images about, but a sample of counting"):
        check_phase_fits(augmented, "counting", (7,), 40)
