"""The drawing of a clustered network: what is drawn where, in which colour and how wide."""

import io
from collections import Counter
from itertools import combinations, pairwise
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Edges, Layer, UnitGraph
from nn_clustering.reports import ISOLATED_COLOUR, cluster_colours, draw_network
from tests.graphs.sample_graphs import (
    layered,
    mirrored,
    planted,
    random_layered,
    unit_graphs,
)

GREY = "#b0b0b0"
# Unit 1 of the middle layer (number 3) is isolated.
SMALL = layered([[2, 0, 1], [0, 0, 4]], [[5], [0], [0]])
LABELS = np.array([0, 1, 0, -1, 1, 0])


def collections(figure, label):
    """What is drawn under a name, in the order of drawing."""
    return [c for c in figure.axes[0].collections if c.get_label() == label]


def columns(figure, label="units"):
    """Of each column, the place of every dot, by colour."""
    found = []
    for column in collections(figure, label):
        by_colour = {}
        for colour, path in zip(column.get_edgecolors(), column.get_paths(), strict=True):
            by_colour.setdefault(to_hex(colour), []).append(path.vertices[::2])
        found.append({colour: np.concatenate(places) for colour, places in by_colour.items()})
    return found


def dots(column):
    return np.concatenate([np.empty((0, 2)), *column.values()])


def bands(figure, kind):
    """Ends of every band with its colour: ((x, low, high), (x, low, high), colour)."""
    found = []
    for collection in collections(figure, f"bands {kind} clusters"):
        for colour, path in zip(collection.get_facecolors(), collection.get_paths(), strict=True):
            one, far, other_far, other = path.vertices[[0, 3, 4, 7]]
            source, target = sorted([one[1], other[1]]), sorted([far[1], other_far[1]])
            found.append(((one[0], *source), (far[0], *target), to_hex(colour)))
    return found


def svg(figure):
    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "drawing"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def clustered(sizes, n_clusters, *, distant=(), within=(), keep=1.0, names=None, seed=0):
    """A graph with random labels, blocks between neighbours and where else they are asked for."""
    random = np.random.default_rng(seed)

    def weights(source, target):
        shape = (sizes[source], sizes[target])
        values = random.random(shape, dtype=np.float32)
        if keep < 1:
            values *= random.random(shape, dtype=np.float32) < keep
        return mirrored(values) if source == target else values

    pairs = [*pairwise(range(len(sizes))), *distant, *((layer, layer) for layer in within)]
    names = names or [f"layer_{index}" for index in range(len(sizes))]
    graph = UnitGraph(
        tuple(Layer(name, size) for name, size in zip(names, sizes, strict=True)),
        tuple(Edges(*pair, weights(*pair)) for pair in pairs),
    )
    labels = random.integers(n_clusters, size=graph.n_units)
    return graph, np.where(graph.isolated, -1, labels)


def like_resnet():
    """Units of a ResNet-50: bottlenecks of three layers, with a skip over each."""
    sizes, names, distant = [64], ["conv1_conv"], []
    for stage, (n_blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)], 2):
        for block in range(1, n_blocks + 1):
            distant.append((len(sizes) - 1, len(sizes) + 2))
            sizes += [width, width, 4 * width]
            names += [f"conv{stage}_block{block}_{part}_conv" for part in (1, 2, 3)]
    return clustered(sizes, 12, distant=distant, names=names)


CASES = {
    "mlp": lambda: clustered([784, 256, 256, 256, 256, 10], 12, keep=0.004),
    "cnn": lambda: clustered([64, 64, 64, 128], 64),
    "resnet": like_resnet,
    "sixty layers": lambda: clustered([30] * 60, 5, names=[f"dense_{i}" * 4 for i in range(60)]),
    "activations": lambda: clustered([40, 90], 3, within=(0, 1)),
    "one layer": lambda: clustered([200], 4, within=(0,)),
    "isolated": lambda: clustered([5, 120, 3], 2, keep=0),
    "many clusters": lambda: clustered([64, 300, 300], 32, keep=0.3),
    "small": lambda: (SMALL, LABELS),
}


def test_every_unit_is_a_dot_of_its_clusters_colour():
    graph, labels = clustered([784, 256, 30, 10], 12, keep=0.004)
    colours = [*map(to_hex, cluster_colours(12)), ISOLATED_COLOUR]
    found = columns(draw_network(graph, labels))
    assert len(set(colours)) == 9
    assert (labels < 0).any()
    for layer, column in enumerate(found):
        expected = Counter(colours[label] for label in labels[graph.units(layer)])
        assert {colour: len(places) for colour, places in column.items()} == expected
    assert len(found) == len(graph.layers)


