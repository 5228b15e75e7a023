"""Cells on real workers of this machine, that die or decline, and what becomes of the study."""

import pytest

from nn_clustering.studies import Patience, Progress, carry_out, workplace
from tests.studies.cheap_cells import compute, make_cell, orders, starts

OFTEN = Patience(look=0.1)


@pytest.fixture(scope="module")
def client():
    with workplace(n_workers=2, tell=lambda line: None) as client:
        yield client


@pytest.fixture
def carry(client, tmp_path):
    """Carries cells out on two workers; returns what became of them and what was said."""

    def carry(cells, acts=None, client=client, **more):
        lines = []
        more = {"patience": OFTEN, "run": compute, **more}
        order_of = orders(tmp_path, acts)
        progress = Progress(tell=lines.append)
        return carry_out(client, cells, order_of, progress=progress, **more), lines

    return carry


def grid():
    """Four networks, each clustered twice."""
    networks = [make_cell(f"network {n}") for n in range(4)]
    return [
        *networks,
        *(
            make_cell(f"{parent.name}, {k} clusters", parent, stage="cluster")
            for parent in networks
            for k in (2, 3)
        ),
    ]


def run_ids(ended):
    return {name: outcome.run_id for name, outcome in ended.completed.items()}


def test_each_cell_is_begun_once_after_the_one_that_it_reads(carry, tmp_path):
    cells = grid()
    ended, lines = carry(cells)
    assert run_ids(ended) == {
        cell.name: f"{cell.name} of {cell.parent.name}" if cell.parent else cell.name
        for cell in cells
    }
    assert not ended.failed
    assert not ended.not_run
    begun = starts(tmp_path)
    assert sorted(begun) == sorted(cell.name for cell in cells)
    assert all(begun.index(cell.parent.name) < begun.index(cell.name) for cell in cells[4:])
    assert [line.split()[0] for line in lines][-1] == "[12/12]"


def test_what_is_completed_already_is_not_begun_again(carry, tmp_path):
    cells = grid()
    ended, _ = carry(cells, completed={"network 1": 77, "network 1, 2 clusters": 78})
    assert ended.completed["network 1, 3 clusters"].run_id == "network 1, 3 clusters of 77"
    assert len(starts(tmp_path)) == len(ended.completed) == 10


def test_a_worker_that_dies_costs_the_cell_that_it_computed_alone(carry, tmp_path):
    cells = [make_cell(f"cell {n}") for n in range(6)]
    ended, lines = carry(cells, {"cell 2": "die once"})
    assert len(ended.completed) == 6
    begun = starts(tmp_path)
    assert {name: begun.count(name) for name in set(begun)} == {
        **{f"cell {n}": 1 for n in range(6)},
        "cell 2": 2,
    }
    assert [line for line in lines if "has died" in line and "attempt 2 of 3 follows" in line]


def test_a_cell_that_kills_its_workers_is_given_up(carry, tmp_path):
    killer = make_cell("killer")
    cells = [killer, make_cell("child", killer), make_cell("other")]
    ended, lines = carry(cells, {"killer": "die"}, max_attempts=2)
    assert starts(tmp_path).count("killer") == 2
    assert "has died" in ended.failed["killer"].reason
    assert ended.not_run == {"child": "killer"}
    assert list(ended.completed) == ["other"]
    assert "    1 run is not made, which would have read that of killer" in lines


@pytest.mark.parametrize(("act", "n_starts"), [("fail", 1), ("raise", 1), ("crash", 3)])
def test_what_fails_by_itself_is_not_tried_again(carry, tmp_path, act, n_starts):
    ended, lines = carry([make_cell("cell"), make_cell("other")], {"cell": act})
    assert starts(tmp_path).count("cell") == n_starts
    assert list(ended.failed) == ["cell"]
    assert list(ended.completed) == ["other"]
    reason = {"fail": "no such key\n    a\n    b", "raise": "mistake", "crash": "signal 11"}[act]
    assert any(reason in line for line in lines)


def test_what_the_walltime_has_interrupted_goes_on(carry, tmp_path):
    ended, lines = carry([make_cell("cell")], {"cell": "be interrupted once"})
    assert list(ended.completed) == ["cell"]
    assert "cell: its time is over; attempt 2 of 3 follows" in lines


def test_a_worker_that_declines_is_not_asked_again(carry, tmp_path):
    cells = [make_cell("one"), make_cell("two")]
    ended, lines = carry(cells, {"one": "decline once"})
    assert starts(tmp_path).count("one") == 2
    assert len(ended.completed) == 2
    assert len([line for line in lines if "it has not the time" in line]) == 1


def test_what_every_worker_declines_is_not_run(carry, tmp_path):
    ended, _ = carry([make_cell("cell"), make_cell("other")], {"cell": "decline"})
    assert sorted(starts(tmp_path)) == ["cell", "cell", "other"]
    assert ended.failed["cell"].reason == "no worker takes cell: it has not the time"
    assert list(ended.completed) == ["other"]


def test_workers_of_another_store_get_nothing_more(carry, tmp_path):
    cells = [make_cell(f"cell {n}") for n in range(5)]
    ended, lines = carry(cells, {cell.name: "be of another store" for cell in cells})
    assert len(starts(tmp_path)) == 2
    assert {outcome.reason for outcome in ended.failed.values()} == {
        "none of the workers can be used"
    }
    assert len([line for line in lines if "its runs go elsewhere" in line]) == 2


@pytest.mark.parametrize(
    ("needs", "reason"),
    [
        ({"gpu": 1}, "no worker has what train needs: 1 GPU and"),
        ({"memory_mb": 10**9}, "no worker has what train needs: 1.05 PB of memory"),
    ],
)
def test_what_no_worker_of_this_machine_can_hold_is_not_run(carry, tmp_path, needs, reason):
    large = make_cell("large", **needs)
    ended, _ = carry([large, make_cell("child", large), make_cell("other")])
    assert ended.failed["large"].reason.startswith(reason)
    assert ended.not_run == {"child": "large"}
    assert starts(tmp_path) == ["other"]


def test_tasks_are_grouped_by_stage(carry):
    cells = [make_cell("a"), make_cell("b", stage="cluster")]
    ended, _ = carry(cells, run=spy)
    seen = [outcome.output for outcome in ended.completed.values()]
    assert sorted(key.split("-")[0] for key in seen) == ["cluster", "train"]


def spy(order):
    from distributed import get_worker

    key = get_worker().get_current_task()
    return {"name": order["name"], "state": "completed", "run_id": 1, "output": key}
