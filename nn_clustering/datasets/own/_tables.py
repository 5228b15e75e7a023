"""Reading data of a table: rows are samples, columns features, and classes or targets."""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._checksums import sha256_of
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets._samples import Samples, chosen
from nn_clustering.datasets.own._arrays import labels_of
from nn_clustering.datasets.own._finishing import finished, outline_of
from nn_clustering.datasets.own._request import Request
from nn_clustering.datasets.own._streams import StreamedSamples
from nn_clustering.errors import InvalidInputError, did_you_mean, in_one_line
from nn_clustering.machine import in_units, memory_bytes

if TYPE_CHECKING:
    import pyarrow
    from numpy.typing import NDArray

# Columns that hold classes or targets where none is named.
_USUAL = ("label", "target", "class", "y")
SPLIT = "split"
_SPLITS = ("train", "test")
# Rows that are read at a time.
_ROWS = 2**14
# Features of more bytes are read when they are needed.
_IN_MEMORY = 2**30
_LONGEST_LIST = 12


@dataclass(frozen=True)
class Columns:
    """What the columns of a table are.

    Attributes:
        features: Names of those with features.
        targets: Names of those with classes or targets.
        split: Name of the one that says train or test, if there is one.
        task: "classification" or "regression".
    """

    features: tuple[str, ...]
    targets: tuple[str, ...]
    split: str | None
    task: str


@dataclass(frozen=True)
class Table:
    """A table that is read in blocks of rows.

    Attributes:
        path: Of its file.
        schema: Names and types of its columns.
        batches: Reads some columns, a block of rows after the other.
    """

    path: Path
    schema: pyarrow.Schema
    batches: Callable[[Sequence[str]], Iterator[pyarrow.RecordBatch]]


def outline(request: Request) -> Outline:
    """Return what is known of it without reading its rows.

    Raises:
        InvalidInputError: If it is no table, or its columns are not those that are expected.
    """
    with _reading(request.file):
        schema = _schema_of(request.file)
    columns = _columns(request, schema)
    if columns.task == "classification":
        return Outline(request.name, columns.task, (len(columns.features),))
    shape = (len(columns.features),)
    known = outline_of(request, columns.task, shape, columns.targets, 0)
    return replace(known, n_train=None)


