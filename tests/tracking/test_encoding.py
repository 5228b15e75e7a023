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


def test_passwords():
    text = "see mongodb://user:secret@host/db and https://token@git.example/x, or a@b"
    assert (
        without_passwords(text) == "see mongodb://***@host/db and https://***@git.example/x, or a@b"
    )
