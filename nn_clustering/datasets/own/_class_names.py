"""The names of classes, in the order of a network's outputs, out of a JSON file."""

from __future__ import annotations

from nn_clustering.datasets._settings import Settings


def listed_classes(settings: Settings) -> tuple[tuple[str, ...], ...] | None:
    """Return the names that the file of ``class_names`` lists.

    Returns:
        For each output, in their order, all names that its class goes by: the last is shown, any
        may be the name of a folder or a label in a table. None where no file is named.
    """
    if settings.class_names is None:
        return None
    raise NotImplementedError
