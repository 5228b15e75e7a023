"""Config against results: what the page's parallel coordinates show, a line a network."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from nn_clustering.reports._study_results import LABEL, RUNS, StudyResults
from nn_clustering.reports.page._data_tables import (
    differing_settings,
    figure_title,
    is_p_value,
)
from nn_clustering.reports.page._html import plain

if TYPE_CHECKING:
    import pandas

# Axes beyond these are too close to be read.
_MOST_SETTINGS, _MOST_VALUES = 9, 60
_FIGURES = ("accuracy", "ncut", "shuffled_mean", "z_score", "p_value")
_TEST_FIGURES = (
    *("importance_joint_p", "importance_effect", "coherence_joint_p", "coherence_effect"),
    *("score_joint_p", "score_effect", "entropy_joint_p", "entropy_effect"),
)
_COLOURS = ("z_score", "ncut", "accuracy", "p_value", "shuffled_mean", *_TEST_FIGURES)


def parallel_coordinates(results: StudyResults) -> dict[str, Any] | None:
    """Return axes and lines; None where there are no two networks, or nothing that differs.

    Axes of config come first, labels before keys; of keys by which networks are told apart in one
    and the same way there is one axis.
    """
    networks = results.networks
    if len(networks) < 2:
        return None
    axes, columns = _settings(results)
    for name in (*_FIGURES, *_TEST_FIGURES):
        if networks[name].nunique() > 1:
            axis = {"key": name, "title": figure_title(name)}
            axes.append(axis | {"log": True} if is_p_value(name) else axis)
            columns.append([plain(value) for value in networks[name]])
    if len(axes) < 2:
        return None
    keys = [axis["key"] for axis in axes]
    colours = [key for key in _COLOURS if key in keys] + [
        key for key in keys if key not in (*_FIGURES, *_TEST_FIGURES)
    ]
    runs = _latest_runs(networks)
    lines = [
        {"values": list(values), "run": run}
        for values, run in zip(zip(*columns, strict=True), runs, strict=True)
    ]
    return {"axes": axes, "rows": lines, "colours": colours}


def _latest_runs(networks: pandas.DataFrame) -> list[Any]:
    """Return of each network the run of its shuffle test, else of its clustering."""
    return [
        plain(tested if plain(tested) is not None else clustered)
        for tested, clustered in zip(
            networks["shuffle_test_run"], networks["cluster_run"], strict=True
        )
    ]


def _settings(results: StudyResults) -> tuple[list[dict[str, Any]], list[list[Any]]]:
    axes: list[dict[str, Any]] = []
    columns: list[list[Any]] = []
    seen: set[tuple[int, ...]] = set()
    for key, title, values in _candidates(results):
        way = _partition(values)
        if len(set(way)) < 2 or way in seen or len(axes) == _MOST_SETTINGS:
            continue
        shown, axis = _axis(key, title, values)
        if axis is None:
            continue
        seen.add(way)
        axes.append(axis)
        columns.append(shown)
    return axes, columns


def _candidates(results: StudyResults) -> Iterable[tuple[str, str, list[Any]]]:
    networks = results.networks
    for column in results.label_columns:
        yield column, column.removeprefix(LABEL), list(networks[column])
    yield "seed", "seed", list(networks["seed"])
    yield "n_clusters", "clusters", list(networks["n_clusters"])
    configs = {row["run"]: row for row in results.cells.to_dict("records")}
    for name in differing_settings(results):
        for stage in RUNS:
            runs = networks[f"{stage}_run"]
            values = [_of_run(configs, run, name) for run in runs]
            if any(value is not None for value in values):
                title = f"{stage}.{name.removeprefix('config.')}"
                yield title, title, values


def _of_run(configs: Mapping[Any, Mapping[Hashable, Any]], run: Any, name: str) -> Any:
    row = configs.get(run)
    return None if row is None else plain(row.get(name))


def _partition(values: Iterable[Any]) -> tuple[int, ...]:
    """Return which values are equal, as the number of the first of each."""
    first: dict[str, int] = {}
    return tuple(first.setdefault(repr(value), len(first)) for value in values)


def _axis(key: str, title: str, values: list[Any]) -> tuple[list[Any], dict[str, Any] | None]:
    """Return values, and the axis for them: of numbers if all are; None if there are too many."""
    shown = [plain(value) for value in values]
    known = [value for value in shown if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return shown, {"key": key, "title": title}
    words = [None if value is None else _word(value) for value in shown]
    distinct = list(dict.fromkeys(word for word in words if word is not None))
    if len(distinct) > _MOST_VALUES:
        return words, None
    return words, {"key": key, "title": title, "values": distinct}


def _word(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
