"""Contact sheets and null figures of visualisations show what they are given, all of it legible."""

import io
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from nn_clustering.datasets import Dataset
from nn_clustering.partitions import SubCluster
from nn_clustering.reports import contact_sheets, figure_of_visualisation_nulls, input_png
from nn_clustering.reports._sheet_layout import OTHER, SIGNIFICANT
from nn_clustering.reports._text_in_dots import DOTS_PER_INCH, fitted, names_in_lines, text_width
from nn_clustering.visualisation import TopSamples, VisualisationTest

TITLE = "MNIST, MLP, pruned: inputs optimised for sub-clusters"
GREY, COLOUR = (28, 28, 1), (32, 32, 3)
LONG = "a_layer_of_many_parts/with_a_very_long_name_unit_3_relu"
BREEDS = tuple(f"long-haired terrier of the {index}th kind" for index in range(10))


def visualisation_test(layers, shape=GREY, n_shuffles=4, n_kept=1, measures_entropy=True):
    """A test of layers, each given by the sizes of its sub-clusters, with made-up values."""
    random = np.random.default_rng(0)
    subs = tuple(
        SubCluster(name, label, np.arange(size))
        for name, sizes in layers.items()
        for label, size in enumerate(sizes)
    )
    n_candidates = np.array([sum(sizes) for sizes in layers.values() for _ in sizes])
    size = (len(subs), 1 + n_shuffles)
    scores = random.uniform(1, 9, size)
    scores[0, 0] = 30
    return VisualisationTest(
        sub_clusters=subs,
        n_candidates=n_candidates,
        scores=scores,
        entropies=random.uniform(0, 2, size) if measures_entropy else None,
        dispersions=random.uniform(0, 1, size),
        inputs=random.random((len(subs), 1 + n_kept, *shape), dtype=np.float32),
    )


def samples_of(shape, white=1.0, names=tuple("0123456789"), task="classification"):
    random = np.random.default_rng(1)
    x = random.random((40, *shape), dtype=np.float32)
    if white == 255:
        x = (255 * x).astype(np.uint8)
    y = random.integers(len(names), size=40).astype(np.int32)
    if task == "regression":
        y = random.random((40, len(names)), dtype=np.float32)
    white = white if len(shape) == 3 else None
    return Dataset("made up", x[:1], y[:1], x, y, names, task, white)


def tops_of(test, data, n_top):
    indices = np.random.default_rng(2).integers(40, size=(len(test.sub_clusters), n_top))
    of_classes = data.task == "classification"
    shares = np.ones(len(indices))
    return TopSamples(
        sub_clusters=test.sub_clusters,
        indices=indices,
        objectives=np.ones(indices.shape),
        classes=data.y_test[indices] if of_classes else None,
        class_entropies=None,
        entropy=None,
        top_shares=shares,
        score_quantiles=shares,
        profile_correlations=shares,
    )


def sheet(shape=GREY, sizes=(3, 5), n_top=9, n_kept=1, layer="dense_1", **of_samples):
    test = visualisation_test({layer: sizes}, shape, n_kept=n_kept)
    data = samples_of(shape, **of_samples)
    tops = tops_of(test, data, n_top) if n_top else None
    return test, tops, data, contact_sheets(test, tops, data, TITLE)[layer]


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def drawn_once(figure):
    """Lay out at the resolution of files; nothing may lie on another thing, or outside."""
    figure.set_dpi(DOTS_PER_INCH)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    boxes += [image.get_window_extent() for image in axes.images]
    width, height = figure.bbox.size
    assert max(figure.get_size_inches()) * DOTS_PER_INCH < 2**16
    for box in boxes:
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    ends = np.array([box.extents for box in boxes])
    for index, (left, low, right, high) in enumerate(ends):
        beside = (ends[:, 0] >= right - 1) | (ends[:, 2] <= left + 1)
        beside |= (ends[:, 1] >= high - 1) | (ends[:, 3] <= low + 1)
        assert np.flatnonzero(~beside).tolist() == [index]