@given(graph=unit_graphs())
@settings(max_examples=15)
def test_any_graph_is_drawn_with_every_unit_once(graph):
    labels = np.where(graph.isolated, -1, np.arange(graph.n_units) % 3)
    found = columns(draw_network(graph, labels))
    assert [len(dots(column)) for column in found] == [layer.n_units for layer in graph.layers]


@pytest.mark.parametrize("case", ["mlp", "cnn", "one layer", "small"])
def test_dots_do_not_touch_and_columns_stand_side_by_side(case):
    figure = draw_network(*CASES[case]())
    right = 0
    for collection, column in zip(collections(figure, "units"), columns(figure), strict=True):
        places = dots(column)
        radius = collection.get_linewidths()[0] / 2
        gaps = np.linalg.norm(places[:, None] - places, axis=2)
        assert gaps[~np.eye(len(places), dtype=bool)].min(initial=np.inf) > 2 * radius
        assert places[:, 0].min() - radius > right
        right = places[:, 0].max() + radius
    assert right < 72 * figure.get_figwidth()


def test_clusters_lie_in_order_and_isolated_units_at_the_bottom():
    colours = [ISOLATED_COLOUR, *map(to_hex, cluster_colours(4))]
    graph, labels = clustered([150, 40, 200], 4, keep=0.01)
    assert all((labels[graph.units(layer)] < 0).any() for layer in range(3))
    for column in columns(draw_network(graph, labels)):
        heights = [column[colour][:, 1] for colour in colours if colour in column]
        assert all(lower.max() < upper.min() for lower, upper in pairwise(heights))


def test_lines_by_hand():
    """Between clusters first, grey; widths 0.2 + 1.3 * weight / the largest of the two layers."""
    figure = draw_network(SMALL, LABELS)
    first, second = map(to_hex, cluster_colours(2))
    left, middle, right = columns(figure)
    units = [left[first][0], left[second][0], middle[first][0], None, middle[second][0],
             right[first][0]]  # fmt: skip
    found = [
        (path.vertices.tolist(), to_hex(colour), width)
        for lines in collections(figure, "lines")
        for path, colour, width in zip(
            lines.get_paths(), lines.get_edgecolors(), lines.get_linewidths(), strict=True
        )
    ]
    expected = [
        (0, 4, GREY, 0.2 + 1.3 * 1 / 4),
        (0, 2, first, 0.2 + 1.3 * 2 / 4),
        (1, 4, second, 0.2 + 1.3),
        (2, 5, first, 0.2 + 1.3),
    ]
    assert len(found) == len(expected)
    for (ends, colour, width), (source, target, expected_colour, expected_width) in zip(
        found, expected, strict=True
    ):
        assert ends == [units[source].tolist(), units[target].tolist()]
        assert colour == expected_colour
        assert width == pytest.approx(expected_width)


def test_only_the_strongest_edges_are_lines():
    graph = random_layered([20, 15], seed=0)
    figure = draw_network(graph, np.zeros(35, int), n_edges=7)
    (lines,) = collections(figure, "lines")
    # One cluster, so that the dots of a column are in the order of the units.
    at = [{tuple(place): unit for unit, place in enumerate(dots(c))} for c in columns(figure)]
    found = [
        graph.edges[0].weights[at[0][tuple(path.vertices[0])], at[1][tuple(path.vertices[1])]]
        for path in lines.get_paths()
    ]
    assert found == np.sort(graph.edges[0].weights, axis=None)[-7:].tolist()
    assert "up to 7 of two layers" in figure.get_label()


def test_bands_by_hand():
    """Three quarters of a side's weight stay within the cluster, one quarter leaves it."""
    labels = np.repeat([0, 1, 0, 1], 100)
    within = labels[:200, None] == labels[None, 200:]
    figure = draw_network(layered(np.where(within, 3, 1)), labels)
    coloured, grey = bands(figure, "within"), bands(figure, "between")
    assert [colour for *_, colour in coloured] == list(map(to_hex, cluster_colours(2)))[::-1]
    assert [colour for *_, colour in grey] == [GREY, GREY]
    for (left, low, high), (right, far_low, far_high), _ in coloured:
        assert right > left
        assert high - low == pytest.approx(far_high - far_low, abs=0.03)
    for (_, low, high), (_, far_low, far_high), _ in grey:
        assert high - low == pytest.approx(far_high - far_low, abs=0.03)
        assert high - low == pytest.approx((coloured[0][0][2] - coloured[0][0][1]) / 3, abs=0.03)
    # From the top down: cluster 1 to 1, 1 to 0, 0 to 1, 0 to 0, with a gap where clusters change.
    sides = [coloured[0][0], grey[0][0], grey[1][0], coloured[1][0]]
    gaps = [upper[1] - lower[2] for upper, lower in pairwise(sides)]
    assert gaps == pytest.approx([0, 2.5, 0], abs=0.03)


