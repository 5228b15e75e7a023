"""Programs as forked children of a process that has imported the libraries that take long.

Started by `tests.programs` as ``python fork_server.py SOCKET VISIBLE HIDDEN``: the number of an
inherited socket, and two lists of modules, separated by commas. Each message on the socket is a
program to start, with its standard streams and a pipe for its process id and its status.

A child is a program in all that it can see: a process and a group of its own, with its arguments,
environment, folder and streams, which handles signals as a new interpreter does and ends as one
ends. No module of the project is imported before the fork, so that the code under test is always
that of the files. The hidden modules do not count as imported until the program imports them.
What differs from a new interpreter: hash values and addresses are the same in all children,
variables that libraries read while they are loaded have no effect, and no module is torn down.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import importlib.abc
import importlib.util
import io
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import types
from typing import NoReturn


class HiddenModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Modules that are loaded, but not in `sys.modules` before one of them is asked for."""

    def __init__(self, names):
        self._modules = {name: sys.modules[name] for name in names}
        self._specs = {}

    def hide(self):
        for name in self._modules:
            del sys.modules[name]
        sys.meta_path.insert(0, self)

    def find_spec(self, name, path=None, target=None):
        if name not in self._modules:
            return None
        sys.meta_path.remove(self)
        # But this one, or it would be loaded from its file again, a second module of that name.
        sys.modules.update(
            {other: self._modules[other] for other in self._modules if other != name}
        )
        self._specs[name] = self._modules[name].__spec__
        return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec):
        return self._modules[spec.name]

    def exec_module(self, module):
        module.__spec__ = self._specs[module.__spec__.name]


def import_hidden(names):
    """Import the modules; returns them and all that came with them from other packages."""
    known = {name.partition(".")[0] for name in sys.modules} | sys.stdlib_module_names
    for name in names:
        importlib.import_module(name)
    return HiddenModules([name for name in sys.modules if name.partition(".")[0] not in known])


def serve(control, hidden):
    """Start programs and report their ends, until nobody can ask for one."""
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    reports = {}
    while True:
        readable, _, _ = select.select([control, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            for pid in list(reports):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if ended:
                    _report(reports.pop(pid), status)
        if control in readable:
            message, streams, _, _ = socket.recv_fds(control, 1 << 18, 4)
            if not message:
                for pid in reports:
                    os.kill(pid, signal.SIGKILL)
                return
            pid = os.fork()
            if pid == 0:
                for open_socket in (control, wake, woken):
                    open_socket.close()
                for report in [*reports.values(), streams[3]]:
                    os.close(report)
                become(json.loads(message), streams[:3], hidden)
            for stream in streams[:3]:
                os.close(stream)
            reports[pid] = streams[3]
            os.write(streams[3], f"{pid}\n".encode())


def _report(report, status):
    with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(report, f"{status}\n".encode())
    os.close(report)


def become(program, streams, hidden) -> NoReturn:
    """Be the program, from its start to its end."""
    status = 1
    try:
        _reset_signals()
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(program["folder"])
        os.environ.clear()
        os.environ.update(program["environment"])
        main = _prepare_interpreter(program["arguments"], hidden)
        status = _run(main)
    finally:
        os._exit(status)


def _reset_signals():
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _prepare_interpreter(arguments, hidden):
    """Set what a new interpreter sets; returns what it would run as `__main__`."""
    kind, rest = (arguments[0], arguments[1:]) if arguments[0] in ("-m", "-c") else ("", arguments)
    folder = "" if kind == "-c" else os.getcwd() if kind else os.path.dirname(rest[0])
    first = folder if kind or folder else os.getcwd()
    own = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:] = [first, *dict.fromkeys([*own, *sys.path])]
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    sys.orig_argv = [sys.executable, *arguments]
    sys.argv = ["-c", *rest[1:]] if kind == "-c" else list(rest)
    _open_standard_streams()
    hidden.hide()
    for name, module in list(sys.modules.items()):
        if name == "multiprocessing.process":
            module.ORIGINAL_DIR = os.getcwd()
        if name == "numpy.random":
            module.seed()
    return lambda: _execute(kind, rest)


def _open_standard_streams():
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = io.FileIO(number, "w" if number else "r", closefd=False)
        raw.name = f"<{name}>"
        buffer = io.BufferedWriter(raw) if number else io.BufferedReader(raw)
        former = getattr(sys, name)
        stream = io.TextIOWrapper(
            buffer, former.encoding, former.errors, line_buffering=number == 2 or os.isatty(number)
        )
        stream.mode = "w" if number else "r"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _execute(kind, arguments):
    if kind == "-m":
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    main = types.ModuleType("__main__")
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    if kind == "-c":
        code = compile(arguments[0], "<string>", "exec")
    else:
        main.__file__ = os.path.abspath(arguments[0])
        with io.open_code(main.__file__) as file:
            code = compile(file.read(), main.__file__, "exec")
    exec(code, main.__dict__)


def _run(main):
    """Run it and end as an interpreter ends; returns the exit status."""
    status = 0
    try:
        main()
    except SystemExit as left:
        status = _status_of(left.code)
    except BaseException as error:
        status = -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__):
            trace = trace.tb_next
        sys.excepthook(type(error), error.with_traceback(trace), trace)
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError as problem:
        with contextlib.suppress(OSError):
            told = f"{type(problem).__name__}: {problem}"
            print(f"Exception ignored in: {sys.stdout!r}\n{told}", file=sys.stderr)
        status = status or 120
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    if status < 0:
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _status_of(code):
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    del sys.path[0]
    control = socket.socket(fileno=int(sys.argv[1]))
    for name in filter(None, sys.argv[2].split(",")):
        importlib.import_module(name)
    hidden = import_hidden(filter(None, sys.argv[3].split(",")))
    gc.collect()
    gc.freeze()
    serve(control, hidden)
