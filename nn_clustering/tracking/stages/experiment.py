"""Sacred experiments whose stages read each other's runs, and that answer mistakes in one line.

A stage that would repeat a completed run exactly uses that one instead of running again.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sacred import Experiment
from sacred.config import ConfigDict

from nn_clustering.tracking.errors import InvalidInputError, NnClusteringError
from nn_clustering.tracking.execution_keys import KEYS_OF_THE_WHOLE
from nn_clustering.tracking.own_code import OwnCode, add_own_code, add_sources, python_files
from nn_clustering.tracking.passwords import mask_passwords
from nn_clustering.tracking.stages.context import FinishedRun, Surroundings
from nn_clustering.tracking.stages.definition import StageCode, StageDefinition, StageFunctions
from nn_clustering.tracking.stages.execution import Execution
from nn_clustering.tracking.stages.expected_code import NotedCode
from nn_clustering.tracking.stages.git import checkout_state
from nn_clustering.tracking.stages.inputs import Input
from nn_clustering.tracking.stages.program import (
    SERVER_AWAY,
    is_server_away,
    leave_run_id,
    malformed_commands_told,
    running_as_program,
)
from nn_clustering.tracking.stages.reuse import ReusedRun
from nn_clustering.tracking.stages.settings import StageSettings
from nn_clustering.tracking.stages.stage_run import StageRun
from nn_clustering.tracking.stages.validation import Error, checked_options, unknown_command

if TYPE_CHECKING:
    from sacred.run import Run as SacredRun

    from nn_clustering.tracking.stages.configs import ConfigFile
    from nn_clustering.tracking.stages.definition import (
        Check,
        Decorator,
        Inputs,
        Prepare,
        Result,
        Summary,
        Workers,
    )
    from nn_clustering.tracking.store.about import Describe

__all__ = ["Input", "ReusedRun", "StageExperiment", "StageRun"]


class _NamedConfig(ConfigDict):  # type: ignore[misc]  # Sacred has no types
    """A named config that is the same in every run of a process.

    Sacred fills the other named configs of a run into the groups of its own copy of this one, where
    the next run would find them.

    Args:
        conf: What it sets.
        comment: What it is, as ``print_named_configs`` shows it.
    """

    def __init__(self, conf: Mapping[str, Any], comment: str) -> None:
        super().__init__(conf)
        self.__doc__ = comment or None

    def __call__(self, fixed: Any = None, preset: Any = None, fallback: Any = None) -> Any:
        return ConfigDict(self._conf)(fixed, preset, fallback)


class StageExperiment(Experiment):  # type: ignore[misc]  # Sacred has no types
    """A Sacred experiment that stores its runs in MongoDB when it runs as a program.

    No ``__init__``: Sacred looks at who calls its own to find the program's file.
    """

    _definition = StageDefinition()
    _surroundings = Surroundings()
    _execution: Execution | None = None  # of the run that is on, or was
    _own_code = OwnCode()
    _noted_code: NotedCode | None = None  # once it was asked for
    _is_server_away = False  # as the program's run has found

    def configure(
        self,
        configs: Path | Sequence[Path],
        *,
        sources: Sequence[Path] = (),
        own_packages: Sequence[str] = (),
        code_keys: Sequence[str] = (),
        repository: Path | None = None,
        parts: Mapping[str, Sequence[str]] | None = None,
        exclusive_keys: Sequence[str] = (),
        keys_of: str | None = None,
        about: Mapping[str, Describe] | None = None,
    ) -> None:
        """Take configs from YAML files, and say what counts as the experiment's code.

        ``NAME/default.yaml`` in the folder of configs holds every key; each other YAML file beside
        it, or in a folder there, is a named config.

        A stage whose ``default.yaml`` has the key ``n_repeats`` can be run with several seeds by
        one command, each a run of its own in a process of its own; ``n_workers`` of them run side
        by side, which the stage decides where it is None. A run of one with the key ``n_threads``
        computes with so many threads, where that is not None.

        Args:
            configs: The folder of configs; or several, of which the later ones come on top: a
                named config of theirs replaces the one of its name, their ``NAME/default.yaml``
                changes defaults. Those need not exist.
            sources: Python files, and folders whose Python files all, are the experiment's code
                besides: what only running code knows, like plugins that it looks for. What it
                imports in turn, wherever the import stands, is its code in any case, unless that
                is installed.
            own_packages: Names of packages whose modules, where they are imported, are the
                experiment's own even if they are installed.
            code_keys: Dotted config keys whose values name modules of the user's own, or functions
                in them. A value of any key that is a dotted name (``my_networks.residual``) of such
                a module need not be listed. The module and what it imports count as code then.
            repository: A folder of a git checkout, whose state is noted with each run. It is read
                once a run: make the experiment with ``save_git_info=False``, or Sacred reads it
                for each source file.
            parts: Other experiments that this one runs, with the keys that it sets itself. The
                other keys of each are this experiment's own under the part's name, and so are
                the named configs: ``fast`` makes all parts fast that have a config of that name.
                A part has the ``reuse``, ``tags`` and ``n_threads`` of the whole, and runs once.
            exclusive_keys: Dotted keys, like ``network.kind``, that only one of the named configs
                of a command may set, unless they set the same value.
            keys_of: Name of another stage whose keys and named configs this one has too, as its
                own: what one command line describes to that, it describes to this.
            about: What runs are about, by the names of the project's experiments: each is a
                function of a run's config and its info that returns facts by name, nested or not,
                None where it does not say. A run inherits those of the runs that it reads, and is
                found by them as by its own config.

        Raises:
            InvalidInputError: One of the sources is not there.
        """
        folders = [configs] if isinstance(configs, Path) else list(configs)
        settings = StageSettings.read(self.path, folders, parts or {}, exclusive_keys, keys_of)
        code = StageCode(tuple(own_packages), tuple(code_keys), repository)
        self._definition = replace(
            self._definition, settings=settings, code=code, about=about or {}
        )
        self.add_config(copy.deepcopy(dict(settings.defaults)))
        for name, config in sorted(settings.configs.named.items()):
            self.named_configs[name] = _NamedConfig(config, settings.configs.comment(name))
        add_sources(self, python_files(sources))

    @overload
    def stage(self, function: Callable[[StageRun], Result]) -> Callable[[StageRun], Result]: ...
    @overload
    def stage(
        self,
        *,
        inputs: Callable[[StageRun], Inputs],
        check: Check | None = None,
        prepare: Prepare[Inputs] | None = None,
        summary: Summary[Inputs] | None = None,
        workers: Workers | None = None,
    ) -> Decorator[Inputs]: ...
    @overload
    def stage(
        self,
        *,
        check: Check | None = None,
        prepare: Prepare[object] | None = None,
        summary: Summary[object] | None = None,
        workers: Workers | None = None,
    ) -> Decorator[object]: ...
    def stage(
        self,
        function: Callable[[StageRun], Any] | None = None,
        *,
        check: Check | None = None,
        inputs: Callable[[StageRun], Any] | None = None,
        prepare: Prepare[Any] | None = None,
        summary: Summary[Any] | None = None,
        workers: Workers | None = None,
    ) -> Any:
        """Make a function of a :class:`StageRun` the experiment's main command (a decorator).

        Args:
            function: Does the work; returns the run's result.
            check: Checks what the config alone tells, first of all and in no time: where one
                command makes several runs, once before any of them.
            inputs: Checks the config and reads what the work is done on, before the run starts.
                It returns a frozen dataclass whose fields are each an :class:`Input`, or None, or
                a mapping of inputs by name; that is :attr:`StageRun.inputs`. With it, a run whose
                config, inputs and code are those of a completed run is not repeated; without,
                every run runs.
            prepare: Makes what the work begins with, a network out of a file for instance, where
                no completed run is used: the last place in which to refuse before the run starts.
                What it returns is :attr:`StageRun.prepared`, for as long as the run takes.
            summary: Prints what a user wants to see of a result, a new or a stored one.
            workers: Decides how many of several runs go side by side where ``n_workers`` is None;
                one by default.
        """

        def decorate(work: Callable[[StageRun[Any]], Mapping[str, Any]]) -> Any:
            def main() -> Mapping[str, Any]:
                assert self._execution is not None  # it has called for this
                return self._execution.work(work)

            # As it is now, when it was loaded: somebody may edit it before the run.
            self._note_own_code()
            functions = StageFunctions(check, inputs, prepare, summary, workers)
            settings = replace(self._definition.settings, stage=self.path)
            self._definition = replace(self._definition, settings=settings, functions=functions)
            main.__name__, main.__doc__ = work.__name__, work.__doc__
            self.main(main)
            return work

        return decorate if function is None else decorate(function)

    def run_commandline(self, argv: Sequence[str] | None = None) -> FinishedRun | None:
        """Run as a program: track the run, keep all output, end well on SIGTERM and Ctrl-C."""
        with running_as_program(argv) as surroundings:
            run: FinishedRun | None = None
            self._surroundings, self._is_server_away = surroundings, False
            try:
                with malformed_commands_told(argv):
                    run = super().run_commandline(argv)
                return run
            except SystemExit as ended:
                if ended.code and self._is_server_away:
                    sys.exit(SERVER_AWAY)
                raise
            except KeyboardInterrupt:
                way_on = None if self._execution is None else self._execution.way_on()
                raise KeyboardInterrupt(*([] if way_on is None else [way_on])) from None
            finally:
                leave_run_id(surroundings, getattr(run or self.current_run, "_id", None))
                if self._execution is not None:
                    self._execution.close()
                self._surroundings = Surroundings()

    def run(
        self,
        command_name: str | None = None,
        config_updates: Mapping[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: Any = None,
        meta_info: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> FinishedRun:
        """Run a command, or find the completed run that did the same.

        Raises:
            NnClusteringError: The user's mistake. A program ends with its message in one line.
        """
        updates = config_updates or {}
        try:
            return self._run(command_name, updates, named_configs, info, meta_info, options)
        except Exception as error:
            self._is_server_away = is_server_away(error)
            if self._is_server_away and self._surroundings.is_program:
                raise Error(mask_passwords(_told_of_server(error))) from error
            if not isinstance(error, NnClusteringError):
                raise
            told = str(error)
            if type(error) is InvalidInputError:
                told = self._definition.settings.told(told, updates, named_configs)
            if self._surroundings.is_program:
                raise Error(" ".join(told.split())) from error
            if told == str(error):
                raise
            raise InvalidInputError(told) from error

    def _run(self, command_name: str | None, *arguments: Any) -> FinishedRun:
        run = self._create_run(command_name, *arguments)
        if command_name in (None, self.default_command):
            self._execution = Execution(self._definition, self._own_code, self._surroundings, run)
            return self._execution.carry_out()
        run()
        finished: FinishedRun = run
        return finished

    def run_as_part(
        self, whole: StageRun, updates: Mapping[str, Any], named: Sequence[str] = ()
    ) -> FinishedRun:
        """Run as a part of another experiment's run: see :meth:`StageRun.run_part`."""
        before = self._surroundings
        self._surroundings = replace(whole.context.surroundings, is_program=False)
        defaults, meta_info = self._definition.settings.defaults, whole.sacred_run.meta_info
        own = {
            key: whole.config[key]
            for key in KEYS_OF_THE_WHOLE
            if key in whole.config and key in defaults
        }
        try:
            with whole.context.mistakes_of_part(self.path):
                return self.run(
                    config_updates={**own, **updates},
                    named_configs=[name for name in named if name in self.named_configs],
                    meta_info={key: meta_info[key] for key in ("comment",) if key in meta_info},
                )
        finally:
            self._surroundings = before

    def _check_command(self, cmd_name: str | None) -> None:
        # Sacred would print its usage before a message that leaves out how a config is named.
        commands = [name for name, _ in self.gather_commands()]
        if cmd_name is not None and cmd_name not in commands:
            raise InvalidInputError(unknown_command(cmd_name, commands, self.named_configs))

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Every config key with its default, nested."""
        return self._definition.settings.defaults

    def full_config(
        self, named: Sequence[str], updates: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the config, nested, of a run with these named configs, and keys on top of them.

        Raises:
            InvalidInputError: If there is no such named config, two of them undo each other, or a
                key cannot be set to that.
        """
        return self._definition.settings.full_config(named, updates)

    def code_digest(self, config: Mapping[str, Any]) -> str:
        """Return what ``info.code`` of a run with this config would be, without making one.

        That is the code as it was when this was first asked for, for modules of the user's own that
        the config names too.

        Args:
            config: The whole config, nested.
        """
        return self._stage_code().digest(config)

    def config_code(self, config: Mapping[str, Any]) -> OwnCode:
        """Return the code of those modules of the user's own that a config names.

        Args:
            config: The whole config, nested.
        """
        return self._stage_code().named(config)

    @property
    def program(self) -> str:
        """The experiment's file, as its runs name it among their sources.

        Raises:
            InvalidInputError: It has none, as in a notebook.
        """
        if self.mainfile is None:
            raise InvalidInputError(f"{self.path} was made in no file; expected a program")
        name: str = self.mainfile.to_json(self.base_dir)[0]
        return name

    def config_files(self, named: Sequence[str]) -> tuple[ConfigFile, ...]:
        """Return the files that set the config of a run with these named configs."""
        return self._definition.settings.files_of(named)

    def input_digests(
        self, named: Sequence[str], updates: Mapping[str, Any]
    ) -> Mapping[str, str | int]:
        """Return what ``info.inputs`` of a run would be, from what it would read now.

        Raises:
            NnClusteringError: The run would be refused.
        """
        if self._definition.functions.inputs is None:
            return {}
        run = self._create_run(None, updates, tuple(named))
        execution = Execution(self._definition, self._own_code, self._surroundings, run)
        return execution.input_digests()

    def expected_code(self, config: Mapping[str, Any]) -> str:
        """Return what a program refuses to run other code than, in ``NN_CLUSTERING_EXPECTED_CODE``.

        Like :meth:`code_digest`, which does too; but with what tells what differs.
        """
        return self._stage_code().in_words(config)

    def _stage_code(self) -> NotedCode:
        if self._noted_code is None:
            self._note_own_code()
            info = super().get_experiment_info()
            self._noted_code = NotedCode(info, self._own_code, self._definition.code)
        return self._noted_code

    def get_experiment_info(self) -> dict[str, Any]:
        """Sacred's facts on the program, with all of its code and what that rests on."""
        code = self._definition.code
        self._note_own_code()
        info: dict[str, Any] = super().get_experiment_info()
        if code.repository is not None:
            info["repositories"] = checkout_state(code.repository)
        return info

    def _note_own_code(self) -> None:
        self._own_code |= add_own_code(self, self._definition.code.own_packages)

    def _create_run(
        self,
        command_name: str | None = None,
        config_updates: Mapping[str, Any] | None = None,
        named_configs: Sequence[str] = (),
        info: Any = None,
        meta_info: Any = None,
        options: Mapping[str, Any] | None = None,
    ) -> SacredRun:
        self._check_command(command_name)
        settings, options = self._definition.settings, checked_options(options or {})
        updates = settings.checked_updates(config_updates or {}, named_configs)
        with settings.mistakes_told(self.named_configs, options):
            run = super()._create_run(
                command_name, updates, named_configs, info, meta_info, options
            )
        settings.check_config(run.config)
        return run


def _told_of_server(error: Exception) -> str:
    """What is said of a server that is away, in one line."""
    if isinstance(error, NnClusteringError):
        return " ".join(str(error).split())
    why = " ".join(str(error).partition(" (configured")[0].split())
    return f"MongoDB did not answer ({why}); type the same command again once it does"
