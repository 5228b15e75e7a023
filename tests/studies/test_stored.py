"""Which cells are done, by stored runs, and what the others should cost."""

from datetime import datetime, timedelta

import pytest

from nn_clustering.studies import (
    Costs,
    Plan,
    cells_of,
    find_completed,
    full_config,
    without_changed_inputs,
)
from nn_clustering.studies._plan import in_words
from nn_clustering.studies._stored import StoredCell
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
    database["runs"].update_one({}, {"$unset": {"config.n_threads": 1}})  # which it had not yet
    assert ids(database, cells, any_code=True)[0] == former
    database["runs"].update_one({}, {"$unset": {"config.training": 1}})
    assert ids(database, cells, any_code=True)[0] == former
    assert ids(database, cells, any_code=True)[2] is None


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
    for parent_run, seconds in ((1, 5), (2, 7)):
        stored(everything[4], parent_run, seconds=seconds)
    stored(everything[5], 1, seconds=100)
    stored(everything[4], 1, seconds=10_000, status="FAILED")
    costs = Costs.read(database, ["train", "cluster"], stages)
    assert costs.seconds(everything[4], stages) == 6  # whichever run was read
    assert costs.seconds(everything[5], stages) == 100
    database["runs"].update_many({}, {"$unset": {"config.n_threads": 1}})  # as of former code
    assert Costs.read(database, ["train", "cluster"], stages).seconds(short, stages) == 20


def test_runs_of_all_seeds_and_networks_are_found_at_once(database, stored):
    cells = cells_of(study(), made_up_stages())
    trained = [stored(cell) for cell in cells[:4]]
    clustered = [stored(cell, trained[cells.index(cell.parent)]) for cell in cells[4:12]]
    assert ids(database, cells)[:12] == [*trained, *clustered]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "some 1 s"),
        (99, "some 99 s"),
        (100, "some 2 minutes"),
        (5999, "some 100 minutes"),
        (6000, "some 1.7 hours"),
    ],
)
def test_times_in_words(seconds, words):
    assert in_words(seconds) == words


def test_plan_of_a_step_that_is_stored():
    stages = made_up_stages()
    whole = study([{"name": "train", "seeds": [0, 1]}])
    cells = cells_of(whole, stages)
    there = {cell.name: StoredCell(1, 2.0, None) for cell in cells}
    costs = Costs(of_stages={"train": 30.0})
    assert Plan(whole, cells, there, costs, stages).lines()[1:] == [
        "train     2       2      0",
        "2 of 2 runs are stored; there is nothing to compute",
    ]
    del there[cells[0].name]
    (*_, said) = Plan(whole, cells, there, costs, stages).lines(n_workers=1)
    assert said == "1 of 2 runs are stored; the rest should take some 30 s of computing"


def test_runs_that_read_other_data_are_left_out_with_what_rests_on_them(database, stored):
    cells = cells_of(study(), made_up_stages())
    code = made_up_stages()["train"].code_digest({})
    as_it_is, gone_on = {"dataset": "now"}, {"dataset": "now", "unfinished": 3}
    ids_of = [
        stored(cells[0], info={"code": code, "inputs": {"dataset": "then"}}),
        stored(cells[1], info={"code": code, "inputs": gone_on}),
        stored(cells[2], info={"code": code, "inputs": as_it_is}),
    ]
    of_changed, of_kept = stored(cells[4], ids_of[0]), stored(cells[6], ids_of[1])
    found = find_completed(database, cells, made_up_stages())
    assert {of_changed, of_kept} < {cell.run_id for cell in found.values()}
    asked = []

    def read(cell, parent_run):
        asked.append((cell.name, parent_run))
        return as_it_is

    def left(names_data):
        kept = without_changed_inputs(found, cells, made_up_stages(), names_data, read)
        return {cell.run_id for cell in kept.values()}

    assert left(lambda cell: False) == {*ids_of[1:], of_kept}
    # not again for another seed
    assert asked == [(cells[0].name, None), (cells[2].name, None)]
    assert left(lambda cell: True) == set(ids_of[1:])  # the clustering read nothing then
    assert (cells[6].name, ids_of[1]) in asked


def test_plan_says_what_is_stored_and_what_the_rest_should_cost(database, stored):
    stages = made_up_stages()
    whole = study()
    cells = cells_of(whole, stages)
    first = stored(cells[0], seconds=30)
    stored(cells[4], first, seconds=600)
    costs = Costs.read(database, ["train", "cluster", "lesion"], stages)
    plan = Plan(whole, cells, find_completed(database, cells, stages), costs, stages)
    assert plan.lines(n_workers=2) == [
        "step     runs  stored  to do  estimate",
        "train       4       1      3  some 90 s",
        "cluster     8       1      7  some 70 minutes",
        "lesion      8       0      8  unknown",
        "2 of 20 runs are stored; the rest should take some 72 minutes of computing, some 36 "
        "minutes with 2 workers, and 8 runs of stages of which none is stored",
    ]
    assert plan.to_do == tuple(cell for cell in cells if cell not in (cells[0], cells[4]))
