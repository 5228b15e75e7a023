"""Random generators that depend on one seed and a purpose, never on the order of work.

Every independent piece of a run (the initial weights, shuffle 7, the random units drawn for
sub-cluster 3) has a generator of its own, so that results are the same bit for bit whatever the
number of workers.
"""

import zlib

import numpy as np

from nn_clustering.errors import InvalidInputError


def seed_sequence(seed: int, *purpose: str | int) -> np.random.SeedSequence:
    """Return the seed sequence of one purpose.

    Args:
        seed: The run's seed, 0 or more.
        purpose: What the numbers are for, as words and indices: ``("shuffle", 7)``.

    Raises:
        InvalidInputError: If ``seed`` is negative or not an integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InvalidInputError(f"seed={seed!r}: a seed is an integer of 0 or more")
    # A word becomes a number that is the same in every process, which hash() is not.
    key = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in purpose]
    return np.random.SeedSequence(entropy=int(seed), spawn_key=key)


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the random generator of one purpose; see :func:`seed_sequence`."""
    return np.random.default_rng(seed_sequence(seed, *purpose))


def integer_seed(seed: int, *purpose: str | int) -> int:
    """Return a 31-bit seed of one purpose, for libraries that take a plain integer."""
    return int(seed_sequence(seed, *purpose).generate_state(1)[0] >> 1)
