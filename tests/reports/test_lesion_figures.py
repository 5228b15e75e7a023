"""The figures of lesion tests show the tests' numbers, whatever their size, all of it legible."""

import io
import re
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import SymLogNorm, to_hex
from matplotlib.text import Text

from nn_clustering.lesions import KINDS, DoubleLesionTest, LesionTest
from nn_clustering.partitions import SubCluster
from nn_clustering.reports import (
    cluster_colours,
    figure_of_class_changes,
    figure_of_dependencies,
    figure_of_double_lesions,
    figure_of_importance_by_size,
    figure_of_lesion_nulls,
    figure_of_lesions,
)
from nn_clustering.reports._lesion_null_figures import standardised_by_draws
from nn_clustering.reports._sub_cluster_figure_parts import HARM, spread, ticks_of_scale
from nn_clustering.significance import benjamini_hochberg
from tests.reports.figure_texts import assert_numbers_are_well_written

OF_SINGLE = (
    figure_of_lesions,
    figure_of_class_changes,
    figure_of_importance_by_size,
    figure_of_lesion_nulls,
)
OF_DOUBLE = (figure_of_dependencies, figure_of_double_lesions)
TITLE = "digits, mlp, pruned, 12 clusters"


def lesion_test(layers, groups=3, n_shuffles=4, task="classification", changes=None, seed=0):
    """A test of layers, each given by the units of its sub-clusters, with changes drawn."""
    random = np.random.default_rng(seed)
    subs = tuple(
        SubCluster(name, label, np.arange(size))
        for name, sizes in layers.items()
        for label, size in enumerate(sizes)
    )
    n_candidates = np.array([sum(sizes) for sizes in layers.values() for _ in sizes])
    if changes is None:
        # one draw changes a thousandth, another a half
        scale = 10 ** random.uniform(-3, -0.3, (len(subs), n_shuffles + 1, 1))
        changes = scale * random.uniform(-0.3, 1, (len(subs), n_shuffles + 1, groups))
        changes[:1, 0] += 1  # worse than all random ones
        changes *= -1 if task == "classification" else 1
    overall = changes.mean(axis=-1)
    return LesionTest(
        task=task,
        groups=tuple(f"name {index}" for index in range(groups)),
        intact=np.full(groups, 0.9),
        intact_overall=0.9,
        n_images=np.full(groups, 50),
        sub_clusters=subs,
        n_candidates=n_candidates,
        changes=changes[:, 0],
        random_changes=changes[:, 1:],
        overall_changes=overall[:, 0],
        random_overall_changes=overall[:, 1:],
        harm=-1 if task == "classification" else 1,
        tail="left" if task == "classification" else "right",
    )


def one_size(n_layers, n_sub_clusters, name="layer_{}"):
    return {name.format(index): [6] * n_sub_clusters for index in range(n_layers)}


CORRECTED = "p ≤ 0.05, corrected for 5 sub-clusters (Benjamini\N{EN DASH}Hochberg)"
TWO_LAYERS = {"dense_1": [3, 20, 9], "dense_2": [30, 14]}
LONG = "stage_{}_unit_of_a_block_with_a_long_name"
ALL_SIZES = {
    "one": lesion_test({"a": [5]}, 2, 1),
    "several": lesion_test({f"conv_{layer}": [5, 14, 30, 1] for layer in range(4)}, 10, 19),
    "uneven": lesion_test({"a": [1], "b": [5] * 70, "c": [3], "d": [4], "e": [2] * 9}, 10, 2),
    "many": lesion_test(one_size(42, 5), 40, 2),
    "long names": lesion_test(one_size(30, 2, LONG), 5, 2),
    "no change": lesion_test(TWO_LAYERS, changes=np.zeros((5, 6, 3))),
    "infinite ranges": lesion_test(TWO_LAYERS, changes=np.tile([-0.1, 0.1, 0.0], (5, 6, 1))),
    "regression": lesion_test(TWO_LAYERS, 9, 19, "regression"),
    "one in a thousand classes": lesion_test({"a": [5, 6]}, 1000, 2),
    "hundreds in a thousand classes": lesion_test(one_size(40, 8, LONG), 1000, 2),
}


