"""Which stored run of a cell a worker takes, waits for, or goes on with."""

from datetime import datetime, timezone

import pytest

from nn_clustering.studies._cell_orders import CellOrder, Snapshot
from nn_clustering.studies._cell_runs import CellRuns, find_runs

pytestmark = pytest.mark.server

KEPT = [{"name": "config.yaml"}, {"name": "step_3"}]
ORDER = CellOrder(
    "train: seed=2", "train", "experiments/train.py", Snapshot(10, "5d"), "c0de", "c0de", "store",
    updates={"seed": 2}, config={"seed": 2, "epochs": 3, "resume": None}, max_resumed=2,
)  # fmt: skip


@pytest.fixture
def add(database):
    """Stores a run of the cell."""

    def add(run_id, status="DIED", *, resume=None, code="c0de", **fields):
        document = {
            "_id": run_id,
            "experiment": {"name": "train"},
            "status": status,
            "config": {**ORDER.config, "resume": resume, "tags": ["x"]},
            "info": {"code": code, "lineage": {} if resume is None else {"resume": resume}},
            "artifacts": [] if status == "COMPLETED" else KEPT,
        }
        database["runs"].insert_one({**document, **fields})

    return add


@pytest.fixture
def found(database, tmp_path):
    return lambda order=ORDER: find_runs(database, order, tmp_path)


def test_completed_is_a_whole_run_of_this_code_since_the_study_began(add, found):
    add(9, "COMPLETED")  # which the study has looked at itself
    add(11, "COMPLETED", code="other")
    add(12, "COMPLETED", artifacts=[{"name": "network.keras", "file_id": "gone"}])
    add(13, "COMPLETED", dropped_artifacts=[{"name": "network.keras"}])
    add(14, "COMPLETED", info={"code": "c0de", "changed_code": ["train.py"]})
    add(15, "COMPLETED", config={**ORDER.config, "epochs": 4})
    add("65f0c0ffee", "COMPLETED")  # of another program, which numbers runs by itself
    assert found() == CellRuns()
    add(16, "COMPLETED")
    add(17, "COMPLETED")
    assert found().completed.run_id == 17


def test_the_newest_unfinished_run_that_has_kept_something_is_gone_on_with(add, found):
    add(11, "INTERRUPTED")
    add(12, "FAILED")
    add(13, "DIED", artifacts=KEPT[:1])  # its config alone
    assert found().unfinished == 12
    config = {key: value for key, value in ORDER.config.items() if key != "resume"}
    without = CellOrder(**{**vars(ORDER), "config": config})
    assert found(without).unfinished is None  # the stage cannot


def test_a_run_that_another_process_makes_is_waited_for(add, found):
    add(11, "INTERRUPTED")
    now = datetime.now(timezone.utc).replace(tzinfo=None)
    add(12, "RUNNING", heartbeat=now, start_time=now)
    assert (found().running, found().unfinished) == (12, 11)
    add(13, "RUNNING", code=None, heartbeat=now, start_time=now)  # of which code nobody knows yet
    assert found().running == 12


def test_a_cell_that_always_fails_is_begun_anew(add, found):
    add(11, "DIED")
    add(12, "FAILED", resume=11)
    assert found().unfinished == 12
    add(13, "DIED", resume=12)
    assert found().unfinished is None
    add(14, "INTERRUPTED", resume=13)  # it got on
    assert found().unfinished == 14
    add(15, "DIED", resume=14)
    assert found().unfinished == 15
