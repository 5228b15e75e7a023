"""The graph of sensitivities: how much a unit answers to each unit before it."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._activations import batch_size_for, batches, check_samples
from nn_clustering.graphs._unit_graph import Edges, Layer, UnitGraph
from nn_clustering.graphs._unit_sets import UnitSet, unit_sets, weight_readers
from nn_clustering.networks.structure import (
    NetworkWeights,
    Step,
    Walk,
    Weighted,
    around_nonlinearity,
    is_plain,
    kind_of,
    read_weights,
    walk_network,
)


def graph_from_gradients(
    network: keras.Model,
    x: NDArray[np.floating],
    *,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
    on_progress: Callable[[int], object] = lambda n_samples: None,
) -> UnitGraph:
    """Build the graph of mean absolute partial derivatives between units of adjacent sets.

    Sets of units, and which are adjacent, are those of
    :func:`~nn_clustering.graphs.graph_from_weights`. The weight from the unit u to the unit v is

        mean over samples and positions p of | d (sum over positions q of a_v(q)) / d a_u(p) |

    with a the value after the unit's nonlinearity, as ``unit_activations(position="post")`` has
    it; of a softmax what it reads, the logits, are the values. The derivative goes along all ways
    from u to v that pass one weight layer: pooling and normalisation on the way count, and so do
    shortcuts behind the weight layer, but whatever other weight layers read is held constant. In
    an MLP of ReLU units it is |w_uv| times the share of samples for which v is active.

    Where weight layers that lead into the set of v read u in several forms, before and after a
    nonlinearity, the means for each are added. Where there is no nonlinearity between that all of
    what a layer reads has passed (as before a concatenation), a_u is what u is where it arises.

    Args:
        network: Any network of which a graph of the weights can be made, with one input.
        x: Samples, of the shape that the network reads.
        inputs: Whether the inputs are units; by default in a network without convolutions.
        outputs: Whether the outputs are units; by default as far as the layers that count lead.
        dense_layers: Whether dense layers count; by default in a network without convolutions.
        on_progress: Called with the number of samples done since the last call.

    Raises:
        InvalidInputError: If the samples do not fit the network or there are none, there is no
            graph of the weights with these settings, or a value is NaN or infinite.
    """
    walk = walk_network(network)
    check_samples(walk, x)
    if not len(x):
        raise InvalidInputError("no samples to take derivatives at; expected one or more")
    weights = read_weights(network)
    settings = {"inputs": inputs, "outputs": outputs, "dense_layers": dense_layers}
    sets = unit_sets(weights, **settings)
    targets = _targets(walk, weights, settings)
    tensors = sorted(
        {leaf.tensor for target in targets for leaf in target.leaves}.union(targets[0].constants)
    )

    @tf.function  # type: ignore[untyped-decorator]
    def run(batch: tf.Tensor) -> dict[int, tf.Tensor]:
        return walk.run({walk.inputs[0]: batch}, tensors)

    derivatives: list[Callable[..., Any]] = []
    totals: dict[tuple[int, int], Any] = defaultdict(float)
    for batch in batches(len(x), batch_size_for(walk, x)):
        values = run(tf.convert_to_tensor(x[batch], tf.float32))
        derivatives = derivatives or [_compiled(target, values) for target in targets]
        for target, of_target in zip(targets, derivatives, strict=True):
            target.check(values)
            for leaf, found in zip(target.leaves, of_target(values), strict=True):
                n_positions = math.prod(values[leaf.tensor].shape[1:]) // leaf.n_units
                sums = found.numpy().T.astype(np.float64)
                totals[leaf.source, target.index] += sums / (len(x) * n_positions)
        on_progress(batch.stop - batch.start)
    return UnitGraph(
        tuple(Layer(units.name, units.n_units) for units in sets),
        tuple(Edges(*pair, totals[pair]) for pair in sorted(totals)),
    )


def _compiled(target: "_Target", values: Mapping[int, tf.Tensor]) -> Callable[..., Any]:
    """Compile the derivatives of a set of units for batches of any size."""
    specs = {
        number: tf.TensorSpec((None, *value.shape[1:]), value.dtype)
        for number, value in values.items()
    }
    found: Callable[..., Any] = tf.function(target.derivatives).get_concrete_function(specs)
    return found


@dataclass(frozen=True)
class _Leaf:
    """A tensor by which derivatives are taken, and the set of units whose values it holds."""

    tensor: int
    source: int
    n_units: int


@dataclass(frozen=True, eq=False)
class _ReadingLayer:
    """A weight layer: its step, and the leaves that it reads."""

    step: Step
    leaves: tuple[_Leaf, ...]

    def channel(self, value: tf.Tensor, channel: tf.Tensor) -> tf.Tensor:
        """Return one channel of what the layer makes of the value that it reads.

        Dense layers and plain convolutions compute no other; the bias, which has no derivative, is
        left out.
        """
        layer = self.step.operation
        if not is_plain(layer):
            return self.all_channels(value)[..., channel]
        if not kind_of(layer).convolves:
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
        """Return what the layer makes of the value that it reads."""
        return self.step.run(lambda number: value)[0]


@dataclass(frozen=True, eq=False)
class _Target:
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
    layers: tuple[_ReadingLayer, ...]
    constants: tuple[int, ...]
    keeps_apart: bool

    @property
    def leaves(self) -> list[_Leaf]:
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
        leaves = [values[leaf.tensor] for leaf in self.leaves]
        by_layer = self._by_layer(constants) if self.keeps_apart else []

        def of_unit(unit: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(leaves)
                read = [self._read(layer, values, constants) for layer in self.layers]
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

        # one unit at a time, which bounds the memory
        found: list[tf.Tensor] = tf.map_fn(
            of_unit, tf.range(self.n_units), fn_output_signature=[tf.float32] * len(leaves)
        )
        return found

    def _read(
        self,
        layer: _ReadingLayer,
        values: Mapping[int, tf.Tensor],
        constants: Mapping[int, tf.Tensor],
    ) -> tf.Tensor:
        """Return what a layer reads, as a function of its leaves."""
        leaves = {leaf.tensor: values[leaf.tensor] for leaf in layer.leaves}
        (number,) = layer.step.inputs
        return self.walk.run({**constants, **leaves}, [number])[number]

    def _answer(self, constants: Mapping[int, tf.Tensor], read: Sequence[tf.Tensor]) -> tf.Tensor:
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


def _targets(
    walk: Walk, weights: NetworkWeights, settings: Mapping[str, bool | None]
) -> list[_Target]:
    """Return the sets of units that weights lead into, with all that their derivatives need."""
    sets = unit_sets(weights, **settings)
    made = frozenset(c.tensor for c in weights.channels if isinstance(c, Weighted))
    steps = {step.name: step for step in walk.steps}
    layers_into: dict[int, list[_ReadingLayer]] = defaultdict(list)
    for reader in weight_readers(weights, **settings):
        sources = sorted({source for source in reader.sources if source is not None})
        leaves = tuple(_leaf(walk, reader.tensor, sets[s], s, made) for s in sources)
        for target in reader.targets:
            layers_into[target].append(_ReadingLayer(steps[reader.name], leaves))
    targets = []
    for index, layers in sorted(layers_into.items()):
        units = sets[index]
        _, tensor = around_nonlinearity(walk, units.tensor)
        targets.append(
            _Target(
                walk,
                index,
                units.n_units,
                tensor,
                tuple(layers),
                (walk.inputs[0], *sorted(made)),
                _keeps_apart(walk, tensor, units.n_units, made),
            )
        )
    return targets


def _leaf(walk: Walk, read: int, units: UnitSet, source: int, made: frozenset[int]) -> _Leaf:
    """Return the tensor by which to take derivatives of what a layer reads of a set of units.

    It is the one after their nonlinearity if all that the layer reads of them has passed it, else
    the one where they arise.

    Args:
        walk: The steps of the network.
        read: Number of the tensor that the layer reads.
        units: The set.
        source: Index of the set.
        made: Numbers of the tensors that weight layers make.
    """
    _, after = around_nonlinearity(walk, units.tensor)
    for tensor in (after, units.tensor, walk.inputs[0]):
        _, met = _back_to(walk, read, made | {tensor})
        if tensor in met and (tensor == units.tensor or units.tensor not in met):
            return _Leaf(tensor, source, units.n_units)
    raise AssertionError(f"tensor {read} does not come from units {units.name!r}")


def _keeps_apart(walk: Walk, tensor: int, n_units: int, made: frozenset[int]) -> bool:
    """Return whether, of all that weight layers make, channel v leads into unit v alone."""
    steps, met = _back_to(walk, tensor, made)
    return all(walk.shapes[number][-1] == n_units for number in met) and not any(
        kind_of(step.operation).joins_units for step in steps
    )


def _back_to(walk: Walk, tensor: int, stops: frozenset[int]) -> tuple[list[Step], set[int]]:
    """Return the steps and the tensors between some tensors, or the input, and one made of them."""
    steps, met = [], {tensor}
    for step in reversed(walk.steps):
        if any(number in met and number not in stops for number in step.outputs):
            steps.append(step)
            met.update(step.inputs)
    return steps, met
