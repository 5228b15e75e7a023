"""The figure of n-cut and eigengap shows the numbers that it is given."""

import io

import numpy as np
import pytest

from nn_clustering.partitions import ClusterNumbers
from nn_clustering.reports import figure_of_cluster_numbers


def test_figure():
    numbers = ClusterNumbers(
        (2, 3, 4), np.array([1.0, 1.5, 2.4]), np.array([0, 0.1, 0.15, 0.9, 0.91])
    )
    figure = figure_of_cluster_numbers(numbers, "digits, mlp, pruned")
    cuts, eigenvalues, gaps = figure.axes
    assert cuts.lines[0].get_xydata().tolist() == [[2, 0.5], [3, 0.5], [4, 0.6]]
    drawn = eigenvalues.lines[0].get_xydata().tolist()
    assert drawn == [[1, 0], [2, 0.1], [3, 0.15], [4, 0.9], [5, 0.91]]
    bars = [(bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in gaps.patches]
    assert np.array(bars) == pytest.approx(np.array([[2, 0.05], [3, 0.75], [4, 0.01]]))
    for axes in figure.axes:
        assert axes.lines[-1].get_xdata()[0] == 3
    assert figure.get_suptitle() == "digits, mlp, pruned"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "k of the largest eigengap, 3"
    ]
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG\r\n")


def labels(figure):
    return [axes.get_ylabel().split("\n")[0] for axes in figure.axes]


def test_one_k_has_no_panel_of_eigengaps():
    """Where every unit is a cluster there is none, and elsewhere one to compare with nothing."""
    for eigenvalues in ([0, 2.0], [0, 0.1, 0.9]):
        numbers = ClusterNumbers((2,), np.array([2.0]), np.array(eigenvalues))
        figure = figure_of_cluster_numbers(numbers, "two units")
        assert labels(figure) == ["n-cut / k", "eigenvalue number k"]
        assert not figure.legends
        assert figure.axes[-1].get_xlabel() == "number of clusters k"
    assert figure.get_suptitle() == "two units"
    figure.savefig(io.BytesIO(), format="png")


def test_every_point_is_within_its_panel():
    """Also an n-cut of 0; one that there is not is no point, and said."""
    numbers = ClusterNumbers(
        (2, 3, 4), np.array([0, np.nan, 2.4]), np.array([0, 0.1, 0.15, 0.9, 0.91])
    )
    figure = figure_of_cluster_numbers(numbers, "")
    cuts = figure.axes[0]
    low, high = cuts.get_ylim()
    assert low < 0
    assert high > 0.6
    assert figure.legends[0].get_texts()[1].get_text() == "no n-cut of k = 3"
    nothing = ClusterNumbers((2, 3), np.full(2, np.nan), np.array([0, 0.1, 0.15, 0.9]))
    assert labels(figure_of_cluster_numbers(nothing, "")) == ["eigenvalue number k", "eigengap to"]
