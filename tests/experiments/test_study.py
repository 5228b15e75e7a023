"""A study over seeds: its table against plain arithmetic, and going on where it stopped."""

import io

import pandas
import pytest

from experiments.study import format_table, summarise


def test_study_runs_once_and_then_reuses(run_experiment, store):
    first = run_experiment("study", "with", "fast")
    assert first.returncode == 0, first.stderr
    study = store.run(first.run_id, experiment="study")
    networks = pandas.read_csv(io.BytesIO(study.artifact("networks.csv")))
    assert networks["seed"].tolist() == [0, 1]
    row = study.result["conditions"][0]
    assert row["ncut"] == pytest.approx(networks["ncut"].mean())
    n_runs = len(store.find())

    again = run_experiment("study", "with", "fast")
    assert again.returncode == 0, again.stderr
    assert len(store.find()) == n_runs + 1  # the study itself
    assert again.stdout.count("same config, inputs and code") == 6
    assert store.run(again.run_id, experiment="study").result == study.result


def test_table_is_mean_and_spread_beside_the_published_mean():
    networks = pandas.DataFrame(
        {
            "condition": ["MLP", "MLP"],
            "phase": ["unpruned", "unpruned"],
            "accuracy": [0.9, 0.8],
            "ncut": [10.0, 11.0],
            "shuffled_mean": [12.0, 12.0],
            "z_score": [-2.0, -4.0],
            "p_value": [0.1, 0.3],
        }
    )
    published = {"unpruned": {"accuracy": 0.98, "ncut": 10.02}}
    table = summarise(networks, [{"name": "MLP", "published": published}])
    assert format_table(table).splitlines()[2] == (
        "| MLP, unpruned | 2 | 0.8500 ± 0.0707 (0.98) | 10.500 ± 0.707 (10.02) | 12.000 ± 0.000 "
        "| -3.0 | 0.300 |"
    )
