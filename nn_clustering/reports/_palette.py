"""Colours and hatches that stay apart, for readers without red or green cones too."""

from __future__ import annotations

from itertools import chain, combinations, count, islice

Colour = tuple[float, float, float, float]

ISOLATED_COLOUR = "#d9d9d9"
# Each two of them differ by at least 19.9, and each from the grey of isolated units by 17, by
# CIEDE2000 in normal vision and as simulated for deuteranopia and protanopia (Machado et al. 2009,
# Viénot et al. 1999). Found by a search over sRGB that kept the least of these differences as
# large as it gets while hues stay strong; the first few differ the most.
_COLOURS = (
    "#117aff",
    "#fd4e00",
    "#822152",
    "#189f7e",
    "#ffe600",
    "#1704df",
    "#e5b6ff",
    "#712e00",
)
# Of so many sizes that they can be told from each other in a bar of ten points.
_HATCHES = ("////", "....", "xxx", "||||", r"\\\\", "----", "oo", "+++")
_DARK = 0.4


def cluster_colours(n_clusters: int) -> list[Colour]:
    """Return one colour a cluster, as red, green, blue, alpha; none of them grey.

    Eight are as far apart as possible in normal vision, deuteranopia and protanopia. More clusters
    have the same colours again, in the same order: a second mark must tell them apart, that of
    :func:`cluster_hatches` or their numbers.
    """
    from matplotlib.colors import to_rgba

    return [to_rgba(_COLOURS[index % len(_COLOURS)]) for index in range(n_clusters)]


def cluster_hatches(n_clusters: int) -> list[str]:
    """Return one hatch a cluster, for matplotlib: none for the first eight, then one per eight.

    No two clusters have both the same colour and the same hatch.
    """
    # single ones, then every two of them together, and so on
    of_sizes = (combinations(_HATCHES, size) for size in count())
    of_rounds = ("".join(chosen) for chosen in chain.from_iterable(of_sizes))
    n_rounds = -(-n_clusters // len(_COLOURS))
    hatches = [hatch for hatch in islice(of_rounds, n_rounds) for _ in _COLOURS]
    return hatches[:n_clusters]


def has_repeated_colours(n_clusters: int) -> bool:
    """Whether there are more clusters than colours."""
    return n_clusters > len(_COLOURS)


def ink_on(colour: Colour) -> str:
    """Return which of black and white is seen better on a colour."""
    red, green, blue, _ = colour
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < _DARK else "black"
