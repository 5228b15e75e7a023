"""The metrics of runs: curves as tidy tables, and last values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database

COLUMNS = ("run", "metric", "step", "value", "timestamp")


def read_curves(database: Database, run_ids: Sequence[int], name: str | None) -> DataFrame:
    """All points of a metric, run after run, each in the order in which they were logged.

    Args:
        database: Where the runs are.
        run_ids: The runs, in the order that the table shall have.
        name: Name of the metric; None for all metrics.

    Returns:
        Columns run, metric, step, value, timestamp (UTC); a row for each point.
    """
    import pandas as pd

    query: dict[str, Any] = {"run_id": {"$in": list(run_ids)}}
    if name is not None:
        query["name"] = {"$eq": name}
    place = {run_id: index for index, run_id in enumerate(run_ids)}
    documents = sorted(
        database["metrics"].find(query),
        key=lambda document: (place[document["run_id"]], document["name"], *_part(document)),
    )
    columns: dict[str, list[Any]] = {column: [] for column in COLUMNS}
    for document in documents:
        values = document.get("values") or []
        columns["run"] += [document["run_id"]] * len(values)
        columns["metric"] += [document["name"]] * len(values)
        columns["value"] += values
        for column in ("step", "timestamp"):
            given = (document.get(f"{column}s") or [])[: len(values)]
            columns[column] += given + [None] * (len(values) - len(given))
    table = pd.DataFrame(columns)
    table["timestamp"] = pd.to_datetime(table["timestamp"], utc=True)
    return table


def last_values(
    database: Database, run_ids: Iterable[int], names: Iterable[str] | None = None
) -> dict[int, dict[str, Any]]:
    """The last value of each metric, by run and name.

    Args:
        database: Where the runs are.
        run_ids: The runs.
        names: Names of the metrics; None for all.
    """
    query: dict[str, Any] = {"run_id": {"$in": list(run_ids)}}
    if names is not None:
        query["name"] = {"$in": list(names)}
    fields = {"run_id": 1, "name": 1, "part": 1, "values": {"$slice": -1}}
    found: dict[int, dict[str, Any]] = {}
    for document in sorted(database["metrics"].find(query, fields), key=_part):
        for value in document.get("values") or ():
            found.setdefault(document["run_id"], {})[document["name"]] = value
    return found


def metric_names(database: Database, run_ids: Iterable[int]) -> list[str]:
    """Names of all metrics that the runs logged."""
    return sorted(database["metrics"].distinct("name", {"run_id": {"$in": list(run_ids)}}))


def _part(document: Mapping[str, Any]) -> tuple[int, Any]:
    """Where the document stands among those of one run and name."""
    return document.get("part") or 0, document["_id"]
