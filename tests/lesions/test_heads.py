"""Lesions of whole heads: the units of a head at once, beside as many of its layer."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions import (
    HeadLesions,
    LesionEngine,
    answers_in_groups,
    check_head_lesions,
    classes_of,
    lesion_test,
    partition_into_heads,
)
from tests.lesions.naive import accuracy_changes, outputs

# Of units that are taken for value channels: three heads of 8, and two of 10.
UNITS, HEADS = {"dense_1": 24, "dense_2": 20}, {"dense_1": 3, "dense_2": 2}


@pytest.fixture(scope="module")
def engine(trained):
    network, dataset = trained
    return LesionEngine(network, dataset.x_test[:150], dataset.y_test[:150])


@pytest.fixture(scope="module")
def heads(engine):
    found = lesion_test(
        engine, partition_into_heads(UNITS, HEADS), list(HEADS),
        groups=classes_of(engine.class_sizes, "abcdefghij"), n_shuffles=99, seed=0,
    )  # fmt: skip
    return HeadLesions(found)


def test_a_head_is_all_its_channels(heads, trained):
    network, dataset = trained
    table = heads.table()
    assert list(zip(table["layer"], table["head"], strict=True)) == [
        ("dense_1", 0), ("dense_1", 1), ("dense_1", 2), ("dense_2", 0), ("dense_2", 1),
    ]  # fmt: skip
    assert table["n_channels"].tolist() == [8, 8, 8, 10, 10]
    by_class = heads.class_changes().set_index(["layer", "head"])
    for row in table.itertuples():
        units = range(row.head * row.n_channels, (row.head + 1) * row.n_channels)
        changes, overall = accuracy_changes(
            network, dataset.x_test[:150], dataset.y_test[:150], {row.layer: units}
        )
        assert row.accuracy_change == pytest.approx(overall)
        np.testing.assert_allclose(by_class.loc[(row.layer, row.head), "change"], changes)


def test_important_heads_are_named(heads):
    """Those of the smallest p-values, corrected for all of them."""
    p_values = np.array([0.5, 0.01, 0.03, 0.02, 0.06])
    importance = heads.test.importance
    found = HeadLesions(heads.test)
    object.__setattr__(importance, "p_values", p_values)
    # 0.03 is 3/5 of 0.05, the largest that counts; 0.06 is above 4/5
    assert found.important.tolist() == [False, True, True, True, False]
    result = found.result(seed=0)
    assert (result["n_heads"], result["n_important"]) == (5, 3)
    assert result["important"] == [
        {"layer": "dense_1", "heads": [1, 2]}, {"layer": "dense_2", "heads": [0]},
    ]  # fmt: skip


def test_what_cannot_be_lesioned():
    with pytest.raises(InvalidInputError, match="no heads to lesion; expected an attention layer"):
        partition_into_heads(UNITS, {})
    alone = partition_into_heads(UNITS, dict.fromkeys(UNITS, 1))
    with pytest.raises(InvalidInputError, match="a single head in each of dense_1, dense_2"):
        check_head_lesions(alone, 10)
    few = partition_into_heads({"value": 4}, {"value": 2})
    with pytest.raises(InvalidInputError, match="n_shuffles=10, but of no sub-cluster"):
        check_head_lesions(few, 10)


def test_measured_by_groups_of_answers(trained):
    """Importance is the mean over groups of the accuracy of each; some answers are of no group."""
    network, dataset = trained
    x, y = dataset.x_test[:150], dataset.y_test[:150]
    names = ("even", "none of these", "odd")
    groups = np.where(y > 7, -1, 2 * (y % 2)).astype(np.int32)
    engine = LesionEngine(network, x, y, groups=groups, n_groups=3)
    measured = answers_in_groups(engine.class_sizes, names, kind="task")
    assert (measured.names, measured.kind, measured.tail) == (("even", "odd"), "task", "left")
    partition = partition_into_heads(UNITS, HEADS)
    test = lesion_test(engine, partition, ["dense_2"], groups=measured, n_shuffles=5, seed=0)
    assert test.n_images.tolist() == [(groups == 0).sum(), (groups == 2).sum()]
    right = {}
    for when, units in (("intact", []), ("lesioned", range(10))):
        is_right = outputs(network, x, {"dense_2": units}).argmax(axis=1) == y
        right[when] = [*(is_right[groups == group].mean() for group in (0, 2)), is_right.mean()]
    np.testing.assert_allclose([*test.intact, test.intact_overall], right["intact"])
    changes = np.subtract(right["lesioned"], right["intact"])
    np.testing.assert_allclose([*test.changes[0], test.overall_changes[0]], changes)
    assert test.mean_changes[0] == pytest.approx(changes[:2].mean())
    assert set(test.class_changes()["class"]) == {"even", "odd"}
    with pytest.raises(InvalidInputError, match="1 names of groups of answers, and 4 scores"):
        answers_in_groups(engine.class_sizes, names[:1])
