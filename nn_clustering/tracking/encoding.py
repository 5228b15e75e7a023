"""Values as MongoDB and any reader of it can hold them: plain, and without passwords."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from typing import Any

from nn_clustering.tracking.passwords import mask_passwords

# A document holds 16 MB, the config included; captured output beyond the limit goes to an
# artifact, and so does any larger info or result.
LARGEST_FIELD = 2 * 2**20
LARGE_FIELDS = {"info": "info.json", "result": "result.json", "captured_out": "captured_out.txt"}
LARGEST_INTEGER = 2**63 - 1
# Of a point of a metric, so that a document holds as many points as it shall.
LONGEST_TEXT = 50
DEEPEST = 150  # MongoDB's own limit is 200 for the whole document


def without_passwords(text: str) -> str:
    """The text with the user and password of every URL in it replaced by `***`.

    See :mod:`nn_clustering.tracking.passwords` for what counts as one.
    """
    # half a surrogate pair is no text
    return mask_passwords(text.encode("utf-8", "replace").decode("utf-8"))


def is_unicode(text: str) -> bool:
    """Whether MongoDB can be asked for a text: bytes of a command line that are none cannot be."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def to_plain(value: Any) -> Any:
    """A copy in plain Python: numbers, strings, lists and dictionaries with string keys.

    NumPy scalars and arrays become numbers and lists, integers beyond 64 bits strings (MongoDB
    has none), and URLs lose user and password. What is none of these is returned as it is.
    """
    if isinstance(value, PathLike):
        value = fspath(value)
    elif type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, int) and not -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER:
        return str(value)
    if isinstance(value, Mapping):
        # list(): the run may add a key while the heartbeat thread copies.
        entries = list(value.items())
        names = plain_keys(key for key, _ in entries)
        return {name: to_plain(entry) for name, (_, entry) in zip(names, entries, strict=True)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(entry) for entry in list(value)]
    return value


def plain_keys(keys: Iterable[Any]) -> list[str]:
    """The keys as texts without passwords; those that become alike by that get a number each."""
    plain: list[str] = []
    for key in keys:
        masked = name = without_passwords(str(key))
        number = 1
        while masked != str(key) and name in plain:
            number += 1
            name = f"{masked} ({number})"
        plain.append(name)
    return plain


def measurement(value: Any) -> Any:
    """A point's value or step in plain Python: a number, a truth value, a short text, or None.

    An array or tensor of one element is its element.

    Raises:
        TypeError, ValueError: It is none of these, and cannot be converted to a float.
        OverflowError: It is an integer beyond 64 bits.
    """
    if type(value) is float:
        return value
    if hasattr(value, "shape"):
        value = _only_element(value)
    if isinstance(value, int) and not -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER:
        raise OverflowError("integers have 64 bits in MongoDB; log it as a float")
    if isinstance(value, str):
        value = without_passwords(value)
        if len(value.encode()) > LONGEST_TEXT:
            raise ValueError(f"texts have at most {LONGEST_TEXT} bytes")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return float(value)


def _only_element(array: Any) -> Any:
    """The element, in plain Python, of an array or tensor of any library that has one.

    Raises:
        TypeError: It has none, or several.
    """
    shape = tuple(array.shape)
    if math.prod(shape) != 1:
        raise TypeError(f"expected one number, and not an array of shape {shape}")
    if not hasattr(array, "item") and hasattr(array, "numpy"):
        array = array.numpy()
    return array.item() if hasattr(array, "item") else array


def storable(value: Any) -> Any:
    """The value in plain Python; objects become what jsonpickle makes of them.

    Raises:
        ValueError: It is nested too deeply for MongoDB.
    """
    from sacred.serializer import flatten

    stored = to_plain(flatten(to_plain(value)))
    if depth_of(stored) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    return stored


def depth_of(value: Any) -> int:
    """How deep dictionaries and lists are nested in a value; 0 for what is neither."""
    depth, level = 0, [value]
    while level := [entry for entry in level if isinstance(entry, (dict, list))]:
        depth += 1
        level = [inner for entry in level for inner in _inner(entry)]
    return depth


def _inner(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def shortened(value: Any, artifact: str) -> Any:
    """The value itself, or a short stand-in where it is too large for a run's document."""
    import bson

    note = f"[too large for the run's document; the whole is the artifact {artifact}]"
    if isinstance(value, str):
        keep = LARGEST_FIELD // 8
        return value if len(value) <= 2 * keep else f"{value[:keep]}\n{note}\n{value[-keep:]}"
    if not isinstance(value, (dict, list)) or len(bson.encode({"": value})) <= LARGEST_FIELD:
        return value
    kept = {"metrics": value["metrics"]} if isinstance(value, dict) and "metrics" in value else {}
    return {**kept, "note": note}