@pytest.mark.parametrize("turned", [False, True])
def test_bands_have_their_share_of_each_side(turned):
    graph, truth = planted([150, 90], 4, seed=1)
    weights = graph.edges[0].weights
    if turned:
        graph = UnitGraph(graph.layers, (Edges(1, 0, weights.T),))
    coloured = {
        colour: (source, target)
        for source, target, colour in bands(draw_network(graph, truth), "within")
    }
    totals = np.zeros((4, 4))
    for i in range(150):
        for j in range(90):
            totals[truth[i], truth[150 + j]] += weights[i, j]
    # All sub-clusters of a column have the same number of units, so that sides are alike.
    for side, expected in enumerate(
        (totals.diagonal() / totals.sum(axis=1), totals.diagonal() / totals.sum(axis=0))
    ):
        found = [coloured[to_hex(colour)][side] for colour in cluster_colours(4)]
        widths = np.array([high - low for _, low, high in found])
        assert widths / widths.mean() == pytest.approx(expected / expected.mean(), rel=0.05)


def test_bands_that_are_left_out_are_owned_up_to():
    graph, labels = clustered([100] * 6, 40)
    figure = draw_network(graph, labels)
    assert len(bands(figure, "within")) + len(bands(figure, "between")) == 5 * 800
    left_out = int(figure.get_label().split("the thinnest bands, ")[1].split("%")[0])
    # 800 of 1600 bands, the widest of them
    assert 10 < left_out < 50
    within = draw_network(graph, np.zeros(600, int))
    assert "thinnest" not in within.get_label()
    assert len(bands(within, "within")) == 5


def test_edges_within_a_layer_come_back_to_it():
    """Of a layer alone, small: loops from unit to unit; large: bands from cluster to cluster."""
    graph = UnitGraph((Layer("layer", 3),), (Edges(0, 0, mirrored(np.array([[0, 1, 4], [0, 0, 2],
                      [0, 0, 0]], float))),))  # fmt: skip
    figure = draw_network(graph, np.array([1, 1, 0]))
    (lines,) = collections(figure, "lines")
    assert sorted(lines.get_linewidths()) == pytest.approx(
        [0.2 + 1.3 / 4, 0.2 + 1.3 / 2, 0.2 + 1.3]
    )
    assert all(path.vertices[0][0] == path.vertices[-1][0] for path in lines.get_paths())
    assert "edges within the layer" in figure.get_label()

    truth = np.repeat([0, 1], 100)
    weights = np.where(truth[:, None] == truth, 3.0, 1.0)
    np.fill_diagonal(weights, 0)
    figure = draw_network(UnitGraph((Layer("layer", 200),), (Edges(0, 0, weights),)), truth)
    (grey,) = bands(figure, "between")
    coloured = bands(figure, "within")
    edge = grey[0][0]
    assert dots(columns(figure)[0])[:, 0].max() < edge
    for source, target, _ in [grey, *coloured]:
        assert source[0] == target[0] == edge
        assert target[2] <= source[1]
    # 99 * 3 of 99 * 3 + 100 of the weight at a unit stay within its cluster.
    between = grey[0][2] - grey[0][1]
    within = sum(high - low for _, low, high in coloured[0][:2])
    assert within / (within + between) == pytest.approx(297 / 397, abs=0.005)


def test_skip_is_an_arc_striped_by_shares():
    graph, labels = clustered([6, 4, 5], 2, distant=[(2, 0)])
    labels = np.array([0, 1] * 7 + [0])
    figure = draw_network(graph, labels)
    (arc,) = collections(figure, "arc")
    block = graph.edges[-1].weights
    same = labels[11 - 1 :][:, None] == labels[:6]
    totals = [block[same & (labels[10:][:, None] == label)].sum() for label in (0, 1)]
    shares = np.array([*totals, block[~same].sum()]) / block.sum()
    widths = np.array(arc.get_linewidths())
    assert widths / widths.sum() == pytest.approx(shares, rel=1e-5)
    assert list(map(to_hex, arc.get_edgecolors()[:2])) == list(map(to_hex, cluster_colours(2)))
    top = max(dots(column)[:, 1].max() for column in columns(figure))
    for path in arc.get_paths():
        assert path.vertices[0][1] < path.vertices[2:6, 1].min()
        assert path.vertices[2:6, 1].min() > top
        assert path.vertices[0][0] < path.vertices[-1][0]


