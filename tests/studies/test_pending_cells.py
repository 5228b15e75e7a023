"""Which cells are ready, by what has become of the others."""

from nn_clustering.studies._pending_cells import PendingCells
from tests.studies.cheap_cells import make_cell


def names(pending):
    return [each.cell.name for each in pending.ready]


def chain():
    """Two networks; the first is clustered, and its clustering tested twice."""
    first, second = make_cell("first"), make_cell("second")
    cluster = make_cell("cluster", first)
    return [first, second, cluster, make_cell("test", cluster), make_cell("lesion", cluster)]


def take(pending, name):
    found = next(each for each in pending.ready if each.cell.name == name)
    pending.take(found)
    return found


def test_a_cell_is_ready_once_the_one_that_it_reads_has_a_run():
    pending = PendingCells(chain(), {})
    assert names(pending) == ["first", "second"]
    pending.complete(take(pending, "first").cell, 12)
    assert names(pending) == ["second", "cluster"]
    assert pending.ready[1].parent_run == 12
    pending.complete(take(pending, "cluster").cell, 13)
    assert names(pending) == ["second", "test", "lesion"]
    assert pending.n_left == 3


def test_what_becomes_ready_comes_to_its_place():
    first, second = make_cell("first"), make_cell("second")
    pending = PendingCells([first, make_cell("cluster", first), second], {})
    pending.complete(take(pending, "first").cell, 12)
    assert names(pending) == ["cluster", "second"]


def test_what_is_put_back_comes_to_its_place():
    pending = PendingCells(chain(), {})
    first = take(pending, "first")
    assert names(pending) == ["second"]
    pending.put_back(first)
    assert names(pending) == ["first", "second"]


def test_stored_cells_make_others_ready_at_once():
    pending = PendingCells(chain(), {"first": 1, "cluster": 2})
    assert names(pending) == ["second", "test", "lesion"]
    assert [each.parent_run for each in pending.ready] == [None, 2, 2]


def test_all_that_rests_on_a_cell_goes_with_it():
    pending = PendingCells(chain(), {})
    lost = pending.give_up(take(pending, "first").cell)
    assert [cell.name for cell in lost] == ["cluster", "test", "lesion"]
    assert pending.n_left == 1
    pending.give_up(take(pending, "second").cell)
    assert pending.n_left == 0
