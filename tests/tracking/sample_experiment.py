"""A small experiment that the tests run as a program; `action` says how it goes."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from sacred import Experiment

from nn_clustering.tracking import complete_capture, connect, make_observer, resolve_server

ex = Experiment("sample", save_git_info=False)


ex.add_config(
    action="succeed",
    dataset={"name": "mnist"},
    folder="",
    address="mongodb://user:secret@example.org/",
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
    letter = "ä".encode()
    for _ in range(20):
        os.write(1, letter[:1])
        time.sleep(0.02)
        os.write(1, letter[1:])
    time.sleep(0.2)  # Sacred's own lines take another way
    _run.log_scalar("done", 1)


def outage(_run, folder):
    """The server is killed, and comes back while the run goes on."""
    _run.log_scalar("loss", 1.0, 0)
    time.sleep(0.3)
    _kill_server()
    _run.log_scalar("loss", 0.5, 1)
    time.sleep(0.3)
    resolve_server()
    (folder / "a.txt").write_text("after the outage")
    _run.add_artifact(str(folder / "a.txt"))


def loss(_run, folder):
    """The server is killed and stays away."""
    _kill_server()
    _run.log_scalar("loss", 1.0, 0)
    (folder / "a.txt").write_text("kept")
    _run.add_artifact(str(folder / "a.txt"))


def missing(_run, folder):
    _run.add_artifact(str(folder / "no such file"))


def large(_run, folder):
    _run.info["curve"] = list(range(600_000))
    print("x" * 5_000_000)
    return list(range(600_000))


def _kill_server():
    import json

    state = Path(os.environ["NN_CLUSTERING_HOME"]) / ".mongo" / "server.json"
    os.kill(json.loads(state.read_text())["pid"], signal.SIGKILL)
    time.sleep(0.3)


ACTIONS = {
    function.__name__: function
    for function in (succeed, fail, interrupt, wait, letters, outage, loss, missing, large)
}


if __name__ == "__main__":
    ex.observers.append(make_observer(connect(resolve_server())))
    with complete_capture():
        ex.run_commandline(sys.argv)
