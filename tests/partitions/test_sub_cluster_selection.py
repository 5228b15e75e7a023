"""Which sub-clusters of a partition are looked at, by layer and size."""

import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition, SizeFilter, select_sub_clusters


def of_one_layer(labels):
    labels = np.array(labels, np.int32)
    return Partition((Layer("hidden", len(labels)),), labels, int(labels.max()) + 1)


def test_size_filter_is_inclusive():
    assert SizeFilter().keeps(1, 1)
    assert SizeFilter(min_units=5).keeps(5, 100)
    assert not SizeFilter(min_units=6).keeps(5, 100)
    # 0.57 * 100 is less than 57 in floating point
    assert SizeFilter(max_share=0.57).keeps(57, 100)
    assert not SizeFilter(max_share=0.57).keeps(58, 100)


def test_selection_by_layer_and_size():
    labels = np.array([0, 0, 0, -1, 1, 2, 2, 0, 1, 1], np.int32)
    partition = Partition((Layer("a", 7), Layer("b", 3)), labels, 3)

    def selected(layers, **sizes):
        found, n_left_out = select_sub_clusters(partition, layers, SizeFilter(**sizes))
        return [(sub.layer, sub.label) for sub in found], n_left_out

    everything = [("a", 0), ("a", 1), ("a", 2), ("b", 0), ("b", 1)]
    assert selected(["a", "b"]) == (everything, 0)
    assert selected(["b"]) == (everything[3:], 0)
    assert selected(["a", "b"], min_units=2) == ([("a", 0), ("a", 2), ("b", 1)], 2)
    # of the six units that are not isolated half are in cluster 0
    assert selected(["a"], max_share=0.5) == (everything[:3], 0)
    assert selected(["a"], max_share=0.49) == (everything[1:3], 1)


def test_refuses():
    isolated = of_one_layer([0, 1])
    isolated = Partition(isolated.layers, np.full(2, -1, np.int32), 2)
    good = of_one_layer([0, 0, 1])
    cases = [
        (lambda: SizeFilter(min_units=0), "min_units=0; expected 1 or more"),
        (lambda: SizeFilter(min_units=2.0), "min_units=2.0; expected an integer"),
        (lambda: SizeFilter(min_units=True), "min_units=True; expected an integer"),
        (lambda: SizeFilter(max_share=0), "max_share=0; expected more than 0 and at most 1"),
        (lambda: SizeFilter(max_share=1.1), "max_share=1.1; expected more than 0"),
        (lambda: SizeFilter(max_share=float("nan")), "max_share=nan; expected"),
        (lambda: SizeFilter(max_share="all"), "max_share='all'; expected"),
        (lambda: select_sub_clusters(good, ["h"], SizeFilter()), "layer 'h' is not of the part"),
        (lambda: select_sub_clusters(good, [], SizeFilter()), "no sub-cluster in layers none"),
        (lambda: select_sub_clusters(isolated, ["hidden"], SizeFilter()), "no sub-cluster in la"),
        (
            lambda: select_sub_clusters(good, ["hidden"], SizeFilter(min_units=3)),
            "none of 2 sub-clusters of 1 to 2 units has at least min_units=3",
        ),
    ]
    for make, message in cases:
        with pytest.raises(InvalidInputError, match=message) as refusal:
            make()
        assert "\n" not in str(refusal.value)
