"""Data of one's own out of a function: arrays and streams, and every way to get it wrong."""

import sys

import numpy as np
import pytest

from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.errors import InvalidInputError

CODE = """
import numpy as np
import tensorflow as tf

x = np.random.default_rng(0).random((150, 3, 4, 1)).astype(np.float32)
y = np.arange(150) % 5
calls = []

def stream(n=150):
    return tf.data.Dataset.from_tensor_slices((x[:n], y[:n]))

def pair(seed): calls.append(seed); return x, y
def lists(): return x[:4].tolist(), [0, 1, 2, 0]
def tensors(): return tf.constant(x), tf.constant(y)
def parts(): return (x[:90], y[:90]), (x[90:], y[90:])
def keys(): return dict(x_train=x[:90], y_train=y[:90], x_test=x[90:], y_test=y[90:])
def batched(): return stream().batch(32)
def single(): return stream()
def streams(): return stream().take(90), stream().skip(90).batch(7)
def by_split(): return {"train": stream().take(90), "test": (x[90:], y[90:])}
def grey(): return stream().map(lambda x, y: (x[..., 0], y)).batch(50, drop_remainder=True)
def hot(): return stream().map(lambda x, y: (x, tf.one_hot(y, 5)))
def texts(): return stream().map(lambda x, y: (x, tf.constant(list("edcba"))[y])).batch(9)
def real(): return stream().map(lambda x, y: (x[0, :, 0], tf.cast(y, tf.float32))).batch(9)
def drawn(): return np.random.random((4, 2)), [0, 1, 2, 0]
def some(n_test): return x[:n_test], y[:n_test]

def shuffled(): return stream().shuffle(150)
def noise(): return np.float32(np.random.random())
def noisy():
    add = lambda x: tf.ensure_shape(x + tf.numpy_function(noise, [], tf.float32), x.shape)
    return stream().map(lambda x, y: (add(x), y)).batch(32)
def chance(): return np.random.randint(2)
def undecided():
    either = lambda y: tf.ensure_shape(y + tf.numpy_function(chance, [], tf.int64), [])
    return stream().map(lambda x, y: (x, either(y))).batch(32)
def endless(): return stream().repeat()
def none_left(): return stream().take(0)
def triple(): return stream().map(lambda x, y: (x, y, 1.0))
def named(): return stream().map(lambda x, y: {"image": x, "label": y})
def sizes():
    made = lambda: ((np.zeros((3 + i, 4, 1), np.float32), i) for i in range(3))
    spec = tf.TensorSpec((None, 4, 1), tf.float32), tf.TensorSpec((), tf.int32)
    return tf.data.Dataset.from_generator(made, output_signature=spec)
def breaks():
    def made():
        yield x[0], 0
        raise RuntimeError("no more luck")
    spec = tf.TensorSpec((3, 4, 1), tf.float32), tf.TensorSpec((), tf.int32)
    return tf.data.Dataset.from_generator(made, output_signature=spec)
def three(): return 3
def unlucky(): raise RuntimeError("no luck")
def needy(folder): return 3
def other_keys(): return {"x": x, "y": y}
def unequal(): return x, y[:-1]
def ragged(): return [[1, 2], [3]], [0, 1]
def objects(): return np.array([{}, {}]), [0, 1]
number = 3
"""
RANDOM = np.random.default_rng(0)
X = RANDOM.random((150, 3, 4, 1)).astype(np.float32)
Y = np.arange(150) % 5


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The name of a module in the current folder."""
    folder = tmp_path_factory.mktemp("functions")
    (folder / "own_data.py").write_text(CODE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield "own_data"
    sys.modules.pop("own_data", None)


def refusal(name):
    with pytest.raises(InvalidInputError) as refused:
        load_dataset(name)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("function", ["pair", "tensors", "batched", "single", "hot"])
def test_test_part_alone(module, function):
    dataset = load_dataset(f"{module}.{function}", seed=7)
    np.testing.assert_array_equal(dataset.x_test[:], X)
    np.testing.assert_array_equal(dataset.y_test, Y)
    assert (dataset.white, dataset.class_names) == (1, tuple("01234"))
    assert not dataset.has_train_part


@pytest.mark.parametrize("function", ["parts", "keys", "streams", "by_split"])
def test_both_parts(module, function):
    dataset = load_dataset(f"{module}.{function}")
    for split, rows in (("train", slice(90)), ("test", slice(90, 150))):
        np.testing.assert_array_equal(getattr(dataset, f"x_{split}")[:], X[rows])
        np.testing.assert_array_equal(getattr(dataset, f"y_{split}"), Y[rows])


def test_other_forms(module):
    assert load_dataset(f"{module}.grey").x_test[:].shape == (150, 3, 4, 1)
    assert load_dataset(f"{module}.lists").y_test.tolist() == [0, 1, 2, 0]
    texts = load_dataset(f"{module}.texts")
    assert texts.class_names == tuple("abcde")
    np.testing.assert_array_equal(texts.y_test, 4 - Y)
    real = load_dataset(f"{module}.real")
    assert (real.task, real.x_test.shape, real.y_test.shape) == ("regression", (150, 4), (150, 1))


def test_stream_is_read_in_blocks_as_often_as_it_is_needed(module):
    x = load_dataset(f"{module}.batched").x_test
    assert not isinstance(x, np.ndarray)
    for rows in (slice(0, 20), slice(20, 70), slice(64, 66), slice(149, 150), slice(5, 5)):
        np.testing.assert_array_equal(x[rows], X[rows])
    numbers = np.array([0, 31, 32, 99, 149])
    np.testing.assert_array_equal(x[numbers], X[numbers])
    chosen = load_dataset(f"{module}.batched", n_test=10)
    assert np.bincount(chosen.y_test).tolist() == [2] * 5
    rows = [int(np.flatnonzero((image == X).all(axis=(1, 2, 3)))[0]) for image in chosen.x_test[:]]
    np.testing.assert_array_equal(Y[rows], chosen.y_test)


def test_digest_is_of_what_comes(module):
    digests = {name: load_dataset(f"{module}.{name}").digest() for name in ("pair", "lists")}
    assert load_dataset(f"{module}.pair").digest() == digests["pair"] != digests["lists"]
    streamed = load_dataset(f"{module}.batched").digest()
    assert streamed == load_dataset(f"{module}.batched").digest()
    assert streamed != load_dataset(f"{module}.texts").digest()


def test_what_is_offered_and_seeded(module):
    load_dataset(f"{module}.pair", seed=11)
    assert sys.modules["own_data"].calls[-1] == 11
    one, same, other = (load_dataset(f"{module}.drawn", seed=seed) for seed in (1, 1, 2))
    assert one.digest() == same.digest() != other.digest()
    assert len(load_dataset(f"{module}.some", n_test=6).x_test) == 6


def test_nothing_is_run_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loud.py").write_text("raise SystemExit\ndef data(): pass\n")
    assert require_dataset("loud.data").input_shape is None
    with pytest.raises(InvalidInputError, match="has no function date"):
        require_dataset("loud.date")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("shuffled", "gives other samples each time; expected the same ones in the same order"),
        ("noisy", "gives other samples each time"),
        ("undecided", "gives other labels each time"),
        ("endless", "never ends"),
        ("none_left", "has no samples"),
        ("triple", "expected pairs (x, y) of tensors"),
        ("named", "as_supervised=True"),
        ("sizes", "samples of shape (None, 4, 1); expected one size: resize them in map()"),
        ("breaks", "no more luck"),
        ("three", "returned a int; expected arrays (x_test, y_test)"),
        ("unlucky", "failed on (): RuntimeError: no luck"),
        ("needy", "needs an argument folder; expected a function of seed, n_train, n_test"),
        ("other_keys", "returned a dictionary of x, y; expected arrays"),
        ("unequal", "x_test has 150 samples and y_test 149 labels"),
        ("ragged", "cannot be read (ValueError"),
        ("objects", "x_test is of object and shape (2,); expected numbers"),
        ("number", "has no function number"),
        ("missing", "has no function missing"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(module, function, message):
    assert message in refusal(f"{module}.{function}")
