"""The engine scores what a network with silenced units really answers."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer, graph_from_weights
from nn_clustering.lesions import LesionEngine, lesionable_layers
from tests.lesions.masked_networks import (
    scores,
    silenced_for,
    without_incoming_weights,
)

# Which layers read each hidden layer's units, written down by hand: for each of them at which
# place on the last axis a position's units begin, how wide a position is, and how often each unit
# stands there in a row.
READERS = {
    "mlp": {"dense_1": {"dense_2": (0, 9, 1)}, "dense_2": {"output": (0, 7, 1)}},
    "cnn": {
        "conv_1": {"conv_2": (0, 4, 1)},
        "conv_2": {"conv_3": (0, 5, 1)},
        "conv_3": {"dense_1": (0, 6, 1)},
        "dense_1": {"dense_2": (0, 9, 1)},
        "dense_2": {"output": (0, 7, 1)},
    },
    "vgg": {
        "conv_1": {"conv_2": (0, 4, 1)},
        "conv_2": {"conv_3": (0, 5, 1)},
        "conv_3": {"dense_1": (0, 6, 1)},
        "dense_2": {"output": (0, 7, 1)},
    },
    "batch norm": {
        "conv_1": {"conv_2": (0, 5, 1)},
        "conv_2": {"dense_1": (0, 6, 1)},
        "dense_1": {"output": (0, 8, 1)},
    },
    "residual": {
        "first": {"inner": (0, 6, 1)},
        "inner": {"back": (0, 5, 1)},
        "sum_1": {"down": (0, 6, 1), "projection": (0, 6, 1)},
        "sum_2": {"output": (0, 7, 1)},
    },
    "concatenated": {
        "left": {"joined": (0, 11, 1), "output": (7, 13, 1)},
        "right": {"joined": (6, 11, 1)},
        "joined": {"output": (0, 13, 1)},
    },
    "gated": {"trunk": {"gate": (0, 6, 1)}, "gated": {"output": (0, 6, 1)}},
    "separable": {
        "stem": {"point": (0, 8, 2)},
        "point": {"separable": (0, 5, 1)},
        "separable": {"output": (0, 6, 1)},
    },
    "nested": {"inner/deep_2": {"head": (0, 6, 1)}, "head": {"output": (0, 9, 1)}},
}
# Layers whose weights lead into the units of a merge, where that is not the layer of the name.
MAKERS = {
    "sum_1": ["first", "back"],
    "sum_2": ["down", "projection"],
    "gated": ["trunk", "gate"],
}
CASES = [(kind, layer) for kind, layers in READERS.items() for layer in layers]


def lesions_of(n_units, seed=0):
    """Lesions of nothing, of everything, and of few and many random units."""
    random = np.random.default_rng(seed)
    sizes = [0, n_units, 1, n_units // 3, n_units // 2, n_units - n_units // 3]
    ranks = random.permuted(np.tile(np.arange(n_units), (len(sizes), 1)), axis=1)
    return ranks < np.array(sizes)[:, None]


def silent_places(network, readers, units):
    """For every reading layer which places are silent, and how wide a position is."""
    found = {}
    for name, (start, width, repeats) in readers.items():
        position = np.zeros(width, bool)
        position[start : start + repeats * len(units)] = np.repeat(units, repeats)
        n_places = network.get_layer(name).input.shape[-1]
        found[name] = (np.tile(position, n_places // width), width)
    return found


def lesioned_by_hand(kind, network, x, silence, lesion):
    """The network under a lesion: for every layer which of its units are silenced."""
    if silence == "weights":
        columns = {}
        for layer, units in lesion.items():
            for name in MAKERS.get(layer, [layer]):
                columns[name] = columns.get(name, False) | units
        return without_incoming_weights(network, columns)
    places = {}
    for layer, units in lesion.items():
        for name, (silent, width) in silent_places(network, READERS[kind][layer], units).items():
            before = places.get(name, (False, 0))[0]
            places[name] = (before | silent, width)
    return silenced_for(network, places, x if silence == "mean" else None)


def check(kind, network, images, silence, lesions):
    """Compare the engine with the lesions done by hand; return the scores."""
    x, y = images
    found = LesionEngine(network, x, y, silence=silence).lesioned(lesions)
    for row, answered in enumerate(found):
        lesion = {layer: silenced[row] for layer, silenced in lesions.items()}
        by_hand = lesioned_by_hand(kind, network, x, silence, lesion)
        assert answered.tolist() == scores(by_hand, x, y).tolist(), (lesion, silence)
    return found


def test_scores_are_the_same_every_time(networks, images):
    """Convolutions that run twice at once would spoil each other's results, now and then."""
    engine = LesionEngine(networks["residual"], *images)
    lesions = {"first": lesions_of(6)}
    lesions["first"][2, :2] = True  # lesions of one unit would not be computed again
    found = engine.lesioned(lesions)
    assert all(np.array_equal(engine.lesioned(lesions), found) for _ in range(100))


