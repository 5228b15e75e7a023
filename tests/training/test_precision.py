"""Half precision in the layers, float32 in weights and losses."""

import keras
import numpy as np
import pytest

from nn_clustering.networks import build_network
from nn_clustering.training import Penalty, Phase, PruningSchedule, train
from nn_clustering.training._state import TrainingState

PHASE = Phase(epochs=5, batch_size=20, learning_rate=0.005)


def build(precision, kind="mlp"):
    return build_network(
        kind, (8, 8, 1), 10, hidden_units=[24], conv_filters=[6], precision=precision, seed=0
    )


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_trains_nearly_as_float32(digits, kind, precision):
    network, exact = build(precision, kind), build("float32", kind)
    results, expected = train(network, digits, PHASE, seed=0), train(exact, digits, PHASE, seed=0)
    assert network.layers[1].compute_dtype == precision.removeprefix("mixed_")
    assert {weight.dtype for weight in network.weights} == {"float32"}
    for ours, theirs in zip(results, expected, strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=0.1)
        assert ours.train_loss != theirs.train_loss
    assert results[-1].test_accuracy == pytest.approx(expected[-1].test_accuracy, abs=0.08)


def test_the_loss_is_scaled_for_float16_alone():
    for precision, scaled in (
        ("float32", False),
        ("mixed_bfloat16", False),
        ("mixed_float16", True),
    ):
        state = TrainingState.fresh(build(precision), PHASE)
        assert isinstance(state.optimizer, keras.optimizers.LossScaleOptimizer) is scaled


def test_gradients_below_float16_are_not_lost(digits):
    """Outputs divided by a million: gradients of the first layer are too small for float16."""

    def tiny(precision):
        keras.utils.set_random_seed(0)
        return keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Flatten(),
                keras.layers.Dense(24, "relu", dtype=precision, name="hidden"),
                keras.layers.Dense(10, dtype=precision),
                keras.layers.Rescaling(1e-6, dtype="float32"),
                keras.layers.Softmax(dtype="float32"),
            ]
        )

    moved = {}
    for precision in ("mixed_float16", "float32"):
        network = tiny(precision)
        before = network.get_layer("hidden").kernel.numpy()
        train(network, digits, Phase(epochs=4, batch_size=20), seed=0)
        moved[precision] = np.abs(network.get_layer("hidden").kernel.numpy() - before).mean()
    assert moved["float32"] > 1e-4
    assert moved["mixed_float16"] == pytest.approx(moved["float32"], rel=0.2)


def test_overflow_skips_the_step_and_halves_the_scale(digits):
    """Inputs of 100 and gradients scaled by 2^15 overflow, until the scale has come down."""
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Rescaling(100.0),
            keras.layers.Dense(10, dtype="mixed_float16"),
            keras.layers.Softmax(dtype="float32"),
        ]
    )
    kept = []
    train(
        network, digits, Phase(epochs=1, batch_size=20), seed=0,
        checkpoint_every=1, on_checkpoint=kept.append,
    )  # fmt: skip
    state = TrainingState.fresh(network, PHASE)
    places = [
        next(i for i, variable in enumerate(state.optimizer.variables) if variable is wanted)
        for wanted in (state.optimizer.dynamic_scale, state.optimizer.iterations)
    ]
    scale, n_steps = (kept[0].arrays[f"optimizer_{place:04d}"] for place in places)
    n_halvings = int(15 - np.log2(scale))
    assert scale == 2.0 ** (15 - n_halvings)
    assert 1 <= n_halvings <= 8
    assert n_steps == 10 - n_halvings


def test_pruning_and_penalty_act_on_the_float32_weights(digits):
    network = build("mixed_bfloat16")
    kernels = [layer.kernel for layer in network.layers if layer.weights]
    expected = 0.001 * sum(np.square(kernel.numpy()).sum() for kernel in kernels)
    still = Phase(epochs=1, batch_size=100, learning_rate=1e-12, penalty=Penalty(l2=0.001))
    assert train(network, digits, still, seed=0)[0].penalty == pytest.approx(expected, rel=1e-5)
    schedule = PruningSchedule(0.5, 0.9, n_steps=4)
    train(network, digits, Phase("pruned", 2, 100, pruning=schedule), seed=0)
    for kernel in kernels:
        n_kept = round(0.1 * kernel.numpy().size)
        assert (kernel.numpy() != 0).sum() == n_kept
