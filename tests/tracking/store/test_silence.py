"""How long a run must be silent to count as dead: 120 seconds, by the server's clock."""

import datetime

import pytest

from nn_clustering.tracking.store.liveness import mark_died
from nn_clustering.tracking.writing.signs_of_life import IS_SILENT

NOW = datetime.datetime(2026, 3, 1, 12)


def at(expression, now):
    """The expression with a time in the place of the server's clock."""
    if expression == "$$NOW":
        return now
    if isinstance(expression, dict):
        return {key: at(value, now) for key, value in expression.items()}
    if isinstance(expression, list):
        return [at(value, now) for value in expression]
    return expression


@pytest.mark.parametrize(
    ("milliseconds", "is_silent"),
    [(0, False), (119_999, False), (120_000, False), (120_001, True), (600_000, True)],
)
@pytest.mark.parametrize("sign", ["last_seen", "heartbeat", "start_time"])
def test_to_the_millisecond(database, add_run, milliseconds, is_silent, sign):
    last = NOW - datetime.timedelta(milliseconds=milliseconds)
    long_ago = NOW - datetime.timedelta(days=1)
    fields = {
        "last_seen": {"tracking": {"last_seen": last}, "heartbeat": long_ago},
        "heartbeat": {"heartbeat": last, "start_time": long_ago},
        "start_time": {"start_time": last},
    }[sign]
    add_run(1, status="RUNNING", **fields)
    found = database["runs"].find_one({"$expr": at(IS_SILENT, NOW)})
    assert (found is not None) == is_silent


@pytest.mark.parametrize(("seconds", "dead"), [(90, []), (121, [1])])
def test_by_the_clock_of_the_server(database, add_run, seconds, dead):
    add_run(1, status="RUNNING")
    seen = {"$subtract": ["$$NOW", 1000 * seconds]}
    database["runs"].update_one({"_id": 1}, [{"$set": {"tracking.last_seen": seen}}])
    assert mark_died(database) == dead
    status = database["runs"].find_one()["status"]
    assert status == ("DIED" if dead else "RUNNING")
