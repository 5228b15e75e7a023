"""The Python files that are a program's own: what it imports but is not installed, in turn.

Sacred by itself sees only what the program's file has imported out of its folder when the
experiment is made.
"""

from __future__ import annotations

import ast
import contextlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sacred.dependencies import PackageDependency, Source, get_digest

from nn_clustering.tracking.errors import InvalidInputError

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from sacred import Experiment, Ingredient

# Folders of packages that are installed, wherever an environment lies.
_INSTALLED = ("site-packages", "dist-packages")


def add_own_code(experiment: Experiment) -> None:
    """Have an experiment count and store all of its own code, ingredients' too.

    That is, its file and those that this imports, in turn and wherever in a file the import
    stands; and the versions of the installed packages that they import.

    Args:
        experiment: Any Sacred experiment. One without a file, as in a notebook, has no such code.
    """
    for ingredient, _ in experiment.traverse_ingredients():
        if ingredient.mainfile is not None:
            code = own_code(Path(ingredient.mainfile.filename), Path(ingredient.base_dir))
            add_sources(ingredient, code.files)
            ingredient.dependencies.update(versions_of(code.packages))


def add_sources(ingredient: Ingredient, paths: Iterable[Path]) -> None:
    """Have an experiment, or an ingredient of one, count and store files as its code.

    Files that it knows already keep the digest that they had at first.
    """
    known = {source.filename for source in ingredient.sources}
    for path in sorted({path.resolve() for path in paths}):
        if str(path) not in known:
            # Git's state is not that of each file: asking takes long.
            ingredient.sources.add(Source(str(path), get_digest(str(path)), None, None, None))


def python_files(places: Iterable[Path]) -> Iterator[Path]:
    """The Python files of folders, at any depth, and files that are named themselves.

    Stubs are among them, for a package may look there which of its modules a name stands for.

    Raises:
        InvalidInputError: There is no such folder or file.
    """
    for place in places:
        if place.is_file():
            yield place
        elif place.is_dir():
            yield from sorted(path for path in place.rglob("*") if path.suffix in (".py", ".pyi"))
        else:
            raise InvalidInputError(f"sources: {place} is not there; expected a file or a folder")


def versions_of(packages: Iterable[str]) -> Iterator[PackageDependency]:
    """Those of packages of these names, of modules or of distributions, that are installed."""
    for name in sorted(packages):
        # Another distribution may hold the module, as tensorflow-cpu does that of tensorflow.
        found = PackageDependency.create(ModuleType(name))
        found.fill_missing_version()
        if found.version is not None:
            yield found
            continue
        # Not every distribution lists its modules where Sacred looks; scikit-learn does not.
        for distribution in sorted(set(_distributions_by_module().get(name, ()))):
            yield PackageDependency(distribution, metadata.version(distribution))


@cache
def _distributions_by_module() -> Mapping[str, list[str]]:
    """The installed distributions that hold a top-level module; to find them takes a while."""
    return metadata.packages_distributions()


@dataclass(frozen=True)
class OwnCode:
    """The code of a program.

    Attributes:
        files: Its own files, the program's among them.
        packages: Names of the top-level modules from elsewhere that they import.
    """

    files: frozenset[Path]
    packages: frozenset[str]


def own_code(program: Path, folder: Path) -> OwnCode:
    """Follow a program's imports, without importing anything.

    Args:
        program: Its file.
        folder: What lies in it, and is not installed, is the program's own; and so is what lies
            elsewhere and is in no installed distribution, whose version would tell it apart.
    """
    walk = _Walk(folder.resolve())
    waiting = [program.resolve(), *_packages_around(program.resolve())]
    files: set[Path] = set()
    packages: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in files or not path.is_file():  # a stub that is not there
            continue
        files.add(path)
        # A package that hands out names when they are asked for lists them in its stub.
        waiting.append(path.with_suffix(".pyi"))
        for imported in _imports_of(path):
            found = set(walk.files_of(imported))
            waiting += found
            if not found and imported.folder is None:
                packages.add(imported.parts[0])
    return OwnCode(frozenset(files), frozenset(packages - sys.stdlib_module_names))


