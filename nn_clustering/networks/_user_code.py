"""The code of a network of one's own, found and read without running it; needs no Keras."""

import ast
import contextlib
import importlib
import symtable
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

from nn_clustering.errors import InvalidInputError


def is_user_function(kind: str) -> bool:
    """Return whether a kind of network is the dotted name of a function."""
    return (
        isinstance(kind, str)
        and "." in kind
        and all(part.isidentifier() for part in kind.split("."))
    )


def network_code(kind: str) -> bytes | None:
    """Return the source of the module with a network of one's own, None for the other kinds.

    What that module imports in its turn is not in it.

    Raises:
        InvalidInputError: If there is no such module.
    """
    return Path(_code_path(kind)).read_bytes() if is_user_function(kind) else None


def check_user_function(kind: str) -> None:
    """Check, as far as that goes without running it, that a module defines a function.

    Raises:
        InvalidInputError: If there is no such module, it is no Python, or has no such name.
    """
    path, name = _code_path(kind), kind.rpartition(".")[2]
    if path.suffix != ".py":
        return  # compiled: its names show when it is imported
    try:
        code = path.read_bytes()
        tree = ast.parse(code)
        names = symtable.symtable(code.decode(), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise InvalidInputError(
            f"network.kind={kind!r}: {path} is no Python that can be read ({error}); mend it"
        ) from error
    bound = {
        symbol.get_name()
        for symbol in names.get_symbols()
        if symbol.is_assigned() or symbol.is_imported()
    }
    has_star = any(
        alias.name == "*"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    )
    if name not in bound and "__getattr__" not in bound and not has_star:
        raise no_such_function(kind, path)


def no_such_function(kind: str, path: Path | str) -> InvalidInputError:
    """The error for a module without the function that a kind of network names."""
    return InvalidInputError(
        f"network.kind={kind!r}: {path} has no function {kind.rpartition('.')[2]}; expected one "
        "that returns a Keras model"
    )


@contextlib.contextmanager
def current_folder_importable() -> Iterator[None]:
    """Let modules of the current folder be imported within the block, before all others."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)


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
        path = _module_path(model_code)
    if path is None:
        raise InvalidInputError(
            f"model_code={model_code!r} is not there; expected a module that can be imported from "
            f"{Path.cwd()}, or a .py file, with the layers and activations of the network's author"
        )
    return path


def _code_path(kind: str) -> Path:
    """The file of the module that a dotted name of a function speaks of."""
    module = kind.rpartition(".")[0]
    path = _module_path(module)
    if path is None:
        raise InvalidInputError(
            f"network.kind={kind!r}: there is no module {module}; expected {module}.py in "
            f"{Path.cwd()}, or an installed module, with the function {kind.rpartition('.')[2]}"
        )
    return path


def _module_path(module: str) -> Path | None:
    """The file of a module, if there is one; it and its packages stay unimported."""
    with current_folder_importable():
        places, spec = list(sys.path), None
        for name in _packages_and_module(module):
            spec = PathFinder.find_spec(name, places)
            if spec is None:
                break
            places = list(spec.submodule_search_locations or [])
    if not isinstance(spec, ModuleSpec) or spec.origin is None:
        return None
    return Path(spec.origin)


def _packages_and_module(name: str) -> list[str]:
    """Of ``a.b.c`` return ``a``, ``a.b`` and ``a.b.c``."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
