"""Studies on a scheduler that is there already: a lab's processes, killed and started again."""

import contextlib
import sys
import threading
import time

import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.studies import (
    Patience,
    Progress,
    SchedulerUnavailableError,
    carry_out,
    workplace,
)
from tests.studies.cheap_cells import compute, make_cell, orders, starts
from tests.studies.dask_processes import Lab

OFTEN = Patience(look=0.1)
LONG = 60.0  # seconds until a condition that shall come true counts as one that never will


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.start_scheduler()
    yield lab
    lab.kill()


class Study:
    """A study in a thread of its own, and what it says."""

    def __init__(self, folder, cells, acts=None, *, patience=OFTEN, **place):
        self.lines = []
        self.ended = self.error = None
        self._work = (folder, cells, acts, patience, place)
        self._thread = threading.Thread(target=self._carry_out)
        self._thread.start()

    def _carry_out(self):
        folder, cells, acts, patience, place = self._work
        progress = Progress(tell=self.lines.append)
        try:
            with workplace(**place, tell=self.lines.append) as client:
                self.ended = carry_out(
                    client,
                    cells,
                    orders(folder, acts),
                    run=compute,
                    progress=progress,
                    patience=patience,
                )
        except SchedulerUnavailableError as error:
            self.error = error

    def wait(self):
        self._thread.join(LONG)
        assert not self._thread.is_alive(), self.lines
        return self

    def wait_for(self, words):
        wait_until(lambda: any(words in line for line in self.lines), self.lines)


def wait_until(condition, what="it does not come true"):
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@contextlib.contextmanager
def started(lab, *workers):
    """Workers for the time of a test, each with options."""
    processes = [lab.start_worker(*options) for options in workers]
    yield processes
    lab.kill(*processes)


def test_workers_may_join_when_they_can_and_with_what_is_needed(lab, tmp_path):
    cells = [make_cell("of a processor"), make_cell("of a GPU", gpu=1)]
    study = Study(tmp_path, cells, scheduler_file=lab.file)
    study.wait_for("there is no worker: waiting for one that can")
    with started(lab, ()):
        study.wait_for("of a processor: run")
        study.wait_for("no worker has what train needs: 1 GPU")
        with started(lab, ("--resources", "GPU=1,MEMORY=4e9")):
            assert set(study.wait().ended.completed) == {"of a processor", "of a GPU"}
    assert len([line for line in study.lines if "1 GPU" in line]) == 1


def test_a_scheduler_of_another_python_is_refused(lab, monkeypatch):
    monkeypatch.setattr("platform.python_version_tuple", lambda: ("3", "99", "0"))
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(InvalidInputError) as refused, workplace(scheduler=lab.address):
        pass
    assert str(refused.value) == (
        f"the scheduler {lab.address} has Python {here} (here 3.99); expected the same as here"
    )


def test_two_studies_share_the_workers(lab, tmp_path):
    places = [tmp_path / "one", tmp_path / "two"]
    cells = [make_cell(f"cell {n}") for n in range(10)]
    with started(lab, ()):
        for place in places:
            place.mkdir()
        studies = [Study(place, cells, scheduler=lab.address) for place in places]
        for study, place in zip(studies, places, strict=True):
            assert len(study.wait().ended.completed) == 10
            assert sorted(starts(place)) == [f"cell {n}" for n in range(10)]


def test_a_worker_that_is_gone_costs_what_it_computed_alone(lab, tmp_path):
    cells = [make_cell(f"cell {n}") for n in range(3)]
    with started(lab, ()) as (worker,):
        study = Study(tmp_path, cells, {"cell 0": "wait for go"}, scheduler=lab.address)
        wait_until(lambda: starts(tmp_path))
        lab.kill(worker)
        (tmp_path / "go").touch()
        study.wait_for("its worker")
        with started(lab, ()):
            assert len(study.wait().ended.completed) == 3
    assert sorted(starts(tmp_path)) == ["cell 0", "cell 0", "cell 1", "cell 2"]


def test_the_death_of_the_scheduler_costs_nothing_completed(tmp_path):
    lab = Lab(tmp_path)
    cells = [make_cell(f"cell {n}") for n in range(4)]
    scheduler, worker = lab.start_scheduler(), lab.start_worker()
    try:
        study = Study(tmp_path, cells, {"cell 1": "wait for go"}, scheduler_file=lab.file)
        wait_until(lambda: "cell 1" in starts(tmp_path))
        lab.kill(scheduler, worker)  # its workers end with a scheduler
        study.wait_for("is away: waiting for it for up to 10 min")
        (tmp_path / "go").touch()
        scheduler, worker = lab.start_scheduler(), lab.start_worker()
        assert len(study.wait().ended.completed) == 4
        assert sorted(starts(tmp_path)) == ["cell 0", "cell 1", "cell 1", "cell 2", "cell 3"]
    finally:
        lab.kill()


def test_a_scheduler_that_does_not_come_back_ends_the_study(tmp_path):
    lab = Lab(tmp_path)
    lab.start_scheduler()
    study = Study(
        tmp_path,
        [make_cell("cell")],
        scheduler=lab.address,
        patience=Patience(scheduler=0.5, look=0.1),
    )
    study.wait_for("there is no worker")
    lab.kill()
    assert str(study.wait().error) == (
        f"the scheduler {lab.address} has not come back: what is completed is stored, and the same "
        "command goes on from there"
    )
