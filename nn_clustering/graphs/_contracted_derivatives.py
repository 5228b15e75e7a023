"""Derivatives between sets of units through linear ones that are left out."""

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import tensorflow as tf

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs._derivatives import Leaf, one_hot
from nn_clustering.graphs._unit_sets import UnitSet, joined_sets, unit_sets
from nn_clustering.networks.structure import (
    NetworkWeights,
    Walk,
    Weighted,
    around_nonlinearity,
    layer_kind,
)


@dataclass(frozen=True, eq=False)
class ContractedTarget:
    """A set of units whose derivatives are taken by all that leads there without units between.

    Attributes:
        walk: The steps of the network.
        index: Which set it is.
        units: The set.
        tensor: Number of the tensor that holds their values.
        leaves: The sets that lead there, and the tensors that hold their values.
        constants: Numbers of the network's input, and of all that is held constant: what other
            sets hold, and what queries and keys are made of.
    """

    walk: Walk
    index: int
    units: UnitSet
    tensor: int
    leaves: tuple[Leaf, ...]
    constants: tuple[int, ...]

    def check(self, values: Mapping[int, tf.Tensor]) -> None:
        """Check what the units' values are made of.

        Raises:
            InvalidInputError: If it is NaN or infinite.
        """
        made = self.walk.run({n: values[n] for n in self._given()}, [self.tensor])[self.tensor]
        if not tf.reduce_all(tf.math.is_finite(tf.cast(made, tf.float32))):
            raise InvalidInputError(
                f"layer {self.units.name!r} of network {self.walk.name!r} makes NaN or infinite "
                "values of the samples: check its weights and the samples"
            )

    def derivatives(self, values: Mapping[int, tf.Tensor]) -> list[tf.Tensor]:
        """Return sums over samples and positions of absolute derivatives, (units, source units).

        Args:
            values: The tensors of the leaves and the constants.

        Returns:
            One matrix for each of the leaves.
        """
        given = {number: values[number] for number in self._given()}
        leaves = [one_hot(leaf, values[leaf.tensor]) for leaf in self.leaves]
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(leaves)
            for leaf, value in zip(self.leaves, leaves, strict=True):
                given |= self._of_tokens(leaf, value) if leaf.is_of_tokens else {leaf.tensor: value}
            made = self.walk.run(given, [self.tensor])[self.tensor]
            answer = tf.reduce_sum(tf.reshape(made, (-1, self.units.n_units)), axis=0)

        def of_unit(unit: tf.Tensor) -> list[tf.Tensor]:
            gradients = tape.gradient(
                answer,
                leaves,
                output_gradients=tf.one_hot(unit, self.units.n_units, dtype=answer.dtype),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return [
                tf.reduce_sum(
                    tf.cast(tf.abs(tf.reshape(gradient, (-1, leaf.n_units))), tf.float32), axis=0
                )
                for gradient, leaf in zip(gradients, self.leaves, strict=True)
            ]

        found: list[tf.Tensor] = tf.map_fn(  # one at a time, as what convolutions there are ask
            of_unit,
            tf.range(self.units.n_units),
            fn_output_signature=[tf.float32] * len(leaves),
            parallel_iterations=1,
        )
        return found

    def _given(self) -> set[int]:
        return {*self.constants, *(leaf.tensor for leaf in self.leaves)} - self._own()

    def _own(self) -> set[int]:
        """Return the tensors that hold the units themselves."""
        return {self.units.tensor, self.tensor}

    def _of_tokens(self, leaf: Leaf, tokens: tf.Tensor) -> dict[int, tf.Tensor]:
        """Return what embeddings make of tokens, each a vector of zeros and a one."""
        embeddings = [
            step
            for step in self.walk.steps
            if step.inputs == (leaf.tensor,) and isinstance(step.operation, keras.layers.Embedding)
        ]
        return {
            step.outputs[0]: tf.tensordot(tokens, step.operation.embeddings, 1)
            for step in embeddings
        }


def contracted_targets(
    walk: Walk, weights: NetworkWeights, settings: Mapping[str, bool | None]
) -> list[ContractedTarget]:
    """Return the sets of units that others lead into, with all that their derivatives need."""
    sets = unit_sets(weights, **settings)
    leaves = [_leaf(walk, weights, units, index) for index, units in enumerate(sets)]
    held = {leaf.tensor for leaf in leaves if not leaf.is_of_tokens} | _asides(walk, weights)
    constants = tuple(sorted({walk.inputs[0], *held}))
    sources: dict[int, list[Leaf]] = {}
    for source, target in sorted(joined_sets(weights, **settings)):
        if source == target:
            raise InvalidInputError(
                f"layer {sets[source].name!r} of network {walk.name!r} reads its own units: there "
                "are no derivatives with residual='contracted'; expected residual='one_set'"
            )
        sources.setdefault(target, []).append(leaves[source])
    return [
        ContractedTarget(
            walk,
            index,
            sets[index],
            around_nonlinearity(walk, sets[index].tensor)[1],
            tuple(of_target),
            constants,
        )
        for index, of_target in sorted(sources.items())
    ]


def _leaf(walk: Walk, weights: NetworkWeights, units: UnitSet, index: int) -> Leaf:
    """Return the tensor by which to take derivatives: after the nonlinearity, if all pass it."""
    if units.is_of_tokens:
        return Leaf(_tokens_read(weights, units), index, units.n_units, is_of_tokens=True)
    _, after = around_nonlinearity(walk, units.tensor)
    if after != units.tensor:
        steps = walk.steps_between([units.tensor], [after])
        passed = {number for step in steps for number in step.inputs}
        readers = [step for step in walk.steps if passed.intersection(step.inputs)]
        after = after if all(step in steps for step in readers) else units.tensor
    return Leaf(after, index, units.n_units)


def _tokens_read(weights: NetworkWeights, units: UnitSet) -> int:
    """Return the tensor by which embeddings read an input of tokens, such as one of another type.

    Raises:
        InvalidInputError: If they read it by several.
    """
    tensors = {
        made.read_tensor
        for made in weights.weight_layers.values()
        if getattr(weights.channels[made.reads], "tensor", None) == units.tensor
    }
    if len(tensors) > 1:
        raise InvalidInputError(
            f"network {weights.name!r} looks up tokens of {units.name!r} as they are and as "
            "something is made of them, such as some positions: there are no derivatives by them "
            "with residual='contracted'; expected inputs=False"
        )
    return tensors.pop()


def _asides(walk: Walk, weights: NetworkWeights) -> set[int]:
    """Return what layers make whose weights join no units, such as queries and keys."""
    counted = {made.tensor for made in weights.channels if isinstance(made, Weighted)}
    return {
        number
        for step in walk.steps
        if layer_kind(step.operation).kernels
        for number in step.outputs
        if number not in counted
    }
