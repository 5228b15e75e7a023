"""Which cells are done, by stored runs, and what the others should cost."""

from datetime import datetime, timedelta

import pytest

from nn_clustering.studies import Costs, cells_of, find_completed, full_config
from nn_clustering.studies._stored import find_unfinished
from tests.studies.stages import made_up_stages
from tests.studies.test_spec import study
from tests.tracking.stored_files import store_file

pytestmark = pytest.mark.server


@pytest.fixture
def stored(database):
    """Stores a run of a cell; returns its id."""

    def store(cell, parent_run=None, *, status="COMPLETED", seconds=10, change=None, **fields):
        number = database["runs"].count_documents({}) + 1
        config = full_config(cell, made_up_stages(), parent_run)
        start = datetime(2024, 5, 2)
        database["runs"].insert_one(
            {
                "_id": number,
                "experiment": {"name": cell.stage},
                "status": status,
                "config": {**config, "tags": ["mine"], "reuse": False, **(change or {})},
                "info": {"code": made_up_stages()[cell.stage].code_digest(config)},
                "start_time": start,
                "stop_time": start + timedelta(seconds=seconds),
                "artifacts": [],
                **fields,
            }
        )
        return number

    return store


def ids(database, cells, **more):
    found = find_completed(database, cells, made_up_stages(), **more)
    return [found[cell.name].run_id if cell.name in found else None for cell in cells]


def test_completed_runs_are_found_through_the_runs_that_they_read(database, stored):
    cells = cells_of(study(), made_up_stages())
    assert ids(database, cells) == [None] * 20
    trained = stored(cells[0])
    newer = stored(cells[0], change={"resume": trained})  # goes on with another: does the same
    of_older = stored(cells[4], trained)
    assert ids(database, cells) == [newer] + [None] * 19
    clustered = stored(cells[4], newer)
    lesioned = stored(cells[12], clustered)
    assert of_older not in ids(database, cells)
    assert ids(database, cells)[4] == clustered
    assert ids(database, cells)[12] == lesioned


@pytest.mark.parametrize(
    "run",
    [
        {"status": "FAILED"},
        {"status": "RUNNING"},
        {"info": {"code": "other"}},
        {"change": {"training": {"epochs": 3, "rate": 0.1}}},
        {"change": {"seed": 9}},
        {"dropped_artifacts": [{"name": "network.keras"}]},
        {"artifacts": [{"name": "network.keras", "file_id": "gone"}]},
        {"experiment": {"name": "lesion"}},
    ],
)
def test_other_runs_are_none_of_the_cell(database, stored, run):
    cells = cells_of(study(), made_up_stages())
    stored(cells[0], **run)
    assert ids(database, cells)[0] is None


def test_run_whose_code_changed_meanwhile_is_not_used(database, stored):
    cells = cells_of(study(), made_up_stages())
    code = made_up_stages()["train"].code_digest({})
    stored(cells[0], info={"code": code, "changed_code": ["train.py"]})
    assert ids(database, cells)[0] is None


def test_artifact_that_lacks_a_chunk_is_missing(database, stored):
    cells = cells_of(study(), made_up_stages())
    whole = store_file(database, "network.keras", b"x" * 600_000)
    run = stored(cells[0], artifacts=[whole])
    assert ids(database, cells)[0] == run
    database["fs.chunks"].delete_one({"files_id": whole["file_id"], "n": 1})
    assert ids(database, cells)[0] is None


def test_runs_of_former_code_count_where_that_is_asked(database, stored):
    cells = cells_of(study(), made_up_stages())
    former = stored(cells[0], info={"code": "former"})
    assert ids(database, cells)[0] is None
    assert ids(database, cells, any_code=True)[0] == former


def test_newest_unfinished_run_is_found(database, stored):
    cell = cells_of(study(), made_up_stages())[0]
    assert find_unfinished(database, cell, made_up_stages()) is None
    stored(cell, status="DIED")
    newest = stored(cell, status="INTERRUPTED", change={"resume": 1})
    stored(cell, status="FAILED", info={"code": "former"})
    stored(cell, status="RUNNING")
    assert find_unfinished(database, cell, made_up_stages()) == newest


def test_costs_are_medians_of_the_kind_else_of_the_stage(database, stored):
    short, _, long, *_ = cells_of(study(), made_up_stages())
    for seconds in (10, 20, 90):
        stored(short, seconds=seconds)
    costs = Costs.read(database, ["train", "cluster"], made_up_stages())
    stages = made_up_stages()
    assert costs.seconds(short, stages) == 20
    assert costs.seconds(long, stages) == 20  # as the stage
    stored(long, seconds=1000)
    costs = Costs.read(database, ["train", "cluster"], made_up_stages())
    other_seed = cells_of(study(), stages)[3]
    assert costs.seconds(other_seed, stages) == 1000
    assert costs.seconds(short, stages) == 20
    everything = cells_of(study(), stages)
    assert costs.total(everything, stages) == (2 * 20 + 2 * 1000, 16)
