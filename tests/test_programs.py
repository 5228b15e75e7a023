"""A program in a forked child sees and does what it sees and does in a new interpreter."""

import os
import signal
import subprocess

import pytest

from tests.programs import WarmProcess, environment, run_python, run_warm

LOOK = """
import os, sys, threading
print(__name__, globals().get("__file__"), sys.argv, sys.orig_argv[1:], sys.path[:3])
print(os.getcwd(), sorted(os.environ.items()), sys.modules["__main__"].__dict__ is globals())
print(sys.stdout.encoding, sys.stdout.errors, sys.stderr.errors, sys.stdout.line_buffering)
print(sys.stdout.name, sys.stdout is sys.__stdout__, sys.stdin.read(), sys.dont_write_bytecode)
print([name for name in ("tensorflow", "keras", "nn_clustering") if name in sys.modules])
print(threading.active_count(), threading.current_thread() is threading.main_thread())
import helper
print(helper.__file__, helper.NUMBER)
"""
ENDS = {
    "whole": "print('done')",
    "status": "import sys; sys.exit(3)",
    "large status": "import sys; sys.exit(259)",
    "negative status": "import sys; sys.exit(-1)",
    "without a status": "import sys; print('out'); sys.exit()",
    "at once": "import os; os._exit(4)",
    "message": "import sys; sys.exit('no such thing')",
    "error": "def f():\n    raise ValueError('broken')\nf()",
    "syntax": "f(",
    "interrupt": "raise KeyboardInterrupt",
    "killed": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
    "at exit": "import atexit; atexit.register(print, 'bye'); print('first'); 1 / 0",
    "thread": "import threading, time\n"
    "threading.Thread(target=lambda: (time.sleep(0.1), print('later'))).start()",
    "not flushed": "import sys; sys.stdout.write('half a line'); sys.stderr.write('and half')",
    "children": "import os; os.system('echo out; echo err >&2'); print(os.system('exit 3'))",
}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "helper.py").write_text("NUMBER = 7")
    return folder


def outcome(finished):
    return finished.returncode, finished.stdout, finished.stderr


def assert_same(command, folder, **options):
    environ = environment(folder, PYTHONDONTWRITEBYTECODE="1", NN_EXAMPLE="ä")
    finished = run_warm(command, environ, cwd=folder, **options)
    assert outcome(finished) == outcome(run_python(command, environ, cwd=folder, **options))
    return finished


@pytest.mark.parametrize("kind", ["script", "relative script", "module", "code"])
def test_what_it_sees(folder, kind):
    (folder / "look.py").write_text(LOOK)
    command = {
        "script": [folder / "look.py"], "relative script": ["look.py"], "module": ["-m", "look"],
        "code": ["-c", LOOK],
    }[kind]  # fmt: skip
    finished = assert_same([*command, "with", "a=1"], folder, stdin=subprocess.DEVNULL)
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("end", sorted(ENDS))
def test_how_it_ends(folder, end):
    (folder / "end.py").write_text(ENDS[end])
    assert_same([folder / "end.py"], folder)


def test_module_that_is_changed_is_imported_anew(folder):
    for number in (1, 2):
        (folder / "helper.py").write_text(f"NUMBER = {number}")
        command = ["-c", "import helper; print(helper.NUMBER)"]
        environ = environment(folder, PYTHONDONTWRITEBYTECODE="1")
        assert run_warm(command, environ, cwd=folder).stdout == f"{number}\n"


def test_libraries_count_as_imported_once_they_are(folder):
    code = """
import sys
assert "tensorflow" not in sys.modules and "keras" not in sys.modules
loaded = dict(sys.meta_path[0]._modules)
import keras.layers, tensorflow as tf
assert keras is loaded["keras"] and tf is loaded["tensorflow"]
assert sys.modules["keras"] is keras and keras.layers is sys.modules["keras.layers"]
assert tf.__spec__.name == "tensorflow" and tf.__spec__.origin == tf.__file__
print(float(tf.reduce_sum(keras.layers.Dense(2, kernel_initializer="ones")(tf.ones((1, 3))))))
"""
    finished = run_warm(["-c", code], environment(folder), computes=True)
    assert finished.stdout == "6.0\n", finished.stderr


def test_it_is_a_process_to_signal_and_to_wait_for(folder):
    code = "import os; print(os.getpid(), os.getpgid(0), flush=True); input()"
    options = {"env": environment(folder), "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with WarmProcess(["-c", code], text=True, **options) as process:
        assert process.stdout.readline() == f"{process.pid} {process.pid}\n"
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == -signal.SIGINT
    with WarmProcess(["-c", code], text=True, **options) as process:
        assert process.communicate("go on\n")[0]
        assert process.returncode == 0
