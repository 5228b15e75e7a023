"""Inputs for every sub-cluster and its random ones, optimised in batches (methods H3, H4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import (
    Partition,
    SizeFilter,
    SubCluster,
    check_draws,
    check_fit,
    check_possible_draws,
    random_units,
    select_sub_clusters,
    unit_masks,
)
from nn_clustering.seeds import integer_seed
from nn_clustering.significance import check_n_shuffles
from nn_clustering.visualisation._visualisation_test import Optimised, VisualisationTest

if TYPE_CHECKING:
    from nn_clustering.visualisation._input_optimiser import InputOptimiser


def _check_n_kept(n_kept: int, n_shuffles: int) -> None:
    """Raise InvalidInputError unless so many random inputs can be kept of so many."""
    is_number = isinstance(n_kept, int) and not isinstance(n_kept, bool)
    if not is_number or not 0 <= n_kept <= n_shuffles:
        raise InvalidInputError(
            f"n_kept={n_kept!r}; expected an integer from 0 to n_shuffles={n_shuffles}: of so many "
            "random sub-clusters beside each one the inputs are kept"
        )


def visualisation_test(
    optimiser: InputOptimiser,
    partition: Partition,
    layers: Sequence[str],
    *,
    n_shuffles: int,
    seed: int,
    draws: str = "joint",
    sizes: SizeFilter = SizeFilter(),  # noqa: B008 (frozen)
    count_ties: bool = True,
    n_kept: int = 1,
    known: Mapping[int, Optimised] | None = None,
    on_batch: Callable[[int, Optimised], object] = lambda index, optimised: None,
    on_progress: Callable[[int], object] = lambda n_steps: None,
) -> VisualisationTest:
    """Optimise an input for every sub-cluster of the given layers, and for random ones of its size.

    Random sub-clusters are those that :func:`lesion_test` draws with the same seed, so that the
    same units are lesioned and visualised. Every input begins with a start of its own, that of a
    sub-cluster as one of its random ones: nothing but the units tells them apart.

    Args:
        optimiser: The network, and how inputs are optimised.
        partition: The clusters of its units.
        layers: Names of the layers to look at.
        n_shuffles: Random sub-clusters for each sub-cluster, 2 or more.
        seed: Fixes them, and all starts.
        draws: How they are drawn, "joint" or "afresh"; see :func:`lesion_test`.
        sizes: Which sub-clusters have an input; the others stay in the permutation.
        count_ties: Whether equal values count in the p-values.
        n_kept: Of how many random ones beside each sub-cluster the inputs are kept.
        known: What batches gave, by index, in the same test before it was cut short.
        on_batch: Called with the index of every batch and what it gave, in order, known ones
            included. It holds the inputs of those alone that are kept.
        on_progress: Called with the number of steps made since the last call, those of every input
            counted, of batches that are not known.

    Raises:
        InvalidInputError: If a value is out of range, the partition does not fit the network, there
            is no sub-cluster to look at or none of which ``n_shuffles`` different random ones are
            possible, or what is known belongs to another test.
    """
    check_n_shuffles(n_shuffles)
    _check_n_kept(n_kept, n_shuffles)
    check_draws(draws)
    chosen, n_left_out = select_sub_clusters(partition, layers, sizes)
    labels = {layer.name: of_layer for layer, of_layer in partition.by_layer()}
    for sub in chosen:
        check_fit(optimiser.layers, sub.layer, len(labels[sub.layer]))
    check_possible_draws(partition, layers, n_shuffles, sizes)
    batches = list(_batches(optimiser, chosen, n_shuffles))
    known = known or {}
    _check_known(known, batches, n_kept, optimiser)
    found = _Found(len(chosen), n_shuffles, n_kept, optimiser)
    for index, batch in enumerate(batches):
        if index in known:
            optimised = known[index]
        else:
            masks, seeds = _sets_of(batch, chosen, labels[batch.layer], seed, draws)
            whole = optimiser.optimise(batch.layer, masks, seeds, on_progress=on_progress)
            optimised = replace(whole, inputs=whole.inputs[batch.columns <= n_kept])
        found.take(batch, optimised)
        on_batch(index, optimised)
    return VisualisationTest(
        scores=found.scores,
        entropies=found.entropies,
        dispersions=found.dispersions,
        inputs=found.inputs,
        sub_clusters=tuple(chosen),
        n_candidates=np.array([(labels[sub.layer] >= 0).sum() for sub in chosen]),
        count_ties=count_ties,
        draws=draws,
        n_left_out=n_left_out,
    )


def n_batches(
    optimiser: InputOptimiser,
    partition: Partition,
    layers: Sequence[str],
    *,
    n_shuffles: int,
    sizes: SizeFilter = SizeFilter(),  # noqa: B008 (frozen)
) -> int:
    """Return in how many batches :func:`visualisation_test` optimises inputs.

    Args:
        optimiser: As there.
        partition: Likewise.
        layers: Likewise.
        n_shuffles: Likewise.
        sizes: Likewise.

    Raises:
        InvalidInputError: If there is no sub-cluster to look at.
    """
    chosen, _ = select_sub_clusters(partition, layers, sizes)
    return sum(1 for _ in _batches(optimiser, chosen, n_shuffles))


@dataclass(frozen=True, eq=False)
class _Batch:
    """Inputs that are optimised together, for sub-clusters (column 0) and random ones of a layer.

    Attributes:
        layer: Name of the layer.
        rows: Number of each one's sub-cluster, shape (inputs,).
        columns: 0 of a sub-cluster, 1 + s of its random one s, shape (inputs,).
    """

    layer: str
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]


def _batches(
    optimiser: InputOptimiser, chosen: Sequence[SubCluster], n_shuffles: int
) -> Iterator[_Batch]:
    first = 0
    for layer, of_layer in groupby(chosen, lambda sub: sub.layer):
        n_inputs = len(list(of_layer)) * (n_shuffles + 1)
        for start in range(0, n_inputs, size := optimiser.batch_size(layer)):
            numbers = first + np.arange(start, min(start + size, n_inputs))
            yield _Batch(layer, *np.divmod(numbers, n_shuffles + 1))
        first += n_inputs


def _sets_of(
    batch: _Batch,
    chosen: Sequence[SubCluster],
    labels: NDArray[np.int32],
    seed: int,
    draws: str,
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return the units of every input of a batch, and the seeds of the inputs."""
    units, seeds = [], []
    for row, column in zip(batch.rows.tolist(), batch.columns.tolist(), strict=True):
        sub = chosen[row]
        seeds.append(integer_seed(seed, "visualise", sub.layer, sub.label, column))
        units.append(
            random_units(labels, sub, shuffle=column - 1, seed=seed, draws=draws)
            if column
            else sub.units
        )
    return unit_masks(units, len(labels)), np.array(seeds)


