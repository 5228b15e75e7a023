"""The installed packages that a program's numbers may come from, and their versions."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
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
    installed = _installed(tuple(sys.path))
    counted: dict[str, str] = {}
    waiting = [name for module in modules for name in installed.holders(module)]
    while waiting:
        name = waiting.pop()
        found = installed.distribution(name)
        if name in counted or name in _SHOW_OR_STORE or found is None:
            continue
        counted[name] = found.version
        waiting += (required for required in found.requires if installed.computes(required))
        waiting += _BACK_ENDS.get(name, ())
    return dict(sorted(counted.items()))


def distributions_of(module: str) -> list[str]:
    """Normalised names of the installed distributions that hold a top-level module."""
    return _installed(tuple(sys.path)).holders(module)


def version_of(distribution: str) -> str | None:
    """The version of an installed distribution, by its normalised name."""
    found = _installed(tuple(sys.path)).distribution(distribution)
    return None if found is None else found.version


@dataclass(frozen=True)
class _Distribution:
    """An installed distribution: its version, and the normalised names that it requires."""

    version: str
    requires: tuple[str, ...]

    @classmethod
    def of_text(cls, metadata_text: str) -> _Distribution:
        """Read the file that says what it is; extras that it offers do not count."""
        header = metadata_text.partition("\n\n")[0]
        version = re.search(r"^Version: *(\S+)", header, re.MULTILINE)
        required = re.findall(r"^Requires-Dist: *([\w.-]+)([^\n]*)", header, re.MULTILINE)
        names = [_normalised(name) for name, rest in required if "extra" not in rest]
        return cls(version[1] if version else "", tuple(names))


class _Installed:
    """The distributions in the folders where Python looks for modules, each read once."""

    def __init__(self, places: Sequence[str]) -> None:
        self._places = [Path(place) for place in dict.fromkeys(places)]
        self._distributions: dict[str, _Distribution | None] = {}
        self._holders: dict[str, list[str]] = {}

    def distribution(self, name: str) -> _Distribution | None:
        """That of a normalised name."""
        if name not in self._distributions:
            self._distributions[name] = self._read(name)
        return self._distributions[name]

    def holders(self, module: str) -> list[str]:
        """Names of those that hold a top-level module."""
        if module not in self._holders:
            self._holders[module] = self._find_holders(module)
        return self._holders[module]

    def computes(self, name: str, within: tuple[str, ...] = ()) -> bool:
        """Whether one computes on arrays; `within` are those that led to it."""
        if name.startswith(_OF_ARRAYS):
            return True
        found = None if name in (*within, *_SHOW_OR_STORE) else self.distribution(name)
        return found is not None and any(
            self.computes(required, (*within, name)) for required in found.requires
        )

    def _read(self, name: str) -> _Distribution | None:
        places = list(map(str, self._places))
        for found in metadata.Distribution.discover(name=name, path=places):
            text = found.read_text("METADATA") or found.read_text("PKG-INFO")
            return _Distribution.of_text(text or "")
        return None

    def _find_holders(self, module: str) -> list[str]:
        listed = self._by_listed_module.get(module)
        if listed is not None:
            return listed
        name = _normalised(module)
        # Not every distribution lists its modules where it is quick to look: scikit-learn does not.
        return [name] if self.distribution(name) is not None else self._by_files(module)

    @cached_property
    def _by_listed_module(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for place in self._places:
            for listed in place.glob("*-info/top_level.txt"):
                name = _normalised(listed.parent.name.partition("-")[0])
                for module in listed.read_text(encoding="utf-8").split():
                    if name not in found.setdefault(module, []):
                        found[module].append(name)
        return found

    def _by_files(self, module: str) -> list[str]:
        beginnings = [f"\n{module}{end}" for end in ("/", ".py,", ".cpython-", ".abi3.", ".pyd,")]
        found = []
        for place in self._places:
            for listed in place.glob("*.dist-info/RECORD"):
                text = "\n" + listed.read_text(encoding="utf-8", errors="replace")
                if any(beginning in text for beginning in beginnings):
                    found.append(_normalised(listed.parent.name.partition("-")[0]))
        return found


# The folders are those of a process, mostly; whoever adds one has its packages looked up.
_installed = lru_cache(maxsize=8)(_Installed)


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
