"""The clusterability gradient is the derivative, and scaling units leaves the function alone."""

from itertools import pairwise

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings, strategies as st

from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks import build_network
from nn_clustering.networks.structure import KERNEL_NORMS
from nn_clustering.partitions import ncut, spectral_partition
from nn_clustering.training import (
    Checkpoint,
    ClusterabilityGradient,
    Penalty,
    Phase,
    PruningSchedule,
    clusterability_loss,
    evaluate,
    prunable_kernels,
    sparsity,
    train,
)
from nn_clustering.training._clusterability import ClusterabilityTerm
from nn_clustering.training._small_eigenvalues import mean_eigenvalue


def dense_layers(sizes, *, seed=0, sparse=0.0, **options):
    """A chain of dense layers with Gaussian weights and biases, of which some are 0."""
    random = np.random.default_rng(seed)
    layers = [keras.layers.Dense(size, "relu", **options) for size in sizes[1:]]
    layers[-1].activation = keras.activations.softmax
    network = keras.Sequential([keras.Input((sizes[0],)), *layers])
    randomise(network, random)
    for layer in layers:
        layer.kernel.assign(layer.kernel.numpy() * (random.random(layer.kernel.shape) >= sparse))
    return network


def convolutions(*, seed=0, sparse=0.0, dropout=False):
    """Three convolutions with pooling, and two dense layers."""
    network = build_network(
        "cnn", (8, 8, 2), 3, hidden_units=[5], conv_filters=[3, 5, 4], dropout=dropout, seed=1
    )
    random = np.random.default_rng(seed)
    randomise(network, random)
    for kernel in prunable_kernels(network):
        kernel.assign(kernel.numpy() * (random.random(kernel.shape) >= sparse))
    return network


def randomise(network, random):
    for variable in network.trainable_variables:
        variable.assign(random.normal(size=variable.shape))


