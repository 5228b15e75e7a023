"""Transformers of tokens and of patches: their shapes, what they read, and what makes none."""

import re

import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import (
    TokenInput,
    build_network,
    check_network,
    in_float32,
    most_units,
    network_bytes,
)
from nn_clustering.networks._transformer_settings import TransformerSettings, ends_of
from nn_clustering.training import prunable_kernels

SMALL = {"n_channels": 8, "n_heads": 2, "n_neurons": 6}
X = np.random.default_rng(0).integers(0, 7, (3, 5)).astype(np.int32)


def build(kind="transformer", input_shape=(5,), n_outputs=4, *, positions=False, **changes):
    tokens = TokenInput(7, positions) if kind == "transformer" else None
    settings = {"hidden_units": [], "conv_filters": [], "seed": 0, "tokens": tokens, **SMALL}
    return build_network(kind, input_shape, n_outputs, **{**settings, **changes})


def changed_at(place):
    x = X.copy()
    x[:, place] = (x[:, place] + 1) % 7
    return x


def test_an_answer_at_a_position_reads_nothing_behind_it():
    network = build(positions=True)
    assert network.output_shape == (None, 5, 4)
    change = np.abs(network(X).numpy() - network(changed_at(3)).numpy()).max(axis=(0, 2))
    assert not change[:3].any()
    assert (change[3:] > 0).all()


def test_an_answer_on_the_whole_reads_every_position():
    network = build()
    assert network.output_shape == (None, 4)
    np.testing.assert_allclose(network(X).numpy().sum(axis=1), 1, rtol=1e-6)
    for place in range(5):
        assert not np.allclose(network(X), network(changed_at(place)), atol=1e-4), place


def test_the_last_block_computes_what_a_whole_one_has_at_the_last_position():
    """Beside a network of the same weights that computes all positions, by Keras' layers."""
    network = build(norm="rms", n_blocks=1)

    def layer(name):
        return network.get_layer(name)

    stream = layer("embedding_add").output
    read = layer("block_0_norm_1")(stream)
    stream = stream + layer("block_0_attention")(read, read)
    read = layer("block_0_norm_2")(stream)
    stream += layer("block_0_mlp_out")(layer("block_0_mlp_in")(read))
    whole = keras.Model(network.input, layer("output")(layer("final_norm")(stream)))
    np.testing.assert_allclose(whole(X).numpy()[:, -1], network(X), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"n_blocks": 1, "norm": "none"}, []),
        ({"n_blocks": 1, "norm": "rms"}, ["block_0_norm_1", "block_0_norm_2", "final_norm"]),
        ({"n_blocks": 1, "norm_first": False}, ["block_0_norm_1", "block_0_norm_2"]),
    ],
)
def test_norms(settings, names):
    network = build(**settings)
    assert [layer.name for layer in network.layers if "norm" in layer.name] == names
    if names:
        kind = "RMSNormalization" if settings.get("norm") == "rms" else "LayerNormalization"
        assert type(network.get_layer(names[0])).__name__ == kind


def test_gated_neurons_are_products():
    network = build(gated=True, activation="silu", n_blocks=1)
    x = np.random.default_rng(1).normal(size=(2, 8)).astype(np.float32)
    gate, linear = (network.get_layer(f"block_0_mlp_{name}")(x).numpy() for name in ("gate", "in"))
    product = network.get_layer("block_0_mlp_product")([gate, linear])
    np.testing.assert_allclose(product, gate * linear, rtol=1e-6)
    kernel = network.get_layer("block_0_mlp_gate").kernel.numpy()
    np.testing.assert_allclose(gate, x @ kernel / (1 + np.exp(-x @ kernel)), rtol=1e-4)


def test_every_kernel_is_drawn_from_its_own_seed_between_the_limits_of_glorot():
    network, again, other = build(), build(), build(seed=1)
    drawn = [w for w in network.weights if w.name in ("kernel", "embeddings")]
    assert len(drawn) == 2 + 2 * (4 + 2) + 1
    values = [weights.numpy().ravel()[:40] for weights in drawn]
    assert len({float(one[0]) for one in values}) == len(values)
    for one, same, different in zip(
        network.get_weights(), again.get_weights(), other.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, same)
        assert not one.any() or (one == 1).all() or not (one == different).any()
    attention = network.get_layer("block_0_attention")
    for name in ("query", "key", "value", "output"):
        kernel = np.abs(getattr(attention, f"{name}_dense").kernel.numpy())
        assert 0.9 < kernel.max() / np.sqrt(6 / 16) <= 1, name