def test_a_sheet_shows_inputs_and_samples_pixel_by_pixel():
    test, tops, data, figure = sheet()
    pictures = [image.get_array() for image in figure.axes[0].images]
    expected = [
        image for row in range(2) for image in (*test.inputs[row], *data.x_test[tops.indices[row]])
    ]
    assert len(pictures) == len(expected) == 2 * (2 + 9)
    for found, image in zip(pictures, expected, strict=True):
        np.testing.assert_array_equal(found, np.rint(255.0 * image[..., 0]))
    figure.savefig(buffer := io.BytesIO(), dpi=DOTS_PER_INCH)
    png = np.asarray(Image.open(buffer).convert("L"))
    left, right, bottom, top = (round(end) for end in figure.axes[0].images[0].get_extent())
    assert (right - left, bottom - top) == (112, 112)
    shown = png[top + 1 : bottom : 4, left + 1 : right : 4]  # a dot within each pixel
    np.testing.assert_allclose(shown, np.rint(255.0 * test.inputs[0, 0, ..., 0]), atol=1)


def test_a_sheet_tells_scores_p_values_and_classes():
    test, tops, data, figure = sheet(n_kept=2)
    texts = texts_of(figure)
    assert " ".join(texts[:3]) == f"{TITLE} layer dense_1"
    for row, name in enumerate(["cluster 0: 3 units", "cluster 1: 5 units"]):
        start = texts.index(name)
        scores = [f"score {score:.3g}" for score in test.scores[row, :3]]
        assert texts[start + 1 : start + 4] == scores
        assert texts[start + 4] == f"p = {test.score.p_values[row]:.2g}"
        classes = data.y_test[tops.indices[row]]
        often = np.bincount(classes).argmax()
        told = " ".join(texts[start + 5 : start + 7])
        assert f"{often} ({(classes == often).sum()})" in told
    assert "p ≤ 0.05, not corrected for 2 sub-clusters" in texts
    assert "p: of the score, beside 4 random sub-clusters" in texts


def with_p_values(test, p_values):
    """The test with scores of such p-values, of 99 random ones each."""
    n_above = np.rint(100 * np.array(p_values)).astype(int) - 1
    scores = np.tile(np.arange(100.0), (len(n_above), 1))
    scores[:, 0] = 99.5 - n_above
    return replace(test, scores=scores)


def test_frames_tell_small_p_values_and_whether_they_are_corrected():
    test = with_p_values(visualisation_test({"a": [3] * 4}, (4, 4, 1)), [0.01, 0.04, 0.06, 0.9])
    frames = contact_sheets(test, None, None, TITLE)["a"].axes[0].patches
    looks = [(to_hex(one.get_edgecolor()), one.get_linestyle()) for one in frames]
    of_true, of_random, key = looks[:8:2], looks[1:8:2], looks[8:]
    assert of_true == [*key, key[2]]
    assert set(of_random) == {key[2]}
    assert [colour for colour, _ in key] == [SIGNIFICANT, SIGNIFICANT, OTHER]
    assert key[0] != key[1]


def test_of_all_units_of_a_layer_no_small_p_value_is_shown_nor_counted():
    test = visualisation_test({"a": [3] * 3, "b": [4]}, (4, 4, 1))
    sheets = contact_sheets(with_p_values(test, [0.03, 0.03, 0.9, 0.01]), None, None, TITLE)
    looks = {
        layer: [
            (to_hex(one.get_edgecolor()), one.get_linestyle()) for one in figure.axes[0].patches
        ]
        for layer, figure in sheets.items()
    }
    *_, corrected, _, other = looks["a"]
    assert looks["a"][:6:2] == [corrected, corrected, other]
    assert looks["b"][0] == other
    texts = texts_of(sheets["b"])
    assert "p ≤ 0.05, not corrected for 3 sub-clusters" in texts
    assert "p > 0.05, or all units of its layer" in texts


