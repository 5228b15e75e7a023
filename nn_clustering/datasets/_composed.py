"""Data sets composed of the images of others (methods B2 to B5)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering.datasets._images import Images, rescale, resize
from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import generator

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nn_clustering.datasets._images import Split

    Pixels = NDArray[np.uint8]
    Indices = NDArray[np.int64]


def halves(source: Images, *, same: bool, name: str, seed: int) -> Images:
    """Put two images side by side, each squeezed to half its width (methods B2, B3).

    Args:
        source: What the halves are drawn from, each split from its own.
        same: Whether the right half is of the left one's class, which is the label (the left
            halves are then the source in its order); otherwise both are drawn independently, and
            the label is the sum of theirs modulo the number of classes.
        name: Name of the composed set, which its random numbers depend on.
        seed: Seed of the composed set.

    Raises:
        InvalidInputError: If ``same`` and a class has no images.
    """

    def join(x: Pixels, left: Indices, right: Indices) -> Pixels:
        # The left half of images of odd width is one pixel wider.
        width = x.shape[2]
        left_width, right_width = width - width // 2, width // 2
        left_halves = _squeeze(x, left_width, source.white)
        same_width = left_width == right_width
        right_halves = left_halves if same_width else _squeeze(x, right_width, source.white)
        return np.concatenate([left_halves[left], right_halves[right]], axis=2)

    return replace(_pairs(source, join, same=same, name=name, seed=seed), white=255)


def stacked(source: Images, *, same: bool, name: str, seed: int) -> Images:
    """Put two grey images into two channels (methods B4); arguments as of :func:`halves`."""

    def join(x: Pixels, left: Indices, right: Indices) -> Pixels:
        return np.concatenate([x[left], x[right]], axis=3)

    return _pairs(source, join, same=same, name=name, seed=seed)


def random_labels(source: Images, *, name: str, seed: int) -> Images:
    """Give every image a class drawn uniformly, whatever it shows (methods A8)."""
    n_classes = len(source.class_names)

    def draw_labels(split: str, images: Split) -> Split:
        x, y = images
        return x, generator(seed, name, split).integers(n_classes, size=len(y), dtype=np.int32)

    return source.each_split(draw_labels)


def mixed(first: Images, second: Images, *, name: str, seed: int) -> Images:
    """Shuffle the images of two sets together; both keep their labels (methods B5)."""
    pairs = zip(first.class_names, second.class_names, strict=True)
    class_names = tuple(a if a == b else f"{a} or {b}" for a, b in pairs)
    return _shuffled_together(first, second, class_names, name=name, seed=seed)


def separated(first: Images, second: Images, *, name: str, seed: int) -> Images:
    """Shuffle the lower half of one set's classes and the upper half of another's (methods B5)."""
    half = len(first.class_names) // 2

    def lower(split: str, images: Split) -> Split:
        x, y = images
        return x[y < half], y[y < half]

    def upper(split: str, images: Split) -> Split:
        x, y = images
        return x[y >= half], y[y >= half]

    class_names = first.class_names[:half] + second.class_names[half:]
    first, second = first.each_split(lower), second.each_split(upper)
    return _shuffled_together(first, second, class_names, name=name, seed=seed)


def _squeeze(x: Pixels, width: int, white: int) -> Pixels:
    # Squeezing blurs: the brightest pixel of the split becomes 255 again.
    squeezed = resize(rescale(x, white), x.shape[1], width)
    return rescale(squeezed, int(squeezed.max()))


def _pairs(
    source: Images,
    join: Callable[[Pixels, Indices, Indices], Pixels],
    *,
    same: bool,
    name: str,
    seed: int,
) -> Images:
    n_classes = len(source.class_names)

    def pair(split: str, images: Split) -> Split:
        x, y = images
        draw = generator(seed, name, split)
        if same:
            _require_all_classes(source.class_names, y, f"{name}, {split} split")
            return join(x, np.arange(len(y)), _partners(y, n_classes, draw)), y
        left, right = draw.integers(len(y), size=(2, len(y)))
        return join(x, left, right), (y[left] + y[right]) % np.int32(n_classes)

    names = source.class_names if same else tuple(str(label) for label in range(n_classes))
    return replace(source.each_split(pair), class_names=names)


def _require_all_classes(class_names: tuple[str, ...], y: NDArray[np.int32], where: str) -> None:
    sizes = np.bincount(y, minlength=len(class_names))
    if sizes.min() == 0:
        raise InvalidInputError(
            f"data set {where}: the source has no images of class "
            f"{class_names[sizes.argmin()]!r}; expected some of each, to make pairs of one class"
        )


def _partners(y: NDArray[np.int32], n_classes: int, draw: np.random.Generator) -> Indices:
    # For each sample one of the first n of its class, n being the size of the smallest class.
    sizes = np.bincount(y, minlength=n_classes)
    by_class = np.argsort(y, kind="stable")
    first_of_class = np.cumsum(sizes) - sizes
    found: Indices = by_class[first_of_class[y] + draw.integers(sizes.min(), size=len(y))]
    return found


def _shuffled_together(
    first: Images, second: Images, class_names: tuple[str, ...], *, name: str, seed: int
) -> Images:
    def shuffle(split: str, images: Split) -> Split:
        x, y = images
        other_x, other_y = second.train if split == "train" else second.test
        order = generator(seed, name, split).permutation(len(y) + len(other_y))
        return np.concatenate([x, other_x])[order], np.concatenate([y, other_y])[order]

    return replace(first.each_split(shuffle), class_names=class_names)
