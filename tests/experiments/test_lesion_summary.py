"""What the lesion stage prints of importance and coherence, and which figures it makes of them."""

import numpy as np

from experiments import lesion
from experiments._lesion_steps import measured_in_words
from experiments._measures_in_words import measure_in_words
from nn_clustering.lesions import coherence_measure, importance_measure
from tests.reports.test_lesion_figures import TWO_LAYERS, lesion_test


def in_words(measure):
    return "\n  ".join(measure_in_words(measure))


# Two layers of two sub-clusters.
LAYERS = ["one", "one", "two", "two"]
COMBINED = np.ones(4, bool)


def summary_of(shift, *, layers=LAYERS, combined=COMBINED, n_draws=9):
    random = np.random.default_rng(0).uniform(-0.2, -0.1, (4, n_draws + 1))
    random[:, 0] -= shift
    shared = {"count_ties": True, "layers": layers, "combined": combined}
    changes = importance_measure(
        random[:, 0], random[:, 1:], intact=0.9, harm=-1, tail="left", **shared
    )
    return changes.summary(seed=0)


def test_the_smallest_p_value_is_told_to_be_so():
    summary = summary_of(0.3)
    assert summary["joint_p"] == summary["joint_p_smallest"] == 0.01
    p, effect = in_words(summary).splitlines()
    z = f"z = {summary['joint_z']:.1f} of summed scores"
    assert p == f"joint p = 0.01 ({z}, no less can be had of 9 draws of 2 layers)"
    null, low, high = (summary[f"effect_null{end}"] for end in ("", "_low", "_high"))
    assert low < null < high < summary["effect"]
    assert effect == (
        f"  effect {summary['effect']:.3f} (median {summary['effect_median']:.3f}); random draws "
        f"in place of the partition have {null:.3f} ({low:.3f} to {high:.3f})"
    )


def test_other_p_values():
    larger = summary_of(0.0)
    p = f"{larger['joint_p']:.2g}"
    z = f"{larger['joint_z']:.1f}"
    said = in_words(larger)
    assert said.startswith(f"joint p = {p} (z = {z} of summed scores, 9 draws of 2 layers)\n")
    # 100^-4 is below what is shown
    tiny = summary_of(0.3, layers=["a", "b", "c", "d"], n_draws=99)
    assert tiny["joint_p"] == tiny["joint_p_smallest"] == 100.0**-4
    assert in_words(tiny).startswith("joint p < 0.0001 (z = ")
    assert "of summed scores, 99 draws of 4 layers)" in in_words(tiny)


def test_no_minus_before_a_z_of_zero():
    assert "(z = 0.0 of summed" in in_words({**summary_of(0.0), "joint_z": -0.04})


def test_a_layer_in_the_singular():
    one = summary_of(0.3, layers=["a"] * 4)
    assert in_words(one).startswith("joint p = 0.1 (")
    assert "no less can be had of 9 draws of 1 layer)" in in_words(one)


def test_draws_that_were_not_joint():
    apart = summary_of(0.3, layers=None, n_draws=99)
    assert apart["fisher_p"] < 1e-4
    statistic = f"{apart['fisher_statistic']:.3g}"
    assert in_words(apart).startswith(
        "Fisher p < 0.0001 if sub-clusters were independent (mean -ln p "
        f"{statistic}, 99 random each)\n  effect "
    )


def test_what_cannot_be_told():
    assert in_words(summary_of(0, combined=~COMBINED)) == "undefined"
    infinite = coherence_measure(
        np.full(4, np.inf), np.full((4, 9), np.inf), count_ties=True, layers=LAYERS,
        combined=COMBINED,
    ).summary(seed=0)  # fmt: skip
    assert in_words(infinite) == "joint p = 1 (all of 9 draws are as extreme)\n  effect undefined"


def test_important_heads_and_groups_are_named():
    found = {
        "n_heads": 8,
        "n_important": 3,
        "important": [{"layer": "block_0/value", "heads": [1, 3]}, {"layer": "x", "heads": [0]}],
        "importance": summary_of(0.3),
        "coherence": summary_of(0.0),
    }
    first, importance, coherence = lesion.heads_in_words(found)
    assert first.startswith("heads: 3 of 8 do more harm than as many random value channels")
    assert "(corrected p ≤ 0.05): block_0/value 1, 3; x 0 (heads.png)" in first
    assert importance.startswith("importance of heads: joint p = 0.01 (z")
    assert coherence.startswith("coherence of heads: joint p = ")
    none = next(lesion.heads_in_words({**found, "n_important": 0, "important": []}))
    assert none.endswith("0.05) (heads.png)")
    result = {"measured_by": "task", "groups": ["add", "sub"], "group_accuracy": [1.0, 0.25]}
    assert measured_in_words(result) == "measured by task; accuracy of add 1.0000, sub 0.2500"
    many = {**result, "groups": list("abcdefghij"), "group_accuracy": [0.5] * 10}
    assert measured_in_words(many).endswith("h 0.5000, and 2 more")


def test_there_is_no_figure_of_nulls_where_nothing_can_be_combined():
    """Of two layers that are one sub-cluster each, random units are all units, too."""
    figures = [
        lesion.drawn_of(lesion_test(layers)) for layers in (TWO_LAYERS, {"a": [3], "b": [4]})
    ]
    assert ["lesion_nulls" in of_test for of_test in figures] == [True, False]
    assert set(figures[0]) - set(figures[1]) == {"lesion_nulls"}
