"""Which weights magnitude pruning keeps, and when."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from hypothesis.extra import numpy as arrays

from nn_clustering.networks import build_network
from nn_clustering.training import (
    Phase,
    PruningSchedule,
    magnitude_mask,
    prunable_kernels,
    sparsity,
    train,
)

WEIGHTS = st.one_of(
    st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    st.sampled_from([0.0, -0.0, 0.5, -0.5, 0.25, 1.0, -1.0]),  # ties
)


@settings(max_examples=80, deadline=None)
@given(
    kernel=arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=1, max_dims=4, max_side=5), elements=WEIGHTS
    ),
    sixteenths=st.integers(0, 15),
)
@example(kernel=np.full((4, 4), -2, np.float32), sixteenths=8)
@example(kernel=np.zeros((4, 4), np.float32), sixteenths=8)
@example(kernel=np.ones((2, 1), np.float32), sixteenths=15)
def test_mask_keeps_the_largest(kernel, sixteenths):
    share = sixteenths / 16
    mask = magnitude_mask(kernel, share).numpy()
    n_kept = round((1 - share) * kernel.size)  # exact; both round a half to even
    descending = np.sort(np.abs(kernel), axis=None)[::-1]
    kept = np.abs(kernel) >= descending[n_kept - 1] if n_kept else np.zeros(kernel.shape)
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, kept)


def test_mask_by_hand():
    kernel = np.array([[0.1, -0.4], [0.3, 0.2], [-0.5, 0.0]], np.float32)
    np.testing.assert_array_equal(magnitude_mask(kernel, 0.5), [[0, 1], [1, 0], [1, 0]])
    np.testing.assert_array_equal(magnitude_mask(kernel, 0.9), [[0, 0], [0, 0], [1, 0]])
    np.testing.assert_array_equal(magnitude_mask(kernel, 0.0), np.ones((3, 2)))


def test_schedule_by_hand():
    schedule = PruningSchedule(0.5, 0.9, n_steps=200)
    for step, expected in (
        (0, 0.5),
        (50, 0.9 - 0.4 * 0.75**3),
        (100, 0.9 - 0.4 / 8),
        (150, 0.9 - 0.4 / 64),
        (200, 0.9),
        (1000, 0.9),
    ):
        assert float(schedule.sparsity(step)) == pytest.approx(expected, abs=1e-6)
    straight = PruningSchedule(0.2, 0.6, n_steps=10, power=1)
    assert float(straight.sparsity(5)) == pytest.approx(0.4)


@settings(max_examples=30, deadline=None)
@given(
    ends=st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)).map(sorted),
    n_steps=st.integers(1, 1000),
)
def test_schedule_rises_from_first_to_last(ends, n_steps):
    schedule = PruningSchedule(*ends, n_steps=n_steps)
    wanted = schedule.sparsity(np.arange(n_steps + 5)).numpy()
    assert wanted[0] == pytest.approx(ends[0], abs=1e-6)
    np.testing.assert_allclose(wanted[n_steps:], ends[1], atol=1e-6)
    assert (np.diff(wanted) >= -1e-7).all()


def test_mask_of_a_kernel_of_several_blocks_of_columns():
    """More than 1,023 * 256 weights, and a number of them that no block divides."""
    kernel = np.random.default_rng(0).normal(size=(3, 99_991)).astype(np.float32)
    for share in (0.0, 0.5, 0.9, 0.99999):
        mask = magnitude_mask(kernel, share).numpy().astype(bool)
        n_kept = int(np.round(np.float32(1 - np.float32(share)) * kernel.size))
        assert mask.sum() == n_kept
        assert np.abs(kernel[mask]).min() > np.abs(kernel[~mask]).max(initial=0)


def test_prunable_are_all_kernels_and_nothing_else():
    """Of all layers with kernels, nested ones too, each once; none that is frozen."""
    shared = keras.layers.Dense(3, name="dense")
    frozen = keras.layers.Dense(3, name="frozen", trainable=False)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(2, 3, name="conv"),
            keras.layers.BatchNormalization(),
            keras.layers.DepthwiseConv2D(2, name="depthwise"),
            keras.layers.SeparableConv2D(3, 2, name="separable"),
            keras.layers.Conv2DTranspose(2, 2, name="transposed"),
            keras.layers.Reshape((-1, 2)),
            keras.layers.Conv1D(2, 3, name="conv_1d"),
            keras.layers.LSTM(3),
            keras.Sequential([keras.Input((3,)), shared, keras.layers.LayerNormalization()]),
            frozen,
            shared,
        ]
    )
    shapes = sorted(tuple(kernel.shape) for kernel in prunable_kernels(network))
    assert shapes == [
        (1, 1, 2, 3),  # separable: its pointwise kernel
        (2, 2, 2, 1),  # separable: its depthwise kernel
        (2, 2, 2, 1),  # depthwise
        (2, 2, 2, 3),  # transposed
        (2, 12),  # lstm
        (3, 2, 2),  # conv_1d
        (3, 3),  # shared
        (3, 3, 1, 2),  # conv
        (3, 12),  # lstm: of its states
    ]
    assert sum(kernel is shared.kernel for kernel in prunable_kernels(network)) == 1
    assert not any(kernel is frozen.kernel for kernel in prunable_kernels(network))


def test_sparsity_is_the_share_of_zeros():
    network = build_network(
        "mlp", (2, 2, 1), 3, hidden_units=[2], conv_filters=[], dropout=False, seed=0
    )
    assert sparsity(network) == 0  # though all biases are 0
    kernel = network.get_layer("dense_1").kernel
    kernel.assign(kernel.numpy() * [[1, 0], [1, 0], [0, 0], [1, 1]])
    assert sparsity(network) == 4 / (8 + 6)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_training_ends_at_exactly_the_final_sparsity(digits, kind):
    network = build_network(
        kind, (8, 8, 1), 10, hidden_units=[17], conv_filters=[3, 4], dropout=False, seed=0
    )
    kernels = prunable_kernels(network)
    zeros = []

    def look(result):
        zeros.append([kernel.numpy() == 0 for kernel in kernels])

    schedule = PruningSchedule(0.5, 0.9, n_steps=15, every_n_steps=5)
    phase = Phase("pruned", epochs=3, batch_size=40, learning_rate=0.01, pruning=schedule)
    train(network, digits, phase, seed=0, on_epoch=look)
    # a weight that is pruned stays so, while others follow
    shares = []
    for earlier, later in pairwise(zeros):
        assert all((late >= early).all() for early, late in zip(earlier, later, strict=True))
    for epoch in zeros:
        shares.append(sum(z.sum() for z in epoch) / sum(z.size for z in epoch))
    assert shares == pytest.approx([0.5, 0.9 - 0.4 * (2 / 3) ** 3, 0.9], abs=0.01)
    # every kernel, the output layer's too; no bias
    for kernel in kernels:
        expected = kernel.numpy().size - round((1 - 0.9) * kernel.numpy().size)
        assert (kernel.numpy() == 0).sum() == expected
    for layer in network.layers:
        if layer.weights:
            assert (layer.bias.numpy() != 0).mean() > 0.5, layer.name
    assert any(layer.name == "output" and layer.kernel is kernels[-1] for layer in network.layers)
