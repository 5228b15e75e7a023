"""What a lesion test says, by hand arithmetic."""

import numpy as np
import pandas
import pytest

from nn_clustering.lesions import LesionTest
from nn_clustering.partitions import SubCluster

# Two sub-clusters of a layer of 40 and one that is all of a layer of 5, against three random ones.
CHANGES = [[-0.2, -0.4], [0.0, 0.0], [-0.1, 0.1]]
RANDOM = [
    [[-0.1, -0.1], [-0.2, -0.2], [0.1, -0.1]],
    [[0.0, 0.0], [-0.1, -0.3], [0.0, -0.2]],
    [[-0.1, 0.1], [-0.1, 0.1], [-0.1, 0.1]],
]


def lesion_test_of(**changed):
    subs = (
        SubCluster("first", 0, np.arange(15)),
        SubCluster("first", 3, np.arange(15, 40)),
        SubCluster("second", 1, np.arange(5)),
    )
    values = {
        "task": "classification",
        "groups": ("cat", "dog"),
        "intact": np.array([0.9, 0.7]),
        "intact_overall": 0.8,
        "n_images": np.array([30, 20]),
        "sub_clusters": subs,
        "n_candidates": np.array([40, 40, 5]),
        "changes": np.array(CHANGES),
        "random_changes": np.array(RANDOM),
        "overall_changes": np.array([-0.25, 0.0, -0.02]),
        "random_overall_changes": np.array([[-0.1, -0.2, 0], [0, -0.2, -0.1], [-0.02] * 3]),
        "n_left_out": 2,
    }
    return LesionTest(**{**values, **changed})


def test_what_is_derived():
    test = lesion_test_of()
    assert test.n_shuffles == 3
    assert test.sizes.tolist() == [15, 25, 5]
    assert test.mean_changes.tolist() == [-0.3, 0, 0]
    assert test.random_mean_changes.tolist() == [[-0.1, -0.2, 0], [0, -0.2, -0.1], [0, 0, 0]]
    # (0.4 - 0.2) / 0.3; nothing changes; changes that average to 0
    np.testing.assert_allclose(test.ranges, [2 / 3, 0, np.inf])
    np.testing.assert_allclose(test.random_ranges, [[0, 0, np.inf], [0, 1, 2], [np.inf] * 3])
    assert test.combined.tolist() == [True, True, False]
    assert test.possible_draws.tolist() == [40225345056, 40225345056, 1]
    assert test.n_few_draws == 1


def test_p_values_and_kinds():
    test = lesion_test_of()
    # no random one is as bad; all are; all are the same
    assert test.importance.p_values.tolist() == [0.25, 1, 1]
    assert test.overall_p.tolist() == [0.25, 1, 1]
    # one random range is larger; all are at least as large
    assert test.coherence.p_values.tolist() == [0.5, 1, 1]
    assert test.kinds == ("important", "prunable", "complete")
    assert test.of_kind("important") == test.sub_clusters[:1]
    strict = lesion_test_of(count_ties=False)
    assert strict.overall_p.tolist() == [0.25, 0.75, 0.25]
    assert strict.kinds == ("important", "other", "complete")


def test_effects():
    test = lesion_test_of()
    # 2 * 0.3 / (0.3 + 0.1); no harm; no harm
    np.testing.assert_allclose(test.importance.effects, [1.5, 0, 0])
    np.testing.assert_allclose(test.importance.ratios, [0.7 / 0.5, 0.7 / 0.8, 1])
    # random means 0 and 1 of those that are finite; no finite one
    np.testing.assert_allclose(test.coherence.effects, [2, 0, np.nan])
    summary = test.importance.summary(seed=0)
    assert summary["n_combined"] == 2
    assert summary["n_null"] == 3
    assert summary["effect"] == pytest.approx(0.75)
    assert lesion_test_of(draws="afresh").importance.summary(seed=0)["joint_p"] is None


def test_errors_have_no_kinds_and_count_the_other_way():
    test = lesion_test_of(task="regression", harm=1, tail="right")
    assert test.kinds == ("", "", "")
    assert test.overall_p.tolist() == [1, 0.5, 1]
    assert test.importance.p_values.tolist() == [1, 0.5, 1]
    columns = list(test.table().columns)
    assert "error_change" in columns
    assert "accuracy_change" not in columns


