"""What a study's stored runs say, put into two tables: every number by plain arithmetic."""

import math

import pytest

from nn_clustering.errors import RunNotFoundError
from nn_clustering.reports import study_tables
from tests.reports.stored_study import (
    CLUSTERINGS,
    LESIONS,
    NETWORKS,
    SHUFFLES,
    StoredCells,
)


def test_a_row_a_stored_cell_and_a_row_a_clustered_network(store):
    made = StoredCells(store.database, NETWORKS, CLUSTERINGS, SHUFFLES).add_all()
    results = made.results(store)
    assert results.labels == ("train", "phase")
    assert results.cells["cell"].tolist() == [cell.name for cell in made.cells]
    assert (results.missing, results.n_cells) == ((), 20)
    cells = results.cells.set_index("cell")
    cell = next(cell for cell in made.cells if cell.stage == "shuffle_test")
    row = cells.loc[cell.name]
    assert row["run"] == made.runs[cell.name]
    assert row["parent_run"] == made.runs[cell.parent.name]
    assert row["config.n_shuffles"] == 50
    assert row["result.over_seeds.rests_on_seed"] is False
    assert "result.cluster_sizes" not in cells  # no number, text or truth value

    networks = results.networks
    assert len(networks) == 8
    last = networks.iloc[-1].to_dict()
    assert (last["label.train"], last["label.phase"], last["seed"]) == (
        "MLP, 50% dropout", "pruned", 1,
    )  # fmt: skip
    numbers = {name: last[name] for name in ("accuracy", "ncut", "shuffled_mean", "p_value")}
    assert numbers == pytest.approx(
        {"accuracy": 0.96, "ncut": 9.5, "shuffled_mean": 12.0, "p_value": 1 / 51}
    )
    assert math.isnan(last["z_score"])
    assert (last["fragile"], networks["fragile"].sum()) == (True, 2)
    assert last["network"] == last["train_run"] == made.runs[made.cells[3].name]
    assert networks["lesion_run"].isna().all()


def test_what_has_no_run_is_missing_and_a_network_without_its_test_stays(store):
    made = StoredCells(store.database, NETWORKS, CLUSTERINGS, SHUFFLES)
    test = next(cell for cell in made.cells if cell.stage == "shuffle_test")
    last = made.cells[3]
    results = made.add_all(but=(test.name, last.name)).results(store)
    gone = {cell.name for cell in made.cells if last in (cell, *cell.ancestors)}
    assert set(results.missing) == {test.name} | gone
    assert len(results.networks) == 6
    (row,) = results.networks[results.networks["shuffle_test_run"].isna()].to_dict("records")
    assert row["cluster_run"] == made.runs[test.parent.name]
    assert (row["ncut"], row["fragile"]) == (10.0, None)
    assert math.isnan(row["p_value"])


def test_a_run_that_went_away_meanwhile_is_named(store):
    made = StoredCells(store.database, NETWORKS).add_all()
    found = made.results(store)
    ids = list(found.runs)
    store.delete(ids[:1])
    with pytest.raises(RunNotFoundError, match=f"there is no run {ids[0]}"):
        store.runs(ids)
    assert store.runs(ids[:0:-1]).ids == ids[:0:-1]


def test_two_tests_of_one_kind_are_two_rows_that_share_the_others(store):
    steps = [
        {**SHUFFLES, "grid": {"count_ties": [True, False]}},
        {**SHUFFLES, "name": "kernels", "stage": "shuffle_test", "configs": "kernels"},
        LESIONS,
    ]
    networks = {**NETWORKS, "seeds": [0], "cases": NETWORKS["cases"][:1]}
    clusterings = {**CLUSTERINGS, "grid": {"phase": ["pruned"]}}
    made = StoredCells(store.database, networks, clusterings, *steps).add_all()
    rows = made.results(store).networks
    assert rows["label.shuffle_test"].tolist() == ["shuffle_test", "shuffle_test", "kernels"]
    assert rows["label.count_ties"].tolist() == [True, False, None]
    assert rows["shuffle_test_run"].nunique() == 3
    assert rows["lesion_run"].nunique() == 1
    assert rows["lesion_run"].notna().all()


def test_tests_of_one_clustering_with_several_seeds_are_all_there(store):
    networks = {**NETWORKS, "seeds": [0], "cases": NETWORKS["cases"][:1]}
    clusterings = {**CLUSTERINGS, "grid": {"phase": ["pruned"]}}
    tests = {**SHUFFLES, "seeds": [0, 1, 2]}
    made = StoredCells(store.database, networks, clusterings, tests, LESIONS).add_all()
    results = made.results(store)
    rows = results.networks
    assert rows["shuffle_test_run"].tolist() == [
        made.runs[cell.name] for cell in made.cells if cell.stage == "shuffle_test"
    ]
    assert rows["lesion_run"].nunique() == 1
    assert rows["lesion_run"].notna().all()
    (row,) = study_tables(results, store, n_resamples=99)[0].rows.to_dict("records")
    assert (row["n_clusterings"], row["n_tested"]) == (1, 1)
    assert row["ncut_std"] is None or math.isnan(row["ncut_std"])  # of one clustering