def laid_out(figure):
    """Lay out; every text must be within the picture, and no tick label on another."""
    assert_numbers_are_well_written(figure)
    width, height = figure.bbox.size
    assert max(figure.get_size_inches()) < 40
    labels = []
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = sorted(axis.get_view_interval())
            for ticks in (axis.get_major_ticks(), axis.get_minor_ticks()):
                kept = [tick.label1 for tick in ticks if low <= tick.get_loc() <= high]
                kept = [label for label in kept if label.get_visible() and label.get_text()]
                boxes = [label.get_window_extent() for label in kept]
                assert not any(one.overlaps(other) for one, other in pairwise(boxes))
                labels += kept
        labels += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    for text in filter(Text.get_text, [*labels, *figure.texts, *legends]):
        box = text.get_window_extent()
        inside = min(box.x0, box.y0) > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside, text.get_text()
    return figure


def names(axis, minor=False):
    return [label.get_text() for label in axis.get_ticklabels(minor)]


def legend_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def points(collection):
    return np.asarray(collection.get_offsets())


@pytest.mark.parametrize("figure_of", OF_SINGLE)
@pytest.mark.parametrize("size", ALL_SIZES)
def test_all_is_legible_at_any_size(figure_of, size):
    laid_out(figure_of(ALL_SIZES[size], TITLE))


@pytest.mark.parametrize("figure_of", [*OF_SINGLE, *OF_DOUBLE])
def test_can_be_saved(figure_of, chain):
    buffer = io.BytesIO()
    shown = chain if figure_of in OF_DOUBLE else ALL_SIZES["infinite ranges"]
    figure_of(shown, TITLE).savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG\r\n")


@pytest.mark.parametrize("figure_of", OF_SINGLE)
def test_long_title_is_wrapped(figure_of):
    figure = laid_out(figure_of(ALL_SIZES["one"], "of many words " * 20 + "\nand a second line"))
    lines = figure.get_suptitle().splitlines()
    assert len(lines) > 3
    assert " ".join(lines[:-1]) == ("of many words " * 20).strip()
    assert lines[-1] == "and a second line"


def test_lesions():
    test = lesion_test(TWO_LAYERS, n_shuffles=99, changes=of_three_kinds())
    figure = laid_out(figure_of_lesions(test, TITLE))
    (axes,) = figure.axes
    random, *marks = axes.collections
    expected = [[at, 100 * x] for at, row in enumerate(test.random_mean_changes) for x in row]
    np.testing.assert_allclose(points(random), expected)
    # p-values of 0.01, 0.01, 0.04, 0.5 and 1: of five, at 0.05 at most, the first two survive
    assert test.importance.p_values.tolist() == [0.01, 0.01, 0.04, 0.5, 1]
    at = [[0, 1], [2], [3, 4]]
    for drawn, of_kind in zip(marks, at, strict=True):
        np.testing.assert_allclose(
            points(drawn), [[k, 100 * test.mean_changes[k]] for k in of_kind]
        )
    assert [to_hex(drawn.get_facecolors()[0]) for drawn in marks] == [HARM, "#ffffff", "#ffffff"]
    assert to_hex(marks[1].get_edgecolors()[0]) == HARM != to_hex(marks[2].get_edgecolors()[0])
    corrected = benjamini_hochberg(test.importance.p_values).significant
    assert np.flatnonzero(corrected).tolist() == at[0]
    assert names(axes.xaxis) == ["0 (3)", "1 (20)", "2 (9)", "0 (30)", "1 (14)"]
    assert names(axes.xaxis, minor=True) == ["dense_1", "dense_2"]
    assert figure.axes[0].get_ylabel() == (
        "change of class-mean accuracy\n(percentage points;\nlinear up to ±1, logarithmic beyond)"
    )
    assert legend_of(figure) == [
        "as many random units of the layer",
        f"sub-cluster, importance {CORRECTED}",
        "sub-cluster, importance p ≤ 0.05, not corrected for 5 sub-clusters",
        "sub-cluster, importance p > 0.05",
    ]


def of_three_kinds():
    """Changes by lesions of five sub-clusters that 0, 0, 3, 49 and 99 of 99 random ones reach."""
    random = np.tile(-np.arange(1, 100) / 1000, (5, 1))
    true = -(np.array([[99.5], [99.5], [96.5], [50.5], [0.5]])) / 1000
    changes = np.concatenate([true, random], axis=1)
    return np.repeat(changes[..., np.newaxis], 3, axis=2)


def test_scales_that_are_linear_are_not_called_otherwise():
    changes = np.full((5, 20, 3), -0.001)
    figure = figure_of_lesions(lesion_test(TWO_LAYERS, n_shuffles=19, changes=changes), TITLE)
    assert figure.axes[0].get_ylabel() == "change of class-mean accuracy\n(percentage points)"