class _Found:
    """What batches gave, each input in its place."""

    def __init__(
        self, n_sub_clusters: int, n_shuffles: int, n_kept: int, optimiser: InputOptimiser
    ) -> None:
        shape = (n_sub_clusters, n_shuffles + 1)
        self._n_kept = n_kept
        self.scores, self.dispersions = np.empty(shape), np.empty(shape)
        self.entropies = np.empty(shape) if optimiser.measures_entropy else None
        sample_shape = optimiser.sample_shape
        self.inputs = np.empty((n_sub_clusters, n_kept + 1, *sample_shape), np.float32)

    def take(self, batch: _Batch, optimised: Optimised) -> None:
        places = batch.rows, batch.columns
        self.scores[places] = optimised.scores
        self.dispersions[places] = optimised.dispersions
        if self.entropies is not None:
            self.entropies[places] = optimised.entropies
        is_kept = batch.columns <= self._n_kept
        self.inputs[batch.rows[is_kept], batch.columns[is_kept]] = optimised.inputs


def _check_known(
    known: Mapping[int, Optimised],
    batches: Sequence[_Batch],
    n_kept: int,
    optimiser: InputOptimiser,
) -> None:
    """Raise InvalidInputError unless what is known can be what batches of a test give."""
    for index, optimised in known.items():
        if index not in range(len(batches)):
            raise InvalidInputError(
                f"known inputs of batch {index}; expected those of batches 0 to "
                f"{len(batches) - 1} alone: they belong to another test"
            )
        columns = batches[index].columns
        numbers = (len(columns),)
        entropies = None if optimised.entropies is None else optimised.entropies.shape
        found = (
            optimised.scores.shape,
            entropies,
            optimised.dispersions.shape,
            optimised.inputs.shape,
        )
        expected = (
            numbers,
            numbers if optimiser.measures_entropy else None,
            numbers,
            (int((columns <= n_kept).sum()), *optimiser.sample_shape),
        )
        if found != expected:
            raise InvalidInputError(
                f"known scores, entropies, dispersions and inputs of batch {index} have shapes "
                f"{found}; expected {expected}: they belong to another test"
            )
