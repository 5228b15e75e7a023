"""The metrics of runs: curves as tidy tables, and last values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.run_ids import RunId, order_key, read_id, stored_ids
from nn_clustering.tracking.store.documents import read_documents
from nn_clustering.tracking.store.fields import as_list, as_text, as_time

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database

COLUMNS = ("run", "metric", "step", "value", "timestamp")
_FIELDS = {"run_id": 1, "name": 1, "part": 1, "values": 1, "steps": 1, "timestamps": 1}


def read_curves(database: Database, run_ids: Sequence[RunId], name: str | None) -> DataFrame:
    """All points of a metric, run after run, each in the order in which they were logged.

    Args:
        database: Where the runs are.
        run_ids: The runs, in the order that the table shall have.
        name: Name of the metric; None for all metrics.

    Returns:
        Columns run, metric, step, value, timestamp (UTC); a row for each point.
    """
    import pandas as pd

    place = {run_id: index for index, run_id in enumerate(run_ids)}
    documents = sorted(
        _documents(database, place, None if name is None else [name], _FIELDS),
        key=lambda document: (place[document["run_id"]], document["name"], *_part(document)),
    )
    columns: dict[str, list[Any]] = {column: [] for column in COLUMNS}
    for document in documents:
        values = as_list(document.get("values"))
        columns["run"] += [document["run_id"]] * len(values)
        columns["metric"] += [document["name"]] * len(values)
        columns["value"] += values
        for column in ("step", "timestamp"):
            given = as_list(document.get(f"{column}s"))[: len(values)]
            columns[column] += given + [None] * (len(values) - len(given))
    table = pd.DataFrame({**columns, "timestamp": None})
    table["timestamp"] = pd.to_datetime(_times(columns["timestamp"]), utc=True, errors="coerce")
    return table


def _times(given: list[Any]) -> list[Any]:
    """Dates, and texts of dates; what is neither becomes None."""
    if set(map(type, given)) <= {datetime, type(None)}:
        return given
    return [as_time(time) for time in given]


def _documents(
    database: Database,
    run_ids: Iterable[RunId],
    names: Iterable[str] | None,
    fields: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """The documents of runs' metrics, with ids and names as they are read."""
    wanted = set(run_ids)
    query: dict[str, Any] = {"run_id": {"$in": stored_ids(wanted)}}
    if names is not None:
        query["name"] = {"$in": [name for name in names if isinstance(name, str)]}
    documents = read_documents(database["metrics"], query, fields)
    for document in documents:
        document["run_id"] = read_id(document.get("run_id"))
        document["name"] = as_text(document.get("name"))
    # MongoDB finds what lists hold as well.
    return [document for document in documents if document["run_id"] in wanted]


def last_values(
    database: Database, run_ids: Iterable[RunId], names: Iterable[str] | None = None
) -> dict[RunId, dict[str, Any]]:
    """The last value of each metric, by run and name.

    Args:
        database: Where the runs are.
        run_ids: The runs.
        names: Names of the metrics; None for all.
    """
    fields = {"run_id": 1, "name": 1, "part": 1, "values": {"$slice": -1}}
    found: dict[RunId, dict[str, Any]] = {}
    for document in sorted(_documents(database, run_ids, names, fields), key=_part):
        for value in as_list(document.get("values")):
            found.setdefault(document["run_id"], {})[document["name"]] = value
    return found


def metric_names(database: Database, run_ids: Iterable[RunId]) -> list[str]:
    """Names of all metrics that the runs logged."""
    query = {"run_id": {"$in": stored_ids(run_ids)}}
    return sorted(map(as_text, database["metrics"].distinct("name", query)))


def _part(document: Mapping[str, Any]) -> tuple[int, Any]:
    """Where the document stands among those of one run and name."""
    part = document.get("part")
    return part if isinstance(part, int) else 0, order_key(read_id(document["_id"]))
