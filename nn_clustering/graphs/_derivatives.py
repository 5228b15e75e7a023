"""Derivatives of the values of a set of units by those of the units before them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import (
    Step,
    Walk,
    is_plain,
    layer_kind,
    states_with_added,
)


@dataclass(frozen=True)
class Leaf:
    """A tensor by which derivatives are taken, and the set of units whose values it holds.

    Attributes:
        tensor: Number of the tensor.
        source: Index of the set.
        n_units: Number of its units.
        is_of_tokens: Whether it holds numbers of tokens, of which each is a unit of the values 0
            and 1.
    """

    tensor: int
    source: int
    n_units: int
    is_of_tokens: bool = False

    def n_positions(self, value: tf.Tensor) -> int:
        """Return how many positions of a sample the tensor has."""
        n_values = int(math.prod(value.shape[1:]))
        return n_values if self.is_of_tokens else n_values // self.n_units


def one_hot(leaf: Leaf, value: tf.Tensor) -> tf.Tensor:
    """Return the values of the units of a leaf, on the last axis: of tokens zeros and ones."""
    return tf.one_hot(tf.cast(value, tf.int32), leaf.n_units) if leaf.is_of_tokens else value


@dataclass(frozen=True, eq=False)
class ReadingLayer:
    """A weight layer: its step, and the leaves that it reads."""

    step: Step
    leaves: tuple[Leaf, ...]

    @property
    def _reads_tokens(self) -> bool:
        return any(leaf.is_of_tokens for leaf in self.leaves)

    def channel(self, value: tf.Tensor, channel: tf.Tensor) -> tf.Tensor:
        """Return one channel of what the layer makes of the value that it reads.

        Dense layers and plain convolutions compute no other; the bias, which has no derivative, is
        left out.
        """
        layer = self.step.operation
        if self._reads_tokens:
            return tf.tensordot(value, layer.embeddings[:, channel], 1)
        if not is_plain(layer) or self.step.n_times:
            return self.all_channels(value)[..., channel]
        if not layer_kind(layer).convolves:
            return tf.tensordot(value, layer.kernel[:, channel], 1)
        return keras.ops.conv(
            value,
            layer.kernel[..., channel, None],
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )[..., 0]

    def all_channels(self, value: tf.Tensor) -> tf.Tensor:
        """Return what the layer makes of the value that it reads, of tokens zeros and ones."""
        if self._reads_tokens:
            return tf.tensordot(value, self.step.operation.embeddings, 1)
        return self.step.run(lambda number: value)[0]

    def read(
        self, walk: Walk, given: Mapping[Leaf, tf.Tensor], constants: Mapping[int, tf.Tensor]
    ) -> Any:
        """Return what the layer reads, as a function of its leaves.

        Args:
            walk: The steps of the network.
            given: The values of the leaves.
            constants: Tensors by their number.
        """
        leaves = {leaf.tensor: given[leaf] for leaf in self.leaves}
        (number,) = self.step.inputs
        return walk.run({**constants, **leaves}, [number])[number]


@dataclass(frozen=True, eq=False)
class ReadingStates(ReadingLayer):
    """A recurrent layer as it reads its own states: its one leaf."""

    def read(
        self, walk: Walk, given: Mapping[Leaf, tf.Tensor], constants: Mapping[int, tf.Tensor]
    ) -> Any:
        """Return what the layer reads of the layers before it, and its states."""
        (number,) = self.step.inputs
        (leaf,) = self.leaves
        return walk.run(constants, [number])[number], given[leaf]

    def all_channels(self, value: Any) -> tf.Tensor:
        """Return what the layer makes, as a function of the states that it reads."""
        x, states = value
        nothing = states - tf.stop_gradient(states)
        # at each time those of the time before
        earlier = tf.pad(nothing[:, :-1], [[0, 0], [1, 0], [0, 0]])
        made = states_with_added(self.step.operation, x, earlier)
        return made if len(self.step.outputs) == 1 else made[:, -1]


@dataclass(frozen=True, eq=False)
class Target:
    """A set of units whose derivatives are taken.

    Attributes:
        walk: The steps of the network.
        index: Which set it is.
        n_units: Number of its units.
        tensor: Number of the tensor that holds their values.
        layers: The weight layers that lead into it.
        constants: Numbers of the network's input and of the tensors that all weight layers make.
        keeps_apart: Whether channel v of every such layer leads into unit v alone.
    """

    walk: Walk
    index: int
    n_units: int
    tensor: int
    layers: tuple[ReadingLayer, ...]
    constants: tuple[int, ...]
    keeps_apart: bool

    @property
    def leaves(self) -> list[Leaf]:
        """What the layers read of other units, each once."""
        return list(dict.fromkeys(leaf for layer in self.layers for leaf in layer.leaves))

    def check(self, values: Mapping[int, tf.Tensor]) -> None:
        """Check what the layers make: a derivative may be a number where a value is none.

        Raises:
            InvalidInputError: If it is NaN or infinite.
        """
        for layer in self.layers:
            if not tf.reduce_all(tf.math.is_finite(values[layer.step.outputs[0]])):
                raise InvalidInputError(
                    f"layer {layer.step.name!r} of network {self.walk.name!r} makes NaN or "
                    "infinite values of the samples: check its weights and the samples"
                )

    def derivatives(self, values: Mapping[int, tf.Tensor]) -> list[tf.Tensor]:
        """Return sums over samples and positions of absolute derivatives, (units, source units).

        Args:
            values: The tensors of the leaves and the constants.

        Returns:
            One matrix for each of the leaves.
        """
        constants = {number: values[number] for number in self.constants}
        leaves = [one_hot(leaf, values[leaf.tensor]) for leaf in self.leaves]
        by_layer = self._by_layer(constants) if self.keeps_apart else []

        def of_unit(unit: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(leaves)
                given = dict(zip(self.leaves, leaves, strict=True))
                read = [layer.read(self.walk, given, constants) for layer in self.layers]
                if self.keeps_apart:
                    # A unit hangs on one channel of each layer, by a derivative known already.
                    shares = [
                        tf.reduce_sum(layer.channel(value, unit) * derivative[..., unit])
                        for layer, value, derivative in zip(
                            self.layers, read, by_layer, strict=True
                        )
                    ]
                    answer = tf.add_n(shares)
                else:
                    answer = tf.reduce_sum(self._answer(constants, read)[..., unit])
            gradients = tape.gradient(
                answer, leaves, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            return [
                tf.reduce_sum(tf.abs(tf.reshape(gradient, (-1, leaf.n_units))), axis=0)
                for gradient, leaf in zip(gradients, self.leaves, strict=True)
            ]

        # One unit at a time bounds the memory; and convolutions by oneDNN, where one step of a
        # function runs twice at once, spoil each other's results.
        found: list[tf.Tensor] = tf.map_fn(
            of_unit,
            tf.range(self.n_units),
            fn_output_signature=[tf.float32] * len(leaves),
            parallel_iterations=1,
        )
        return found

    def _answer(self, constants: Mapping[int, tf.Tensor], read: Sequence[Any]) -> tf.Tensor:
        """Return the units' values as a function of what the layers read."""
        made = {
            layer.step.outputs[0]: layer.all_channels(value)
            for layer, value in zip(self.layers, read, strict=True)
        }
        return self.walk.run({**constants, **made}, [self.tensor])[self.tensor]

    def _by_layer(self, constants: Mapping[int, tf.Tensor]) -> list[tf.Tensor]:
        """Return the derivatives of every unit's value by its channel of every layer."""
        made = [constants[layer.step.outputs[0]] for layer in self.layers]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(made)
            answer = self.walk.run(constants, [self.tensor])[self.tensor]
        found: list[tf.Tensor] = tape.gradient(
            answer, made, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return found
