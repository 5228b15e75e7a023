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
    assert networks["seed"].tolist() == [0, 1, 0]
    row, visualised = study.result["conditions"]
    assert row["ncut"] == pytest.approx(networks["ncut"][:2].mean())
    inputs = store.run(study.info["lineage"]["visualise_run_2"], experiment="visualise")
    for measure in ("score", "entropy"):
        assert visualised[f"{measure}_p"] == inputs.result[measure]["fisher_p"]
    assert (visualised["score_p_published"], visualised["largest_p_value"]) == (0.5, None)
    n_runs = len(store.find())

    again = run_experiment("study", "with", "fast")
    assert again.returncode == 0, again.stderr
    assert len(store.find()) == n_runs + 1  # the study itself
    assert again.stdout.count("same config, inputs and code") == 9
    assert store.run(again.run_id, experiment="study").result == study.result


def test_an_imported_network_is_a_condition(run_experiment, store):
    condition = {
        "name": "resnet18", "import_network": ["resnet18", "fast"], "settings": "fast",
        "seeds": [0], "phases": ["imported"], "n_clusters": 4, "n_shuffles": 3,
    }  # fmt: skip
    done = run_experiment("study", "with", f"conditions={[condition]}")
    assert done.returncode == 0, done.stderr
    study = store.run(done.run_id, experiment="study")
    (row,) = study.result["conditions"]
    lineage = study.info["lineage"]
    imported = store.run(lineage["import_network_run_0"], experiment="import_network")
    assert imported.config["network"]["name"] == "resnet18"
    shuffled = store.run(lineage["shuffle_test_run_0"], experiment="shuffle_test")
    assert (row["condition"], row["ncut"]) == ("resnet18, imported", shuffled.result["ncut"])
    assert row["accuracy"] is None


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
            "fragile": [False, True],
        }
    )
    published = {"pruned": {"ncut": 1.5}, "unpruned": {"accuracy": 0.98, "ncut": 10.02}}
    table = summarise(networks, [{"name": "MLP", "published": published}])
    assert format_table(table).splitlines()[2] == (
        "| MLP, unpruned | 2 | 0.8500 ± 0.0707 (0.98) | 10.500 ± 0.707 (10.02) | 12.000 ± 0.000 "
        "| -3.0 | 0.300 (1 fragile) |"
    )


def test_a_single_network_has_no_spread_and_alike_shuffles_no_z():
    rows = {"condition": ["A", "B", "B"], "phase": ["unpruned"] * 3, "fragile": [False] * 3}
    numbers = {key: [0.5, 0.6, 0.8] for key in ("accuracy", "ncut", "shuffled_mean", "p_value")}
    networks = pandas.DataFrame({**rows, **numbers, "z_score": [None, -1.0, -2.0]})
    published = {"unpruned": {"ncut": 0.7}}
    table = summarise(networks, [{"name": "A"}, {"name": "B", "published": published}])
    assert format_table(table).splitlines()[2:] == [
        "| A, unpruned | 1 | 0.5000 | 0.500 | 0.500 | undefined | 0.500 |",
        "| B, unpruned | 2 | 0.7000 ± 0.1414 | 0.700 ± 0.141 (0.7) | 0.700 ± 0.141 "
        "| -1.5 | 0.800 |",
    ]


def test_a_study_without_shuffles_beside_what_was_published():
    rows = {"condition": ["MLP", "MLP"], "phase": ["pruned"] * 2, "accuracy": [0.9, 0.8]}
    p_values = {"score_p": [0.5, 0.25], "entropy_p": [1e-9, 2e-9]}
    networks = pandas.DataFrame({**rows, "ncut": [9.0, 9.0], **p_values})
    published = {"pruned": {"score_p": 0.56476}}
    table = summarise(networks, [{"name": "MLP", "published": published}])
    assert format_table(table).splitlines() == [
        "|  | networks | accuracy | n-cut | score p | entropy p |",
        "| --- | --- | --- | --- | --- | --- |",
        "| MLP, pruned | 2 | 0.8500 ± 0.0707 | 9.000 ± 0.000 | 0.3750 ± 0.1768 (0.56476) "
        "| < 0.0001 ± 0.0000 |",
    ]


def test_a_condition_without_shuffles_beside_one_with_them():
    rows = {"condition": ["A", "B"], "phase": ["unpruned"] * 2, "accuracy": [0.5, 0.5]}
    tested = {"ncut": [3.0, 3.0], "z_score": [-1.0, None], "p_value": [0.125, None]}
    networks = pandas.DataFrame({**rows, **tested, "fragile": [True, None]})
    table = summarise(networks, [{"name": "A"}, {"name": "B"}])
    assert format_table(table).splitlines()[2:] == [
        "| A, unpruned | 1 | 0.5000 | 3.000 | -1.0 | 0.125 (1 fragile) |",
        "| B, unpruned | 1 | 0.5000 | 3.000 | undefined | undefined |",
    ]


def test_an_import_beside_what_was_published():
    networks = pandas.DataFrame(
        {
            "condition": ["vgg16", "vgg19"],
            "phase": ["imported", "imported"],
            "accuracy": [0.7, None],
            "ncut": [7.8, 7.3],
            "shuffled_mean": [8.2, 7.6],
            "z_score": [-22.0, -7.0],
            "p_value": [0.01, 0.01],
            "fragile": [False, False],
            "importance_p": [1e-13, None],
            "coherence_p": [0.25, None],
        }
    )
    published = {"imported": {"ncut": 7.7998, "z_score": -22.9, "importance_p": 1e-12}}
    table = summarise(networks, [{"name": "vgg16", "published": published}, {"name": "vgg19"}])
    assert (
        format_table(table)
        .splitlines()[0]
        .endswith("| z | importance p | coherence p | largest p |")
    )
    assert format_table(table).splitlines()[2:] == [
        "| vgg16, imported | 1 | 0.7000 | 7.800 (7.7998) | 8.200 | -22.0 (-22.9) "
        "| < 0.0001 (1e-12) | 0.2500 | 0.010 |",
        "| vgg19, imported | 1 | undefined | 7.300 | 7.600 | -7.0 | undefined | undefined "
        "| 0.010 |",
    ]
