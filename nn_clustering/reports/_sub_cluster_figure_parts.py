"""What figures of sub-clusters share: units of change, marks, names of sub-clusters."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axis import XAxis
from matplotlib.colors import Normalize, SymLogNorm
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from sklearn.isotonic import isotonic_regression

from nn_clustering.reports._figure_text import (
    add_title,
    counted,
    name_ticks_plainly,
    plain_number,
    set_plain_ticks,
)
from nn_clustering.significance import benjamini_hochberg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from nn_clustering.partitions import SubCluster
    from nn_clustering.significance import Measure

# Harm and benefit, and random beside true: told apart by all common kinds of colour vision.
HARM = "#d62728"
RANDOM = "#9ecae1"
# p-values up to this are marked.
LEVEL = 0.05
BENJAMINI_HOCHBERG = "Benjamini\N{EN DASH}Hochberg"
NO_PAIRS = "no sub-clusters to lesion in pairs"
# Longer names are cut in the middle.
_LONGEST_NAME = 26
# Of names of sub-clusters and layers, in inches: the height of a line and the width of a letter.
_LINE = 0.12
_LETTER = 0.065


@dataclass(frozen=True, eq=False)
class Significance:
    """Which of several tests are significant, and how a legend says so.

    Attributes:
        corrected: Those that survive the Benjamini-Hochberg procedure at :data:`LEVEL`, shape
            (tests,).
        uncorrected: Those of p-values up to :data:`LEVEL` that do not, shape (tests,).
        in_words: What the two, and the others, are called.
    """

    corrected: NDArray[np.bool_]
    uncorrected: NDArray[np.bool_]
    in_words: tuple[str, str, str]

    @classmethod
    def of(cls, p_values: NDArray[np.float64], what: str = "sub-cluster") -> Significance:
        """Tell the significant ones among p-values.

        Args:
            p_values: Shape (tests,).
            what: What one test is of, of which several end in s.
        """
        corrected = np.zeros(p_values.size, bool)
        if p_values.size:
            corrected = benjamini_hochberg(p_values, LEVEL).significant
        found, count = f"p ≤ {LEVEL}", counted(p_values.size, what)
        return cls(
            corrected,
            (p_values <= LEVEL) & ~corrected,
            (
                f"{found}, corrected for {count} ({BENJAMINI_HOCHBERG})",
                f"{found}, not corrected for {count}",
                f"p > {LEVEL}",
            ),
        )

    @classmethod
    def of_measure(cls, measure: Measure, what: str = "sub-cluster") -> Significance:
        """Tell the significant ones among sub-clusters.

        Those that are all units of their layer are not tested: nothing can be said of them, though
        their p-values can be small if starts differ or ties do not count.

        Args:
            measure: Of sub-clusters, or of what is tested as such.
            what: What one of them is, of which several end in s.
        """
        of_tested = cls.of(measure.p_values[measure.combined], what)
        corrected, uncorrected = (np.zeros(measure.combined.size, bool) for _ in range(2))
        corrected[measure.combined] = of_tested.corrected
        uncorrected[measure.combined] = of_tested.uncorrected
        small, smaller, others = of_tested.in_words
        if not measure.combined.all():
            others = f"{others}, or all units of its layer"
        return cls(corrected, uncorrected, (small, smaller, others))


@dataclass(frozen=True)
class Change:
    """How the changes of a test are shown.

    Attributes:
        factor: From the test's values to those shown.
        of_mean: What the mean over groups is, with its unit.
        of_group: What the value of one group is, with its unit.
        group: What a group is.
        colours: A diverging colour map on which harm is red.
    """

    factor: float
    of_mean: str
    of_group: str
    group: str
    colours: str

    @classmethod
    def of_task(cls, task: str, group: str = "class") -> Change:
        """Return how changes are shown in a classification or a regression.

        Args:
            task: One of the two.
            group: What the groups of a classification are, in the singular.
        """
        if task == "classification":
            unit = "(percentage points)"
            mean, each = f"of {group}-mean accuracy\n{unit}", f"of {group} accuracy {unit}"
            return cls(100, f"change {mean}", f"change {each}", group, "RdBu")
        error = "squared error"
        return cls(1, f"change of mean {error}", f"change of {error}", "group of targets", "RdBu_r")


def draw_heat_map(
    axes: Axes, changes: NDArray[np.float64], task: str, norm: Normalize | None = None
) -> None:
    """Draw changes, as shown, as colours that diverge from white at 0.

    Args:
        axes: Where.
        changes: As shown, shape (rows, columns).
        task: "classification" or "regression".
        norm: Their scale; by default :func:`colour_norm` of the changes.
    """
    norm = norm or colour_norm(changes, task)
    colours = Change.of_task(task).colours
    axes.imshow(changes, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    axes.tick_params(length=2)


def colour_norm(changes: NDArray[np.float64], task: str) -> Normalize:
    """Return the scale of the colours of changes, as shown.

    It is logarithmic beyond the median of what changes, so that one drastic lesion does not hide
    the others.
    """
    sizes = np.abs(changes)
    limit = linear_limit(changes, task)
    if (sizes > limit).any():
        limit = max(limit, _plain_below(np.median(sizes[sizes > 0])))
    most = sizes.max() or limit
    if most > 3 * limit:
        return SymLogNorm(limit, linscale=0.5, vmin=-most, vmax=most)
    return Normalize(-most, most)


def add_colour_bar(figure: Figure, drawn: Axes, beside: Axes, label: str) -> None:
    """Explain the colours of a heat map; unit and scale have lines of their own, as it may be low.

    Args:
        figure: The figure.
        drawn: Where the heat map is.
        beside: To the right of which axes the bar stands.
        label: What the colours are.
    """
    image = drawn.images[0]
    bar = figure.colorbar(image, ax=beside, aspect=30)
    limit = None
    if isinstance(image.norm, SymLogNorm):
        limit = image.norm.linthresh
        set_plain_ticks(bar.ax.yaxis, ticks_of_scale(limit, image.norm.vmax or 1.0))
    else:
        name_ticks_plainly(bar.ax.yaxis)
    bar.set_label(with_scale(label.replace(" (", "\n("), limit), fontsize=8)


def linear_limit(changes: ArrayLike, task: str) -> float:
    """Return up to where a scale is linear before it is logarithmic: for changes as shown.

    One lesion can cost half of the accuracy, most cost a point or less: linear up to one point.
    Errors have no such unit: linear up to about the median change.
    """
    sizes = np.abs(changes)
    sizes = sizes[sizes > 0]
    if task == "classification" or not sizes.size:
        return 1.0
    return _plain_below(np.median(sizes))


def _plain_below(value: np.floating) -> float:
    """Return the largest of ..., 0.1, 0.3, 1, 3, 10, ... that is not above a value."""
    power = float(f"1e{math.floor(math.log10(value))}")
    return 3 * power if value >= 3 * power else power


def with_scale(label: str, limit: float | None) -> str:
    """Return a label that says, in a line of its own, up to where its scale is linear.

    Args:
        label: What is shown; a unit in parentheses stands at its end.
        limit: Beyond which the scale is logarithmic; None where it is linear.
    """
    if limit is None:
        return label
    scale = f"linear up to ±{plain_number(limit)}, logarithmic beyond)"
    return f"{label[:-1]};\n{scale}" if label.endswith(")") else f"{label}\n({scale}"


def scale_axis(axes: Axes, changes: ArrayLike, limit: float) -> float | None:
    """Make the vertical axis linear up to the limit, logarithmic beyond if there is anything.

    Returns:
        The limit, where the scale is logarithmic beyond it.
    """
    most = float(np.abs(changes).max())
    name_ticks_plainly(axes.yaxis)
    if most > limit:
        axes.set_yscale("symlog", linthresh=limit, linscale=0.5)
        axes.autoscale_view(scalex=False)  # margins of the new scale
        low, high = axes.get_ylim()
        ticks = ticks_of_scale(limit, most)
        set_plain_ticks(axes.yaxis, [tick for tick in ticks if low <= tick <= high])
        return limit
    if most == 0:
        axes.set_ylim(-limit, limit)
    return None


def ticks_of_scale(limit: float, most: float) -> list[float]:
    """Return 0, the limit and 1, 3, 10, 30, ... beyond it, on both sides."""
    power = math.floor(math.log10(limit) + 1e-9)
    steps = [float(f"{digit}e{at}") for at in range(power, power + 12) for digit in (1, 3)]
    steps = [step for step in steps if limit * (1 - 1e-9) <= step <= most]
    return [*(-step for step in reversed(steps)), 0.0, *steps]


def empty_figure(note: str, title: str) -> Figure:
    """Return a figure that says why there is nothing to be seen."""
    figure = Figure(figsize=(6, 2), layout="constrained")
    axes = figure.subplots()
    axes.set_title(note, fontsize=9)
    axes.set_axis_off()
    add_title(figure, title)
    return figure


def shortened(name: str) -> str:
    """Return a name without its middle if it is too long for a figure."""
    if len(name) <= _LONGEST_NAME:
        return name
    half = (_LONGEST_NAME - 1) // 2
    return f"{name[:half]}…{name[-half:]}"


@dataclass(frozen=True)
class LayerSpan:
    """Where a layer's sub-clusters stand among all: from ``start`` to before ``end``."""

    name: str
    start: int
    end: int

    @property
    def middle(self) -> float:
        """The place in the middle of them."""
        return (self.start + self.end - 1) / 2


