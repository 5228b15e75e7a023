"""Running a stored run's program again, and comparing what comes out."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from nn_clustering.tracking.errors import InvalidInputError, TrackingError
from nn_clustering.tracking.execution_keys import NO_REUSE
from nn_clustering.tracking.printing import (
    cut,
    fitted_lines,
    format_value,
    printable,
    terminal_width,
)
from nn_clustering.tracking.run_ids import by_id, id_text, read_id, stored_ids
from nn_clustering.tracking.store.metrics import read_curves
from nn_clustering.tracking.store.originals import SOURCE, file_entries
from nn_clustering.tracking.store.stored_programs import (
    StoredProgram,
    changed_packages,
    write_program,
)
from nn_clustering.tracking.store.tables import ABSENT, differences
from nn_clustering.tracking.writing.journal_place import PLACE_VARIABLE

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run import Run
    from nn_clustering.tracking.store.run_store import RunStore

_STILL_ON = ("RUNNING", "QUEUED")


def run_again(store: RunStore, run: Run, to: str | None, start_in: str | None) -> int:
    """Run a stored program again with its stored config, and print how the new run compares.

    Args:
        store: The stored runs.
        run: The run.
        to: The folder that the program is written to; None for one that goes at the end.
        start_in: The folder that it is started in; None for that which it is written to.

    Returns:
        0 where result and metrics are equal, else 1.

    Raises:
        InvalidInputError: A folder cannot be used.
        TrackingError: The run has not ended, or its program is not stored whole, or has stored no
            run here.
    """
    if run.status in _STILL_ON:
        raise TrackingError(f"run {id_text(run.id)} is {run.status}; expected a run that has ended")
    start = None if start_in is None else Path(start_in).resolve()
    if start is not None and not start.is_dir():
        raise InvalidInputError(
            f"--start-in {start_in}: there is no such folder; expected the one with the files that "
            "it finds by relative paths"
        )
    with _folder(to) as folder:
        program = write_program(store.database, run, folder)
        _tell_packages(store, run)
        name = program.program.relative_to(folder)
        print(printable(f"run {id_text(run.id)} again: {name}, in {folder}"), flush=True)
        again = _new_run(store, run, program, start)
    return _compare(store, run, again)


@contextlib.contextmanager
def _folder(given: str | None) -> Iterator[Path]:
    """An empty folder for the program: the given one, else one that goes at the end.

    Raises:
        InvalidInputError: The given one is not empty, or cannot be made.
    """
    if given is None:
        with tempfile.TemporaryDirectory(prefix="rerun_") as place:
            yield Path(place).resolve()
        return
    folder = Path(given)
    try:
        if not given.strip() or (folder.exists() and any(folder.iterdir())):
            raise InvalidInputError(f"--to {given!r}: expected an empty folder, or a new one")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InvalidInputError(
            f"--to {given}: cannot be made ({problem.strerror}); expected an empty folder, or a "
            "new one"
        ) from None
    yield folder.resolve()


def _tell_packages(store: RunStore, run: Run) -> None:
    """Say which versions are others than they were, before anything is run."""
    document = store.database["runs"].find_one(by_id(run.id), {"experiment": 1, "host": 1}) or {}
    host, experiment = document.get("host"), document.get("experiment")
    changed = changed_packages(experiment) if isinstance(experiment, Mapping) else {}
    python = host.get("python_version") if isinstance(host, Mapping) else None
    here = ".".join(map(str, sys.version_info[:3]))
    if isinstance(python, str) and python != here:
        changed = {"python": (python, here), **changed}
    for name, (then, now) in changed.items():
        print(printable(f"{name} was {then}, is {now}"))


def _new_run(store: RunStore, run: Run, program: StoredProgram, start: Path | None) -> Run:
    """Run the program to its end; returns its run.

    Raises:
        TrackingError: It has stored none.
    """
    # By which its run is found, whatever observer of ours has stored it.
    comment = f"rerun of run {id_text(run.id)} ({secrets.token_hex(4)})"
    with tempfile.TemporaryDirectory() as place:
        config = Path(place, f"rerun_of_{_in_letters(run.id)}.yaml")
        config.write_text(yaml.safe_dump(_config(run, program), sort_keys=False), encoding="utf-8")
        ended = subprocess.run(
            [
                sys.executable, *program.arguments, program.command, "with", str(config),
                "--comment", comment,
            ],
            cwd=start or program.base,
            env=_environment(store, program),
            stdin=subprocess.DEVNULL,
            check=False,
        )  # fmt: skip
    # The runs of a stage's parts have it, too.
    mine = {"meta.comment": comment, "experiment.name": run.experiment}
    found = store.database["runs"].find_one(mine, {"_id": 1})
    if found is None:
        raise TrackingError(
            f"the program of run {id_text(run.id)} ended with status {ended.returncode} and has "
            f"stored no run in database {store.database.name!r}: see above; expected one that is "
            "tracked here and finds its files (--start-in)"
        )
    return store.run(found["_id"], status=None)


def _config(run: Run, program: StoredProgram) -> dict[str, Any]:
    """The stored config, with which a stage runs once, and really."""
    config = {name: _written(value, id_text(run.id), name) for name, value in run.config.items()}
    if program.is_stage:
        runs_once = {"reuse": False, "tags": [], "n_repeats": 1}
        config.update({key: value for key, value in runs_once.items() if key in config})
    return config


def _written(value: Any, run: str, name: str) -> Any:
    """A value of a stored config as a config's file holds it.

    Raises:
        TrackingError: No such file can hold it.
    """
    if isinstance(value, dict):
        return {str(key): _written(entry, run, f"{name}.{key}") for key, entry in value.items()}
    if isinstance(value, list):
        return [_written(entry, run, name) for entry in value]
    if value is None or type(value) in (bool, float, str, bytes, datetime):
        return value
    if isinstance(value, int):
        return int(value)  # large ones are of the driver's own kind
    raise TrackingError(
        f"key {name!r} in the config of run {run} holds a {type(value).__name__}; expected what a "
        "YAML file can hold"
    )


def _environment(store: RunStore, program: StoredProgram) -> dict[str, str]:
    path = [str(program.base), os.environ.get("PYTHONPATH", "")]
    is_given = os.environ.get(PLACE_VARIABLE, "").strip()  # perhaps from the current folder on
    return {
        **os.environ,
        **({PLACE_VARIABLE: str(store.journal_root)} if is_given else {}),
        # Before what is installed, which can hold a later version of the same modules.
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        NO_REUSE: "1",
        "NN_CLUSTERING_HOME": str(store.root.resolve()),
    }


def _in_letters(run_id: Any) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in str(run_id))[:50]


def _compare(store: RunStore, run: Run, again: Run) -> int:
    """Print what differs; returns 1 where anything does."""
    rows = _differences(store, run, again)
    code = _changed_code(store, run, again)
    if code:
        print(printable(f"other code than stored was run: {', '.join(code)}"))
    if not rows:
        print(f"run {id_text(again.id)} has the same result and metrics as run {id_text(run.id)}")
        return 0
    columns = {
        "key": [printable(key) for key in rows],
        "then": [_shown(then) for then, _ in rows.values()],
        "now": [_shown(now) for _, now in rows.values()],
    }
    print(f"run {id_text(again.id)} differs from run {id_text(run.id)}:")
    lines = fitted_lines(columns, terminal_width(), 1, ["then", "now"], "see compare --json")
    print("\n".join(cut(line, terminal_width()) for line in lines))
    return 1


def _differences(store: RunStore, run: Run, again: Run) -> dict[str, tuple[Any, Any]]:
    """What differs of status, config, result and metrics, then and now."""
    rows: dict[str, tuple[Any, Any]] = {}
    if run.status != again.status:
        rows["status"] = (run.status, again.status)
    for key, (then, now) in differences([run, again]).items():
        # A run of several stages has run these again, too.
        if not any(
            value == then and again.lineage.get(name) == now for name, value in run.lineage.items()
        ):
            rows[key] = (then, now)
    curves = [_curves(store, each.id) for each in (run, again)]
    for name in dict.fromkeys([*curves[0], *curves[1]]):
        then, now = (curve.get(name, ABSENT) for curve in curves)
        if then is ABSENT or now is ABSENT or then != now:
            rows[f"metric {name}"] = (_last(then), _last(now))
    return rows


def _curves(store: RunStore, run_id: Any) -> dict[str, list[str]]:
    """Steps and values of each metric, as texts: NaN is NaN."""
    table = read_curves(store.database, [run_id], None)
    return {
        str(name): [
            f"{value!r} at {step!r}"
            for value, step in zip(points["value"], points["step"], strict=True)
        ]
        for name, points in table.groupby("metric", sort=False)
    }


def _last(curve: Any) -> Any:
    if curve is ABSENT:
        return ABSENT
    return f"{curve[-1] if curve else 'none'}, {len(curve)} points"


def _changed_code(store: RunStore, run: Run, again: Run) -> list[str]:
    """Names of sources that the second run did not have as the first."""
    found = store.database["runs"].find(
        {"_id": {"$in": stored_ids([run.id, again.id])}}, {"experiment.sources": 1}
    )
    names = {read_id(document["_id"]): _digests(store, document) for document in found}
    then, now = names.get(run.id, {}), names.get(again.id, {})
    return sorted(name for name in then.keys() & now.keys() if then[name] != now[name])


def _digests(store: RunStore, document: Mapping[str, Any]) -> dict[str, str]:
    entries = [entry for entry in file_entries(document) if entry[0] == SOURCE]
    sources = {read_id(file_id): name for _, file_id, name in entries}
    query = {"_id": {"$in": stored_ids(file_id for _, file_id, _ in entries)}}
    files = store.database["fs.files"].find(query, {"md5": 1})
    return {sources[read_id(file["_id"])]: str(file.get("md5")) for file in files}


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "-"
    if isinstance(value, float):
        return repr(value)  # what differs may do so in the last digit
    return "None" if value is None else format_value(value)