@dataclass(frozen=True)
class _Import:
    """A module that may be imported; what stands last may also be a name in it.

    Attributes:
        parts: Of its dotted name.
        folder: Where the name starts, for a relative import.
    """

    parts: tuple[str, ...]
    folder: Path | None = None


def _packages_around(program: Path) -> Iterator[Path]:
    """The `__init__` of the packages that a program is in."""
    for folder in program.parents:
        path = folder / "__init__.py"
        if not path.is_file():
            return
        yield path


def _imports_of(path: Path) -> Iterator[_Import]:
    if path.suffix not in (".py", ".pyi"):
        return  # compiled
    with contextlib.suppress(OSError, SyntaxError, ValueError):
        for node in ast.walk(ast.parse(path.read_bytes())):
            yield from _named(node, path.parent)


def _named(node: ast.AST, folder: Path) -> Iterator[_Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _Import(tuple(alias.name.split(".")))
    elif isinstance(node, ast.ImportFrom):
        start = [folder, *folder.parents][node.level - 1] if node.level else None
        module = tuple(node.module.split(".")) if node.module else ()
        for alias in node.names:
            yield _Import((*module, alias.name), start)


class _Walk:
    """Finds modules as Python would, and tells which of them are a program's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._specs: dict[str, ModuleSpec | None] = {}
        self._distributed: dict[str, bool] = {}

    def files_of(self, imported: _Import) -> Iterator[Path]:
        """The program's own among the files that an import may run, packages' `__init__` too."""
        if imported.folder is not None:
            found = _below(imported.folder, imported.parts)
        else:
            found = self._from_the_top(*imported.parts)
        for path in found:
            if not path.is_file() or self._is_installed(path):
                continue
            # What an own file names from where it stands is its program's, wherever that is.
            is_near = imported.folder is not None or path.is_relative_to(self._folder)
            if is_near or not self._is_distributed(imported.parts[0]):
                yield path

    def _from_the_top(self, package: str, *modules: str) -> Iterator[Path]:
        spec = self._spec(package)
        if spec is None:
            return
        if spec.has_location and spec.origin is not None:
            yield Path(spec.origin).resolve()
        for place in spec.submodule_search_locations or ():
            yield from _below(Path(place).resolve(), modules)

    def _spec(self, name: str) -> ModuleSpec | None:
        if name not in self._specs:
            self._specs[name] = _find(name)
        return self._specs[name]

    @cached_property
    def _standard_library(self) -> Path:
        return Path(sysconfig.get_path("stdlib")).resolve()

    def _is_installed(self, path: Path) -> bool:
        inside = path.is_relative_to(self._folder)
        parts = (path.relative_to(self._folder) if inside else path).parts
        if any(name in parts for name in _INSTALLED):
            return True
        # A folder within the standard library is no part of it.
        library = self._standard_library
        return path.is_relative_to(library) and not (
            inside and self._folder.is_relative_to(library)
        )

    def _is_distributed(self, package: str) -> bool:
        """Whether a distribution holds a module: installed, if only by a link to where it lies."""
        if package not in self._distributed:
            self._distributed[package] = any(versions_of([package]))
        return self._distributed[package]


def _find(name: str) -> ModuleSpec | None:
    """The specification of a top-level module, which is not imported."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        found: ModuleSpec = loaded
        return found
    for finder in sys.meta_path:
        with contextlib.suppress(ImportError, AttributeError, ValueError):
            spec = finder.find_spec(name, None)
            if spec is not None:
                return spec
    return None


def _below(folder: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    """The files that an import from a package's folder may run, whether they are there or not."""
    yield folder / "__init__.py"
    if parts[-1:] == ("*",):  # all modules that the package may say are meant
        yield from folder.joinpath(*parts[:-1]).glob("*.py")
        yield from folder.joinpath(*parts[:-1]).glob("*/__init__.py")
    for end in range(1, len(parts) + 1):
        place = folder.joinpath(*parts[:end])
        yield place.with_name(f"{place.name}.py")
        yield place / "__init__.py"
