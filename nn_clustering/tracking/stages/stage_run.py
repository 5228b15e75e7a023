"""What a stage works with while it runs."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol

from nn_clustering.tracking.errors import (
    InvalidInputError,
    NnClusteringError,
    ServerUnavailableError,
)
from nn_clustering.tracking.execution_keys import N_THREADS
from nn_clustering.tracking.stages.context import FinishedRun, StageContext
from nn_clustering.tracking.stages.resumption import adopt_config

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pymongo.database import Database
    from sacred.run import Run as SacredRun
    from tqdm import tqdm
    from typing_extensions import TypeVar

    from nn_clustering.tracking.own_code import OwnCode
    from nn_clustering.tracking.run_ids import RunId
    from nn_clustering.tracking.stages.configs import ConfigFile
    from nn_clustering.tracking.store.run import Run
    from nn_clustering.tracking.store.run_store import RunStore

    Inputs_co = TypeVar("Inputs_co", covariant=True, default=object)
else:
    from typing import TypeVar

    Inputs_co = TypeVar("Inputs_co", covariant=True)

# By the ending of a figure's files: what matplotlib would write into them that is not the figure.
_FORMS_OF_FIGURES = {
    ".png": ("Software",),
    ".pdf": ("CreationDate", "Creator", "Producer"),
}
# Of a font, by which programs set text. A PDF file says where each letter stands and needs none of
# them, and to cut them to its letters takes longer than all else about it.
_TABLES_FOR_SETTING_TEXT = ("GDEF", "GPOS", "GSUB", "MATH", "kern")


@contextlib.contextmanager
def _text_as_text() -> Iterator[None]:
    """Within the block, PDF files get TrueType, not drawings of letters that cannot be marked.

    Of the fonts they get the letters alone, and it is not told in dozens of lines which tables.
    """
    from fontTools import subset
    from matplotlib import rc_context

    load_font = subset.load_font

    def load_letters(*file: Any, **options: Any) -> Any:
        font = load_font(*file, **options)
        for table in _TABLES_FOR_SETTING_TEXT:
            if table in font:
                del font[table]
        return font

    level = subset.log.level
    subset.log.setLevel(logging.WARNING)
    try:
        with rc_context({"pdf.fonttype": 42}), _replaced(subset, "load_font", load_letters):
            yield
    finally:
        subset.log.setLevel(level)


@contextlib.contextmanager
def _replaced(module: object, name: str, other: object) -> Iterator[None]:
    """Within the block, the module has the other one by that name."""
    before = getattr(module, name)
    setattr(module, name, other)
    try:
        yield
    finally:
        setattr(module, name, before)


class Part(Protocol):
    """An experiment that can run as a part of another's run."""

    def run_as_part(
        self, whole: StageRun, updates: Mapping[str, Any], named: Sequence[str] = ()
    ) -> FinishedRun:
        """Run it, tracked where the whole is."""


