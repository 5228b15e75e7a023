"""Tables of a study, each rule by itself, over results that were made up."""

import dataclasses
from types import SimpleNamespace

import pandas
import pytest

from nn_clustering.reports import StudyTable
from nn_clustering.reports._clusterability_table import clusterability_table, published_of
from nn_clustering.reports._study_results import (
    _accuracy,
    _Network,
    _of_test,
    _row,
    condition_in_words,
    conditions_of,
    is_fragile,
)
from nn_clustering.reports._study_table import latex_text
from nn_clustering.reports._study_tables import figures_table, study_tables
from nn_clustering.reports._sub_cluster_tables import _fisher, _notes
from nn_clustering.studies import Published
from tests.reports.page.made_up_study import made_up_study
from tests.studies.cheap_cells import make_cell


@pytest.fixture
def results():
    """Two networks, each clustered in two phases."""
    return made_up_study(cases=["MLP"], n_seeds=2)


def with_networks(results, **columns):
    changed = {**dict(results.networks.items()), **columns}
    return dataclasses.replace(results, networks=pandas.DataFrame(changed))


def lines(table):
    return [dict(zip(table.header, line, strict=True)) for line in table.lines]


def test_fragile_is_what_seeds_or_starts_turn():
    still, turned = {"rests_on_seed": False}, {"rests_on_start": True}
    assert is_fragile({"over_seeds": still, "of_lowest_starts": turned})
    assert is_fragile({"over_seeds": {"rests_on_seed": True}})
    assert not is_fragile({"over_seeds": still, "of_lowest_starts": {"rests_on_start": False}})
    assert not is_fragile({})


def test_accuracy_is_of_the_network_that_is_clustered():
    trained = SimpleNamespace(result={"pruned": {"test_accuracy": 0.5}})
    pruned = SimpleNamespace(info={"phase": "pruned"}, config={"checkpoint": None})
    assert _accuracy(trained, pruned) == 0.5
    earlier = SimpleNamespace(info={"phase": "pruned"}, config={"checkpoint": 3})
    assert _accuracy(trained, earlier) is None
    other = SimpleNamespace(info={"phase": "unpruned"}, config={})
    assert _accuracy(trained, other) is None


def test_a_lesion_tells_the_accuracy_that_nothing_else_does():
    run = SimpleNamespace(id=7, result={"accuracy": 0.9, "importance": {"fisher_p": 0.1}})
    found = _of_test("lesion", run, None)
    assert (found["lesion_run"], found["accuracy"], found["importance_p"]) == (7, 0.9, 0.1)
    assert "accuracy" not in _of_test("lesion", run, 0.5)


def test_an_imported_network_is_known_by_its_import():
    source = make_cell("import", stage="import_network")
    cell = make_cell("cluster", source, stage="cluster")
    imported = SimpleNamespace(id=3, experiment="import_network", result={})
    clustered = SimpleNamespace(id=4, result={"ncut": 9.0}, info={}, config={})
    runs = {"import": imported, "cluster": clustered}
    row = _row(_Network(cell, {}, {}), runs, ())
    assert (row["network"], row["import_network_run"], row["cluster_run"]) == (3, 3, 4)
    assert "train_run" not in row


def test_conditions_are_called_by_the_labels_that_they_have():
    table = pandas.DataFrame({"label.a": ["x", None], "label.k": [2, 3]}, dtype=object)
    found = [labels for labels, _ in conditions_of(table, ["label.a", "label.k"])]
    assert found == [{"a": "x", "k": 2}, {"k": 3}]
    assert [condition_in_words(labels) for labels in found] == ["x, k=2", "k=3"]


def test_published_means_are_of_conditions_with_all_of_their_labels():
    published = [
        Published({"train": "MLP"}, {"ncut": 1.0, "accuracy": 0.5}),
        Published({"train": "MLP", "phase": "pruned"}, {"ncut": 2.0}),
    ]
    assert published_of({"phase": "pruned"}, published) == {}
    assert published_of({"train": "MLP"}, published) == {"ncut": 1.0, "accuracy": 0.5}
    later = published_of({"train": "MLP", "phase": "pruned"}, published)
    assert later == {"ncut": 2.0, "accuracy": 0.5}


