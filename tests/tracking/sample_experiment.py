"""A small experiment that the tests run as a program; `action` says how it goes.

Those of its actions that are disturbed on purpose note in `logged.jsonl` what they logged, each
thing once the call that logged it has returned.
"""

import hashlib
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
from sacred import Experiment

from nn_clustering.tracking import complete_capture, connect, resolve_server, track

ex = Experiment("sample", save_git_info=False)


ex.add_config(
    action="succeed",
    dataset={"name": "mnist"},
    folder="",
    address="mongodb://user:secret@example.org/",
    points=300,
    tag="",
)


@ex.main
def main(_run, action, folder):
    print("first line")
    return ACTIONS[action](_run, Path(folder))


def succeed(_run, folder):
    for step in range(3):
        _run.log_scalar("test.accuracy", np.float32(step / 2), step)
    file = folder / "network.npz"
    np.savez(file, weights=np.arange(6))
    _run.add_artifact(str(file), metadata={"kind": np.int64(3)})
    _run.open_resource(str(Path(__file__))).close()
    _run.info["scores"] = np.array([1, 2])
    os.system("echo from another process")
    print("last line äöü")
    return {"ncut": np.float64(1.5), "labels": np.array([0, -1]), "entropy": 2**127}


def fail(_run, folder):
    print("last line")
    raise ValueError("broken at mongodb://user:secret@example.org/")


def interrupt(_run, folder):
    print("last line")
    raise KeyboardInterrupt


def wait(_run, folder):
    (folder / "started").touch()
    time.sleep(60)


def letters(_run, folder):
    """Longer than a heartbeat, and with letters that arrive in halves."""
    while "Started run" not in _run.captured_out:
        time.sleep(0.01)  # Sacred's own line takes another way, and could come between two halves
    letter = "ä".encode()
    for _ in range(20):
        os.write(1, letter[:1])
        time.sleep(0.02)
        os.write(1, letter[1:])
    time.sleep(0.2)  # Sacred's own lines take another way
    _run.log_scalar("done", 1)


def large(_run, folder):
    _run.info["curve"] = list(range(600_000))
    print("x" * 5_000_000)
    return list(range(600_000))


class Notes:
    """Logs to the run, and notes what was logged where no server is needed to read it."""

    def __init__(self, run, folder):
        self._run = run
        self._folder = folder
        self._file = (folder / "logged.jsonl").open("a", encoding="utf-8")

    def point(self, name, value, step):
        started = time.time()
        self._run.log_scalar(name, value, step)
        self._note(kind="point", name=name, step=step, value=value, started=started)

    def line(self, text):
        sys.stdout.write(f"{text}\n")  # in one piece: Sacred's own lines come from elsewhere
        sys.stdout.flush()
        self._note(kind="line", text=text)

    def artifact(self, name, content):
        path = self._folder / name
        path.write_bytes(content)
        self._run.add_artifact(str(path))
        path.unlink()  # the observer keeps a copy
        self._note(kind="artifact", name=name, sha256=hashlib.sha256(content).hexdigest())

    def _note(self, **fields):
        self._file.write(json.dumps({**fields, "returned": time.time()}) + "\n")
        self._file.flush()


def stream(_run, folder):
    """Logs until the file `stop` is there."""
    notes = Notes(_run, folder)
    step = 0
    while not (folder / "stop").exists():
        notes.point("loss", 1 / (step + 1), step)
        if step % 10 == 0:
            notes.point("accuracy", step, -step)
        if step % 50 == 0:
            notes.line(f"step {step} äöü")
        if step % 100 == 0:
            notes.artifact(f"state-{step}.bin", os.urandom(20_000))
        step += 1
        time.sleep(0.002)
    return step


def rush(_run, folder):
    """Logs as fast as it can until it is interrupted."""
    notes = Notes(_run, folder)
    (folder / "held").touch()
    for step in range(10_000_000):
        notes.point("loss", float(step), step)


def burst(_run, folder):
    """Logs `points` points as fast as it can, an artifact among them, then waits for `go`."""
    notes = Notes(_run, folder)
    n_points = _run.config["points"]
    for step in range(n_points):
        notes.point("loss", step / 7, step)
        if step == n_points // 2:
            notes.artifact("state.bin", os.urandom(100 * n_points))
    notes.line(f"logged {n_points} points")
    _hold(folder)


def stubborn(_run, folder):
    """Logs until the file `stop` is there, and takes no interrupt for an end."""
    notes = Notes(_run, folder)
    steps = itertools.count()
    (folder / "held").touch()
    while True:
        try:
            for step in steps:
                notes.point("loss", float(step), step)
                if step % 100 == 0 and (folder / "stop").exists():
                    return
        except KeyboardInterrupt:
            pass


