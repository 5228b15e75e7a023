"""Recurrent layers: their edges by hand, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks.structure import read_weights, walk_network
from tests.networks.sample_networks import block

N_CHANNELS, N_UNITS = 3, 5
NORMS = {
    "l1": lambda by_gate: np.abs(by_gate).sum(0),
    "l2": lambda by_gate: np.linalg.norm(by_gate, axis=0),
    "max": lambda by_gate: np.abs(by_gate).max(0),
}
GATES = {layers.LSTM: 4, layers.GRU: 3, layers.SimpleRNN: 1}


def network_with(*recurrent, channels=N_CHANNELS):
    return keras.Sequential(
        [keras.Input((4, channels)), *recurrent, layers.Dense(2, name="output")], name="net"
    )


def norms(kernel, layer, gate_norm):
    """The edges of a kernel, cut into its gates by hand."""
    by_gate = np.split(kernel.numpy().astype(float), GATES[type(layer)], axis=1)
    return NORMS[gate_norm](np.array(by_gate))


@pytest.mark.parametrize("gate_norm", NORMS)
@pytest.mark.parametrize("kind", GATES)
def test_edges_are_norms_over_gates(kind, gate_norm):
    layer = kind(N_UNITS, name="recurrent")
    graph = graph_from_weights(network_with(layer), gate_norm=gate_norm)
    assert [(each.name, each.n_units) for each in graph.layers] == [
        ("input", N_CHANNELS), ("recurrent", N_UNITS), ("output", 2)
    ]  # fmt: skip
    into = norms(layer.cell.kernel, layer, gate_norm)
    np.testing.assert_allclose(block(graph, "input", "recurrent"), into, rtol=1e-6)
    within = norms(layer.cell.recurrent_kernel, layer, gate_norm)
    within = within + within.T
    np.fill_diagonal(within, 0)  # a unit's weight to itself
    np.testing.assert_allclose(block(graph, "recurrent", "recurrent"), within, rtol=1e-6)


def test_norm_that_is_unknown():
    with pytest.raises(InvalidInputError, match="gate_norm='frobenius'; expected one of l1, l2"):
        graph_from_weights(network_with(layers.GRU(2)), gate_norm="frobenius")


def test_states_that_are_added_to_others_lead_into_the_sum():
    """The set that a sum makes, by what leads into the states and by the states themselves."""
    inputs = keras.Input((4, N_UNITS), name="input")
    layer = layers.GRU(N_UNITS, return_sequences=True, name="recurrent")
    summed = layers.Add(name="sum")([inputs, layer(inputs)])
    network = keras.Model(inputs, layers.Dense(2, name="output")(summed))
    graph = graph_from_weights(network)
    recurrence = norms(layer.cell.recurrent_kernel, layer, "l1")
    np.testing.assert_allclose(block(graph, "recurrent", "sum"), recurrence, rtol=1e-6)
    both = recurrence + recurrence.T
    np.fill_diagonal(both, 0)
    np.testing.assert_allclose(block(graph, "recurrent", "recurrent"), both, rtol=1e-6)


def test_copied_sets_tell_what_the_layer_reads_of_its_own_from_what_others_read():
    layer = layers.LSTM(N_UNITS, name="recurrent")
    graph = graph_from_weights(network_with(layer), residual="copied")
    names = [each.name for each in graph.layers]
    assert names == ["recurrent/inputs", "recurrent/states", "output/inputs", "output"]
    recurrence = norms(layer.cell.recurrent_kernel, layer, "l1")
    found = block(graph, "recurrent/states", "output/inputs")
    np.testing.assert_allclose(found, recurrence, rtol=1e-6)
    assert block(graph, "recurrent/states", "recurrent/states").any()


def test_products_through_linear_sets_are_refused():
    with pytest.raises(InvalidInputError, match=r"'net' with recurrent layers"):
        graph_from_weights(network_with(layers.GRU(2)), residual="contracted")


@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"go_backwards": True}])
@pytest.mark.parametrize("kind", GATES)
def test_walk_computes_as_the_network_does(kind, options):
    network = network_with(layers.GRU(4, return_sequences=True), kind(N_UNITS, **options))
    walk = walk_network(network)
    x = np.random.default_rng(0).normal(size=(2, 4, N_CHANNELS)).astype("float32")
    found = walk.run({walk.inputs[0]: x}, walk.outputs)
    np.testing.assert_array_equal(found[walk.outputs[0]], network(x))
    read = walk.run({walk.inputs[0]: x}, walk.outputs, on_read=lambda step, number, value: value)
    np.testing.assert_allclose(read[walk.outputs[0]], network(x), rtol=1e-6)


def test_time_that_is_open_and_masks_have_a_graph():
    inputs = keras.Input((None, N_CHANNELS))
    states = layers.LSTM(N_UNITS, name="recurrent")(layers.Masking()(inputs))
    graph = graph_from_weights(keras.Model(inputs, layers.Dense(2)(states)))
    assert [each.n_units for each in graph.layers] == [N_CHANNELS, N_UNITS, 2]


@pytest.mark.parametrize("is_whole", [True, False])
def test_mask_that_goes_with_tokens_is_read_both_ways(is_whole):
    inputs = keras.Input((4,), dtype="int32")
    embedded = layers.Embedding(5, N_CHANNELS, mask_zero=True)(inputs)
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=is_whole))(embedded)
    network = keras.Model(inputs, both)
    tokens = np.array([[1, 0, 2, 0], [0, 3, 4, 1], [2, 2, 0, 0]], "int32")
    walk = walk_network(network)
    (found,) = walk.run({walk.inputs[0]: tokens}, walk.outputs).values()
    np.testing.assert_array_equal(found, network(tokens))
    assert len(graph_from_weights(network).layers) == 4
    with pytest.raises(InvalidInputError, match="reads a mask"):
        walk.require_no_masks("a lesion")


class OwnCode(layers.LSTM):
    def inner_loop(self, *args, **kwargs):
        return super().inner_loop(*args, **kwargs)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.RNN(layers.LSTMCell(2)), "by cells of any kind"),
        (OwnCode(2), "has weights for which there is no rule"),
        (layers.Bidirectional(layers.RNN(layers.GRUCell(2))), "recurrent both ways"),
        (layers.TimeDistributed(layers.LSTM(2)), "called on slices"),
    ],
    ids=lambda value: "",
)
def test_what_is_not_proven_is_refused_by_name(layer, reason):
    shape = (3, 4, 2) if isinstance(layer, layers.TimeDistributed) else (4, 2)
    layer.name = "odd"
    network = keras.Sequential([keras.Input(shape), layer, layers.Dense(2)])
    with pytest.raises(InvalidInputError, match=rf"layer 'odd/?\w*' .*{reason}"):
        read_weights(network)


def test_states_from_outside_and_states_put_out_are_refused():
    inputs = keras.Input((4, 2), batch_size=1)
    begin = keras.Input((3,), batch_size=1)
    begun = layers.GRU(3, name="odd")(inputs, initial_state=begin)
    with pytest.raises(InvalidInputError, match=r"'odd' .*begins with states that it reads"):
        read_weights(keras.Model([inputs, begin], layers.Dense(2)(begun)))
    states, _ = layers.GRU(3, return_state=True, name="odd")(inputs)
    with pytest.raises(InvalidInputError, match=r"'odd' .*returns its states too"):
        read_weights(keras.Model(inputs, layers.Dense(2)(states)))
    going_on = layers.GRU(3, stateful=True, name="odd")(inputs)
    with pytest.raises(InvalidInputError, match=r"'odd' .*stateful=True"):
        read_weights(keras.Model(inputs, layers.Dense(2)(going_on)))
