"""One run of a stage, from the check of its config to its end, or to the run used in its place."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.execution_keys import N_THREADS
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.run_keys import digest_of
from nn_clustering.tracking.stages.context import (
    FinishedRun,
    LentStore,
    StageContext,
    Surroundings,
)
from nn_clustering.tracking.stages.expected_code import check_expected
from nn_clustering.tracking.stages.identity import (
    CHANGED_CODE,
    changed_sources,
    code_digest,
    code_facts,
    code_in_config,
    completing_identity,
    run_identity,
    with_sources,
)
from nn_clustering.tracking.stages.inputs import digests_of
from nn_clustering.tracking.stages.repeated_command import repeat_command
from nn_clustering.tracking.stages.reuse import (
    ReusedRun,
    find_reusable,
    may_reuse,
    tell_of_dropped,
)
from nn_clustering.tracking.stages.stage_run import StageRun
from nn_clustering.tracking.stages.threads import Threads
from nn_clustering.tracking.store.about import find_about, give_about, overlaid, read_about

if TYPE_CHECKING:
    from collections.abc import Callable

    from sacred.run import Run as SacredRun

    from nn_clustering.tracking.own_code import OwnCode
    from nn_clustering.tracking.stages.definition import StageDefinition
    from nn_clustering.tracking.stages.lease import Lease


class Execution:
    """A run of a stage that is to be carried out once.

    Attributes:
        surroundings: Where it stands; with its database, once that is known.
        stage_run: What the stage's functions work with, as far as that is known.
    """

    def __init__(
        self,
        definition: StageDefinition,
        code: OwnCode,
        surroundings: Surroundings,
        run: SacredRun,
    ) -> None:
        """Begin before anything is checked.

        Args:
            definition: The stage.
            code: The stage's own.
            surroundings: Where the run stands.
            run: Sacred's run, not started.
        """
        self.surroundings = surroundings
        self._definition = definition
        self._code = code
        self._functions = definition.functions
        self._run = run
        self._store = LentStore(surroundings.database)
        self._threads = Threads()
        self.stage_run: StageRun[Any] = StageRun(self._context(), run, None)

    def carry_out(self) -> FinishedRun:
        """Check, read, and run; or repeat the command, or find the run that did it already.

        Raises:
            NnClusteringError: The user's mistake, or there is no server.
        """
        with self._threads:
            if N_THREADS in self._definition.settings.defaults:  # else it is another's own key
                self._threads.use(self._run.config[N_THREADS])
            return self._checked_and_run()

    def _checked_and_run(self) -> FinishedRun:
        with self._store:
            if self._functions.check is not None:
                self._functions.check(self.stage_run)
            if self._run.config.get("n_repeats", 1) > 1:
                self._check_expected(self._code_with_that_of_the_config())
                repeat_command(self.stage_run, self._definition.settings.stage, self._n_workers())
                return self._finished()
        self._run.run_logger.addFilter(_is_no_result)
        if self.surroundings.is_program and not self._run.unobserved:
            self._connect()
        with self._store:
            identity = self._read_inputs()
            self._note_about()
            return self._used_or_run(identity)

    def input_digests(self) -> dict[str, str | int]:
        """Read what the work would be done on; return the digests of that."""
        assert self._functions.inputs is not None  # asked of no other stage
        with self._store:
            return digests_of(self._functions.inputs(self.stage_run))

    def work(self, function: Callable[[StageRun[Any]], Mapping[str, Any]]) -> Mapping[str, Any]:
        """Do the stage's work, within Sacred's run."""
        self.stage_run.add_config_files(self.stage_run.context.config_files)
        result = function(self.stage_run)
        self._note_about()  # of what the work has read, too
        self._note_changed_code()
        self._sum_up(self.stage_run, result)
        return result

    def way_on(self) -> str | None:
        """How to go on with the run that was interrupted; None where a stage only starts anew."""
        run_id = self._run._id
        if run_id is None or "resume" not in self._run.config:
            return None
        return f"resume={run_id} goes on from what run {run_id} has kept, if anything"

    def close(self) -> None:
        """Leave the database, after the end of a program's run."""
        if self.surroundings.database is not None:
            self.surroundings.database.client.close()

    def _context(self) -> StageContext:
        settings = self._definition.settings
        return StageContext(
            surroundings=self.surroundings,
            store=self._store,
            threads=self._threads,
            defaults=settings.defaults,
            given=settings.given_keys(self._run) if self.surroundings.is_program else {},
            config_files=settings.files_of(self._run.meta_info["named_configs"]),
        )

    def _connect(self) -> None:
        import pymongo.errors

        from nn_clustering.tracking.server.connection import connect, resolve_server

        database = connect(resolve_server())
        self.surroundings = replace(self.surroundings, database=database)
        self._store = LentStore(database)
        context = replace(self.stage_run.context, surroundings=self.surroundings, store=self._store)
        self.stage_run = replace(self.stage_run, context=context)
        with contextlib.suppress(pymongo.errors.PyMongoError):  # the observer says that we may not
            give_about(database, self._definition.about)

    def _note_changed_code(self) -> None:
        """Modules may be loaded late, and the run's identity is of what was there at first."""
        changed = changed_sources(self._run.experiment_info)
        if changed:
            self._run.info[CHANGED_CODE] = changed
            print(
                f"{listed(changed)} changed while this ran, which may have been before it was "
                "loaded: this run is used in the place of no other"
            )

    def _n_workers(self) -> int:
        n_workers, decide = self._run.config.get("n_workers"), self._functions.workers
        if n_workers is None:
            n_workers = 1 if decide is None else decide(self.stage_run)
        return max(1, int(n_workers))

    def _read_inputs(self) -> str | None:
        """Read what the work is done on; returns the run's identity, if it has one."""
        if self._functions.inputs is None:
            self._check_expected(self._code_with_that_of_the_config())
            return None
        info, noted = self._run.experiment_info, self._run.info
        # Which a run that goes on with another compares, before it has that one's config.
        noted["program_code"] = code_digest(info, self._code)
        inputs = self._functions.inputs(self.stage_run)
        self.stage_run = replace(self.stage_run, inputs=inputs)
        digests = noted["inputs"] = digests_of(inputs)
        facts = self._code_with_that_of_the_config()
        code = noted["code"] = digest_of(facts)
        self._check_expected(facts)
        if info["mainfile"] is None:
            return None  # as in a notebook, whose code nobody can tell from what it was
        return self._identity(digests, code)

    def _identity(self, digests: Mapping[str, Any], code: str) -> str:
        name, config = self._run.experiment_info["name"], self._run.config
        lineage = self._run.info.get("lineage", {})
        if lineage:
            database, defaults = self._store.open().database, self._definition.settings.defaults
            identity = completing_identity(database, name, config, defaults, digests, lineage, code)
            if identity is not None:
                return identity
        return run_identity(name, config, [digests, lineage], code)

    def _code_with_that_of_the_config(self) -> dict[str, Any]:
        """What the digest of the run's code is of; that which its config names is stored too."""
        info, settings = self._run.experiment_info, self._definition.code
        named = code_in_config(self._run.config, settings.keys, settings.own_packages)
        info["sources"] = with_sources(info, named)
        return code_facts(info, self._code | named)

    def _check_expected(self, facts: Mapping[str, Any]) -> None:
        expected = self.surroundings.expected_code
        if expected is not None and self.surroundings.is_program:
            check_expected(expected, facts, self._definition.settings.stage)

    def _note_about(self) -> None:
        config, info = self._run.config, self._run.info
        describe = self._definition.about.get(self._definition.settings.stage)
        about = find_about(self.surroundings.database, describe, config, info)
        if about:
            info["about"] = overlaid(read_about(info), about)

    def _used_or_run(self, identity: str | None) -> FinishedRun:
        """Use the completed run of an identity, also one that another process is at; or run."""
        database = self.surroundings.database
        if database is None or identity is None or not may_reuse(self._run):
            return self._run_tracked(identity)
        from nn_clustering.tracking.stages.claim import claimed

        find = partial(find_reusable, self._store.open(), self._run, identity)
        stage = self._definition.settings.stage
        with claimed(database, identity, stage, find, self._end_as_one_too_many) as claim:
            stored, lease = claim
            if stored is None:
                tell_of_dropped(self._store.open(), identity)
                return self._run_tracked(identity, lease)
        self._sum_up(replace(self.stage_run, reused=stored), stored.result)
        return ReusedRun(stored)

    def _end_as_one_too_many(self, why: str) -> None:
        """Interrupt this process, whose run would be the second of its kind."""
        if self.surroundings.command:  # a program, or a part of one
            print(f"this run gave no sign for a while, and {why}: it ends, and keeps what it has")
            os.kill(os.getpid(), signal.SIGTERM)

    def _run_tracked(self, identity: str | None, lease: Lease | None = None) -> FinishedRun:
        """Run; not tracked where there is no database."""
        if self._functions.prepare is not None:
            prepared = self._functions.prepare(self.stage_run)
            self.stage_run = replace(self.stage_run, prepared=prepared)
        if self.surroundings.database is not None:
            from nn_clustering.tracking.writing.track import make_observer

            observer = make_observer(self.surroundings.database)
            observer.identity = identity
            # Not each part again.
            observer.tells_of_earlier_runs = self.surroundings.is_program
            self._run.observers = [*self._run.observers, observer]
            hooks: list[Callable[[], object]] = [partial(observer.attach, self._run)]
            if lease is not None:
                hooks.append(lambda: lease.note_run(self._run._id))
            self._run.pre_run_hooks = [*self._run.pre_run_hooks, *hooks]
        try:
            self._run()
        finally:  # a network, or images, that nobody needs any more
            self.stage_run = replace(self.stage_run, prepared=None)
        return self._finished()

    def _finished(self) -> FinishedRun:
        finished: FinishedRun = self._run
        return finished

    def _sum_up(self, run: StageRun[Any], result: Mapping[str, Any]) -> None:
        if self._functions.summary is not None:
            self._functions.summary(run, result)


def _is_no_result(record: logging.LogRecord) -> bool:
    """Keep Sacred's line with the whole result off the terminal: it is stored, and summed up."""
    return not record.getMessage().startswith("Result: ")
