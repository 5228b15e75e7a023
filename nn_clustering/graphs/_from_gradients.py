"""The graph of sensitivities: how much a unit answers to each unit before it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._activations import (
    batch_size_for,
    check_samples,
    dtype_read,
    read_samples,
    with_sets_of_values,
)
from nn_clustering.graphs._contracted_derivatives import ContractedTarget, contracted_targets
from nn_clustering.graphs._derivatives import Leaf, ReadingLayer, ReadingStates, Target
from nn_clustering.graphs._isolation import NEGLIGIBLE
from nn_clustering.graphs._single_precision import in_single_precision
from nn_clustering.graphs._streams import folded
from nn_clustering.graphs._tables import parts
from nn_clustering.graphs._unit_graph import Edges, Layer, UnitGraph
from nn_clustering.graphs._unit_sets import UnitSet, unit_sets, weight_readers
from nn_clustering.networks.structure import (
    NetworkWeights,
    Step,
    Walk,
    Weighted,
    around_nonlinearity,
    layer_kind,
    read_weights,
    walk_network,
)

if TYPE_CHECKING:
    from nn_clustering.datasets import Samples


def graph_from_gradients(
    network: keras.Model,
    x: Samples,
    *,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
    residual: str | None = None,
    isolated_below: float = NEGLIGIBLE,
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

    A recurrent layer counts as one weight layer, whose states hang on what it reads at all times
    before; within its set a_u(p) is the state as the layer itself reads it at the next time, both
    directions are added up, and a unit has no edge to itself.

    With ``residual="contracted"`` it goes along all ways that pass no other unit: through streams,
    and what norms divide by. Patterns of attention are constant. Of tokens a_u(p) is 1 where u
    stands at p, else 0, and the derivative is had for every token of the vocabulary.

    Where weight layers that lead into the set of v read u in several forms, before and after a
    nonlinearity, the means for each are added. Where there is no nonlinearity between that all of
    what a layer reads has passed (as before a concatenation), a_u is what u is where it arises.

    Args:
        network: Any network of which a graph of the weights can be made, with one input.
        x: Samples, of the shape that the network reads; a batch of them is read at a time.
        inputs: Whether the inputs are units; by default in a network without convolutions.
        outputs: Whether the outputs are units; by default as far as the layers that count lead.
        dense_layers: Whether dense layers behind a flatten or a global pooling count, and whether
            any do where nothing convolves; by default in a network without convolutions.
        residual: ``one_set`` or ``contracted`` of :func:`graph_from_weights`; None as there.
        isolated_below: See :class:`UnitGraph`.
        on_progress: Called with the number of samples done since the last call.

    Raises:
        InvalidInputError: If the samples do not fit the network or there are none, there is no
            graph of the weights with these settings, or a value is NaN or infinite.
    """
    settings = {"inputs": inputs, "outputs": outputs, "dense_layers": dense_layers}
    walk, sets, targets = _differentiable(network, x, settings, residual)
    tensors = sorted(
        {leaf.tensor for target in targets for leaf in target.leaves}.union(targets[0].constants)
    )

    @tf.function  # type: ignore[untyped-decorator]
    def run(batch: tf.Tensor) -> dict[int, tf.Tensor]:
        return walk.run({walk.inputs[0]: batch}, tensors)

    derivatives: list[Callable[..., Any]] = []
    totals: dict[tuple[int, int], Any] = defaultdict(float)
    for batch in parts(len(x), batch_size_for(walk, x)):
        values = run(read_samples(x, batch, dtype_read(network)))
        derivatives = derivatives or [_compiled(target, values) for target in targets]
        for target, of_target in zip(targets, derivatives, strict=True):
            target.check(values)
            for leaf, found in zip(target.leaves, of_target(values), strict=True):
                n_positions = leaf.n_positions(values[leaf.tensor])
                sums = found.numpy().T.astype(np.float64)
                totals[leaf.source, target.index] += sums / (len(x) * n_positions)
        on_progress(batch.stop - batch.start)
    undirected = folded(totals)
    weights = in_single_precision(undirected)  # as the derivatives are
    return UnitGraph(
        tuple(Layer(units.name, units.n_units) for units in sets),
        tuple(Edges(*pair, weights[pair]) for pair in sorted(weights)),
        isolated_below,
    )


