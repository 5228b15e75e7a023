"""The installed packages that a program's numbers may come from, and their versions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path

# What only shows, stores, or reads what a user types: no version of these changes a number. They
# are distributions, by the normalised name.
_SHOW_OR_STORE = (
    # what a user types, and what a terminal shows
    "absl-py", "click", "colorama", "docopt", "fire", "loguru", "prettytable", "rich", "structlog",
    "tabulate", "termcolor", "tqdm", "typer",
    # pictures and pages
    "altair", "bokeh", "dash", "graphviz", "ipykernel", "ipython", "ipywidgets", "jinja2",
    "jupyter", "matplotlib", "notebook", "plotly", "pydot", "seaborn", "visdom",
    # stores of runs and of files
    "comet-ml", "gitpython", "mlflow", "neptune", "pooch", "pymongo", "sacred", "tensorboard",
    "tensorboard-data-server", "tensorboardx", "wandb",
    # how modules are found, and tested
    "hypothesis", "importlib-metadata", "importlib-resources", "lazy-loader", "namex", "packaging",
    "pip", "pytest", "setuptools", "typing-extensions", "wheel",
)  # fmt: skip
# What computes on arrays is made of these, or requires what is.
_OF_ARRAYS = ("numpy", "nvidia")
# Does its work by one of them, whichever is there, without requiring any.
_BACK_ENDS: Mapping[str, tuple[str, ...]] = {"keras": ("tensorflow", "jax", "torch")}


def counted_versions(modules: Iterable[str]) -> dict[str, str]:
    """The versions of all installed packages that can change a program's numbers.

    These are the distributions of the modules that it imports, but for those that only show or
    store; and of what these require, in turn, that which computes on arrays. What else they require
    (certificates, say) comes in new versions every month, and changes nothing.

    Args:
        modules: Top-level modules that the program's own files import.

    Returns:
        Version by normalised name of the distribution.
    """
    return dict(_counted_versions(frozenset(modules)))


@lru_cache(maxsize=64)
def _counted_versions(modules: frozenset[str]) -> tuple[tuple[str, str], ...]:
    counted: dict[str, str] = {}
    waiting = [name for module in modules for name in distributions_of(module)]
    while waiting:
        name = waiting.pop()
        found = _distribution(name)
        if name in counted or name in _SHOW_OR_STORE or found is None:
            continue
        counted[name] = found.version
        waiting += (required for required in found.requires if _computes(required))
        waiting += _BACK_ENDS.get(name, ())
    return tuple(sorted(counted.items()))


def distributions_of(module: str) -> list[str]:
    """Normalised names of the installed distributions that hold a top-level module."""
    name = _normalised(module)
    if _distribution(name) is not None and module not in _by_module():
        return [name]
    # Not every distribution lists its modules where it is quick to look: scikit-learn does not.
    return _by_module().get(module) or _by_files(module)


def version_of(distribution: str) -> str | None:
    """The version of an installed distribution, by its normalised name."""
    found = _distribution(distribution)
    return None if found is None else found.version


class _Distribution:
    """What is known of an installed distribution: its version, and the names that it requires."""

    def __init__(self, header: str) -> None:
        version = re.search(r"^Version: *(\S+)", header, re.MULTILINE)
        self.version = version[1] if version else ""
        lines = re.findall(r"^Requires-Dist: *([\w.-]+)([^\n]*)", header, re.MULTILINE)
        self.requires = [_normalised(name) for name, rest in lines if "extra ==" not in rest]


@cache
def _distribution(name: str) -> _Distribution | None:
    try:
        found = metadata.distribution(name)
    except (metadata.PackageNotFoundError, ValueError):
        return None
    text = found.read_text("METADATA") or found.read_text("PKG-INFO") or ""
    return _Distribution(text.partition("\n\n")[0])


def _computes(name: str, within: tuple[str, ...] = ()) -> bool:
    """Whether a distribution computes on arrays; `within` are those that led here."""
    if name.startswith(_OF_ARRAYS):
        return True
    found = None if name in within or name in _SHOW_OR_STORE else _distribution(name)
    return found is not None and any(
        _computes(required, (*within, name)) for required in found.requires
    )


@cache
def _by_module() -> Mapping[str, list[str]]:
    """The distributions by those top-level modules that they list themselves."""
    found: dict[str, list[str]] = {}
    for place in map(Path, dict.fromkeys(sys.path)):
        for listed in place.glob("*-info/top_level.txt"):
            name = _normalised(listed.parent.name.partition("-")[0])
            for module in listed.read_text(encoding="utf-8").split():
                if name not in found.setdefault(module, []):
                    found[module].append(name)
    return found


@cache
def _by_files(module: str) -> list[str]:
    """The distributions that list a file of a top-level module as theirs."""
    beginnings = [f"\n{module}{end}" for end in ("/", ".py,", ".cpython-", ".abi3.", ".pyd,")]
    found = []
    for place in map(Path, dict.fromkeys(sys.path)):
        for listed in place.glob("*.dist-info/RECORD"):
            text = "\n" + listed.read_text(encoding="utf-8", errors="replace")
            if any(beginning in text for beginning in beginnings):
                found.append(_normalised(listed.parent.name.partition("-")[0]))
    return found


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
