"""Runs as tables: what they are, how they differ, their metrics."""

import datetime
import math

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from nn_clustering.errors import InvalidInputError, RunNotFoundError

START = datetime.datetime(2024, 1, 1)


@pytest.fixture
def add_metric(database):
    """Inserts one document of a metric, with a point a second."""

    def add(run_id, name, values, *, first_step=0, **fields):
        steps = list(range(first_step, first_step + len(values)))
        times = [START + datetime.timedelta(seconds=step) for step in steps]
        document = {"run_id": run_id, "name": name, "steps": steps, "timestamps": times}
        database["metrics"].insert_one({**document, "values": values, **fields})

    return add


def test_table_has_what_differs_and_the_results(store, add_run):
    common = {"dataset": {"name": "mnist"}, "layers": [4, 4]}
    end = START + datetime.timedelta(minutes=1)
    add_run(
        1,
        config={**common, "seed": 1, "tags": ["a"], "reuse": False},
        result={"ncut": 3.5, "sizes": [1, 2]},
    )
    add_run(
        2, config={**common, "seed": 2, "extra": None}, start_time=START, stop_time=end,
        result={"ncut": 4, "test": {"accuracy": 0.5, "verdict": "fine"}, "nothing": None},
    )  # fmt: skip
    add_run(3, config={**common, "seed": 2}, status="FAILED")
    table = store.find().table()
    assert table.index.name == "run"
    assert list(table.index) == [3, 2, 1]
    assert list(table) == [
        "experiment", "status", "start_time", "duration", "tags", "config.seed", "config.extra",
        "result.ncut", "result.test.accuracy", "result.test.verdict",
    ]  # fmt: skip
    assert table.loc[1, "tags"] == ("a",)
    assert table.loc[2, "start_time"] == pd.Timestamp(START, tz="UTC")
    assert table.loc[2, "duration"] == 60
    assert math.isnan(table.loc[3, "result.ncut"])
    assert table["result.ncut"].dropna().to_dict() == {1: 3.5, 2: 4}
    assert table["config.seed"].to_dict() == {3: 2, 1: 1, 2: 2}


def test_equal_values_do_not_differ(store, add_run):
    add_run(1, config={"rate": 1, "bad": math.nan, "deep": {"list": [1, {}]}, "empty": {}})
    add_run(2, config={"rate": 1.0, "bad": math.nan, "deep": {"list": [1, {}]}, "empty": {}})
    assert not [name for name in store.find().table() if name.startswith("config.")]
    add_run(3, config={"rate": True, "bad": None, "deep": {"list": [1]}, "empty": {"a": 1}})
    differing = {name for name in store.find().table() if name.startswith("config.")}
    assert differing == {
        "config.rate", "config.bad", "config.deep.list", "config.empty", "config.empty.a"
    }  # fmt: skip


def test_results_and_metrics_that_were_asked_for(store, add_run, add_metric):
    add_run(1, result={"ncut": 3.5, "test": {"accuracy": 0.5}})
    add_run(2, result={"ncut": 4.5})
    add_metric(1, "loss", [3.0, 2.0])
    add_metric(1, "loss", [1.0], first_step=2, part=1)
    add_metric(1, "accuracy", [0.1])
    table = store.find().table(results=["test.accuracy"], metrics=["loss"])
    assert list(table)[-2:] == ["result.test.accuracy", "metric.loss"]
    assert table.loc[1, "result.test.accuracy"] == 0.5
    assert table.loc[1, "metric.loss"] == 1.0
    assert table.loc[2, ["result.test.accuracy", "metric.loss"]].isna().all()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"results": ["ncot"]}, r"has 'ncot' \(did you mean ncut\?\); expected some of: ncut"),
        ({"metrics": ["lost"]}, r"has 'lost' \(did you mean loss\?\); expected some of: loss"),
        ({"results": "ncut"}, r"expected a list of names, \['ncut'\]"),
        ({"metrics": "loss"}, r"expected a list of names, \['loss'\]"),
    ],
)
def test_unknown_columns_are_refused(store, add_run, add_metric, asked, message):
    add_run(1, result={"ncut": 3})
    add_metric(1, "loss", [1.0])
    with pytest.raises(InvalidInputError, match=message):
        store.find().table(**asked)


def test_table_of_no_runs_is_empty(store):
    table = store.find().table(results=["ncut"], metrics=["loss"])
    assert len(table) == 0
    assert {"experiment", "status", "start_time", "result.ncut", "metric.loss"} <= set(table)


