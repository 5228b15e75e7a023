"""Data sets made by rule (methods B6, B7)."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._images import Images
from nn_clustering.seeds import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Rule = Callable[[int, np.random.Generator], tuple[NDArray[np.uint8], NDArray[np.int32]]]

N_TRAIN, N_TEST = 60000, 10000
SIDE = 28
N_CLASSES = 10
RADIUS = 4
# Exponents (i, j) of the monomials x1^i x2^j. Polynomial p holds those whose bits of p are set,
# the first monomial's bit being the highest.
MONOMIALS = tuple(product(range(3), repeat=2))
N_POLYNOMIALS = 2 ** len(MONOMIALS)


def lines(seed: int, *, n_train: int = N_TRAIN, n_test: int = N_TEST) -> Images:
    """Return images of 1 to 10 distinct vertical lines; class k shows k + 1 (methods B6)."""
    names = tuple(f"{n} line{'s' * (n > 1)}" for n in range(1, N_CLASSES + 1))
    return _made(_draw_lines, "lines", names, seed, n_train, n_test)


def circles(seed: int, *, n_train: int = N_TRAIN, n_test: int = N_TEST) -> Images:
    """Return images of 0 to 9 circles of radius 4; class k shows k (methods B6, quirk 7).

    Centres are distinct pixels of the image, and what reaches over its borders is cut off.
    """
    names = tuple(f"{n} circle{'s' * (n != 1)}" for n in range(N_CLASSES))
    return _made(_draw_circles, "circles", names, seed, n_train, n_test)


def random_pixels(seed: int, *, n_train: int = N_TRAIN, n_test: int = N_TEST) -> Images:
    """Return images of uniform pixels with uniform classes (methods B6)."""
    names = tuple(str(label) for label in range(N_CLASSES))
    return _made(_draw_pixels, "random", names, seed, n_train, n_test)


def polynomials(seed: int, *, n_train: int = N_TRAIN, n_test: int = N_TEST) -> Dataset:
    """Return pairs of standard normals and the 512 polynomials of them (methods B7).

    Targets are the values, not scaled, of all sums of some of the nine monomials x1^i x2^j with i
    and j in {0, 1, 2}; the first is 0 everywhere.
    """
    x_train, x_test = (
        generator(seed, "poly", split).standard_normal((n_samples, 2)).astype(np.float32)
        for split, n_samples in (("train", n_train), ("test", n_test))
    )
    y_train, y_test = evaluate_polynomials(x_train), evaluate_polynomials(x_test)
    names = polynomial_names()
    return Dataset("poly", x_train, y_train, x_test, y_test, names, task="regression")


def evaluate_polynomials(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the values of the 512 polynomials, of shape (samples, 512), at x (samples, 2)."""
    x1, x2 = x.astype(np.float64).T
    powers = [(np.ones_like(x_k), x_k, x_k * x_k) for x_k in (x1, x2)]
    y = np.zeros((len(x), N_POLYNOMIALS))
    for bit, (i, j) in enumerate(reversed(MONOMIALS)):
        monomial = powers[0][i] * powers[1][j]
        # The polynomials that hold this monomial and others of lower bits: the latter plus it.
        np.add(y[:, : 2**bit], monomial[:, np.newaxis], out=y[:, 2**bit : 2 ** (bit + 1)])
    return y.astype(np.float32)


def polynomial_names() -> tuple[str, ...]:
    """Return the polynomials as they are written: "0", ..., "1 + x1 + x1^2 x2", ..."""
    terms = [_monomial_name(i, j) for i, j in MONOMIALS]
    choices = product((False, True), repeat=len(terms))
    return tuple(
        " + ".join(term for term, is_in in zip(terms, choice, strict=True) if is_in) or "0"
        for choice in choices
    )


def monomial_membership() -> tuple[tuple[str, ...], NDArray[np.bool_]]:
    """Return the nine monomials, and which of the 512 polynomials contain each.

    Returns:
        Names "1", "x2", ..., "x1^2 x2^2", and booleans of shape (9, 512); each monomial is in 256
        polynomials.
    """
    names = tuple(_monomial_name(i, j) for i, j in MONOMIALS)
    bits = np.arange(len(MONOMIALS))[::-1, np.newaxis]
    return names, (np.arange(N_POLYNOMIALS) >> bits & 1).astype(bool)


def _monomial_name(i: int, j: int) -> str:
    powers = (f"{x}^{k}" if k > 1 else x for x, k in (("x1", i), ("x2", j)) if k)
    return " ".join(powers) or "1"


def _made(
    rule: Rule, name: str, class_names: tuple[str, ...], seed: int, n_train: int, n_test: int
) -> Images:
    x_train, y_train = rule(n_train, generator(seed, name, "train"))
    x_test, y_test = rule(n_test, generator(seed, name, "test"))
    return Images(x_train[..., np.newaxis], y_train, x_test[..., np.newaxis], y_test, class_names)


def _draw_lines(n: int, draw: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    labels = draw.integers(N_CLASSES, size=n, dtype=np.int32)
    # A row of random ranks: those up to the label are as many random columns.
    ranks = draw.permuted(np.tile(np.arange(SIDE), (n, 1)), axis=1)
    columns = np.where(ranks <= labels[:, np.newaxis], np.uint8(255), np.uint8(0))
    return np.repeat(columns[:, np.newaxis, :], SIDE, axis=1), labels


def _draw_circles(n: int, draw: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    labels = draw.integers(N_CLASSES, size=n, dtype=np.int32)
    centres = _distinct_centres(n, draw)
    # A margin takes what reaches over the borders, and is cut off at the end.
    wide = SIDE + 2 * RADIUS
    x = np.zeros((n, wide, wide), np.uint8)
    offsets = circle_offsets(RADIUS) + RADIUS
    for drawn in range(N_CLASSES - 1):
        samples = np.flatnonzero(labels > drawn)
        rows, columns = np.divmod(centres[samples, drawn], SIDE)
        x[samples[:, None], rows[:, None] + offsets[:, 0], columns[:, None] + offsets[:, 1]] = 255
    return np.ascontiguousarray(x[:, RADIUS:-RADIUS, RADIUS:-RADIUS]), labels


def _distinct_centres(n: int, draw: np.random.Generator) -> NDArray[np.int64]:
    centres = draw.integers(SIDE * SIDE, size=(n, N_CLASSES - 1))
    while True:
        ordered = np.sort(centres, axis=1)
        repeated = np.flatnonzero((ordered[:, 1:] == ordered[:, :-1]).any(axis=1))
        if len(repeated) == 0:
            return centres
        centres[repeated] = draw.integers(SIDE * SIDE, size=(len(repeated), N_CLASSES - 1))


def circle_offsets(radius: int) -> NDArray[np.int64]:
    """Return the pixels (row, column) of a circle around (0, 0), one wide (Bresenham's).

    In the octant between the axis and the diagonal each column holds the pixel nearest to the
    circle; the other octants mirror it.
    """
    octant = []
    for column in range(radius + 1):
        row = round((radius**2 - column**2) ** 0.5)
        if row >= column:
            octant.append((row, column))
    mirrored = {
        pixel
        for row, column in octant
        for a, b in product((row, -row), (column, -column))
        for pixel in ((a, b), (b, a))
    }
    return np.array(sorted(mirrored))


def _draw_pixels(n: int, draw: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    x = draw.integers(256, size=(n, SIDE, SIDE), dtype=np.uint8)
    return x, draw.integers(N_CLASSES, size=n, dtype=np.int32)
