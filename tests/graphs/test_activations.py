"""Units' activations by hand, and beside networks that put out the layer in question."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import (
    _activations,
    graph_from_activations,
    graph_from_weights,
    unit_activations,
)
from nn_clustering.networks.structure import KERNEL_NORMS


def samples(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def sequential(input_shape, *parts):
    return keras.Sequential([keras.Input(input_shape), *parts], name="net")


def outputs_of(network, name, x):
    part = keras.Model(network.inputs[0], network.get_layer(name).output)
    return keras.ops.convert_to_numpy(part(x, training=False))


def of_layer(activations, name):
    names = [layer.name for layer in activations.layers]
    return activations.values[names.index(name)]


def mlp():
    network = sequential(
        (2,), layers.Dense(2, "relu", name="hidden"), layers.Dense(3, "softmax", name="output")
    )
    network.get_layer("hidden").set_weights([np.array([[1, -1], [2, 0]]), np.array([0, 1])])
    return network


def test_mlp_by_hand():
    """Hidden units are x1 + 2 x2 and 1 - x1, before the ReLU."""
    x = np.array([[1, 1], [2, -3], [0, 0]], np.float32)
    before = unit_activations(mlp(), x, position="pre")
    assert [(layer.name, layer.n_units) for layer in before.layers] == [("hidden", 2)]
    assert before.values[0].tolist() == [[3, 0], [-4, -1], [0, 1]]
    assert unit_activations(mlp(), x).values[0].tolist() == [[3, 0], [0, 0], [0, 1]]


def cnn():
    return sequential(
        (4, 6, 1),
        layers.Conv2D(2, 3, activation="relu", name="first"),
        layers.BatchNormalization(name="norm_1"),
        layers.Conv2D(3, 2, name="second"),
        layers.BatchNormalization(name="norm_2"),
        layers.MaxPooling2D(1, name="pool"),
        layers.ReLU(name="relu_2"),
        layers.Conv2D(2, 1, name="third"),
        layers.Flatten(),
        layers.Dense(4, "relu", name="dense"),
        layers.Dense(2, name="output"),
    )


@pytest.mark.parametrize("map_norm", [*KERNEL_NORMS, "mean"])
def test_maps_become_numbers(map_norm):
    """All filters, the first's too, and no dense unit; each of a map of 2 x 4 values."""
    network, x = cnn(), samples(5, 4, 6, 1)
    network.get_layer("norm_2").set_weights([np.array(v) for v in ([2, 3, 1], [1, 0, 0.5]) * 2])
    found = unit_activations(network, x, map_norm=map_norm)
    assert [layer.name for layer in found.layers] == ["first", "second", "third"]
    for name, layer in (("first", "first"), ("second", "relu_2"), ("third", "third")):
        maps = outputs_of(network, layer, x).astype(np.float64)
        expected = np.empty((len(x), maps.shape[-1]))
        for sample in range(len(x)):
            for unit in range(maps.shape[-1]):
                one = maps[sample, :, :, unit]
                expected[sample, unit] = {
                    "l1": np.abs(one).sum(),
                    "frobenius": np.linalg.norm(one),
                    "spectral": np.linalg.norm(one, 2),
                    "max_column_sum": np.linalg.norm(one, 1),
                    "mean": one.mean(),
                }[map_norm]
        assert of_layer(found, name) == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_before_the_nonlinearity():
    """What it reads, so after batch norm and pooling where these come first (methods E2)."""
    network, x = cnn(), samples(3, 4, 6, 1)
    network.get_layer("norm_2").set_weights([np.array(v) for v in ([2, 3, 1], [1, 0, 0.5]) * 2])
    found = unit_activations(network, x, position="pre", map_norm="mean")
    mean = outputs_of(network, "pool", x).mean(axis=(1, 2))
    assert of_layer(found, "second") == pytest.approx(mean, abs=1e-5)
    linear = sequential((4, 6, 1), layers.Conv2D(2, 3))
    linear.set_weights(network.get_layer("first").get_weights())
    mean = keras.ops.convert_to_numpy(linear(x)).mean(axis=(1, 2))
    assert of_layer(found, "first") == pytest.approx(mean, abs=1e-5)


