"""The Python files that are a program's own: what it imports but is not installed, in turn.

Sacred by itself sees only what the program's file has imported out of its folder when the
experiment is made. Here the imports are followed as Python would go, to those modules that a run
can load and to no others: not to all that a package hands out, but to the module that has the name.

Modules of `nn_clustering.tracking` are no program's code: they store what a run gives and read what
others gave, and what they hand to it (config, seed, inputs) is told apart by itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sacred.dependencies import PackageDependency, Source, get_digest

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.imports import (
    STAR,
    WHOLE,
    Chain,
    FileImports,
    Import,
    imports_of,
    reads_of,
)
from nn_clustering.tracking.package_versions import counted_versions, distributions_of, version_of

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from sacred import Experiment, Ingredient

# Folders of packages that are installed, wherever an environment lies.
_INSTALLED = ("site-packages", "dist-packages")
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)
_TRACKING = tuple(__name__.split(".")[:-1])
_TRACKING_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class OwnCode:
    """The code of a program.

    Attributes:
        files: Its own files that a run can load, the program's among them.
        stubs: Files in which packages of its own look for the names that they hand out.
        names: What it reads of these: the stub, the name, and which module has it.
        packages: Names of the top-level modules from elsewhere that it imports.
    """

    files: frozenset[Path] = frozenset()
    stubs: frozenset[Path] = frozenset()
    names: frozenset[tuple[Path, str, str]] = frozenset()
    packages: frozenset[str] = frozenset()

    def __or__(self, other: OwnCode) -> OwnCode:
        """The code of both."""
        return OwnCode(
            self.files | other.files,
            self.stubs | other.stubs,
            self.names | other.names,
            self.packages | other.packages,
        )

    def digest(self, folder: Path) -> str:
        """The SHA-256 of the files' content, and of what the names stand for.

        That of a single file is the SHA-256 of its content.

        Args:
            folder: What lies in it is told apart by its path from there.
        """
        digests = {
            _name_from(path, folder): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.files
        }
        if len(digests) == 1 and not self.names:
            return next(iter(digests.values()))
        names = sorted(
            (_name_from(stub, folder), name, module) for stub, name, module in self.names
        )
        return hashlib.sha256(repr([sorted(digests.items()), names]).encode()).hexdigest()


def add_own_code(experiment: Experiment, packages: Sequence[str] = ()) -> OwnCode:
    """Have an experiment store all of its own code, ingredients' too.

    That is, its file and those that this imports, in turn and wherever in a file the import
    stands; and the versions of the installed packages that they import.

    Args:
        experiment: Any Sacred experiment. One without a file, as in a notebook, has no such code.
        packages: Names of packages that are its own even where they are installed.

    Returns:
        The code.
    """
    found = OwnCode()
    for ingredient, _ in experiment.traverse_ingredients():
        if ingredient.mainfile is not None:
            program, folder = Path(ingredient.mainfile.filename), Path(ingredient.base_dir)
            code = own_code(program, folder, packages)
            add_sources(ingredient, code.files | code.stubs)
            ingredient.dependencies.update(versions_of(code.packages))
            found |= code
    return found


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


def can_change_numbers(source: Path) -> bool:
    """Whether a file that is stored with runs counts for what they give.

    Stubs count by those of their names that are read, tracking not at all.
    """
    return source.suffix != ".pyi" and not source.resolve().is_relative_to(_TRACKING_FOLDER)


def versions_of(packages: Iterable[str]) -> Iterator[PackageDependency]:
    """Those of packages, by the names of their modules, that are installed, and what counts more.

    That is, what they rest on and a program's numbers with them.
    """
    for name in sorted(packages):
        # Another distribution may hold the module, as tensorflow-cpu does that of tensorflow.
        found = PackageDependency.create(ModuleType(name))
        found.fill_missing_version()
        if found.version is not None:
            yield found
            continue
        for distribution in distributions_of(name):
            yield PackageDependency(distribution, version_of(distribution))
    for distribution, version in counted_versions(packages).items():
        yield PackageDependency(distribution, version)


def own_code(program: Path, folder: Path, packages: Sequence[str] = ()) -> OwnCode:
    """Follow a program's imports, without importing anything.

    Args:
        program: Its file.
        folder: What lies in it, and is not installed, is the program's own; and so is what lies
            elsewhere and is in no installed distribution, whose version would tell it apart.
        packages: Names of top-level packages that are its own even where they are installed.
    """
    walk = _Walk(folder.resolve(), packages)
    walk.load(program.resolve())
    for path in _packages_around(program.resolve()):
        walk.load(path)
    return walk.code()


def named_code(name: str, folder: Path, packages: Sequence[str] = ()) -> OwnCode:
    """The code behind a dotted name that a user gives: the module's that has it.

    Args:
        name: Of a module, or of something in one: `my_networks.residual`.
        folder: Is looked in first; what lies in it, and is not installed, is the user's own.
        packages: Names of top-level packages that are the program's own even where they are
            installed.

    Returns:
        Nothing, where the name is none of a module of the user's own.
    """
    if not name or not all(part.isidentifier() for part in name.split(".")):
        return OwnCode()
    walk = _Walk(folder.resolve(), packages, looks_in_folder=True)
    walk.go(Import(tuple(name.split(".")), None), (*name.split("."), WHOLE))
    return walk.code()


def _packages_around(program: Path) -> Iterator[Path]:
    """The `__init__` of the packages that a program is in."""
    for folder in program.parents:
        path = folder / "__init__.py"
        if not path.is_file():
            return
        yield path


@dataclass(frozen=True)
class _Module:
    """A module, or a package.

    Attributes:
        file: What is run when it is loaded; None for a package without `__init__`.
        folders: Those of a package, where its modules are.
    """

    file: Path | None
    folders: tuple[Path, ...] = ()

    def inner(self, name: str) -> _Module | None:
        """Its module of a name."""
        if not self.folders or not name.isidentifier():
            return None
        for folder in self.folders:
            found = _module_at(folder, name)
            if found is not None:
                return found
        spaces = tuple(folder / name for folder in self.folders if (folder / name).is_dir())
        return _Module(None, spaces) if spaces else None

    def all_inner(self) -> Iterator[_Module]:
        """All of its modules."""
        for folder in self.folders:
            for path in sorted(folder.glob("*.py")):
                if path.name != "__init__.py":
                    yield _Module(path)
            for path in sorted(folder.glob("*/__init__.py")):
                yield _Module(path, (path.parent,))


def _module_at(folder: Path, name: str) -> _Module | None:
    init = folder / name / "__init__.py"
    if init.is_file():
        return _Module(init, (folder / name,))
    files = (folder / f"{name}{suffix}" for suffix in _SUFFIXES)
    return next((_Module(path) for path in files if path.is_file()), None)


@dataclass(frozen=True)
class _Reader:
    """Who reads attributes of a module: a file, by the name that the module has in it."""

    file: Path
    name: str


@dataclass
class _Walk:
    """Finds modules as Python would, and tells which of them are a program's own.

    Attributes:
        folder: The program's.
        packages: Names of top-level packages that are its own wherever they are.
        looks_in_folder: Whether modules are looked for there first.
    """

    folder: Path
    packages: Sequence[str] = ()
    looks_in_folder: bool = False
    _files: set[Path] = field(default_factory=set)
    _stubs: set[Path] = field(default_factory=set)
    _names: set[tuple[Path, str, str]] = field(default_factory=set)
    _foreign: set[str] = field(default_factory=set)
    _waiting: list[Path] = field(default_factory=list)
    _tops: dict[str, _Module | None] = field(default_factory=dict)
    _reached: set[tuple[_Module, Chain, _Reader | None]] = field(default_factory=set)
    # What the disk was asked once.
    _inner: dict[tuple[_Module, str], _Module | None] = field(default_factory=dict)
    _texts: dict[Path, FileImports] = field(default_factory=dict)

    def code(self) -> OwnCode:
        """All that is found when every import is followed."""
        while self._waiting:
            path = self._waiting.pop()
            for imported in self._imports_of(path).imports:
                self.follow(path, imported)
        return OwnCode(
            frozenset(self._files),
            frozenset(self._stubs),
            frozenset(self._names),
            frozenset(self._foreign - sys.stdlib_module_names),
        )

    def load(self, path: Path) -> None:
        """A file of the program's own is run."""
        if path not in self._files:
            self._files.add(path)
            self._waiting.append(path)

    def follow(self, importer: Path, imported: Import) -> None:
        """Load what a file's import loads, and what the file reads of that."""
        reader = None if imported.local is None else _Reader(importer, imported.local)
        self.go(imported, imported.parts, reader)

    def go(self, imported: Import, chain: Chain, reader: _Reader | None = None) -> None:
        """Load what an import loads.

        Args:
            imported: The import.
            chain: Its dotted name, and what is read of that.
            reader: Reads more of the module that this ends at; None for nobody.
        """
        if imported.folder is not None:  # near a file of the program's own
            self._read(_package_at(imported.folder), chain, reader)
        elif chain[: len(_TRACKING)] != _TRACKING:
            top = self._top(chain[0])
            if top is not None:
                self._read(top, chain[1:], reader)
            elif not imported.only_binds:
                self._foreign.add(chain[0])

    def _read(self, module: _Module, chain: Chain, reader: _Reader | None) -> None:
        """Read a chain of attributes of a module, and what somebody reads of its end."""
        key = (module, chain, reader)
        if key in self._reached or self._only_stores(module):
            return
        self._reached.add(key)
        if module.file is not None:
            self.load(module.file)
        if chain:
            self._read_name(module, chain[0], chain[1:], reader)
        elif reader is not None:
            for read in reads_of(reader.file).get(reader.name, ()):
                self._read(module, read, None)

    def _read_name(self, module: _Module, name: str, rest: Chain, reader: _Reader | None) -> None:
        if name in (STAR, WHOLE):
            self._take_all(module, is_star=name == STAR)
            return
        inner = self._inner_of(module, name)
        if inner is not None:
            self._read(inner, rest, reader)
        if module.file is None:
            return
        found = list(self._named_in(module.file, name))
        for imported in found:
            self.go(imported, (*imported.parts, *rest), reader)
        if inner is None and not found and self._imports_of(module.file).finds_names:
            self._take_all(module, is_star=False)

    def _named_in(self, file: Path, name: str) -> Iterator[Import]:
        """What a module has under a name that it imports, or that its stub lists."""
        found = self._imports_of(file)
        yield from found.named(name)
        stub = file.with_suffix(".pyi")
        if found.has_stub and stub.is_file():
            self._stubs.add(stub)
            for imported in self._imports_of(stub).named(name):
                self._names.add((stub, name, imported.text))
                yield imported

    def _take_all(self, module: _Module, *, is_star: bool) -> None:
        found = FileImports() if module.file is None else self._imports_of(module.file)
        stub = None if module.file is None else module.file.with_suffix(".pyi")
        if found.has_stub and stub is not None and stub.is_file():
            for imported in self._imports_of(stub).imports:
                if imported.local is not None:
                    self._read(module, (imported.local,), None)
        elif is_star or found.finds_names:
            for inner in module.all_inner():
                self._read(inner, (), None)
        if is_star:
            for imported in found.imports:
                if imported.local is not None:
                    self.go(imported, (*imported.parts, WHOLE))

    def _inner_of(self, module: _Module, name: str) -> _Module | None:
        if (module, name) not in self._inner:
            self._inner[module, name] = module.inner(name)
        return self._inner[module, name]

    def _imports_of(self, path: Path) -> FileImports:
        if path not in self._texts:
            self._texts[path] = imports_of(path)
        return self._texts[path]

    def _top(self, name: str) -> _Module | None:
        """The top-level module of a name, if it is the program's own."""
        if name not in self._tops:
            self._tops[name] = self._find_own(name)
        return self._tops[name]

    def _find_own(self, name: str) -> _Module | None:
        spec = _find(name, [str(self.folder)] if self.looks_in_folder else [])
        if spec is None:
            return None
        file = Path(spec.origin).resolve() if spec.has_location and spec.origin else None
        folders = tuple(Path(folder).resolve() for folder in spec.submodule_search_locations or ())
        place = file or next(iter(folders), None)
        if place is None or not (name in self.packages or self._is_own(name, place)):
            return None
        return _Module(file, folders)

    def _is_own(self, name: str, path: Path) -> bool:
        if self._is_installed(path):
            return False
        return path.is_relative_to(self.folder) or not distributions_of(name)

    def _is_installed(self, path: Path) -> bool:
        if any(name in path.parts and name == self.folder.name for name in _INSTALLED):
            # The program's folder is that of an environment's packages: its own were named.
            return not any(path.is_relative_to(self.folder / name) for name in self.packages)
        inside = path.is_relative_to(self.folder)
        parts = (path.relative_to(self.folder) if inside else path).parts
        if any(name in parts for name in _INSTALLED):
            return True
        # A folder within the standard library is no part of it.
        library = self._standard_library
        return path.is_relative_to(library) and not (inside and self.folder.is_relative_to(library))

    @cached_property
    def _standard_library(self) -> Path:
        return Path(sysconfig.get_path("stdlib")).resolve()

    @staticmethod
    def _only_stores(module: _Module) -> bool:
        place = module.file or module.folders[0]
        return place.is_relative_to(_TRACKING_FOLDER)


def _package_at(folder: Path) -> _Module:
    init = folder / "__init__.py"
    return _Module(init if init.is_file() else None, (folder,))


def _find(name: str, places: Sequence[str]) -> ModuleSpec | None:
    """The specification of a top-level module, which is not imported."""
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if loaded is not None:
        found: ModuleSpec = loaded
        return found
    spec = PathFinder.find_spec(name, list(places)) if places else None
    if spec is not None and (spec.has_location or spec.submodule_search_locations):
        return spec
    for finder in sys.meta_path:
        with contextlib.suppress(ImportError, AttributeError, ValueError):
            spec = finder.find_spec(name, None)
            if spec is not None:
                return spec
    return None


def _name_from(path: Path, folder: Path) -> str:
    """A file's name, the same on every machine."""
    return os.path.relpath(path, folder) if path.is_relative_to(folder) else path.name
