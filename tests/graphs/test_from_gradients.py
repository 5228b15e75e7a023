"""Graphs of sensitivities by hand, by finite differences and beside whole Jacobians."""

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import _activations, graph_from_gradients, graph_from_weights


def sequential(input_shape, *parts):
    return keras.Sequential([keras.Input(input_shape), *parts], name="net")


def samples(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def outputs(network, x):
    return keras.ops.convert_to_numpy(network(x, training=False))


def blocks(graph):
    names = [layer.name for layer in graph.layers]
    return {(names[block.source], names[block.target]): block.weights for block in graph.edges}


def randomise(network):
    """Give every weight, batch norm's too, some value; variances are positive."""
    random = np.random.default_rng(1)
    for weight in network.weights:
        low = 0.5 if "variance" in weight.name else -1
        weight.assign(random.uniform(low, 1, weight.shape))
    return network


def jacobian(network, source, target, x):
    """The mean over samples and positions of |d (sum of target's map) / d source|, at once."""
    into = keras.Model(network.inputs[0], network.get_layer(source).output)(x, training=False)
    read = [network.get_layer(source).output, network.inputs[0]]
    part = keras.Model(read, network.get_layer(target).output)
    with tf.GradientTape() as tape:
        tape.watch(into)
        made = part([into, tf.convert_to_tensor(x)], training=False)
        made = tf.reduce_sum(tf.reshape(made, (len(x), -1, made.shape[-1])), axis=1)
    found = tape.batch_jacobian(made, into).numpy()  # (samples, targets, positions, sources)
    found = np.abs(found).reshape(len(x), made.shape[-1], -1, into.shape[-1])
    return found.mean(axis=(0, 2)).T


def test_relu_mlp_by_hand():
    """|w| times the share of samples for which the target is active; of the outputs, just |w|.

    Hidden unit 1 is x1 - x2 and active for two of the four samples, unit 2 is 1 and always so.
    """
    network = sequential((2,), layers.Dense(2, "relu"), layers.Dense(2, "softmax"))
    network.set_weights(
        [np.array([[1, 0], [-3, 2]]), np.array([0, 9]), np.array([[5, -6], [7, 8]]), np.zeros(2)]
    )
    x = np.array([[1, 0], [2, 0.5], [0, 1], [-1, -0.2]], np.float32)
    graph = graph_from_gradients(network, x)
    assert graph.edges[0].weights.tolist() == [[0.5, 0], [1.5, 2]]
    assert graph.edges[1].weights.tolist() == [[5, 6], [7, 8]]
    assert graph.layers == graph_from_weights(network).layers


def test_finite_differences():
    """Of a tanh and a sigmoid layer, at every sample, by numpy."""
    network = randomise(
        sequential((3,), layers.Dense(4, "tanh"), layers.Dense(2, "sigmoid", name="output"))
    )
    x, step = samples(5, 3), 1e-6
    first, first_bias, second, second_bias = map(np.float64, network.get_weights())
    functions = [
        lambda a: np.tanh(a @ first + first_bias),
        lambda a: 1 / (1 + np.exp(-(a @ second + second_bias))),
    ]
    read = x.astype(np.float64)
    for function, block in zip(functions, graph_from_gradients(network, x).edges, strict=True):
        for unit in range(read.shape[1]):
            moved = step * (np.arange(read.shape[1]) == unit)
            difference = np.abs(function(read + moved) - function(read - moved)) / (2 * step)
            assert block.weights[unit] == pytest.approx(difference.mean(axis=0), rel=1e-4)
        read = function(read)


def test_convolutions_beside_jacobians():
    """Pooling, batch norm, strides and padding lie between; the image and dense layers are out."""
    network = randomise(
        sequential(
            (7, 6, 2),
            layers.Conv2D(3, 2, activation="relu", name="first"),
            layers.MaxPooling2D(2, strides=1),
            layers.BatchNormalization(),
            layers.Conv2D(4, 3, strides=2, padding="same", name="second"),
            layers.BatchNormalization(),
            layers.ELU(name="elu"),
            layers.ZeroPadding2D(1),
            layers.Conv2D(2, 2, dilation_rate=2, name="third", activation="tanh"),
            layers.Flatten(),
            layers.Dense(3),
        )
    )
    x = samples(3, 7, 6, 2)
    graph = graph_from_gradients(network, x)
    assert graph.layers == graph_from_weights(network).layers
    found = blocks(graph)
    assert list(found) == [("first", "second"), ("second", "third")]
    expected = jacobian(network, "first", "elu", x)
    assert found["first", "second"] == pytest.approx(expected, rel=1e-4)
    expected = jacobian(network, "elu", "third", x)
    assert found["second", "third"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("input_shape", "kernel"),
    [
        ((6, 2), lambda: layers.Conv1D(4, 3, activation="relu", name="last")),
        ((6, 2), lambda: layers.Conv1D(4, 3, padding="causal", activation="relu", name="last")),
        ((4, 5, 2), lambda: layers.Conv2D(4, 2, groups=2, activation="relu", name="last")),
        ((4, 5, 2), lambda: layers.SeparableConv2D(4, 2, activation="relu", name="last")),
        ((4, 5, 2), lambda: layers.Conv2DTranspose(4, 2, activation="relu", name="last")),
    ],
    ids=["1-D", "causal", "grouped", "separable", "transposed"],
)
def test_kinds_of_convolution(input_shape, kernel):
    convolution = layers.Conv1D if len(input_shape) == 2 else layers.Conv2D
    first = convolution(4, 1, activation="relu", name="first")
    network = randomise(sequential(input_shape, first, kernel()))
    x = samples(3, *input_shape)
    found = blocks(graph_from_gradients(network, x))["first", "last"]
    assert found == pytest.approx(jacobian(network, "first", "last", x), rel=1e-4)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise_kernels_lie_on_the_way(multiplier):
    """They have no units: before the weights that read, and behind those that lead into a sum."""
    inputs = keras.Input((4, 4, 2))
    first = layers.Conv2D(3, 1, activation="tanh", name="first")(inputs)
    spread = layers.DepthwiseConv2D(2, depth_multiplier=multiplier, activation="relu")(first)
    second = layers.Conv2D(2, 1)(spread)
    again = layers.DepthwiseConv2D(1, depth_multiplier=multiplier)(second)
    total = layers.Add(name="sum")([again, layers.Conv2D(2 * multiplier, 2)(inputs)])
    network = randomise(keras.Model(inputs, total, name="net"))
    x = samples(3, 4, 4, 2)
    found = blocks(graph_from_gradients(network, x))["first", "sum"]
    assert found == pytest.approx(jacobian(network, "first", "sum", x), rel=1e-4)


@pytest.mark.parametrize("norm", [layers.LayerNormalization, layers.BatchNormalization])
def test_normalisation_after_the_weights(norm):
    """Layer norm joins units, so that every unit hangs on all channels."""
    network = randomise(
        sequential(
            (4,),
            layers.Dense(3, "tanh", name="first"),
            layers.Dense(5, name="second"),
            norm(),
            layers.Activation("tanh", name="tanh"),
            layers.Dense(2),
        )
    )
    x = samples(6, 4)
    found = blocks(graph_from_gradients(network, x))["first", "second"]
    assert found == pytest.approx(jacobian(network, "first", "tanh", x), rel=1e-4)


def test_inputs_outputs_and_dense_layers_on_request():
    """A flattened map is read by a dense layer: the mean over its positions."""
    network = randomise(
        sequential(
            (3, 3, 2),
            layers.Conv2D(3, 2, activation="relu", name="first"),
            layers.Conv2D(2, 1, activation="relu", name="second"),
            layers.Flatten(name="flat"),
            layers.Dense(3, activation="softmax", name="output"),
        )
    )
    x = samples(4, 3, 3, 2)
    graph = graph_from_gradients(network, x, inputs=True, dense_layers=True)
    assert graph.layers == graph_from_weights(network, inputs=True, dense_layers=True).layers
    found = blocks(graph)
    kernel = np.abs(network.get_layer("output").get_weights()[0]).reshape(4, 2, 3)
    assert found["second", "output"] == pytest.approx(kernel.mean(axis=0), rel=1e-5)
    shape = network.get_layer("first").get_weights()[0].shape
    assert found["input", "first"].shape == shape[2:]
    without = blocks(graph_from_gradients(network, x, dense_layers=True, outputs=False))
    assert list(without) == [("first", "second")]


def test_flattened_input_has_a_unit_for_every_value():
    network = randomise(
        sequential((2, 3, 1), layers.Flatten(), layers.Dense(4, name="dense"), layers.ReLU())
    )
    x = samples(8, 2, 3, 1)
    (block,) = graph_from_gradients(network, x).edges
    kernel = np.abs(network.get_layer("dense").get_weights()[0])
    share = (outputs(network, x) > 0).mean(axis=0)
    assert block.weights == pytest.approx(kernel * share, rel=1e-5)


def residual():
    inputs = keras.Input((3,), name="in")
    first = layers.Dense(4, "relu", name="first")(inputs)
    second = layers.Dense(4, name="second")(first)
    total = layers.Add(name="sum")([first, second])
    ready = layers.ReLU(name="relu")(total)
    return randomise(keras.Model(inputs, layers.Dense(2, name="output")(ready), name="net"))


def test_shortcuts_are_followed_and_other_readers_held_constant():
    """From the inputs to the sum the way is first -> sum; first -> second -> sum is second's own.

    Multiplied by the share of samples in which the ReLUs on the way are both active.
    """
    network, x = residual(), samples(50, 3)
    first, first_bias, second, second_bias, output, _ = network.get_weights()
    linear = x @ first + first_bias
    active = np.maximum(linear, 0)
    sum_active = active + active @ second + second_bias > 0
    found = blocks(graph_from_gradients(network, x))
    assert set(found) == {("input", "first"), ("input", "sum"), ("first", "sum"), ("sum", "output")}
    expected = {
        ("input", "first"): np.abs(first) * (linear > 0).mean(axis=0),
        ("input", "sum"): np.abs(first) * ((linear > 0) & sum_active).mean(axis=0),
        ("first", "sum"): np.abs(second) * sum_active.mean(axis=0),
        ("sum", "output"): np.abs(output),
    }
    for pair, weights in expected.items():
        assert found[pair] == pytest.approx(weights, rel=1e-5)


def test_parallel_layers_act_together():
    """Two layers that read the same units and are summed: the derivative is by the sum of both."""
    inputs = keras.Input((3,))
    both = layers.Add(name="sum")([layers.Dense(2, name="a")(inputs), layers.Dense(2)(inputs)])
    network = randomise(keras.Model(inputs, both, name="net"))
    first, _, second, _ = network.get_weights()
    (block,) = graph_from_gradients(network, samples(2, 3)).edges
    assert block.weights == pytest.approx(np.abs(first + second), rel=1e-5)


def test_forms_of_the_same_units_are_added():
    """One layer reads units before, one after their ReLU: of the first what they are, |w|."""
    inputs = keras.Input((2,))
    units = layers.Dense(3, name="units")(inputs)
    before, after = layers.Dense(2, name="before"), layers.Dense(2, name="after")
    total = layers.Add(name="sum")([before(units), after(layers.ReLU()(units))])
    network = randomise(keras.Model(inputs, total, name="net"))
    found = blocks(graph_from_gradients(network, samples(4, 2)))["units", "sum"]
    expected = sum(np.abs(layer.get_weights()[0]) for layer in (before, after))
    assert found == pytest.approx(expected, rel=1e-5)


def test_concatenation():
    """Each part is its own set; after the concatenation comes no nonlinearity of a unit's own."""
    inputs = keras.Input((2,))
    left = layers.Dense(2, "tanh", name="left")(inputs)
    right = layers.Dense(3, name="right")(inputs)
    both = layers.ReLU()(layers.Concatenate()([left, right]))
    network = randomise(keras.Model(inputs, layers.Dense(2, name="output")(both), name="net"))
    x = samples(40, 2)
    found = blocks(graph_from_gradients(network, x))
    kernel = np.abs(network.get_layer("output").get_weights()[0])
    part = keras.Model(inputs, [left, right])(x)
    active = [(keras.ops.convert_to_numpy(values) > 0).mean(axis=0) for values in part]
    assert found["left", "output"] == pytest.approx(kernel[:2] * active[0][:, None], rel=1e-5)
    assert found["right", "output"] == pytest.approx(kernel[2:] * active[1][:, None], rel=1e-5)


def test_gates_are_held_constant_where_dense_layers_do_not_count():
    """Filters times a gate that dense layers make of them; the gate's own reading is theirs."""
    inputs = keras.Input((3, 3, 1))
    filters = layers.Conv2D(2, 2, name="filters")(inputs)
    gate = layers.Dense(2, "sigmoid", name="gate")(layers.GlobalAveragePooling2D()(filters))
    gated = layers.Multiply(name="gated")([filters, layers.Reshape((1, 1, 2))(gate)])
    network = randomise(keras.Model(inputs, layers.Conv2D(2, 1, name="last")(gated), name="net"))
    x = samples(5, 3, 3, 1)
    found = blocks(graph_from_gradients(network, x, inputs=True))
    kernel = network.get_layer("filters").get_weights()[0]  # (2, 2, 1, 2)
    gates = outputs(keras.Model(inputs, gate), x).mean(axis=0)
    # every entry reads 2 x 2 of the 3 x 3 positions of the image
    read = [
        np.abs(scipy.signal.convolve2d(kernel[:, :, 0, unit], np.ones((2, 2)))).mean()
        for unit in range(2)
    ]
    assert found["input", "gated"] == pytest.approx((read * gates)[None], rel=1e-4)


def test_in_batches_as_at_once(monkeypatch):
    network, x = residual(), samples(7, 3)
    at_once = graph_from_gradients(network, x)
    monkeypatch.setattr(_activations, "_LARGEST_BATCH", 3)
    done = []
    in_batches = graph_from_gradients(network, x, on_progress=done.append)
    assert done == [3, 3, 1]
    for one, other in zip(at_once.edges, in_batches.edges, strict=True):
        assert other.weights == pytest.approx(one.weights, rel=1e-5)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((4, 2)), r"samples of shape \(4, 2\) .* expected \(None, 3\)"),
        (np.zeros((0, 3)), "no samples to take derivatives at"),
        (np.full((4, 3), np.nan), "the samples hold NaN or infinite values"),
        (np.full((4, 3), 2e38), "layer 'first' of network 'net' makes NaN or infinite values"),
    ],
)
def test_refused(x, message):
    network = residual()
    network.get_layer("first").kernel.assign(np.ones((3, 4)))
    with pytest.raises(InvalidInputError, match=message):
        graph_from_gradients(network, x.astype(np.float32))
