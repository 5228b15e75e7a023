"""MongoDB goes away while a cell is computed: its run is completed once it is back."""

import os
import signal
import threading
import time

import pytest

from nn_clustering.studies._cell_orders import CellOutcome
from nn_clustering.studies._cell_process import run_cell
from nn_clustering.tracking import resolve_server, stop_embedded
from nn_clustering.tracking.writing.journal_reading import is_finished, journal_folders
from tests.programs import environment
from tests.studies.counting_project import CountingStudy
from tests.studies.processes import is_there, read_when_there, wait_until


@pytest.fixture
def own_home(tmp_path):
    """A home whose server the test stops."""
    folder = tmp_path / "own home"
    folder.mkdir()
    yield folder
    stop_embedded(folder)


@pytest.mark.server
def test_a_cell_is_completed_once_the_server_is_back(own_home, tmp_path, monkeypatch):
    server = resolve_server(environment(own_home))
    study = CountingStudy(tmp_path / "project", server, own_home).begin()
    for name in set(os.environ) - set(study.environ):
        monkeypatch.delenv(name)
    pause = tmp_path / "paused" / "pause"
    pause.parent.mkdir()
    for name, value in {**study.environ, "PAUSE": str(pause)}.items():
        monkeypatch.setenv(name, value)
    order, outcomes = study.order(1), []
    worker = threading.Thread(target=lambda: outcomes.append(run_cell(order)))
    worker.start()
    process = int(read_when_there(pause))
    stop_embedded(own_home)
    pause.rename(tmp_path / "no pause")
    pause.parent.rmdir()
    (journal,) = journal_folders(own_home / ".mongo" / "journal")
    wait_until(lambda: is_finished(journal))
    time.sleep(1)  # until it has noted that, and waits for the server
    os.kill(process, signal.SIGINT)  # which ends its waiting for the server
    wait_until(lambda: not is_there(process))
    resolve_server(environment(own_home))
    worker.join()
    outcome = CellOutcome.from_plain(outcomes[0])
    assert outcome.state == "completed", outcome
    assert study.store.run(outcome.run_id).result == {"number": 30, "first": 0}
    assert study.store.count(experiment="count", config={"seed": 1}) == 1
    study.close()
