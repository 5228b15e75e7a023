"""Functions of a user's own that a config names, found and read without running them; no Keras."""

import ast
import contextlib
import importlib
import inspect
import symtable
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

from nn_clustering.errors import InvalidInputError, in_one_line


def is_dotted_name(name: object) -> bool:
    """Return whether a value of a config is the dotted name of a function."""
    return (
        isinstance(name, str)
        and "." in name
        and all(part.isidentifier() for part in name.split("."))
    )


def check_defines_function(name: str, key: str, purpose: str) -> None:
    """Check, as far as that goes without running it, that a module defines a function.

    Args:
        name: Dotted name of the function.
        key: The key of a config that names it.
        purpose: What the function does.

    Raises:
        InvalidInputError: If there is no such module, it is no Python, or has no such name.
    """
    path, function = code_path(name, key), name.rpartition(".")[2]
    if path.suffix != ".py":
        return  # compiled: its names show when it is imported
    try:
        code = path.read_bytes()
        tree = ast.parse(code)
        names = symtable.symtable(code.decode(), str(path), "exec")
    except (SyntaxError, ValueError) as error:
        raise InvalidInputError(
            f"{key}={name!r}: {path} is no Python that can be read ({error}); mend it"
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
    if function not in bound and "__getattr__" not in bound and not has_star:
        raise no_such_function(name, path, key, purpose)


def no_such_function(
    name: str,
    path: Path | str,
    key: str,
    purpose: str,
) -> InvalidInputError:
    """The error for a module without the function that a key names."""
    return InvalidInputError(
        f"{key}={name!r}: {path} has no function {name.rpartition('.')[2]}; expected one that "
        f"{purpose}"
    )


def import_function(name: str, key: str, purpose: str) -> Callable[..., Any]:
    """Return a function of a user's own; the current folder is looked in first for its module.

    Args:
        name: Dotted name of the function.
        key: The key of a config that names it.
        purpose: What the function does.

    Raises:
        InvalidInputError: If its module cannot be imported, or has no such function.
    """
    module_name, _, function_name = name.rpartition(".")
    with current_folder_importable():
        try:
            module = importlib.import_module(module_name)
        except Exception as error:  # whatever the module's own code raises
            raise InvalidInputError(
                f"{key}={name!r}: module {module_name} cannot be imported ({in_one_line(error)})"
            ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        path = getattr(module, "__file__", None) or module_name
        raise no_such_function(name, path, key, purpose)
    found: Callable[..., Any] = function
    return found


def accepted_arguments(
    function: Callable[..., Any], name: str, key: str, offered: Mapping[str, Any]
) -> dict[str, Any]:
    """Return those of the offered arguments that a function takes as keywords.

    Args:
        function: The function.
        name: Its dotted name.
        key: The key of a config that names it.
        offered: What it can be called with.

    Raises:
        InvalidInputError: If it needs others, or does not say what it takes.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"{key}={name!r} does not say what arguments it takes ({error}); expected a "
            f"Python function of {', '.join(offered)}"
        ) from error
    taken = {
        parameter.name
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters):
        taken |= set(offered)
    for parameter in parameters:
        needed = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if needed and (parameter.name not in offered or parameter.name not in taken):
            raise InvalidInputError(
                f"{key}={name!r} needs an argument {parameter.name}; expected a function "
                f"of {', '.join(offered)} or some of them, all else with defaults"
            )
    return {given: value for given, value in offered.items() if given in taken}


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


def code_path(name: str, key: str) -> Path:
    """Return the file of the module that a dotted name of a function speaks of.

    Args:
        name: Dotted name of the function.
        key: The key of a config that names it.

    Raises:
        InvalidInputError: If there is no such module.
    """
    module = name.rpartition(".")[0]
    path = module_path(module)
    if path is None:
        raise InvalidInputError(
            f"{key}={name!r}: there is no module {module}; expected {module}.py in "
            f"{Path.cwd()}, or an installed module, with the function {name.rpartition('.')[2]}"
        )
    return path


def module_path(module: str) -> Path | None:
    """Return the file of a module, if there is one; it and its packages stay unimported."""
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
