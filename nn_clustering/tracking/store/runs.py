"""Several runs: a sequence, a table, the curves of their metrics."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

from nn_clustering.tracking.errors import RunNotFoundError
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.run_ids import RunId, id_text
from nn_clustering.tracking.store.metrics import metric_names, read_curves
from nn_clustering.tracking.store.run import Run

if TYPE_CHECKING:
    from pandas import DataFrame
    from pymongo.database import Database


class Runs(Sequence[Run]):
    """Runs in an order, never changed; a slice of it is one as well."""

    def __init__(self, runs: Sequence[Run], database: Database) -> None:
        """Made by `RunStore.find`."""
        self._runs = tuple(runs)
        self._database = database

    @property
    def ids(self) -> list[RunId]:
        """The runs' ids."""
        return [run.id for run in self._runs]

    def table(self, results: Sequence[str] | None = None, metrics: Sequence[str] = ()) -> DataFrame:
        """One row for each run.

        Args:
            results: Which results to show, dotted ("importance.p_value"); None for all that are
                numbers or texts.
            metrics: Metrics whose last values to show.

        Returns:
            Indexed by run id, with the columns experiment, status, start_time (UTC), duration
            (seconds), tags, `config.KEY` for those keys that differ between runs of the same
            experiment, `result.KEY` and `metric.NAME`; empty where a run has no value.

        Raises:
            InvalidInputError: No run has such a result or metric.
        """
        import pandas as pd

        from nn_clustering.tracking.store.documents import many_objects
        from nn_clustering.tracking.store.tables import table_columns

        with many_objects():
            columns = table_columns(self._database, self._runs, results, metrics)
        table = pd.DataFrame(columns, index=pd.Index(self.ids, name="run"))
        table["start_time"] = pd.to_datetime(table["start_time"], utc=True, errors="coerce")
        return table

    def metric(self, name: str) -> DataFrame:
        """A metric of all runs that have it.

        Returns:
            Columns run, metric, step, value, timestamp (UTC); a row for each point.

        Raises:
            RunNotFoundError: None of the runs has a metric of this name.
        """
        table = read_curves(self._database, self.ids, name)
        if table.empty and self._runs:
            names = metric_names(self._database, self.ids)
            raise RunNotFoundError(
                f"none of these {len(self)} runs has a metric {name!r}; expected one of: "
                f"{', '.join(names) or 'none logged'}"
            )
        return table

    @overload
    def __getitem__(self, index: int) -> Run: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> Run | Runs:
        if isinstance(index, slice):
            return Runs(self._runs[index], self._database)
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Runs, list, tuple)):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Runs([{listed(list(map(id_text, self.ids)))}])"