@pytest.mark.parametrize(
    ("shape", "sizes", "n_top", "changes"),
    [
        (GREY, [3], 0, {}),
        (GREY, [1], 1, {"n_kept": 0}),
        (COLOUR, [3] * 16, 9, {"names": BREEDS, "layer": LONG}),
        (GREY, [2] * 60, 9, {}),
        ((224, 224, 3), [2] * 2, 9, {"names": BREEDS, "white": 255, "n_kept": 3}),
        ((300, 200, 1), [2], 2, {"white": None}),
        ((6, 9, 2), [2, 4], 5, {}),
        ((8, 8, 7), [2, 4], 3, {}),
        ((2,), [2, 4, 6], 4, {"task": "regression"}),
        ((50,), [2, 4, 6], 1, {}),
    ],
)
def test_nothing_on_a_sheet_lies_on_another_thing(shape, sizes, n_top, changes):
    _, _, _, figure = sheet(shape, sizes, n_top, **changes)
    drawn_once(figure)
    titles = sum(text.startswith("cluster ") for text in texts_of(figure))
    assert titles == len(sizes)
    if len(shape) == 3:
        n_inputs = 1 + changes.get("n_kept", 1)
        assert len(figure.axes[0].images) == len(sizes) * (n_inputs + n_top)


def test_sheets_fit_a_page():
    for n_clusters in (2, 16, 32):
        _, _, _, figure = sheet(GREY, [2] * n_clusters)
        width, height = figure.get_size_inches()
        assert 0.2 < height / width < 1.7


def test_images_of_bytes_and_of_colours_are_shown_as_they_are():
    test, tops, data, figure = sheet((5, 6, 3), white=255, n_top=1)
    found = [image.get_array() for image in figure.axes[0].images]
    np.testing.assert_array_equal(found[2], data.x_test[tops.indices[0, 0]])
    np.testing.assert_array_equal(found[0], np.rint(255.0 * test.inputs[0, 0]))


def test_channels_stand_side_by_side():
    test, _, _, figure = sheet((5, 6, 2), n_top=0)
    (shown, *_) = [image.get_array() for image in figure.axes[0].images]
    assert shown.shape == (5, 13, 3)
    for channel, start in enumerate((0, 7)):
        expected = np.rint(255.0 * test.inputs[0, 0, ..., channel])
        np.testing.assert_array_equal(shown[:, start : start + 6, 0], expected)
        np.testing.assert_array_equal(shown[:, start : start + 6, 2], expected)


def test_images_of_no_known_scale_are_shown_by_their_range():
    test = visualisation_test({"a": [3]}, (4, 4, 1))
    test = replace(test, inputs=6 * test.inputs - 2)
    data = samples_of((4, 4, 1), white=None)
    tops = tops_of(test, data, 1)
    figure = contact_sheets(test, tops, data, TITLE)["a"]
    sample = data.x_test[tops.indices[0, 0]]
    values = np.concatenate([test.inputs.ravel(), sample.ravel()])
    low, high = values.min(), values.max()
    expected = np.rint(255.0 * (sample[..., 0] - low) / (high - low))
    np.testing.assert_allclose(figure.axes[0].images[-1].get_array(), expected, atol=1)
    assert f"black to white: \u2212{-low:.3g} to {high:.3g}" in texts_of(figure)


def test_other_samples_are_bars_of_one_scale():
    test, tops, data, figure = sheet((3,), sizes=(2, 4), n_top=2)
    bars = [
        bar.get_height() / (-112 if index % 4 < 2 else -56)
        for index, group in enumerate(figure.axes[0].containers)
        for bar in group
    ]
    shown = [
        sample
        for row in range(2)
        for sample in (*test.inputs[row], *data.x_test[tops.indices[row]])
    ]
    np.testing.assert_allclose(bars, np.concatenate(shown) / np.max(shown), atol=1e-6)
    assert f"bars: 0 to {np.max(shown):.3g}" in texts_of(figure)


