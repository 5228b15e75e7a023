"""A run's program as it was, out of the run's stored sources and configs.

The names of sources come from the database: each becomes a path below one folder, whatever it says.
"""

from __future__ import annotations

import ast
import errno
import posixpath
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import DamagedArtifactError, TrackingError
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.run_ids import by_id, id_text, read_id, stored_ids
from nn_clustering.tracking.store.originals import checked_file

if TYPE_CHECKING:
    from pymongo.database import Database

    from nn_clustering.tracking.store.run import Run

# What goes wrong with each of the files, if with one.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# A stage stores each file of its configs as such an artifact: stage, then the name of the config.
_CONFIG = re.compile(r"config\.([A-Za-z]\w*)\.([^/\\]+\.yaml)")


@dataclass(frozen=True)
class StoredProgram:
    """A program that was written into a folder.

    Attributes:
        base: The folder that its sources are relative to.
        program: Its own file.
        command: What it was asked to do.
        is_stage: Whether it is a `StageExperiment`.
    """

    base: Path
    program: Path
    command: str
    is_stage: bool
    _folder: Path = field(repr=False)
    _places: _Places = field(repr=False)

    @property
    def arguments(self) -> list[str]:
        """What starts it, after the interpreter, in its folder or elsewhere."""
        return program_arguments(self.program, self.base)

    def place_of(self, path: str) -> Path:
        """Where a file or folder is now that the run saw elsewhere, written or not.

        Args:
            path: As seen from the folder that the sources were relative to, like their names.
        """
        return self._folder / self._places.of(path)


def write_program(
    database: Database, run: Run, folder: Path, also: Sequence[str] = ()
) -> StoredProgram:
    """Write a run's program, with its configs, into an empty folder.

    Args:
        database: Where the run is.
        run: The run.
        folder: The folder.
        also: Further folders that shall have a place there, as seen from the one that the sources
            were relative to.

    Raises:
        TrackingError: The run has no stored sources, or some of them are missing or damaged.
    """
    document = database["runs"].find_one(by_id(run.id)) or {}
    experiment = document.get("experiment")
    experiment = experiment if isinstance(experiment, Mapping) else {}
    sources = list(_sources(experiment))
    if not sources:
        raise TrackingError(
            f"run {id_text(run.id)} has no stored sources: it was made in a notebook, or by an "
            "observer that stores none; expected a run that was made by a program"
        )
    main, command = experiment.get("mainfile"), document.get("command")
    configs = _config_names(document)
    names = [*(name for name, _ in sources), *configs.values()]
    places = _places(str(experiment.get("base_dir") or ""), names, also)
    if not isinstance(main, str) or main not in places.files:
        raise TrackingError(
            f"run {id_text(run.id)} does not say which of its sources is the program "
            f"(mainfile={main!r})"
        )
    if not isinstance(command, str) or not re.fullmatch(r"\w[\w.]*", command):
        raise TrackingError(
            f"run {id_text(run.id)} does not say which command made it ({command!r})"
        )
    _write_sources(database, run, sources, places, folder)
    base, program = folder / places.base, folder / places.files[main]
    known = {artifact: folder / places.files[name] for artifact, name in configs.items()}
    guesses = [base / "configs", program.parent / "configs"]
    try:
        base.mkdir(parents=True, exist_ok=True)
        is_stage = _write_configs(run, known, guesses)
    except OSError as problem:
        raise TrackingError(
            f"the configs of run {id_text(run.id)} cannot be written ({problem.strerror})"
        ) from None
    return StoredProgram(base, program, command, is_stage, folder, places)


def program_arguments(program: Path, base: Path) -> list[str]:
    """What starts a program, after the interpreter, where the folder `base` can be imported from.

    Args:
        program: Its file.
        base: Holds its packages.
    """
    if not program.is_relative_to(base) or not _imports_relatively(program):
        return [str(program)]
    return ["-m", ".".join(program.relative_to(base).with_suffix("").parts)]


