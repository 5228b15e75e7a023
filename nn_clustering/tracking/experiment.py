"""Sacred experiments whose stages read each other's runs, and that answer mistakes in one line."""

from __future__ import annotations

import contextlib
import copy
import difflib
import io
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import yaml
from sacred import Experiment
from sacred.dependencies import Source
from sacred.run import Run as SacredRun
from sacred.utils import ConfigAddedError, NamedConfigNotFoundError, SacredError, iterate_flattened

from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.tracking.capture import complete_capture
from nn_clustering.tracking.observer import make_observer
from nn_clustering.tracking.server import connect, resolve_server
from nn_clustering.tracking.store import Run, RunStore

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pymongo.database import Database
    from tqdm import tqdm


class Error(SacredError):
    """A user's mistake, as Sacred prints it: one line without a traceback."""

    # Python leaves out the module of a class of __main__ when it prints an exception.
    __module__ = "__main__"

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False, filter_traceback="never")


class StageExperiment(Experiment):
    """A Sacred experiment that stores its runs in MongoDB when it runs as a program.

    No ``__init__``: Sacred looks at who calls its own to find the program's file.
    """

    database: Database | None = None
    terminal: TextIO | None = None
    # Standard output and error as they were before Sacred began to capture them.
    uncaptured_output: tuple[int, int] | None = None
    _defaults: Mapping[str, Any] = {}  # replaced by configure, never changed
    is_program = False  # whether it was started from the command line

    def configure(self, project: Path, *, parts: Mapping[str, Sequence[str]] | None = None) -> None:
        """Take the configs and the sources of a project's folder.

        ``configs/NAME/default.yaml`` holds every key; each other YAML file beside it is a named
        config. All Python files of the project's packages are stored with a run, whatever has
        been imported so far.

        Args:
            project: The folder.
            parts: Other experiments that this one runs, with the keys that it sets itself. The
                other keys of each are this experiment's own under the part's name, and so are
                the named configs: ``fast`` makes all parts fast that have a config of that name.
        """
        defaults, named = read_configs(project / "configs" / self.path)
        for part, own_keys in (parts or {}).items():
            of_part, part_named = read_configs(project / "configs" / part)
            defaults[part] = {key: of_part[key] for key in of_part if key not in own_keys}
            for name, config in part_named.items():
                named.setdefault(name, {})[part] = config
        self._defaults = defaults
        self.add_config(copy.deepcopy(defaults))
        for name, config in sorted(named.items()):
            self.add_named_config(name, config)
        for package in ("nn_clustering", "experiments"):
            for path in sorted((project / package).rglob("*.py")):
                # Git's state is read once, with the program's own file: asking takes long.
                self.sources.add(Source.create(str(path), save_git_info=False))

    def stage(self, function: Callable[[StageRun], Mapping[str, Any]]) -> Callable[..., Any]:
        """Make a function of a :class:`StageRun` the experiment's main command (a decorator)."""

        def main(_run: SacredRun) -> Mapping[str, Any]:
            return function(StageRun(self, _run))

        main.__name__, main.__doc__ = function.__name__, function.__doc__
        self.main(main)
        return function

    def run_commandline(self, argv: Sequence[str] | None = None) -> SacredRun | None:
        """Run as a program: track the run, keep all output, end well on SIGTERM and Ctrl-C."""
        self.is_program = True
        if isinstance(sys.stdout, io.TextIOWrapper):
            # In order with Sacred's lines on standard error, in a file too.
            sys.stdout.reconfigure(line_buffering=True)
        self.uncaptured_output = os.dup(1), os.dup(2)
        # Without it scikit-learn looks for physical cores, and joblib prints half a traceback where
        # a container hides them.
        os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
        # While output is captured, standard error is no terminal: progress bars need the real one.
        if sys.stderr.isatty():
            self.terminal = os.fdopen(os.dup(sys.stderr.fileno()), "w")
        signal.signal(signal.SIGTERM, _interrupt)
        try:
            with complete_capture():
                return super().run_commandline(argv)
        except KeyboardInterrupt:
            print("interrupted; what had been logged is stored", file=sys.stderr)
            sys.exit(130)

    def run(self, command_name: str | None = None, *args: Any, **kwargs: Any) -> SacredRun:
        """Run a command; a mistake of the user becomes an error that prints as one line."""
        try:
            return super().run(command_name, *args, **kwargs)
        except NnClusteringError as error:
            raise Error(" ".join(str(error).split())) from error
        except NamedConfigNotFoundError as error:
            # Sacred's exception names the config in its text only.
            raise Error(self._unknown_named_config(str(error).split('"')[1])) from None
        except KeyError as error:
            if "for named config" not in str(error):
                raise
            raise Error(self._unknown_named_config(str(error).split('"')[-2])) from None

    def run_as_part(
        self, whole: StageExperiment, updates: Mapping[str, Any], named: Sequence[str] = ()
    ) -> SacredRun:
        """Run as a part of another experiment, tracked where that is."""
        self.database, self.terminal = whole.database, whole.terminal
        self.uncaptured_output = whole.uncaptured_output
        return self.run(config_updates=dict(updates), named_configs=list(named))

    def full_config(self, named: Sequence[str], updates: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a run's config would be, with dotted keys."""
        unknown = [name for name in named if name not in self.named_configs]
        if unknown:
            raise InvalidInputError(self._unknown_named_config(unknown[0]))
        config = dict(iterate_flattened(dict(self._defaults)))
        for part in (*(self.named_configs[name]() for name in named), updates):
            config.update(iterate_flattened(dict(part)))
        return config

    def _create_run(
        self,
        command_name: str | None = None,
        config_updates: Mapping[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: Any = None,
        meta_info: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> SacredRun:
        self._check_updates(config_updates or {})
        options = options or {}
        if options.get("--mongo_db"):
            raise InvalidInputError(
                f"-m {options['--mongo_db']}: runs go to the server that MONGO_URL names, else to "
                "the embedded one; leave out -m"
            )
        beat_interval = options.get("--beat-interval") or 10
        try:
            is_beating = float(beat_interval) > 0
        except ValueError:
            is_beating = False
        if not is_beating:
            raise InvalidInputError(
                f"-b {beat_interval}: expected seconds above 0; without heartbeats neither metrics "
                "nor output would be stored"
            )
        try:
            run = super()._create_run(
                command_name, config_updates, named_configs, info, meta_info, options
            )
        except ConfigAddedError as error:  # an unknown key in a named config
            raise InvalidInputError(str(error)) from None
        if command_name in (None, self.default_command):
            check_types(run.config, self._defaults, f"configs/{self.path}/default.yaml")
            if self.is_program and not options.get("--unobserved"):
                self.database = connect(resolve_server())
            if self.database is not None:
                run.observers = [*run.observers, make_observer(self.database)]
        return run

    def _check_updates(self, updates: Mapping[str, Any]) -> None:
        known = dict(iterate_flattened(dict(self._defaults)))
        sections = {
            ".".join(parts[:end])
            for key in known
            for parts in [key.split(".")]
            for end in range(1, len(parts))
        }
        for key, value in iterate_flattened(dict(updates)):
            if key in sections:
                raise InvalidInputError(
                    f"{key}={value!r}: {key} is a group of keys; set one of them, "
                    f"{', '.join(name for name in known if name.startswith(f'{key}.'))}"
                )
            if key in known:
                continue
            similar = difflib.get_close_matches(key, known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(similar)}?" if similar else "see print_config"
            raise InvalidInputError(
                f"{key}={value!r}: {self.path} has no such key; {hint} (configs/{self.path}/"
                "default.yaml documents every key)"
            )
        check_types(updates, self._defaults, f"configs/{self.path}/default.yaml")
        seed = updates.get("seed", 0)
        if not 0 <= seed < 2**32:
            raise InvalidInputError(f"seed={seed}; expected an integer from 0 to 4294967295")

    def _unknown_named_config(self, name: str) -> str:
        similar = difflib.get_close_matches(name, self.named_configs, n=1)
        hint = f"did you mean {similar[0]}? " if similar else ""
        names = ", ".join(sorted(self.named_configs)) or "none"
        return (
            f"{name!r} is no named config of {self.path}; {hint}There are: {names}. "
            "A single key is set as key=value"
        )


@dataclass(frozen=True)
class StageRun:
    """What a stage's main function works with: its config, the stored runs, places to log to."""

    experiment: StageExperiment
    sacred_run: SacredRun

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration, nested as in the YAML files."""
        return self.sacred_run.config

    @property
    def seed(self) -> int:
        """The seed that fixes the run."""
        return int(self.config["seed"])

    @property
    def id(self) -> int | None:
        """The run's id; None where it is not tracked."""
        return self.sacred_run._id

    @property
    def database(self) -> Database | None:
        """The database that the run is tracked in, if it is."""
        return self.experiment.database

    def read_run(self, key: str, experiment: str) -> Run:
        """Return the completed run that a config key names, and record that this run rests on it.

        Args:
            key: Name of the config key, whose value is a run's id or ``latest``.
            experiment: The experiment that it must be a run of.

        Raises:
            RunNotFoundError: If there is no such run, or it failed, or is of another experiment.
        """
        store = RunStore(self.database) if self.database is not None else RunStore.open()
        try:
            found = store.run(self.config[key], experiment=experiment)
        except NnClusteringError as error:
            raise type(error)(f"{key}={self.config[key]}: {error}") from None
        self.sacred_run.info.setdefault("lineage", {})[key] = found.id
        return found

    def suggest(self, *commands: str) -> None:
        """Print what to type next, unless the run is a part of another or is not tracked."""
        if self.experiment.is_program and self.id is not None:
            for index, command in enumerate(commands):
                print(f"{'next:' if index == 0 else '     '} {command}")

    def log(self, name: str, value: float, step: int) -> None:
        """Log one point of a metric."""
        self.sacred_run.log_scalar(name, value, step)

    def add_artifact(self, name: str, content: bytes) -> None:
        """Store a file with the run."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            path.write_bytes(content)
            self.sacred_run.add_artifact(str(path), name)

    def add_figure(self, name: str, figure: Figure) -> None:
        """Store a matplotlib figure with the run, as PNG."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            figure.savefig(path, dpi=150)
            self.sacred_run.add_artifact(str(path), name)

    @contextlib.contextmanager
    def uncaptured(self) -> Iterator[None]:
        """Within the block, new processes get the program's own output, not the captured one.

        Processes that outlive a stage would hold its captured output open, and Sacred would wait
        for them.
        """
        if self.experiment.uncaptured_output is None:
            yield
            return
        captured = os.dup(1), os.dup(2)
        try:
            for original, descriptor in zip(self.experiment.uncaptured_output, (1, 2), strict=True):
                os.dup2(original, descriptor)
            yield
        finally:
            for original, descriptor in zip(captured, (1, 2), strict=True):
                os.dup2(original, descriptor)
                os.close(original)

    @contextlib.contextmanager
    def progress(self, total: int, what: str) -> Iterator[tqdm]:
        """Show a progress bar for ``total`` steps, on a terminal only."""
        from tqdm import tqdm

        terminal = self.experiment.terminal
        with tqdm(total=total, desc=what, file=terminal, disable=terminal is None) as bar:
            yield bar


def read_configs(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Read the default config and the named configs of a folder of YAML files."""
    configs = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        for path in sorted(folder.glob("*.yaml"))
    }
    return configs.pop("default"), configs


def check_types(config: Mapping[str, Any], defaults: Mapping[str, Any], documented: str) -> None:
    """Check that values have the type of the defaults; a default of None takes anything.

    Raises:
        InvalidInputError: If one has another type, naming key, value and where it is documented.
    """
    expected_by_key = dict(iterate_flattened(dict(defaults)))
    for key, value in iterate_flattened(dict(config)):
        expected = type(expected_by_key.get(key))
        if key not in expected_by_key or expected is type(None) or type(value) is expected:
            continue
        if expected is float and type(value) is int:
            continue
        if expected is list and isinstance(value, list | tuple):
            continue
        raise InvalidInputError(
            f"{key}={value!r}: expected {_TYPE_NAMES.get(expected, expected.__name__)} "
            f"({documented} documents every key)"
        )


_TYPE_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a word",
    list: "a list",
}


def _interrupt(signal_number: int, frame: object) -> None:
    raise KeyboardInterrupt