def read(request: Request) -> Dataset:
    """Read it; features that take a gigabyte, when they are needed.

    Raises:
        InvalidInputError: If it is damaged, its columns are not those that are expected, or cells
            are empty or no finite numbers and such rows are not to be skipped.
    """
    with _reading(request.file):
        table = _table_of(request.file)
        columns = _columns(request, table.schema)
        rows = _looked_at(request, table, columns)
        x = _features(request, table, columns, rows)
    ys = {split: rows.y[rows.of_split(split)] for split in _SPLITS}
    labels = labels_of(request.name, {f"y_{split}": y for split, y in ys.items() if len(y)})
    names = labels.names if columns.task == "classification" else columns.targets
    sha = hashlib.sha256(sha256_of(request.file).encode())
    sha.update(repr((columns, request.settings.skips_damaged)).encode())
    train = rows.of_split("train")
    y_test = labels.y["y_test"]
    dataset = Dataset(
        request.name,
        chosen(x, train) if len(train) else np.empty((0, len(columns.features)), np.float32),
        labels.y.get("y_train", y_test[:0]),
        chosen(x, rows.of_split("test")),
        y_test,
        names,
        task=labels.task,
        white=None,
        source_digest=sha.hexdigest(),
        skipped=rows.skipped,
    )
    return finished(dataset, request)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say in one line what is the matter with a file."""
    try:
        yield
    except InvalidInputError:
        raise
    except Exception as error:  # whatever Arrow or the disk object to
        raise InvalidInputError(
            f"{path} cannot be read ({in_one_line(error)}); expected a table with one row a "
            "sample, the names of the columns in the first line of a CSV file"
        ) from error


def _is_csv(path: Path) -> bool:
    return path.suffix.lower() == ".csv"


def _schema_of(path: Path) -> pyarrow.Schema:
    if not _is_csv(path):
        from pyarrow import parquet

        return parquet.read_schema(path)
    from pyarrow import csv

    with csv.open_csv(path) as file:
        return file.schema


def _table_of(path: Path) -> Table:
    if not _is_csv(path):
        from pyarrow import parquet

        def batches(columns: Sequence[str]) -> Iterator[pyarrow.RecordBatch]:
            with parquet.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=_ROWS, columns=list(columns))

        return Table(path, parquet.read_schema(path), batches)
    table = _read_csv(path)
    return Table(
        path,
        table.schema,
        lambda columns: iter(table.select(list(columns)).to_batches(max_chunksize=_ROWS)),
    )


def _read_csv(path: Path) -> pyarrow.Table:
    from pyarrow import csv

    n_bytes = path.stat().st_size
    if n_bytes > memory_bytes() / 4:
        raise InvalidInputError(
            f"{path} has {in_units(n_bytes)}, and there are {in_units(memory_bytes())} of memory; "
            "expected a quarter of that at most: write it as a .parquet file, which is read piece "
            "by piece"
        )
    # in one block, so that a column's type is told by all of it
    options = csv.ReadOptions(block_size=min(max(n_bytes, 2**20), 2**31 - 1))
    return csv.read_csv(path, read_options=options)


def _columns(request: Request, schema: pyarrow.Schema) -> Columns:
    names = list(schema.names)
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInputError(
            f"{request.file} has two columns {twice!r}; expected different names"
        )
    targets = _targets(request, names)
    split = SPLIT if SPLIT in names and SPLIT not in targets and _is_text(schema, SPLIT) else None
    features = tuple(name for name in names if name not in (*targets, split))
    texts = [name for name in features if not _is_number(schema, name)]
    if texts:
        raise InvalidInputError(
            f"{request.file}: {_listed(texts)} {'is' if len(texts) == 1 else 'are'} of "
            f"{schema.field(texts[0]).type}, not of numbers; expected features that are numbers: "
            "encode such columns as numbers, or leave them out"
        )
    if not features:
        raise InvalidInputError(
            f"{request.file} has no columns besides {_listed(targets)}; expected features"
        )
    return Columns(features, targets, split, _task(request, schema, targets))


def _targets(request: Request, names: Sequence[str]) -> tuple[str, ...]:
    asked = request.settings.targets
    if asked is None:
        usual = [name for name in names if name.lower() in _USUAL]
        if len(usual) == 1:
            return (usual[0],)
        why = f"{_listed(usual)} may each hold it" if usual else "none is called label or target"
        raise InvalidInputError(
            f"dataset.targets=None with {request.name}: which column is predicted is not known, "
            f"{why}; expected dataset.targets=COLUMN or [COLUMN,COLUMN], of {_listed(names)}"
        )
    targets = _listed_in(asked, names)
    for name in targets:
        if name not in names:
            raise InvalidInputError(
                f"dataset.targets={asked!r}: {request.name} has no column {name!r}"
                f"{did_you_mean(str(name), names)}; expected some of {_listed(names)}"
            )
    if not targets or len(set(targets)) < len(targets):
        raise InvalidInputError(
            f"dataset.targets={asked!r}; expected columns, each once, of {_listed(names)}"
        )
    return tuple(targets)


def _listed_in(asked: Any, names: Sequence[str]) -> list[Any]:
    """Return the columns of a list, or of a text that is one: words need no quotes in a shell."""
    if isinstance(asked, list | tuple):
        return list(asked)
    if isinstance(asked, str) and asked not in names and asked[:1] + asked[-1:] == "[]":
        return [name.strip(" '\"") for name in asked[1:-1].split(",")]
    return [asked]


def _task(request: Request, schema: pyarrow.Schema, targets: Sequence[str]) -> str:
    from pyarrow import types

    if len(targets) == 1:
        kind = schema.field(targets[0]).type
        is_real = types.is_floating(kind) or types.is_decimal(kind)
        if not (is_real or types.is_integer(kind) or types.is_boolean(kind)
                or _is_text(schema, targets[0])):  # fmt: skip
            raise InvalidInputError(
                f"{request.file}: the target {targets[0]!r} is of {kind}; expected whole numbers "
                "or texts (classes), or floats (a regression)"
            )
        return "regression" if is_real else "classification"
    for name in targets:
        if not _is_number(schema, name):
            raise InvalidInputError(
                f"{request.file}: the target {name!r} is of {schema.field(name).type}; expected "
                "numbers where there are several targets, or one column of classes"
            )
    return "regression"


def _is_text(schema: pyarrow.Schema, name: str) -> bool:
    from pyarrow import types

    kind = schema.field(name).type
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_number(schema: pyarrow.Schema, name: str) -> bool:
    from pyarrow import types

    kind = schema.field(name).type
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_decimal(kind)
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _LONGEST_LIST} more" if len(names) > _LONGEST_LIST else ""
    return ", ".join(map(repr, names[:_LONGEST_LIST])) + more


@dataclass(frozen=True, eq=False)
class Rows:
    """What is known of the rows of a table, besides their features.

    Attributes:
        y: Classes or targets, a row each.
        is_train: Whether a row is of the train part.
        kept: Numbers of the rows that are used.
        skipped: Names of the others.
    """

    y: NDArray[Any]
    is_train: NDArray[np.bool_]
    kept: NDArray[np.int64]
    skipped: tuple[str, ...]

    def of_split(self, split: str) -> NDArray[np.int64]:
        """Return the numbers of the rows of a split that are used."""
        is_of_split: NDArray[np.bool_] = self.is_train[self.kept] == (split == "train")
        return self.kept[is_of_split]


def _looked_at(request: Request, table: Table, columns: Columns) -> Rows:
    """Look at all cells once."""
    names = [*columns.features, *columns.targets, *([columns.split] if columns.split else [])]
    targets: list[NDArray[Any]] = []
    splits: list[NDArray[np.bool_]] = []
    skipped: dict[int, str] = {}
    start = 0
    for batch in table.batches(names):
        wrong = _unusable(batch, columns, start)
        if wrong and not request.settings.skips_damaged:
            row, why = next(iter(wrong.items()))
            raise InvalidInputError(
                f"{table.path}: {why} in row {row + 1}; expected a value in every cell, or "
                "dataset.damaged=skip to leave out such rows"
            )
        skipped |= wrong
        targets.append(_target_values(batch, columns))
        splits.append(_is_train(table.path, batch, columns, start))
        start += batch.num_rows
    kept = np.setdiff1d(np.arange(start), np.fromiter(skipped, np.int64, len(skipped)))
    rows = Rows(
        np.concatenate(targets) if targets else np.empty(0),
        np.concatenate(splits) if splits else np.empty(0, bool),
        kept,
        tuple(f"row {row + 1} ({why})" for row, why in skipped.items()),
    )
    if not len(rows.of_split("test")):
        raise InvalidInputError(
            f"{table.path} has no rows {'of the split test' if columns.split else 'to test on'}; "
            "expected one at least"
        )
    return rows


def _unusable(batch: pyarrow.RecordBatch, columns: Columns, start: int) -> dict[int, str]:
    """Return what is the matter with rows of a block, by number, those in order."""
    found: dict[int, str] = {}
    x = _matrix(batch, columns.features)
    for row, column in zip(*np.nonzero(~np.isfinite(x)), strict=True):
        found.setdefault(
            start + int(row), f"no finite number in column {columns.features[column]!r}"
        )
    for name in columns.targets:
        values = batch.column(name)
        empty = values.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        if columns.task == "regression":
            empty |= ~np.isfinite(_matrix(batch, [name])[:, 0])
        for row in np.flatnonzero(empty):
            found.setdefault(start + int(row), f"no value in column {name!r}")
    return dict(sorted(found.items()))


def _matrix(batch: pyarrow.RecordBatch, names: Sequence[str]) -> NDArray[np.float32]:
    """Return columns of numbers as float32, NaN where a cell is empty."""
    import pyarrow as pa

    found = np.empty((batch.num_rows, len(names)), np.float32)
    for index, name in enumerate(names):
        values = batch.column(name)
        if not pa.types.is_floating(values.type):
            values = values.cast(pa.int8() if pa.types.is_boolean(values.type) else values.type)
            values = values.cast(pa.float64(), safe=False)
        found[:, index] = values.to_numpy(zero_copy_only=False)
    return found


def _target_values(batch: pyarrow.RecordBatch, columns: Columns) -> NDArray[Any]:
    import pyarrow as pa

    if columns.task == "regression":
        return _matrix(batch, columns.targets)
    values = batch.column(columns.targets[0])
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    is_text = not pa.types.is_integer(values.type)
    filled = values.fill_null("" if is_text else 0)
    found: NDArray[Any] = filled.to_numpy(zero_copy_only=False)
    return found.astype(str) if is_text else found


def _is_train(
    path: Path, batch: pyarrow.RecordBatch, columns: Columns, start: int
) -> NDArray[np.bool_]:
    if columns.split is None:
        return np.zeros(batch.num_rows, bool)
    values = batch.column(columns.split).to_pylist()
    for row, value in enumerate(values):
        if value not in _SPLITS:
            raise InvalidInputError(
                f"{path}: {value!r} in column {SPLIT!r} in row {start + row + 1}; expected train "
                "or test (rename the column if it is a feature)"
            )
    return np.array([value == "train" for value in values], bool)


def _features(request: Request, table: Table, columns: Columns, rows: Rows) -> Samples:
    """Return the features of all rows, read now if they are few."""
    n_features = len(columns.features)
    shape = (len(rows.y), n_features)

    def blocks() -> Iterator[NDArray[Any]]:
        for batch in table.batches(columns.features):
            yield _matrix(batch, columns.features)

    if _is_csv(table.path) or 4 * math.prod(shape) <= min(_IN_MEMORY, memory_bytes() / 8):
        return np.concatenate(list(blocks()))
    return StreamedSamples(request.name, blocks, shape, np.dtype(np.float32))
