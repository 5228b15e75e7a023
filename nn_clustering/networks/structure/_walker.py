"""Finding the steps by which a Keras network computes: its graph, walked from output to input.

Networks inside the network are opened to any depth, and an activation that is part of a dense or
convolutional layer becomes a step of its own. What a layer is called, or whether other networks
use it too, plays no part.
"""

import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._layer_kinds import computes_as_in_keras, layer_kind
from nn_clustering.networks.structure._walk import Step, TensorId, Walk


def walk_network(network: keras.Model) -> Walk:
    """Return the steps by which a network computes its outputs.

    Args:
        network: Any built sequential or functional network.

    Raises:
        InvalidInputError: If its inputs are not known, or it computes by code of its own.
    """
    if not getattr(network, "inputs", None):
        raise InvalidInputError(
            f"network {network.name!r} is a {type(network).__name__} without known inputs; "
            "expected a built sequential or functional Keras model"
        )
    if not _is_transparent(network):
        raise InvalidInputError(
            f"network {network.name!r} is a {type(network).__name__} with a call method of its "
            "own, which cannot be read; expected a sequential or functional Keras model"
        )
    walker = _Walker()
    inputs = tuple(walker.new_tensor(tensor) for tensor in network.inputs)
    outputs = walker.walk(network, inputs, prefix="")
    names = tuple(tensor.name for tensor in network.inputs)
    return Walk(network.name, tuple(walker.steps), inputs, outputs, tuple(walker.shapes), names)


class _Walker:
    """Gathers the steps of a network and of the networks inside it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.shapes: list[tuple[int | None, ...]] = []
        self._calls: Counter[str] = Counter()

    def new_tensor(self, like: keras.KerasTensor) -> int:
        self.shapes.append(tuple(like.shape))
        return len(self.shapes) - 1

    def walk(self, network: keras.Model, inputs: Sequence[int], prefix: str) -> tuple[int, ...]:
        """Add the steps of a network that reads the tensors ``inputs``; return its outputs."""
        numbers = {id(t): number for t, number in zip(network.inputs, inputs, strict=True)}
        pending = list(reversed(network.outputs))
        while pending:
            tensor = pending[-1]
            if id(tensor) in numbers:
                pending.pop()
                continue
            node = _node_that_made(tensor)
            unknown = [t for t in node.input_tensors if id(t) not in numbers]
            if unknown:
                pending.extend(reversed(unknown))
                continue
            args, kwargs = keras.tree.map_structure(
                lambda leaf: (
                    TensorId(numbers[id(leaf)]) if isinstance(leaf, keras.KerasTensor) else leaf
                ),
                (node.arguments.args, node.arguments.kwargs),
            )
            made = self._add_call(node, args, kwargs, prefix)
            numbers.update(zip(map(id, node.output_tensors), made, strict=True))
        return tuple(numbers[id(tensor)] for tensor in network.outputs)

    def _add_call(
        self, node: Any, args: tuple[Any, ...], kwargs: dict[str, Any], prefix: str
    ) -> tuple[int, ...]:
        operation = node.operation
        name = self._unique(prefix + operation.name)
        if _is_transparent(operation):
            return self.walk(operation, _inputs_of_call(operation, args, kwargs), name + "/")
        outputs = tuple(self.new_tensor(tensor) for tensor in node.output_tensors)
        inputs = tuple(leaf.number for leaf in _tensors((args, kwargs)))
        layer = operation if isinstance(operation, keras.Layer) else None
        if layer is not None and "training" in inspect.signature(layer.call).parameters:
            kwargs = {**kwargs, "training": False}
        if not _has_activation(operation):
            self.steps.append(Step(name, operation, args, kwargs, inputs, outputs, layer))
            return outputs
        linear = self.new_tensor(node.output_tensors[0])
        without = _without_activation(operation)
        self.steps.append(Step(name, without, args, kwargs, inputs, (linear,), layer))
        self.steps.append(
            Step(
                f"{name}/activation",
                operation.activation,
                (TensorId(linear),),
                {},
                (linear,),
                outputs,
                operation.activation if isinstance(operation.activation, keras.Layer) else None,
            )
        )
        return outputs

    def _unique(self, name: str) -> str:
        self._calls[name] += 1
        return name if self._calls[name] == 1 else f"{name}:{self._calls[name]}"


def _node_that_made(tensor: keras.KerasTensor) -> Any:
    """Return Keras' record of the call that made a tensor.

    Keras has no public way to it. This is the one that its own ``Functional`` takes.
    """
    operation, node_index, _ = tensor._keras_history
    return operation._inbound_nodes[node_index]


def _is_transparent(operation: Any) -> bool:
    """Return whether an operation is a network that computes by its graph, not by its own code."""
    is_network = isinstance(operation, keras.Model | keras.Function)
    return is_network and bool(operation.inputs) and computes_as_in_keras(operation)


def _inputs_of_call(
    network: keras.Model, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[int, ...]:
    given = args[0] if args else kwargs.get("inputs")
    names = [tensor.name for tensor in network.inputs]
    if isinstance(given, dict) and set(names) <= set(given):  # which may hold more than is read
        given = [given[name] for name in names]
    numbers = tuple(leaf.number for leaf in _tensors(given))
    if len(numbers) != len(names):
        raise InvalidInputError(
            f"network {network.name!r} is called on {len(numbers)} tensors inside another; "
            f"expected one for each of its {len(names)} inputs"
        )
    return numbers


def _tensors(structure: Any) -> list[TensorId]:
    return [leaf for leaf in keras.tree.flatten(structure) if isinstance(leaf, TensorId)]


def _has_activation(operation: Any) -> bool:
    """Return whether an operation applies an activation of its own, last."""
    return (
        bool(layer_kind(operation).kernels)
        and computes_as_in_keras(operation)
        and operation.activation not in (None, keras.activations.linear)
    )


def _without_activation(layer: keras.Layer) -> keras.Layer:
    """Return a layer that shares all with the given one but applies no activation.

    ``copy.copy`` would save and load it, with new weights.
    """
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__)
    twin.__dict__["activation"] = keras.activations.linear
    return twin
