"""Tables of what a stage has found, as CSV for people and as Parquet for programs."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas

    from nn_clustering.tracking import StageRun

# Rows that spreadsheets open, under a row of names: longer tables are for programs alone.
MOST_CSV_ROWS = 1_048_575


def add_table(run: StageRun, name: str, table: pandas.DataFrame) -> None:
    """Store a table with the run, as CSV for people and as Parquet for programs."""
    add_long_table(run, name, [table], len(table))


def add_long_table(
    run: StageRun, name: str, tables: Iterable[pandas.DataFrame], n_rows: int
) -> None:
    """Store a table that can have millions of rows: one too long for people has no CSV.

    Args:
        run: The run.
        name: Of the files, without what they end with.
        tables: The rows, some at a time, all with the same columns.
        n_rows: Number of rows in all.
    """
    import pyarrow
    from pyarrow import parquet

    content, text = io.BytesIO(), io.StringIO()
    with contextlib.ExitStack() as stack:
        writer = None
        for table in tables:
            rows = pyarrow.Table.from_pandas(table, preserve_index=False)
            if n_rows <= MOST_CSV_ROWS:
                table.to_csv(text, index=False, header=writer is None)
            if writer is None:
                writer = stack.enter_context(parquet.ParquetWriter(content, rows.schema))
            writer.write_table(rows)
    if n_rows <= MOST_CSV_ROWS:
        run.add_artifact(f"{name}.csv", text.getvalue().encode())
    run.add_artifact(f"{name}.parquet", content.getvalue())
