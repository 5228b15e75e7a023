"""Figures show the numbers that they are given, and can be saved."""

import io
from itertools import pairwise

import numpy as np
import pytest
import scipy.stats
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition
from nn_clustering.reports import (
    figure_of_clusters,
    figure_of_learning_curves,
    figure_of_null_distribution,
    figure_of_random_networks,
)
from nn_clustering.significance import ShuffleTest
from nn_clustering.training import EpochResult
from tests.reports.figure_texts import assert_numbers_are_well_written, texts_of


def assert_saves(figure):
    """As PNG, every text within the picture."""
    assert isinstance(figure, Figure)
    assert_numbers_are_well_written(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG\r\n")
    width, height = figure.bbox.size
    (axes,) = figure.axes
    legend = legend_in(figure)
    left, right = axes.get_xlim()
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    texts = [label for place, label in ticks if left <= place <= right]
    texts += [axes.title, *figure.texts, axes.yaxis.label, *legend.get_texts()]
    for text in filter(Text.get_text, texts):
        box = text.get_window_extent()
        inside = min(box.x0, box.y0) > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside, text.get_text()


def legend_in(figure):
    """The only legend, of the figure or of its axes."""
    of_axes = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    (legend,) = [*figure.legends, *of_axes]
    return legend


def legend_of(figure):
    return [text.get_text() for text in legend_in(figure).get_texts()]


TITLE = "fashion_mnist, cnn, three channels, dropout, pruned, 12 clusters"


def test_learning_curves():
    curves = {
        "unpruned": [EpochResult(1, 0.9, 0.5, 0.8, 0.6), EpochResult(2, 0.5, 0.7, 0.4, 0.8)],
        "pruned": [EpochResult(1, 0.7, 0.6, 0.6, 0.7)],
    }
    figure = figure_of_learning_curves(curves, TITLE)
    loss, accuracy = figure.axes
    drawn = [line.get_xydata().tolist() for line in loss.lines[:2]]
    assert drawn == [[[1, 0.9], [2, 0.5], [3, 0.7]], [[1, 0.8], [2, 0.4], [3, 0.6]]]
    assert accuracy.lines[1].get_ydata().tolist() == pytest.approx([60, 80, 70])
    assert [text.get_text() for text in accuracy.texts] == ["unpruned", "pruned"]
    assert loss.lines[2].get_xdata() == [2.5, 2.5]  # where pruning begins
    assert legend_of(figure) == ["train", "test"]
    figure.savefig(io.BytesIO(), format="png")


def test_learning_curves_of_one_epoch_or_one_panel_are_legible():
    """Epochs are whole, and the legend leaves a title as wide as the figure alone."""
    figure = figure_of_learning_curves({"unpruned": [EpochResult(1, 0.9, None, 0.8, None)]}, TITLE)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]
    (title,) = figure.texts
    assert not title.get_window_extent().overlaps(figure.legends[0].get_window_extent())


def test_bars_of_a_null_far_away_are_still_to_be_seen():
    values = 10 + np.random.default_rng(0).normal(0, 1e-4, 100)
    far, near = (
        figure_of_null_distribution(ShuffleTest(ncut, values), TITLE).axes[0].patches[0]
        for ncut in (2.0, 9.9998)
    )
    assert to_hex(far.get_edgecolor()) == to_hex(far.get_facecolor()) != to_hex("white")
    assert far.get_linewidth() > 1
    assert to_hex(near.get_edgecolor()) == to_hex("white")


def test_learning_curves_of_a_regression_have_no_accuracy():
    figure = figure_of_learning_curves({"unpruned": [EpochResult(1, 0.9, None, 0.8, None)]}, "a")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss (logarithmic)"]


def test_small_losses_are_written_out():
    curves = {"unpruned": [EpochResult(1, 1e-5, 0.5, 1e-3, 0.6), EpochResult(2, 9e-5, 1, 1, 1)]}
    texts = texts_of(figure_of_learning_curves(curves, TITLE))
    assert "0.00005" in texts
    assert not [text for text in texts if "e" in text and "5" in text]


def test_clusters():
    layers = (Layer("conv_1", 4), Layer("conv_2", 8))
    labels = np.array([0, 0, 0, 1, 2, 2, 2, 2, 1, 1, -1, -1], np.int32)
    figure = figure_of_clusters(Partition(layers, labels, 3), TITLE)
    assert_saves(figure)
    bars = [[round(bar.get_height(), 6) for bar in group] for group in figure.axes[0].containers]
    assert bars == [[0.75, 0], [0.25, 0.25], [0, 0.5], [0, 0.25]]
    tops = [bar.get_y() + bar.get_height() for bar in figure.axes[0].containers[-1]]
    assert tops == pytest.approx([1, 1])
    assert legend_of(figure) == ["isolated", "2", "1", "0"]


def test_clusters_without_isolated_units():
    partition = Partition((Layer("dense_1", 2),), np.array([0, 1], np.int32), 2)
    figure = figure_of_clusters(partition, TITLE)
    assert legend_of(figure) == ["1", "0"]
    assert_saves(figure)


def test_many_clusters_and_layers():
    layers = tuple(Layer(f"conv_{index}", 64) for index in range(13))
    labels = np.random.default_rng(0).integers(-1, 32, 13 * 64).astype(np.int32)
    for some, used in ((layers, labels), (layers[:1], labels[:64])):
        figure = figure_of_clusters(Partition(some, used, 32), TITLE)
        assert_saves(figure)
        assert len(legend_of(figure)) == 33
        looks = {
            (bars[0].get_facecolor(), bars[0].get_hatch()) for bars in figure.axes[0].containers
        }
        assert len(looks) == 33  # no two look alike
        told = legend_in(figure).get_patches()
        assert {(patch.get_facecolor(), patch.get_hatch()) for patch in told} == looks


