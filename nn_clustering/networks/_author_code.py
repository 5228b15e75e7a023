"""The code of layers and activations that a network's author has made, from a module by name."""

import contextlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks._layer_configs import Reference
from nn_clustering.networks._user_code import model_code_path
from nn_clustering.user_functions import current_folder_importable


def author_objects(
    model_code: str | None, wanted: Iterable[Reference], source: str
) -> dict[str, Any]:
    """Return the classes and functions of which a network is made besides Keras' own.

    They are those that are registered with Keras already, or that the module registers or has by
    name. No other module is imported, whatever the network's file names.

    Args:
        model_code: The module's dotted name, or its file; None for none.
        wanted: What is needed.
        source: Where the network comes from, for messages.

    Returns:
        By the name that the config has for each.

    Raises:
        InvalidInputError: If something is missing, or the module cannot be imported.
    """
    found: dict[str, Any] = {}
    module = None if model_code is None else _imported(model_code)
    for reference in wanted:
        one = keras.saving.get_registered_object(reference.registered_name)
        if one is None and module is not None:
            one = getattr(module, reference.name, None)
        if one is None:
            raise _missing(model_code, module, reference, source)
        found[reference.name] = found[reference.registered_name] = one
    return found


def _missing(
    model_code: str | None, module: ModuleType | None, reference: Reference, source: str
) -> InvalidInputError:
    if module is None:
        return InvalidInputError(
            f"{source} needs {reference}, which is not Keras' own: name the module that defines "
            "it, model_code=MODULE or model_code=FILE.py"
        )
    return InvalidInputError(
        f"model_code={model_code!r}: {module.__file__} has no {reference.name}, and registers none "
        f"as {reference.registered_name}, which {source} needs; expected the module that defines it"
    )


def _imported(model_code: str) -> ModuleType:
    path = model_code_path(model_code)
    try:
        if model_code.endswith(".py"):
            with _importable(path.resolve().parent):
                return _from_file(path.resolve())
        with current_folder_importable():
            return importlib.import_module(model_code)
    except Exception as error:  # whatever the module's own code raises
        raise InvalidInputError(
            f"model_code={model_code!r}: {path} cannot be imported ({in_one_line(error)})"
        ) from error


def _from_file(path: Path) -> ModuleType:
    loaded = sys.modules.get(path.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
