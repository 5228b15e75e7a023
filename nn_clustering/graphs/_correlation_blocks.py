"""Squared correlations between the units of every two layers, block by block."""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.graphs._tables import Table, columns_at_once, parts, table_like
from nn_clustering.threads import one_thread

# Units that are multiplied with all others of a layer at once.
_UNITS_AT_ONCE = 512

# Values of all units that are multiplied at once; a table on disk is read so much at a time.
_VALUES_AT_ONCE = 2**24


def layer_pairs(n_layers: int) -> list[tuple[int, int]]:
    """Return every two layers and every layer with itself, in the order of the blocks."""
    return list(combinations_with_replacement(range(n_layers), 2))


@contextmanager
def own_threads() -> Iterator[Executor]:
    """Give threads of our own, one for each product.

    The sums then do not depend on how many there are.
    """
    import joblib

    with one_thread(), ThreadPoolExecutor(joblib.cpu_count()) as pool:
        yield pool


def linear_blocks(tables: Sequence[Table], *, of_ranks: bool) -> list[NDArray[np.float32]]:
    """Return the squared correlations of the values, or of their ranks, for every two layers.

    Blocks within a layer are exactly symmetric, with a zero diagonal.
    """
    sizes = [table.shape[1] for table in tables]
    products = Products(sizes, np.float32)
    with own_threads() as pool:
        standard = [_standardised(table, pool, of_ranks=of_ranks) for table in tables]
        for rows in parts(len(tables[0]), max(_VALUES_AT_ONCE // sum(sizes), 1)):
            products.add([table[rows, :] for table in standard], pool)
        square(products.blocks, pool)
    return products.blocks


class Products:
    """Sums over samples of the products of every two units, of every two layers.

    Attributes:
        blocks: One for every two layers; in those within a layer the lower half means nothing.
    """

    def __init__(self, n_units: Sequence[int], dtype: type[np.floating[Any]]) -> None:
        """Begin with 0."""
        pairs = layer_pairs(len(n_units))
        self.blocks = [np.zeros((n_units[a], n_units[b]), dtype) for a, b in pairs]
        self._is_empty = True

    def add(self, values: Sequence[NDArray[Any]], pool: Executor) -> None:
        """Add those of some samples, for each layer of shape (samples, units)."""

        def add(task: _Task) -> None:
            left, right = values[task.source][:, task.units].T, values[task.target][:, task.others]
            if self._is_empty:
                np.matmul(left, right, out=task.part)
            else:
                task.part[:] += left @ right

        list(pool.map(add, _tasks(self.blocks)))
        self._is_empty = False


def square(blocks: Sequence[NDArray[np.float32]], pool: Executor) -> None:
    """Square correlations in their place, and make those within a layer symmetric."""

    def square(task: _Task) -> None:
        square_in_place(task.part)
        if task.source == task.target:
            units, block = task.units, task.block
            own = block[units, units]
            own[:] = (own + own.T) / 2
            np.fill_diagonal(own, 0)
            block[units.stop :, units] = block[units, units.stop :].T

    list(pool.map(square, _tasks(blocks)))


def square_in_place(correlations: NDArray[np.floating]) -> None:
    """Square correlations in their place, with 1 as the most that rounding may make of them."""
    np.square(correlations, out=correlations)
    np.minimum(correlations, 1, out=correlations)


@dataclass(frozen=True, eq=False)
class _Task:
    """Some units of a layer, which are taken at once, and all others of a layer that count."""

    block: NDArray[Any]
    source: int
    target: int
    units: slice

    @property
    def others(self) -> slice:
        return slice(self.units.start if self.source == self.target else 0, None)

    @property
    def part(self) -> NDArray[Any]:
        return self.block[self.units, self.others]


def _tasks(blocks: Sequence[NDArray[Any]]) -> list[_Task]:
    n_layers = math.isqrt(2 * len(blocks))
    return [
        _Task(block, source, target, units)
        for block, (source, target) in zip(blocks, layer_pairs(n_layers), strict=True)
        for units in parts(len(block), _UNITS_AT_ONCE)
    ]


def _standardised(table: Table, pool: Executor, *, of_ranks: bool) -> Table:
    """Return columns of mean 0 and norm 1, whose products are correlations; 0 for constant ones."""
    standard = table_like(table)

    def fill(units: slice) -> None:
        columns = table[:, units].astype(np.float64)
        constant = columns.max(axis=0) == columns.min(axis=0)
        if of_ranks:
            from scipy.stats import rankdata

            columns = rankdata(columns, axis=0)
        columns -= columns.mean(axis=0)
        norms = np.sqrt(np.einsum("su,su->u", columns, columns))
        standard[:, units] = columns / np.where(constant, np.inf, norms)

    list(pool.map(fill, parts(table.shape[1], columns_at_once(len(table)))))
    return standard
