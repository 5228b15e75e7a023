"""Which runs a table of networks is of, what it refuses and what it says of itself."""

from types import SimpleNamespace

import pandas
import pytest

from experiments import _network_tables, visualisation_table
from nn_clustering.errors import InvalidInputError
from nn_clustering.reports import NetworkTable


class Store:
    """Notes what it is asked for, and finds two runs, the newest first."""

    asked = None

    def find(self, **asked):
        self.asked = asked
        return ["newest", "oldest"]


def run_of(query=None, **config):
    whole = visualisation_table.experiment.full_config([])
    whole = {**whole, **config, "query": {**whole["query"], **(query or {})}}
    return SimpleNamespace(config=whole, store=Store())


def test_a_query_is_of_completed_runs_that_answer_to_all_of_it():
    query = {
        "tags": ["study"],
        "since": "2d",
        "config": ["seed>=2", "seed<5", "draws=joint"],
        "result": ["n_subclusters>3"],
        "limit": 7,
    }
    run = run_of(query)
    assert _network_tables._runs(run, "visualise") == ["oldest", "newest"]
    assert run.store.asked == {
        "experiment": "visualise",
        "status": "COMPLETED",
        "tags": ["study"],
        "since": "2d",
        "config": {"seed": (">=", 2, "<", 5), "draws": ("==", "joint")},
        "result": {"n_subclusters": (">", 3)},
        "limit": 7,
    }


@pytest.mark.parametrize("limit", [0, True, 1.5, "7"])
def test_a_limit_is_a_whole_number_from_one_on(limit):
    with pytest.raises(InvalidInputError, match=r"query\.limit="):
        _network_tables.check(run_of({"limit": limit}))
    for fine in (None, 1):
        _network_tables.check(run_of({"limit": fine}))


def test_the_most_and_the_fewest_resamples():
    most = _network_tables.MOST_RESAMPLES
    for refused in (0, most + 1):
        with pytest.raises(InvalidInputError, match=f"n_resamples={refused}; .* 1 to {most}"):
            _network_tables.check(run_of(n_resamples=refused))
    for fine in (1, most):
        _network_tables.check(run_of(n_resamples=fine))


@pytest.mark.parametrize(
    ("critical_p", "found"), [(0.0125, "(critical p = 0.013)"), (0.0, "(none is)")]
)
def test_a_table_says_what_its_stars_rest_on(capsys, critical_p, found):
    table = NetworkTable(pandas.DataFrame(), (), (), (), 0.1, critical_p, 6)
    run = SimpleNamespace(inputs=SimpleNamespace(table=SimpleNamespace(value=table)))
    _network_tables.summary(run, {})
    said = capsys.readouterr().out
    assert said.startswith(f"\n{table.text()}\n")
    assert f"with a false discovery rate of 0.1 over 6 tests {found}; of random draws" in said
