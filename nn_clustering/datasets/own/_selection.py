"""Which samples are taken where not all are: balanced by class, drawn with a seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._settings import Settings, check_available
from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import generator

if TYPE_CHECKING:
    from numpy.typing import NDArray


def chosen_rows(
    settings: Settings, split: str, y: NDArray[Any], names: tuple[str, ...], name: str
) -> NDArray[np.int64]:
    """Return which samples of a split are taken.

    Of every class as many as of any other, while it has them; drawn with the seed, so that more
    samples hold the fewer ones. Targets, which have no classes, are drawn alike, and so is what
    has a class at every position.

    Args:
        settings: What is asked: n_train, n_test, per_class, seed.
        split: "train" or "test".
        y: Classes, integers of shape (samples,), or targets of shape (samples, targets), or
            classes at every position.
        names: Of the classes.
        name: Of the data set.

    Returns:
        Numbers of samples, ascending.

    Raises:
        InvalidInputError: If there are fewer.
    """
    return taken(in_order_of_draw(settings.seed, split, y), settings, split, y, names, name)


def in_order_of_draw(seed: int, split: str, y: NDArray[Any]) -> NDArray[np.int64]:
    """Return the numbers of all samples: one of every class, a second of every class, and so on."""
    random = generator(seed, "samples", split)
    order = random.permutation(len(y))
    if y.ndim > 1:
        return order
    # a class's turn within each round is drawn, too: no class is always the one that is short
    turns = random.permutation(int(y.max()) + 1 if len(y) else 0)
    return order[np.lexsort((turns[y[order]], _ranks(y[order])))]


def taken(
    order: NDArray[np.int64],
    settings: Settings,
    split: str,
    y: NDArray[Any],
    names: tuple[str, ...],
    name: str,
) -> NDArray[np.int64]:
    """Return the first samples of an order, ascending.

    Args:
        order: Numbers of the samples that there are to take, as :func:`in_order_of_draw` gives
            them; some may be missing.
        settings: As of :func:`chosen_rows`, like the others.
        split: "train" or "test".
        y: Of all samples.
        names: Of the classes.
        name: Of the data set.
    """
    if split == "test" and settings.per_class is not None:
        return _of_every_class(order, settings.per_class, y, names, name)
    key = f"n_{split}"
    number = getattr(settings, key)
    check_available(key, number, len(order), name)
    return np.sort(order[:number])


def _of_every_class(
    order: NDArray[np.int64], number: int, y: NDArray[Any], names: tuple[str, ...], name: str
) -> NDArray[np.int64]:
    if y.ndim > 1:
        has = "targets and no classes" if y.dtype.kind == "f" else "a class at every position"
        raise InvalidInputError(
            f"dataset.per_class={number}, but {name} has {has}; expected n_test"
        )
    counts = np.bincount(y[order], minlength=len(names))
    for index in np.unique(y):
        if counts[index] < number:
            raise InvalidInputError(
                f"dataset.per_class={number}, but {name} has {counts[index]} test samples of the "
                f"class {names[index]}; expected at most as many"
            )
    return np.sort(order[_ranks(y[order]) < number])


def _ranks(classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many of the same class come before each."""
    by_class = np.argsort(classes, kind="stable")
    _, starts, sizes = np.unique(classes[by_class], return_index=True, return_counts=True)
    ranks = np.empty(len(classes), np.int64)
    ranks[by_class] = np.arange(len(classes)) - np.repeat(starts, sizes)
    return ranks
