"""Cells that cost nothing, for workers: what each does is said in its order.

Every start is a line in the file `starts` of the folder that the order names.
"""

import os
import signal
import time
from pathlib import Path

from nn_clustering.studies import Cell, Needs


def make_cell(name, parent=None, *, stage="train", seed=0, **needs):
    """A cell whose name alone matters."""
    link = None if parent is None else "train_run"
    return Cell(name, stage, stage, (), {}, seed, {}, parent, link, Needs(**needs))


def orders(folder, acts=None):
    """Makes orders: cells do what `acts` says under their names, else they complete."""

    def order(cell, parent_run):
        act = (acts or {}).get(cell.name, "complete")
        return {"name": cell.name, "parent_run": parent_run, "act": act, "folder": str(folder)}

    return order


def starts(folder):
    """The names of the cells that were begun, in order."""
    path = Path(folder, "starts")
    return path.read_text().split("\n")[:-1] if path.exists() else []


def compute(order):
    """What a worker calls."""
    folder = Path(order["folder"])
    with Path(folder, "starts").open("a") as file:
        file.write(f"{order['name']}\n")
    return {"name": order["name"], "run_id": None, **ACTS[order["act"]](order, folder)}


def _complete(order, folder):
    run_id = f"{order['name']} of {order['parent_run']}" if order["parent_run"] else order["name"]
    return {"state": "completed", "run_id": run_id}


def _wait_for_go(order, folder):
    while not Path(folder, "go").exists():
        time.sleep(0.02)
    return _complete(order, folder)


def _until_cancelled(order, folder):
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    while worker.state.tasks[key].state != "cancelled":
        time.sleep(0.02)
    time.sleep(0.3)  # as a run that keeps what it has
    Path(folder, f"{order['name']} has ended").touch()
    return {"state": "interrupted", "cause": "cancelled"}


def _die(order, folder):
    os.kill(os.getpid(), signal.SIGKILL)


def _die_once(order, folder):
    if starts(folder).count(order["name"]) == 1:
        _die(order, folder)
    return _complete(order, folder)


def _fail(order, folder):
    return {"state": "failed", "exit_status": 1, "reason": "no such key", "output": "a\nb"}


def _crash(order, folder):
    return {"state": "crashed", "exit_status": -11, "reason": "killed by signal 11"}


def _be_interrupted_once(order, folder):
    if starts(folder).count(order["name"]) == 1:
        return {"state": "interrupted", "cause": "walltime", "reason": "its time is over"}
    return _complete(order, folder)


def _be_of_another_store(order, folder):
    return {"state": "declined", "cause": "store", "reason": "its runs go elsewhere"}


def _decline(order, folder):
    return {"state": "declined", "cause": "walltime", "reason": "it has not the time"}


def _decline_once(order, folder):
    if starts(folder).count(order["name"]) == 1:
        return _decline(order, folder)
    return _complete(order, folder)


def _raise(order, folder):
    raise ValueError("a mistake of ours")


ACTS = {
    "complete": _complete,
    "wait for go": _wait_for_go,
    "until cancelled": _until_cancelled,
    "die": _die,
    "die once": _die_once,
    "fail": _fail,
    "crash": _crash,
    "be interrupted once": _be_interrupted_once,
    "be of another store": _be_of_another_store,
    "decline": _decline,
    "decline once": _decline_once,
    "raise": _raise,
}
