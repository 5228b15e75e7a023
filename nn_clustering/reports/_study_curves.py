"""Learning curves of a study's conditions, with the n-cuts of networks on their way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nn_clustering.errors import RunNotFoundError
from nn_clustering.reports._figure_text import add_title, name_ticks_plainly
from nn_clustering.reports._palette import cluster_colours
from nn_clustering.reports._study_results import (
    CLUSTER_STAGE,
    condition_in_words,
    conditions_of,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from nn_clustering.reports._study_results import StudyResults
    from nn_clustering.tracking import RunId, RunStore

# Phases in their order, each of which goes on where the one before has ended.
_PHASES = ("unpruned", "pruned")
_ACCURACY, _LOSS = "test.accuracy", "test.loss"
_LINES = ("-", "--", ":", "-.")


def figure_of_study_curves(results: StudyResults, store: RunStore) -> Figure | None:
    """Draw test accuracy over epochs by condition, and n-cut where checkpoints were clustered.

    Lines are means over networks, between the lowest and the highest. Networks without an accuracy
    have their loss drawn. None where nothing was trained.
    """
    trained = results.cells[results.cells["stage"] == "train"] if len(results.cells) else None
    if trained is None or trained.empty:
        return None
    runs = store.runs(trained["run"].tolist())
    curves, measure = _curves(runs, _ACCURACY), "test accuracy (%)"
    if curves is None:
        curves, measure = _curves(runs, _LOSS), "test loss"
    if curves is None:
        return None
    if measure == "test accuracy (%)":
        curves["value"] *= 100
    ncuts = _ncuts(results, curves)
    panels = {measure: curves} | ({} if ncuts is None else {"n-cut": ncuts})
    figure = Figure(figsize=(1.6 + 4.4 * len(panels), 4.2), layout="constrained")
    handles: dict[str, Line2D] = {}
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharex=True)[0]
    for axes, (name, points) in zip(all_axes, panels.items(), strict=True):
        conditions = conditions_of(trained, results.label_columns)
        for place, (labels, group) in enumerate(conditions):
            own = points[points["run"].isin(group["run"])]
            if not own.empty:
                line = _draw(axes, own, place)
                handles[condition_in_words(labels) or results.title] = line
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        name_ticks_plainly(axes.yaxis)
    for axes in all_axes:
        for start in _starts_of_phases(curves):
            axes.axvline(start, color="grey", linewidth=0.8, linestyle=":")
    add_title(figure, f"{results.title}: learning curves")
    n_columns = 1 if max(map(len, handles)) > 40 else 2
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=n_columns, fontsize=8
    )
    return figure


def _draw(axes: Axes, points: pandas.DataFrame, place: int) -> Line2D:
    look: dict[str, Any] = {"color": cluster_colours(8)[place % 8]}
    over_networks = points.groupby("epoch")["value"].agg(["mean", "min", "max"])
    axes.fill_between(
        over_networks.index, over_networks["min"], over_networks["max"], alpha=0.2, lw=0, **look
    )
    (line,) = axes.plot(
        over_networks.index,
        over_networks["mean"],
        linestyle=_LINES[place // 8 % len(_LINES)],
        marker="." if len(over_networks) <= 60 else "",  # a single epoch makes no line
        **look,
    )
    return line


def _curves(runs: Any, measure: str) -> pandas.DataFrame | None:
    """Return columns run, phase, epoch and value of all phases, one after the other."""
    import pandas

    found = []
    ends: Mapping[RunId, float] = {}
    for phase in _PHASES:
        try:
            points = runs.metric(f"{phase}.{measure}")
        except RunNotFoundError:
            continue
        start = points["run"].map(lambda run, ends=ends: ends.get(run, 0))
        table = pandas.DataFrame(
            {
                "run": points["run"],
                "phase": phase,
                "start": start,
                "epoch": points["step"] + start,
                "value": points["value"].astype(float),
            }
        )
        ends = {**ends, **table.groupby("run")["epoch"].max().to_dict()}
        found.append(table)
    return pandas.concat(found, ignore_index=True) if found else None


def _starts_of_phases(curves: pandas.DataFrame) -> Iterable[float]:
    """Return where later phases start, if they do in all networks at once."""
    later = curves[curves["start"] > 0]
    starts: list[float] = later["start"].unique().tolist()
    return [start + 0.5 for start in starts] if len(starts) == 1 else []


def _ncuts(results: StudyResults, curves: pandas.DataFrame) -> pandas.DataFrame | None:
    """Return columns run, epoch and value of the clusterings on the way; None where there are none.

    Those of the ends of phases belong to them.
    """
    import pandas

    clustered = results.cells[results.cells["stage"] == CLUSTER_STAGE]
    if clustered.empty or clustered["config.checkpoint"].isna().all():
        return None
    spans = curves.groupby(["run", "phase"])[["start", "epoch"]].max()
    rows = []
    for cell in clustered.to_dict("records"):
        run, phase = cell["parent_run"], results.runs[cell["run"]].info.get("phase")
        if (run, phase) not in spans.index or cell.get("result.ncut") is None:
            continue
        start, end = spans.loc[(run, phase)]
        epoch = cell["config.checkpoint"]
        rows.append(
            {
                "run": run,
                "epoch": end if epoch is None else start + epoch,
                "value": cell["result.ncut"],
            }
        )
    return pandas.DataFrame(rows) if rows else None
