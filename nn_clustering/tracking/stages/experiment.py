"""Sacred experiments whose stages read each other's runs, and that answer mistakes in one line.

A stage that would repeat a completed run exactly uses that one instead of running again.
"""

from __future__ import annotations

import copy
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, overload

from sacred import Experiment
from sacred.config import ConfigDict
from sacred.dependencies import Source
from sacred.run import Run as SacredRun
from sacred.utils import (
    ConfigAddedError,
    NamedConfigNotFoundError,
    convert_to_nested_dict,
    ensure_wellformed_argv,
    iterate_flattened,
)

from nn_clustering.tracking.errors import InvalidInputError, NnClusteringError, TrackingError
from nn_clustering.tracking.run_keys import OWN_KEYS
from nn_clustering.tracking.server.connection import connect, resolve_server
from nn_clustering.tracking.stages.configs import (
    ConfigFile,
    StageConfigs,
    read_given_file,
    read_stage_configs,
)
from nn_clustering.tracking.stages.identity import (
    code_digest,
    completed_run,
    required_packages,
    run_identity,
)
from nn_clustering.tracking.stages.repeats import (
    RUN_ID_VARIABLE,
    Repeat,
    check_repeats,
    repeats_table,
    run_repeats,
)
from nn_clustering.tracking.stages.stage_run import Input, ReusedRun, StageRun
from nn_clustering.tracking.stages.validation import (
    Error,
    check_exclusive,
    check_types,
    check_updates,
    checked_options,
    checked_tags,
    unknown_named_config,
)
from nn_clustering.tracking.store.run_store import Run, RunStore
from nn_clustering.tracking.writing.capture import complete_capture
from nn_clustering.tracking.writing.track import make_observer

if TYPE_CHECKING:
    from pymongo.database import Database

    Main = Callable[[StageRun], Mapping[str, Any]]
    ReadInputs = Callable[[StageRun], Mapping[str, Input]]
    Summary = Callable[[StageRun, Mapping[str, Any]], None]

__all__ = ["Input", "ReusedRun", "StageExperiment", "StageRun"]


class _NamedConfig(ConfigDict):  # type: ignore[misc]  # Sacred has no types
    """A named config that is the same in every run of a process.

    Sacred fills the other named configs of a run into the groups of its own copy of this one, where
    the next run would find them.
    """

    def __call__(self, fixed: Any = None, preset: Any = None, fallback: Any = None) -> Any:
        return ConfigDict(self._conf)(fixed, preset, fallback)


