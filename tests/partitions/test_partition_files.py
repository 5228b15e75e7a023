"""Partitions from files: round trips, and what is said of a file that does not fit."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition, read_partition
from tests.graphs.sample_graphs import layered

# Layers of 3 and 2 units; unit 2 of the first and none of the second is isolated.
GRAPH = layered([[1, 2], [3, 4], [0, 0]])
FIRST, SECOND = GRAPH.layers
LABELS = np.array([1, 0, -1, 2, 0], np.int32)
PARTITION = Partition(GRAPH.layers, LABELS, 3)
CSV = "layer,unit,label\nlayer_0,0,1\nlayer_0,1,0\nlayer_0,2,-1\nlayer_1,0,2\nlayer_1,1,0\n"


def read(content):
    content = content if isinstance(content, bytes) else content.encode()
    return read_partition(content, "my partition", GRAPH)


def assert_same(found):
    assert found.layers == GRAPH.layers
    assert found.labels.tolist() == LABELS.tolist()
    assert found.labels.dtype == np.int32
    assert found.n_clusters == 3


def test_csv():
    assert PARTITION.to_csv() == CSV
    assert_same(read(CSV))


def test_npz():
    assert_same(read(PARTITION.to_npz()))


def test_layers_and_units_in_any_order():
    lines = CSV.splitlines()
    assert_same(read("\n".join([lines[0], *lines[:0:-1]])))
    turned = Partition((SECOND, FIRST), LABELS[[3, 4, 0, 1, 2]], 3)
    assert_same(read(turned.to_npz()))


def test_csv_as_other_programs_write_it():
    """With a byte order mark, CRLF, quotes, columns of one's own, and without isolated units."""
    rows = [line.split(",") for line in CSV.splitlines() if not line.endswith("-1")]
    quoted = "\r\n".join(f'"{label}",x,{unit},"{layer}"' for layer, unit, label in rows)
    assert_same(read(b"\xef\xbb\xbf" + quoted.encode()))


def test_npz_keeps_its_number_of_clusters():
    assert read(Partition(GRAPH.layers, LABELS, 7).to_npz()).n_clusters == 7


def edited(old, new):
    assert old in CSV
    return CSV.replace(old, new)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the first line is ''; expected a partition.npz, or CSV with the columns layer, unit"),
        ("a,b\n1,2\n", "the first line is 'a,b'"),
        (b"\xff\xfe\x00", "cannot be read as text"),
        (b"PK\x03\x04 nothing of use", "not the .npz file of a partition"),
        (edited("layer_1,1,0", ""), "1 units that have edges are missing, first unit 1 of .*_1"),
        (edited("layer_1,1,0", "layer_1,0,0"), "line 6: unit 0 of layer 'layer_1' is there twice"),
        (edited("layer_1,1,0", "conv,1,0"), "line 6: unknown layer 'conv'; expected .* layer_1"),
        (edited("layer_1,1,0", "layer_1,2,0"), "unit 2 of layer 'layer_1'; expected 0 to 1"),
        (edited("layer_1,1,0", "layer_1,-1,0"), "unit -1 of layer 'layer_1'; expected 0 to 1"),
        (edited("layer_1,1,0", "layer_1,1,5"), "line 6: label 5; expected a cluster, 0 to 4, or"),
        (edited("layer_1,1,0", "layer_1,1,-2"), "line 6: label -2"),
        (edited("layer_1,1,0", "layer_1,1,0.5"), "line 6: unit '1', label '0.5'; expected two"),
        (edited("layer_1,1,0", "layer_1,1"), "line 6: unit '1', label None"),
        (
            edited("layer_1,1,0", "layer_1,1,-1"),
            "unit 1 of layer 'layer_1' has .* -1 and has edges",
        ),
        (edited("layer_0,2,-1", "layer_0,2,1"), "unit 2 of layer 'layer_0' .* 1 and is isolated"),
        (Partition((FIRST,), LABELS[:3], 3).to_npz(), "layer 'layer_1' is missing"),
        (
            Partition((FIRST, Layer("layer_1", 1)), LABELS[:4], 3).to_npz(),
            "layer 'layer_1' has 1 units; expected 2",
        ),
        (
            Partition((FIRST, Layer("dense", 2)), LABELS, 3).to_npz(),
            "unknown layer 'dense'; expected the layers layer_0 .3 units., layer_1",
        ),
        (
            Partition(GRAPH.layers, LABELS * 0, 3).to_npz(),
            "unit 2 of layer 'layer_0' has the label",
        ),
    ],
)
def test_refused(content, message):
    with pytest.raises(InvalidInputError, match=message) as refusal:
        read(content)
    assert str(refusal.value).startswith("my partition: ")
    assert "\n" not in str(refusal.value)
