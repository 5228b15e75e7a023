"""The names of classes, in the order of a network's outputs, out of a JSON file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.datasets._settings import Settings
from nn_clustering.errors import InvalidInputError, did_you_mean

# For each output, in their order, all names that its class goes by.
Listed = tuple[tuple[str, ...], ...]
_EXPECTED = (
    'expected a list of names in the order of the network\'s outputs, ["cat", "dog"], or an object '
    'of positions, {"cat": 0, "dog": 1}'
)
# No network tells more classes apart.
_MOST = 100_000


def listed_classes(settings: Settings) -> Listed | None:
    """Return the names that the file of ``class_names`` lists.

    It holds a list of names; or an object with the position of each name, where several names may
    share one; or one with the name, or all names, of each position, as Keras has ImageNet's. An
    output without a name goes by its position.

    Returns:
        For each output, in their order, all names that its class goes by: the last is shown, any
        may be the name of a folder or a label in a table. None where no file is named.

    Raises:
        InvalidInputError: If there is no such file, or it is none of those.
    """
    if settings.class_names is None:
        return None
    content = _content(settings.class_names)
    names: dict[int, list[str]] = {}
    for position, name in _pairs(content, settings.class_names):
        if not 0 <= position < _MOST:
            raise _wrong(settings.class_names, f"{name!r} is at {position}", "positions from 0")
        names.setdefault(position, []).append(name)
    return tuple(tuple(names.get(position, [str(position)])) for position in range(max(names) + 1))


def lists_all_classes(path: str) -> bool:
    """Return whether a file of class names has one for every output; an object may leave out some.

    Raises:
        InvalidInputError: As :func:`listed_classes`.
    """
    return isinstance(_content(path), list)


def shown_names(listed: Listed) -> tuple[str, ...]:
    """Return one name an output, each once: those of several outputs get their position, too."""
    names = [names[-1] for names in listed]
    counts = Counter(names)
    return tuple(
        f"{name} ({position})" if counts[name] > 1 else name for position, name in enumerate(names)
    )


def positions_of(
    found: Sequence[str], listed: Listed, name: str, class_names: str
) -> NDArray[np.int32]:
    """Return the position of each class of a data set in a network's output.

    Args:
        found: The classes' names in the data set: of folders, or labels; whole numbers that are
            no names are positions.
        listed: What the file lists.
        name: Of the data set.
        class_names: The file.

    Raises:
        InvalidInputError: If one is in the file not at all, or is several outputs' name.
    """
    places: dict[str, list[int]] = {}
    for position, names in enumerate(listed):
        for one in dict.fromkeys(names):
            places.setdefault(one, []).append(position)
    return np.array([_position(one, places, len(listed), name, class_names) for one in found],
                    np.int32)  # fmt: skip


def _position(
    one: str, places: dict[str, list[int]], n_outputs: int, name: str, class_names: str
) -> int:
    found = places.get(one, [])
    if not found and one.isdecimal() and int(one) < n_outputs:
        return int(one)
    if len(found) == 1:
        return found[0]
    if found:
        at = " and ".join(map(str, found))
        raise InvalidInputError(
            f"dataset.class_names={class_names!r}: {one!r}, a class of {name}, is the name of the "
            f"outputs {at}; expected one of each name"
        )
    raise InvalidInputError(
        f"dataset.class_names={class_names!r}: {one!r}, a class of {name}, is none of its names"
        f"{did_you_mean(one, places)}; expected all classes of the data among the {len(places)} "
        "of the file"
    )


def _content(path: str) -> Any:
    try:
        content = json.loads(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInputError(
            f"dataset.class_names={path!r} cannot be read ({error.strerror}); expected a JSON file"
        ) from error
    except ValueError as error:
        raise InvalidInputError(
            f"dataset.class_names={path!r} is no JSON ({error}); {_EXPECTED}"
        ) from error
    if not isinstance(content, list | dict) or not content:
        raise InvalidInputError(f"dataset.class_names={path!r} lists no names; {_EXPECTED}")
    return content


def _pairs(content: Any, path: str) -> list[tuple[int, str]]:
    """Return positions with names, in the order of the file."""
    if isinstance(content, list):
        return [(position, name) for position, name in enumerate(_names(content, path))]
    if all(type(position) is int for position in content.values()):
        return [(position, name) for name, position in content.items()]
    if all(position.isdecimal() for position in content):
        return [
            (int(position), name)
            for position, names in content.items()
            for name in _names(names if isinstance(names, list) else [names], path)
        ]
    name = next(name for name, position in content.items() if type(position) is not int)
    raise _wrong(path, f"{name!r} is at {content[name]!r}", "a whole number")


def _names(names: list[Any], path: str) -> list[str]:
    for name in names:
        if not isinstance(name, str) or not name:
            raise _wrong(path, f"{name!r} is among the names", "texts")
    return names


def _wrong(path: str, found: str, expected: str) -> InvalidInputError:
    return InvalidInputError(f"dataset.class_names={path!r}: {found}, not {expected}; {_EXPECTED}")
