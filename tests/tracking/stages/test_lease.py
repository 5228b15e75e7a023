"""Who holds a lease: one at a time, for as long as it gives signs, by the server's clock."""

import contextlib
import datetime
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pymongo
import pymongo.errors
import pytest

from nn_clustering.tracking.stages.claim import POLL_SECONDS, claimed
from nn_clustering.tracking.stages.lease import COLLECTION, Lease
from tests.tracking.faulty_line import FaultyLine
from tests.tracking.stage_programs import wait_for


@pytest.fixture
def lease(database):
    """Makes leases, and lets them go after the test."""
    made = []

    def make(key="work", database=database, **options):
        made.append(Lease(database, key, **options))
        return made[-1]

    yield make
    for lease in made:
        lease.let_go()


def run_out(database, key="work"):
    """The time of a lease is over, as when its holder was killed."""
    update = [{"$set": {"expires_at": {"$subtract": ["$$NOW", 1]}, "token": "of the dead"}}]
    assert database[COLLECTION].update_one({"_id": key}, update).modified_count == 1


def test_one_holds_it_and_another_after_it(lease):
    first, second = lease(), lease()
    assert first.take()
    assert not second.take()
    assert lease("other work").take()
    first.let_go()
    assert second.take()
    assert not first.take()


def test_of_many_at_once_one_gets_it(lease):
    leases = [lease() for _ in range(12)]
    with ThreadPoolExecutor(12) as threads:
        assert sum(threads.map(Lease.take, leases)) == 1


def test_that_of_a_dead_process_is_taken_over(lease, database):
    dead, living = lease(), lease()
    assert dead.take()
    assert not living.take()
    run_out(database)
    assert living.take()
    # Should it live after all, it takes nothing away from the other.
    dead.let_go()
    assert not lease().take()


def test_that_for_a_run_that_has_ended_is_taken_over(lease, add_run, database):
    """Its process was killed a moment ago, and somebody has seen that."""
    dead, living = lease(), lease()
    assert dead.take()
    dead.note_run(add_run(3, status="RUNNING"))
    wait_for(lambda: dead.holder().run_id == 3)
    assert not living.take()
    database["runs"].update_one({"_id": 3}, {"$set": {"status": "DIED"}})
    assert living.take()
    assert living.holder().run_id is None


def test_that_for_a_run_that_gives_signs_is_taken_by_nobody(lease, add_run, database):
    """The server was away for a moment, or the line to it."""
    holder, other = lease(), lease()
    assert holder.take()
    holder.note_run(add_run(3, status="RUNNING"))
    wait_for(lambda: holder.holder().run_id == 3)
    now = {"tracking.last_seen": datetime.datetime.now(datetime.timezone.utc)}
    database["runs"].update_one({"_id": 3}, {"$set": now})
    past = [{"$set": {"expires_at": {"$subtract": ["$$NOW", 1]}}}]
    database[COLLECTION].update_one({"_id": "work"}, past)
    assert not other.take()
    before = {"tracking.last_seen": datetime.datetime(2000, 1, 1)}
    database["runs"].update_one({"_id": 3}, {"$set": before})
    database[COLLECTION].update_one({"_id": "work"}, past)
    assert other.take()


def test_who_slept_is_told_that_another_has_it(lease, database):
    told = []
    sleeper = lease(seconds=1.0, on_lost=told.append)
    assert sleeper.take()
    run_out(database)
    assert lease().take()
    wait_for(lambda: told)
    time.sleep(0.5)
    assert len(told) == 1, told
    assert told[0].startswith(f"another does it now (pid {os.getpid()} on ")
    sleeper.let_go()
    assert not lease().take()


def test_who_slept_is_told_that_another_has_done_it_meanwhile(lease, add_run, database):
    told = []
    sleeper = lease(seconds=1.0, on_lost=told.append)
    assert sleeper.take()
    sleeper.note_run(add_run(3, status="RUNNING"))
    done = add_run(4, status="COMPLETED")
    database["runs"].update_one({"_id": done}, {"$set": {"tracking.identity": "work"}})
    database[COLLECTION].delete_many({})
    wait_for(lambda: told)
    assert told == ["run 4 has done it"]


def test_lease_that_vanished_is_taken_back(lease, database):
    """As the database was restored."""
    holder = lease(seconds=1.0, on_lost=pytest.fail)
    assert holder.take()
    database[COLLECTION].delete_many({})
    wait_for(lambda: holder.holder() is not None)
    assert not lease().take()


