"""Lesions of whole heads of attention (methods: whole heads)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.lesions._single_results import LesionTest
from nn_clustering.partitions import Partition, check_possible_draws
from nn_clustering.significance import benjamini_hochberg

if TYPE_CHECKING:
    import pandas

# At which false discovery rate heads are called important.
LEVEL = 0.05


def partition_into_heads(n_units: Mapping[str, int], n_heads: Mapping[str, int]) -> Partition:
    """Return the value channels of attention layers in clusters that are the heads of each.

    So a :func:`~nn_clustering.lesions.lesion_test` of it lesions every head beside as many random
    value channels of its layer.

    Args:
        n_units: Value channels of every layer, those of a head one behind the other.
        n_heads: Heads of every layer, by its name; with grouped queries those of keys and values.

    Raises:
        InvalidInputError: If there is no layer with heads.
    """
    if not n_heads:
        raise InvalidInputError(
            "the network has no heads to lesion; expected an attention layer whose values are "
            "units where they arise (of residual=copied they are where they are read)"
        )
    labels = [
        np.repeat(np.arange(heads, dtype=np.int32), n_units[name] // heads)
        for name, heads in n_heads.items()
    ]
    layers = tuple(Layer(name, n_units[name]) for name in n_heads)
    return Partition(layers, np.concatenate(labels), max(n_heads.values()))


def check_head_lesions(heads: Partition, n_shuffles: int) -> None:
    """Check that there are random value channels to compare heads with.

    Args:
        heads: The heads.
        n_shuffles: Random sets of channels for each.

    Raises:
        InvalidInputError: If every layer has a single head, or too few channels for so many draws.
    """
    names = [layer.name for layer in heads.layers]
    if heads.n_clusters == 1:
        raise InvalidInputError(
            f"a single head in each of {', '.join(names)}: no other value channels can be drawn to "
            "compare it with; expected a layer of several"
        )
    check_possible_draws(heads, names, n_shuffles)


@dataclass(frozen=True, eq=False)
class HeadLesions:
    """What lesions of whole heads gave, each beside as many random value channels of its layer.

    Attributes:
        test: The test, in which a sub-cluster is a head, whose label is its number.
    """

    test: LesionTest

    @property
    def names(self) -> tuple[tuple[str, int], ...]:
        """Layer and number of every head."""
        return tuple((sub.layer, sub.label) for sub in self.test.sub_clusters)

    @property
    def important(self) -> NDArray[np.bool_]:
        """Which heads do more harm than random channels, at a false discovery rate of 0.05.

        Of all heads but those that are all of their layer, by the p-values of importance. Shape
        (heads,).
        """
        importance = self.test.importance
        found = np.zeros(len(self.names), bool)
        tested = importance.combined
        if tested.any():
            p_values = importance.p_values[tested]
            found[tested] = benjamini_hochberg(p_values, LEVEL).significant
        return found

    def table(self) -> pandas.DataFrame:
        """Return one row a head, as :meth:`LesionTest.table` one a sub-cluster.

        ``head`` is its number within the layer. There are no kinds, whose sizes are those of
        clusters.
        """
        found = self.test.table().drop(columns="kind")
        found.insert(list(found.columns).index("combined"), "important", self.important)
        return found.rename(columns={"label": "head", "n_units": "n_channels"})

    def class_changes(self) -> pandas.DataFrame:
        """Return one row for each head and class or group, as :meth:`LesionTest.class_changes`."""
        return self.test.class_changes().rename(columns={"label": "head"})

    def important_by_layer(self) -> Iterator[tuple[str, list[int]]]:
        """Yield the layers that have important heads, with their numbers."""
        found: dict[str, list[int]] = {}
        for (layer, head), is_important in zip(self.names, self.important, strict=True):
            if is_important:
                found.setdefault(layer, []).append(head)
        yield from found.items()

    def result(self, seed: int) -> dict[str, Any]:
        """Return what a run holds of it: counts, important heads, and both measures of all."""
        return {
            "n_heads": len(self.names),
            "n_important": int(self.important.sum()),
            "important": [
                {"layer": layer, "heads": numbers} for layer, numbers in self.important_by_layer()
            ],
            "importance": self.test.importance.summary(seed),
            "coherence": self.test.coherence.summary(seed),
        }
