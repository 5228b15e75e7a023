"""The figure of frequencies shows the shares that it is given, of frequencies that matter."""

import numpy as np

from nn_clustering.reports import figure_of_frequencies


def test_frequencies_of_clusters():
    first, second = np.zeros((3, 7)), np.zeros((2, 7))
    first[[0, 1, 2], [4, 1, 1]] = 1, 0.75, 0.04
    first[2, 6] = 0.04  # too few units anywhere for a column
    second[1, 6] = 0.5
    figure = figure_of_frequencies({"seed 0": first, "seed 1": second}, "Sums modulo 15")
    one, other, bar = figure.axes
    assert [axes.get_title() for axes in (one, other)] == ["seed 0", "seed 1"]
    assert [label.get_text() for label in one.get_xticklabels()] == ["2", "5"]
    assert one.get_images()[0].get_array().tolist() == [[0, 1], [0.75, 0], [0.04, 0]]
    assert other.get_images()[0].get_array().tolist() == [[0], [0.5]]
    assert bar.get_ylabel() == "share of units"
