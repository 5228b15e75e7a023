"""The steps of a network, beside what the network itself computes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import read_weights, walk_network
from tests.networks.sample_networks import SUBCLASSED_OR_UNBUILT, dense, sequential

X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def nested():
    """Two calls of one inner network, operations, dropout and batch norm in training mode."""
    parts = [
        layers.Dense(4, "relu", name="a"),
        layers.Dropout(0.5, name="drop"),
        layers.Dense(3, name="b"),
    ]
    inner = keras.Sequential([keras.Input((3,)), *parts], name="inner")
    left, right = keras.Input((3,)), keras.Input((3,))
    total = inner(left) + 2 * inner(right)
    norm = layers.BatchNormalization(name="norm")
    joined = layers.Concatenate(name="joined")([norm(total, training=True), keras.ops.tanh(total)])
    network = keras.Model([left, right], layers.Dense(2, "softmax", name="out")(joined))
    norm.moving_mean.assign([1.0, -2.0, 0.5])
    return network


def test_steps():
    walk = walk_network(nested())
    names = [step.name for step in walk.steps]
    assert len(set(names)) == len(names)
    assert names[:4] == ["inner/a", "inner/a/activation", "inner/drop", "inner/b"]
    assert "inner:2/b" in names
    assert names[-2:] == ["out", "out/activation"]
    known = set(walk.inputs)
    for step in walk.steps:
        assert known.issuperset(step.inputs)
        known.update(step.outputs)
    assert known.issuperset(walk.outputs)
    assert walk.shapes[walk.inputs[0]] == (None, 3)
    assert walk.shapes[walk.outputs[0]] == (None, 2)


def test_runs_as_the_network_in_inference():
    network = nested()
    walk = walk_network(network)
    (output,) = walk.outputs
    found = walk.run(dict(zip(walk.inputs, (X, -X), strict=True)), [output])[output]
    expected = keras.ops.convert_to_numpy(network([X, -X], training=False))
    assert keras.ops.convert_to_numpy(found) == pytest.approx(expected, abs=1e-6)


def test_runs_in_a_function_and_under_a_tape():
    network = nested()
    walk = walk_network(network)

    @tf.function
    def gradient(compute, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            made = compute(x)
        return tape.gradient(made, x)

    def walked(x):
        return walk.run({walk.inputs[0]: x, walk.inputs[1]: x}, walk.outputs)[walk.outputs[0]][:, 0]

    x = tf.constant(X)
    expected = gradient(lambda x: network([x, x], training=False)[:, 0], x)
    assert np.abs(expected).max() > 0.01
    assert gradient(walked, x).numpy() == pytest.approx(expected.numpy(), abs=1e-6)


def test_activation_is_a_step_and_leaves_the_layer_as_it_was():
    network = sequential((1,), dense([[-2]], "dense", activation="relu"))
    walk = walk_network(network)
    before, after = walk.steps
    assert before.layer is network.layers[0]
    assert (after.name, after.operation) == ("dense/activation", keras.activations.relu)
    values = walk.run({walk.inputs[0]: np.ones((1, 1))}, [before.outputs[0], after.outputs[0]])
    assert [value.numpy().item() for value in values.values()] == [-2, 0]
    network.layers[0].kernel.assign([[5.0]])  # the variables are the layer's own
    assert walk.run({walk.inputs[0]: np.ones((1, 1))}, walk.outputs)[after.outputs[0]] == 5
    assert network.layers[0].activation is keras.activations.relu


def test_tensors_given_on_the_way_take_the_place_of_what_makes_them():
    network = sequential((1,), dense([[2]], "a"), dense([[3]], "b"), dense([[5]], "c"))
    walk = walk_network(network)
    first, second, third = (step.outputs[0] for step in walk.steps)
    found = walk.run({first: np.full((1, 1), 7.0)}, [third, first])
    assert [np.asarray(value).item() for value in found.values()] == [105, 7]
    # one that is given is not made again, even if it is on the way to another that is wanted
    found = walk.run({walk.inputs[0]: np.ones((1, 1)), second: np.ones((1, 1))}, [first, third])
    assert [np.asarray(value).item() for value in found.values()] == [2, 5]


def test_what_a_step_reads_can_be_replaced():
    inputs = keras.Input((1,))
    total = layers.Add(name="sum")([dense([[2]], "a")(inputs), dense([[3]], "b")(inputs)])
    walk = walk_network(keras.Model(inputs, total))
    found = walk.run(
        {walk.inputs[0]: np.ones((1, 1))},
        walk.outputs,
        on_read=lambda step, number, value: value * 10 if step.name == "b" else value,
    )
    assert found[walk.outputs[0]] == 32


def test_called_by_the_names_of_its_inputs():
    left, right = keras.Input((1,), name="left"), keras.Input((1,), name="right")
    difference = layers.Subtract()([left, right])
    inner = keras.Model({"right": right, "left": left}, difference, name="inner")
    a, b = keras.Input((1,)), keras.Input((1,))
    walk = walk_network(keras.Model([a, b], inner({"left": a, "right": b})))
    values = dict(zip(walk.inputs, (np.full((1, 1), 5.0), np.full((1, 1), 3.0)), strict=True))
    assert walk.run(values, walk.outputs)[walk.outputs[0]] == 2


def test_missing_tensors_refused():
    walk = walk_network(nested())
    with pytest.raises(InvalidInputError, match=r"tensors 1 cannot be computed from those given"):
        walk.run({walk.inputs[0]: X}, walk.outputs)


class OwnCall(keras.Model):
    def call(self, inputs):
        return 2 * super().call(inputs)


def with_own_call():
    inputs = keras.Input((2,))
    return OwnCall(inputs, layers.Dense(1)(inputs), name="net")


@pytest.mark.parametrize(
    ("build", "message"),
    [*SUBCLASSED_OR_UNBUILT, (with_own_call, "'net' is a OwnCall with a call method of its own")],
)
def test_networks_that_cannot_be_walked_refused(build, message):
    with pytest.raises(InvalidInputError, match=message):
        walk_network(build())


def wrapped():
    """Layers around layers and around a network, on sequences of any length."""
    image = keras.Input((4, 4, 1))
    x = layers.Conv2D(3, 2, activation="relu", name="conv")(image)
    inner = keras.Model(image, layers.GlobalMaxPooling2D()(layers.BatchNormalization()(x)))
    inputs = keras.Input((None, 4, 4, 1))
    x = layers.Pipeline([layers.Rescaling(2.0), layers.Dense(1, "tanh", name="d")], name="line")(
        inputs
    )
    x = layers.TimeDistributed(inner, name="each")(x)
    x = layers.TimeDistributed(layers.Dense(4, "softmax"), name="timed")(x)
    x = layers.SpectralNormalization(layers.Dense(2, "elu"), name="spectral")(x)
    network = keras.Model(inputs, layers.GlobalAveragePooling1D()(x))
    random = np.random.default_rng(0)
    for variable in network.weights:
        if "float" in variable.dtype:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return network


def test_wrapped_layers_are_opened():
    walk = walk_network(wrapped())
    names = [step.name for step in walk.steps]
    assert names[0].startswith("line/rescaling")
    assert names[1:5] == ["line/d", "line/d/activation", "each/conv", "each/conv/activation"]
    assert names[7:] == [
        *("timed", "timed/activation", "spectral", "spectral/activation"),
        walk.steps[-1].name,
    ]
    assert [step.n_times for step in walk.steps] == [0] * 3 + [1] * 6 + [0] * 3
    assert walk.shapes[walk.steps[3].outputs[0]] == (None, None, 3, 3, 3)
    assert type(walk.steps[7].operation) is layers.Dense


@pytest.mark.parametrize("length", [1, 3])
def test_wrapped_layers_compute_as_the_network(length):
    network = wrapped()
    walk = walk_network(network)
    x = np.random.default_rng(1).normal(size=(2, length, 4, 4, 1)).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, None, 4, 4, 1))])
    def walked(x):
        return walk.run({walk.inputs[0]: x}, walk.outputs)[walk.outputs[0]]

    expected = keras.ops.convert_to_numpy(network(x, training=False))
    assert walked(x).numpy() == pytest.approx(expected, abs=1e-6)
    found = walk.run({walk.inputs[0]: tf.constant(x)}, walk.outputs)[walk.outputs[0]]
    assert found.numpy() == pytest.approx(expected, abs=1e-6)


def test_layer_of_two_wrappers_makes_units_each_time():
    inner = layers.Dense(3)
    inputs = keras.Input((2, 3))
    x = layers.TimeDistributed(inner)(layers.TimeDistributed(inner, name="first")(inputs))
    weights = read_weights(keras.Model(inputs, x))
    assert [kernel.shape for kernel in weights.kernels] == [(3, 3), (3, 3)]
