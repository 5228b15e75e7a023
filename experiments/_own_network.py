"""The code of a network of one's own, or of its layers, as an input of the stages that run it."""

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
    return None if code is None else _with_imports(kind, Path.cwd(), code)


def own_layers_code(model_code: str) -> Input[bytes]:
    """Return the code of the module with layers of one's own, with a digest like that.

    Raises:
        InvalidInputError: If there is no such module.
    """
    path = networks.model_code_path(model_code).resolve()
    if model_code.endswith(".py"):
        return _with_imports(path.stem, path.parent, path.read_bytes())
    return _with_imports(model_code, Path.cwd(), path.read_bytes())


def _with_imports(name: str, folder: Path, code: bytes) -> Input[bytes]:
    behind = named_code(name, folder)
    # A module that is installed is told by its own content.
    return Input(code, behind.digest(folder)) if behind.files else Input.of_bytes(code)