def changed_packages(experiment: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Versions of packages then and now, of those that a run noted and that differ."""
    changed = {}
    noted = experiment.get("dependencies")
    for entry in noted if isinstance(noted, list) else ():
        name, _, then = str(entry).partition("==")
        try:
            now = metadata.version(name)
        except (metadata.PackageNotFoundError, ValueError):
            now = "none"
        if then and now != then:
            changed[name] = (then, now)
    return changed


@dataclass(frozen=True)
class _Places:
    """Where the sources of a program go, relative to a folder."""

    base: PurePosixPath
    files: Mapping[str, PurePosixPath]
    root: str
    common: str

    def of(self, name: str) -> PurePosixPath:
        """The place of what lies within the same tree.

        Raises:
            TrackingError: It does not.
        """
        path = _within(self.root, name)
        if posixpath.commonpath([path, self.common]) != self.common:
            raise TrackingError(f"{name!r} has no place among the sources of the program")
        return PurePosixPath(posixpath.relpath(path, self.common))


def _places(base_dir: str, names: list[str], also: Sequence[str] = ()) -> _Places:
    """Places for sources which stand to each other as they did.

    The names may lead anywhere: they are taken as of one tree, of which only what all have in
    common is left out.
    """
    root = _within("/", base_dir)
    absolute = {name: _within(root, name) for name in names}
    others = [_within(root, name) for name in also]
    common = posixpath.commonpath([root, *absolute.values(), *others])
    return _Places(
        PurePosixPath(posixpath.relpath(root, common)),
        {name: PurePosixPath(posixpath.relpath(path, common)) for name, path in absolute.items()},
        root,
        common,
    )


def _within(start: str, name: str) -> str:
    """A path from the top of the tree, without `..` and what no file can be called."""
    clean = "".join(letter if letter.isprintable() else "_" for letter in name).replace("\\", "/")
    return "/" + posixpath.normpath(posixpath.join("/", start, clean)).lstrip("/")


def _sources(experiment: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    noted = experiment.get("sources")
    for entry in noted if isinstance(noted, list) else ():
        if isinstance(entry, (list, tuple)) and len(entry) == 2 and isinstance(entry[0], str):
            yield entry[0], entry[1]


def _write_sources(
    database: Database,
    run: Run,
    sources: list[tuple[str, Any]],
    places: _Places,
    folder: Path,
) -> None:
    ids = stored_ids(file_id for _, file_id in sources)
    found = database["fs.files"].find({"_id": {"$in": ids}})
    stored = {read_id(document["_id"]): document for document in found}
    problems = []
    for name, file_id in sources:
        target = folder / places.files[name]
        try:
            if read_id(file_id) not in stored:
                raise DamagedArtifactError(f"{name!r} is missing")
            with checked_file(database, stored[read_id(file_id)], repr(name)) as path:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        except (DamagedArtifactError, OSError) as problem:
            if isinstance(problem, OSError) and problem.errno in _NO_ROOM:
                raise TrackingError(
                    f"the stored sources of run {id_text(run.id)} cannot be written to "
                    f"{target.parent} ({problem.strerror}): free some space there, or in "
                    f"{tempfile.gettempdir()}"
                ) from None
            problems.append(str(problem))
    if problems:
        raise TrackingError(
            f"{len(problems)} of {len(sources)} stored sources of run {id_text(run.id)} cannot be "
            f"used: {listed(problems)}"
        )


def _config_names(document: Mapping[str, Any]) -> dict[str, str]:
    """Where a stage had the files of its configs, by the artifacts that hold them."""
    info = document.get("info")
    noted = info.get("config_files") if isinstance(info, Mapping) else None
    found = noted if isinstance(noted, Mapping) else {}
    return {artifact: name for artifact, name in found.items() if isinstance(name, str)}


def _write_configs(run: Run, known: Mapping[str, Path], guesses: Sequence[Path]) -> bool:
    """Write the configs of a stage where it looks for them; returns whether it is a stage.

    Args:
        run: The run.
        known: The files of artifacts that hold configs.
        guesses: Folders of configs, for runs of former versions, which do not say where theirs is.

    Raises:
        DamagedArtifactError: One of them is damaged.
    """
    for artifact in run.artifacts:
        parts = _CONFIG.fullmatch(artifact)
        if artifact in known:
            targets = [known[artifact]]
        elif parts is not None and not re.match(r"\d+\.default", parts[2]):
            targets = [folder / parts[1] / parts[2] for folder in guesses]
        else:
            continue
        for target in targets:
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(run.artifact(artifact))
    return f"config.{run.experiment}.default.yaml" in run.artifacts


def _imports_relatively(program: Path) -> bool:
    """Whether a program is a module of a package, which has to be started as one."""
    try:
        tree = ast.parse(program.read_bytes())
    except (SyntaxError, ValueError):
        return False
    return any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))
