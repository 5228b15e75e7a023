"""Modular initialisation: factors by hand, and which layers have them."""

from itertools import pairwise

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import (
    build_network,
    check_modular_initialisation,
    modular_initialisation,
)


def build(kind="mlp", **changes):
    sizes = {"hidden_units": [6, 5], "conv_filters": [4, 3]}
    return build_network(kind, (8, 8, 2), 10, **{**sizes, "seed": 0, **changes})


def kernels(network):
    """The weights of every layer by its name, and the biases apart."""
    layers = [layer for layer in network.layers if hasattr(layer, "kernel")]
    return {layer.name: layer.kernel.numpy() for layer in layers}


def factors(network, **options):
    """New over old weights of every layer after a modular initialisation."""
    before = kernels(network)
    modular_initialisation(network, **options)
    return {name: kernel / before[name] for name, kernel in kernels(network).items()}


def modules_by(factor, up):
    """Which inputs and outputs share a module: the blocks of `up` in a layer's factors."""
    return np.isclose(factor, up, rtol=1e-5)


def is_made_of_modules(same):
    """Rows (inputs) that share a unit's module share all of them, or none."""
    return all(
        (first == second).all() or not (first & second).any() for first in same for second in same
    )


def test_factors_of_an_mlp():
    """Ten modules and 0.6 between them: 1 + 0.4 * 9 = 4.6 within."""
    found = factors(build(hidden_units=[60, 50, 40]), seed=3)
    np.testing.assert_array_equal(found["dense_1"], 1)
    for name in ("dense_2", "dense_3", "output"):
        same = modules_by(found[name], 4.6)
        np.testing.assert_allclose(found[name][~same], 0.6, rtol=1e-5)
        assert is_made_of_modules(same)
    # every hidden unit shares the module of one output, and the outputs have one each
    assert (modules_by(found["output"], 4.6).sum(axis=1) == 1).all()


def test_factors_of_a_cnn_are_of_whole_kernels():
    """Ten modules and 0.8 between them: 1 + 0.2 * 9 = 2.8 within."""
    found = factors(build("cnn", conv_filters=[20, 30, 20]), seed=3)
    for name in ("conv_1", "dense_1", "dense_2", "output"):
        np.testing.assert_array_equal(found[name], 1)
    for name in ("conv_2", "conv_3"):
        np.testing.assert_allclose(
            found[name], np.broadcast_to(found[name][:1, :1], found[name].shape), rtol=1e-5
        )
        same = modules_by(found[name][0, 0], 2.8)
        np.testing.assert_allclose(found[name][0, 0][~same], 0.8, rtol=1e-5)
        assert same.any()
        assert is_made_of_modules(same)


@pytest.mark.parametrize(("kind", "up"), [("mlp", 4.6), ("cnn", 2.8), ("vgg", 2.8)])
def test_all_layers_share_the_modules_of_their_units(kind, up):
    network = build(kind, hidden_units=[40, 30], conv_filters=[20, 30])
    found = factors(network, all_layers=True, seed=1)
    for name, following in pairwise(found):
        same, next_same = modules_by(found[name], up), modules_by(found[following], up)
        assert (found[name] != 1).all()
        if same.ndim == 4:
            same = same[0, 0]
        if next_same.ndim == 4:
            next_same = next_same[0, 0]
        elif found[name].ndim == 4:  # behind the flatten: positions, then channels
            by_position = next_same.reshape(-1, same.shape[1], next_same.shape[1])
            assert (by_position == by_position[0]).all()
            next_same = by_position[0]
        for first, second in zip(*np.triu_indices(same.shape[1]), strict=True):
            into, out_of = same[:, [first, second]].T, next_same[[first, second]]
            if into.any(axis=1).all() and out_of.any(axis=1).all():
                assert (into[0] == into[1]).all() == (out_of[0] == out_of[1]).all()


def test_outputs_have_modules_in_turn():
    found = factors(build(hidden_units=[50, 40]), n_modules=4, down=0.5, seed=0)
    same = modules_by(found["output"], 1 + 0.5 * 3)
    # outputs 0, 4 and 8 are of module 0, outputs 1, 5 and 9 of module 1, and so on
    for output in range(10):
        np.testing.assert_array_equal(same[:, output], same[:, output % 4])
    assert (same[:, :4].sum(axis=1) == 1).all()


