"""Samples that are read when they are needed give what arrays of them would."""

import numpy as np
import pytest

from nn_clustering.datasets import Dataset, changed, chosen
from nn_clustering.errors import InvalidInputError


class Counting:
    """Samples that note what is read of them."""

    def __init__(self, values):
        self.values, self.read = values, []
        self.shape, self.dtype = values.shape, values.dtype

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        found = self.values[rows]
        self.read.append(len(found))
        return found


@pytest.fixture
def values():
    return np.random.default_rng(0).uniform(size=(20, 3)).astype(np.float32)


def test_chosen_are_read_block_by_block(values):
    rows = np.array([1, 4, 5, 9, 17])
    samples = Counting(values)
    some = chosen(samples, rows)
    assert samples.read == []
    assert (len(some), some.shape, some.dtype) == (5, (5, 3), np.float32)
    np.testing.assert_array_equal(some[1:4], values[[4, 5, 9]])
    np.testing.assert_array_equal(some[np.array([0, 4])], values[[1, 17]])
    assert samples.read == [3, 2]


def test_chosen_of_an_array_is_a_copy(values):
    some = chosen(values, np.array([2, 3]))
    np.testing.assert_array_equal(some, values[2:4])
    assert not np.shares_memory(some, values)


def test_changed_as_they_are_read(values):
    samples = Counting(values)
    twice = changed(samples, lambda x: (2 * x).reshape(len(x), 3, 1), (3, 1))
    assert (len(twice), twice.shape) == (20, (20, 3, 1))
    np.testing.assert_array_equal(twice[5:7], 2 * values[5:7, :, None])
    assert samples.read == [2]


def lazy(x, **others):
    y = np.arange(len(x), dtype=np.int32) % 2
    empty = (np.empty((0, *x.shape[1:]), x.dtype), np.empty(0, np.int32))
    return Dataset("own", *empty, Counting(x), y, ("a", "b"), **others)


def test_test_samples_alone_are_a_data_set():
    x = np.random.default_rng(0).integers(0, 256, (6, 2, 2, 3), np.uint8)
    dataset = lazy(x, white=255, source_digest="abc")
    assert (dataset.has_train_part, dataset.input_shape, dataset.digest()) == (
        False,
        (2, 2, 3),
        "abc",
    )
    assert dataset.x_test.read == []
    whole = dataset.in_memory()
    np.testing.assert_array_equal(whole.x_test, x.astype(np.float32) / np.float32(255))
    assert whole.white == 1
    of_no_scale = lazy(np.float32(2) * x, white=None, source_digest="abc").in_memory()
    assert of_no_scale.white is None
    np.testing.assert_array_equal(of_no_scale.x_test, 2.0 * x)


def test_refused_without_the_digest_of_their_source(values):
    with pytest.raises(InvalidInputError, match="no source_digest"):
        lazy(values)


def test_refused_if_larger_than_memory(monkeypatch):
    dataset = lazy(np.zeros((6, 2, 2, 3), np.uint8), white=255, source_digest="abc")
    monkeypatch.setattr("nn_clustering.datasets._dataset.memory_bytes", lambda: 4 * 6 * 12)
    with pytest.raises(InvalidInputError, match=r"takes 288 bytes in memory.*dataset\.n_test"):
        dataset.in_memory()
