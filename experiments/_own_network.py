"""The code of a network of one's own, as an input of the stages that build it."""

from __future__ import annotations

from pathlib import Path

from nn_clustering import networks
from nn_clustering.tracking import Input, named_code


def own_network_code(kind: str) -> Input[bytes] | None:
    """Return the code of the module with a network of one's own, None for the other kinds.

    The digest tells the module, and what it imports of the user's own in turn, from others.

    Raises:
        InvalidInputError: If there is no such module.
    """
    code = networks.network_code(kind)
    if code is None:
        return None
    behind = named_code(kind, Path.cwd())
    # A module that is installed is told by its own content.
    return Input(code, behind.digest(Path.cwd())) if behind.files else Input.of_bytes(code)