def residual():
    inputs = keras.Input((3,))
    first = layers.Dense(4, name="first")(inputs)
    active = layers.Activation("tanh", name="tanh")(first)
    second = layers.Dense(4, name="second")(active)
    total = layers.Add(name="sum")([first, second])
    ready = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(total))
    return keras.Model(inputs, layers.Dense(2, name="output")(ready), name="net")


def test_sums_are_units_as_in_the_graph_of_weights():
    network, x = residual(), samples(6, 3)
    found = unit_activations(network, x)
    of_weights = graph_from_weights(network, inputs=False, outputs=False).layers
    assert found.layers == of_weights
    assert [layer.name for layer in found.layers] == ["first", "sum"]
    assert of_layer(found, "first") == pytest.approx(outputs_of(network, "tanh", x), abs=1e-6)
    assert of_layer(found, "sum") == pytest.approx(outputs_of(network, "relu", x), abs=1e-6)
    before = unit_activations(network, x, position="pre")
    assert of_layer(before, "first") == pytest.approx(outputs_of(network, "first", x), abs=1e-6)
    assert of_layer(before, "sum") == pytest.approx(outputs_of(network, "norm", x), abs=1e-6)


def decoder(activation, *behind):
    return sequential(
        (3,),
        layers.Dense(8, activation, name="spread"),
        layers.Reshape((2, 2, 2), name="maps"),
        *behind,
        layers.Conv2D(2, 1, name="conv"),
    )


@pytest.mark.parametrize("behind", [[], [layers.BatchNormalization(), layers.ReLU()]])
def test_decoders_maps_are_not_had_before_a_nonlinearity_before_their_reshape(behind):
    network, x = decoder("relu", *behind), samples(5, 3)
    assert of_layer(unit_activations(network, x), "maps").min() >= 0
    with pytest.raises(InvalidInputError, match=r"position='pre' .* layer 'maps' makes maps"):
        unit_activations(network, x, position="pre")


def test_decoders_maps_before_a_nonlinearity_behind_their_reshape():
    network, x = decoder("linear", layers.ReLU()), samples(5, 3)
    found = unit_activations(network, x, position="pre", map_norm="mean")
    mean = outputs_of(network, "maps", x).mean(axis=(1, 2))
    assert of_layer(found, "maps") == pytest.approx(mean, abs=1e-5)


def test_dense_gates_of_filters_are_no_units():
    """The product of filters and their gate is one of filters; its two dense layers are not."""
    inputs = keras.Input((4, 4, 1))
    filters = layers.Conv2D(3, 3, name="filters")(inputs)
    squeezed = layers.GlobalAveragePooling2D(keepdims=True)(filters)
    gate = layers.Dense(3, "sigmoid", name="gate")(layers.Dense(2, "relu", name="small")(squeezed))
    gated = layers.Multiply(name="gated")([filters, gate])
    network = keras.Model(inputs, layers.Conv2D(2, 1, name="last")(gated), name="net")
    x = samples(3, 4, 4, 1)
    found = unit_activations(network, x, map_norm="mean")
    assert [layer.name for layer in found.layers] == ["filters", "gated", "last"]
    expected = outputs_of(network, "gated", x).mean(axis=(1, 2))
    assert of_layer(found, "gated") == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "own",
    ["softmax", layers.Softmax(), layers.Activation("linear"), layers.Dropout(0.9)],
    ids=["own softmax", "softmax", "linear", "dropout"],
)
def test_what_is_no_nonlinearity_of_a_unit(own):
    """A softmax joins units, and dropout is off; the two positions are then the same."""
    dense = layers.Dense(3, own if isinstance(own, str) else None, name="hidden")
    parts = [dense] if isinstance(own, str) else [dense, own]
    network = sequential((2,), *parts, layers.Dense(2))
    x = samples(4, 2)
    expected = x @ network.get_layer("hidden").get_weights()[0]
    for position in ("pre", "post"):
        found = unit_activations(network, x, position=position).values[0]
        assert found == pytest.approx(expected, abs=1e-6)


