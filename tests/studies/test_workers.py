"""Which worker gets a cell: by what each has, by what runs on it, and by its time."""

import time

import pytest
from distributed import Client, Scheduler, SpecCluster, Worker, get_worker

from nn_clustering.studies import Needs, Orders, Patience, Progress, carry_out, cells_of
from nn_clustering.studies._cell_orders import Snapshot
from nn_clustering.studies._costs import Costs
from nn_clustering.studies._pending_cells import PendingCell
from nn_clustering.studies._stuck_cells import why_stuck
from nn_clustering.studies._workers import WorkerFacts, Workers
from tests.studies.cheap_cells import make_cell, orders
from tests.studies.stages import made_up_stages
from tests.studies.test_spec import study

GB = 1000 * 2**20


@pytest.fixture(scope="module")
def client():
    """Two workers of two threads: one with a GPU and 4 GB, one with 8 GB."""
    here = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    times = {"lifetime": "3000s"}
    resources = ({"GPU": 1, "MEMORY": 4 * GB}, {"MEMORY": 8 * GB})
    workers = {
        number: {"cls": Worker, "options": {**here, **times, "nthreads": 2, "resources": each}}
        for number, each in enumerate(resources)
    }
    scheduler = {"cls": Scheduler, "options": {**here, "port": 0}}
    with SpecCluster(workers=workers, scheduler=scheduler) as cluster, Client(cluster) as client:
        client.wait_for_workers(2)
        yield client


@pytest.fixture
def workers(client):
    found = Workers()
    assert found.look(client) == []
    return found


def of_gpus(workers, number):
    (found,) = (
        facts for facts in workers.who_could(Needs(memory_mb=1), ()) if facts.gpus == number
    )
    return found


def test_free_is_who_does_nothing_and_does_not_rest(workers):
    with_gpu, without = of_gpus(workers, 1), of_gpus(workers, 0)
    assert (len(workers), workers.n_places) == (2, 4)
    assert dict(workers.free({})) == {with_gpu: 2, without: 2}
    taken = {with_gpu.address: [Needs()], without.address: [Needs(), Needs()]}
    assert workers.free(taken) == [(with_gpu, 1)]
    workers.let_rest(with_gpu.address)
    assert workers.free({}) == [(without, 2)]
    workers.unfit[without.address] = "of another store"
    assert workers.n_places == 2
    assert workers.free({}) == []


def test_who_could_ever_take_a_cell_and_why_nobody_does(workers):
    with_gpu, without = of_gpus(workers, 1), of_gpus(workers, 0)
    assert workers.who_could(Needs(gpu=1), ()) == [with_gpu]
    assert workers.who_could(Needs(memory_mb=8000), ()) == [without]
    assert workers.who_could(Needs(), [with_gpu.address]) == [without]
    declined = {with_gpu.address: "its disk is full", without.address: "its disk is full"}
    stuck = [
        PendingCell(make_cell("two", gpu=2)),
        PendingCell(make_cell("refused"), declined=declined),
        PendingCell(make_cell("waits", gpu=1)),
    ]
    seconds = dict.fromkeys(("two", "refused", "waits"))
    assert [reason for _, reason in why_stuck(stuck, workers, seconds)] == [
        "no worker has what train needs: 2 GPU and 2.1 GB of memory",
        "no worker takes refused: its disk is full",
    ]


def test_a_worker_has_time_until_its_end(workers):
    seen = of_gpus(workers, 0)
    assert 2500 < seen.end - time.monotonic() <= 3000
    assert seen.whole_seconds == 3000
    facts = {"host": "a", "n_threads": 1, "gpus": 0, "memory_bytes": GB}
    assert WorkerFacts("a", **facts).has_time(1e9)
    short = WorkerFacts("a", **facts, end=time.monotonic() + 200, whole_seconds=3600)
    assert short.has_time(60)
    assert not short.has_time(1000)
    fresh = WorkerFacts("a", **facts, end=time.monotonic() + 3500, whole_seconds=3600)
    assert fresh.has_time(10_000)  # which goes on from one worker to the next
    assert not WorkerFacts("a", **facts, end=time.monotonic() - 1).has_time(0)
    exactly = WorkerFacts("a", **facts)
    assert exactly.is_large_enough(Needs(memory_mb=1000))
    assert not exactly.is_large_enough(Needs(memory_mb=1001))


def note(order):
    """Tells who computes it, and what is computed there meanwhile."""
    worker = get_worker()
    time.sleep(0.2)
    output = f"{worker.address} {len(worker.state.executing)}"
    return {"name": order["name"], "state": "completed", "run_id": 1, "output": output}


def test_cells_that_go_side_by_side_fit_together_and_gpus_are_for_those_that_need_them(
    client, workers, tmp_path
):
    gpu = of_gpus(workers, 1).address
    needs = {"memory_mb": 3000}
    cells = [make_cell(f"cell {n}", **needs) for n in range(4)] + [make_cell("gpu", gpu=1, **needs)]
    ended = carry_out(
        client,
        cells,
        orders(tmp_path),
        run=note,
        progress=Progress(tell=lambda line: None),
        patience=Patience(look=0.1),
    )
    where = {name: outcome.output.split() for name, outcome in ended.completed.items()}
    assert where["gpu"][0] == gpu
    assert set(list(ended.completed)[:3]) == {"cell 0", "cell 1", "gpu"}  # at once
    # 4 GB hold one of them at a time, and the first ones went where no GPU is
    assert {n for address, n in where.values() if address == gpu} == {"1"}
    assert {where[f"cell {n}"][0] for n in (0, 1)} == {of_gpus(workers, 0).address}


def test_a_worker_without_gpu_comes_first(client, workers, tmp_path):
    silent = Progress(tell=lambda line: None)
    ended = carry_out(client, [make_cell("cell")], orders(tmp_path), run=note, progress=silent)
    assert ended.completed["cell"].output.split()[0] == of_gpus(workers, 0).address


def test_an_order_says_all_that_a_worker_needs():
    stages = made_up_stages()
    cells = cells_of(study(), stages)
    costs = Costs(of_stages={"cluster": 50.0}, links=("cluster_run", "train_run"))
    made = Orders(stages, Snapshot(3, "5d"), "store", costs, 2, reuse=False)
    order = made.order(cells[4], 17)
    assert order.updates["train_run"] == order.config["train_run"] == 17
    assert (order.config["phase"], order.updates["seed"]) == ("unpruned", 3)
    assert (order.stage, order.expected_seconds, order.reads_data) == ("cluster", 50.0, False)
    assert (order.max_resumed, order.reuse, order.store) == (2, False, "store")
    assert order.code == stages["cluster"].code_digest(order.config)
    first = made.order(cells[2])
    assert (first.configs, first.reads_data, first.expected_seconds) == (("long",), True, None)
    assert not first.updates.keys() & {"train_run", "cluster_run"}
