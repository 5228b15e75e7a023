"""Preset columns for Omniboard's table of runs, read from a YAML file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.server.connection import checkout_folder

if TYPE_CHECKING:
    from pymongo.database import Database

# Omniboard's own defaults: its page would store them at the first visit, but may only read.
SETTINGS = {"auto_refresh_interval": 30, "initial_fetch_size": 50, "row_height": 70}
# Where Omniboard keeps its columns, and the keys that a column of each kind has.
COLLECTIONS = {
    "metric_columns": ("omniboard.metric.columns", {"name", "metric_name", "extrema"}),
    "config_columns": ("omniboard.custom.columns", {"name", "config_path"}),
}
ENTRY_POINTS = "nn_clustering.omniboard"
EXTREMA = ("min", "max", "avg", "last")
KEYS = (*COLLECTIONS, "first_visit", "plot")
# What a plot of metrics can have along and across.
AXES = {"x_axis": ("steps", "timestamps"), "y_axis": ("linear", "logarithmic")}
# Columns that Omniboard makes itself, each with the field of the run's document that it shows.
OWN_COLUMNS = {
    "_id": "_id",
    "experiment_name": "experiment.name",
    "hostname": "host.hostname",
    "format": "format",
    "command": "command",
    "start_time": "start_time",
    "status": "status",
    "tags": "omniboard.tags",
    "notes": "omniboard.notes",
    "resources": "resources",
    "heartbeat": "heartbeat",
    "duration": "duration",
    "result": "result",
}


def columns_file(root: Path) -> Path | None:
    """The file of preset columns that a project has, None where it has none.

    It is `configs/omniboard_columns.yaml`: in the project's folder, else beside this package in a
    checkout, else in the packages that installed distributions name for it, by an entry point of
    the group `nn_clustering.omniboard`.

    Args:
        root: The project's folder.
    """
    checkout = checkout_folder()
    folders = [root, *([checkout] if checkout else ()), *_packages_with_columns()]
    paths = [folder / "configs" / "omniboard_columns.yaml" for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def _packages_with_columns() -> Iterator[Path]:
    for entry in entry_points(group=ENTRY_POINTS):
        with contextlib.suppress(ImportError):  # its distribution is half removed
            found = find_spec(entry.module)
            yield from map(Path, (found and found.submodule_search_locations) or ())


def preset_columns(database: Database, path: Path | None = None) -> int:
    """Give Omniboard the columns of a YAML file; leaves all columns that users made alone.

    And its settings, where it has none: the time zone of this machine and its own defaults.

    Done twice it changes nothing. A user's column keeps its name: the preset of that name is then
    left out.

    Args:
        database: The database whose runs Omniboard shows.
        path: File with the keys `metric_columns` (name, metric_name, extrema) and
            `config_columns` (name, config_path); None for no columns but Omniboard's own.

    Returns:
        The number of preset columns that the table has.

    Raises:
        InvalidInputError: The file cannot be read or does not hold columns.
    """
    columns = {} if path is None else read_columns(path)
    _preset_settings(database)
    taken = {
        document.get("name"): document["_id"]
        for collection, _ in COLLECTIONS.values()
        for document in database[collection].find({}, {"name": 1})
    }
    count = 0
    for kind, entries in columns.items():
        for column in entries:
            column_id = _column_id(column["name"])
            if taken.get(column["name"], column_id) == column_id:
                collection = database[COLLECTIONS[kind][0]]
                collection.update_one({"_id": column_id}, {"$set": column}, upsert=True)
                count += 1
    return count


def first_visit(path: Path) -> dict[str, Any]:
    """Return which columns a browser shows at its first visit, and which it can show besides.

    Args:
        path: The file of :func:`preset_columns`; its key `first_visit` lists the columns to show,
            in their order, and `plot` the axes of a plot and which metrics it shows.

    Returns:
        Names under `shown` and `hidden`, nothing hidden where the file lists none; under `paths`
        the field of the run's document that a column shows; under `plot` what the file has there.

    Raises:
        InvalidInputError: The file cannot be read or lists a column that there is not.
    """
    columns = read_columns(path)
    paths = {
        **OWN_COLUMNS,
        **{column["name"]: column["name"] for column in columns["metric_columns"]},
        **{column["name"]: column["config_path"] for column in columns["config_columns"]},
    }
    content = _read(path)
    shown = content.get("first_visit") or list(paths)
    unknown = [name for name in shown if name not in paths]
    if unknown:
        raise InvalidInputError(
            f"{path}: first_visit has {unknown[0]!r}; expected columns among {', '.join(paths)}"
        )
    hidden = [name for name in paths if name not in shown]
    plot = dict(content.get("plot") or {})
    return {"shown": list(shown), "hidden": hidden, "paths": paths, "plot": plot}


def read_columns(path: Path) -> dict[str, list[dict[str, str]]]:
    """Read and check a file of preset columns.

    Raises:
        InvalidInputError: The file cannot be read or does not hold columns.
    """
    content = _read(path)
    columns = {kind: list(content.get(kind) or ()) for kind in COLLECTIONS}
    for kind, entries in columns.items():
        for column in entries:
            _check(path, kind, column)
    names = [column["name"] for entries in columns.values() for column in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"{path}: two columns are named {twice[0]!r}; expected one each")
    return columns


_EXPECTED = (
    f"a YAML file with some of the keys {', '.join(KEYS)}, as configs/omniboard_columns.yaml is"
)


def _preset_settings(database: Database) -> None:
    for name, value in {**SETTINGS, "timezone": _timezone()}.items():
        collection = database["omniboard.settings"]
        collection.update_one({"name": name}, {"$setOnInsert": {"value": value}}, upsert=True)


def _timezone(environ: Mapping[str, str] = os.environ) -> str:
    """Name of this machine's time zone as in the tz database, "UTC" where it has none."""
    name = environ.get("TZ", "") or os.path.realpath("/etc/localtime").rpartition("zoneinfo/")[2]
    try:
        return ZoneInfo(name.lstrip(":")).key
    except (ValueError, OSError, ZoneInfoNotFoundError):
        return "UTC"


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except OSError as problem:
        raise InvalidInputError(
            f"{path} cannot be read ({problem.strerror}); expected {_EXPECTED}"
        ) from None
    except (ValueError, yaml.YAMLError) as problem:
        reason = " ".join(str(problem).split())
        raise InvalidInputError(
            f"{path} cannot be read as YAML: {reason}; expected {_EXPECTED}"
        ) from None
    if not isinstance(content, Mapping) or not set(content) <= set(KEYS):
        raise InvalidInputError(f"{path} holds no columns: expected {_EXPECTED}")
    for key in (*COLLECTIONS, "first_visit"):
        if not isinstance(content.get(key) or [], list):
            raise InvalidInputError(f"{path}: {key} has {content[key]!r}; expected a list")
    _check_plot(path, content.get("plot") or {})
    return content


