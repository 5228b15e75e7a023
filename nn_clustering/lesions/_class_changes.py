"""What lesions change of every class, in tidy tables: a row for each lesion and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas


def class_changes_table(
    lesions: Mapping[str, Sequence[Any] | NDArray[Any]],
    groups: Sequence[str],
    n_images: NDArray[np.int64],
    intact: NDArray[np.float64],
    changes: NDArray[np.float64],
    unit: float,
    **more: NDArray[Any],
) -> pandas.DataFrame:
    """Return one row for each lesion and group, the groups of one lesion together.

    Args:
        lesions: Columns that name the lesions, each of shape (lesions,).
        groups: Names of the classes, or of the groups of targets.
        n_images: Images behind each, shape (groups,).
        intact: Accuracy or error of each, intact, shape (groups,).
        changes: Lesioned minus intact, shape (lesions, groups).
        unit: What changes are measured by; digits beyond 12 of it are of rounding.
        more: Further columns, each of the shape of the changes.
    """
    import pandas

    n_lesions, n_groups = changes.shape
    return pandas.DataFrame(
        {
            **{name: np.repeat(np.asarray(of), n_groups) for name, of in lesions.items()},
            "class": np.tile(np.array(groups, object), n_lesions),
            "n_images": np.tile(n_images, n_lesions),
            "intact": np.tile(intact, n_lesions),
            "lesioned": rounded(intact + changes, unit).ravel(),
            "change": changes.ravel(),
            **{name: values.ravel() for name, values in more.items()},
        }
    )


def rounded(values: NDArray[np.float64], unit: float) -> NDArray[np.float64]:
    """Return values without what rounding has added to them: 0 is 0 then."""
    found: NDArray[np.float64] = ((values / unit).round(12) + 0.0) * unit
    return found


def extreme_classes(
    groups: Sequence[str], changes: NDArray[np.float64], harm: int
) -> dict[str, NDArray[Any]]:
    """Return which class every lesion harms most and least, as columns of a table.

    Args:
        groups: Names of the classes, or of the groups of targets.
        changes: Lesioned minus intact, shape (lesions, groups).
        harm: The sign of a change that does harm.

    Returns:
        Names, the first of equals and empty where the change is 0, and changes, each of shape
        (lesions,).
    """
    names, lesions = np.array(groups, object), np.arange(len(changes))
    most, least = (harm * changes).argmax(axis=1), (harm * changes).argmin(axis=1)
    columns: dict[str, NDArray[Any]] = {}
    for end, at in (("most", most), ("least", least)):
        of_end = changes[lesions, at]
        columns[f"{end}_harmed_class"] = np.where(of_end == 0, "", names[at])
        columns[f"{end}_harmed_change"] = of_end
    return columns
