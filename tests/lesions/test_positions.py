"""Networks that answer at every position: each that is asked counts as an image does."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import LesionEngine
from tests.lesions.masked_networks import silenced_for
from tests.lesions.test_engine import lesions_of

N_CLASSES = 6
GROUPS = np.array([0, 1, 1, 2, -1, 0])


@pytest.fixture(scope="module")
def sequences():
    """40 sequences of 7 positions, a class for each; at a quarter of them nothing is asked."""
    random = np.random.default_rng(0)
    x = random.normal(size=(40, 7, 5)).astype(np.float32)
    y = random.integers(0, N_CLASSES, (40, 7)).astype(np.int32)
    return x, np.where(random.random((40, 7)) < 0.25, -1, y)


@pytest.fixture(scope="module")
def network(sequences):
    """Positions do not know of each other here; nothing depends on that."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((None, 5))
    hidden = layers.Dense(9, activation="relu", name="first")(inputs)
    hidden = layers.Dense(8, activation="gelu", name="second")(hidden)
    return keras.Model(inputs, layers.Dense(N_CLASSES, activation="softmax", name="output")(hidden))


def right_by(network, x, y, counted, n_counted):
    """Right answers of each of what they are counted by, where something is asked."""
    is_right = (network(x, training=False).numpy().argmax(axis=-1) == y) & (y >= 0)
    return np.bincount(counted[is_right], minlength=n_counted)


@pytest.mark.parametrize("silence", ["output", "mean"])
def test_every_asked_position_counts(network, sequences, silence):
    x, y = sequences
    engine = LesionEngine(network, x, y, silence=silence)
    assert engine.n_images == (y >= 0).sum() < y.size
    assert engine.class_sizes.tolist() == np.bincount(y[y >= 0], minlength=N_CLASSES).tolist()
    assert engine.intact().tolist() == right_by(network, x, y, y, N_CLASSES).tolist()
    for layer, reader in (("first", "second"), ("second", "output")):
        n_units, answers = engine.layers[layer], []
        lesions = lesions_of(n_units)
        found = engine.lesioned({layer: lesions}, on_progress=answers.append)
        assert sum(answers) == engine.n_images * len(lesions)
        assert len(np.unique(found, axis=0)) > 3
        for units, right in zip(lesions, found, strict=True):
            mean_of = x if silence == "mean" else None
            by_hand = silenced_for(network, {reader: (units, n_units)}, mean_of)
            assert right.tolist() == right_by(by_hand, x, y, y, N_CLASSES).tolist()


def test_memory_bound_and_precision_change_nothing(network, sequences):
    lesions, found, calls = {"first": lesions_of(9)}, [], []
    for options in ({}, {"memory_mb": 0.005}, {"precision": "bfloat16"}):
        steps = []
        engine = LesionEngine(network, *sequences, **options)
        found.append(engine.lesioned(lesions, on_progress=steps.append).tolist())
        calls.append(len(steps))
    assert found[0] == found[1] == found[2]
    assert calls[0] == calls[2] == 1 < calls[1]


def test_right_answers_are_counted_by_group(network, sequences):
    """Those of no group too, last, so that all are there."""
    x, y = sequences
    groups = np.where(y < 0, -1, GROUPS[y])
    groups[:20, 0] = -1  # by position as well as by class
    counted = np.where(groups < 0, 3, groups)
    engine = LesionEngine(network, x, y, groups=groups, n_groups=3)
    assert (engine.n_outputs, engine.n_scores) == (N_CLASSES, 4)
    assert engine.class_sizes.tolist() == np.bincount(counted[y >= 0]).tolist()
    assert engine.intact().tolist() == right_by(network, x, y, counted, 4).tolist()
    by_class = LesionEngine(network, x, y)
    lesions = {"second": lesions_of(8)}
    found = engine.lesioned(lesions)
    assert found.sum(axis=1).tolist() == by_class.lesioned(lesions).sum(axis=1).tolist()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_groups_of_images(networks, images, precision):
    """Also of answers that are computed in parts, and of those that are computed again."""
    x, y = images
    groups = (y % 3).astype(np.int64)
    engine = LesionEngine(networks["mlp"], x, y, groups=groups, precision=precision)
    lesions = lesions_of(9)
    found = engine.lesioned({"dense_1": lesions})
    for units, right in zip(lesions, found, strict=True):
        by_hand = silenced_for(networks["mlp"], {"dense_2": (units, 9)})
        assert right.tolist() == right_by(by_hand, x, y, groups, 3).tolist()


@pytest.mark.parametrize(("change", "message"), [
    ({"y": np.zeros((40, 6), int)}, r"labels of shape \(40, 6\)"),
    ({"y": np.zeros(40, int)}, r"labels of shape \(40,\) .*; expected one integer for each of 7"),
    ({"y": np.full((40, 7), -2)}, "classes -2 to -2"),
    ({"y": np.full((40, 7), -1)}, "nothing is asked at any position"),
    ({"y": np.full((40, 7), 1)}, "all of one class"),
    ({"groups": np.zeros((40, 7), int)}, "all of one group"),
    ({"groups": np.zeros((40, 7))}, "float64; expected integers of shape"),
    ({"groups": np.zeros(40, int)}, r"groups of shape \(40,\)"),
    ({"groups": np.full((40, 7), 2), "n_groups": 2}, "an answer of group 2, but n_groups=2"),
])  # fmt: skip
def test_refuses(network, sequences, change, message):
    given = dict(zip(("x", "y"), sequences, strict=True)) | change
    with pytest.raises(InvalidInputError, match=message) as refusal:
        LesionEngine(network, **given)
    assert "\n" not in str(refusal.value)