class StageExperiment(Experiment):  # type: ignore[misc]  # Sacred has no types
    """A Sacred experiment that stores its runs in MongoDB when it runs as a program.

    No ``__init__``: Sacred looks at who calls its own to find the program's file.
    """

    database: Database | None = None
    terminal: TextIO | None = None
    # Standard output and error as they were before Sacred began to capture them.
    uncaptured_output: tuple[int, int] | None = None
    is_program = False  # whether it was started from the command line
    _configs = StageConfigs()  # replaced by configure, never changed
    _configs_mistake: InvalidInputError | None = None
    _exclusive_keys: Sequence[str] = ()
    _check: Callable[[StageRun], object] | None = None
    _read_inputs: ReadInputs | None = None
    _summarise: Summary | None = None
    _choose_workers: Callable[[StageRun], int] | None = None
    _command: Sequence[str] = ()  # that the program was started with, after the interpreter
    # Of the run that is on.
    _stage_run: StageRun
    _files_used: Mapping[str, ConfigFile]
    _store: RunStore | None = None

    def configure(
        self,
        project: Path,
        *,
        parts: Mapping[str, Sequence[str]] | None = None,
        exclusive_keys: Sequence[str] = (),
    ) -> None:
        """Take the configs and the sources of a project's folder.

        ``configs/NAME/default.yaml`` holds every key; each other YAML file beside it is a named
        config. All Python files of the project's packages are stored with a run, whatever has
        been imported so far.

        A stage whose ``default.yaml`` has the key ``n_repeats`` can be run with several seeds by
        one command, each a run of its own in a process of its own; ``n_workers`` of them run side
        by side, which the stage decides where it is None.

        Args:
            project: The folder.
            parts: Other experiments that this one runs, with the keys that it sets itself. The
                other keys of each are this experiment's own under the part's name, and so are
                the named configs: ``fast`` makes all parts fast that have a config of that name.
                A part has the ``reuse`` and ``tags`` of the whole, and runs once.
            exclusive_keys: Dotted keys, like ``network.kind``, that only one of the named configs
                of a command may set, unless they set the same value.
        """
        self._exclusive_keys = tuple(exclusive_keys)
        try:
            self._configs = read_stage_configs(project / "configs", self.path, parts or {})
        except InvalidInputError as mistake:
            # A file that somebody edits just now: told when the experiment runs, in one line.
            self._configs_mistake = mistake
        self.add_config(copy.deepcopy(self._configs.defaults))
        for name, config in sorted(self._configs.named.items()):
            self.named_configs[name] = _NamedConfig(config)
        for package in ("nn_clustering", "experiments"):
            for path in sorted((project / package).rglob("*.py")):
                # Git's state is read once, with the program's own file: asking takes long.
                self.sources.add(Source.create(str(path), save_git_info=False))

    @overload
    def stage(self, function: Main) -> Main: ...
    @overload
    def stage(
        self,
        *,
        check: Callable[[StageRun], object] | None = None,
        inputs: ReadInputs | None = None,
        summary: Summary | None = None,
        workers: Callable[[StageRun], int] | None = None,
    ) -> Callable[[Main], Main]: ...
    def stage(
        self,
        function: Main | None = None,
        *,
        check: Callable[[StageRun], object] | None = None,
        inputs: ReadInputs | None = None,
        summary: Summary | None = None,
        workers: Callable[[StageRun], int] | None = None,
    ) -> Any:
        """Make a function of a :class:`StageRun` the experiment's main command (a decorator).

        Args:
            function: Does the work; returns the run's result.
            check: Checks what the config alone tells, first of all and in no time: where one
                command makes several runs, once before any of them.
            inputs: Checks the config and reads what the work is done on, before the run starts.
                Its result becomes :attr:`StageRun.inputs`. With it, a run whose config, inputs
                and code are those of a completed run is not repeated; without, every run runs.
            summary: Prints what a user wants to see of a result, a new or a stored one.
            workers: Decides how many of several runs go side by side where ``n_workers`` is None;
                one by default.
        """

        def decorate(work: Main) -> Main:
            def main(_run: SacredRun) -> Mapping[str, Any]:
                stage_run = self._stage_run
                for name, file in self._files_used.items():
                    stage_run.add_artifact(name, file.content)
                result = work(stage_run)
                if summary is not None:
                    summary(stage_run, result)
                return result

            self._check, self._read_inputs, self._summarise = check, inputs, summary
            self._choose_workers = workers
            main.__name__, main.__doc__ = work.__name__, work.__doc__
            self.main(main)
            return work

        return decorate if function is None else decorate(function)

    def run_commandline(self, argv: Sequence[str] | None = None) -> SacredRun | ReusedRun | None:
        """Run as a program: track the run, keep all output, end well on SIGTERM and Ctrl-C."""
        self.is_program = True
        self._command = sys.orig_argv[1:] if argv is None else ensure_wellformed_argv(argv)
        # Taken away, so that no process of the stage's own thinks that it is meant.
        run_id_file = os.environ.pop(RUN_ID_VARIABLE, None)
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
        # With -l DEBUG it would print every command that stores the run, and that output as well.
        logging.getLogger("pymongo").setLevel(logging.INFO)
        signal.signal(signal.SIGTERM, _interrupt)
        run = None
        try:
            with complete_capture():
                run = super().run_commandline(argv)
            return run
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)
        finally:
            run_id = getattr(run or self.current_run, "_id", None)
            if run_id_file is not None and run_id is not None:
                Path(run_id_file).write_text(str(run_id))
            if self.database is not None:
                self.database.client.close()

    def run(
        self, command_name: str | None = None, *args: Any, **kwargs: Any
    ) -> SacredRun | ReusedRun:
        """Run a command, or find the completed run that did the same.

        Raises:
            NnClusteringError: The user's mistake. A program ends with its message in one line.
        """
        try:
            return self._run(command_name, *args, **kwargs)
        except NnClusteringError as error:
            if not self.is_program:
                raise
            raise Error(" ".join(str(error).split())) from error
        finally:
            if self._store is not None and self.database is None:
                self._store.close()
            self._store = None

    def _run(self, command_name: str | None, *args: Any, **kwargs: Any) -> SacredRun | ReusedRun:
        if self._configs_mistake is not None:
            raise self._configs_mistake
        run = self._create_run(command_name, *args, **kwargs)
        if command_name in (None, self.default_command):
            self._stage_run = StageRun(self, run)
            if self._check is not None:
                self._check(self._stage_run)
            if run.config.get("n_repeats", 1) > 1:
                self._repeat(run)
                return run
            reused = self._prepare(run)
            if reused is not None:
                return reused
        run()
        return run

    def run_as_part(
        self, whole: StageExperiment, updates: Mapping[str, Any], named: Sequence[str] = ()
    ) -> SacredRun | ReusedRun:
        """Run as a part of another experiment's run, tracked where that is.

        Args:
            whole: The other experiment; the part gets its tags, its comment and its ``reuse``.
            updates: Config keys to set.
            named: Named configs; those that the part does not have are left out.
        """
        self.database, self.terminal = whole.database, whole.terminal
        self.uncaptured_output = whole.uncaptured_output
        config, meta_info = whole.current_run.config, whole.current_run.meta_info
        own = {
            key: config[key] for key in OWN_KEYS if key in config and key in self._configs.defaults
        }
        return self.run(
            config_updates={**own, **updates},
            named_configs=[name for name in named if name in self.named_configs],
            meta_info={key: meta_info[key] for key in ("comment",) if key in meta_info},
        )

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Every config key with its default, nested."""
        return self._configs.defaults

    def given_keys(self, run: SacredRun) -> dict[str, str]:
        """What the user typed to set config keys of a run, by dotted key; empty for a part's."""
        if not self.is_program:
            return {}
        meta_info = run.meta_info
        given = {key: name for name in meta_info["named_configs"] for key in self._set_by(name)}
        updates = iterate_flattened(meta_info.get("config_updates") or {})
        return {**given, **{key: f"{key}={value}" for key, value in updates}}

    def full_config(self, named: Sequence[str]) -> dict[str, Any]:
        """Return the config, nested, of a run with these named configs.

        Raises:
            InvalidInputError: If there is no such named config, or two of them undo each other.
        """
        config = dict(iterate_flattened(self._configs.defaults))
        for name in named:
            if name not in self._configs.named:
                raise InvalidInputError(self._unknown_named_config(name))
            config.update(iterate_flattened(self._configs.named[name]))
        check_exclusive({name: self._set_by(name) for name in named}, self._exclusive_keys)
        found: dict[str, Any] = convert_to_nested_dict(config)
        return found

    def open_store(self) -> RunStore:
        """The stored runs, to be read until the run ends."""
        if self._store is None:
            self._store = RunStore.open() if self.database is None else RunStore(self.database)
        return self._store

    def get_experiment_info(self) -> dict[str, Any]:
        """Sacred's facts on the program, with the versions of all that the library rests on."""
        self.dependencies.update(required_packages())
        info: dict[str, Any] = super().get_experiment_info()
        return info

    def _create_run(
        self,
        command_name: str | None = None,
        config_updates: Mapping[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: Any = None,
        meta_info: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> SacredRun:
        updates, options = dict(config_updates or {}), checked_options(options or {})
        if "tags" in updates and "tags" in self._configs.defaults:
            updates["tags"] = checked_tags(updates["tags"])
        check_updates(updates, self._configs.defaults, self.path)
        given = {name: self._set_by(name) for name in named_configs}
        check_exclusive(given, self._exclusive_keys)
        self._files_used = self._files_of(named_configs)
        try:
            run = super()._create_run(
                command_name, updates, named_configs, info, meta_info, options
            )
        except ConfigAddedError as error:  # an unknown key in a named config
            raise InvalidInputError(str(error)) from None
        except NamedConfigNotFoundError as error:
            # Sacred's exception names the config in its text only.
            raise InvalidInputError(self._unknown_named_config(str(error).split('"')[1])) from None
        except KeyError as error:
            if "for named config" not in str(error):
                raise
            raise InvalidInputError(self._unknown_named_config(str(error).split('"')[-2])) from None
        except RuntimeError as error:
            if not options.get("--enforce_clean"):
                raise
            raise InvalidInputError(
                "-e: the project is no git checkout, or has uncommitted changes (git status "
                "shows them); commit them, or leave out -e"
            ) from error
        if "tags" in self._configs.defaults:
            run.config["tags"] = checked_tags(run.config["tags"])
        check_types(run.config, self._configs.defaults, f"configs/{self.path}/default.yaml")
        check_repeats(run.config)
        return run

    def _set_by(self, name: str) -> dict[str, Any]:
        """What a named config, or a config file, sets, by dotted key."""
        if Path(name).is_file():  # Sacred prefers it to a named config
            return dict(iterate_flattened(read_given_file(Path(name)).config))
        return dict(iterate_flattened(self._configs.named.get(name, {})))

    def _files_of(self, named_configs: Sequence[str]) -> dict[str, ConfigFile]:
        """The files that set the config, by the name of their artifact."""
        files = list(self._configs.files.get("default", ()))
        for name in named_configs:
            if Path(name).is_file():
                files.append(read_given_file(Path(name)))
            else:
                files += self._configs.files.get(name, ())
        return {file.artifact: file for file in files}

    def _repeat(self, run: SacredRun) -> None:
        """Run the command once for each seed, and print what came out.

        Raises:
            InvalidInputError: This is no program.
            TrackingError: Some of the runs failed.
        """
        n_repeats, first = run.config["n_repeats"], run.config["seed"]
        if not self.is_program:
            raise InvalidInputError(
                f"n_repeats={n_repeats}: {self.path} runs as a part of another program, once; "
                "expected n_repeats=1, and a run for each seed"
            )
        if not run.unobserved:
            # Refused, or started, once for all.
            connect(resolve_server()).client.close()
        with self._stage_run.progress(n_repeats, "runs") as bar:

            def show(ended: Repeat) -> None:
                bar.clear()
                print(ended)
                bar.update()
                bar.refresh()

            seeds = range(first, first + n_repeats)
            commands = {seed: self._command_for(seed, run) for seed in seeds}
            repeats = run_repeats(commands, self._n_workers(run), show)
        if not run.unobserved:
            self.database = connect(resolve_server())
            store = self.open_store()
            done = {repeat.seed: repeat.run_id for repeat in repeats if repeat.is_completed}
            runs = {seed: store.run(run_id) for seed, run_id in done.items() if run_id is not None}
            if runs:
                print("\n".join(["", *repeats_table(runs)]))
        failed = [repeat.seed for repeat in repeats if not repeat.is_completed]
        if failed:
            raise TrackingError(
                f"{len(failed)} of {n_repeats} runs failed, with seed "
                f"{', '.join(map(str, failed))}: see why above, then start the command again"
            )

    def _command_for(self, seed: int, run: SacredRun) -> list[str]:
        """The program's own command for one of several runs."""
        updates = {"seed": seed, "n_repeats": 1}
        if "n_workers" in run.config:
            updates["n_workers"] = self.defaults["n_workers"]
        given = [] if run.meta_info["options"].get("with") else ["with"]
        settings = [f"{key}={value!r}" for key, value in updates.items()]
        return [sys.executable, *self._command, *given, *settings]

    def _n_workers(self, run: SacredRun) -> int:
        n_workers = run.config.get("n_workers")
        if n_workers is None:
            n_workers = 1 if self._choose_workers is None else self._choose_workers(self._stage_run)
        return int(max(1, min(n_workers, run.config["n_repeats"])))

    def _prepare(self, run: SacredRun) -> ReusedRun | None:
        """Read the stage's inputs; returns the completed run to use, else has the run tracked."""
        run.run_logger.addFilter(_is_no_result)
        if self.is_program and not run.unobserved:
            self.database = connect(resolve_server())
        identity = None
        if self._read_inputs is not None:
            run.info["code"] = code_digest(run.experiment_info)
            inputs = self._read_inputs(self._stage_run)
            values = {name: entry.value for name, entry in inputs.items()}
            self._stage_run = replace(self._stage_run, inputs=values)
            digests = {name: entry.digest for name, entry in inputs.items()}
            run.info["inputs"] = digests
            runs_read = run.info.get("lineage", {})
            identity = run_identity(run.experiment_info, run.config, [digests, runs_read])
        if self.database is None:
            return None
        reused = self._reused_run(run, identity)
        if reused is None:
            observer = make_observer(self.database)
            observer.identity = identity
            observer.tells_of_earlier_runs = self.is_program  # not each part again
            run.observers = [*run.observers, observer]
            run.pre_run_hooks = [*run.pre_run_hooks, partial(observer.attach, run)]
        return reused

    def _reused_run(self, run: SacredRun, identity: str | None) -> ReusedRun | None:
        # Observers that the user added want to see a run.
        if identity is None or run.observers or not run.config.get("reuse", True):
            return None
        store = self.open_store()
        run_id = completed_run(store.database, identity)
        if run_id is None:
            return None
        stored = store.run(run_id)
        print(
            f"using {stored.experiment} run {stored.id}: same config, inputs and code "
            "(reuse=False runs it again)"
        )
        if self._mark(stored, run):
            stored = store.run(run_id)
        if self._summarise is not None:
            self._summarise(replace(self._stage_run, reused=stored), stored.result)
        return ReusedRun(stored)

    def _mark(self, stored: Run, run: SacredRun) -> bool:
        """Give a stored run the tags and the comment of the run in whose place it is used.

        Returns:
            Whether it lacked any of them.
        """
        store, added = self.open_store(), []
        tags = run.config["tags"] if "tags" in self._configs.defaults else []
        new_tags = [tag for tag in tags if tag.strip() not in stored.tags]
        if new_tags:
            store.tag(stored.id, *new_tags)
            added.append(f"tags {', '.join(new_tags)}")
        comment = (run.meta_info.get("comment") or "").strip()
        if comment and f"\n{comment}\n" not in f"\n{stored.notes}\n":
            store.note(stored.id, comment)
            added.append(f"note {comment!r}")
        if added:
            print(f"added to {stored.experiment} run {stored.id}: {', '.join(added)}")
        return bool(added)

    def _unknown_named_config(self, name: str) -> str:
        return unknown_named_config(name, self.path, self.named_configs)


def _is_no_result(record: logging.LogRecord) -> bool:
    """Keep Sacred's line with the whole result off the terminal: it is stored, and summed up."""
    return not record.getMessage().startswith("Result: ")


def _interrupt(signal_number: int, frame: object) -> None:
    raise KeyboardInterrupt