def test_it_lasts_by_the_servers_clock_and_is_renewed(lease, database):
    held = lease(seconds=1.0)
    assert held.take()
    document = database[COLLECTION].find_one()
    assert document["expires_at"] - document["since"] == datetime.timedelta(seconds=1)

    def is_renewed():
        found = database[COLLECTION].find_one()
        assert found["since"] == document["since"]
        return found["expires_at"] > document["expires_at"] + datetime.timedelta(seconds=2)

    wait_for(is_renewed)
    assert not lease().take()


def test_it_says_who_holds_it(lease):
    held, other = lease(), lease()
    assert other.holder() is None
    held.take()
    assert other.holder().run_id is None
    held.note_run(7)
    wait_for(lambda: other.holder().run_id == 7)
    holder = other.holder()
    assert (holder.pid, holder.host) == (os.getpid(), socket.gethostname())
    assert str(holder).startswith(f"run 7, pid {holder.pid} on {holder.host}, since ")


def test_nothing_is_left_of_it(lease, database):
    with lease() as held:
        held.take()
        assert database[COLLECTION].count_documents({}) == 1
    assert database[COLLECTION].count_documents({}) == 0


@pytest.fixture
def line(server):
    """A line to the server, and a database at its end."""
    line = FaultyLine(server.address)
    url = server.url.replace(server.address, line.address)
    with pymongo.MongoClient(url, serverSelectionTimeoutMS=200, connectTimeoutMS=200) as client:
        yield line, client[server.database]
    line.close()


def test_server_that_is_away_for_a_while_takes_nothing_from_the_holder(lease, line, database):
    cable, at_its_end = line
    held = lease(database=at_its_end, seconds=2.0)
    assert held.take()
    cable.cut()
    run_out(database)
    database[COLLECTION].update_one({}, {"$set": {"token": held._token}})
    cable.restore()
    expired = database[COLLECTION].find_one()["expires_at"]
    wait_for(lambda: database[COLLECTION].find_one()["expires_at"] > expired)
    assert not lease().take()


def test_end_is_reached_without_the_server(lease, line):
    cable, at_its_end = line
    with lease(database=at_its_end, seconds=1.0) as held:
        held.take()
        cable.cut()
    assert not any(thread.name == "lease" and thread.is_alive() for thread in threading.enumerate())


@contextlib.contextmanager
def waiting_at(at_its_end, holder, capsys):
    """A thread that waits for the lease of a holder, and what it gets."""
    results = []

    def wait():
        with claimed(at_its_end, "work", "measure", lambda: None) as (found, held):
            results.append((found, held is not None))

    assert holder.take()
    holder.note_run(3)
    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_for(lambda: "the same measure is computed already (run 3" in capsys.readouterr().out)
    yield waiting, results
    waiting.join(60)
    assert results == [(None, True)]


def test_who_waits_goes_on_waiting_while_the_server_is_away(lease, line, capsys):
    cable, at_its_end = line
    first = lease()
    with waiting_at(at_its_end, first, capsys) as (waiting, _):
        cable.cut()
        first.let_go()
        waiting.join(2)
        assert waiting.is_alive()
        cable.restore()


def test_who_waits_lets_the_holder_renew_what_ran_out_while_the_server_was_away(
    lease, line, database, capsys
):
    """Both saw the server go; whoever looks at it again first is not to have the lease for that."""
    cable, at_its_end = line
    first = lease(database=at_its_end)
    with waiting_at(at_its_end, first, capsys) as (_, results):
        cable.cut()
        # Since its last look the one that waits has seen that the server is away.
        time.sleep(3 * POLL_SECONDS)
        run_out(database)
        database[COLLECTION].update_one({}, {"$set": {"token": first._token}})
        expired = database[COLLECTION].find_one()["expires_at"]
        cable.restore()
        wait_for(lambda: database[COLLECTION].find_one()["expires_at"] > expired)
        assert database[COLLECTION].find_one()["token"] == first._token
        assert results == []
        first.let_go()


def test_work_is_done_without_a_lease_where_the_server_gives_none(line):
    """Whoever stores the run will say why."""
    cable, at_its_end = line
    cable.cut()
    with claimed(at_its_end, "work", "measure", lambda: None) as (found, held):
        assert (found, held) == (None, None)


def test_run_that_is_found_needs_no_lease(database):
    with claimed(database, "work", "measure", lambda: "the run") as (found, held):
        assert (found, held) == ("the run", None)
    assert database[COLLECTION].count_documents({}) == 0
