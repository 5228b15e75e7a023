"""Lesions of single units (methods: single units)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions._class_changes import class_changes_table, extreme_classes
from nn_clustering.lesions._measures import Groups, Scale, check_known, unit_of

if TYPE_CHECKING:
    import pandas

    from nn_clustering.lesions._engine import LesionEngine

# Units that one task lesions, one after the other.
UNITS_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class UnitLesions:
    """What the lesion of every single unit of some layers changed, lesioned minus intact.

    Attributes:
        groups: What the lesions are measured by.
        intact: Accuracy or error of every group, intact, shape (groups,).
        n_images: Images behind every group, shape (groups,).
        layers: Units of every layer, by name, in the order of the lesions.
        changes: Shape (units of all layers, groups).
        overall_changes: Of accuracy over all images, or error over all targets, shape (units,).
    """

    groups: Groups
    intact: NDArray[np.float64]
    n_images: NDArray[np.int64]
    layers: Mapping[str, int]
    changes: NDArray[np.float64]
    overall_changes: NDArray[np.float64]

    def table(self) -> pandas.DataFrame:
        """Return one row a unit: its place, the overall change, the classes harmed most and least.

        The overall change is ``accuracy_change``, of a regression ``error_change``. Columns are as
        many whatever the number of classes; :meth:`class_changes` has them all.
        """
        import pandas

        classifies = self.groups.task == "classification"
        names = np.array(list(self.layers), object)
        return pandas.DataFrame(
            {
                "layer": np.repeat(names, list(self.layers.values())),
                "unit": np.concatenate([np.arange(count) for count in self.layers.values()]),
                "accuracy_change" if classifies else "error_change": self.overall_changes,
                **extreme_classes(self.groups.names, self.changes, self.groups.harm),
            }
        )

    def class_changes(self) -> Iterator[pandas.DataFrame]:
        """Yield, for each layer, one row for each unit and class: there can be millions of all.

        The columns are ``layer``, ``unit``, ``class``, ``n_images``, ``intact``, ``lesioned`` and
        ``change``, as in :meth:`LesionTest.class_changes`.
        """
        start = 0
        for name, count in self.layers.items():
            yield class_changes_table(
                {"layer": np.full(count, name, object), "unit": np.arange(count)},
                self.groups.names,
                self.n_images,
                self.intact,
                self.changes[start : start + count],
                unit_of(self.groups.task, self.intact),
            )
            start += count


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
) -> UnitLesions:
    """Lesion every single unit of some layers.

    Args:
        engine: The network and its test data.
        layers: Names of the layers.
        groups: What the lesions are measured by.
        known: Scores of tasks, by index, see :func:`single_unit_tasks`, that were computed before.
        on_scores: Called with index and scores of every task that was not known.
        on_progress: Called with the number of answers (images times lesions) computed since the
            last call; there are as many as images for each unit.

    Raises:
        InvalidInputError: If a layer cannot be lesioned, or groups or known scores do not fit.
    """
    tasks = single_unit_tasks(engine.layers, layers)
    known = check_known(known, len(tasks), lambda task: (len(tasks[task][1]), engine.n_scores))
    scale = Scale.of_engine(engine, groups)
    changes, overall = [], []
    for task, (layer, units) in enumerate(tasks):
        if task in known:
            scores = known[task]
        else:
            silenced = np.arange(engine.layers[layer]) == units[:, np.newaxis]
            scores = engine.lesioned({layer: silenced}, on_progress=on_progress)
            on_scores(task, scores)
        changes.append(scale.changes(scores))
        overall.append(scale.overall_changes(scores))
    return UnitLesions(
        groups=groups,
        intact=scale.intact,
        n_images=scale.n_images,
        layers={layer: engine.layers[layer] for layer in layers},
        changes=np.concatenate(changes),
        overall_changes=np.concatenate(overall),
    )
