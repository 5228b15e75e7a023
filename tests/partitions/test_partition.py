"""Partitions: sub-clusters by hand, what is refused, and the file."""

import io

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition

LAYERS = (Layer("input", 4), Layer("hidden", 3), Layer("output", 2))
LABELS = np.array([2, 0, -1, 2, 1, 1, -1, 0, 2], np.int32)
PARTITION = Partition(LAYERS, LABELS, 4)


def test_by_layer():
    found = [(layer.name, labels.tolist()) for layer, labels in PARTITION.by_layer()]
    assert found == [("input", [2, 0, -1, 2]), ("hidden", [1, 1, -1]), ("output", [0, 2])]


def test_cluster_sizes():
    assert PARTITION.cluster_sizes() == [2, 2, 3, 0]


def test_sub_clusters():
    found = [(s.layer, s.label, s.units.tolist()) for s in PARTITION.sub_clusters()]
    assert found == [
        ("input", 0, [1]),
        ("input", 2, [0, 3]),
        ("hidden", 1, [0, 1]),
        ("output", 0, [0]),
        ("output", 2, [1]),
    ]


def test_sub_clusters_of_some_layers():
    found = [(s.layer, s.label) for s in PARTITION.sub_clusters(("output", "hidden"))]
    assert found == [("hidden", 1), ("output", 0), ("output", 2)]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:-1], r"int32 labels of shape \(8,\); expected one integer for each of 9"),
        (LABELS.reshape(3, 3), r"shape \(3, 3\)"),
        (LABELS.astype(float), "float64 labels"),
        (np.where(LABELS == 2, 4, LABELS), "labels -1 to 4; expected -1 .* to 3"),
        (np.where(LABELS == -1, -2, LABELS), "labels -2 to 2"),
    ],
)
def test_refused(labels, message):
    with pytest.raises(InvalidInputError, match=message):
        Partition(LAYERS, labels, 4)


def test_npz_round_trip():
    read = Partition.from_npz(PARTITION.to_npz())
    assert read.layers == LAYERS
    assert read.n_clusters == 4
    assert read.labels.dtype == np.int32
    assert read.labels.tolist() == LABELS.tolist()


def rewritten(**changes):
    with np.load(io.BytesIO(PARTITION.to_npz())) as archive:
        arrays = {**archive, **changes}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": None},
        {"labels": LABELS[1:]},
        {"labels": LABELS + 9},
        {"labels": LABELS.astype(str)},
        {"labels": np.array([{}] * 9)},
        {"layer_units": np.array([4, 3])},
        {"n_clusters": np.array([1, 2])},
        {"n_clusters": np.array("four")},
    ],
    ids=str,
)
def test_wrong_arrays_refused(changes):
    assert Partition.from_npz(rewritten()).layers == LAYERS
    with pytest.raises(InvalidInputError):
        Partition.from_npz(rewritten(**changes))


def test_what_is_no_npz_is_refused():
    array = io.BytesIO()
    np.save(array, np.ones(3))
    for content in (b"", b"some text", array.getvalue()):
        with pytest.raises(InvalidInputError, match=r"not the \.npz file of a partition"):
            Partition.from_npz(content)


def test_damage_is_refused_or_harmless():
    content = PARTITION.to_npz()
    refused = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        for candidate in (bytes(damaged), content[:place]):
            try:
                read = Partition.from_npz(candidate)
            except InvalidInputError:
                refused += 1
            else:
                assert read.layers == LAYERS
                assert read.labels.tolist() == LABELS.tolist()
    assert refused > len(content)