@pytest.mark.parametrize("silence", ["output", "mean"])
@pytest.mark.parametrize(("kind", "layer"), CASES)
def test_silenced_units(networks, images, kind, layer, silence):
    network = networks[kind]
    n_units = dict(LesionEngine(network, *images).layers)[layer]
    found = check(kind, network, images, silence, {layer: lesions_of(n_units)})
    assert len({tuple(row) for row in found}) > 2  # the lesions differ, or all this shows nothing


@pytest.mark.parametrize(("kind", "layer"), [case for case in CASES if case[0] != "nested"])
def test_zeroed_weights(networks, images, kind, layer):
    network = networks[kind]
    n_units = dict(LesionEngine(network, *images).layers)[layer]
    check(kind, network, images, "weights", {layer: lesions_of(n_units)})


PAIRS = [
    ("mlp", "dense_1", "dense_2"),  # one behind the other
    ("cnn", "conv_3", "dense_2"),
    ("concatenated", "left", "right"),  # beside each other, read by one layer
    ("concatenated", "right", "joined"),
    ("residual", "first", "sum_1"),
    ("residual", "inner", "sum_1"),
    ("gated", "trunk", "gated"),
]


@pytest.mark.parametrize("silence", ["output", "weights", "mean"])
@pytest.mark.parametrize(("kind", "first", "second"), PAIRS)
def test_two_layers_at_once(networks, images, kind, first, second, silence):
    network = networks[kind]
    sizes = LesionEngine(network, *images).layers
    # in another order than that of the network: it does not count
    lesions = {second: lesions_of(sizes[second], 1), first: lesions_of(sizes[first], 2)[::-1]}
    check(kind, network, images, silence, lesions)


@pytest.mark.parametrize("kind", READERS)
def test_intact_network_and_its_layers(networks, images, kind):
    network, (x, y) = networks[kind], images
    expected = scores(network, x, y).tolist()
    engine = LesionEngine(network, x, y)
    assert engine.intact().tolist() == expected
    assert engine.class_sizes.tolist() == np.bincount(y, minlength=10).tolist()
    assert (engine.task, engine.n_images, engine.n_outputs) == ("classification", 120, 10)
    assert set(READERS[kind]) <= set(engine.layers)
    for layer, n_units in engine.layers.items():
        nothing = np.zeros((1, n_units), bool)
        assert engine.lesioned({layer: nothing})[0].tolist() == expected
    # all that a partition of its graph can hold is found, and only what is hidden is lesioned
    graph = graph_from_weights(network)
    lesionable = lesionable_layers(graph.layers, engine)
    assert lesionable == lesionable_layers(graph.layers, network)
    assert set(lesionable) == {layer.name for layer in graph.layers} - {"input", "output"}


def test_engine_leaves_the_network_alone(networks, images):
    network = networks["batch norm"]
    before = network.get_weights()
    for silence in ("output", "weights", "mean"):
        LesionEngine(network, *images, silence=silence).lesioned({"conv_1": lesions_of(5)})
    for array, was in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_which_layers_can_be_lesioned(networks):
    mlp, cnn = networks["mlp"], networks["cnn"]
    whole = (Layer("input", 64), Layer("dense_1", 9), Layer("dense_2", 7), Layer("output", 10))
    assert lesionable_layers(whole, mlp) == ("dense_1", "dense_2")
    convolutions = (Layer("conv_1", 4), Layer("conv_2", 5), Layer("conv_3", 6))
    assert lesionable_layers(convolutions, cnn) == ("conv_1", "conv_2", "conv_3")
    for layers, found in (
        ((Layer("dense_3", 7),), "no such layer"),
        ((Layer("dense_1", 8),), "9"),
        ((Layer("input", 49), Layer("dense_1", 9)), "64"),
    ):
        with pytest.raises(InvalidInputError, match=f"network 'mlp' has {found}: the partition"):
            lesionable_layers(layers, mlp)