def count_differentiable_units(
    network: keras.Model,
    x: Samples,
    *,
    inputs: bool | None = None,
    outputs: bool | None = None,
    dense_layers: bool | None = None,
    residual: str | None = None,
) -> int:
    """Return how many units :func:`graph_from_gradients` is of, for which nothing is computed.

    Raises:
        InvalidInputError: If the samples do not fit the network or there are none, or there is no
            graph of the weights with these settings.
    """
    settings = {"inputs": inputs, "outputs": outputs, "dense_layers": dense_layers}
    _, sets, _ = _differentiable(network, x, settings, residual)
    return sum(units.n_units for units in sets)


def _differentiable(
    network: keras.Model, x: Samples, settings: dict[str, bool | None], residual: str | None
) -> tuple[Walk, tuple[UnitSet, ...], Sequence[Target | ContractedTarget]]:
    walk = walk_network(network, x.shape[1:])
    walk.require_no_masks("a derivative")
    check_samples(walk, x)
    if not len(x):
        raise InvalidInputError("no samples to take derivatives at; expected one or more")
    weights = with_sets_of_values(read_weights(network), residual)
    find = contracted_targets if weights.residual == "contracted" else _targets
    return walk, unit_sets(weights, **settings), find(walk, weights, settings)


def _compiled(
    target: Target | ContractedTarget, values: Mapping[int, tf.Tensor]
) -> Callable[..., Any]:
    """Compile the derivatives of a set of units for batches of any size."""
    specs = {
        number: tf.TensorSpec((None, *value.shape[1:]), value.dtype)
        for number, value in values.items()
    }
    found: Callable[..., Any] = tf.function(target.derivatives).get_concrete_function(specs)
    return found


def _targets(
    walk: Walk, weights: NetworkWeights, settings: Mapping[str, bool | None]
) -> list[Target]:
    """Return the sets of units that weights lead into, with all that their derivatives need."""
    sets = unit_sets(weights, **settings)
    made = frozenset(c.tensor for c in weights.channels if isinstance(c, Weighted))
    steps = {step.name: step for step in walk.steps}
    # of each set; what a recurrent layer makes of its own states stands by itself
    layers_into: dict[tuple[int, int], list[ReadingLayer]] = defaultdict(list)
    for reader in weight_readers(weights, **settings):
        step = steps[reader.name]
        sources = sorted({source for source in reader.sources if source is not None})
        reads_itself = reader.tensor in step.outputs
        if reads_itself:
            leaves = tuple(Leaf(reader.tensor, s, sets[s].n_units) for s in sources)
        else:
            leaves = tuple(_leaf(walk, reader.tensor, sets[s], s, made) for s in sources)
        kind, of_its_own = (ReadingStates, reader.tensor) if reads_itself else (ReadingLayer, -1)
        for target in reader.targets:
            layers_into[target, of_its_own].append(kind(step, leaves))
    targets = []
    for (index, _), layers in sorted(layers_into.items(), key=lambda item: item[0]):
        units = sets[index]
        _, tensor = around_nonlinearity(walk, units.tensor)
        targets.append(
            Target(
                walk,
                index,
                units.n_units,
                tensor,
                tuple(layers),
                (walk.inputs[0], *sorted(made)),
                not isinstance(layers[0], ReadingStates)
                and _keeps_apart(walk, tensor, units.n_units, made),
            )
        )
    return targets


def _leaf(walk: Walk, read: int, units: UnitSet, source: int, made: frozenset[int]) -> Leaf:
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
    if units.is_of_tokens:
        return Leaf(read, source, units.n_units, is_of_tokens=True)
    _, after = around_nonlinearity(walk, units.tensor)
    for tensor in (after, units.tensor, walk.inputs[0]):
        _, met = _back_to(walk, read, made | {tensor})
        if tensor in met and (tensor == units.tensor or units.tensor not in met):
            return Leaf(tensor, source, units.n_units)
    raise AssertionError(f"tensor {read} does not come from units {units.name!r}")


def _keeps_apart(walk: Walk, tensor: int, n_units: int, made: frozenset[int]) -> bool:
    """Return whether, of all that weight layers make, channel v leads into unit v alone."""
    steps, met = _back_to(walk, tensor, made)
    return all(walk.shapes[number][-1] == n_units for number in met) and not any(
        layer_kind(step.operation).joins_units for step in steps
    )


def _back_to(walk: Walk, tensor: int, stops: frozenset[int]) -> tuple[list[Step], set[int]]:
    """Return the steps and the tensors between some tensors, or the input, and one made of them."""
    steps, met = [], {tensor}
    for step in reversed(walk.steps):
        if any(number in met and number not in stops for number in step.outputs):
            steps.append(step)
            met.update(step.inputs)
    return steps, met
