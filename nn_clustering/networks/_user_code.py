"""The code of a network of one's own, found and read without running it; needs no Keras."""

from pathlib import Path

from nn_clustering.errors import InvalidInputError
from nn_clustering.user_functions import (
    check_defines_function,
    code_path,
    is_dotted_name,
    module_path,
)

# The key that names a network of one's own, and what its function does.
KEY = "network.kind"
PURPOSE = "returns a Keras model"


def network_code(kind: str) -> bytes | None:
    """Return the source of the module with a network of one's own, None for the other kinds.

    What that module imports in its turn is not in it.

    Raises:
        InvalidInputError: If there is no such module.
    """
    return code_path(kind, KEY).read_bytes() if is_dotted_name(kind) else None


def check_user_function(kind: str) -> None:
    """Check, as far as that goes without running it, that a module defines a network's function.

    Raises:
        InvalidInputError: If there is no such module, it is no Python, or has no such name.
    """
    check_defines_function(kind, KEY, PURPOSE)


def model_code_path(model_code: str) -> Path:
    """Return the file of the module with the layers and activations of a network's author.

    Args:
        model_code: The module's dotted name, or the file.

    Raises:
        InvalidInputError: If there is no such module or file.
    """
    if not isinstance(model_code, str) or not model_code:
        raise InvalidInputError(
            f"model_code={model_code!r}; expected the name of a module, or of a .py file"
        )
    if model_code.endswith(".py"):
        path: Path | None = Path(model_code) if Path(model_code).is_file() else None
    else:
        path = module_path(model_code)
    if path is None:
        raise InvalidInputError(
            f"model_code={model_code!r} is not there; expected a module that can be imported from "
            f"{Path.cwd()}, or a .py file, with the layers and activations of the network's author"
        )
    return path