def test_metric_of_one_run_is_tidy(store, add_run, add_metric):
    add_run(1)
    add_metric(1, "loss", [0.5, 0.25])
    expected = pd.DataFrame(
        {
            "run": [1, 1],
            "metric": ["loss", "loss"],
            "step": [0, 1],
            "value": [0.5, 0.25],
            "timestamp": pd.to_datetime(["2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"]),
        }
    )
    assert_frame_equal(store.run(1).metric("loss"), expected, check_dtype=False)


def test_parts_of_a_metric_are_put_together_in_their_order(store, add_run, add_metric):
    add_run(1)
    add_metric(1, "loss", [6.0], first_step=6, part=2)
    add_metric(1, "loss", [4.0, 5.0], first_step=4, part=1)
    add_metric(1, "loss", [0.0, 1.0, 2.0, 3.0])
    curve = store.run(1).metric("loss")
    assert list(curve["step"]) == list(curve["value"]) == list(range(7))
    assert store.run(1).last_values() == {"loss": 6.0}


def test_metric_of_many_runs(store, add_run, add_metric):
    for number in (1, 2, 3):
        add_run(number)
    add_metric(1, "loss", [1.0, 2.0])
    add_metric(3, "loss", [3.0])
    add_metric(3, "accuracy", [0.0])
    table = store.find().metric("loss")
    assert list(zip(table["run"], table["step"], table["value"], strict=True)) == [
        (3, 0, 3.0), (1, 0, 1.0), (1, 1, 2.0),
    ]  # fmt: skip
    with pytest.raises(RunNotFoundError, match=r"none of these 3 runs.*'lost'.*accuracy, loss"):
        store.find().metric("lost")
    assert store.find(experiment="none of these").metric("loss").empty


def test_points_without_steps_or_times(store, add_run, database):
    add_run(1)
    columns = {"steps": [5], "values": [1.0, "inf?", None], "timestamps": []}
    database["metrics"].insert_one({"run_id": 1, "name": "loss", **columns})
    curve = store.run(1).metric("loss")
    assert list(curve["value"])[:2] == [1.0, "inf?"]
    assert curve["step"].isna().tolist() == [False, True, True]
    assert curve["timestamp"].isna().all()


def test_missing_metric_lists_those_there_are(store, add_run, add_metric):
    add_run(1)
    add_metric(1, "loss", [1.0])
    with pytest.raises(RunNotFoundError, match=r"no metric 'accuracy'.*loss"):
        store.run(1).metric("accuracy")


def test_name_of_a_metric_is_no_query(store, add_run, add_metric):
    add_run(1)
    add_metric(1, "loss", [1.0])
    with pytest.raises(RunNotFoundError):
        store.run(1).metric({"$ne": ""})


def test_compare_shows_what_differs(store, add_run):
    add_run(1, config={"seed": 1, "n": 4}, result={"ncut": 3.5, "sizes": [1, 2]})
    add_run(2, config={"seed": 2, "n": 4}, result={"ncut": 3.5, "sizes": [2, 1]}, status="FAILED")
    table = store.compare([2, 1])
    assert list(table) == [2, 1]
    assert table.T.to_dict("list") == {"config.seed": [2, 1], "result.sizes": [[2, 1], [1, 2]]}
    add_run(3)
    assert store.compare([1, 3]).loc["config.n"].to_list() == [4, None]
    assert store.compare([3, 3, 1]).columns.to_list() == [3, 1]


def test_compare_begins_with_what_all_runs_have(store, add_run):
    add_run(1, config={"a": 1, "seed": 1, "tags": ["a"], "reuse": False}, result={"ncut": 1.0})
    add_run(2, experiment="cluster", config={"seed": 2, "b": None}, result={"ncut": 2.0})
    keys = ["config.seed", "result.ncut", "config.a", "config.b"]
    assert store.compare([1, 2]).index.to_list() == keys


def test_compare_of_equal_runs_is_empty(store, add_run):
    add_run(1)
    add_run(2, config={"tags": ["a"], "reuse": False})
    assert store.compare([1, 2]).empty


def test_compare_refuses(store, add_run):
    add_run(1)
    for given in ([], [1], [1, 1]):
        with pytest.raises(InvalidInputError, match="expected at least two runs"):
            store.compare(given)
    with pytest.raises(RunNotFoundError, match="there is no run 9"):
        store.compare([1, 9])


def test_keys_of_other_experiments_do_not_count_as_differing(store, add_run):
    add_run(1, config={"seed": 1, "epochs": 5})
    add_run(2, config={"seed": 1, "epochs": 6})
    add_run(3, experiment="cluster", config={"seed": 1, "n_clusters": 12})
    table = store.find().table()
    assert [name for name in table.columns if name.startswith("config.")] == ["config.epochs"]
    assert table["config.epochs"].dropna().to_dict() == {2: 6, 1: 5}