def test_lesions_of_a_regression_are_errors_as_they_are():
    test = lesion_test(TWO_LAYERS, task="regression")
    figure = figure_of_lesions(test, TITLE)
    true = np.concatenate([points(drawn) for drawn in figure.axes[0].collections[1:]])
    np.testing.assert_allclose(true[np.argsort(true[:, 0]), 1], test.mean_changes)
    told, scale = figure.axes[0].get_ylabel().split("\n")
    assert told == "change of mean squared error"
    assert re.fullmatch(r"\(linear up to ±0\.\d+, logarithmic beyond\)", scale)
    heat, bar = figure_of_class_changes(test, TITLE).axes
    assert heat.get_xlabel() == "group of targets"
    assert bar.get_ylabel().split("\n")[0] == "change of squared error"


@pytest.mark.parametrize("size", ["uneven", "many"])
def test_many_lesions_are_drawn_once_each_in_several_rows(size):
    test = ALL_SIZES[size]
    figure = figure_of_lesions(test, TITLE)
    assert len(figure.axes) > 1
    drawn = []
    for axes in figure.axes:
        of_row = np.concatenate([points(marks) for marks in axes.collections[1:]])
        drawn += of_row[np.argsort(of_row[:, 0]), 1].tolist()
    np.testing.assert_allclose(drawn, 100 * test.mean_changes)
    limits = [axes.get_ylim() for axes in figure.axes]
    assert set(limits) == {limits[0]}
    low, high = limits[0]
    everything = 100 * np.column_stack([test.mean_changes, test.random_mean_changes])
    assert low < everything.min()
    assert everything.max() < high


def test_rows_are_about_of_the_same_length():
    """Else the last one would be next to empty: 40 layers of 8 are not 13, 13, 13 and 1."""
    axes = figure_of_lesions(lesion_test(one_size(40, 8), 2, 2), TITLE).axes
    counts = [sum(len(points(marks)) for marks in of_row.collections[1:]) for of_row in axes]
    assert counts == [104, 112, 104]


def test_class_changes():
    test = lesion_test(TWO_LAYERS, groups=3, n_shuffles=99, changes=of_three_kinds())
    figure = laid_out(figure_of_class_changes(test, TITLE))
    heat, marks, bar = figure.axes
    np.testing.assert_allclose(np.asarray(heat.images[0].get_array()), 100 * test.changes)
    norm = heat.images[0].norm
    assert norm.vmax == -norm.vmin == pytest.approx(100 * np.abs(test.changes).max())
    assert names(heat.yaxis) == ["0 (3)", "1 (20)", "2 (9)", "0 (30)", "1 (14)"]
    assert names(heat.yaxis, minor=True) == ["dense_1", "dense_2"]
    assert names(heat.xaxis) == list(test.groups)
    assert [line.get_ydata()[0] for line in heat.lines] == [2.5]
    columns = zip((0, 0, 1, 1), marks.collections, strict=True)
    marked = [(column, points(drawn)[:, 1].tolist()) for column, drawn in columns]
    # ranges are all 0, which every random one reaches
    assert marked == [(0, [0, 1]), (0, [2]), (1, []), (1, [])]
    assert to_hex(marks.collections[0].get_facecolors()[0]) == "#000000"
    assert to_hex(marks.collections[1].get_facecolors()[0]) == "#ffffff"
    assert legend_of(figure) == [
        CORRECTED,
        "p ≤ 0.05, not corrected for 5 sub-clusters",
    ]
    assert (
        bar.get_ylabel()
        == "change of class accuracy\n(percentage points;\nlinear up to ±3, logarithmic beyond)"
    )


