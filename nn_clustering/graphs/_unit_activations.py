"""What units answer to samples: all of it, or what Pearson's correlations need of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._correlation_blocks import Products, layer_pairs, own_threads, square
from nn_clustering.graphs._tables import Table, columns_at_once, parts
from nn_clustering.graphs._unit_graph import Layer

# With two samples every correlation is 1 or -1.
_FEWEST_SAMPLES = 3


@dataclass(frozen=True, eq=False)
class UnitActivations:
    """What every unit answers to every sample.

    Attributes:
        layers: The layers of units, as a graph of the network's weights names them.
        values: For each layer, float32 of shape (samples, units): an array, or a table on disk of
            which ``values[rows, units]`` reads a part. Where each position of a sample counts as
            one, they stand sample by sample.

    Raises:
        InvalidInputError: If there are no layers, an array does not fit its layer or the number
            of samples, there are fewer than 3 samples, or a value is NaN or infinite.
    """

    layers: tuple[Layer, ...]
    values: tuple[Table, ...]

    def __post_init__(self) -> None:
        if not self.layers or len(self.layers) != len(self.values):
            raise InvalidInputError(
                f"activations of {len(self.values)} layers for {len(self.layers)} layers; expected "
                "one array for each of one layer or more"
            )
        for layer, values in zip(self.layers, self.values, strict=True):
            expected = (len(self.values[0]), layer.n_units)
            if values.shape != expected:
                raise InvalidInputError(
                    f"activations of layer {layer.name!r} of shape {values.shape}; expected "
                    f"{expected}, samples by units"
                )
        check_n_samples(self.n_samples)
        for layer, values in zip(self.layers, self.values, strict=True):
            for units in parts(layer.n_units, columns_at_once(self.n_samples)):
                check_finite(layer, values[:, units])

    @property
    def n_samples(self) -> int:
        """The number of samples."""
        return len(self.values[0])

    @property
    def n_units(self) -> int:
        """The number of units in all layers."""
        return sum(layer.n_units for layer in self.layers)

    @cached_property
    def spreads(self) -> tuple[NDArray[np.float64], ...]:
        """Standard deviation (n - 1) over the samples of every unit, an array a layer."""
        return tuple(_spread(values) for values in self.values)

    def silent(self, isolated_below: float) -> NDArray[np.bool_]:
        """Whether a unit's spread is at most such a share of its layer's mean, shape (n_units,).

        What is left of its activations is rounding, whose correlations mean nothing.
        """
        return _silent(self.spreads, isolated_below)


@dataclass(frozen=True, eq=False)
class UnitMoments:
    """The moments of what every unit answers to samples, of which no sample is kept.

    Attributes:
        layers: The layers of units, as a graph of the network's weights names them.
        n_samples: The number of samples.
        products: For every two layers (each with itself and those behind it, in their order),
            float64 of shape (units, units): the sums over the samples of the products of two units'
            deviations from their means. In those within a layer the upper half counts.
    """

    layers: tuple[Layer, ...]
    n_samples: int
    products: tuple[NDArray[np.float64], ...]

    @property
    def n_units(self) -> int:
        """The number of units in all layers."""
        return sum(layer.n_units for layer in self.layers)

    @cached_property
    def spreads(self) -> tuple[NDArray[np.float64], ...]:
        """Standard deviation (n - 1) over the samples of every unit, an array a layer."""
        return tuple(np.sqrt(squares / (self.n_samples - 1)) for squares in self._squares())

    def silent(self, isolated_below: float) -> NDArray[np.bool_]:
        """Whether a unit's spread is at most such a share of its layer's mean, shape (n_units,)."""
        return _silent(self.spreads, isolated_below)

    def squared_correlations(self) -> list[NDArray[np.float32]]:
        """Return Pearson's correlations, squared, of every two layers; 0 of constant units."""
        norms = [np.sqrt(squares) for squares in self._squares()]
        scales = [np.divide(1, n, out=np.zeros_like(n), where=n > 0) for n in norms]
        blocks = []
        for products, (source, target) in zip(
            self.products, layer_pairs(len(self.layers)), strict=True
        ):
            block = np.empty(products.shape, np.float32)
            for units in parts(len(block), columns_at_once(products.shape[1])):
                block[units] = products[units] * scales[source][units, None] * scales[target]
            blocks.append(block)
        with own_threads() as pool:
            square(blocks, pool)
        return blocks

    def _squares(self) -> list[NDArray[np.float64]]:
        """Return the sums of every unit's squared deviations."""
        pairs = zip(self.products, layer_pairs(len(self.layers)), strict=True)
        return [products.diagonal() for products, (a, b) in pairs if a == b]


class MomentSums:
    """Takes the moments of some samples after others.

    To the sums of products of deviations within two groups of samples, those between the groups'
    means are added (Chan, Golub and LeVeque 1983): no digits are lost where the mean of a unit is
    large beside its spread, or the samples come in the order of their classes.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        """Begin with no samples."""
        self._layers = tuple(layers)
        self._n_samples = 0
        self._means = [np.zeros(layer.n_units) for layer in layers]
        self._products = Products([layer.n_units for layer in layers], np.float64)

    def add(self, values: Sequence[NDArray[np.float32]]) -> None:
        """Take what the units answer to more samples, for each layer of shape (samples, units)."""
        n_before, n_more = self._n_samples, len(values[0])
        self._n_samples += n_more
        share = n_more / self._n_samples
        deviations = []
        for mean, answers in zip(self._means, values, strict=True):
            more = answers.astype(np.float64)
            mean_of_more = more.mean(axis=0)
            between = mean_of_more - mean
            np.add(mean, share * between, out=mean)
            deviations.append(np.vstack([more - mean_of_more, np.sqrt(n_before * share) * between]))
        with own_threads() as pool:
            self._products.add(deviations, pool)

    def moments(self) -> UnitMoments:
        """Return those of all samples."""
        return UnitMoments(self._layers, self._n_samples, tuple(self._products.blocks))


def check_n_samples(n_samples: int) -> None:
    """Check that so many samples have correlations.

    Raises:
        InvalidInputError: If they have none.
    """
    if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer):
        raise InvalidInputError(
            f"n_samples={n_samples!r}; expected a whole number, or None for all"
        )
    if n_samples < _FEWEST_SAMPLES:
        raise InvalidInputError(
            f"n_samples={n_samples}; expected {_FEWEST_SAMPLES} or more: with fewer every "
            "correlation is 1 or -1"
        )


def check_finite(layer: Layer, values: NDArray[np.floating]) -> None:
    """Check what units of a layer answer.

    Raises:
        InvalidInputError: If it is NaN or infinite.
    """
    if not np.isfinite(values).all():
        raise InvalidInputError(
            f"activations of layer {layer.name!r} hold NaN or infinite values: check the "
            "network's weights and the samples"
        )


def _silent(spreads: Sequence[NDArray[np.float64]], isolated_below: float) -> NDArray[np.bool_]:
    return np.concatenate([of_layer <= isolated_below * of_layer.mean() for of_layer in spreads])


def _spread(values: Table) -> NDArray[np.float64]:
    """Return the standard deviation of every column, exactly 0 of a constant one."""
    spread = np.zeros(values.shape[1])
    for units in parts(values.shape[1], columns_at_once(len(values))):
        some = values[:, units]
        varies = some.max(axis=0) > some.min(axis=0)
        spread[units] = np.where(varies, some.std(axis=0, ddof=1, dtype=np.float64), 0)
    return spread