@dataclass(frozen=True)
class StageRun(Generic[Inputs_co]):
    """What a stage's functions work with: its config, the stored runs, places to log to.

    ``StageRun[Inputs]`` has inputs of that type; of a plain ``StageRun`` they are not looked at.

    Attributes:
        context: What the stage's experiment lends the run.
        sacred_run: Sacred's side of the run.
        inputs: What the stage's ``inputs`` function has returned.
        prepared: What its ``prepare`` function has returned.
        reused: The stored run whose result is shown in place of a new one's, if any.
    """

    context: StageContext
    sacred_run: SacredRun
    inputs: Inputs_co = field(repr=False)
    reused: Run | None = None
    prepared: Any = field(default=None, repr=False)

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration, nested as in the YAML files."""
        found: Mapping[str, Any] = self.sacred_run.config
        return found

    @property
    def named_configs(self) -> tuple[str, ...]:
        """The named configs, and paths of config files, that the run was started with."""
        return tuple(self.sacred_run.meta_info["named_configs"])

    @property
    def seed(self) -> int:
        """The seed that fixes the run."""
        return int(self.config["seed"])

    @property
    def id(self) -> RunId | None:
        """The run's id, or that of the run that is used instead; None where it is not tracked."""
        return self.sacred_run._id if self.reused is None else self.reused.id

    @property
    def database(self) -> Database | None:
        """The database that the run is tracked in, if it is."""
        return self.context.surroundings.database

    @property
    def is_tracked(self) -> bool:
        """Whether the run is stored, or will be once it starts."""
        is_observed = self.context.surroundings.is_program and not self.sacred_run.unobserved
        return self.database is not None or is_observed

    @property
    def store(self) -> RunStore:
        """The stored runs, for a run that is not tracked too."""
        return self.context.store.open()

    def read_run(self, key: str, experiment: str | Sequence[str]) -> Run:
        """Return the completed run that a config key names, and record that this run rests on it.

        The config keeps the id in place of ``latest``.

        Args:
            key: Name of the config key, whose value is a run's id or ``latest``.
            experiment: The experiment that it must be a run of, or several of which one must be.

        Raises:
            RunNotFoundError: If there is no such run, or it failed, or is of another experiment.
        """
        try:
            found = self.store.run(self.config[key], experiment=experiment)
        except NnClusteringError as error:
            raise type(error)(f"{key}={self.config[key]}: {error}") from None
        self.sacred_run.config[key] = found.id
        self.sacred_run.info.setdefault("lineage", {})[key] = found.id
        return found

    def unfinished_run(self, key: str, experiment: str) -> Run:
        """Return the unfinished run that a config key names, and record that this one rests on it.

        What its process left undelivered on this machine is delivered first. If the code has
        changed since, that is said.

        Args:
            key: Name of the config key, whose value is a run's id.
            experiment: The experiment that it must be a run of.

        Raises:
            RunNotFoundError: If there is no such run, or its process still runs, or it is
                COMPLETED, or is of another experiment.
            TrackingError: If what its process left cannot be delivered.
        """
        try:
            found = self.store.unfinished_run(self.config[key], experiment=experiment)
        except NnClusteringError as error:
            raise type(error)(f"{key}={self.config[key]}: {error}") from None
        self.sacred_run.info.setdefault("lineage", {})[key] = found.id
        then, now = (info.get("program_code") for info in (found.info, self.sacred_run.info))
        if then != now:
            print(
                f"the code, or a package, is not what it was in run {found.id}: what comes now may "
                "differ from what that run would have given"
            )
        return found

    def adopt_config(self, stored: Run, keep: Collection[str] = ()) -> None:
        """Take the config of a run that this one goes on with, from :meth:`unfinished_run`.

        Keys that the stored run does not have, being newer, stay as they are.

        Args:
            stored: The run.
            keep: Keys, or groups of keys, that stay as they are. So do in any case the key that
                names the run and those that say how to run rather than what (``reuse``, ``tags``,
                ``n_repeats``, ``n_workers``).

        Raises:
            InvalidInputError: If the user has set a key to another value than the stored run's.
        """
        lineage = self.sacred_run.info.get("lineage", {})
        key = next(key for key, run_id in lineage.items() if run_id == stored.id)
        context = self.context
        adopt_config(self.sacred_run.config, context.defaults, context.given, stored, key, keep)
        if N_THREADS in context.defaults:
            context.threads.use(self.config[N_THREADS])

    def typed_keys(self) -> list[str]:
        """Return the dotted keys that the command line sets one by one; none for a part's run."""
        return [key for key, typed in self.context.given.items() if typed.startswith(f"{key}=")]

    def suggest(self, *commands: str) -> None:
        """Print what to type next, unless the run is a part of another or is not tracked."""
        if self.context.surroundings.is_program and self.id is not None:
            for index, command in enumerate(commands):
                print(f"{'next:' if index == 0 else '     '} {command}")

    def run_part(
        self, experiment: Part, updates: Mapping[str, Any], named: Sequence[str] = ()
    ) -> FinishedRun:
        """Run another experiment as a part of this run, or find the completed run that did it.

        The part is tracked where this run is, and has its tags, its comment and its ``reuse``.

        Args:
            experiment: The other experiment.
            updates: Config keys to set.
            named: Named configs; those that the part does not have are left out.

        Raises:
            NnClusteringError: The part refuses.
        """
        return experiment.run_as_part(self, updates, named)

    def log(self, name: str, value: float, step: int) -> None:
        """Log one point of a metric."""
        self.sacred_run.log_scalar(name, value, step)

    def add_artifact(self, name: str, content: bytes) -> None:
        """Store a file with the run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(content)
            self.sacred_run.add_artifact(str(path), name)

    def add_code(self, code: OwnCode) -> None:
        """Store more code with a run that has not started: that of runs which it will have made."""
        from nn_clustering.tracking.stages.identity import with_sources

        info = self.sacred_run.experiment_info
        info["sources"] = with_sources(info, code)

    def add_config_files(self, files: Iterable[ConfigFile]) -> None:
        """Store files that set configs, of this stage or of others that its code can run."""
        base, noted = self.sacred_run.experiment_info["base_dir"], self.sacred_run.info
        places = noted.setdefault("config_files", {})  # by which `rerun` finds their places
        for file in files:
            if file.artifact not in places:
                self.add_artifact(file.artifact, file.content)
                places[file.artifact] = os.path.relpath(file.path.resolve(), base)

    def await_stored_program(self, seconds: float = 120) -> None:
        """Wait until the run's sources and config files are in the database.

        Args:
            seconds: For how long.

        Raises:
            ServerUnavailableError: They are not there by then.
        """
        from pymongo.errors import PyMongoError

        assert self.database is not None  # asked by tracked runs alone
        deadline = time.monotonic() + seconds
        places = self.sacred_run.info["config_files"]
        self.sacred_run._emit_heartbeat()
        while True:
            fields = {"artifacts.name": 1, "info.config_files": 1}
            with contextlib.suppress(PyMongoError):
                stored = self.database["runs"].find_one({"_id": self.id}, fields) or {}
                names = {artifact["name"] for artifact in stored.get("artifacts", ())}
                noted = (stored.get("info") or {}).get("config_files", ())
                if places.keys() <= names and len(noted) == len(places):
                    return
            if time.monotonic() > deadline:
                raise ServerUnavailableError(
                    f"the code of run {self.id} could not be stored within {seconds:.0f} s, from "
                    "which others were to run it: see whether MongoDB answers, then try again"
                )
            time.sleep(0.2)

    def add_figure(self, name: str, figure: Figure, folder: Path | None = None) -> None:
        """Store a matplotlib figure with the run: ``NAME.png`` to look at, ``NAME.pdf`` to print.

        The same figure gives the same bytes in both: they hold neither dates nor versions. Text
        stays text in the PDF file.

        Args:
            name: Of both files, without their ending.
            figure: The figure.
            folder: Where to write both files besides, if anywhere.

        Raises:
            InvalidInputError: If the name has an ending of its own.
        """
        given, ending = os.path.splitext(name)
        if ending.lower() in (".png", ".pdf", ".svg"):
            raise InvalidInputError(f"figure {name}; expected a name without ending: {given}")
        with tempfile.TemporaryDirectory() as drafts, _text_as_text():
            for ending, unmentioned in _FORMS_OF_FIGURES.items():
                path = Path(drafts, f"figure{ending}")
                figure.savefig(path, dpi=200, metadata=dict.fromkeys(unmentioned))
                self.sacred_run.add_artifact(str(path), f"{name}{ending}")
                if folder is not None:
                    shutil.copyfile(path, Path(folder, f"{name}{ending}"))

    @contextlib.contextmanager
    def uncaptured(self) -> Iterator[None]:
        """Within the block, new processes get the program's own output, not the captured one.

        Processes that outlive a stage would hold its captured output open, and Sacred would wait
        for them.
        """
        originals = self.context.surroundings.uncaptured_output
        if originals is None:
            yield
            return
        captured = os.dup(1), os.dup(2)
        try:
            for original, descriptor in zip(originals, (1, 2), strict=True):
                os.dup2(original, descriptor)
            yield
        finally:
            for original, descriptor in zip(captured, (1, 2), strict=True):
                os.dup2(original, descriptor)
                os.close(original)

    @contextlib.contextmanager
    def progress(self, total: int, what: str) -> Iterator[tqdm[Any]]:
        """Show a progress bar for ``total`` steps, on a terminal only."""
        from tqdm import tqdm

        terminal = self.context.surroundings.terminal
        with tqdm(total=total, desc=what, file=terminal, disable=terminal is None) as bar:
            yield bar
