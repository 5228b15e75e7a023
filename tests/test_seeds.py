"""Seeds depend on the run's seed and the purpose, and on nothing else."""

import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import generator, integer_seed, seed_sequence


def test_purpose_is_the_spawn_key():
    # 0xCBF43926 is the CRC-32 of these nine digits in every catalogue of checksums.
    sequence = seed_sequence(5, "123456789", 7)
    expected = np.random.SeedSequence(5, spawn_key=(0xCBF43926, 7))
    assert sequence.generate_state(8).tolist() == expected.generate_state(8).tolist()


def test_same_in_every_process():
    """Words are hashed differently in every process; seeds must not follow."""
    code = "from nn_clustering.seeds import integer_seed; print(integer_seed(3, 'a word', 2))"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert found == {str(integer_seed(3, "a word", 2))}


def test_no_two_purposes_share_a_seed():
    purposes = [
        (seed, *purpose)
        for seed in range(4)
        for purpose in [
            (),
            *itertools.product(("shuffle", "k-means", "dropout"), range(40)),
            *itertools.product(("shuffle",), range(10), range(10)),
            ("shuffle",),
            ("k-means",),
        ]
    ]
    states = {tuple(seed_sequence(*purpose).generate_state(4)) for purpose in purposes}
    assert len(states) == len(purposes)


def test_a_generator_does_not_depend_on_those_before():
    alone = generator(1, "shuffle", 3).uniform(size=5)
    for index in range(3):
        generator(1, "shuffle", index).uniform(size=100)
    assert np.array_equal(generator(1, "shuffle", 3).uniform(size=5), alone)


def test_integer_seeds_fit_in_31_bits():
    seeds = [integer_seed(0, "k-means", index) for index in range(500)]
    assert min(seeds) >= 0
    assert 2**30 < max(seeds) < 2**31
    assert len(set(seeds)) == 500


def test_integers_of_numpy_and_of_any_size_are_seeds():
    assert integer_seed(np.int64(4), "a") == integer_seed(4, "a")
    assert integer_seed(2**70, "a") != integer_seed(2**70 + 2**65, "a")


@pytest.mark.parametrize("seed", [-1, True, 1.0, "1", None, np.float64(2)])
def test_refused(seed):
    with pytest.raises(InvalidInputError, match=r"seed=.*an integer of 0 or more"):
        generator(seed, "a")