@pytest.mark.parametrize(("n_layers", "name"), [(100, "conv_{}"), (3, "stage{}_unit1_relu_1")])
def test_many_layers_or_long_names_stand_below_each_other(n_layers, name):
    layers = tuple(Layer(name.format(index), 4) for index in range(n_layers))
    labels = np.tile(np.array([0, 0, 0, 1], np.int32), n_layers)
    figure = figure_of_clusters(Partition(layers, labels, 2), TITLE)
    figure.draw_without_rendering()
    assert not legend_in(figure).get_window_extent().overlaps(figure._suptitle.get_window_extent())
    assert max(figure.get_size_inches()) < 20
    (axes,) = figure.axes
    widths = [{round(bar.get_width(), 6) for bar in group} for group in axes.containers]
    assert widths == [{0.75}, {0.25}]
    ticks = [label for label in axes.get_yticklabels() if label.get_text()]
    assert [tick.get_text() for tick in ticks] == [f"{layer.name}  4" for layer in layers]
    boxes = [tick.get_window_extent() for tick in ticks]
    assert not any(one.overlaps(other) for one, other in pairwise(boxes))
    assert min(box.x0 for box in boxes) > 0
    assert boxes[0].y0 > boxes[-1].y0  # the first layer is on top
    assert legend_of(figure) == ["0", "1"]


@pytest.mark.parametrize("n_shuffles", [1, 4, 500])
def test_null_distribution(n_shuffles):
    values = 10 + np.random.default_rng(0).normal(0, 0.1, n_shuffles)
    test = ShuffleTest(9.5, values)
    figure = figure_of_null_distribution(test, TITLE)
    assert_saves(figure)
    axes = figure.axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == n_shuffles
    assert axes.lines[0].get_xdata()[0] == 9.5
    assert figure.get_suptitle() == TITLE
    z = f"z = \N{MINUS SIGN}{abs(test.z_score):.2f}, " if n_shuffles > 1 else ""
    network = f"the network ({z}p = {1 / (n_shuffles + 1):.3g})"
    shuffles = "1 shuffle" if n_shuffles == 1 else f"{n_shuffles} shuffles"
    assert legend_of(figure) == [shuffles, network]


def test_shuffles_that_differ_by_rounding_are_one_bar():
    values = 1 + np.arange(8) * np.finfo(float).eps
    (bars,) = figure_of_null_distribution(ShuffleTest(0.9, values), TITLE).axes[0].containers
    assert sorted(bar.get_height() for bar in bars) == [0, 0, 0, 0, 8]


def test_two_null_distributions():
    values = 10 + np.random.default_rng(0).normal(0, 0.1, 50)
    other = values[:20] + 0.3
    other_null = ("shuffles (rewiring)", other)
    figure = figure_of_null_distribution(
        ShuffleTest(9.5, values),
        TITLE,
        name="shuffles (layer)",
        against=other_null,
        cohens_d=-2.918,
    )
    assert_saves(figure)
    shares = [[bar.get_height() for bar in bars] for bars in figure.axes[0].containers]
    assert [sum(heights) for heights in shares] == pytest.approx([1, 1])
    assert "share" in figure.axes[0].get_ylabel()
    first, second, d = [text for text in legend_of(figure) if "network" not in text]
    assert [first, second] == ["50 shuffles (layer)", "20 shuffles (rewiring)"]
    assert d == "Cohen's d = \N{MINUS SIGN}2.92"


def test_null_distribution_beside_other_seeds():
    """Their n-cuts are marked, with their p; alike shuffles have no z, of which nothing is said."""
    test, others = ShuffleTest(9.5, np.full(20, 10.0)), np.array([9.4, 9.6, 10.2])
    figure = figure_of_null_distribution(
        test,
        TITLE,
        name="fresh networks",
        of_other_seeds=others,
        cohens_d=np.nan,
        lowest_starts_p=0.4,
    )
    assert_saves(figure)
    axes = figure.axes[0]
    assert [line.get_xdata()[0] for line in axes.lines] == [9.5, *others]
    assert axes.get_ylabel() == "fresh networks"
    expected = [
        "20 fresh networks",
        "the network (p = 0.0476)",
        "the network, other seeds (p = 0.0476 to 1)",
        "by the lowest starts: p = 0.4",
    ]
    assert legend_of(figure) == expected


def test_other_seeds_of_the_same_p_have_one():
    test = ShuffleTest(9.5, 10 + np.arange(20.0))
    figure = figure_of_null_distribution(test, TITLE, of_other_seeds=np.array([9.4, 9.6]))
    assert legend_of(figure)[-1] == "the network, other seeds (p = 0.0476)"


@pytest.mark.parametrize("n_networks", [2, 100])
def test_random_networks(n_networks):
    ncuts = 10 + np.random.default_rng(0).normal(0, 0.03, n_networks)
    figure = figure_of_random_networks(list(ncuts), TITLE)
    assert_saves(figure)
    axes = figure.axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == n_networks
    assert axes.lines[0].get_xdata()[0] == pytest.approx(ncuts.mean())
    standard_error = scipy.stats.sem(ncuts)
    expected = f"mean {ncuts.mean():.4f} (standard error {standard_error:.4f})"
    assert legend_of(figure) == [f"{n_networks} networks", expected]