def test_class_changes_have_no_column_for_marks_that_there_are_not():
    figure = laid_out(figure_of_class_changes(lesion_test(TWO_LAYERS, n_shuffles=4), TITLE))
    assert len(figure.axes) == 2  # the heat map and its colours
    assert legend_of(figure) == ["importance and coherence: p > 0.05 of all sub-clusters"]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_of_a_thousand_classes_those_are_named_that_lesions_single_out(task):
    """Each lesion hits two classes of its own, one of them harder, and one hits them all."""
    harm = -1 if task == "classification" else 1
    changes = np.full((6, 3, 1000), 0.001 * harm)
    for row in range(5):
        changes[row, 0, [100 * row + 3, 100 * row + 7]] = 0.1 * harm, 0.2 * harm
    changes[5, 0] = 0.7 * harm
    test = lesion_test({"a": [2, 3, 4], "b": [5, 6, 7]}, 1000, 2, task, changes)
    heat, ordered, *_ = laid_out(figure_of_class_changes(test, TITLE)).axes
    factor = 100 if task == "classification" else 1
    named = [int(name.removeprefix("name ")) for name in names(heat.xaxis)]
    assert len(named) == 40
    assert named == sorted(named)
    assert {100 * row + of for row in range(5) for of in (3, 7)} < set(named)
    drawn = np.asarray(heat.images[0].get_array())
    np.testing.assert_allclose(drawn, factor * test.changes[:, named])
    groups = "classes" if task == "classification" else "groups of targets"
    assert heat.get_title() == f"40 of 1,000 {groups}"
    assert ordered.get_title() == "all 1,000, sorted"
    harms = harm * np.asarray(ordered.images[0].get_array())
    assert (np.diff(harms, axis=1) <= 0).all()
    np.testing.assert_allclose(harms[:, 0], factor * (harm * test.changes).max(axis=1))
    np.testing.assert_allclose(harms[:, -1], factor * (harm * test.changes).min(axis=1))
    assert ordered.images[0].norm.vmax == heat.images[0].norm.vmax


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_harm_is_red_and_benefit_blue(task):
    """Also beside one drastic lesion the small changes keep their colours."""
    harm = -1 if task == "classification" else 1
    changes = np.full((5, 3, 2), 0.003 * harm)
    changes[:, 0] = harm * np.array([[0.9, 0.9], [0.01, 0.01], [-0.01, 0.01], [0, 0], [0.02, 0.02]])
    test = lesion_test(TWO_LAYERS, 2, 2, task, changes)
    image = figure_of_class_changes(test, TITLE).axes[0].images[0]
    assert isinstance(image.norm, SymLogNorm)
    rgb = image.to_rgba(image.get_array())[:, 0, :3]
    (drastic, small, benefit, none, _) = rgb[:, 0] - rgb[:, 2]  # red less blue
    assert drastic > small > 0.05
    assert benefit < -0.05
    assert none == pytest.approx(0, abs=0.01)


