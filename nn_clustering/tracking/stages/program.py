"""A stage as a program: its output, its terminal, its signals, and who waits for its run's id."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from docopt import DocoptExit
from sacred.utils import ensure_wellformed_argv

from nn_clustering.tracking.errors import InvalidInputError, ServerUnavailableError
from nn_clustering.tracking.execution_keys import EXPECTED_CODE
from nn_clustering.tracking.stages.context import Surroundings
from nn_clustering.tracking.stages.validation import check_paths
from nn_clustering.tracking.writing.capture import complete_capture

# Names the file into which a process writes the id of its run.
RUN_ID_VARIABLE = "NN_CLUSTERING_RUN_ID_FILE"
AT_ONCE_SECONDS = 1.0
INTERRUPTED = 130  # exit status of a process that Ctrl-C, SIGTERM or SIGHUP has ended

# Of one that MongoDB did not answer when it had to read from it: 75 means "try again later".
SERVER_AWAY = 75


@contextlib.contextmanager
def running_as_program(argv: Sequence[str] | None = None) -> Iterator[Surroundings]:
    """Within the block, this process is a stage's program, which ends well when it is asked to.

    That is by SIGTERM, by Ctrl-C, or by the end of its terminal, unless nohup shields it from that.

    Args:
        argv: The command; that of the process by default.

    Yields:
        What the run stands in.

    Raises:
        SystemExit: The program was interrupted.
    """
    command = sys.orig_argv[1:] if argv is None else ensure_wellformed_argv(argv)
    # Taken away, so that no process of the stage's own thinks that it is meant.
    run_id_file = os.environ.pop(RUN_ID_VARIABLE, None)
    expected_code = os.environ.pop(EXPECTED_CODE, None)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # In order with Sacred's lines on standard error, in a file too.
        sys.stdout.reconfigure(line_buffering=True)
    # Without it scikit-learn looks for physical cores, and joblib prints half a traceback where
    # a container hides them.
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    # With -l DEBUG it would print every command that stores the run, and that output as well.
    logging.getLogger("pymongo").setLevel(logging.INFO)
    interrupt = _interrupts()
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, interrupt)
    surroundings = Surroundings(
        is_program=True,
        command=tuple(map(str, command)),
        run_id_file=None if run_id_file is None else Path(run_id_file),
        expected_code=expected_code,
        # While output is captured, standard error is no terminal: progress bars need the real one.
        terminal=os.fdopen(os.dup(sys.stderr.fileno()), "w") if sys.stderr.isatty() else None,
        uncaptured_output=(os.dup(1), os.dup(2)),
    )
    try:
        with complete_capture():
            yield surroundings
    except KeyboardInterrupt as ended:
        with contextlib.suppress(OSError):  # the terminal is gone
            print(": ".join(["interrupted", *map(str, ended.args)]), file=sys.stderr)
        sys.exit(INTERRUPTED)


@contextlib.contextmanager
def malformed_commands_told(argv: Sequence[str] | None = None) -> Iterator[None]:
    """Within the block, a command line that cannot be taken apart is answered in one line.

    Raises:
        SystemExit: It cannot, or names a command that is not there.
    """
    try:
        check_paths(ensure_wellformed_argv(argv))
        yield
    except DocoptExit:
        given = shlex.join(ensure_wellformed_argv(argv)[1:])
        sys.exit(
            f"Error: {given} is no command line; expected [COMMAND] [with NAME... KEY=VALUE...] "
            "[OPTION...]; -h shows the commands and options"
        )
    except InvalidInputError as error:
        sys.exit(f"Error: {error}")


def is_server_away(error: BaseException) -> bool:
    """Whether an error, or one that it comes from, is that MongoDB does not answer."""
    import pymongo.errors

    kinds = (ServerUnavailableError, pymongo.errors.ConnectionFailure)
    each: BaseException | None = error
    while each is not None and not isinstance(each, kinds):
        each = each.__cause__ or each.__context__
    return each is not None


def leave_run_id(surroundings: Surroundings, run_id: int | None) -> None:
    """Tell whoever started the program which run it has made, or used."""
    if surroundings.run_id_file is not None and run_id is not None:
        surroundings.run_id_file.write_text(str(run_id))


def _interrupts() -> Callable[[int, object], None]:
    """A handler of a signal that asks for the end.

    Several at once are one, or the second would cut short the end that the first brings: the kernel
    sends one for each thread of a parent that is killed.
    """
    last = float("-inf")

    def interrupt(signal_number: int, frame: object) -> None:
        nonlocal last
        now, before = time.monotonic(), last
        last = now
        if now - before > AT_ONCE_SECONDS:
            raise KeyboardInterrupt

    return interrupt
