"""The figures of two partitions show the numbers that they are given, and can be saved."""

import io
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from nn_clustering.graphs import Layer
from nn_clustering.partitions import Contingency, Partition, common_units
from nn_clustering.reports import figure_of_contingency, figure_of_profiles

NAMES = ("run 12", "run 15")
TITLE = "adjusted Rand index 0.734 (p = 0.000999)\nnormalised mutual information 0.812"


def partition(*layers, n_clusters):
    return Partition(
        tuple(Layer(f"layer_{index}", len(labels)) for index, labels in enumerate(layers)),
        np.concatenate([np.array(labels, np.int32) for labels in layers]),
        n_clusters,
    )


def assert_saves(figure):
    """As PNG, every text within the picture, and no number on another."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG\r\n")
    width, height = figure.bbox.size
    *panels, colour_bar = figure.axes
    for axes in panels:
        texts = [
            colour_bar.yaxis.label,
            *axes.texts,
            axes.title,
            axes.xaxis.label,
            axes.yaxis.label,
        ]
        texts += [*axes.get_xticklabels(), *axes.get_yticklabels()]
        for text in filter(Text.get_text, [*texts, *figure.texts]):
            box = text.get_window_extent()
            inside = min(box.x0, box.y0) > -1 and box.x1 < width + 1 and box.y1 < height + 1
            assert inside, text.get_text()
        boxes = [text.get_window_extent() for text in axes.texts]
        for one, other in pairwise(boxes):
            assert not one.overlaps(other)


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def numbers(axes):
    """The numbers in the cells, by row and column."""
    return {
        (round(text.get_position()[1]), round(text.get_position()[0])): text.get_text()
        for text in axes.texts
    }


def test_contingency():
    table = Contingency(np.array([[30, 10], [0, 2], [4, 4]]), np.array([1, 0, 2]), np.array([5, 3]))
    figure = figure_of_contingency(table, NAMES, TITLE)
    axes = figure.axes[0]
    shown = np.asarray(axes.images[0].get_array())
    assert shown.tolist() == pytest.approx(np.array([[0.75, 0.25], [0, 1], [0.5, 0.5]]))
    assert numbers(axes) == {(0, 0): "30", (0, 1): "10", (1, 1): "2", (2, 0): "4", (2, 1): "4"}
    assert ticks(axes.xaxis) == ["5", "3"]
    assert ticks(axes.yaxis) == ["1", "0", "2"]
    assert axes.get_xlabel() == "cluster of run 15"
    assert axes.get_ylabel() == "cluster of run 12"
    assert_saves(figure)


def test_shades_of_many_clusters_reach_as_far_as_their_shares():
    table = Contingency(np.full((20, 20), 3), np.arange(20), np.arange(20))
    figure = figure_of_contingency(table, NAMES, TITLE)
    image = figure.axes[0].images[0]
    assert (image.norm.vmin, image.norm.vmax) == (0, 0.05)
    assert figure.axes[1].get_ylabel().replace("\n", " ") == "share of the row's units (0 to 0.05)"


def assert_full(figure):
    """What is drawn reaches from side to side, heat maps end where their cells do."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axes.get_tightbbox(canvas.get_renderer()) for axes in figure.axes]
    drawn = Bbox.union(boxes)
    title = figure._suptitle.get_window_extent()
    assert drawn.width > 0.7 * figure.bbox.width
    assert drawn.height > 0.8 * title.y0
    assert drawn.y1 < title.y0
    assert sum(box.width * box.height for box in boxes) > 0.35 * drawn.width * drawn.height
    *panels, _ = figure.axes
    for axes in panels:
        n_rows, n_columns = axes.images[0].get_array().shape
        assert (*axes.get_xlim(), *axes.get_ylim()) == (-0.5, n_columns - 0.5, n_rows - 0.5, -0.5)


@pytest.mark.parametrize(("n_first", "n_second"), [(2, 2), (2, 32), (32, 2), (12, 30), (100, 100)])
def test_contingency_of_any_size(n_first, n_second):
    random = np.random.default_rng(0)
    one = partition(random.integers(0, n_first, 20_000), n_clusters=n_first)
    other = partition(random.integers(0, n_second, 20_000), n_clusters=n_second)
    figure = figure_of_contingency(common_units(one, other).contingency(), NAMES, TITLE)
    assert max(figure.get_size_inches()) < 14
    assert_saves(figure)
    assert_full(figure)


def test_profiles():
    """Clusters 0 and 1 of the first are 1 and 0 of the second, as in the numbers."""
    one = partition([0, 0, 0, 1], [1, -1, 1, 1], n_clusters=2)
    other = partition([1, 1, 0, 1], [0, 0, -1, 1], n_clusters=2)
    figure = figure_of_profiles(one, other, NAMES, TITLE)
    first, second = figure.axes[:2]
    assert numbers(first) == {(0, 0): "75", (0, 1): "25", (1, 1): "100"}
    assert numbers(second) == {(0, 0): "75", (0, 1): "25", (1, 0): "33", (1, 1): "67"}
    assert (ticks(first.xaxis), ticks(second.xaxis)) == (["0", "1"], ["1", "0"])
    assert ticks(first.yaxis) == ["layer_0", "layer_1"]
    assert (first.get_title(), second.get_title()) == NAMES
    assert_saves(figure)


@pytest.mark.parametrize(
    ("n_layers", "n_first", "n_second"),
    [(1, 2, 2), (1, 32, 2), (3, 4, 12), (60, 2, 2), (40, 30, 32), (5, 40, 9)],
)
def test_profiles_of_any_size(n_layers, n_first, n_second):
    random = np.random.default_rng(0)
    one, other = (
        partition(*random.integers(0, n, (n_layers, 400)), n_clusters=n)
        for n in (n_first, n_second)
    )
    figure = figure_of_profiles(one, other, NAMES, TITLE)
    assert max(figure.get_size_inches()) < 15
    assert_saves(figure)
    assert_full(figure)