@settings(max_examples=15)
@given(
    n_modules=st.integers(2, 12),
    down=st.floats(0, 0.99),
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(["mlp", "cnn"]),
)
def test_factors_are_up_or_down(n_modules, down, seed, kind):
    up = 1 + (1 - down) * (n_modules - 1)
    # the chance of one module is 1 / n_modules
    assert up / n_modules + down * (1 - 1 / n_modules) == pytest.approx(1)
    found = factors(build(kind), n_modules=n_modules, down=down, all_layers=True, seed=seed)
    for factor in found.values():
        near = np.isclose(factor, up, rtol=1e-5) | np.isclose(factor, down, rtol=1e-5)
        assert near.all()


def test_share_within_modules_is_as_expected():
    """Of 300 x 300 pairs of units a tenth; its standard error over random modules is 0.0007."""
    found = factors(build(hidden_units=[300, 300]), seed=5)
    same = modules_by(found["dense_2"], 4.6)
    assert same.mean() == pytest.approx(0.1, abs=0.005)
    assert found["dense_2"].mean() == pytest.approx(1, abs=0.02)


def test_layers_have_modules_of_their_own():
    """Of 100 pairs of units with one number a tenth share a module; the standard error is 3."""
    found = factors(build(hidden_units=[100, 100]), seed=5)
    same = modules_by(found["dense_2"], 4.6)
    assert np.diagonal(same).sum() == pytest.approx(10, abs=12)
    all_found = factors(build(hidden_units=[128, 100]), all_layers=True, seed=5)
    assert np.diagonal(modules_by(all_found["dense_1"], 4.6)).sum() < 30


def test_seed_fixes_the_modules():
    first, again, other = (factors(build(), seed=seed) for seed in (3, 3, 4))
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
    assert (first["dense_2"] != other["dense_2"]).any()


def test_biases_and_batch_norm_stay():
    network = build("vgg", conv_filters=[4, 3])
    others = {weight.path: weight.numpy() for weight in network.weights if weight.ndim == 1}
    modular_initialisation(network, all_layers=True, seed=0)
    for weight in network.weights:
        if weight.path in others:
            np.testing.assert_array_equal(weight, others[weight.path])


def test_own_chain_of_layers():
    network = keras.Sequential(
        [
            keras.Input((6, 6, 3)),
            keras.layers.Conv2D(8, 5, use_bias=False, name="first"),
            keras.layers.ReLU(),
            keras.layers.Conv2D(9, 1, name="second"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4, name="last"),
        ]
    )
    found = factors(network, n_modules=2, down=0.5, all_layers=True, seed=0)
    same = {name: modules_by(factor, 1.5) for name, factor in found.items()}
    assert same["last"].shape == (9, 4)
    np.testing.assert_array_equal(same["last"][:, 0], ~same["last"][:, 1])
    np.testing.assert_array_equal(same["last"][:, 0], same["last"][:, 2])
    assert [(factor != 1).all() for factor in found.values()] == [True] * 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_modules": 1}, "modular_init.n_modules=1; expected an integer of 2 or more"),
        ({"n_modules": 2.5}, "modular_init.n_modules=2.5; expected"),
        ({"down": 1.0}, "modular_init.down=1.0; expected the factor"),
        ({"down": -0.1}, "modular_init.down=-0.1; expected the factor"),
        ({"down": float("nan")}, "modular_init.down=nan; expected the factor"),
        ({"down": "low"}, "modular_init.down='low'; expected the factor"),
        ({"all_layers": "yes"}, "modular_init.all_layers='yes'; expected True or False"),
    ],
)
def test_refuses_settings(options, message):
    for check in (
        lambda: check_modular_initialisation(**options),
        lambda: modular_initialisation(build(), **options, seed=0),
    ):
        with pytest.raises(InvalidInputError, match=message) as refusal:
            check()
        assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "none but the first that could be scaled"),
        ([keras.layers.LayerNormalization(), keras.layers.Dense(3)], "is a LayerNormalization"),
        ([keras.layers.Conv1D(3, 1), keras.layers.Dense(3)], "is a Conv1D"),
    ],
)
def test_refuses_networks(layers, message):
    network = keras.Sequential([keras.Input((4, 3)), keras.layers.Dense(3), *layers])
    before = network.get_weights()
    with pytest.raises(InvalidInputError, match=message):
        modular_initialisation(network, seed=0)
    for array, same in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, same)