def test_the_largest_p_of_a_condition_and_how_many_are_tested(results):
    tested = results.networks["shuffle_test_run"].copy()
    tested[1] = None
    # rows are seed by seed, unpruned before pruned
    changed = with_networks(
        results, p_value=[0.2, float("nan"), 0.5, 0.03], shuffle_test_run=tested
    )
    unpruned, pruned = lines(clusterability_table(changed))
    assert (unpruned["largest p"], pruned["largest p"]) == ("0.5", "0.03 (1 of 2 tested)")
    # of one network that is clustered twice
    once = with_networks(changed, network=[1, 1, 1, 1])
    assert lines(clusterability_table(once))[1]["largest p"] == "0.03 (1 of 2 tested)"


def test_what_is_published_stands_beside_what_was_not_tested(results):
    tested = results.networks["shuffle_test_run"].copy()
    tested[[1, 3]] = None
    _, pruned = lines(clusterability_table(with_networks(results, shuffle_test_run=tested)))
    assert pruned["null mean"] == "- (9.183)"
    assert pruned["z"] == "-"


def test_clusterings_of_files_are_each_of_a_network_of_its_own(results):
    of_files = with_networks(results, network=pandas.Series([None] * 4, dtype=object))
    unpruned, _ = lines(clusterability_table(of_files))
    assert unpruned["networks"] == "2"
    values = results.networks["ncut"][[0, 2]]
    assert unpruned["n-cut"] == f"{values.mean():.3f} ± {values.std():.3f}"


def test_a_fisher_p_that_is_too_small_to_be_shown():
    row = {"score_fisher_p_mean": 2e-5, "score_fisher_p_std": 1e-6}
    assert _fisher(row, "score", {}) == "< 0.0001"
    assert _fisher(row, "score", {"score_p": 0.3}) == "< 0.0001 (0.3)"
    row = {"score_fisher_p_mean": 0.25, "score_fisher_p_std": float("nan")}
    assert _fisher(row, "score", {}) == "0.2500"


@pytest.mark.parametrize(("critical", "told"), [(0.02, "critical p = 0.02"), (0.0, "none is")])
def test_notes_tell_what_is_significant(critical, told):
    (note,) = _notes(SimpleNamespace(critical_p=critical, level=0.05, n_tests=8))
    assert f"of 0.05 over 8 tests ({told}, Benjamini-Hochberg)" in note


def test_a_study_of_trainings_alone_shows_their_figures(results):
    cells = results.cells[results.cells["step"] == "train"].reset_index(drop=True)
    cells["result.deep.x"], cells["result.y"] = [1.0, 3.0], [5.0, None]
    run = SimpleNamespace(result={"deep": {"x": 1.0}, "y": 5.0})
    alone = dataclasses.replace(
        results, cells=cells, networks=results.networks.iloc[:0], runs=dict.fromkeys((1, 8), run)
    )
    (table,) = study_tables(alone, None)
    assert table.header == ("train", "runs", "y", "deep.x")  # those of the result itself first
    assert table.lines == (("MLP", "2", "5", "2 ± 1.414"),)
    assert figures_table(dataclasses.replace(alone, runs={}, cells=cells.iloc[:0]), "train") is None


def test_hyphens_are_signs_before_numbers_alone():
    assert latex_text("1e-05 -2 a-3 < -1") == "1e-05 $-$2 a-3 $<$ $-$1"


def test_a_column_of_nothing_holds_no_numbers():
    rows = (("a", "", "-1"), ("b", "-", "undefined"))
    table = StudyTable("t", "T", pandas.DataFrame(), ("x", "y", "z"), rows)
    assert table.are_numbers() == [False, False, True]
