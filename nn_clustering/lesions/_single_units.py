"""Lesions of single units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions._measures import Groups, Scale, check_known

if TYPE_CHECKING:
    import pandas

    from nn_clustering.lesions._engine import LesionEngine

# Units that one task lesions, one after the other.
UNITS_AT_ONCE = 64


def single_unit_tasks(
    n_units: Mapping[str, int], layers: Sequence[str]
) -> list[tuple[str, NDArray[np.int64]]]:
    """Return what :func:`single_unit_lesions` does at a time: a layer, and which of its units.

    Args:
        n_units: Units of every layer that can be lesioned, as the engine's ``layers``.
        layers: Names of the layers to lesion.

    Raises:
        InvalidInputError: If a layer cannot be lesioned, or none is given.
    """
    unknown = [name for name in layers if name not in n_units]
    if unknown or not layers:
        raise InvalidInputError(
            f"lesions of single units of layers {', '.join(unknown) or 'none'}; expected some of "
            f"{', '.join(n_units)}"
        )
    return [
        (name, np.arange(start, min(start + UNITS_AT_ONCE, n_units[name])))
        for name in layers
        for start in range(0, n_units[name], UNITS_AT_ONCE)
    ]


def single_unit_lesions(
    engine: LesionEngine,
    layers: Sequence[str],
    *,
    groups: Groups,
    known: Mapping[int, NDArray[Any]] | None = None,
    on_scores: Callable[[int, NDArray[Any]], object] = lambda task, scores: None,
    on_progress: Callable[[int], object] = lambda n_answers: None,
) -> pandas.DataFrame:
    """Lesion every single unit of some layers.

    Args:
        engine: The network and its test data.
        layers: Names of the layers.
        groups: What the lesions are measured by.
        known: Scores of tasks, by index, see :func:`single_unit_tasks`, that were computed before.
        on_scores: Called with index and scores of every task that was not known.
        on_progress: Called with the number of answers (images times lesions) computed since the
            last call; there are as many as images for each unit.

    Returns:
        One row a unit: layer, unit, accuracy_change (of a regression error_change) over all images
        and change_... of every group; lesioned minus intact.

    Raises:
        InvalidInputError: If a layer cannot be lesioned, or groups or known scores do not fit.
    """
    import pandas

    tasks = single_unit_tasks(engine.layers, layers)
    known = check_known(known, len(tasks), lambda task: (len(tasks[task][1]), engine.n_outputs))
    scale = Scale.of_engine(engine, groups)
    overall = "accuracy_change" if groups.task == "classification" else "error_change"
    tables = []
    for task, (layer, units) in enumerate(tasks):
        if task in known:
            scores = known[task]
        else:
            silenced = np.arange(engine.layers[layer]) == units[:, np.newaxis]
            scores = engine.lesioned({layer: silenced}, on_progress=on_progress)
            on_scores(task, scores)
        changes = scale.changes(scores)
        columns: dict[str, Any] = {
            "layer": layer,
            "unit": units,
            overall: scale.overall_changes(scores),
            **{f"change_{name}": changes[:, at] for at, name in enumerate(groups.names)},
        }
        tables.append(pandas.DataFrame(columns))
    return pandas.concat(tables, ignore_index=True)
