"""The figure of lesions of whole heads, and names of groups in figures of lesions."""

from dataclasses import replace

import numpy as np
import pytest

from nn_clustering.lesions import HeadLesions
from nn_clustering.reports import figure_of_class_changes, figure_of_heads, figure_of_lesions
from tests.reports.test_lesion_figures import (
    CORRECTED,
    TITLE,
    laid_out,
    legend_of,
    lesion_test,
    names,
    of_three_kinds,
    points,
)

LAYERS = {"block_0/value": [4, 4, 4], "block_1/value": [6, 6]}


def test_heads_by_layer_and_group():
    test = lesion_test(LAYERS, n_shuffles=99, changes=of_three_kinds() * [1, 2, 3])
    figure = laid_out(figure_of_heads(HeadLesions(replace(test, group_kind="task")), TITLE))
    mean, *of_groups, bar = figure.axes
    titles = [axes.get_title() for axes in (mean, *of_groups)]
    assert titles == ["mean over tasks", "name 0", "name 1", "name 2"]
    assert names(mean.yaxis) == ["block_0", "block_1"]
    for axes, changes in zip((mean, *of_groups), [test.mean_changes, *test.changes.T], strict=True):
        grid = np.ma.filled(axes.images[0].get_array(), np.nan)
        np.testing.assert_allclose(grid, 100 * np.array([changes[:3], [*changes[3:], np.nan]]))
    assert len({axes.images[0].norm for axes in (mean, *of_groups)}) == 1
    corrected, uncorrected = mean.collections
    assert points(corrected).tolist() == [[0, 0], [1, 0]]
    assert points(uncorrected).tolist() == [[2, 0]]
    assert legend_of(figure)[0] == f"importance {CORRECTED.replace('sub-clusters', 'heads')}"
    assert bar.get_ylabel().split("\n")[0] == "change of task accuracy"


@pytest.mark.parametrize(("n_layers", "n_heads", "n_groups"), [(1, 2, 2), (12, 12, 40), (3, 40, 6)])
def test_heads_are_legible_at_any_size(n_layers, n_heads, n_groups):
    layers = {
        f"decoder/layer_{index}/self_attention/value": [5] * n_heads for index in range(n_layers)
    }
    test = lesion_test(layers, n_groups, 3, changes=np.zeros((n_layers * n_heads, 4, n_groups)))
    figure = laid_out(figure_of_heads(HeadLesions(test), TITLE))
    assert len(figure.axes) == (2 if n_groups > 6 else n_groups + 2)
    assert legend_of(figure) == ["importance: p > 0.05 of all heads"]


def test_figures_of_lesions_say_what_groups_are():
    test = replace(lesion_test(LAYERS, 60, 2), group_kind="token class")
    heat, *_, bar = laid_out(figure_of_class_changes(test, TITLE)).axes
    assert heat.get_xlabel() == "token class"
    assert heat.get_title() == "40 of 60 token classes"
    assert bar.get_ylabel().startswith("change of token class accuracy\n(percentage points")
    (axes,) = laid_out(figure_of_lesions(test, TITLE)).axes
    assert axes.get_ylabel().startswith("change of token class-mean accuracy\n")
