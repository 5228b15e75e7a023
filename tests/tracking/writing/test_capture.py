"""Everything that a run prints is kept, however it ends."""

import pytest


def captured(database):
    return database["runs"].find_one({}, sort=[("_id", -1)])["captured_out"]


@pytest.mark.parametrize("mode", ["fd", "sys"])
@pytest.mark.parametrize("action", ["succeed", "fail", "interrupt"])
def test_short_runs_keep_all_their_output(run_sample, database, action, mode):
    for _ in range(2):
        run_sample(action, "-C", mode)
        lines = captured(database).splitlines()
        assert "first line" in lines
        assert any(line.startswith("last line") for line in lines)


def test_sacreds_own_lines_and_other_processes_are_kept(run_sample, database):
    run_sample("succeed")
    text = captured(database)
    for line in ("Started run with ID", "from another process", "last line äöü", "Completed after"):
        assert text.count(line) == 1


def test_letters_that_arrive_in_halves_do_not_stop_the_heartbeat(run_sample, database, store):
    ended = run_sample("letters", "-b", "0.01")
    assert ended.returncode == 0, ended.stderr
    assert captured(database).count("ä") == 20
    assert store.run("latest").metric("done")["value"].to_list() == [1]