def value_and_gradients(network, condition):
    """As training takes them: in a loop of a compiled function."""
    term = ClusterabilityTerm(network, condition)
    kernels = prunable_kernels(network)

    @tf.function
    def compiled(n_steps):
        value = tf.constant(0.0)
        gradients = [tf.zeros(kernel.shape) for kernel in kernels]
        for _ in tf.range(n_steps):
            with tf.GradientTape() as tape:
                value = term.loss()
            gradients = tape.gradient(
                value,
                [kernel.value for kernel in kernels],
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
        return value, gradients

    value, gradients = compiled(tf.constant(2))
    assert value.dtype == tf.float32
    assert value.shape == ()
    return float(value), [np.asarray(gradient) for gradient in gradients]


def naive_eigenvalues(matrices):
    """Of the whole Laplacian, written down unit by unit; isolated units are left out."""
    sizes = [len(matrices[0]), *(matrix.shape[1] for matrix in matrices)]
    ends = np.cumsum([0, *sizes])
    adjacency = np.zeros((ends[-1], ends[-1]))
    for layer, matrix in enumerate(matrices):
        for source, row in enumerate(matrix):
            for target, weight in enumerate(row):
                adjacency[ends[layer] + source, ends[layer + 1] + target] = weight
                adjacency[ends[layer + 1] + target, ends[layer] + source] = weight
    degrees = adjacency.sum(axis=0)
    adjacency = adjacency[np.ix_(degrees > 0, degrees > 0)]
    roots = np.sqrt(degrees[degrees > 0])
    return np.linalg.eigvalsh(np.eye(len(roots)) - adjacency / np.outer(roots, roots))


def naive_norm(kernel, name):
    if name == "l1":
        return sum(abs(weight) for row in kernel for weight in row)
    if name == "frobenius":
        return sum(weight**2 for row in kernel for weight in row) ** 0.5
    return np.linalg.norm(kernel, ord={"spectral": 2, "max_column_sum": 1}[name])


def naive_matrices(kernels, kernel_norm="l1"):
    """The graph of an MLP's kernels, or of those of a CNN's convolutions but the first."""
    if all(kernel.ndim == 2 for kernel in kernels):
        return [np.abs(kernel) for kernel in kernels]
    return [
        np.array(
            [
                [naive_norm(kernel[:, :, i, o], kernel_norm) for o in range(kernel.shape[3])]
                for i in range(kernel.shape[2])
            ]
        )
        for kernel in kernels[1:]
        if kernel.ndim == 4
    ]


def naive_loss(kernels, condition):
    eigenvalues = naive_eigenvalues(naive_matrices(kernels, condition.kernel_norm))
    return condition.weight * eigenvalues[1 : condition.n_eigenvalues + 1].mean()


def central_differences(kernels, condition, places, step=1e-5):
    kernels = [kernel.astype(np.float64) for kernel in kernels]
    found = []
    for index, place in places:
        losses = []
        for sign in (1, -1):
            changed = [kernel.copy() for kernel in kernels]
            changed[index][place] += sign * step
            losses.append(naive_loss(changed, condition))
        found.append((losses[0] - losses[1]) / (2 * step))
    return np.array(found)


def nonzero_places(kernels):
    return [
        (index, place)
        for index, kernel in enumerate(kernels)
        for place in zip(*np.nonzero(kernel), strict=True)
    ]


def assert_equals_naive(network, condition, n_places=60):
    kernels = [kernel.numpy() for kernel in prunable_kernels(network)]
    value, gradients = value_and_gradients(network, condition)
    assert value == pytest.approx(naive_loss(kernels, condition), rel=1e-5, abs=1e-7)
    places = nonzero_places(kernels)
    chosen = np.random.default_rng(3).permutation(len(places))[:n_places]
    places = [places[index] for index in chosen]
    expected = central_differences(kernels, condition, places)
    found = np.array([gradients[index][place] for index, place in places])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7 * condition.weight)
    for kernel, gradient in zip(kernels, gradients, strict=True):
        assert gradient.shape == kernel.shape
        if kernel.ndim == 4:
            assert not gradient[:, :, (kernel == 0).all(axis=(0, 1))].any()
        if condition.kernel_norm != "spectral":  # which has no kink at a single 0
            assert not gradient[kernel == 0].any()
    return gradients


