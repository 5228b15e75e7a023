"""Colour and line of an arrow say which of two sub-clusters no longer matters."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from nn_clustering.lesions import DoubleLesionTest
from nn_clustering.partitions import SubCluster
from nn_clustering.reports import figure_of_dependencies

BLACK, BLUE, ORANGE = "#000000", "#0072b2", "#d55e00"
NEITHER = "neither is important where the other is lesioned"
EARLIER = "the earlier is not important where the later is lesioned"
LATER = "the later is not important where the earlier is lesioned"


def double_test(joint):
    """One sub-cluster a layer, with random ones that change nothing."""
    subs = tuple(SubCluster(f"layer_{at}", 0, np.arange(10)) for at in range(len(joint)))
    return DoubleLesionTest(subs, 0.9, joint, *np.zeros((2, *joint.shape, 20)))


def dash_of(artist):
    """Whether a line is solid, dashed or dotted, by the longest piece of it."""
    style = artist.get_linestyle()
    if style in ("solid", "-"):
        return "solid"
    if isinstance(style, str):
        return style
    return "dashed" if max(style[1]) > 3 else "dotted"


@pytest.mark.parametrize(
    ("earlier", "later", "colour", "line", "meaning"),
    [
        # both lesions: -0.2, so what one alone costs is all or nothing of it
        (-0.2, -0.2, BLACK, "solid", NEITHER),
        (-0.05, -0.2, BLUE, "dashed", EARLIER),
        (-0.2, -0.05, ORANGE, "dotted", LATER),
    ],
)
def test_arrow(earlier, later, colour, line, meaning):
    double = double_test(np.array([[earlier, -0.2], [-0.2, later]]))
    ((_, _, edge),) = double.dependencies().edges(data=True)
    assert edge["source_fails"] == (meaning != LATER)
    assert edge["target_fails"] == (meaning != EARLIER)
    figure = figure_of_dependencies(double, "title")
    (arrow,) = figure.axes[0].patches
    assert to_hex(arrow.get_edgecolor()) == colour
    assert dash_of(arrow) == line
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [meaning]
    (handle,) = legend.get_lines()
    assert to_hex(handle.get_color()) == colour


def test_arrows_of_three_kinds_in_one_figure():
    joint = np.array(
        [
            [-0.2, -0.2, -0.2, -0.9],
            [-0.2, -0.05, -0.9, -0.9],
            [-0.2, -0.9, -0.2, -0.2],
            [-0.9, -0.9, -0.2, -0.05],
        ]
    )
    figure = figure_of_dependencies(double_test(joint), "title")
    drawn = {
        (int(arrow._posA_posB[0][0]), int(arrow._posA_posB[1][0])): to_hex(arrow.get_edgecolor())
        for arrow in figure.axes[0].patches
    }
    # 1 adds nothing to 0, 0 and 2 nothing to each other, 3 nothing to 2
    assert drawn == {(0, 1): ORANGE, (0, 2): BLACK, (2, 3): ORANGE}
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [NEITHER, LATER]
    assert [to_hex(line.get_color()) for line in legend.get_lines()] == [BLACK, ORANGE]
