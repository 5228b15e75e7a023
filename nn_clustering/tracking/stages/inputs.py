"""What a stage reads before it starts, and how a later run tells whether it is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Generic, overload

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from nn_clustering.tracking.run_ids import RunId

    Value_co = TypeVar("Value_co", covariant=True, default=object)
    Given = TypeVar("Given")
else:
    from typing import TypeVar

    Value_co = TypeVar("Value_co", covariant=True)


@dataclass(frozen=True)
class Input(Generic[Value_co]):
    """Something that a stage reads.

    Attributes:
        value: What the stage works with.
        digest: Tells whether it is the same as another run's: a digest, or a run's id.
    """

    value: Value_co = field(repr=False)
    digest: str | RunId

    @overload
    @classmethod
    def of_bytes(cls, content: bytes) -> Input[bytes]: ...
    @overload
    @classmethod
    def of_bytes(cls, content: bytes, value: Given) -> Input[Given]: ...
    @classmethod
    def of_bytes(cls, content: bytes, value: Any = None) -> Input[Any]:
        """An input with the SHA-256 of its content; ``value`` is the content by default."""
        digest = hashlib.sha256(content).hexdigest()
        return Input(content if value is None else value, digest)


def digests_of(inputs: object) -> dict[str, str | int]:
    """The digests of inputs by name; those that are None are left out.

    Args:
        inputs: A dataclass whose fields are inputs, or a mapping of inputs; None for none.

    Raises:
        TypeError: It is something else.
    """
    if inputs is None:
        return {}
    if isinstance(inputs, Mapping):
        named = dict(inputs)
    elif is_dataclass(inputs):
        named = {entry.name: getattr(inputs, entry.name) for entry in fields(inputs)}
    else:
        raise TypeError(f"the inputs are a {type(inputs).__name__}; expected a dataclass of Input")
    for name, entry in named.items():
        if not isinstance(entry, Input | None):
            raise TypeError(f"input {name} is a {type(entry).__name__}; expected Input or None")
    return {
        name: entry.digest if isinstance(entry.digest, (str, int)) else str(entry.digest)
        for name, entry in named.items()
        if entry is not None
    }
