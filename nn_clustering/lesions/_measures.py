"""What lesions are measured by: accuracy of classes or groups, errors of targets (methods G5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from nn_clustering.lesions._engine import LesionEngine

# Of a change of errors, in units of the intact ones: those are sums of squares of single precision.
_DIGITS_OF_ERRORS = 7

CLASS = "class"
GROUP_OF_TARGETS = "group of targets"

# Of a change that does harm: accuracy is lost, error is gained.
HARM = {"classification": -1, "regression": 1}


@dataclass(frozen=True, eq=False)
class Groups:
    """What a lesion is measured by, one number each: classes, groups of answers, or of targets.

    The value of a class, or of a group of answers, is its accuracy; that of a group of targets the
    mean of their mean squared errors.

    Attributes:
        names: One a group.
        membership: Which scores of an engine belong to which group, shape (groups, scores).
        task: "classification" or "regression".
        tail: Which changes are extreme in the p-values of importance: "left" where little is, as
            of accuracies, or "right".
        kind: What a group is, in the singular: "class", "task", "token class".

    Raises:
        InvalidInputError: If a name is given twice, a group is empty, or shapes do not fit.
    """

    names: tuple[str, ...]
    membership: NDArray[np.bool_]
    task: str
    tail: str
    kind: str = CLASS

    def __post_init__(self) -> None:
        if self.task not in HARM:
            raise InvalidInputError(f"task={self.task!r}; expected {' or '.join(HARM)}")
        if self.tail not in ("left", "right"):
            raise InvalidInputError(f"tail={self.tail!r}; expected left or right")
        shape = self.membership.shape
        if len(shape) != 2 or shape[0] != len(self.names) or not len(self.names):
            raise InvalidInputError(
                f"{len(self.names)} groups with a membership of shape {shape}; expected one row a "
                "group, and at least one"
            )
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise InvalidInputError(f"two groups are called {twice!r}; expected different names")
        if not self.membership.any(axis=1).all():
            empty = self.names[int(self.membership.any(axis=1).argmin())]
            raise InvalidInputError(f"group {empty!r} holds no output; expected at least one")

    @property
    def harm(self) -> int:
        """The sign of a change that does harm: -1 of accuracies, +1 of errors."""
        return HARM[self.task]

    def values(self, scores: ArrayLike, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the value of every group.

        Args:
            scores: What an engine says: images answered right, or the sum of squared errors; shape
                (..., scores).
            sizes: Images behind each of them, shape (scores,).

        Returns:
            Shape (..., groups): accuracies in 0..1, or mean squared errors.
        """
        values: NDArray[np.float64] = self._sums(np.asarray(scores)) / self._sums(sizes)
        return values

    def _sums(self, of_outputs: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over the outputs of every group, shape (..., outputs) to (..., groups)."""
        if (self.membership.sum(axis=1) == 1).all():
            # a product with a matrix of a thousand classes takes longer than all else
            return of_outputs[..., self.membership.argmax(axis=1)]
        return of_outputs @ self.membership.T.astype(np.int64)


@dataclass(frozen=True, eq=False)
class Scale:
    """Turns the scores of an engine into changes against its intact network.

    Attributes:
        groups: What lesions are measured by.
        intact_scores: Of the intact network, shape (scores,).
        sizes: Images behind each of them, shape (scores,).
    """

    groups: Groups
    intact_scores: NDArray[Any]
    sizes: NDArray[np.int64]

    @classmethod
    def of_engine(cls, engine: LesionEngine, groups: Groups) -> Scale:
        """Return the scale of an engine.

        Raises:
            InvalidInputError: If the groups are of another task, or another number of scores.
        """
        n_scores = groups.membership.shape[1]
        if groups.task != engine.task or n_scores != engine.n_scores:
            what = "outputs" if engine.n_scores == engine.n_outputs else "scores"
            raise InvalidInputError(
                f"groups of {n_scores} {what} of a {groups.task}; expected groups of the "
                f"network's {engine.n_scores} {what}, a {engine.task}"
            )
        return cls(groups, engine.intact(), engine.class_sizes)

    @property
    def n_images(self) -> NDArray[np.int64]:
        """Images behind every group: those of its classes; all, in a regression. (groups,)."""
        of_members: NDArray[np.int64] = np.where(self.groups.membership, self.sizes, 0)
        together = np.sum if self.groups.task == "classification" else np.max
        return np.asarray(together(of_members, axis=1))

    @property
    def intact(self) -> NDArray[np.float64]:
        """Value of every group, intact, shape (groups,)."""
        return self.groups.values(self.intact_scores, self.sizes)

    @property
    def intact_overall(self) -> float:
        """Accuracy over all images, or mean squared error over all targets, intact."""
        return float(overall_values(self.intact_scores, self.sizes))

    def changes(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return lesioned minus intact value of every group, (..., scores) to (..., groups).

        Counts are subtracted before they are divided, so that equal changes are equal numbers.
        Changes of errors are rounded to what single precision tells apart.
        """
        return self._rounded(self.groups.values(scores - self.intact_scores, self.sizes))

    def overall_changes(self, scores: NDArray[Any]) -> NDArray[np.float64]:
        """Return lesioned minus intact overall value, shape (..., scores) to (...)."""
        return self._rounded(overall_values(scores - self.intact_scores, self.sizes))

    @property
    def unit(self) -> float:
        """What changes are measured by; see :func:`unit_of`."""
        return unit_of(self.groups.task, self.intact)

    def _rounded(self, changes: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.groups.task == "classification":
            return changes
        return (changes / self.unit).round(_DIGITS_OF_ERRORS) * self.unit


def unit_of(task: str, intact: NDArray[np.float64]) -> float:
    """Return what changes are measured by: 1 of accuracies, else the mean of the intact errors.

    So a p-value does not depend on the units of the targets.

    Args:
        task: "classification" or "regression".
        intact: Value of every group, intact, shape (groups,).
    """
    return 1.0 if task == "classification" else float(intact.mean()) or 1.0


def overall_values(scores: ArrayLike, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the accuracy over all images, or the mean over all targets of the squared error.

    Arguments as :meth:`Groups.values`; shape (..., scores) to (...).
    """
    found: NDArray[np.float64] = np.asarray(scores).sum(axis=-1) / sizes.sum()
    return found


def classes_of(
    class_sizes: NDArray[np.int64], class_names: Sequence[str], *, tail: str | None = None
) -> Groups:
    """Return the classes that have images, each a group of its own.

    Args:
        class_sizes: Images of each class, as an engine knows them, shape (classes,).
        class_names: Name of each class, from the first on; those of more classes are ignored.
        tail: As :attr:`Groups.tail`; by default left, so that lost accuracy counts.

    Raises:
        InvalidInputError: If a class with images has no name.
    """
    present = np.flatnonzero(class_sizes)
    if present.size and present[-1] >= len(class_names):
        raise InvalidInputError(
            f"images of class {present[-1]} but {len(class_names)} names of classes; expected a "
            "name for each"
        )
    return Groups(
        tuple(class_names[int(index)] for index in present),
        np.arange(len(class_sizes)) == present[:, np.newaxis],
        "classification",
        tail or "left",
    )


def answers_in_groups(
    sizes: NDArray[np.int64], names: Sequence[str], *, kind: str = "group", tail: str | None = None
) -> Groups:
    """Return the groups of answers by which an engine counts, those that have answers.

    Args:
        sizes: The engine's ``class_sizes``, shape (scores,): one more than groups where there are
            answers of no group, which count for the accuracy over all images alone.
        names: One a group.
        kind: What a group is, in the singular.
        tail: As :attr:`Groups.tail`; by default left, so that lost accuracy counts.

    Raises:
        InvalidInputError: If there are more or fewer names than groups.
    """
    if len(sizes) - len(names) not in (0, 1):
        raise InvalidInputError(
            f"{len(names)} names of groups of answers, and {len(sizes)} scores; expected one name "
            "a group, and one score more at most"
        )
    present = np.flatnonzero(sizes[: len(names)])
    return Groups(
        tuple(names[int(index)] for index in present),
        np.arange(len(sizes)) == present[:, np.newaxis],
        "classification",
        tail or "left",
        kind,
    )


def targets_in_groups(
    names: Sequence[str], membership: NDArray[np.bool_] | None = None, *, tail: str | None = None
) -> Groups:
    """Return groups of targets, by default each target on its own (methods G5).

    Args:
        names: One a group.
        membership: Which targets belong to which group, shape (groups, targets).
        tail: As :attr:`Groups.tail`; by default right, so that gained error counts. The studies
            took the left one (quirk 8).
    """
    if membership is None:
        membership = np.eye(len(names), dtype=bool)
    return Groups(
        tuple(names), np.asarray(membership, bool), "regression", tail or "right", GROUP_OF_TARGETS
    )


def check_known(
    known: Mapping[int, NDArray[Any]] | None, n_tasks: int, shape_of: Callable[[int], Any]
) -> Mapping[int, NDArray[Any]]:
    """Return scores that were computed before, by task.

    Args:
        known: The scores; None for none.
        n_tasks: Number of tasks.
        shape_of: Shape of the scores of each task.

    Raises:
        InvalidInputError: If a task does not exist, or its scores have another shape.
    """
    for task, scores in (known or {}).items():
        expected = shape_of(task) if task in range(n_tasks) else f"tasks 0 to {n_tasks - 1} alone"
        if scores.shape != expected:
            raise InvalidInputError(
                f"known scores of task {task} have shape {scores.shape}; expected {expected}: they "
                "belong to another test"
            )
    return known or {}
