"""What the units of a layer answer, before and after their nonlinearity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from nn_clustering.graphs import (
    UnitLayers,
    UnitSet,
    active_unit_sets,
    by_residual_rule,
    unit_layers,
    unit_sets,
    weight_readers,
)
from nn_clustering.networks.structure import (
    NetworkWeights,
    UnitPlaces,
    Walk,
    around_nonlinearity,
    before_nonlinearity,
)

# All that a network has of units, so that every partition finds its own among them.
_ALL = {"inputs": True, "dense_layers": True}


@dataclass(frozen=True, eq=False)
class UnitValues:
    """Where the values of the units of a layer stand.

    Attributes:
        n_units: Number of units.
        pre: Before their nonlinearity.
        post: After it; the same where there is none.
    """

    n_units: int
    pre: UnitPlaces
    post: UnitPlaces

    def at(self, position: str) -> UnitPlaces:
        """Return the one of the two that is called so."""
        return self.pre if position == "pre" else self.post


def hidden_units(
    walk: Walk, weights: NetworkWeights, residual: str | None
) -> tuple[UnitLayers, dict[str, UnitValues]]:
    """Return the layers of a network, and where the values of the hidden ones stand.

    Hidden are all units that weights lead into and a weight layer reads, and all filters: every
    unit that a graph of weights or of activations can have, but for inputs and outputs.

    Args:
        walk: The steps of the network.
        weights: Its weights.
        residual: By which rule the layers of units are named; see
            :func:`~nn_clustering.graphs.graph_of_weights`. The values of a copied set are those on
            the way to its one reader: of the last nonlinearity before it.

    Raises:
        InvalidInputError: As of :func:`~nn_clustering.graphs.unit_layers`.
    """
    layers = unit_layers(weights, residual=residual)
    copied = by_residual_rule(weights, residual)
    names = dict.fromkeys(layers.hidden)
    if residual != "copied":
        sizes = layers.sizes
        names |= dict.fromkeys(
            units.name for units in active_unit_sets(copied) if len(sizes.get(units.name, ())) == 1
        )
    read = _read_places(copied)
    found = {
        units.name: _values_of(walk, units, read[index])
        for index, units in enumerate(unit_sets(copied, **_ALL))
        if units.name in names and units.arises_from != "input"
    }
    return layers, found


def _read_places(weights: NetworkWeights) -> Mapping[int, UnitPlaces | None]:
    """Return where the units of every set are read by the first weight layer that reads them."""
    found: dict[int, UnitPlaces | None] = dict.fromkeys(range(len(unit_sets(weights, **_ALL))))
    for reader in weight_readers(weights, **_ALL):
        for part, source in zip(reader.parts, reader.sources, strict=True):
            if source is not None and found[source] is None:
                rows = np.empty((part.rows.shape[0] * part.rows.shape[1], part.units.size), int)
                rows[:, part.units] = part.rows.reshape(rows.shape)
                found[source] = UnitPlaces(reader.tensor, rows)
    return found


def _values_of(walk: Walk, units: UnitSet, read: UnitPlaces | None) -> UnitValues:
    if units.arises_from == "copy":
        assert read is not None
        pre, post = before_nonlinearity(walk, read) or (read, read)
        return UnitValues(units.n_units, pre, post)
    arise = UnitPlaces.all_of(units.tensor, units.n_units)
    before, after = around_nonlinearity(walk, units.tensor)
    if before != after:
        return UnitValues(
            units.n_units,
            UnitPlaces(before, arise.rows),
            UnitPlaces(after, arise.rows),
        )
    # values that a reshape makes maps of may have passed it already
    passed = before_nonlinearity(walk, arise) if units.arises_from == "reshape" else None
    return UnitValues(units.n_units, *(passed or (arise, arise)))


def spatial_means(places: UnitPlaces, tensor: tf.Tensor) -> tf.Tensor:
    """Return the means over positions of units' maps, or their values, (samples, units)."""
    positions = list(range(1, tensor.shape.rank - 1))
    values = tf.cast(tensor, tf.float32)
    values = tf.reduce_mean(values, axis=positions) if positions else values
    rows = places.rows
    if np.array_equal(rows, np.arange(values.shape[-1])[None]):
        return values
    if len(rows) == 1 and (np.diff(rows[0]) == 1).all():
        return values[:, rows[0, 0] : rows[0, -1] + 1]
    chosen = tf.gather(values, rows.ravel(), axis=1)
    return tf.reduce_mean(tf.reshape(chosen, (-1, *rows.shape)), axis=1)
