"""Running the project's programs as a user does: as processes.

A new interpreter spends most of its time importing libraries, TensorFlow above all. Most tests
care for what a program does and not for how it starts: they run it in a forked child of a process
that has imported these already, see `tests.fork_server`.
"""

import atexit
import functools
import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
# What every tracked program imports, and what those import that compute.
TRACKING_MODULES = ("sacred", "sacred.observers", "pymongo", "gridfs", "yaml", "numpy", "uuid")
COMPUTING_MODULES = (
    "scipy.sparse.linalg", "scipy.stats", "scipy.optimize", "sklearn.cluster", "sklearn.metrics",
    "sknetwork.clustering", "pandas", "pyarrow.parquet", "joblib", "threadpoolctl", "networkx",
    "matplotlib.figure", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_pdf",
    "tqdm", "tblib.pickling_support",
)  # fmt: skip
HIDDEN_MODULES = ("tensorflow", "keras")


def environment(home, **more):
    """The environment of a command whose runs go to the embedded server of `home`."""
    # The size of the terminal that the tests are seen on, or of one made up for them, is not
    # that of the command's.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MONGO_") and name not in ("COLUMNS", "LINES")
    }
    path = os.pathsep.join(filter(None, [str(PROJECT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "NN_CLUSTERING_HOME": str(home), **more}


def run_python(arguments, environ, **options):
    """Run a new interpreter to its end; returns the finished process with its output."""
    return _finished(subprocess.Popen, [sys.executable, *arguments], environ, options)


def run_warm(arguments, environ, *, computes=False, **options):
    """Like `run_python`, in a process that was forked from one with all libraries imported.

    Args:
        arguments: A script, or `-m` and a module, or `-c` and code; then its arguments.
        environ: The environment.
        computes: Whether it imports more than what tracks a run, TensorFlow for instance.
        **options: Of `subprocess.run`.
    """
    start = functools.partial(WarmProcess, computes=computes)
    return _finished(start, arguments, environ, options)


def _finished(start, command, environ, options):
    options = {"timeout": 300, "cwd": PROJECT, "stdin": None, **options}
    timeout = options.pop("timeout")
    command = list(map(str, command))
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with start(command, env=environ, **pipes, **options) as process:
        try:
            output, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


class WarmProcess(subprocess.Popen):
    """A process that was forked from one which has imported the libraries.

    Takes the arguments after the interpreter, and of `subprocess.Popen`'s options those for the
    standard streams, text, `env` and `cwd`. It is in a session of its own.
    """

    def __init__(self, arguments, *, computes=False, **options):
        assert not str(arguments[0]).startswith("-") or arguments[0] in ("-m", "-c"), arguments
        self._server = _fork_server(computes)
        self._report = None
        super().__init__(list(map(str, arguments)), **options)

    # What of Popen starts a child process and waits for it: ours is another process' child.
    def _execute_child(  # noqa: PLR0917
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo,
        creationflags, shell, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *others,
    ):  # fmt: skip
        program = {
            "arguments": args,
            "folder": str(cwd or os.getcwd()),
            "environment": dict(os.environ if env is None else env),
        }
        streams = [
            own if given == -1 else given for own, given in enumerate((p2cread, c2pwrite, errwrite))
        ]
        self._report = self._server.start(program, streams)
        self.pid = int(self._report.readline())
        self._child_created = True
        for ours, theirs in ((p2cwrite, p2cread), (c2pread, c2pwrite), (errread, errwrite)):
            if ours != -1:  # a pipe, and no file of somebody else's
                os.close(theirs)

    def _try_wait(self, wait_flags):
        readable, _, _ = select.select([self._report], [], [], None if not wait_flags else 0)
        if not readable:
            return 0, 0
        with self._report:
            line = self._report.readline()
        assert line, "the process that forks programs is gone"
        return self.pid, int(line)

    def _internal_poll(self, _deadstate=None, **_):
        if self.returncode is None:
            ended, status = self._try_wait(os.WNOHANG)
            if ended:
                self._handle_exitstatus(status)
        return self.returncode


class _ForkServer:
    def __init__(self, visible, hidden):
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHONPATH", "MONGO_", "NN_CLUSTERING_"))
        }
        script = Path(__file__).with_name("fork_server.py")
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, script, str(theirs.fileno()), ",".join(visible), ",".join(hidden)],
                env={**environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONDONTWRITEBYTECODE": ""},
                cwd="/",
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        atexit.register(self._end)

    def start(self, program, streams):
        """Start a program; returns a pipe that says its process id, and its status in the end."""
        reader, writer = os.pipe()
        try:
            message = json.dumps(program).encode()
            socket.send_fds(self._control, [message], [*streams, writer])
        finally:
            os.close(writer)
        return os.fdopen(reader, "rb", buffering=0)

    def _end(self):
        self._control.close()
        self._process.wait()


@functools.cache
def _fork_server(computes):
    if not computes:
        return _ForkServer(TRACKING_MODULES, ())
    return _ForkServer((*TRACKING_MODULES, *COMPUTING_MODULES), HIDDEN_MODULES)