def test_depthwise_kernels_are_not_passed():
    """The nonlinearity behind them is one of other values."""
    network = sequential(
        (4, 4, 1),
        layers.Conv2D(2, 2, name="first"),
        layers.DepthwiseConv2D(2, activation="relu"),
        layers.Conv2D(1, 1),
    )
    x = samples(3, 4, 4, 1)
    expected = outputs_of(network, "first", x).mean(axis=(1, 2))
    found = unit_activations(network, x, map_norm="mean")
    assert of_layer(found, "first") == pytest.approx(expected, abs=1e-5)


def test_one_dimension():
    network = sequential((5, 1), layers.Conv1D(2, 2, name="first"), layers.Conv1D(1, 1))
    x = samples(3, 5, 1)
    maps = outputs_of(network, "first", x)
    for map_norm, expected in (
        ("spectral", np.sqrt((maps**2).sum(axis=1))),
        ("max_column_sum", np.abs(maps).sum(axis=1)),
    ):
        found = unit_activations(network, x, map_norm=map_norm)
        assert of_layer(found, "first") == pytest.approx(expected, rel=1e-5)


def test_in_batches_as_at_once(monkeypatch):
    network, x = cnn(), samples(7, 4, 6, 1)
    at_once = unit_activations(network, x)
    monkeypatch.setattr(_activations, "_LARGEST_BATCH", 3)
    done = []
    in_batches = unit_activations(network, x, on_progress=done.append)
    assert done == [3, 3, 1]
    for all_values, some in zip(at_once.values, in_batches.values, strict=True):
        assert some == pytest.approx(all_values, abs=1e-5)


def test_memory_bounds_the_batch(monkeypatch):
    """Samples of 24 input values, and 8 more for every layer's map: as few as one at a time."""
    monkeypatch.setattr(_activations, "_VALUES_A_BATCH", 1)
    done = []
    unit_activations(cnn(), np.zeros((3, 4, 6, 1), np.float32), on_progress=done.append)
    assert done == [1, 1, 1]


def test_dead_unit_is_isolated():
    network = mlp()
    network.get_layer("hidden").set_weights([np.array([[1, -1], [2, 0]]), np.array([0, -99])])
    x = samples(9, 2)
    graph = graph_from_activations(unit_activations(network, x))
    assert graph.isolated.tolist() == [True, True]  # the other has no one else to answer with


X = np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("network", "x", "settings", "message"),
    [
        (mlp, X[:, :1], {}, r"samples of shape \(4, 1\) for network 'net'; expected \(None, 2\)"),
        (mlp, X[0], {}, r"samples of shape \(2,\)"),
        (mlp, X[:2], {}, "n_samples=2; expected 3 or more"),
        (mlp, X, {"position": "both"}, "position='both'; expected one of post, pre"),
        (mlp, X, {"map_norm": "l2"}, "map_norm='l2'; expected one of l1"),
        (mlp, X + np.inf, {}, "the samples hold NaN or infinite"),
        (mlp, X + 3e38, {}, "activations of layer 'hidden' hold NaN or infinite"),
        (lambda: sequential((2,), layers.Dense(2)), X, {}, "network 'net' has no hidden units"),
    ],
)
def test_refused(network, x, settings, message):
    with pytest.raises(InvalidInputError, match=message):
        unit_activations(network(), x, **settings)


def test_several_inputs_refused():
    inputs = [keras.Input((2,), name="a"), keras.Input((2,), name="b")]
    both = layers.Dense(2)(layers.Dense(2)(layers.Concatenate()(inputs)))
    with pytest.raises(InvalidInputError, match="'net' has 2 inputs; expected one"):
        unit_activations(keras.Model(inputs, both, name="net"), X)
