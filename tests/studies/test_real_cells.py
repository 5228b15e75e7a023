"""Cells as they are, runs of a stage in processes of their own, while MongoDB is taken away."""

import json
import os
import shutil
import signal
import threading

import pytest

from nn_clustering.studies import Patience, Progress, carry_out, workplace
from nn_clustering.tracking import resolve_server, stop_embedded
from nn_clustering.tracking.server import processes
from tests.programs import environment
from tests.studies.cheap_cells import make_cell
from tests.studies.counting_project import CountingStudy
from tests.studies.processes import read_when_there

LONG = 90.0


@pytest.fixture
def own_home(tmp_path):
    """A home whose server a test may kill."""
    folder = tmp_path / "own home"
    folder.mkdir()
    yield folder
    stop_embedded(folder)


@pytest.fixture
def study(own_home, tmp_path, monkeypatch):
    """A study whose store has a server of its own; workers that are started are of its store."""
    server = resolve_server(environment(own_home))
    study = CountingStudy(tmp_path / "a project", server, own_home).begin()
    for name in set(os.environ) - set(study.environ):
        monkeypatch.delenv(name)
    for name, value in study.environ.items():
        monkeypatch.setenv(name, value)
    yield study
    study.close()


def compute(study, client):
    """Have three cells computed; returns what became of them and what was said."""
    lines = []
    cells = [make_cell(f"count: seed={seed}", stage="count", seed=seed) for seed in range(3)]
    ended = carry_out(
        client,
        cells,
        lambda cell, parent_run: study.order(cell.seed),
        progress=Progress(tell=lines.append),
        patience=Patience(look=0.1),
    )
    return ended, lines


def stored(study):
    """What the cells' runs say but for their numbers, by seed."""
    runs = study.database["runs"].find({"config.seed": {"$lt": 1000}})
    return sorted(
        (
            run["config"]["seed"],
            run["status"],
            run["result"],
            run["info"]["code"],
            run["config"],
            sorted(entry["name"] for entry in run["artifacts"]),
        )
        for run in runs
    )


def test_four_workers_store_what_one_does(study):
    with workplace(n_workers=4, tell=lambda line: None) as client:
        ended, _ = compute(study, client)
    assert len(ended.completed) == 3
    of_four = stored(study)
    assert [(seed, status) for seed, status, *_ in of_four] == [
        (seed, "COMPLETED") for seed in range(3)
    ]
    with workplace(n_workers=1, tell=lambda line: None) as client:
        again, lines = compute(study, client)
        assert {name: outcome.run_id for name, outcome in again.completed.items()} == {
            name: outcome.run_id for name, outcome in ended.completed.items()
        }
        assert len([line for line in lines if line.endswith("was stored meanwhile")]) == 3
        study.database["runs"].delete_many({"config.seed": {"$lt": 1000}})
        compute(study, client)
    assert stored(study) == of_four


def test_cells_outlast_an_outage_of_mongodb(study, own_home, tmp_path, monkeypatch):
    pause = tmp_path / "paused" / "pause"
    pause.parent.mkdir()
    monkeypatch.setenv("PAUSE", str(pause))
    found = []

    def work():
        with workplace(n_workers=2, tell=lambda line: None) as client:
            found.append(compute(study, client))

    thread = threading.Thread(target=work)
    thread.start()
    read_when_there(pause)
    server = json.loads((own_home / ".mongo" / "server.json").read_text())["pid"]
    os.kill(server, signal.SIGKILL)
    assert processes.wait_until_gone(server, LONG)
    shutil.rmtree(pause.parent)  # they go on without a server
    resolve_server(environment(own_home))
    thread.join(LONG)
    ended, lines = found[0]
    assert len(ended.completed) == 3, lines
    assert [(seed, status) for seed, status, *_ in stored(study)] == [
        (seed, "COMPLETED") for seed in range(3)
    ]
