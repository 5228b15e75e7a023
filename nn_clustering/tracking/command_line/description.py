"""One run as the lines of a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.printing import (
    format_seconds,
    format_size,
    format_value,
    printable,
    table_lines,
)
from nn_clustering.tracking.run_ids import id_text
from nn_clustering.tracking.store.fields import as_text, as_time
from nn_clustering.tracking.store.tables import leaves

if TYPE_CHECKING:
    from nn_clustering.tracking.store.lineage import Lineage
    from nn_clustering.tracking.store.liveness import UndeliveredRun
    from nn_clustering.tracking.store.run import Run

OUTPUT_LINES = 10


def describe_run(
    run: Run, lineage: Lineage, undelivered: UndeliveredRun | None = None
) -> list[str]:
    """The lines that `show` prints."""
    status = shown_status(run, undelivered)
    lines = [printable(f"run {id_text(run.id)}: {run.experiment}, {status}")]
    facts = {
        "started": f"{format_value(run.start_time)} UTC" if run.start_time else "",
        "took": format_seconds(run.duration),
        "host": printable(run.host),
        "tags": printable(", ".join(run.tags)),
        "imported": _origin(run),
    }
    lines += [f"  {name:<10}{fact}" for name, fact in facts.items() if fact]
    lines += _section("failure", [printable(run.failure())] if run.failure() else [])
    lines += _section("storing it", map(printable, run.problems()))
    lines += _section("notes", map(printable, run.notes.splitlines()))
    lines += _section("result", _pairs(_short(leaves(run.result, "result"))))
    lines += _section("metrics, last values", _pairs(run.last_values()))
    lines += _section("config", _pairs(_short(leaves(run.config, "config"))))
    lines += _section("about", _pairs(_short(leaves(run.about, "about"))))
    lines += _section("artifacts", _artifact_lines(run))
    lines += _section("dropped artifacts", _dropped_lines(run))
    lines += _section("read", (_lineage_line(node) for node in lineage.reads))
    lines += _section("was read by", (_lineage_line(node) for node in lineage.read_by))
    output = [printable(line) for line in last_lines(run.output())]
    return lines + _section(f"output, last {len(output)} lines", output)


def _origin(run: Run) -> str:
    """Which run of which store it was, for one that was imported."""
    origin = run.origin
    if "key" not in origin:
        return ""
    store = as_text(origin.get("store"))
    of_store = f" of store {store[:12]}" if store else ""
    return printable(
        f"{format_value(as_time(origin.get('imported')))} UTC, was run "
        f"{as_text(origin.get('id'))}{of_store}"
    )


def shown_status(run: Run, undelivered: UndeliveredRun | None) -> str:
    """A run's status, where it is not known here that it is no longer true."""
    return "UNDELIVERED" if undelivered is not None and run.status == "RUNNING" else run.status


def _section(title: str, lines: Any) -> list[str]:
    indented = [f"  {line}" for line in lines]
    return [title, *indented] if indented else []


def _pairs(values: Mapping[str, Any]) -> list[str]:
    width = max(map(len, values), default=0)
    return [
        f"{printable(key):<{width}}  {'None' if value is None else format_value(value)}"
        for key, value in values.items()
    ]


def _short(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without the first part of the keys, which the title says already."""
    return {key.partition(".")[2] or key: value for key, value in values.items()}


def _artifact_lines(run: Run) -> list[str]:
    columns: dict[str, list[str]] = {"name": [], "size": [], "sha256": []}
    for file in run.artifact_info():
        columns["name"].append(printable(file.name))
        columns["size"].append(format_size(file.size))
        columns["sha256"].append((file.sha256 or "")[:12])
    return table_lines(columns)[1:] if columns["name"] else []


def _dropped_lines(run: Run) -> list[str]:
    columns: dict[str, list[str]] = {"name": [], "size": [], "dropped": []}
    for file in run.dropped().values():
        columns["name"].append(printable(file.name))
        columns["size"].append(format_size(file.size))
        columns["dropped"].append(f"dropped {format_value(file.dropped)} UTC")
    return table_lines(columns)[1:] if columns["name"] else []


def _lineage_line(node: Lineage) -> str:
    return printable(f"{id_text(node.run)} {node.experiment} {node.status} ({node.key})")


def last_lines(text: str) -> list[str]:
    """The end of what a run printed."""
    return text.rstrip().splitlines()[-OUTPUT_LINES:]
