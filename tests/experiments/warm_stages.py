"""Command lines of stages, each in a fork of one process that has loaded all of them.

Started with the library's imports in place, it takes a line of JSON for each command line on its
standard input: the stage, or a module that runs as a program; its arguments; the folder to stand
in; environment variables to add; and how many seconds it may take. It answers with a line of JSON:
exit status (None for one that took too long) and what was printed.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

STAGES = (
    "train", "cluster", "shuffle_test", "lesion", "visualise", "pipeline", "study",
    "agreement", "choose_k",
    "report", "random_init", "lesion_table", "visualisation_table", "import_network",
)  # fmt: skip


def run_line(stage, arguments, folder, environ, seconds):
    """Run it in a fork, to its end or for so long; returns what is answered."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        for stream in (sys.stdout, sys.stderr):  # or the fork would print what waits in them
            stream.flush()
        pid = os.fork()
        if pid == 0:
            _become(stage, arguments, folder, environ, (output.fileno(), errors.fileno()))
        status = _wait(pid, seconds)
        for stream in (output, errors):
            stream.seek(0)
        printed = [stream.read().decode(errors="replace") for stream in (output, errors)]
    return {"status": status, "output": printed[0], "errors": printed[1]}


def _wait(pid, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _become(stage, arguments, folder, environ, streams):
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream, number)
        os.chdir(folder)
        os.environ.update(environ)
        status = _status_of(lambda: _main(stage, arguments))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        os._exit(status)


def _main(stage, arguments):
    if stage not in STAGES:
        sys.argv = [stage, *arguments]
        runpy.run_module(stage, run_name="__main__", alter_sys=True)
        return
    if Path("configs").exists():  # of the user's own, which are read when a stage is loaded
        for name in [name for name in sys.modules if name.partition(".")[0] == "experiments"]:
            del sys.modules[name]
    sys.argv = [f"experiments/{stage}.py", *arguments]
    importlib.import_module(f"experiments.{stage}").experiment.run_commandline(sys.argv)


def _status_of(main):
    try:
        main()
    except SystemExit as left:
        if isinstance(left.code, int | None):
            return left.code or 0
        print(left.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    else:
        return 0
    return 1


if __name__ == "__main__":
    for name in STAGES:
        importlib.import_module(f"experiments.{name}")
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            print(json.dumps(run_line(**json.loads(line))), flush=True)
