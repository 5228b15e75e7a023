"""What the engine holds at a time, what it reads, and what it refuses."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import LesionEngine
from tests.generated_samples import GeneratedSamples
from tests.lesions.masked_networks import scores
from tests.lesions.test_engine import lesions_of


@pytest.mark.parametrize("silence", ["output", "weights", "mean"])
@pytest.mark.parametrize(("kind", "layer"), [("cnn", "conv_2"), ("residual", "sum_1")])
def test_memory_bound_changes_nothing(networks, images, kind, layer, silence):
    network = networks[kind]
    answers, calls = [], []
    for memory_mb in (1024, 0.5):
        engine = LesionEngine(network, *images, silence=silence, memory_mb=memory_mb)
        lesions = {layer: lesions_of(engine.layers[layer])}
        steps = []
        answers.append(engine.lesioned(lesions, on_progress=steps.append).tolist())
        # again, with what was kept if there is anything
        assert engine.lesioned(lesions).tolist() == answers[-1]
        assert sum(steps) == 120 * 6
        calls.append(len(steps))
    assert answers[0] == answers[1]
    assert calls[0] == 1 < calls[1]


def test_an_eighth_of_a_small_memory_is_the_bound(networks, images, monkeypatch):
    def calls(memory_mb):
        engine, steps = LesionEngine(networks["cnn"], *images, memory_mb=memory_mb), []
        lesions = {"conv_2": lesions_of(engine.layers["conv_2"])}
        engine.lesioned(lesions, on_progress=steps.append)
        return len(steps)

    assert calls(None) == 1
    monkeypatch.setattr("nn_clustering.machine.memory_bytes", lambda: 4 * 2**20)
    assert calls(None) == calls(0.5) > 1


def test_too_small_a_bound(networks, images):
    with pytest.raises(InvalidInputError, match=r"0\.001 does not hold one image under") as refusal:
        LesionEngine(networks["cnn"], *images, memory_mb=0.001)
    assert "\n" not in str(refusal.value)
    assert "expected 1 or more" in str(refusal.value)


def test_many_lesions_in_several_calls(networks, images):
    engine = LesionEngine(networks["mlp"], *images)
    every = (np.arange(512)[:, None] >> np.arange(9)) % 2 == 1
    together = engine.lesioned({"dense_1": every})
    for rows in (slice(0, 3), slice(130, 140), slice(509, 512)):
        assert together[rows].tolist() == engine.lesioned({"dense_1": every[rows]}).tolist()
    assert engine.lesioned({"dense_1": every[:0]}).shape == (0, 10)


def test_second_call_starts_from_what_was_kept(images):
    """Another call for the same layers neither traces anew nor reads the images again."""
    x, y = images
    traced, reads = [], []

    def counted(values):
        if not tf.executing_eagerly():  # images in doubt are computed again without tracing
            traced.append(1)
        return keras.ops.relu(values)

    def batches():
        reads.append(1)
        yield from ((x[start : start + 50], y[start : start + 50]) for start in (0, 50, 100))

    stream = tf.data.Dataset.from_generator(
        batches,
        output_signature=(tf.TensorSpec((None, 8, 8, 1)), tf.TensorSpec((None,), tf.int32)),
    )
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(9, activation=counted, name="dense_1"),
            layers.Dense(8, activation=counted, name="dense_2"),
            layers.Dense(10, name="output"),
        ]
    )
    engine = LesionEngine(network, stream)
    engine.lesioned({"dense_1": lesions_of(9)})
    n_traced, n_reads = len(traced), len(reads)
    assert n_traced > 0
    assert n_reads == 2  # the labels, and the images
    again = engine.lesioned({"dense_1": lesions_of(9, seed=1)[:4]})
    assert (len(traced), len(reads)) == (n_traced, n_reads)
    assert again.tolist() == (
        LesionEngine(network, x, y).lesioned({"dense_1": lesions_of(9, seed=1)[:4]}).tolist()
    )
    engine.lesioned({"dense_2": lesions_of(8)})
    engine.lesioned({"dense_1": lesions_of(9)})
    assert len(reads) == n_reads + 2  # no more than one layer's is kept


@pytest.mark.parametrize("silence", ["output", "mean"])
def test_stream_equals_arrays(networks, images, silence):
    x, y = images
    stream = tf.data.Dataset.from_tensor_slices((x, y.astype(np.int64))).batch(32)
    network = networks["cnn"]
    of_arrays = LesionEngine(network, x, y, silence=silence)
    of_stream = LesionEngine(network, stream, silence=silence, memory_mb=0.5)
    assert of_stream.n_images == 120
    assert of_stream.class_sizes.tolist() == of_arrays.class_sizes.tolist()
    assert of_stream.intact().tolist() == of_arrays.intact().tolist()
    lesions = {"conv_1": lesions_of(4)}
    assert of_stream.lesioned(lesions).tolist() == of_arrays.lesioned(lesions).tolist()


@pytest.mark.parametrize("silence", ["output", "mean"])
def test_samples_are_read_in_batches(networks, silence):
    """Of whatever gives slices of them, of which all together may be larger than memory."""
    x, y = GeneratedSamples(120, 8, 8, 1, at_once=32), np.arange(120) % 10
    lesions = {"conv_1": lesions_of(4)}
    options = {"silence": silence, "memory_mb": 0.05}
    found = LesionEngine(networks["cnn"], x, y, **options).lesioned(lesions)
    assert np.concatenate(x.read)[:120].tolist() == list(range(120))
    expected = LesionEngine(networks["cnn"], x.in_memory, y, **options).lesioned(lesions)
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize("silence", ["output", "weights", "mean"])
def test_regression(silence):
    random = np.random.default_rng(0)
    network = keras.Sequential(
        [
            keras.Input((2,)),
            layers.Dense(8, activation="relu", name="first"),
            layers.Dense(6, activation="tanh", name="second"),
            layers.Dense(5, name="output"),
        ]
    )
    x, y = random.normal(size=(50, 2)), random.normal(size=(50, 5))
    engine = LesionEngine(network, x, y, task="regression", silence=silence)
    assert engine.class_sizes.tolist() == [50] * 5
    np.testing.assert_allclose(engine.intact(), scores(network, x, y), rtol=1e-6)
    silenced = lesions_of(8)
    kernels = [array.astype(np.float64) for array in network.get_weights()]
    hidden = np.maximum(x @ kernels[0] + kernels[1], 0)
    expected = []
    for units in silenced:
        fill = hidden.mean(axis=0) if silence == "mean" else 0
        read = np.where(units, fill, hidden)
        outputs = np.tanh(read @ kernels[2] + kernels[3]) @ kernels[4] + kernels[5]
        expected.append(((outputs - y) ** 2).sum(axis=0))
    found = engine.lesioned({"first": silenced})
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert len(np.unique(found[:, 0])) > 4


@pytest.mark.parametrize("where", ["units", "weights"])
def test_silencing_what_dwarfs_the_rest(where):
    """Where a difference of two large numbers is of no use, the small one is computed itself."""
    random = np.random.default_rng(0)
    network = keras.Sequential(
        [
            keras.Input((20,)),
            layers.Dense(20, activation="relu", name="hidden", use_bias=False),
            layers.Dense(10, activation="softmax", name="output", use_bias=False),
        ]
    )
    scale = np.ones(20, np.float32)
    scale[0] = 1e8
    values = [np.eye(20), random.normal(size=(20, 10))]
    values[where == "weights"] *= scale[:, None]
    network.set_weights(values)
    x = random.uniform(1, 2, (200, 20)).astype(np.float32)
    y = random.integers(0, 10, 200).astype(np.int32)
    without = network.get_weights()
    without[1][0] = 0
    lesioned = keras.models.clone_model(network)
    lesioned.set_weights(without)
    silenced = np.arange(20)[None] == 0
    found = LesionEngine(network, x, y).lesioned({"hidden": silenced})[0]
    assert found.tolist() == scores(lesioned, x, y).tolist()
    assert (found > 0).sum() > 1


def test_equal_outputs():
    """All outputs are equal once all units are silent: the answer is the first class."""
    network = keras.Sequential(
        [
            keras.Input((3,)),
            layers.Dense(4, name="hidden"),
            layers.Dense(3, use_bias=False, name="output"),
        ]
    )
    x, y = np.ones((6, 3), np.float32), np.array([0, 0, 1, 2, 2, 0])
    found = LesionEngine(network, x, y).lesioned({"hidden": np.ones((1, 4), bool)})
    assert found.tolist() == [[3, 0, 0]]


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_precisions(images, precision):
    x, y = images
    inputs = keras.Input((8, 8, 1))
    dtype = keras.DTypePolicy(precision)
    hidden = layers.Flatten(dtype=dtype)(inputs)
    hidden = layers.Dense(8, activation="relu", dtype=dtype, name="first")(hidden)
    hidden = layers.Dense(8, activation="relu", dtype=dtype, name="second")(hidden)
    outputs = layers.Dense(10, activation="softmax", dtype="float32", name="output")(hidden)
    network = keras.Model(inputs, outputs)
    keras.utils.set_random_seed(0)
    silenced = lesions_of(8)
    for silence in ("output", "weights", "mean"):
        engine = LesionEngine(network, x, y, silence=silence)
        assert engine.intact().tolist() == scores(network, x, y).tolist()
        found = engine.lesioned({"first": silenced})
        if silence != "mean":
            for units, answered in zip(silenced, found, strict=True):
                clone = keras.models.clone_model(network)
                weights = network.get_weights()
                weights[2][units] = 0
                clone.set_weights(weights)
                assert answered.tolist() == scores(clone, x, y).tolist()


def test_refused_images(networks, images):
    x, y = images
    network = networks["mlp"]
    stream = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    cases = [
        ((x, y), {"silence": "both"}, "silence='both'; expected one of output, weights, mean"),
        ((x, y), {"task": "clustering"}, "task='clustering'; expected one of classification"),
        ((x, y), {"memory_mb": -1}, "memory_mb=-1; expected a positive number"),
        ((x[:, :4], y), {}, r"takes inputs of shape \(8, 8, 1\), the data set's images are"),
        ((x, y + 1), {}, "has classes 1 to 10, the network 10 outputs; expected classes 0 to 9"),
        ((x, y - 1), {}, "has classes -1 to 8, the network 10 outputs; expected classes 0 to 9"),
        ((x, y[:5]), {}, "120 test images but 5 labels; expected one an image"),
        ((x,), {}, "120 test images but no labels"),
        ((x, y[:, None]), {}, r"labels of shape \(120, 1\) and type int32; expected one integer"),
        ((x, y.astype(float)), {}, "and type float64; expected one integer an image"),
        ((x[:0], y[:0]), {}, "no test images; expected one at least"),
        ((x[y == 3], y[y == 3]), {}, "all of one class; expected two"),
        ((x, y), {"task": "regression"}, r"targets of shape \(120,\); expected numbers of shape"),
        ((stream, y), {}, "labels beside it; expected batches"),
        ((stream.map(lambda x, y: x),), {}, r"not of pairs"),
        ((stream.repeat(),), {}, "never ends"),
    ]
    for arrays, settings, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            LesionEngine(network, *arrays, **settings)
        assert "\n" not in str(refusal.value)


def test_refused_lesions(networks, images):
    engine = LesionEngine(networks["mlp"], *images)
    one, other = np.zeros((1, 9), bool), np.zeros((2, 7), bool)
    cases = [
        ({"dense_1": np.zeros((1, 8), bool)}, r"\(1, 8\) for layer 'dense_1'; expected bool of"),
        ({"dense_1": np.zeros((1, 9))}, "float64 lesions"),
        ({"conv_1": one}, "no hidden layer of units 'conv_1'; expected one of dense_1, dense_2"),
        ({"output": np.zeros((1, 10), bool)}, "no hidden layer of units 'output'"),
        ({"dense_1": one, "dense_2": other}, "1 and 2 lesions for the layers of one call"),
        ({}, "no layer to lesion"),
    ]
    for lesions, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            engine.lesioned(lesions)
        assert "\n" not in str(refusal.value)


def test_refused_networks(images):
    inputs, other = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    flat = layers.Flatten()(inputs)
    left, right = layers.Dense(10, name="left")(flat), layers.Dense(10, name="right")(flat)
    same_name = layers.Dense(10)(layers.Dense(3, name="input")(flat))
    cases = [
        (keras.Model(inputs, layers.Conv2D(10, 3)(inputs)), r"outputs of shape \(6, 6, 10\)"),
        (keras.Model(inputs, [left, right]), r"has 2 outputs, left \(0\), right \(1\): say which"),
        (
            keras.Model([inputs, other], layers.Dense(10)(layers.Flatten()(inputs + other))),
            "2 inputs; expected one",
        ),
        (keras.Model(inputs, left), "no hidden units; expected two dense or convolutional"),
        (keras.Model(inputs, same_name), "2 layers of units called 'input'"),
    ]
    for network, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            LesionEngine(network, *images)
        assert "\n" not in str(refusal.value)


def test_outputs_that_are_no_numbers(images):
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(4, name="hidden", bias_initializer=keras.initializers.Constant(2e38)),
            layers.Dense(10, activation="softmax", kernel_initializer="ones", name="output"),
        ]
    )
    engine = LesionEngine(network, *images)
    silenced = np.array([[False, True, True, True]])
    engine.lesioned({"hidden": silenced})
    with pytest.raises(InvalidInputError, match="puts out NaN or infinite values under no lesion"):
        engine.intact()
    with pytest.raises(InvalidInputError, match="values under lesions of layer 'hidden'"):
        engine.lesioned({"hidden": np.array([[True, False, False, False]])})