def layers_told(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_importance_by_size():
    """Marks are where they were measured; beside each, of its own draws, range and mean."""
    test = lesion_test({"a": [4, 30, 4, 26], "b": [13]}, n_shuffles=19)
    figure = laid_out(figure_of_importance_by_size(test, TITLE))
    (axes,) = figure.axes
    marks = [drawn for drawn in axes.collections if drawn.get_zorder() == 3]
    true = np.concatenate([points(of_kind) for of_kind in marks])
    shares = np.array([6.25, 46.875, 6.25, 40.625, 100])
    expected = np.column_stack([shares, 100 * test.mean_changes])
    np.testing.assert_allclose(np.sort(true, axis=0), np.sort(expected, axis=0))
    shown = [kind for kind in KINDS if kind in test.kinds]
    of_random = [f"as many random units, {what}" for what in ("mean", "range")]
    assert legend_of(figure) == [*shown, *of_random]
    assert layers_told(axes) == ["a", "b"]
    (legend,) = figure.legends
    assert legend.get_title().get_text() == (
        "kind (p of 19 random ones, not corrected for 5 sub-clusters)"
    )
    random = 100 * test.random_mean_changes
    bars = [drawn for drawn in axes.collections if drawn.get_label() == "_random range"]
    ends = np.concatenate([np.array(of_layer.get_segments()) for of_layer in bars])
    expected = np.column_stack([shares, random.min(1), shares, random.max(1)])
    np.testing.assert_allclose(in_order(ends.reshape(-1, 4)), in_order(expected))
    means = [line for line in axes.lines if line.get_label() == "_random mean"]
    drawn = np.concatenate([line.get_xydata() for line in means])
    expected = np.column_stack([shares, random.mean(axis=1)])
    np.testing.assert_allclose(in_order(drawn), in_order(expected))
    # nothing leads from one size to another
    assert all(line.get_linestyle() == "None" for line in means)
    # the marks of layers have the colours of clusters, which stay apart
    colours = [to_hex(of_layer.get_colors()[0]) for of_layer in bars]
    assert list(dict.fromkeys(colours)) == [to_hex(colour) for colour in cluster_colours(2)]


def in_order(rows):
    """Rows by their numbers."""
    return rows[np.lexsort(rows.T)]


def places_of_random(axes):
    """Where the bars of random ones stand from left to right, in dots."""
    bars = [drawn for drawn in axes.collections if drawn.get_label() == "_random range"]
    return sorted(
        drawn.get_transform().transform(line)[0, 0]
        for drawn in bars
        for line in drawn.get_segments()
    )


def test_random_ones_of_sixty_layers_are_within_their_panels_and_apart():
    """Of nearly equal shares, too."""
    layers = {f"layer_{index}": [20 + index % 4, 24 - index % 3] for index in range(60)}
    figure = laid_out(figure_of_importance_by_size(lesion_test(layers, 2, 2), TITLE))
    panels = [axes for axes in figure.axes if axes.axison]
    assert len(panels) == 10
    for axes in panels:
        across = places_of_random(axes)
        assert len(across) == 12
        assert min(later - earlier for earlier, later in pairwise(across)) > 3
        assert across[-1] + 2 < axes.get_window_extent().x1


def test_random_ones_of_layers_at_one_share_do_not_hide_each_other():
    figure = laid_out(figure_of_importance_by_size(ALL_SIZES["several"], TITLE))
    (axes,) = figure.axes
    bars = [drawn for drawn in axes.collections if drawn.get_label() == "_random range"]
    places = {
        (round(drawn.get_transform().transform(line)[0, 0]), round(line[0, 0]))
        for drawn in bars
        for line in drawn.get_segments()
    }
    assert len(places) == 16  # of 4 layers of 4 sizes
    across = sorted(place for place, _ in places)
    assert min(later - earlier for earlier, later in pairwise(across)) >= 3
    assert across[-1] < axes.get_window_extent().x1


def test_importance_by_size_of_many_layers_in_several_panels():
    test = ALL_SIZES["many"]
    figure = laid_out(figure_of_importance_by_size(test, TITLE))
    *panels, empty = figure.axes  # 42 layers in sixes
    assert len(panels) == 7
    told, drawn = [], []
    for axes in panels:
        told += layers_told(axes)
        marks = [points(marks)[:, 1] for marks in axes.collections if marks.get_zorder() == 3]
        drawn += np.concatenate(marks).tolist()
    assert told == [f"layer_{index}" for index in range(42)]
    np.testing.assert_allclose(sorted(drawn), np.sort(100 * test.mean_changes))
    assert layers_told(empty)[0] == "small"


def test_importance_by_size_of_a_regression():
    test = lesion_test(TWO_LAYERS, n_shuffles=19, task="regression")
    figure = laid_out(figure_of_importance_by_size(test, TITLE))
    assert set(test.importance.p_values <= 0.05) == {True, False}
    assert legend_of(figure)[:2] == ["p ≤ 0.05, not corrected for 5 sub-clusters", "p > 0.05"]
    assert figure.legends[0].get_title().get_text() == "importance"


def test_nulls():
    """Ranks by hand: which of 0, 1, 2, 3 random sub-clusters are at least as bad."""
    means = np.array([[-0.3, -0.1, -0.2, 0], [-0.1, -0.2, -0.3, 0], [-0.3, -0.1, -0.1, -0.1]])
    changes = np.stack([means * 0.5, means * 1.5], axis=-1)
    test = lesion_test({"a": [1, 2, 3]}, 2, 3, changes=changes)
    figure = laid_out(figure_of_lesion_nulls(test, TITLE))
    ranks, values = figure.axes[:2]
    assert [bar.get_height() for bar in ranks.patches[:4]] == [2, 0, 1, 0]
    expected = [patch for patch in ranks.patches if patch.get_label() == "expected by chance"]
    assert expected[0].get_data().values.tolist() == [0.75] * 4
    joint, fisher = test.importance.joint_p, test.importance.summary(seed=0)["fisher_p"]
    assert ranks.get_title() == f"importance: joint p = {joint:.2g}, Fisher p = {fisher:.2g}"
    assert values.get_title() == "2 of 3 sub-clusters"
    # by hand: in the first row the random ones are -0.1, -0.2 and 0, of mean -0.1 and sd 0.1; in
    # the second -0.2, -0.3 and 0, whose sd is that of 0.2, 0.3, 0; in the third they are equal
    spread = np.sqrt(((1 / 30) ** 2 + (2 / 15) ** 2 + (1 / 6) ** 2) / 2)
    scores = np.array([[2, 0, 1, -1], np.array([-1 / 15, 1 / 30, 2 / 15, -1 / 6]) / spread])
    edges = [bar.get_x() for bar in values.patches[:7]]
    edges.append(values.patches[6].get_x() + values.patches[6].get_width())
    assert (edges[0], edges[-1]) == pytest.approx((scores.min(), scores.max()))
    inside = np.histogram(scores[:, 1:], edges)[0] / 6
    assert [bar.get_height() for bar in values.patches[:7]] == pytest.approx(inside.tolist())
    # ranges: 0 where nothing changes, 1 elsewhere; all of the third sub-cluster are 1
    title = "2 of 3 sub-clusters"
    assert figure.axes[3].get_title() == title


def test_nulls_say_what_is_cut():
    """The true one lies 20 standard deviations of the random ones away: the edge says so."""
    means = np.array([[-2.1, -0.0, -0.1, -0.2], [-0.1, -0.0, -0.1, -0.2]])
    changes = np.stack([means * 0.5, means * 1.5], axis=-1)
    figure = laid_out(figure_of_lesion_nulls(lesion_test({"a": [1, 2]}, 2, 3, changes=changes), ""))
    importance, coherence = figure.axes[1], figure.axes[3]
    assert [text.get_text() for text in importance.texts] == ["> 6: 1 true, 0 random"]
    (bar,) = [bar for bar in importance.patches[:7] if bar.get_x() + bar.get_width() > 5.99]
    assert bar.get_height() == 0  # of the random ones none is there
    assert not coherence.texts


def test_standardised_by_draws():
    states = np.array([[5.0, 1, 2, 3], [0.0, 1, 1, 1], [1.0, 0, np.inf, 2], [2.0, -1, 0, 1]])
    scores, used = standardised_by_draws(states)
    assert used.tolist() == [True, False, False, True]
    np.testing.assert_allclose(scores, [[3, -1, 0, 1], [2, -1, 0, 1]])
    nothing, used = standardised_by_draws(states[:, :2])
    assert nothing.shape == (0, 2)
    assert not used.any()


def test_nulls_of_random_sub_clusters_are_flat():
    """The true lesion is one like the others: few ranks leave the band of 95%."""
    random = np.random.default_rng(3)
    test = lesion_test(one_size(10, 40), changes=random.normal(size=(400, 20, 3)))
    ranks = figure_of_lesion_nulls(test, TITLE).axes[0]
    counts = np.array([bar.get_height() for bar in ranks.patches[:20]])
    assert counts.sum() == 400
    band = next(p for p in ranks.patches if p.get_label() == "95% of chance counts").get_data()
    outside = (counts < band.baseline) | (counts > band.values)
    assert outside.sum() <= 3
    assert 8 < band.baseline[0] < 20 < band.values[0] < 32


def test_nulls_leave_out_what_is_not_combined():
    test = lesion_test({"a": [5], "b": [3, 4]}, 3, 19)
    figure = figure_of_lesion_nulls(test, TITLE)
    assert sum(bar.get_height() for bar in figure.axes[0].patches[:20]) == 2
    (nothing,) = figure_of_lesion_nulls(ALL_SIZES["one"], TITLE).axes
    assert nothing.get_title() == "no sub-clusters whose p-values can be combined"


def test_nulls_have_no_empty_panels():
    """Infinite ranges cannot be standardised: their ranks have the room of both panels."""
    figure = laid_out(figure_of_lesion_nulls(ALL_SIZES["infinite ranges"], TITLE))
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == ["importance", "coherence"]
    widths = {round(axes.get_position().width, 6) for axes in figure.axes}
    assert len(widths) == 1
    assert widths.pop() > 0.8
    for axes in figure.axes:
        assert axes.patches


def double_test(layers, joint, random_joint=None, random_conditional=None):
    subs = tuple(
        SubCluster(name, label, np.arange(size))
        for name, sizes in layers.items()
        for label, size in sizes.items()
    )
    shape = (*joint.shape, 20)
    if random_joint is None:
        random_joint = np.zeros(shape)
    if random_conditional is None:
        random_conditional = np.zeros(shape)
    return DoubleLesionTest(subs, 0.9, joint, random_joint, random_conditional)


def drawn_dependencies(axes):
    """The places of dots, and the arrows as pairs of places."""
    arrows = [(tuple(arrow._posA_posB[0]), tuple(arrow._posA_posB[1])) for arrow in axes.patches]
    return [tuple(points(dots)[0]) for dots in axes.collections], arrows


@pytest.fixture
def chain():
    """0 of the first layer and 3 of the second harm by the same path; 5 of the third by another."""
    joint = np.array(
        [
            [-0.2, -0.2, -0.5],
            [-0.2, -0.2, -0.5],
            [-0.5, -0.5, -0.3],
        ]
    )
    return double_test({"a": {0: 10}, "b": {3: 40}, "c": {5: 20}}, joint)


def test_dependencies(chain):
    figure = laid_out(figure_of_dependencies(chain, TITLE))
    (axes,) = figure.axes
    places, arrows = drawn_dependencies(axes)
    assert places == [(0, 0), (1, 0), (2, 0)]
    assert arrows == [((0, 0), (1, 0))]
    assert [text.get_text() for text in axes.texts] == ["0", "3", "5"]
    areas = [dots.get_sizes()[0] for dots in axes.collections]
    assert areas[1] == pytest.approx(2 * areas[2])
    assert areas[0] == pytest.approx(0.3 * areas[1])  # the smallest is still to be seen
    assert names(axes.xaxis) == ["a", "b", "c"]
    assert legend_of(figure) == ["neither is important where the other is lesioned"]


@pytest.mark.parametrize(
    ("first", "second", "meaning"),
    [
        (-0.05, -0.2, "the earlier is not important where the later is lesioned"),
        (-0.2, -0.05, "the later is not important where the earlier is lesioned"),
    ],
)
def test_which_of_two_depends(first, second, meaning):
    """What the first harms the second harms too, or the other way round."""
    joint = np.array([[first, -0.2], [-0.2, second]])
    double = double_test({"a": {0: 10}, "b": {0: 10}}, joint)
    figure = figure_of_dependencies(double, TITLE)
    assert legend_of(figure) == [meaning]


def test_no_dependencies(chain):
    separate = np.add.outer(*[chain.changes] * 2)
    np.fill_diagonal(separate, chain.changes)
    double = double_test({"a": {0: 10, 1: 10}, "b": {3: 40}}, separate)
    figure = laid_out(figure_of_dependencies(double, TITLE))
    assert drawn_dependencies(figure.axes[0])[1] == []
    assert "no dependencies" in figure.axes[0].get_title()


def test_joined_sub_clusters_stand_at_the_same_height():
    """Two chains, which the order of labels would cross."""
    joint = np.full((4, 4), -0.4)
    joint[[0, 1, 2, 3], [0, 1, 2, 3]] = -0.2
    joint[[0, 3, 1, 2], [3, 0, 2, 1]] = -0.2
    double = double_test({"a": {0: 10, 1: 10}, "b": {0: 10, 1: 10}}, joint)
    assert len(double.dependencies().edges) == 2
    _, arrows = drawn_dependencies(figure_of_dependencies(double, TITLE).axes[0])
    assert all(start[1] == end[1] for start, end in arrows)


def test_of_many_dependencies_the_strongest_are_drawn():
    """Of every two the one that costs less costs nothing where the other is lesioned."""
    single = -np.linspace(0.02, 0.5, 20)
    double = double_test(
        {"a": dict.fromkeys(range(20), 5), "b": dict.fromkeys(range(20), 5)},
        np.minimum.outer(np.tile(single, 2), np.tile(single, 2)),
    )
    graph = double.dependencies()
    assert graph.number_of_edges() == 400
    (axes,) = figure_of_dependencies(double, TITLE).axes
    assert axes.get_title() == "the 150 strongest of 400 dependencies"
    places, arrows = drawn_dependencies(axes)
    assert len(arrows) == 150
    label_at = dict(zip(places, (int(text.get_text()) for text in axes.texts), strict=True))
    # what costs little can lose little: by 13 x 13 pairs of those that cost most
    assert min(label_at[end] for arrow in arrows for end in arrow) == 7


def test_of_many_layers_with_few_sub_clusters_fewer_dependencies_are_drawn():
    """Arrows along a row bend away from the other row, all within the axes."""
    (axes,) = laid_out(figure_of_dependencies(random_double(60, 2, "conv_{}"), TITLE)).axes
    assert axes.get_title() == "the 32 strongest of 357 dependencies"
    assert len(axes.patches) == 32
    bottom, top = axes.get_ylim()
    for arrow in axes.patches:
        (x, y), (to_x, to_y) = arrow._posA_posB
        bend = arrow.get_connectionstyle().rad
        if y == to_y and to_x - x > 1:
            assert (bend > 0) == (y == 1)
        else:
            assert bend == 0
        drawn = arrow.get_path().get_extents()
        assert top < drawn.y0 < drawn.y1 < bottom


def random_double(n_layers, n_a_layer, name):
    random = np.random.default_rng(0)
    layers = {
        name.format(layer): dict(enumerate(random.integers(5, 100, n_a_layer).tolist()))
        for layer in range(n_layers)
    }
    single = -random.uniform(0.01, 0.5, n_layers * n_a_layer)
    additive = np.add.outer(single, single)
    shared = np.minimum.outer(single, single)
    drawn = np.triu(random.random(additive.shape) < 0.05, 1)
    joint = np.where(drawn | drawn.T, shared, additive)
    np.fill_diagonal(joint, single)
    return double_test(layers, joint)


@pytest.mark.parametrize("figure_of", OF_DOUBLE)
@pytest.mark.parametrize("sizes", [(1, 1), (4, 10), (60, 1)])
@pytest.mark.parametrize("name", ["conv_{}", LONG])
def test_pairs_are_legible_at_any_size(figure_of, sizes, name):
    figure = laid_out(figure_of(random_double(*sizes, name), TITLE))
    if figure_of is figure_of_dependencies:
        dots, _ = drawn_dependencies(figure.axes[0])
        assert len(set(dots)) == sizes[0] * sizes[1]
        places = figure.axes[0].transData.transform(dots)
        areas = np.array([dot.get_sizes()[0] for dot in figure.axes[0].collections])
        radii = np.sqrt(areas) / 2 * figure.dpi / 72
        for (one, radius), (other, its) in combinations(zip(places, radii, strict=True), 2):
            assert np.hypot(*(one - other)) > radius + its


@pytest.mark.parametrize("figure_of", OF_DOUBLE)
def test_no_pairs(figure_of):
    figure = laid_out(figure_of(double_test({}, np.empty((0, 0))), TITLE))
    assert figure.axes[0].get_title() == "no sub-clusters to lesion in pairs"


def test_double_lesions(chain):
    figure = laid_out(figure_of_double_lesions(chain, TITLE))
    axes, bar = figure.axes
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), 100 * chain.joint_changes)
    columns, rows = points(axes.collections[0]).T.astype(int)
    marked = np.zeros((3, 3), bool)
    marked[rows, columns] = True
    np.testing.assert_array_equal(marked, chain.joint_important)
    for axis in (axes.xaxis, axes.yaxis):
        assert names(axis) == ["0 (10)", "3 (40)", "5 (20)"]
        assert names(axis, minor=True) == ["a", "b", "c"]
    assert bar.get_ylabel() == "change of accuracy\n(percentage points)"


