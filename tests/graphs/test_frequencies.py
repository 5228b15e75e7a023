"""Units with planted frequencies, and what is no frequency."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import unit_frequencies

N = 11


def planted():
    """Five units over all pairs: of a alone, of a + b, of cos cos with a ReLU, mixed, constant."""
    a, b = np.divmod(np.random.default_rng(0).permutation(N**2), N)
    turn = 2 * np.pi / N
    product = np.cos(2 * turn * a) * np.cos(2 * turn * b + 1)
    answers = np.stack(
        [
            np.sin(3 * turn * a),
            7 + np.cos(5 * turn * (a + b) + 0.3),
            np.maximum(product, 0),
            3 * np.cos(turn * b) + 4 * np.cos(4 * turn * (a - b)),
            np.full(a.size, 0.1),
        ],
        axis=1,
    )
    return answers, a, b


def test_planted_frequencies_are_found_with_their_share_of_the_variance():
    found = unit_frequencies(*planted())
    assert found.dominant.tolist() == [3, 5, 2, 4, 0]
    assert found.share[[0, 1, 4]] == pytest.approx([1, 1, 0])
    assert 0.5 < found.share[2] < 1  # the ReLU makes harmonics
    assert found.power[3] == pytest.approx([9 / 25, 0, 0, 16 / 25, 0], abs=1e-12)


def test_a_wave_of_two_frequencies_counts_for_none():
    _, a, b = planted()
    turn = 2 * np.pi / N
    found = unit_frequencies(np.cos(turn * (a + 2 * b))[:, None], a, b)
    assert found.power == pytest.approx(np.zeros((1, 5)), abs=1e-12)


def test_clusters_by_frequency():
    found = unit_frequencies(*planted())
    shares = found.by_cluster([0, 0, 2, 0, 2])
    assert shares.shape == (3, 5)
    assert shares[0] == pytest.approx([0, 0, 1 / 3, 1 / 3, 1 / 3])
    assert shares[1].tolist() == [0] * 5
    assert shares[2].tolist() == [0, 0.5, 0, 0, 0]
    assert found.by_cluster([-1, -1, -1, 0, -1]).tolist() == [[0, 0, 0, 1, 0]]


@pytest.mark.parametrize("spoil", ["missing", "twice", "nan"])
def test_what_has_no_frequencies_is_refused(spoil):
    answers, a, b = planted()
    if spoil == "missing":
        answers, a, b = answers[1:], a[1:], b[1:]
    elif spoil == "twice":
        b = np.where(np.arange(a.size) == 3, b[4], b)
    else:
        answers = np.where(answers == 0.1, np.nan, answers)
    with pytest.raises(InvalidInputError, match="expected"):
        unit_frequencies(answers, a, b)


def test_labels_of_other_units_are_refused():
    found = unit_frequencies(*planted())
    with pytest.raises(InvalidInputError, match="one of each of 5 units"):
        found.by_cluster([0, 1])