def test_arcs_over_the_same_columns_do_not_cross():
    graph, labels = clustered([4] * 5, 2, distant=[(0, 2), (1, 3), (0, 3), (2, 4)])
    levels = [
        (arc.get_paths()[0].vertices[0][0], arc.get_paths()[0].vertices[-1][0],
         arc.get_paths()[0].vertices[2][1])
        for arc in collections(draw_network(graph, labels), "arc")
    ]  # fmt: skip
    assert len(levels) == 4
    for one, other in combinations(levels, 2):
        if one[0] < other[1] and other[0] < one[1]:
            assert abs(one[2] - other[2]) > 3  # as wide as an arc


def test_what_there_is_no_room_for_is_said():
    pairs = [(i, j) for i in range(12) for j in range(i + 2, 12)]
    graph, labels = clustered([3] * 12, 2, distant=pairs)
    figure = draw_network(graph, labels)
    n_arcs = len(collections(figure, "arc"))
    assert 0 < n_arcs < len(pairs)
    assert f"edges of {len(pairs) - n_arcs} pairs of layers" in figure.get_label()
    assert "pairs" not in draw_network(*clustered([3] * 3, 2, distant=[(0, 2)])).get_label()


def test_many_layers_are_drawn_in_rows():
    """A row begins, in pale, with the last layer of the row above, so that no edges are cut."""
    graph, labels = clustered([6] * 45, 3)
    figure = draw_network(graph, labels)
    found, repeated = columns(figure), columns(figure, "repeated units")
    assert [len(dots(column)) for column in found] == [6] * 45
    assert [len(dots(column)) for column in repeated] == [6, 6]
    heights = np.sort([dots(column)[:, 1].mean() for column in found])
    assert (np.diff(heights) > 30).sum() == 2
    assert len(collections(figure, "lines")) == 44
    assert collections(figure, "repeated units")[0].get_alpha() < 1


