"""Values become plain, and lose passwords."""

from pathlib import Path

import numpy as np
import pytest

from nn_clustering.tracking.encoding import measurement, to_plain, without_passwords


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array([[1, 2]]), [[1, 2]]),
        (np.array(1.5), 1.5),
        ({1: (np.int8(1), {2})}, {"1": [1, [2]]}),
        (Path("a") / "b", "a/b"),
        (2**63 - 1, 2**63 - 1),
        (2**64, str(2**64)),
        ("half a pair \ud800", "half a pair ?"),
    ],
)
def test_plain(value, expected):
    plain = to_plain(value)
    assert plain == expected
    assert type(plain) is type(expected)


def test_measurement():
    class Tensor:
        def __float__(self):
            return 0.5

    assert measurement(Tensor()) == 0.5
    assert type(measurement(np.float32(2))) is float
    assert type(measurement(np.int64(-(2**63)))) is int
    assert measurement("best") == "best"
    assert measurement(None) is None


@pytest.mark.parametrize("value", [object(), [1, 2], 2**63, 2**70, "x" * 51, np.zeros(2)])
def test_what_is_no_measurement(value):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        measurement(value)


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool"])
def test_array_of_one_element_is_its_number(shape, dtype):
    value = np.ones(shape, dtype)
    found = measurement(value)
    assert found == 1
    assert type(found) is type(value.item())


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_tensor_of_one_element_is_its_number(shape):
    """TensorFlow's have no `item`."""

    class Tensor:
        def __init__(self, array):
            self.shape, self._array = array.shape, array

        def numpy(self):
            return self._array

    assert measurement(Tensor(np.full(shape, 0.25, "float32"))) == 0.25
    assert measurement(Tensor(np.full(shape, 2**62))) == 2**62


@pytest.mark.parametrize("shape", [(2,), (0,), (1, 3)])
def test_array_of_several_elements_is_refused_by_its_shape(shape):
    with pytest.raises(TypeError, match=r"expected one number, and not an array of shape \("):
        measurement(np.zeros(shape))


def test_passwords():
    text = "see mongodb://user:secret@host/db and https://token@git.example/x, or a@b"
    assert (
        without_passwords(text) == "see mongodb://***@host/db and https://***@git.example/x, or a@b"
    )
