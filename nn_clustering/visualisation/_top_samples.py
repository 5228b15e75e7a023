"""Which samples of a data set move a sub-cluster most, beside its optimised input."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.datasets import Samples, chosen
from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import Partition, unit_masks, units_beside_random
from nn_clustering.visualisation._reduction import reduced
from nn_clustering.visualisation._running_top import RunningTop
from nn_clustering.visualisation._top_sample_results import TopSamples
from nn_clustering.visualisation._visualisation_test import VisualisationTest

if TYPE_CHECKING:
    from nn_clustering.visualisation._input_optimiser import InputOptimiser

# More are no longer those that stand out.
MOST_TOP = 1000
# Objectives, or counts of classes, that are held at a time: 8 MB.
_AT_A_TIME = 2**20
# Spreads and scores below it are of rounding.
_TINY = 1e-12


def _check_n_top(n_top: int) -> None:
    """Raise InvalidInputError unless the number of samples a sub-cluster is in range."""
    if isinstance(n_top, bool) or not isinstance(n_top, int) or not 1 <= n_top <= MOST_TOP:
        raise InvalidInputError(f"n_top={n_top!r}; expected an integer from 1 to {MOST_TOP}")


def top_samples(
    optimiser: InputOptimiser,
    test: VisualisationTest,
    partition: Partition,
    x: Samples,
    y: ArrayLike | None,
    *,
    n_classes: int | None,
    n_top: int,
    seed: int,
    on_progress: Callable[[int], object] = lambda n_samples: None,
) -> TopSamples:
    """Find the samples that move the sub-clusters of a test, and their random ones, most.

    The samples are read once in their order, some at a time, and once more those that are top ones
    of a sub-cluster.

    Args:
        optimiser: That of the test.
        test: Inputs optimised for the sub-clusters.
        partition: That of the test.
        x: Samples as the network reads them.
        y: Class of each, shape (samples,); None where there are no classes, as in a regression.
        n_classes: The number of classes; None likewise.
        n_top: Samples a sub-cluster; all if there are fewer.
        seed: That of the test, which fixes the random sub-clusters.
        on_progress: Called with the number of samples read for the first time since the last call.

    Raises:
        InvalidInputError: If the number is out of range, there is no sample, classes do not fit, or
            units answer NaN or infinite values.
    """
    _check_n_top(n_top)
    if not len(x):
        raise InvalidInputError("no samples to look for those that move sub-clusters most")
    classes = None if y is None else _checked_classes(y, len(x), n_classes)
    layers = _layers_of(test, partition, seed, min(n_top, len(x)))
    for rows, values in optimiser.values([layer.name for layer in layers], x):
        for layer in layers:
            layer.add(rows.start, values[layer.name], optimiser.objective.reduction)
        on_progress(rows.stop - rows.start)
    indices = np.concatenate([layer.top.samples[layer.true] for layer in layers])
    objectives = np.concatenate([layer.top.values[layer.true] for layer in layers])
    entropies = None
    if classes is not None and n_classes is not None:
        found = [class_entropies(classes[layer.top.samples], n_classes) for layer in layers]
        entropies = np.concatenate(found).reshape(test.scores.shape)
    scores = test.scores[:, 0]
    return TopSamples(
        sub_clusters=test.sub_clusters,
        indices=indices,
        objectives=objectives,
        classes=None if classes is None else classes[indices],
        class_entropies=entropies,
        entropy=None if entropies is None else test.measure(entropies, "left"),
        top_shares=_shares(objectives.mean(axis=1), scores),
        score_quantiles=np.concatenate([layer.n_below for layer in layers]) / len(x),
        profile_correlations=np.concatenate(
            [_profile_correlations(optimiser, test, layer, x) for layer in layers]
        ),
    )


def class_entropies(classes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """Return the entropy of the classes of several samples, by natural logarithms.

    Args:
        classes: Shape (sets, samples).
        n_classes: The number of classes.

    Returns:
        Shape (sets,), 0 where all are of one class. Equal counts give equal bits, of whichever
        classes they are.
    """
    size = max(1, _AT_A_TIME // n_classes)
    parts = [classes[start : start + size] for start in range(0, len(classes), size)]
    return np.concatenate([_class_entropies(part, n_classes) for part in parts])


def _class_entropies(classes: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    n_sets, n_samples = classes.shape
    places = (np.arange(n_sets)[:, np.newaxis] * n_classes + classes).ravel()
    counts = np.bincount(places, minlength=n_sets * n_classes).reshape(n_sets, n_classes)
    shares = counts / n_samples
    logs = np.log(shares, where=counts > 0, out=np.zeros_like(shares))
    found: NDArray[np.float64] = -(shares * logs).sum(axis=1).round(12) + 0.0
    return found


class _Layer:
    """What is known so far of the sub-clusters of a layer and their random ones.

    Attributes:
        name: Of the layer.
        rows: Numbers of its sub-clusters, shape (sub-clusters,).
        true: Which of its sets of units are sub-clusters, not random ones.
        top: The samples that move each set most.
        n_below: Samples on which the objective is at most the score, shape (sub-clusters,).
    """

    def __init__(
        self,
        name: str,
        rows: NDArray[np.int64],
        masks: NDArray[np.bool_],
        scores: NDArray[np.float64],
        n_top: int,
    ) -> None:
        self.name, self.rows = name, rows
        self._masks, self._scores = masks, scores
        self.true = slice(None, None, len(masks) // len(rows))
        self.top = RunningTop(len(masks), n_top)
        self.n_below = np.zeros(len(rows), np.int64)

    def add(self, first: int, values: NDArray[np.float32], reduction: str) -> None:
        """Take what the layer's units answer to more samples, shape (samples, units)."""
        if not np.isfinite(values).all():
            raise InvalidInputError(
                f"units of layer {self.name!r} answer NaN or infinite values to samples: check the "
                "network's weights and the samples"
            )
        size = max(1, _AT_A_TIME // len(self._masks))
        for start in range(0, len(values), size):
            objectives = reduced(values[start : start + size], self._masks, reduction)
            self.top.add(first + start, objectives)
            self.n_below += (objectives[:, self.true] <= self._scores).sum(axis=0)


def _layers_of(
    test: VisualisationTest, partition: Partition, seed: int, n_top: int
) -> list[_Layer]:
    labels = {layer.name: of_layer for layer, of_layer in partition.by_layer()}
    rows_of: dict[str, list[int]] = {}
    for row, sub in enumerate(test.sub_clusters):
        rows_of.setdefault(sub.layer, []).append(row)
        if not np.array_equal(np.flatnonzero(labels.get(sub.layer) == sub.label), sub.units):
            raise InvalidInputError(
                f"a test of sub-clusters of layer {sub.layer!r} that the partition does not have; "
                "expected the partition of the test"
            )
    found = []
    for name, rows in rows_of.items():
        units = [
            some
            for row in rows
            for some in units_beside_random(
                labels[name],
                test.sub_clusters[row],
                n_shuffles=test.n_shuffles,
                seed=seed,
                draws=test.draws,
            )
        ]
        masks = unit_masks(units, len(labels[name]))
        found.append(_Layer(name, np.array(rows), masks, test.scores[rows, 0], n_top))
    return found


def _checked_classes(y: ArrayLike, n_samples: int, n_classes: int | None) -> NDArray[np.int64]:
    classes = np.asarray(y)
    if classes.shape != (n_samples,) or not np.issubdtype(classes.dtype, np.integer):
        raise InvalidInputError(
            f"{classes.dtype} classes of shape {classes.shape}; expected one integer for each of "
            f"{n_samples} samples"
        )
    if n_classes is None or classes.min() < 0 or classes.max() >= n_classes:
        raise InvalidInputError(
            f"classes {classes.min()} to {classes.max()}; expected some from 0 to below "
            f"n_classes={n_classes}"
        )
    return classes.astype(np.int64)


def _shares(means: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(
        means, scores, where=scores > _TINY, out=np.full(scores.shape, np.nan)
    )
    return found


def _profile_correlations(
    optimiser: InputOptimiser, test: VisualisationTest, layer: _Layer, x: Samples
) -> NDArray[np.float64]:
    """Return how alike a layer's units answer each optimised input and its top samples."""
    samples = layer.top.samples[layer.true]
    numbers = np.unique(samples)
    to_samples = _answers(optimiser, layer.name, chosen(x, numbers))
    of_top = to_samples[np.searchsorted(numbers, samples)].mean(axis=1)
    to_inputs = _answers(optimiser, layer.name, optimiser.as_read(test.inputs[layer.rows, 0]))
    pairs = zip(of_top, to_inputs, strict=True)
    return np.array([_correlation(one, other) for one, other in pairs])


def _answers(optimiser: InputOptimiser, layer: str, x: Samples) -> NDArray[np.float64]:
    """Return what a layer's units answer to some samples, shape (samples, units)."""
    found = [values[layer].astype(np.float64) for _, values in optimiser.values([layer], x)]
    return np.concatenate(found)


def _correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if any(np.ptp(values) <= _TINY * np.abs(values).max() for values in (one, other)):
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