def test_only_important_pairs_are_marked(chain):
    random = np.zeros((3, 3, 20))
    random[0, 1] = random[1, 0] = -0.6
    double = double_test({"a": {0: 1}, "b": {0: 1}, "c": {0: 1}}, chain.joint_changes, random)
    figure = figure_of_double_lesions(double, TITLE)
    axes = figure.axes[0]
    marked = np.concatenate([points(drawn) for drawn in axes.collections])
    assert len(marked) == 7
    assert [0, 1] not in marked.tolist()
    assert legend_of(figure) == [
        "also p ≤ 0.05 corrected for 6 lesions (Benjamini\N{EN DASH}Hochberg)",
        "not corrected for 6 lesions",
    ]
    (legend,) = figure.legends
    assert legend.get_title().get_text() == (
        "important: p < 1/20, and \N{MINUS SIGN}1 percentage point or less"
    )


def test_pairs_that_are_important_but_for_the_correction_are_marked_so():
    """Twenty draws give 1/21 at best, which of 6 lesions is significant where all are."""
    random = np.zeros((3, 3, 20))
    random[0, 1, 0] = random[1, 0, 0] = -0.6
    joint = np.array([[-0.2, -0.2, -0.5], [-0.2, -0.2, -0.5], [-0.5, -0.5, -0.3]])
    double = double_test({"a": {0: 1}, "b": {0: 1}, "c": {0: 1}}, joint, random)
    axes = figure_of_double_lesions(double, TITLE).axes[0]
    corrected, uncorrected = axes.collections
    assert points(corrected).tolist() == []
    assert len(points(uncorrected)) == 7
    assert to_hex(uncorrected.get_facecolors()[0]) == "#ffffff"


def test_spread_keeps_distance_and_order():
    places = spread([0, 0.1, 0.2, 5, 9.9], 1, 0, 10)
    assert (np.diff(places) >= 1 - 1e-9).all()
    assert places[0] >= 0
    assert places[3:] == pytest.approx([5, 9.9])
    # least squares: the first three as close together as may be, none below 0
    assert places[:3] == pytest.approx([0, 1, 2])
    assert spread([3.0], 1, 0, 10) == pytest.approx([3])
    assert spread([1, 2, 3], 9, 0, 10) == pytest.approx([0, 5, 10])  # no room for 9


@pytest.mark.parametrize(
    ("limit", "most", "above"),
    [
        (1, 0.5, []),
        (1, 60, [1, 3, 10, 30]),
        (0.3, 1, [0.3, 1]),
        (0.001, 0.01, [0.001, 0.003, 0.01]),
    ],
)
def test_ticks_of_scale(limit, most, above):
    assert ticks_of_scale(limit, most) == [*(-tick for tick in reversed(above)), 0, *above]
