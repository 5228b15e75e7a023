"""Learning curves of a study's conditions, with the n-cuts of networks on their way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
_ACCURACY, _LOSS = "accuracy", "loss"
_LABELS = {_ACCURACY: "accuracy (%)", _LOSS: "loss"}
# More epochs than these are drawn without a mark for each.
_MOST_MARKS = 60
_LINES = ("-", "--", ":", "-.")


def figure_of_study_curves(results: StudyResults, store: RunStore) -> Figure | None:
    """Draw accuracy over epochs by condition, and n-cut where checkpoints were clustered.

    Lines are means over networks, between the lowest and the highest. That of the training samples
    is drawn thin, where it was logged. Networks without an accuracy have their loss drawn. Beside
    n-cuts of checkpoints that were tested, the mean n-cuts of their null distributions are dashed,
    and z has a panel of its own. None where nothing was trained.
    """
    trained = results.cells[results.cells["stage"] == "train"] if len(results.cells) else None
    if trained is None or trained.empty:
        return None
    runs = store.runs(trained["run"].tolist())
    measure = _ACCURACY
    curves = _curves(runs, f"test.{measure}")
    if curves is None:
        measure = _LOSS
        curves = _curves(runs, f"test.{measure}")
    if curves is None:
        return None
    of_training = _curves(runs, f"train.{measure}")
    panels = {
        _LABELS[measure]: _Panel(
            _in_units_of(measure, curves),
            None if of_training is None else _in_units_of(measure, of_training),
        ),
        **_panels_of_ncuts(results, curves),
    }
    figure = Figure(figsize=(1.6 + 4.4 * len(panels), 4.2), layout="constrained")
    handles: dict[str, Line2D] = {}
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharex=True)[0]
    conditions = conditions_of(trained, results.label_columns)
    for axes, (name, panel) in zip(all_axes, panels.items(), strict=True):
        for place, (labels, group) in enumerate(conditions):
            line = panel.draw(axes, group["run"], place)
            if line is not None:
                handles[condition_in_words(labels) or results.title] = line
        axes.set_xlabel("epoch")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        name_ticks_plainly(axes.yaxis)
        for start in _starts_of_phases(curves):
            axes.axvline(start, color="grey", linewidth=0.8, linestyle=":")
    handles |= _keys(panels)
    add_title(figure, f"{results.title}: learning curves")
    n_columns = 1 if max(map(len, handles)) > 40 else 2
    figure.legend(
        handles.values(), handles, loc="outside lower center", ncols=n_columns, fontsize=8
    )
    return figure


@dataclass(frozen=True, eq=False)
class _Panel:
    """What one panel shows: columns run, epoch and value.

    Attributes:
        points: Of the networks.
        beside: What is drawn beside them, thin: of training samples, or of null distributions.
        is_null: Which of the two it is.
    """

    points: pandas.DataFrame
    beside: pandas.DataFrame | None = None
    is_null: bool = False

    def draw(self, axes: Axes, runs: pandas.Series, place: int) -> Line2D | None:
        """Draw some networks' means, and return their line, None without any."""
        own = self.points[self.points["run"].isin(runs)]
        if own.empty:
            return None
        line = _draw(axes, own, place)
        if self.beside is not None:
            others = self.beside[self.beside["run"].isin(runs)]
            means = others.groupby("epoch")["value"].mean()
            style = "--" if self.is_null else "-"
            axes.plot(means.index, means, style, lw=0.8, alpha=0.7, color=line.get_color())
        return line


def _keys(panels: Mapping[str, _Panel]) -> dict[str, Line2D]:
    """Return what the legend says of lines that are drawn beside others."""
    from matplotlib.lines import Line2D

    look: dict[str, Any] = {"color": "0.4", "lw": 0.8}
    beside = {panel.is_null for panel in panels.values() if panel.beside is not None}
    found = {}
    if False in beside:
        found["of the training samples"] = Line2D([], [], **look)
    if True in beside:
        found["null mean"] = Line2D([], [], linestyle="--", **look)
    return found


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
        # a single epoch makes no line
        marker="." if len(over_networks) <= _MOST_MARKS else "",
        **look,
    )
    return line


def _in_units_of(measure: str, curves: pandas.DataFrame) -> pandas.DataFrame:
    """Return curves in what their panel's label says: an accuracy in percent."""
    return curves.assign(value=100 * curves["value"]) if measure == _ACCURACY else curves


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


def _panels_of_ncuts(results: StudyResults, curves: pandas.DataFrame) -> dict[str, _Panel]:
    """Return the panels of n-cut and z of the clusterings on the way; none without any."""
    import pandas

    clustered = results.cells[results.cells["stage"] == CLUSTER_STAGE]
    if clustered.empty or clustered["config.checkpoint"].isna().all():
        return {}
    epochs = {
        cell["run"]: epoch
        for cell in clustered.to_dict("records")
        if (epoch := _epoch_of(cell, results, curves)) is not None
    }
    networks = results.networks[results.networks[f"{CLUSTER_STAGE}_run"].isin(epochs)]
    points = {
        measure: pandas.DataFrame(
            {
                "run": networks["network"],
                "epoch": networks[f"{CLUSTER_STAGE}_run"].map(epochs),
                "value": networks[measure],
            }
        ).dropna(subset="value")
        for measure in ("ncut", "shuffled_mean", "z_score")
    }
    if points["ncut"].empty:
        return {}
    if points["shuffled_mean"].empty:
        return {"n-cut": _Panel(points["ncut"])}
    panels = {"n-cut": _Panel(points["ncut"], points["shuffled_mean"], is_null=True)}
    return panels if points["z_score"].empty else {**panels, "z": _Panel(points["z_score"])}


def _epoch_of(
    cell: Mapping[Any, Any], results: StudyResults, curves: pandas.DataFrame
) -> float | None:
    """Return the epoch after which a network was clustered; the end of a phase belongs to it."""
    spans = curves.groupby(["run", "phase"])[["start", "epoch"]].max()
    place = (cell["parent_run"], results.runs[cell["run"]].info.get("phase"))
    if place not in spans.index:
        return None
    start, end = spans.loc[place]
    epoch = cell["config.checkpoint"]
    return float(end if epoch is None else start + epoch)
