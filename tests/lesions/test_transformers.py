"""Lesions of transformers against zeroing by hand: rows of W_out and of W_O, in plain Keras."""

import contextlib
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf

from nn_clustering.lesions import (
    LesionEngine,
    classes_of,
    lesion_test,
    partition_into_heads,
)
from nn_clustering.networks import TokenInput, build_network
from nn_clustering.networks.structure import Step
from tests.lesions.test_engine import lesions_of

N_TOKENS, LENGTH, N_CLASSES = 11, 5, 7
N_HEADS, HEAD_CHANNELS, N_NEURONS = 3, 4, 14
NEURONS = [f"block_{block}_mlp_in" for block in range(2)]
VALUES = [f"block_{block}_attention/value" for block in range(2)]


def transformer(x, *, answers_positions, seed=3):
    network = build_network(
        "transformer", (LENGTH,), N_CLASSES, hidden_units=[], conv_filters=[], activation="gelu",
        tokens=TokenInput(N_TOKENS, answers_positions), seed=seed, n_blocks=2,
        n_channels=N_HEADS * HEAD_CHANNELS, n_heads=N_HEADS, n_neurons=N_NEURONS,
    )  # fmt: skip
    random = np.random.default_rng(seed)
    for variable in network.weights:  # answers that vary, and biases that are none of them 0
        if variable.name in ("bias", "beta"):
            variable.assign(random.normal(0, 0.3, variable.shape))
        else:
            variable.assign(variable * 1.5)
    last = network.get_layer("output")
    logits = keras.Model(network.inputs[0], last.input)(x).numpy() @ last.kernel.numpy()
    logits = logits.reshape(-1, N_CLASSES)
    last.kernel.assign(last.kernel / logits.std(axis=0))
    last.bias.assign(-logits.mean(axis=0) / logits.std(axis=0))
    return network


@pytest.fixture(scope="module")
def cases():
    """Networks of tokens with what they are tested on, by whether they answer at every position."""
    random = np.random.default_rng(0)
    x = random.integers(0, N_TOKENS, (60, LENGTH)).astype(np.int32)
    found = {}
    for at_positions in (False, True):
        shape = (60, LENGTH) if at_positions else (60,)
        y = random.integers(-1 if at_positions else 0, N_CLASSES, shape).astype(np.int32)
        found[at_positions] = transformer(x, answers_positions=at_positions), x, y
    return found


@pytest.fixture(scope="module")
def right_by_class(cases):
    """Right answers of the networks as they are, with the weights that they have just then."""
    outputs = {
        at_positions: tf.function(partial(network, x, training=False))
        for at_positions, (network, x, _) in cases.items()
    }

    def right(at_positions):
        y = cases[at_positions][2]
        is_right = outputs[at_positions]().numpy().argmax(axis=-1) == y
        return np.bincount(y[is_right], minlength=N_CLASSES).tolist()

    return right


@pytest.fixture(scope="module")
def engines(cases):
    return {
        (at_positions, silence): LesionEngine(*case, silence=silence)
        for at_positions, case in cases.items()
        for silence in ("output", "mean")
    }


def reader_of(network, layer):
    """The layer that reads units, with its weights as a matrix of one row a unit, and a bias."""
    block = layer.removesuffix("/value").removesuffix("_mlp_in").removesuffix("_attention")
    if layer in VALUES:
        found = network.get_layer(f"{block}_attention").output_dense
    else:
        found = network.get_layer(f"{block}_mlp_out")
    return found, found.kernel.numpy().reshape(-1, found.kernel.shape[-1]), found.bias.numpy()


def mean_of_units(network, layer, x):
    """The mean over samples and positions of what is read of a layer's units, all intact."""
    inputs = network.inputs[0]
    if layer not in VALUES:
        read = network.get_layer(layer.replace("_in", "_out")).input
        return keras.Model(inputs, read)(x).numpy().reshape(-1, N_NEURONS).mean(axis=0)
    # the same attention, with an output layer that puts out what it reads
    name = layer.removesuffix("/value")
    call = network.get_layer(name)._inbound_nodes[0].arguments
    shown = keras.layers.MultiHeadAttention(
        N_HEADS, HEAD_CHANNELS, output_shape=N_HEADS * HEAD_CHANNELS
    )
    mixed = keras.Model(inputs, shown(*call.args, **call.kwargs))
    kernel = np.eye(N_HEADS * HEAD_CHANNELS).reshape(N_HEADS, HEAD_CHANNELS, -1)
    own = network.get_layer(name).get_weights()[:-2]
    shown.set_weights([*own, kernel, np.zeros(N_HEADS * HEAD_CHANNELS)])
    return mixed(x).numpy().reshape(-1, N_HEADS * HEAD_CHANNELS).mean(axis=0)


@contextlib.contextmanager
def lesioned_by_hand(network, silenced, means):
    """Let what reads some units have zeros for their rows for a while.

    What their means would add, if there are any, is in the bias instead.
    """
    whole = network.get_weights()
    for layer, units in silenced.items():
        reader, rows, bias = reader_of(network, layer)
        if means:
            reader.bias.assign(bias + means[layer][units] @ rows[units])
        reader.kernel.assign(np.where(units[:, None], 0, rows).reshape(reader.kernel.shape))
    try:
        yield
    finally:
        network.set_weights(whole)