@settings(max_examples=15)
@given(
    sizes=st.lists(st.integers(3, 7), min_size=2, max_size=6),
    n_eigenvalues=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_mlp_by_finite_differences(sizes, n_eigenvalues, seed):
    assume(n_eigenvalues < min(sum(sizes[::2]), sum(sizes[1::2])))
    condition = ClusterabilityGradient(0.7, n_eigenvalues)
    gradients = assert_equals_naive(dense_layers(sizes, seed=seed), condition)
    assert all(gradient.all() for gradient in gradients)


@settings(max_examples=15)
@given(
    sizes=st.lists(st.integers(3, 9), min_size=3, max_size=6),
    n_eigenvalues=st.integers(1, 3),
    sparse=st.floats(0.3, 0.8),
    seed=st.integers(0, 1000),
)
def test_pruned_mlp_by_finite_differences(sizes, n_eigenvalues, sparse, seed):
    """Units become isolated and the graph falls apart: nothing of that makes a NaN."""
    network = dense_layers(sizes, seed=seed, sparse=sparse)
    kept = ~graph_from_weights(network).isolated
    sides = [0, 0]
    for layer, units in enumerate(np.split(kept, np.cumsum(sizes)[:-1])):
        sides[layer % 2] += units.sum()
    assume(min(sides) > n_eigenvalues)
    assert_equals_naive(network, ClusterabilityGradient(0.7, n_eigenvalues))


@pytest.mark.parametrize("kernel_norm", list(KERNEL_NORMS))
@pytest.mark.parametrize("sparse", [0.0, 0.6])
def test_cnn_by_finite_differences(kernel_norm, sparse):
    condition = ClusterabilityGradient(0.3, 2, kernel_norm)
    network = convolutions(sparse=sparse)
    if sparse:  # a filter that nothing reads, and one without weights: both isolated
        kernels = [network.get_layer(name).kernel for name in ("conv_2", "conv_3")]
        for kernel, unit in zip(kernels, (0, 2), strict=True):
            values = kernel.numpy()
            values[:, :, :, unit] = 0
            kernel.assign(values)
        values = kernels[1].numpy()
        values[:, :, 0] = 0
        kernels[1].assign(values)
        assert graph_from_weights(network, kernel_norm=kernel_norm).isolated.sum() == 2
    gradients = assert_equals_naive(network, condition)
    acted_on = [gradient.any() for gradient in gradients]
    assert acted_on == [False, True, True, False, False]  # no edges: the image's, dense layers'


def test_by_hand():
    """Two inputs and two outputs: B is [[3, 1], [1, 3]] / 4, its singular values 1 and 1/2.

    The eigenvalue is 2 b / (a + b) for weights a on the diagonal and b beside it, derivatives
    -2 b / (a + b)^2 and 2 a / (a + b)^2, of which each of two weights has half; signs follow the
    weights.
    """
    network = dense_layers([2, 2])
    kernel = network.layers[0].kernel
    kernel.assign([[3, -1], [1, -3]])
    condition = ClusterabilityGradient(weight=1.0, n_eigenvalues=1)
    value, (gradient,) = value_and_gradients(network, condition)
    assert value == pytest.approx(0.5)
    np.testing.assert_allclose(gradient, [[-1 / 16, -3 / 16], [3 / 16, 1 / 16]], rtol=1e-6)
    assert clusterability_loss(network, condition) == pytest.approx(0.5)

    kernel.assign([[3, 0], [0, -3]])  # two components: eigenvalues 0 and 0
    value, (gradient,) = value_and_gradients(network, condition)
    assert value == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_singular_values_of_zero():
    """They have a kink there; rounding must not make a gradient of it."""
    network = dense_layers([3, 3])
    network.layers[0].kernel.assign(np.outer([1, 0.7, -0.3], [0.2, 0.9, 0.4]))
    value, (gradient,) = value_and_gradients(network, ClusterabilityGradient(1.0, 2))
    assert value == 1
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("n_weights", [0, 1, 2])
def test_eigenvalues_that_a_pruned_graph_has_not_got(n_weights):
    """They count as 1: n weights that share no unit have n eigenvalues 0, of which one is left."""
    network = dense_layers([4, 5, 4])
    for layer in network.layers:
        layer.kernel.assign(np.zeros(layer.kernel.shape))
    first = np.zeros((4, 5))
    first[range(n_weights), range(n_weights)] = 2.0
    network.layers[0].kernel.assign(first)
    value, gradients = value_and_gradients(network, ClusterabilityGradient(1.0, 3))
    assert value == pytest.approx(1 - max(n_weights - 1, 0) / 3)
    for gradient in gradients:
        np.testing.assert_allclose(gradient, 0, atol=1e-7)


def test_equal_eigenvalues_of_which_some_count():
    """Three equal pairs of units, weakly joined in a ring: eigenvalues 2 and 3 are one."""
    network = dense_layers([3, 3])
    ring = np.array([[4, 1, 0.5], [0.5, 4, 1], [1, 0.5, 4]])
    network.layers[0].kernel.assign(ring)
    # B = ring / 5.5 has the singular values |4 + w + w^2 / 2| / 5.5 for the cube roots w of 1.
    second = 1 - abs(4 + np.exp(2j * np.pi / 3) + np.exp(4j * np.pi / 3) / 2) / 5.5
    for n_eigenvalues in (1, 2):
        condition = ClusterabilityGradient(1.0, n_eigenvalues)
        value, (gradient,) = value_and_gradients(network, condition)
        assert value == pytest.approx(second, rel=1e-6)
        assert np.isfinite(gradient).all()
    # With both counting, the gradient is that of a smooth function, and as symmetric as the ring.
    np.testing.assert_allclose(gradient, np.roll(gradient, 1, axis=(0, 1)), atol=1e-7)
    places = nonzero_places([ring])
    expected = central_differences([ring], condition, places)
    np.testing.assert_allclose(gradient.ravel(), expected, rtol=1e-4)


def test_order_of_units_does_not_matter():
    network, clone = (dense_layers([5, 7, 6, 3], sparse=0.4) for _ in range(2))
    orders = [np.random.default_rng(8 + n).permutation(n) for n in (5, 7, 6, 3)]
    for layer, (of_source, of_target) in zip(clone.layers, pairwise(orders), strict=True):
        layer.kernel.assign(layer.kernel.numpy()[np.ix_(of_source, of_target)])
    condition = ClusterabilityGradient()
    value, gradients = value_and_gradients(network, condition)
    permuted_value, permuted = value_and_gradients(clone, condition)
    assert permuted_value == pytest.approx(value, rel=1e-6)
    for gradient, other, order in zip(gradients, permuted, pairwise(orders), strict=True):
        np.testing.assert_allclose(other, gradient[np.ix_(*order)], rtol=1e-4, atol=1e-8)


def test_scale_of_all_weights_does_not_matter():
    network, clone = dense_layers([5, 7, 6, 3]), dense_layers([5, 7, 6, 3])
    for layer in clone.layers:
        layer.kernel.assign(layer.kernel.numpy() * 1024)
    value, gradients = value_and_gradients(network, ClusterabilityGradient())
    scaled_value, scaled = value_and_gradients(clone, ClusterabilityGradient())
    assert scaled_value == value
    for gradient, other in zip(gradients, scaled, strict=True):
        np.testing.assert_array_equal(other, gradient / 1024)


def test_value_of_any_network():
    """Also of networks whose units cannot be scaled."""
    condition = ClusterabilityGradient(0.2, 2)
    for network in (dense_layers([5, 7, 3], sparse=0.3), convolutions()):
        kernels = [kernel.numpy() for kernel in prunable_kernels(network)]
        found = clusterability_loss(network, condition)
        assert found == pytest.approx(naive_loss(kernels, condition))
        assert isinstance(found, float)
    network = build_network(
        "mlp", (8, 8, 1), 10, hidden_units=[9, 8], conv_filters=[], activation="tanh", seed=0
    )
    kernels = [kernel.numpy() for kernel in prunable_kernels(network)]
    assert clusterability_loss(network, condition) == pytest.approx(naive_loss(kernels, condition))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite(bad):
    network = dense_layers([4, 5, 4])
    values = network.layers[0].kernel.numpy()
    term = ClusterabilityTerm(network, ClusterabilityGradient())
    values[1, 2] = bad
    network.layers[0].kernel.assign(values)
    assert np.isnan(float(term.loss()))
    term.normalise()
    assert not all(np.isfinite(np.asarray(weight)).all() for weight in network.weights)


# Scaling of units


def joint_norms(layer):
    kernel = layer.kernel.numpy().astype(np.float64)
    bias = layer.bias.numpy() if layer.use_bias else np.zeros(kernel.shape[-1])
    columns = kernel.reshape(-1, kernel.shape[-1])
    return np.sqrt((columns**2).sum(axis=0) + bias.astype(np.float64) ** 2)


def branchless(*layers, shape=(6, 6, 2)):
    network = keras.Sequential([keras.Input(shape), *layers])
    randomise(network, np.random.default_rng(2))
    return network


NETWORKS = {
    "mlp": lambda: dense_layers([5, 7, 6, 3]),
    "no hidden layer": lambda: dense_layers([5, 3]),
    "no biases": lambda: dense_layers([5, 7, 6, 3], use_bias=False),
    "cnn": convolutions,
    "cnn with dropout": lambda: convolutions(dropout=True),
    "other layers": lambda: branchless(
        keras.layers.Rescaling(0.5),
        keras.layers.Conv2D(4, 3),
        keras.layers.LeakyReLU(0.2),
        keras.layers.ZeroPadding2D(1),
        keras.layers.Conv2D(3, 3, strides=2),
        keras.layers.Activation("relu"),
        keras.layers.SpatialDropout2D(0.3),
        keras.layers.Conv2D(5, 2, padding="same"),
        keras.layers.ReLU(negative_slope=0.1),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4, "linear"),
        keras.layers.Activation("tanh"),
    ),
    "average pooling and flatten": lambda: branchless(
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.Conv2D(3, 3, activation="relu", padding="same"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(6, "leaky_relu"),
        keras.layers.Dense(4),
    ),
    "half precision": lambda: dense_layers([5, 7, 6, 3], dtype="mixed_float16"),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_scaling_leaves_the_function_alone(kind):
    network = NETWORKS[kind]()
    x = np.random.default_rng(4).normal(size=(20, *network.input_shape[1:])).astype(np.float32)
    before, weights = np.asarray(network(x, training=False)), network.get_weights()
    term = ClusterabilityTerm(network, ClusterabilityGradient(n_eigenvalues=2))

    @tf.function
    def normalise():
        for _ in tf.range(2):
            term.normalise()

    normalise()
    precision = 2e-2 if kind == "half precision" else 1e-4
    after = np.asarray(network(x, training=False))
    np.testing.assert_allclose(after, before, rtol=precision, atol=precision)
    weighted = [layer for layer in network.layers if hasattr(layer, "kernel")]
    for layer in weighted[:-1]:
        np.testing.assert_allclose(joint_norms(layer), np.sqrt(2), rtol=1e-6)
    changed = [(a != b).any() for a, b in zip(weights, network.get_weights(), strict=True)]
    # All weights, but for the last biases; and none where no unit is hidden.
    n_changed = len(weights) - bool(weighted[-1].use_bias) if len(weighted) > 1 else 0
    assert changed == [True] * n_changed + [False] * (len(weights) - n_changed)


def naive_scaling(weights, thresholds=(1, 1, 1, 1)):
    """Unit by unit, for dense layers: pairs of a kernel and a bias."""
    weights = [weight.astype(np.float64) for weight in weights]
    for layer in range(len(weights) // 2 - 1):
        kernel, bias, following = weights[2 * layer : 2 * layer + 3]
        for unit in range(len(bias)):
            norm = np.linalg.norm([*(thresholds[layer] * kernel[:, unit]), bias[unit]])
            if norm == 0:
                continue
            factor = np.sqrt(2) / norm
            kernel[:, unit] *= factor
            bias[unit] *= factor
            following[unit] /= factor
    return weights


def test_scaling_equals_naive_scaling_on_pruned_weights():
    network = dense_layers([5, 7, 6, 3], sparse=0.6)
    first, second = network.layers[:2]
    kernel, bias = first.kernel.numpy(), first.bias.numpy()
    kernel[:, 2] = bias[2] = 0  # neither weights nor bias
    kernel[:, 4] = 0  # a bias alone
    first.kernel.assign(kernel)
    first.bias.assign(bias)
    before = network.get_weights()
    ClusterabilityTerm(network, ClusterabilityGradient()).normalise()
    for ours, theirs in zip(network.get_weights(), naive_scaling(before), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
        np.testing.assert_array_equal(ours == 0, theirs == 0)
    norms = joint_norms(first)
    assert norms[2] == 0
    assert abs(first.bias.numpy()[4]) == pytest.approx(np.sqrt(2))
    np.testing.assert_allclose(np.delete(norms, 2), np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(joint_norms(second), np.sqrt(2), rtol=1e-6)


def test_scaling_by_thresholds_leaves_the_function_alone():
    network = dense_layers([5, 7, 6, 3])
    x = np.random.default_rng(4).normal(size=(20, 5)).astype(np.float32)
    before, weights = np.asarray(network(x)), network.get_weights()
    thresholds = [0.3, 0.0, 5.0]  # the last layer has no hidden units
    by_kernel = dict(zip(map(id, prunable_kernels(network)), thresholds, strict=True))
    term = ClusterabilityTerm(network, ClusterabilityGradient())
    term.normalise(lambda kernel: by_kernel[id(kernel)])
    np.testing.assert_allclose(np.asarray(network(x)), before, rtol=1e-4, atol=1e-4)
    for ours, theirs in zip(network.get_weights(), naive_scaling(weights, thresholds), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(np.abs(network.layers[1].bias.numpy()), np.sqrt(2), rtol=1e-6)


def with_hidden(*layers):
    return branchless(*layers, keras.layers.Dense(6, "relu"), keras.layers.Dense(3, "softmax"))


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda: with_hidden(keras.layers.Flatten(), keras.layers.Dense(7, "tanh", name="odd")),
            "layer 'odd' of network .* is a Dense with activation tanh, which .*; expected hidden "
            "layers with relu, and no batch norm or noise",
        ),
        (
            lambda: with_hidden(
                keras.layers.Flatten(),
                keras.layers.Dense(7, "relu"),
                keras.layers.BatchNormalization(name="odd"),
            ),
            "layer 'odd' of network .* is a BatchNormalization, which",
        ),
        (
            lambda: with_hidden(keras.layers.Flatten(), keras.layers.Dense(7, "softmax")),
            "is a Dense with activation softmax, which",
        ),
        (
            lambda: with_hidden(
                keras.layers.Conv2D(4, 3, activation="elu"),
                keras.layers.Conv2D(4, 3),
                keras.layers.Flatten(),
            ),
            "is a Conv2D with activation elu, which",
        ),
        (
            lambda: with_hidden(
                keras.layers.Conv2D(4, 3),
                keras.layers.Activation("sigmoid"),
                keras.layers.Conv2D(4, 3),
                keras.layers.Flatten(),
            ),
            "is a Activation with activation sigmoid, which",
        ),
        (
            lambda: with_hidden(
                keras.layers.Conv2D(4, 3),
                keras.layers.ReLU(6.0),
                keras.layers.Conv2D(4, 3),
                keras.layers.Flatten(),
            ),
            "is a ReLU, which",
        ),
        (
            lambda: with_hidden(
                keras.layers.Conv2D(4, 3),
                keras.layers.GaussianNoise(0.1),
                keras.layers.Conv2D(4, 3),
                keras.layers.Flatten(),
            ),
            "is a GaussianNoise, which",
        ),
        (lambda: dense_layers([4, 2, 4]), "n_eigenvalues=3 for layers of 4, 2, 4 units; .* 1 to 1"),
        (
            lambda: branchless(keras.layers.Flatten(), keras.layers.Reshape((72,))),
            "has no place in a plain chain",
        ),
    ],
)
def test_refuses(network, message):
    network = network()
    with pytest.raises(InvalidInputError, match=message) as refusal:
        ClusterabilityTerm(network, ClusterabilityGradient())
    assert "\n" not in str(refusal.value)


def test_refuses_branches():
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(4, "relu")(inputs)
    outputs = keras.layers.Dense(3, "softmax")(keras.layers.Add()([inputs, hidden]))
    with pytest.raises(InvalidInputError, match="expected a plain chain of layers"):
        ClusterabilityTerm(keras.Model(inputs, outputs), ClusterabilityGradient())
    with pytest.raises(InvalidInputError, match="expected a plain chain of layers"):
        clusterability_loss(keras.Model(inputs, outputs), ClusterabilityGradient())


# Training with it


def small_mlp(seed=1):
    return build_network(
        "mlp", (8, 8, 1), 10, hidden_units=[16, 16, 16], conv_filters=[], seed=seed
    )


def small_cnn(dropout=False):
    return build_network(
        "cnn", (8, 8, 1), 10, hidden_units=[8], conv_filters=[6, 8, 6], dropout=dropout, seed=1
    )


@pytest.mark.parametrize("build", [small_mlp, small_cnn])
def test_training_makes_the_graph_more_clusterable(digits, build):
    condition = ClusterabilityGradient(weight=1.0)
    trained = {}
    for clusterability in (None, condition):
        network = build()
        phase = Phase(epochs=25, batch_size=25, clusterability=clusterability)
        results = train(network, digits, phase, seed=0)
        graph = graph_from_weights(network)
        partition = spectral_partition(graph, 4, seed=0)
        trained[clusterability] = (
            clusterability_loss(network, condition),
            ncut(graph, partition.labels),
            evaluate(network, digits.x_train, digits.y_train)[1],
        )
        reported = [result.clusterability for result in results]
        if clusterability is None:
            assert reported == [None] * 25
        else:
            assert reported[-1] == pytest.approx(trained[clusterability][0], abs=0.02)
    (without, ncut_without, _), (with_it, ncut_with, accuracy) = trained.values()
    assert with_it < 0.8 * without
    assert ncut_with < ncut_without
    assert accuracy > 0.75


def test_first_step_by_hand(digits):
    """One batch: units are scaled, then Adam sees both gradients added up."""
    condition = ClusterabilityGradient(weight=2.0)
    network, clone = small_mlp(), small_mlp()
    phase = Phase(epochs=1, batch_size=200, learning_rate=0.01, clusterability=condition)
    result = train(network, digits, phase, seed=0)[0]

    ClusterabilityTerm(clone, condition).normalise()
    assert result.clusterability == pytest.approx(clusterability_loss(clone, condition), rel=1e-5)
    _, by_kernel = value_and_gradients(clone, condition)
    with tf.GradientTape() as tape:
        probabilities = clone(digits.x_train)
        chosen = tf.gather(probabilities, digits.y_train, batch_dims=1)
        loss = -tf.reduce_mean(tf.math.log(chosen))
    variables = clone.trainable_variables
    gradients = [np.asarray(g) for g in tape.gradient(loss, [v.value for v in variables])]
    gradients[::2] = [a + b for a, b in zip(gradients[::2], by_kernel, strict=True)]
    assert result.train_loss == pytest.approx(float(loss), rel=1e-5)
    for ours, variable, gradient in zip(
        network.trainable_variables, variables, gradients, strict=True
    ):
        # Adam's first step; its epsilon is beside the root of 0.001 g^2.
        step = -0.01 * gradient / (np.abs(gradient) + 1e-7 / np.sqrt(0.001))
        np.testing.assert_allclose(ours.numpy() - variable.numpy(), step, rtol=1e-2, atol=2e-5)


SCHEDULE = PruningSchedule(0.5, 0.9, n_steps=32, every_n_steps=3)


@pytest.mark.parametrize("build", [small_mlp, small_cnn])
def test_training_while_pruning(digits, build):
    network = build()
    condition = ClusterabilityGradient(weight=1.0)
    train(network, digits, Phase(epochs=4, batch_size=25, clusterability=condition), seed=0)
    before = clusterability_loss(network, condition)
    phase = Phase("pruned", epochs=4, batch_size=25, pruning=SCHEDULE, clusterability=condition)
    results = train(network, digits, phase, seed=0)
    assert sparsity(network) == pytest.approx(0.9, abs=0.01)
    assert all(np.isfinite(result.clusterability) for result in results)
    assert clusterability_loss(network, condition) < before


@pytest.mark.parametrize("by_threshold", [False, True])
def test_scaling_while_pruning_by_hand(digits, by_threshold):
    """Five steps that learn next to nothing, so that weights change by scaling and masks alone."""
    schedule = PruningSchedule(0.5, 0.9, n_steps=8, every_n_steps=2)
    network = small_mlp()
    randomise(network, np.random.default_rng(5))
    weights = [weight.astype(np.float64) for weight in network.get_weights()]
    condition = ClusterabilityGradient(norm_by_threshold=by_threshold)
    phase = Phase("pruned", 1, 40, learning_rate=1e-12, pruning=schedule, clusterability=condition)
    train(network, digits, phase, seed=0)

    def mask(sparsity):
        for index in range(0, len(weights), 2):
            n_kept = round((1 - sparsity) * weights[index].size)
            thresholds[index // 2] = np.sort(np.abs(weights[index]), axis=None)[-n_kept]
            weights[index] = np.where(
                np.abs(weights[index]) >= thresholds[index // 2], weights[index], 0
            )

    thresholds = [0.0] * 4
    for step in range(5):
        if by_threshold:
            weights = naive_scaling(weights, thresholds)
        if step % 2 == 0:
            mask(0.9 - 0.4 * (1 - step / 8) ** 3)
        if not by_threshold:
            weights = naive_scaling(weights)
    mask(0.9)
    for ours, theirs in zip(network.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("by_threshold", [False, True])
@pytest.mark.parametrize("pruning", [None, SCHEDULE])
@pytest.mark.parametrize("build", [small_mlp, lambda: small_cnn(dropout=True)])
def test_resumed_training_is_the_same_bit_for_bit(digits, build, pruning, by_threshold):
    phase = Phase(
        epochs=2,
        batch_size=50,
        pruning=pruning,
        penalty=Penalty(l2=1e-4),
        clusterability=ClusterabilityGradient(norm_by_threshold=by_threshold),
    )
    network, resumed = build(), build()
    checkpoints = []
    results = train(
        network, digits, phase, seed=3, checkpoint_every=1, on_checkpoint=checkpoints.append
    )
    start = Checkpoint.from_npz(checkpoints[0].to_npz())
    assert start.epoch == 1
    assert train(resumed, digits, phase, seed=3, start=start) == results
    for ours, theirs in zip(network.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def test_diverging(digits):
    phase = Phase(
        epochs=1, batch_size=50, learning_rate=1e30, clusterability=ClusterabilityGradient()
    )
    with pytest.raises(NnClusteringError, match=r"diverged .*clusterability nan") as refusal:
        train(small_mlp(), digits, phase, seed=0)
    assert "\n" not in str(refusal.value)


def test_refuses_before_training(digits):
    network = build_network(
        "mlp", (8, 8, 1), 10, hidden_units=[9], conv_filters=[], activation="tanh", seed=0
    )
    before = network.get_weights()
    phase = Phase(epochs=1, batch_size=50, clusterability=ClusterabilityGradient())
    with pytest.raises(InvalidInputError, match="Dense with activation tanh"):
        train(network, digits, phase, seed=0)
    for ours, theirs in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_dead_units_make_no_component():
    """A pair of units that a penalty has driven to 1e-19 is left out like one without weights."""
    random = np.random.default_rng(0)
    first, second = random.uniform(size=(5, 4)), random.uniform(size=(4, 3))
    first[1:, 0], first[0, 1:], second[0] = 0, 0, 0
    apart = []
    for weight in (0, 1e-19):
        first[0, 0] = weight
        apart.append(mean_eigenvalue([first, second], 2))
    (value, gradients), (other, others) = apart
    assert other == value
    for gradient, of_other in zip(gradients, others, strict=True):
        assert np.array_equal(of_other, gradient)
    first[0, 0] = 1
    assert mean_eigenvalue([first, second], 2)[0] < value - 0.1
