"""Graphs of activations and of gradients of recurrent networks."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.graphs import graph_from_gradients, unit_activations
from tests.networks.sample_networks import block

N_TIMES, N_CHANNELS = 3, 2
X = np.random.default_rng(0).normal(size=(6, N_TIMES, N_CHANNELS)).astype("float32")


def stacked(second):
    network = keras.Sequential(
        [
            keras.Input((N_TIMES, N_CHANNELS)),
            layers.GRU(4, return_sequences=True, name="first"),
            second,
            layers.Dense(2, name="output"),
        ]
    )
    random = np.random.default_rng(1)
    for variable in network.trainable_variables:
        variable.assign(random.normal(size=variable.shape) * 0.7)
    return network


@pytest.mark.parametrize("position", ["post", "pre"])
def test_units_answer_with_all_states_that_are_handed_on_or_with_the_last(position):
    network = stacked(layers.LSTM(3, go_backwards=True, name="second"))
    found = unit_activations(network, X, map_norm="mean", position=position)
    assert [(layer.name, layer.n_units) for layer in found.layers] == [("first", 4), ("second", 3)]
    states = network.layers[0](X)
    np.testing.assert_allclose(found.values[0], np.asarray(states).mean(1), rtol=1e-5)
    np.testing.assert_allclose(found.values[1], network.layers[1](states), rtol=1e-5)


def finite_derivatives(function, values, n_units):
    """Absolute derivatives of what a function makes, (samples, places, units), in float64."""
    found = np.empty((len(values), values[0].size, n_units))
    for place, at in enumerate(np.ndindex(values.shape[1:])):
        up, down = values.copy(), values.copy()
        up[(slice(None), *at)] += 1e-2
        down[(slice(None), *at)] -= 1e-2
        found[:, place] = np.abs(function(up) - function(down)) / 2e-2
    return found


def mean_over_positions(derivatives, n_read):
    n_samples, _, n_units = derivatives.shape
    return derivatives.reshape(n_samples, -1, n_read, n_units).mean((0, 1))


def states_by_hand(layer, x, added):
    """The states of a layer, with something added to those of each time as it reads them."""
    kept, found = layer.cell.get_initial_state(len(x)), []
    times = range(N_TIMES)
    for step, time in enumerate(reversed(times) if layer.go_backwards else times):
        made, kept = layer.cell(x[:, time], kept)
        found.append(np.asarray(made))
        kept = [kept[0] + added[:, step].astype("float32"), *kept[1:]]
    return np.stack(found, axis=1)


@pytest.mark.parametrize(
    "second",
    [
        layers.LSTM(3, name="second"),
        layers.GRU(3, go_backwards=True, name="second"),
        layers.SimpleRNN(3, return_sequences=True, name="second"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_derivatives_go_through_time(second):
    network = stacked(second)
    graph = graph_from_gradients(network, X)
    first, second, output = network.layers
    states = np.asarray(first(X))

    def made(x, added=None):
        found = states_by_hand(
            second, x.astype("float32"), np.zeros((6, N_TIMES, 3)) if added is None else added
        )
        return found.sum(1) if second.return_sequences else found[:, -1]

    of_input = mean_over_positions(finite_derivatives(made, states, 3), 4)
    np.testing.assert_allclose(block(graph, "first", "second"), of_input, rtol=1e-2, atol=1e-3)
    none = np.zeros((6, N_TIMES, 3), "float32")
    within = finite_derivatives(lambda added: made(states, added), none, 3)
    within = mean_over_positions(within, 3)
    within = within + within.T
    np.fill_diagonal(within, 0)
    np.testing.assert_allclose(block(graph, "second", "second"), within, rtol=1e-2, atol=1e-3)
    kernel = np.abs(output.kernel.numpy())
    np.testing.assert_allclose(block(graph, "second", "output"), kernel, rtol=1e-4)
