"""Silenced units of recurrent layers, beside loops of Keras' cells written out by hand."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import LesionEngine

N_IMAGES, N_TIMES, N_CHANNELS, N_OUTPUTS = 7, 5, 3, 2
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N_IMAGES, N_TIMES, N_CHANNELS)).astype("float32")
TARGETS = RANDOM.normal(size=(N_IMAGES, N_OUTPUTS)).astype("float32")


def randomised(network):
    random = np.random.default_rng(1)
    for variable in network.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * 0.8)
    return network


def stacked(first, second):
    """A layer that hands on all its states, one that hands on the last, and dense ones."""
    return randomised(
        keras.Sequential(
            [
                keras.Input((N_TIMES, N_CHANNELS)),
                first,
                second,
                layers.Dense(4, "relu", name="dense"),
                layers.Dense(N_OUTPUTS, name="output"),
            ],
            name="net",
        )
    )


def networks():
    return {
        "LSTM, GRU": stacked(
            layers.LSTM(6, return_sequences=True, name="first"), layers.GRU(5, name="second")
        ),
        "SimpleRNN, LSTM": stacked(
            layers.SimpleRNN(6, return_sequences=True, activation="relu", name="first"),
            layers.LSTM(5, use_bias=False, go_backwards=True, name="second"),
        ),
        "GRU, SimpleRNN": stacked(
            layers.GRU(6, return_sequences=True, reset_after=False, name="first"),
            layers.SimpleRNN(5, name="second"),
        ),
    }


NETWORKS = networks()


def read(values, silent, fill):
    return np.where(silent, fill, values)


def states(layer, x, silent, fill):
    """All states of a layer, (images, times, units), where it reads some of its own silenced."""
    kept, found = layer.cell.get_initial_state(len(x)), []
    order = reversed(range(N_TIMES)) if layer.go_backwards else range(N_TIMES)
    for time in order:
        kept = [read(kept[0], silent, fill).astype("float32"), *kept[1:]]
        made, kept = layer.cell(x[:, time], kept)
        found.append(np.asarray(made))
    return np.stack(found, axis=1)


def outputs_by_hand(network, silent, silence):
    """What a network of :func:`stacked` puts out with units of one layer silent."""
    first, second, dense, output = network.layers
    none = dict.fromkeys(("first", "second", "dense"), False)
    at = none | silent
    whole = states(first, X, False, 0)
    means = dict.fromkeys(("first", "second", "last", "dense"), 0)
    if silence == "mean":
        of_second = states(second, whole, False, 0)
        means = {
            "first": whole.mean((0, 1)),
            "second": of_second.mean((0, 1)),
            "last": of_second[:, -1].mean(0),
            "dense": np.asarray(dense(of_second[:, -1])).mean(0),
        }
    made = read(states(first, X, at["first"], means["first"]), at["first"], means["first"])
    last = states(second, made.astype("float32"), at["second"], means["second"])[:, -1]
    hidden = dense(read(last, at["second"], means["last"]).astype("float32"))
    return np.asarray(output(read(hidden, at["dense"], means["dense"]).astype("float32")))


@pytest.mark.parametrize("silence", ["output", "mean"])
@pytest.mark.parametrize("name", NETWORKS)
def test_lesions_are_those_of_a_loop_by_hand(name, silence):
    network = NETWORKS[name]
    engine = LesionEngine(network, X, TARGETS, task="regression", silence=silence)
    assert engine.layers == {"first": 6, "second": 5, "dense": 4}
    for layer, n_units in engine.layers.items():
        masks = np.random.default_rng(2).random((3, n_units)) < 0.5
        expected = [
            ((outputs_by_hand(network, {layer: mask}, silence) - TARGETS) ** 2).sum(0)
            for mask in masks
        ]
        np.testing.assert_allclose(engine.lesioned({layer: masks}), expected, rtol=1e-4)


def test_lesions_of_two_layers_silence_both():
    network = NETWORKS["LSTM, GRU"]
    engine = LesionEngine(network, X, TARGETS, task="regression")
    silent = {"first": np.arange(6) % 2 == 0, "second": np.arange(5) < 2}
    expected = ((outputs_by_hand(network, silent, "output") - TARGETS) ** 2).sum(0)
    found = engine.lesioned({layer: units[None] for layer, units in silent.items()})
    np.testing.assert_allclose(found, [expected], rtol=1e-4)


def test_answers_in_classes_are_those_of_a_loop_by_hand():
    """Where answers in doubt are computed again, each image under a lesion of its own."""
    network = NETWORKS["LSTM, GRU"]
    classes = TARGETS.argmax(1)
    engine = LesionEngine(network, X, classes)
    masks = np.random.default_rng(3).random((8, 4)) < 0.5
    of_first = np.random.default_rng(4).random((8, 6)) < 0.5
    found = engine.lesioned({"first": of_first, "dense": masks})
    for row, silent in enumerate(zip(of_first, masks, strict=True)):
        at = dict(zip(("first", "dense"), silent, strict=True))
        right = outputs_by_hand(network, at, "output").argmax(1) == classes
        assert found[row].tolist() == [right[classes == k].sum() for k in range(N_OUTPUTS)]


@pytest.mark.parametrize("name", NETWORKS)
def test_units_without_incoming_weights(name):
    network = NETWORKS[name]
    engine = LesionEngine(network, X, TARGETS, task="regression", silence="weights")
    for layer in ("first", "second"):
        silent = np.arange(engine.layers[layer]) % 2 == 1
        lesioned = keras.models.clone_model(network)
        lesioned.set_weights(network.get_weights())
        for variable in lesioned.get_layer(layer).cell.trainable_variables:
            values = variable.numpy()
            values[..., np.tile(silent, values.shape[-1] // silent.size)] = 0
            variable.assign(values)
        expected = ((np.asarray(lesioned(X)) - TARGETS) ** 2).sum(0)
        np.testing.assert_allclose(engine.lesioned({layer: silent[None]}), [expected], rtol=1e-4)


def test_units_that_put_out_something_without_weights_are_refused():
    network = stacked(
        layers.SimpleRNN(6, return_sequences=True, activation="sigmoid", name="odd"),
        layers.GRU(5, name="second"),
    )
    with pytest.raises(InvalidInputError, match="recurrent layer 'odd' put out more than 0"):
        LesionEngine(network, X, TARGETS, task="regression", silence="weights")


@pytest.mark.parametrize("merge_mode", ["concat", "sum"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_each_way_of_a_bidirectional_layer_is_silenced_by_itself(merge_mode, is_whole):
    both = layers.Bidirectional(
        layers.GRU(4, return_sequences=is_whole, name="gru"), merge_mode=merge_mode, name="both"
    )
    network = randomised(
        keras.Sequential(
            [
                keras.Input((N_TIMES, N_CHANNELS)),
                both,
                *([layers.Flatten()] if is_whole else []),
                layers.Dense(N_OUTPUTS, name="output"),
            ]
        )
    )
    engine = LesionEngine(network, X, TARGETS, task="regression")
    silent = np.array([True, False, True, False])
    made = {}
    ways = {"forward_gru": both.forward_layer, "backward_gru": both.backward_layer}
    for way, layer in ways.items():
        at = silent if way == "backward_gru" else False
        found = states(layer, X, at, 0)
        if merge_mode == "concat":  # the dense layer reads the units themselves, not a sum
            found = read(found, at, 0)
        found = found if is_whole else found[:, -1:]
        made[way] = found[:, ::-1] if way == "backward_gru" else found
    merged = (
        np.concatenate(list(made.values()), axis=2)
        if merge_mode == "concat"
        else sum(made.values())
    )
    outputs = network.layers[-1](merged.reshape(N_IMAGES, -1).astype("float32"))
    expected = ((np.asarray(outputs) - TARGETS) ** 2).sum(0)
    found = engine.lesioned({"both/backward_gru": silent[None]})
    np.testing.assert_allclose(found, [expected], rtol=1e-4)
