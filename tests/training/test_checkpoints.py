"""A training that goes on from a checkpoint gives what it would have given, bit for bit."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import build_network
from nn_clustering.training import (
    Augmentation,
    Checkpoint,
    EpochResult,
    Penalty,
    Phase,
    PruningSchedule,
    restore_variables,
    sparsity,
    train,
)

FOUR = Phase(epochs=4, batch_size=100)
PRUNED = replace(FOUR, name="pruned", pruning=PruningSchedule(0.5, 0.9, 8, every_n_steps=3))


def build(kind="mlp", *, dropout=False, seed=1, units=12, precision="float32"):
    if kind == "batch norm":
        keras.utils.set_random_seed(seed)
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Conv2D(4, 3, activation="relu"),
                keras.layers.BatchNormalization(),
                keras.layers.Flatten(),
                keras.layers.Dense(10, "softmax"),
            ]
        )
    if kind == "bfloat16":
        keras.utils.set_random_seed(seed)
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(12, "relu", dtype="bfloat16"),
                keras.layers.Dense(10, "softmax", dtype="float32"),
            ]
        )
    return build_network(
        kind,
        (8, 8, 1),
        10,
        hidden_units=[units],
        conv_filters=[3, 4],
        dropout=dropout,
        precision=precision,
        seed=seed,
    )


def assert_same_variables(network, other):
    assert len(network.variables) == len(other.variables)
    for ours, theirs in zip(network.variables, other.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(
    ("options", "phase"),
    [
        ({"dropout": True}, FOUR),
        ({"kind": "cnn", "dropout": True}, FOUR),
        ({"kind": "batch norm"}, replace(FOUR, augmentation=Augmentation())),
        ({"dropout": True}, PRUNED),
        ({}, replace(PRUNED, penalty=Penalty(l1=0.001, l2=0.01))),
        ({"precision": "mixed_float16"}, FOUR),
        ({"kind": "bfloat16"}, PRUNED),
    ],
    ids=[
        "mlp dropout",
        "cnn dropout",
        "batch norm augmented",
        "pruned",
        "penalty",
        "float16",
        "weights in bfloat16",
    ],
)
def test_goes_on_bit_for_bit(digits, options, phase):
    network, seen, kept = build(**options), [], []

    def keep(checkpoint):
        kept.append((checkpoint, len(seen)))

    results = train(
        network, digits, phase, seed=5,
        checkpoint_every=2, on_checkpoint=keep, on_epoch=seen.append,
    )  # fmt: skip
    assert seen == results
    # each after its epoch's result; the one after epoch 4 is not taken twice
    assert [(c.epoch, n_seen) for c, n_seen in kept] == [(2, 2), (4, 4)]
    (middle, end) = (Checkpoint.from_npz(checkpoint.to_npz()) for checkpoint, _ in kept)

    resumed, new = build(**options, seed=2), []
    again = train(resumed, digits, phase, seed=5, start=middle, on_epoch=new.append)
    assert again == results
    assert new == results[2:]
    assert_same_variables(resumed, network)

    finished = build(**options, seed=2)
    nothing = []
    assert train(finished, digits, phase, seed=5, start=end, on_epoch=nothing.append) == results
    assert nothing == []
    assert_same_variables(finished, network)


def test_weights_alone_are_not_enough(digits):
    """Without Adam's moments the outcome is another one: the test above can tell."""
    network, kept = build(), []
    train(network, digits, FOUR, seed=5, checkpoint_every=2, on_checkpoint=kept.append)
    restarted = build()
    restore_variables(restarted, kept[0])
    train(restarted, digits, replace(FOUR, epochs=2), seed=5)
    for ours, theirs in zip(network.get_weights(), restarted.get_weights(), strict=True):
        assert (ours != theirs).any()


def test_next_phase_from_the_end_of_the_one_before(digits):
    """Dropout goes on where it was: the state of its random generator is a variable too."""
    network, kept = build(dropout=True), []
    train(
        network, digits, FOUR, seed=5, checkpoint_every=3,
        on_checkpoint=lambda checkpoint: kept.append(checkpoint.to_npz()),
    )  # fmt: skip
    assert len(kept) == 2  # after epochs 3 and 4
    results = train(network, digits, PRUNED, seed=5)

    other = build(dropout=True, seed=2)
    restore_variables(other, Checkpoint.from_npz(kept[-1]))
    assert train(other, digits, PRUNED, seed=5) == results
    assert_same_variables(other, network)
    assert sparsity(other) == pytest.approx(0.9, abs=0.01)