def test_the_same_sheet_gives_the_same_bytes():
    found = []
    for _ in range(2):
        figure = sheet(n_top=3)[-1]
        figure.savefig(buffer := io.BytesIO(), format="png", dpi=DOTS_PER_INCH)
        found.append(buffer.getvalue())
    assert found[0] == found[1]


def test_there_is_a_sheet_for_each_layer():
    test = visualisation_test({"b": [3, 4], "a": [5]}, (4, 4, 1))
    sheets = contact_sheets(test, None, None, TITLE)
    assert list(sheets) == ["b", "a"]
    assert [len(figure.axes[0].images) for figure in sheets.values()] == [4, 2]
    with pytest.raises(KeyError):
        sheets["c"]


def test_names_are_counted_and_cut_to_two_lines():
    size, width = 6.5, 300
    assert names_in_lines(["7", "9", "7"], width, size) == ["7 (2), 9"]
    lines = names_in_lines([*BREEDS, BREEDS[0]], width, size)
    assert len(lines) == 2
    assert lines[0].endswith("(2),")
    shown = " ".join(lines).count("\u2026")
    assert lines[1].endswith(f"{len(BREEDS) - shown} more")
    assert all(text_width(line, size) <= width for line in lines)
    assert names_in_lines([], width, size) == []
    assert fitted("abc", 1000, size) == "abc"


@pytest.mark.parametrize(
    ("shape", "size"),
    [((28, 28, 1), (224, 224)), ((100, 40, 3), (120, 300)), ((300, 224, 3), (224, 300))],
)
def test_a_single_input_is_enlarged_by_whole_pixels(shape, size):
    image = np.random.default_rng(0).random(shape)
    found = Image.open(io.BytesIO(input_png(image)))
    assert found.size == size
    times = size[1] // shape[0]
    expected = np.rint(255.0 * (image if shape[2] == 3 else image[..., 0]))
    np.testing.assert_array_equal(np.asarray(found)[::times, ::times], expected)
    assert input_png(image) == input_png(image.copy())


def test_a_black_input_is_black():
    found = Image.open(io.BytesIO(input_png(np.zeros((4, 4, 1), np.float32))))
    assert found.getextrema() == (0, 0)


def test_a_single_input_that_is_no_image_is_drawn_as_bars():
    values = np.array([-2.0, 0.5, 3.0], np.float32)
    assert Image.open(io.BytesIO(input_png(values))).size == (480, 320)
    assert input_png(values) == input_png(values.copy())


def points(axes, place):
    return np.asarray(axes.collections[place].get_offsets())


def marks(axes):
    """Which rows have which mark: corrected, uncorrected, not significant, nothing to say."""
    return [points(axes, place)[:, 1].tolist() for place in range(1, 5)]


def test_nulls_show_scores_in_standard_deviations_and_entropies_as_they_are():
    test = visualisation_test({"a": [3, 5], "b": [4, 4]})
    figure = figure_of_visualisation_nulls(test, TITLE)
    random = test.scores[:, 1:]
    means, spreads = random.mean(axis=1, keepdims=True), random.std(axis=1, ddof=1, keepdims=True)
    scores, entropies = figure.axes
    for axes, shown, name, label in (
        (scores, (test.scores - means) / spreads, "score", "sd of the random ones;\nright"),
        (entropies, test.entropies, "output entropy", "nats;\nleft"),
    ):
        true = np.concatenate([points(axes, place) for place in range(1, 5)])
        np.testing.assert_allclose(true[np.argsort(true[:, 1]), 0], shown[:, 0])
        np.testing.assert_allclose(points(axes, 0)[:, 0], shown[:, 1:].ravel())
        assert axes.get_xlabel().startswith(f"{name} ({label} is extreme")
        assert axes.get_title().startswith(f"{name}: joint p = ")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[2] == "sub-cluster, p ≤ 0.05, not corrected for 4 sub-clusters"
    assert len(legend) == 4


