"""Tags and notes go where Omniboard shows them, and hide nothing there."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from nn_clustering.errors import InvalidInputError, RunNotFoundError


def shown(database, run_id=1):
    return database["runs"].find_one({"_id": run_id}).get("omniboard")


def test_tags_are_added_to_those_of_the_config(store, add_run, database):
    add_run(1, config={"tags": ["paper"]})
    store.tag(1, "good", "figure 2")
    store.tag(1, "good", " ä ")
    assert store.run(1).tags == ("paper", "good", "figure 2", "ä")
    # Omniboard shows these instead of the config's.
    assert shown(database) == {"tags": ["paper", "good", "figure 2", "ä"]}
    assert store.run(1).config == {"tags": ["paper"]}


def test_untag(store, add_run, database):
    add_run(1, config={"tags": ["paper"]})
    store.tag(1, "a", "b")
    store.untag(1, "a", "never given")
    assert store.run(1).tags == ("paper", "b")
    with pytest.raises(InvalidInputError, match="tag 'paper' of run 1 is in the run's config"):
        store.untag(1, "b", "paper")
    assert shown(database) == {"tags": ["paper", "b"]}


def test_notes_follow_the_comment_of_the_start(store, add_run, database):
    add_run(1, meta={"comment": "first try"})
    assert store.run(1).notes == "first try"
    store.note(1, "too slow")
    store.note(1, "  $set: kept as it is\n")
    assert store.run(1).notes == "first try\ntoo slow\n$set: kept as it is"
    # Omniboard shows these instead of the comment.
    assert shown(database) == {"notes": store.run(1).notes}


def test_notes_made_without_the_comment_do_not_hide_it(store, add_run):
    add_run(1, meta={"comment": "first try"}, omniboard={"notes": "elsewhere"})
    assert store.run(1).notes == "first try\nelsewhere"


def test_tags_and_notes_stay_beside_each_other(store, add_run, database):
    add_run(1, omniboard={"other": 1})
    store.tag(1, "a")
    store.note(1, "b")
    assert shown(database) == {"other": 1, "tags": ["a"], "notes": "b"}


def test_nothing_is_lost_when_many_write_at_once(store, add_run):
    add_run(1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.tag(1, f"tag {number}"), range(40)))
        list(pool.map(lambda number: store.note(1, f"note {number}"), range(40)))
    assert set(store.run(1).tags) == {f"tag {number}" for number in range(40)}
    assert set(store.run(1).notes.split("\n")) == {f"note {number}" for number in range(40)}


def test_tags_of_a_config_that_are_no_list(store, add_run):
    add_run(1, config={"tags": "a, b"})
    add_run(2, config={"tags": {"a": 1}})
    assert store.run(1).tags == ("a", "b")
    assert store.run(2).tags == ()


@pytest.mark.parametrize("tags", [(), ("",), (" ",), (3,), (["a"],), ("a\nb",), ("a", None)])
def test_what_is_no_tag(store, add_run, tags):
    add_run(1)
    for change in (store.tag, store.untag):
        with pytest.raises(InvalidInputError, match="expected") as refused:
            change(1, *tags)
        assert "\n" not in str(refused.value)
    assert store.run(1).tags == ()


@pytest.mark.parametrize("text", ["", "  \n", None, 3])
def test_what_is_no_note(store, add_run, text):
    add_run(1)
    with pytest.raises(InvalidInputError, match="expected a text"):
        store.note(1, text)


@pytest.mark.parametrize("run_id", [9, "1", True, {"$ne": 0}])
def test_unknown_runs(store, add_run, run_id):
    add_run(1)
    for change in (store.tag, store.untag, store.note):
        with pytest.raises(RunNotFoundError, match="there is no run"):
            change(run_id, "a")
    assert store.run(1).tags == ()
