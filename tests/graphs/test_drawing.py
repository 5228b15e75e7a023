"""The drawing of a clustered network: what is drawn where, in which colour and how wide."""

import io
from itertools import combinations, pairwise

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgba

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import ISOLATED_COLOUR, cluster_colours, draw_network
from tests.graphs.sample_graphs import layered, random_layered

# Unit 1 of the middle layer (number 3) is isolated.
SMALL = layered([[2, 0, 1], [0, 0, 4]], [[5], [0], [0]])
LABELS = np.array([0, 1, 0, -1, 1, 0])


@pytest.mark.parametrize("n_clusters", range(65))
def test_colours_differ_and_none_is_grey(n_clusters):
    colours = cluster_colours(n_clusters)
    assert len(colours) == n_clusters
    assert len({to_hex(colour) for colour in colours}) == n_clusters
    for red, green, blue, alpha in colours:
        assert alpha == 1
        assert max(red, green, blue) - min(red, green, blue) > 0.15
    for one, other in pairwise(colours):
        assert np.linalg.norm(np.subtract(one, other)) > 0.25
    least = 0.25 if n_clusters <= 20 else 0.08
    for one, other in combinations(colours, 2):
        assert np.linalg.norm(np.subtract(one, other)) > least


def drawn(graph, labels, **options):
    """The figure's edges as a line collection and its units as a point collection."""
    axes = draw_network(graph, labels, **options).axes[0]
    lines, points = axes.collections
    return lines, points


def test_saves_as_png():
    buffer = io.BytesIO()
    draw_network(SMALL, LABELS).savefig(buffer)
    assert buffer.getvalue().startswith(b"\x89PNG\r\n\x1a\n")
    assert len(buffer.getvalue()) > 5000


def test_hundreds_of_units_and_a_layer_without_edges():
    graph = random_layered([300, 200, 1, 10], seed=0, keep=0.2)
    graph = graph.with_weights([*[block.weights for block in graph.edges[:2]], np.zeros((1, 10))])
    labels = np.where(graph.isolated, -1, np.arange(graph.n_units) % 30)
    buffer = io.BytesIO()
    draw_network(graph, labels).savefig(buffer)
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_places_by_hand():
    """Columns by layer; within one the highest label on top and isolated units at the bottom."""
    _, points = drawn(SMALL, LABELS)
    assert points.get_offsets().tolist() == [
        *([0, 0], [0, 1]),
        *([1, 0.5], [1, 0], [1, 1]),
        [2, 0.5],
    ]


def test_colours_of_units():
    _, points = drawn(SMALL, LABELS)
    first, second = cluster_colours(2)
    grey = to_rgba(ISOLATED_COLOUR)
    expected = [first, second, first, grey, second, first]
    assert np.allclose(points.get_facecolors(), expected)


def test_edges_by_hand():
    """Between clusters first, grey; widths 0.2 + 1.3 * weight / the largest of the two layers."""
    lines, points = drawn(SMALL, LABELS)
    at = [tuple(place) for place in points.get_offsets().tolist()]
    segments = [tuple(map(tuple, segment.tolist())) for segment in lines.get_segments()]
    assert segments[0] == (at[0], at[4])
    widths = dict(zip(segments, np.ravel(lines.get_linewidths()).tolist(), strict=True))
    assert widths == pytest.approx(
        {
            (at[0], at[4]): 0.2 + 1.3 * 1 / 4,
            (at[0], at[2]): 0.2 + 1.3 * 2 / 4,
            (at[1], at[4]): 0.2 + 1.3,
            (at[2], at[5]): 0.2 + 1.3,
        }
    )
    colours = {segment: to_hex(c) for segment, c in zip(segments, lines.get_colors(), strict=True)}
    first, second = map(to_hex, cluster_colours(2))
    assert colours == {
        (at[0], at[4]): "#b0b0b0",
        (at[0], at[2]): first,
        (at[1], at[4]): second,
        (at[2], at[5]): first,
    }


def test_only_the_strongest_edges_are_drawn():
    graph = random_layered([20, 15], seed=0)
    lines, points = drawn(graph, np.zeros(35, int), n_edges=7)
    at = {tuple(place): unit for unit, place in enumerate(points.get_offsets().tolist())}
    found = sorted(
        graph.edges[0].weights[at[tuple(source)], at[tuple(target)] - 20]
        for source, target in (segment.tolist() for segment in lines.get_segments())
    )
    assert found == np.sort(graph.edges[0].weights, axis=None)[-7:].tolist()


def test_names_of_layers_and_clusters():
    figure = draw_network(SMALL, LABELS)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"layer_0\n2", "layer_1\n3", "layer_2\n1"}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1", "0", "isolated"]
    all_connected = draw_network(layered([[1]]), np.array([0, 1]))
    assert [text.get_text() for text in all_connected.legends[0].get_texts()] == ["1", "0"]


def test_wrong_number_of_labels_refused():
    with pytest.raises(InvalidInputError, match=r"labels of shape \(5,\); expected one .* 6 units"):
        draw_network(SMALL, LABELS[:-1])
