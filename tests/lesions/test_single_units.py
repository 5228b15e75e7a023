"""Lesions of single units."""

import numpy as np
import pandas
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import (
    LesionEngine,
    classes_of,
    single_unit_lesions,
    single_unit_tasks,
)
from nn_clustering.lesions._single_units import UNITS_AT_ONCE
from tests.lesions.naive import accuracy_changes


@pytest.fixture(scope="module")
def engine(trained):
    network, dataset = trained
    return LesionEngine(network, dataset.x_test[:100], dataset.y_test[:100])


def test_every_unit_again_in_numpy(engine, trained):
    network, dataset = trained
    groups, answers = classes_of(engine.class_sizes, "abcdefghij"), []
    layers = ["dense_1", "dense_2"]
    found = single_unit_lesions(engine, layers, groups=groups, on_progress=answers.append)
    table = found.table()
    assert list(table.columns) == [
        "layer",
        "unit",
        "accuracy_change",
        "most_harmed_class",
        "most_harmed_change",
        "least_harmed_class",
        "least_harmed_change",
    ]
    assert list(table.layer) == ["dense_1"] * 24 + ["dense_2"] * 20
    assert list(table.unit) == [*range(24), *range(20)]
    assert sum(answers) == 44 * 100
    by_class = pandas.concat(found.class_changes())
    tidy = by_class.pivot(index=["layer", "unit"], columns="class", values="change")
    for row in table.itertuples():
        silenced = {row.layer: [row.unit]}
        changes, overall = accuracy_changes(
            network, dataset.x_test[:100], dataset.y_test[:100], silenced
        )
        assert row.accuracy_change == pytest.approx(overall)
        np.testing.assert_allclose(tidy.loc[row.layer, row.unit], changes, atol=1e-12)
        assert (row.most_harmed_change, row.least_harmed_change) == pytest.approx(
            (min(changes), max(changes))
        )
        assert changes["abcdefghij".index(row.most_harmed_class)] == pytest.approx(min(changes))
    assert by_class["n_images"].sum() == 44 * 100
    right = (by_class["lesioned"] * by_class["n_images"]).groupby([by_class.layer, by_class.unit])
    np.testing.assert_allclose(
        right.sum() / 100 - (engine.intact().sum() / 100), table["accuracy_change"], atol=1e-12
    )


def test_known_units_are_not_lesioned_again(engine):
    groups, new = classes_of(engine.class_sizes, "abcdefghij"), {}
    options = {"groups": groups, "on_scores": lambda task, scores: new.update({task: scores})}
    first = single_unit_lesions(engine, ["dense_1", "dense_2"], **options)
    assert list(new) == [0, 1]
    known, answers = {0: new.pop(0)}, []
    new.clear()
    again = single_unit_lesions(
        engine, ["dense_1", "dense_2"], known=known, on_progress=answers.append, **options
    )
    assert list(new) == [1]
    assert sum(answers) == 20 * 100
    np.testing.assert_array_equal(again.changes, first.changes)
    assert again.table().equals(first.table())


def test_tasks_are_bounded_in_size():
    n = 2 * UNITS_AT_ONCE + 1
    tasks = single_unit_tasks({"a": n, "b": 3}, ["b", "a"])
    assert [(layer, len(units)) for layer, units in tasks] == [
        ("b", 3),
        ("a", UNITS_AT_ONCE),
        ("a", UNITS_AT_ONCE),
        ("a", 1),
    ]
    assert np.concatenate([units for layer, units in tasks if layer == "a"]).tolist() == [*range(n)]


def test_refuses(engine):
    groups = classes_of(engine.class_sizes, "abcdefghij")
    wrong = np.zeros((24, 9), int)
    cases = [
        (["dense_3"], {}, "single units of layers dense_3; expected some of dense_1, dense_2"),
        ([], {}, "single units of layers none"),
        (["dense_1"], {"known": {0: wrong}}, r"task 0 have shape \(24, 9\); expected \(24, 10\)"),
        (["dense_1"], {"known": {1: wrong}}, "expected tasks 0 to 0 alone"),
    ]
    for layers, options, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            single_unit_lesions(engine, layers, groups=groups, **options)
        assert "\n" not in str(refusal.value)
