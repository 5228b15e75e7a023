"""Which run is the newest: by the store's order, not by what machines take for the time."""

import datetime

import bson
import pytest

NOON = datetime.datetime(2024, 3, 1, 12)


def hours(number):
    return datetime.timedelta(hours=number)


@pytest.mark.parametrize("skew", [hours(24 * 365), -hours(24 * 365)])
def test_clock_of_a_machine_changes_no_order(store, add_run, skew):
    add_run(1, start_time=NOON)
    add_run(2, start_time=NOON + hours(1) + skew)
    add_run(3, start_time=NOON + hours(2))
    add_run(4, experiment="cluster", start_time=NOON + skew)
    assert store.find().ids == [4, 3, 2, 1]
    assert store.find(experiment="train", limit=2).ids == [3, 2]
    assert store.run("latest", experiment="train").id == 3


def test_runs_with_other_ids_come_where_their_start_puts_them(store, add_run, database):
    others = {"mine": NOON + hours(2), bson.ObjectId("f" * 24): NOON - hours(9), "old": None}
    for run_id, start in others.items():
        database["runs"].insert_one(
            {"_id": run_id, "experiment": {"name": "train"}, "status": "COMPLETED"}
            | ({} if start is None else {"start_time": start})
        )
    add_run(1, start_time=NOON)
    add_run(2, start_time=NOON + hours(1))
    expected = ["mine", 2, 1, bson.ObjectId("f" * 24), "old"]
    assert store.find().ids == expected
    for limit in range(1, 6):
        assert store.find(limit=limit).ids == expected[:limit]
    assert store.run("latest", experiment="train").id == "mine"
    add_run(3, start_time=NOON + hours(3))
    assert store.run("latest", experiment="train").id == 3


def test_run_that_a_wrong_clock_dates_comes_before_older_ones_with_other_ids(
    run_sample, store, database
):
    """By the server's clock, which noted when it was registered."""
    assert run_sample("succeed").returncode == 0
    registered = database["runs"].find_one({"_id": 1})["tracking"]["registered"]
    earlier = {"_id": "a year ago", "start_time": registered - hours(24 * 365)}
    database["runs"].insert_one({**earlier, "status": "COMPLETED"})
    database["runs"].update_one({"_id": 1}, {"$set": {"start_time": datetime.datetime(1970, 1, 1)}})
    assert store.find().ids == [1, "a year ago"]