def parts(_run, folder):
    """More points than one document of MongoDB shall hold."""
    for step in range(_run.config["points"]):
        _run.log_scalar("loss", step * 0.5, step)


def upload(_run, folder):
    Notes(_run, folder).artifact("network.bin", os.urandom(64 * 2**20))


def refuse(_run, folder):
    """Logs what cannot be stored, and beside each of it what can."""
    notes = Notes(_run, folder)
    file = folder / "kept.txt"
    file.write_text("kept")
    notes.point("loss", 1.0, 0)
    _run.log_scalar("loss", 2**70, 1)
    notes.point("loss", 0.5, 2)
    _run.log_scalar("unit", object(), 0)
    _run.add_artifact(str(file), "refused.txt", metadata={"owner": object()})
    _run.add_artifact(str(folder / "no such file"))
    _run.info["kept"] = [1, 2]
    _run.info["refused"] = {"a\0b": 1}
    notes.artifact("after.txt", b"after")
    _hold(folder)


def odd(_run, folder):
    """Logs something odd, named by `tag`, that nobody has told to be refused."""
    notes = Notes(_run, folder)
    notes.point("loss", 1.0, 0)
    ODD[_run.config["tag"]](_run)
    time.sleep(0.5)  # some heartbeats
    notes.point("loss", 0.5, 1)
    notes.artifact("after.txt", b"after")


class _NoState:
    def __getstate__(self):
        raise RuntimeError("has no state")


def _circle():
    circle = []
    circle.append(circle)
    return circle


ODD = {
    "info_circular": lambda run: run.info.update(circular=_circle()),
    "info_stateless": lambda run: run.info.update(stateless=_NoState()),
    "name_number": lambda run: run.log_scalar(5, 1.0),
    "name_null": lambda run: run.log_scalar("a\0b", 1.0),
    "many_objects": lambda run: [run.log_scalar("unit", object(), step) for step in range(3000)],
    "long_texts": lambda run: [run.log_scalar("text", "x" * 200_000) for _ in range(100)],
}


def versions(_run, folder):
    """Artifacts of one name, faster than the clock ticks."""
    notes = Notes(_run, folder)
    for number in range(50):
        notes.artifact("network.bin", b"%d" % number)


def slow_output(_run, folder):
    """The last look at the output takes longer than Sacred waits for it."""

    def slow(text):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(2.5)
        return text

    Notes(_run, folder).line("last words")
    _run.captured_out_filter = slow


def share(_run, folder):
    """Artifacts that are equal in all runs, but for the metadata of one."""
    for name, content in (("equal.bin", b"equal"), ("page.html", b"<script>1</script>")):
        (folder / name).write_bytes(content)
        _run.add_artifact(str(folder / name))
    _run.add_artifact(str(folder / "equal.bin"), "tagged.bin", metadata={"tag": _run.config["tag"]})


def fork(_run, folder):
    """A child process logs too, which it may not, and outlives us if we are killed."""
    notes = Notes(_run, folder)
    notes.point("loss", 0.5, 0)
    child = os.fork()
    if child == 0:
        try:
            _run.log_scalar("loss", 99.0, 1)
        except Exception as problem:
            (folder / "refused").write_text(str(problem))
        time.sleep(5 if _run.config["tag"] == "orphan" else 0)
        os._exit(0)
    while not (folder / "refused").exists():
        time.sleep(0.01)
    notes.point("loss", 0.25, 1)
    if _run.config["tag"] == "orphan":
        _hold(folder)
    os.waitpid(child, 0)


def names(_run, folder):
    notes = Notes(_run, folder)
    for unit in range(3000):
        notes.point(f"unit {unit}", unit / 2, 0)


def _hold(folder):
    (folder / "held").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)


ACTIONS = {
    function.__name__: function
    for function in (
        succeed, fail, interrupt, wait, letters, large,
        stream, rush, stubborn, burst, parts, upload, refuse, odd, versions, slow_output, share,
        fork, names,
    )
}  # fmt: skip


def _wait_at_gate():
    """Let a test start many of us at the same moment."""
    gate = os.environ.get("SAMPLE_GATE")
    if gate:
        Path(gate, f"{os.getpid()}.ready").touch()
        while not Path(gate, "open").exists():
            time.sleep(0.001)


if __name__ == "__main__":
    track(ex, connect(resolve_server()))
    _wait_at_gate()
    with complete_capture():
        ex.run_commandline(sys.argv)