def test_kinds_are_of_the_left_tail():
    test = lesion_test_of(tail="right")
    assert test.overall_p.tolist() == [1, 0.5, 1]
    assert test.kinds == lesion_test_of().kinds


def test_table():
    table = lesion_test_of().table()
    assert list(table.columns) == [
        "layer",
        "label",
        "n_units",
        "kind",
        "combined",
        "possible_draws",
        "accuracy_change",
        "overall_p",
        "class_mean_change",
        "random_class_mean_change",
        "importance_p",
        "importance_effect",
        "importance_effect_null",
        "importance_ratio",
        "importance_ratio_null",
        "class_range",
        "random_class_range",
        "coherence_p",
        "coherence_effect",
        "coherence_effect_null",
        "coherence_ratio",
        "coherence_ratio_null",
        "most_harmed_class",
        "most_harmed_change",
        "least_harmed_class",
        "least_harmed_change",
    ]
    expected = {
        "layer": ["first", "first", "second"],
        "label": [0, 3, 1],
        "n_units": [15, 25, 5],
        "kind": ["important", "prunable", "complete"],
        "combined": [True, True, False],
        "accuracy_change": [-0.25, 0, -0.02],
        "class_mean_change": [-0.3, 0, 0],
        "random_class_mean_change": [-0.1, -0.1, 0],
        "importance_p": [0.25, 1, 1],
        "class_range": [2 / 3, 0, np.inf],
        "random_class_range": [0, 1, np.nan],
        "most_harmed_class": ["dog", "", "cat"],
        "most_harmed_change": [-0.4, 0, -0.1],
        "least_harmed_class": ["cat", "", "dog"],
        "least_harmed_change": [-0.2, 0, 0.1],
    }
    pandas.testing.assert_frame_equal(
        table[list(expected)], pandas.DataFrame(expected), check_dtype=False
    )


def test_class_changes():
    table = lesion_test_of().class_changes()
    expected = {
        "layer": ["first"] * 4 + ["second"] * 2,
        "label": [0, 0, 3, 3, 1, 1],
        "class": ["cat", "dog"] * 3,
        "n_images": [30, 20] * 3,
        "intact": [0.9, 0.7] * 3,
        "lesioned": [0.7, 0.3, 0.9, 0.7, 0.8, 0.8],
        "change": [-0.2, -0.4, 0, 0, -0.1, 0.1],
        # by hand: means of three random ones
        "random_change": [-0.2 / 3, -0.4 / 3, -0.1 / 3, -0.5 / 3, -0.1, 0.1],
        "n_random_as_harmful": [1, 0, 3, 3, 3, 3],
    }
    pandas.testing.assert_frame_equal(table, pandas.DataFrame(expected), check_dtype=False)


def test_harm_of_errors_is_the_largest_change():
    test = lesion_test_of(task="regression", harm=1, tail="right")
    assert test.table()["most_harmed_class"].tolist() == ["cat", "", "dog"]
    # of the errors -0.2 to -0.1, -0.2, 0.1 of random ones: all are as harmful
    assert test.class_changes()["n_random_as_harmful"].tolist() == [3, 3, 2, 1, 3, 3]


def test_table_has_as_many_columns_whatever_the_number_of_classes():
    n_classes = 1000
    test = lesion_test_of(
        groups=tuple(f"class {index}" for index in range(n_classes)),
        intact=np.full(n_classes, 0.8),
        n_images=np.full(n_classes, 50),
        changes=np.zeros((3, n_classes)),
        random_changes=np.zeros((3, 3, n_classes)),
    )
    assert list(test.table().columns) == list(lesion_test_of().table().columns)
    assert len(test.class_changes()) == 3 * n_classes


@pytest.mark.parametrize("name", ["table", "class_changes"])
def test_table_goes_into_parquet_and_csv(tmp_path, name):
    table = getattr(lesion_test_of(), name)()
    table.to_parquet(tmp_path / "table.parquet")
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "table.parquet"), table)
    table.to_csv(tmp_path / "table.csv", index=False)
    again = pandas.read_csv(tmp_path / "table.csv")
    of_text = [column for column in table if pandas.api.types.is_string_dtype(table[column])]
    again[of_text] = again[of_text].fillna("")
    pandas.testing.assert_frame_equal(again, table, check_dtype=False)