@pytest.mark.parametrize(("at_positions", "layers", "silence"), [
    (True, NEURONS[:1], "output"),
    (True, VALUES[1:], "mean"),
    (True, [VALUES[0], NEURONS[1]], "output"),
    (True, [VALUES[0], NEURONS[1]], "mean"),
    (False, NEURONS[1:], "output"),
    (False, VALUES, "output"),
    (False, VALUES[1:], "mean"),
])  # fmt: skip
def test_lesions_are_zeroed_rows(cases, engines, right_by_class, at_positions, layers, silence):
    network, x, _ = cases[at_positions]
    engine = engines[at_positions, silence]
    lesions = {layer: lesions_of(engine.layers[layer], seed) for seed, layer in enumerate(layers)}
    found = engine.lesioned(lesions)
    assert len(np.unique(found, axis=0)) > 3
    means = {}
    if silence == "mean":
        means = {layer: mean_of_units(network, layer, x) for layer in layers}
    for row, right in enumerate(found.tolist()):
        silenced = {layer: units[row] for layer, units in lesions.items()}
        with lesioned_by_hand(network, silenced, means):
            assert right == right_by_class(at_positions)


def test_what_lies_before_is_computed_once(cases, monkeypatch):
    """Of lesions of neurons that is all but what reads them, and what follows."""
    engine, eager, compiled = LesionEngine(*cases[True]), [], []
    run = Step.run

    def noted(step, *given):
        (eager if tf.executing_eagerly() else compiled).append(step.name)
        return run(step, *given)

    monkeypatch.setattr(Step, "run", noted)
    engine.lesioned({NEURONS[1]: lesions_of(N_NEURONS)})
    behind = {"block_1_mlp_out", "block_1_add_2", "final_norm", "output", "output/activation"}
    assert set(compiled) == behind
    assert len(eager) == len(set(eager))
    assert set(eager) == {step.name for step in engine._walk.steps} - behind


def test_value_channels_are_known_by_their_heads(engines):
    for engine in engines.values():
        assert engine.heads == dict.fromkeys(VALUES, N_HEADS)
        assert {layer: engine.layers[layer] for layer in VALUES} == dict.fromkeys(VALUES, 12)


def test_channels_of_a_head_lie_beside_each_other(cases, engines, right_by_class):
    """A head that is lesioned as a whole is one whose matrix of the output kernel is 0."""
    network, _, _ = cases[True]
    heads = partition_into_heads(engines[True, "output"].layers, engines[True, "output"].heads)
    found = lesion_test(
        engines[True, "output"], heads, VALUES, n_shuffles=3, seed=0,
        groups=classes_of(engines[True, "output"].class_sizes, "abcdefg"),
    )  # fmt: skip
    sizes = engines[True, "output"].class_sizes
    for sub, changes in zip(found.sub_clusters, found.changes, strict=True):
        whole = network.get_weights()
        kernel = network.get_layer(sub.layer.removesuffix("/value")).output_dense.kernel
        zeros = kernel.numpy()
        zeros[sub.label] = 0
        kernel.assign(zeros)
        accuracies = np.array(right_by_class(True)) / sizes
        network.set_weights(whole)
        np.testing.assert_allclose(found.intact + changes, accuracies)
    assert len(np.unique(found.changes)) > 5


@pytest.mark.parametrize("layer", [NEURONS[0], VALUES[0]])
def test_bfloat16_changes_nothing(cases, engines, layer):
    """Dense layers are computed in it first, attention is not."""
    lesions = {layer: lesions_of(engines[False, "output"].layers[layer], 5)}
    fast = LesionEngine(*cases[False], precision="bfloat16")
    assert fast.lesioned(lesions).tolist() == engines[False, "output"].lesioned(lesions).tolist()
    passes, _ = fast._compiled[(layer,)]
    assert "block_1_mlp_out" in passes._reduced.layers


def test_a_head_of_keys_and_values_is_read_by_several_of_queries():
    """So its lesion is that of the rows of all of them."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((LENGTH, 6))
    attention = keras.layers.GroupQueryAttention(HEAD_CHANNELS, 4, 2, name="attention")
    mixed = attention(inputs, inputs)
    network = keras.Model(inputs, keras.layers.Dense(N_CLASSES, name="output")(mixed))
    random = np.random.default_rng(1)
    x = random.normal(size=(40, LENGTH, 6)).astype(np.float32)
    y = random.integers(0, N_CLASSES, (40, LENGTH))
    engine = LesionEngine(network, x, y)
    (layer,) = engine.heads
    assert (engine.heads[layer], engine.layers[layer]) == (2, 2 * HEAD_CHANNELS)
    lesions = np.concatenate(
        [lesions_of(2 * HEAD_CHANNELS), np.eye(2, dtype=bool).repeat(4, axis=1)]
    )
    kernel = attention._output_dense.kernel
    rows, found = kernel.numpy(), engine.lesioned({layer: lesions})
    assert len(np.unique(found, axis=0)) > 4
    for units, right in zip(lesions, found, strict=True):
        # heads of queries 0 and 1 read the first of values, 2 and 3 the second
        silent = units.reshape(2, HEAD_CHANNELS).repeat(2, axis=0)
        kernel.assign(np.where(silent[..., None], 0, rows))
        is_right = network(x, training=False).numpy().argmax(axis=-1) == y
        assert right.tolist() == np.bincount(y[is_right], minlength=N_CLASSES).tolist()
    kernel.assign(rows)
