"""Figure of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from nn_clustering.reports._figure_text import add_title, name_ticks_plainly

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nn_clustering.training import EpochResult


def figure_of_learning_curves(curves: Mapping[str, Sequence[EpochResult]], title: str) -> Figure:
    """Draw loss and accuracy over the epochs of all phases, one phase after the other.

    Args:
        curves: The epochs of each phase, in order.
        title: Of the figure.
    """
    epochs = [epoch for of_phase in curves.values() for epoch in of_phase]
    measures = {"loss": "loss", "accuracy": "accuracy (%)"}
    if epochs[0].test_accuracy is None:
        del measures["accuracy"]
    figure = Figure(figsize=(1.2 + 4.6 * len(measures), 3.9), layout="constrained")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, (measure, label) in zip(panels, measures.items(), strict=True):
        for split, colour in (("train", "#6baed6"), ("test", "#d62728")):
            values = np.array([getattr(epoch, f"{split}_{measure}") for epoch in epochs])
            if measure == "accuracy":
                values = 100 * values
            axes.plot(
                range(1, len(epochs) + 1),
                values,
                color=colour,
                marker="." if len(epochs) <= 60 else "",  # a single epoch makes no line
                label=split if axes is panels[0] else None,
            )
        if measure == "loss" and min(min(e.train_loss, e.test_loss) for e in epochs) > 0:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            name_ticks_plainly(axes.yaxis)
            axes.yaxis.set_minor_formatter(NullFormatter())
        _mark_phases(axes, curves)
        axes.set_xlabel("epoch")
        is_logarithmic = axes.get_yscale() == "log"
        axes.set_ylabel(f"{label} (logarithmic)" if is_logarithmic else label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.5 - 0.02 * len(epochs), 0.5 + 1.02 * len(epochs))
    add_title(figure, title)
    # not beside the title, which can be as wide as the figure
    figure.legend(loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _mark_phases(axes: Axes, curves: Mapping[str, Sequence[EpochResult]]) -> None:
    start = 0.5
    for name, of_phase in curves.items():
        end = start + len(of_phase)
        place = ((start + end) / 2, 1.01)
        axes.annotate(name, place, xycoords=axes.get_xaxis_transform(), ha="center", fontsize=8)
        if start > 1:
            axes.axvline(start, color="grey", linewidth=0.8, linestyle=":")
        start = end