def _check_plot(path: Path, plot: Any) -> None:
    settings = plot if isinstance(plot, Mapping) else {}
    metrics = settings.get("metrics", [])
    are_names = isinstance(metrics, list) and all(isinstance(name, str) for name in metrics)
    are_axes = all(settings.get(axis, known[0]) in known for axis, known in AXES.items())
    if settings != plot or not set(plot) <= {*AXES, "metrics"} or not are_names or not are_axes:
        axes = ", ".join(f"{axis} ({' or '.join(known)})" for axis, known in AXES.items())
        raise InvalidInputError(
            f"{path}: plot has {plot!r}; expected {axes} and metrics, the last words of their names"
        )


def _check(path: Path, kind: str, column: Any) -> None:
    keys = COLLECTIONS[kind][1]
    if not isinstance(column, Mapping) or set(column) != keys:
        raise InvalidInputError(
            f"{path}: {column!r} in {kind} is no column; expected the keys "
            f"{', '.join(sorted(keys))}"
        )
    name = column["name"]
    # Omniboard makes a field of this name, and MongoDB takes these for paths and operators.
    if not isinstance(name, str) or not name or "." in name or name.startswith("$"):
        raise InvalidInputError(
            f"{path}: {name!r} in {kind} cannot name a column; expected a text without '.' or "
            "a leading '$'"
        )
    if kind == "metric_columns" and column["extrema"] not in EXTREMA:
        raise InvalidInputError(
            f"{path}: extrema {column['extrema']!r} of column {name!r}; expected one of "
            f"{', '.join(EXTREMA)}"
        )


def _column_id(name: str) -> Any:
    """A fixed id for each preset, by which it is told from a user's column of the same name."""
    from nn_clustering.tracking.gridfs import digest_id

    return digest_id(f"preset column {name}".encode())