def test_names_of_layers_and_clusters():
    figure = draw_network(SMALL, LABELS)
    names = [text.get_text() for text in figure.axes[0].texts]
    assert names == ["layer_0", "2", "layer_1", "3", "(1 isolated)", "layer_2", "1"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1 (2)", "0 (3)", "isolated (1)"]
    all_connected = draw_network(layered([[1]]), np.array([0, 1]))
    texts = [text.get_text() for text in all_connected.legends[0].get_texts()]
    assert texts == ["1 (1)", "0 (1)"]


def test_caption_is_no_part_of_the_picture():
    figure = draw_network(SMALL, LABELS)
    assert figure.get_label().startswith("A column is a layer, a dot a unit. Isolated units")
    assert not any("." in text.get_text() for text in figure.findobj(Text))


def numbers(figure):
    """Of each column of the only row, the height of every cluster's number."""
    by_column = {}
    for text in figure.axes[0].texts:
        if text.get_label() == "number":
            x, y = text.get_position()
            assert by_column.setdefault(x, {}).setdefault(int(text.get_text()), y) == y
    return [by_column[x] for x in sorted(by_column)]


@pytest.mark.parametrize("case", ["mlp", "cnn"])
def test_sub_clusters_have_numbers_where_colours_repeat(case):
    """Beside the middle of the dots, or else a line leads there."""
    graph, labels = CASES[case]()
    figure = draw_network(graph, labels)
    units, leaders = collections(figure, "units"), collections(figure, "leaders")
    led = {(line[0][1], line[1][1]) for lines in leaders for line in lines.get_segments()}
    found = numbers(figure)
    assert len(found) == len(graph.layers)
    for layer, (heights, column) in enumerate(zip(found, units, strict=True)):
        of_layer = labels[graph.units(layer)]
        assert heights.keys() == set(of_layer[of_layer >= 0].tolist())
        # sub-clusters from the top down, isolated units below all
        for label, path in zip(sorted(heights, reverse=True), column.get_paths(), strict=False):
            middle = (path.vertices[:, 1].min() + path.vertices[:, 1].max()) / 2
            assert heights[label] == pytest.approx(middle, abs=1) or any(
                abs(start - middle) < 1 and abs(end - heights[label]) < 0.1 for start, end in led
            )


def test_sub_clusters_have_no_numbers_where_colours_tell():
    assert numbers(draw_network(*clustered([40, 90], 8))) == []


def test_numbers_that_there_is_no_room_for_are_those_of_the_smallest():
    labels = np.repeat(np.arange(100), np.r_[np.full(60, 3), np.ones(40, int)])
    graph = UnitGraph((Layer("layer", labels.size),), ())
    figure = draw_network(graph, labels)
    (found,) = numbers(figure)
    assert set(range(60)) < found.keys()
    assert f"the numbers of {100 - len(found)} sub-clusters" in figure.get_label()


def test_legend_is_read_line_by_line():
    figure = draw_network(*clustered([40, 40], 19, seed=2))
    FigureCanvasAgg(figure).draw()
    texts = figure.legends[0].get_texts()
    places = {text: text.get_window_extent() for text in texts}
    in_reading_order = sorted(texts, key=lambda text: (-round(places[text].y0), places[text].x0))
    clusters = [int(text.get_text().split(" ")[0]) for text in in_reading_order]
    assert clusters == list(range(19))[::-1]


@pytest.mark.parametrize("case", CASES)
def test_text_is_large_enough_and_does_not_overlap(case):
    figure = draw_network(*CASES[case]())
    assert figure.get_figwidth() * 2.54 == pytest.approx(17)
    assert figure.get_figheight() * 2.54 < 27
    FigureCanvasAgg(figure).draw()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= 6
    boxes = [text.get_window_extent() for text in texts]
    for box in boxes:
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    # The room above and below the letters may overlap.
    places = [(text.get_text(), box.padded(-1)) for text, box in zip(texts, boxes, strict=True)]
    for (one, box), (other, other_box) in combinations(places, 2):
        assert not box.overlaps(other_box), (one, other)


def test_bands_end_at_dots_of_their_cluster():
    graph, labels = clustered([500, 100], 5)
    figure = draw_network(graph, labels)
    left, right = columns(figure)
    for source, target, colour in bands(figure, "within"):
        for (x, low, high), column in ((source, left), (target, right)):
            places = column[colour]
            # half of a dot's room, and no more, lies beyond the outermost dots
            assert places[:, 1].min() - 2 < low <= high < places[:, 1].max() + 2
            assert np.abs(places[:, 0] - x).min() < 2


def test_svg_is_text_and_reproducible():
    graph, labels = clustered([30, 200, 10], 4, keep=0.05, distant=[(0, 2)],
                              names=["<in> & out", "$x^2$", "ä"])  # fmt: skip
    content = svg(draw_network(graph, labels))
    assert svg(draw_network(graph, labels)) == content
    root = ElementTree.fromstring(content)
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<in> & out", "$x^2$", "ä", "30", "cluster (units)"} <= set(texts)
    assert b"<dc:date>" not in content


@pytest.mark.parametrize("case", ["resnet", "mlp"])
def test_svg_of_a_large_network_is_not_large(case):
    graph, labels = CASES[case]()
    assert graph.n_units > (20_000 if case == "resnet" else 1_000)
    assert len(svg(draw_network(graph, labels))) < (2.2e6 if case == "resnet" else 3e5)


def test_dots_reach_the_pixels():
    """Strokes almost without length are dots in a picture too."""
    graph, labels = clustered([400], 1, keep=0)
    figure = draw_network(graph, labels)
    canvas = FigureCanvasAgg(figure)
    figure.set_dpi(144)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    for x, y in dots(columns(figure)[0]):
        assert pixels[int(-2 * y), int(2 * x)].max() < 240


@pytest.mark.parametrize("sizes", [[], [0, 3], [1]])
def test_graphs_without_edges(sizes):
    graph = UnitGraph(tuple(Layer(f"layer_{i}", size) for i, size in enumerate(sizes)), ())
    figure = draw_network(graph, np.full(sum(sizes), -1))
    assert [len(dots(column)) for column in columns(figure)] == [size for size in sizes if size]
    assert svg(figure).endswith(b"</svg>\n")


def test_wrong_number_of_labels_refused():
    with pytest.raises(InvalidInputError, match=r"labels of shape \(5,\); expected one .* 6 units"):
        draw_network(SMALL, LABELS[:-1])