def test_entropies_far_apart_have_a_logarithmic_scale():
    test = visualisation_test({"a": [3, 5], "b": [4, 4]})
    entropies = 10 ** np.random.default_rng(0).uniform(-9, 0, test.scores.shape)
    figure = figure_of_visualisation_nulls(replace(test, entropies=entropies), TITLE)
    axes = figure.axes[1]
    assert axes.get_xscale() == "symlog"
    assert axes.get_xlabel().endswith("left is extreme, logarithmic beyond 0.000001)")
    assert 0 in axes.get_xticks()


def test_entropies_that_hardly_differ_are_told_apart():
    test = visualisation_test({"a": [5, 3]})
    entropies = 2.3 + 0.001 * np.arange(test.scores.size).reshape(test.scores.shape)
    axes = figure_of_visualisation_nulls(replace(test, entropies=entropies), TITLE).axes[1]
    low, high = axes.get_xlim()
    assert low < entropies.min() < entropies.max() < high
    assert np.ptp(entropies) > 0.8 * (high - low)


def test_marks_of_nulls_tell_small_p_values_and_whether_they_are_corrected():
    test = visualisation_test({"a": [3] * 4, "b": [4]}, measures_entropy=False)
    figure = figure_of_visualisation_nulls(
        with_p_values(test, [0.01, 0.04, 0.06, 0.9, 0.01]), TITLE
    )
    (axes,) = figure.axes
    assert marks(axes) == [[0], [1], [2, 3], [4]]  # 4: all of layer b's units
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[-3:] == [
        "sub-cluster, p ≤ 0.05, not corrected for 4 sub-clusters",
        "sub-cluster, p > 0.05",
        "all units of its layer, of which nothing can be said",
    ]


NULLS = {
    "one": visualisation_test({"a": [5]}, n_shuffles=1, measures_entropy=False),
    "long names": visualisation_test({f"{index}{LONG}": [3, 5] for index in range(6)}),
    "sixty": visualisation_test({f"conv_{index}": [2] * 12 for index in range(5)}),
    "layers of many": visualisation_test({f"conv_{index}": [2] * 32 for index in range(20)}),
}
NULLS["extreme"] = replace(NULLS["sixty"], scores=NULLS["sixty"].scores * np.r_[-1e8, 1, 1, 1, 1])
NULLS["sure"] = replace(
    NULLS["sixty"], entropies=10 ** np.random.default_rng(0).uniform(-20, 0, (60, 5))
)
NULLS["surest"] = replace(NULLS["sixty"], entropies=np.zeros((60, 5)))
NULLS["no spread"] = replace(NULLS["sixty"], scores=np.ones((60, 5)))


@pytest.mark.parametrize("case", NULLS)
def test_nulls_of_any_size_are_legible(case):
    figure = figure_of_visualisation_nulls(NULLS[case], TITLE)
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    assert max(figure.get_size_inches()) < 15
    texts = [*figure.texts, *figure.legends[0].get_texts()]
    for axes in figure.axes:
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label]
        low, high = axes.get_xlim()
        ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
        kept = [label for place, label in ticks if low <= place <= high]
        boxes = [label.get_window_extent() for label in kept]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        for place in range(len(axes.collections)):
            shown = points(axes, place)
            assert not shown.size or low < shown[:, 0].min() <= shown[:, 0].max() < high
    for text in texts:
        if text.get_text():
            box = text.get_window_extent()
            assert min(box.x0, box.y0) > -1, text.get_text()
            assert box.x1 < width + 1, text.get_text()
            assert box.y1 < height + 1, text.get_text()
    titles = [axes.title.get_window_extent() for axes in figure.axes]
    assert not any(one.overlaps(other) for one, other in combinations(titles, 2))


def test_left_out_sub_clusters_are_counted():
    title = figure_of_visualisation_nulls(NULLS["no spread"], TITLE).axes[0].get_title()
    assert title.endswith("(60 left out: random ones without spread)")
