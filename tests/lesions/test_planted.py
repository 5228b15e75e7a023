"""A network that is two networks side by side: the lesions must show exactly that."""

import keras
import numpy as np
import pytest

from nn_clustering.datasets import load_dataset
from nn_clustering.graphs import Layer
from nn_clustering.lesions import (
    LesionEngine,
    classes_of,
    double_lesion_test,
    lesion_test,
    single_unit_lesions,
)
from nn_clustering.partitions import Partition, random_units

# Units of each module in each hidden layer, and units of none, which nothing reads.
N_MODULE, N_IDLE = 16, 8
WIDTH = 2 * N_MODULE + N_IDLE
HIDDEN = ("hidden_1", "hidden_2")
NONE = 10


def trained_module(x, y, seed):
    """The kernels of a network without biases that tells five digits apart."""
    keras.utils.set_random_seed(seed)
    network = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(N_MODULE, "relu", use_bias=False),
            keras.layers.Dense(N_MODULE, "relu", use_bias=False),
            keras.layers.Dense(5, use_bias=False),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(0.01), loss)
    network.fit(x, y, epochs=12, batch_size=32, verbose=0)
    return network.get_weights()


@pytest.fixture(scope="module")
def planted():
    """Network, inputs and labels.

    The left half of an input is a digit from 0 to 4, or the right half one from 5 to 9. A module
    sees its half alone, and says 0 of each of its digits where that is empty. An answer more,
    "none", is given where all digits get 0.
    """
    digits = load_dataset("digits")
    x, y = digits.x_test.reshape(-1, 64), digits.y_test
    train_x, train_y = digits.x_train.reshape(-1, 64), digits.y_train
    kernels = [np.zeros(shape, np.float32) for shape in ((128, WIDTH), (WIDTH, WIDTH), (WIDTH, 11))]
    for module in (0, 1):
        of_module = train_y // 5 == module
        first, second, last = trained_module(train_x[of_module], train_y[of_module] % 5, module)
        units = slice(module * N_MODULE, (module + 1) * N_MODULE)
        kernels[0][module * 64 : (module + 1) * 64, units] = first
        kernels[1][units, units] = second
        kernels[2][units, module * 5 : (module + 1) * 5] = last
    kernels[0][:, 2 * N_MODULE :] = 1
    network = keras.Sequential(
        [
            keras.Input((128,)),
            keras.layers.Dense(WIDTH, "relu", use_bias=False, name="hidden_1"),
            keras.layers.Dense(WIDTH, "relu", use_bias=False, name="hidden_2"),
            keras.layers.Dense(11, "softmax", name="output"),
        ]
    )
    bias = np.zeros(11, np.float32)
    bias[NONE] = 0.01
    network.set_weights([*kernels, bias])
    halves = np.zeros((len(x), 2, 64), np.float32)
    halves[np.arange(len(x)), y // 5] = x
    return network, halves.reshape(-1, 128), y


@pytest.fixture(scope="module")
def engine(planted):
    return LesionEngine(*planted)


@pytest.fixture(scope="module")
def partition():
    labels = np.repeat([0, 1, 2], [N_MODULE, N_MODULE, N_IDLE])
    layers = tuple(Layer(name, WIDTH) for name in HIDDEN)
    return Partition(layers, np.tile(labels, 2).astype(np.int32), 3)


@pytest.fixture(scope="module")
def single(engine, partition):
    groups = classes_of(engine.class_sizes, [*"0123456789", "none"])
    return lesion_test(engine, partition, HIDDEN, groups=groups, n_shuffles=49, seed=0)


def test_a_lesion_takes_all_of_its_module_and_nothing_else(single):
    assert single.groups == tuple("0123456789")
    assert single.intact_overall > 0.8
    of_module = np.arange(10) // 5
    for index, sub in enumerate(single.sub_clusters):
        expected = np.where(of_module == sub.label, -single.intact, 0)
        np.testing.assert_array_equal(single.changes[index], expected)


def test_what_the_statistics_say_of_the_trained_modules(single):
    modules = np.array([sub.label for sub in single.sub_clusters]) < 2
    assert single.kinds == ("important", "important", "small") * 2
    assert (single.importance.p_values[modules] == 1 / 50).all()
    # a random lesion may by chance gain an image
    assert (single.importance.p_values[~modules] > 0.9).all()
    assert (single.ranges[~modules] == 0).all()
    lost = -single.changes[modules]
    np.testing.assert_allclose(single.ranges[modules], lost.max(axis=1) / lost.mean(axis=1))
    # units of neither module matter less than most: the joint p-value weighs that against the rest
    summary = single.importance.summary(seed=0)
    assert summary["fisher_p"] < 0.001
    assert summary["joint_p"] < 0.05


def test_double_lesions_are_additive_across_modules(engine, single, partition):
    important = single.of_kind("important")
    double = double_lesion_test(engine, partition, important, n_shuffles=20, seed=0)
    alone = np.array([single.overall_changes[0], single.overall_changes[1]] * 2)
    np.testing.assert_array_equal(double.changes, alone)
    for i, first in enumerate(important):
        for j, second in enumerate(important):
            apart = first.label != second.label
            both = alone[i] + alone[j] if apart else alone[i]
            assert double.joint_changes[i, j] == pytest.approx(both, abs=1e-12)
            if i != j:
                assert double.conditional_scores[i, j] == pytest.approx(alone[i] * apart)
                assert double.conditional_important[i, j] == apart
    edges = {(source, target) for source, target in double.dependencies().edges}
    assert edges == {(("hidden_1", label), ("hidden_2", label)) for label in (0, 1)}
    assert double.joint_changes.min() == pytest.approx(-single.intact_overall)


def test_single_units_touch_their_module_alone(engine):
    groups = classes_of(engine.class_sizes, [*"0123456789", "none"])
    found = single_unit_lesions(engine, list(HIDDEN), groups=groups)
    changes = found.changes[:, :10]
    module = found.table().unit.to_numpy() // N_MODULE
    assert not changes[module == 0, 5:].any()
    assert not changes[module == 1, :5].any()
    assert not changes[module == 2].any()
    assert changes[module == 0].any()
    assert changes[module == 1].any()


N_CLASS_UNITS, N_CLASS_IMAGES = 20, 8


@pytest.fixture(scope="module")
def graded():
    """Engine and partition of a network of which every lesion is known beforehand.

    Class c has a pixel, 20 units that read it, and an output, the mean of these; "none" gets 0.5.
    The pixel of image i of a class is 0.5 / q with q = (i + 0.5) / 8: the answer is right as long
    as more than the fraction q of the class's units is left. Classes 0 to 4 are one module, 5 to 9
    the other, and 20 units more are of none.
    """
    n_units = 11 * N_CLASS_UNITS
    of_class = np.arange(n_units) // N_CLASS_UNITS == np.arange(10)[:, np.newaxis]
    network = keras.Sequential(
        [
            keras.Input((10,)),
            keras.layers.Dense(n_units, "relu", use_bias=False, name="hidden"),
            keras.layers.Dense(11, "softmax", name="output"),
        ]
    )
    kernel = np.zeros((n_units, 11))
    kernel[:, :10] = of_class.T / N_CLASS_UNITS
    network.set_weights([of_class, kernel, 0.5 * (np.arange(11) == NONE)])
    y = np.repeat(np.arange(10, dtype=np.int32), N_CLASS_IMAGES)
    strengths = 0.5 / ((np.arange(N_CLASS_IMAGES) + 0.5) / N_CLASS_IMAGES)
    x = np.zeros((len(y), 10), np.float32)
    x[np.arange(len(y)), y] = np.tile(strengths, 10)
    labels = np.arange(n_units) // (5 * N_CLASS_UNITS)
    partition = Partition((Layer("hidden", n_units),), labels.astype(np.int32), 3)
    return LesionEngine(network, x, y), partition


def graded_changes(silenced):
    """Changes of all classes by arithmetic."""
    units = np.reshape(silenced, (11, N_CLASS_UNITS))[:10]
    left = 1 - units.mean(axis=1)
    needed = (np.arange(N_CLASS_IMAGES) + 0.5) / N_CLASS_IMAGES
    return (left[:, np.newaxis] > needed).mean(axis=1) - 1


def test_every_lesion_of_the_graded_network_is_known(graded):
    engine, partition = graded
    groups = classes_of(engine.class_sizes, [*"0123456789", "none"])
    test = lesion_test(engine, partition, ["hidden"], groups=groups, n_shuffles=49, seed=0)
    assert test.intact.tolist() == [1] * 10
    assert test.changes.tolist() == [[-1] * 5 + [0] * 5, [0] * 5 + [-1] * 5, [0] * 10]
    for sub, changes in zip(test.sub_clusters, test.random_changes, strict=True):
        for shuffle, of_random in enumerate(changes):
            [labels] = (labels for _, labels in partition.by_layer())
            drawn = random_units(labels, sub, shuffle=shuffle, seed=0, draws="joint")
            silenced = np.isin(np.arange(len(labels)), drawn)
            assert of_random.tolist() == graded_changes(silenced).tolist()
    # random units take some of every class, less in all than the units of one module
    assert test.kinds == ("important", "important", "prunable")
    assert test.ranges.tolist() == [2, 2, 0]
    assert test.importance.p_values.tolist() == [1 / 50, 1 / 50, 1]
    assert test.coherence.p_values.tolist() == [1 / 50, 1 / 50, 1]
    assert test.importance.effects[2] == 0
    assert (test.importance.effects[:2] > 1).all()
    assert (test.coherence.effects[:2] > 1.2).all()