def test_patches():
    network = build("vit", (8, 12, 3), n_blocks=1, dropout=True)
    assert network.get_layer("patches").output.shape == (None, 6, 8)
    rate = network.get_layer("block_0_dropout_1").rate
    assert rate == 0.1
    x = np.random.default_rng(0).uniform(size=(2, 8, 12, 3)).astype(np.float32)
    moved = np.roll(x, 4, axis=1)  # by a patch: without positions nothing would change
    assert not np.allclose(network(x), network(moved), atol=1e-5)
    network.get_layer("position_embedding").embeddings.assign(np.zeros((6, 8)))
    np.testing.assert_allclose(network(x), network(moved), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("transformer", {"positions": True, "n_neurons": [5, 6]}),
        ("transformer", {"gated": True, "norm": "none"}),
        ("vit", {"input_shape": (8, 8, 1)}),
    ],
)
def test_sizes_are_those_of_the_built_network(kind, settings):
    network = build(kind, **settings)
    names = ("n_channels", "n_heads", "n_neurons", "gated", "norm")
    given = {**SMALL, **settings}
    sizes = TransformerSettings(**{key: given[key] for key in names if key in given})
    shape = settings.get("input_shape", (5,))
    tokens = TokenInput(7) if kind == "transformer" else None
    told = sizes.n_weights(*ends_of(shape, tokens, sizes), 4)
    drawn = [w for w in network.weights if w.name in ("kernel", "embeddings")]
    assert told == sum(int(np.prod(one.shape)) for one in drawn)
    others = {key: given[key] for key in names if key in given}
    ends = {"hidden_units": [], "conv_filters": [], "tokens": tokens}
    assert most_units(kind, shape, 4, **ends, **others) == sizes.most_units(7 if tokens else 64, 4)


def test_kernels_of_attention_are_pruned_and_embeddings_are_not():
    kernels = prunable_kernels(build(n_blocks=1))
    assert sorted(tuple(kernel.shape) for kernel in kernels) == sorted(
        [(8, 2, 4)] * 3 + [(2, 4, 8), (8, 6), (6, 8), (8, 4)]
    )


def test_file_holds_layers_of_keras_alone(tmp_path):
    """Keras itself reads it, also where half precision was brought back to float32."""
    path = tmp_path / "network.keras"
    network = in_float32(build(positions=True, precision="mixed_bfloat16", gated=True))
    path.write_bytes(network_bytes(network))
    assert b"nn_clustering" not in path.read_bytes()
    read = keras.models.load_model(path)
    assert read.get_layer("block_0_attention").compute_dtype == "float32"
    np.testing.assert_array_equal(read(X), network(X))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_blocks": 0}, "network.n_blocks=0; expected an integer, 1 or more"),
        ({"n_channels": 9}, "network.n_channels=9 network.n_heads=2; expected heads"),
        ({"n_neurons": [4] * 3}, "network.n_neurons=[4, 4, 4] network.n_blocks=2; expected one"),
        ({"n_neurons": [4, 0]}, "network.n_neurons=[4, 0]; expected a list of numbers"),
        ({"norm": "batch"}, "network.norm='batch'; expected one of none, layer, rms"),
        ({"gated": 1}, "network.gated=1; expected True or False"),
        ({"tokens": None}, "network.kind=transformer takes tokens, and the inputs are vectors"),
        ({"tokens": None, "input_shape": (8, 8, 1)}, "expected network.kind=vit, or a data set"),
        ({"kind": "mlp"}, "takes images or vectors, and the inputs are tokens"),
        ({"kind": "vit"}, "network.kind=vit takes images, and the inputs are tokens; expected"),
        (
            {"kind": "vit", "input_shape": (8, 9, 1), "tokens": None},
            "network.patch_size=4 for images of 8 x 9 pixels",
        ),
        ({"task": "regression"}, "network.kind=transformer puts out classes"),
        ({"n_channels": 10**8, "n_heads": 1}, "weights take"),
    ],
)
def test_refuses(changes, message):
    settings = {"kind": "transformer", "input_shape": (5,), "tokens": TokenInput(7), **SMALL}
    sizes = {"n_outputs": 4, "hidden_units": [], "conv_filters": []}
    with pytest.raises(InvalidInputError, match=re.escape(message)) as refusal:
        check_network(**{**sizes, **settings, **changes})
    assert "\n" not in str(refusal.value)