def test_learning_rate_is_that_of_the_phase(digits):
    network, kept = build(), []
    train(network, digits, FOUR, seed=5, checkpoint_every=2, on_checkpoint=kept.append)
    still = replace(FOUR, learning_rate=1e-12)
    train(network, digits, still, seed=5, start=kept[0])
    restored = build()
    restore_variables(restored, kept[0])
    for ours, theirs in zip(network.get_weights(), restored.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)


def test_file_holds_all(digits):
    network, kept = build(dropout=True), []
    results = train(network, digits, PRUNED, seed=5, checkpoint_every=4, on_checkpoint=kept.append)
    (checkpoint,) = kept
    content = checkpoint.to_npz()
    read = Checkpoint.from_npz(content)
    assert (read.phase, read.epoch, read.results) == ("pruned", 4, tuple(results))
    assert list(read.arrays) == list(checkpoint.arrays)
    for name, array in read.arrays.items():
        assert array.dtype == checkpoint.arrays[name].dtype
        np.testing.assert_array_equal(array, checkpoint.arrays[name])
    assert read.to_npz() == content
    # weights and the state of dropout; Adam's moments, its steps and learning rate; masks
    counts = {part: sum(name.startswith(part) for name in read.arrays) for part in ("n", "o", "m")}
    assert counts == {"n": len(network.variables), "o": 2 * 4 + 2, "m": 2}


def test_training_does_not_change_checkpoints(digits):
    network, kept, contents = build(), [], []

    def keep(checkpoint):
        kept.append(checkpoint)
        contents.append(checkpoint.to_npz())

    train(network, digits, FOUR, seed=5, checkpoint_every=1, on_checkpoint=keep)
    assert [checkpoint.to_npz() for checkpoint in kept] == contents
    assert len(set(contents)) == 4


def test_refuses_what_does_not_fit(digits):
    network, kept = build(), []
    train(network, digits, FOUR, seed=5, checkpoint_every=4, on_checkpoint=kept.append)
    (checkpoint,) = kept

    def refused(message, phase=FOUR, **options):
        other = build(**options)
        before = [variable.numpy() for variable in other.variables]
        with pytest.raises(InvalidInputError, match=message) as refusal:
            train(other, digits, phase, seed=5, start=checkpoint)
        assert "\n" not in str(refusal.value)
        for variable, value in zip(other.variables, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)

    refused("after epoch 4 of the unpruned phase; expected one of the 4 epochs of the pr", PRUNED)
    refused("after epoch 4 .* expected one of the 3 epochs", replace(FOUR, epochs=3))
    refused(
        "does not fit the mask .it holds 0 variables instead of 2", replace(PRUNED, name="unpruned")
    )
    refused(
        r"does not fit the optimizer .variable 2 has the shape \(64, 12\) instead of \(64, 13\)",
        units=13,
    )
    refused("does not fit the optimizer .variable 2 has the shape", kind="cnn")
    refused(r"does not fit the network .variable 2 has the shape \(12, 10\)", dropout=True)
    refused("does not fit the optimizer", precision="mixed_float16")
    with pytest.raises(InvalidInputError, match="epoch 4 of the unpruned phase does not fit the n"):
        restore_variables(build(units=13), checkpoint)


@pytest.mark.parametrize("content", [b"", b"what", b"PK\x03\x04 and then nothing"])
def test_refuses_what_is_no_checkpoint(content):
    with pytest.raises(InvalidInputError, match=f"checkpoint of {len(content)} bytes") as refusal:
        Checkpoint.from_npz(content)
    assert "\n" not in str(refusal.value)


def test_refuses_a_truncated_file(digits):
    kept = []
    train(build(), digits, FOUR, seed=5, checkpoint_every=4, on_checkpoint=kept.append)
    content = kept[0].to_npz()
    damaged = bytearray(content)
    damaged[len(content) // 2] ^= 1
    for bad in (content[: len(content) // 2], bytes(damaged)):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            Checkpoint.from_npz(bad)


def test_results_are_as_many_as_epochs():
    result = EpochResult(1, 0.1, 0.2, 0.3, 0.4)
    Checkpoint("unpruned", 1, (result,), {})
    with pytest.raises(InvalidInputError, match="after epoch 2 with 1 results"):
        Checkpoint("unpruned", 2, (result,), {})
