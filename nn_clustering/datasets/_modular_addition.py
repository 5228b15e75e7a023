"""Sums modulo a prime, as tokens: what small transformers learn first by heart, then by rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import generator

if TYPE_CHECKING:
    from nn_clustering.datasets._settings import Settings

NAME = "modular_addition"
# What the published transformers were trained on, and the share of all sums.
PRIME, TRAIN_SHARE = 113, 0.3
# All sums are made, of which there are as many as its square.
_LARGEST = 1000
# Tokens of a sample: both numbers and what asks for the sum.
_LENGTH = 3
TAKES = ("prime", "train_share", "per_class")


def read(settings: Settings) -> Dataset:
    """Return all sums a + b modulo a prime, some of them for training.

    A sample is the tokens a, b and =, its class the sum.

    Raises:
        InvalidInputError: If the modulus is no prime, or the train part would have no sum or all.
    """
    prime, n_train = _sizes(settings)
    a, b = np.divmod(np.arange(prime**2, dtype=np.int32), np.int32(prime))
    x = np.stack([a, b, np.full_like(a, prime)], axis=1)
    y = (a + b) % prime
    order = generator(settings.seed, NAME).permutation(prime**2)
    train, test = order[:n_train], order[n_train:]
    numbers = tuple(map(str, range(prime)))
    return Dataset(NAME, x[train], y[train], x[test], y[test], numbers, vocabulary=(*numbers, "="))


def outline(settings: Settings) -> Outline:
    """Return what is known of it before it is made.

    Raises:
        InvalidInputError: As :func:`read`.
    """
    prime, n_train = _sizes(settings)
    return Outline(NAME, "classification", (_LENGTH,), prime, n_train, n_tokens=prime + 1)


def _sizes(settings: Settings) -> tuple[int, int]:
    """Return the prime, and the number of sums that are for training."""
    prime: Any = PRIME if settings.prime is None else settings.prime
    if not isinstance(prime, int) or isinstance(prime, bool) or not _is_prime(prime):
        raise InvalidInputError(
            f"dataset.prime={prime!r}; expected a prime number from 2 to {_LARGEST}, or null for "
            f"{PRIME}"
        )
    share = settings.share(TRAIN_SHARE)
    n_train = round(share * prime**2)
    if not 0 < n_train < prime**2:
        raise InvalidInputError(
            f"dataset.train_share={share} of the {prime**2} sums modulo {prime} is {n_train}; "
            "expected some for training and some for testing"
        )
    return prime, n_train


def _is_prime(number: int) -> bool:
    return 2 <= number <= _LARGEST and all(number % divisor for divisor in range(2, number))