def layer_spans(sub_clusters: Sequence[SubCluster]) -> list[LayerSpan]:
    """Return the runs of sub-clusters of the same layer, in order."""
    spans, start = [], 0
    for name, of_layer in groupby(sub_clusters, key=lambda sub_cluster: sub_cluster.layer):
        end = start + len(list(of_layer))
        spans.append(LayerSpan(name, start, end))
        start = end
    return spans


def spread(
    places: Sequence[float], distance: float, low: float, high: float
) -> NDArray[np.float64]:
    """Move ascending places as little as possible so that neighbours keep a distance.

    They are those of least squares, by isotonic regression.

    Args:
        places: Shape (places,).
        distance: The least between neighbours; less if they do not fit otherwise.
        low: The lowest place possible.
        high: The highest.
    """
    count = len(places)
    distance = min(distance, (high - low) / max(count - 1, 1))
    steps = distance * np.arange(count)
    highest = max(high - distance * (count - 1), low)
    free = np.asarray(places, float) - steps
    found: NDArray[np.float64] = (
        np.asarray(isotonic_regression(free, y_min=low, y_max=highest)) + steps
    )
    return found


def name_sub_clusters(axis: Axis, sub_clusters: Sequence[SubCluster], inches: float) -> bool:
    """Write the clusters (units) beside an axis of sub-clusters, and their layers farther out.

    Names of clusters are left out if they would lie over each other, and so are some layers' if
    there are very many.

    Args:
        axis: One unit a sub-cluster, from -0.5.
        sub_clusters: In their order.
        inches: How long the axis is.

    Returns:
        Whether clusters are named.
    """
    count, spans = len(sub_clusters), layer_spans(sub_clusters)
    names = [f"{sub.label} ({sub.units.size})" for sub in sub_clusters]
    named = inches / count >= _LINE
    across = isinstance(axis, XAxis)
    axis.set_ticks(range(count) if named else [], names if named else [], fontsize=7)
    axis.set_tick_params(which="major", rotation=90 if across else 0, length=2)
    line = _LINE * count / inches
    shown = spans[:: math.ceil(len(spans) * line / count)]
    places = spread([span.middle for span in shown], line, -0.5 + line / 2, count - 0.5 - line / 2)
    of_layers = [shortened(span.name) for span in shown]
    axis.remove_overlapping_locs = False
    axis.set_ticks(places, of_layers, minor=True, fontsize=7)
    room = (inches * (span.end - span.start) / count for span in shown)
    fits = all(_LETTER * len(name) < width for name, width in zip(of_layers, room, strict=True))
    pad = 5 + (72 * _LETTER * max(map(len, names)) if named else 0)
    axis.set_tick_params(
        which="minor", length=0, pad=pad, rotation=90 if across and not fits else 0
    )
    return named
