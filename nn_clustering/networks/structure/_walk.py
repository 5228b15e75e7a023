"""The steps by which a Keras network computes, found by walking its graph from output to input.

Networks inside the network are opened to any depth, and an activation that is part of a dense or
convolutional layer becomes a step of its own. What a layer is called, or whether other networks
use it too, plays no part.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from nn_clustering.errors import InvalidInputError

# Layers whose activation is a part of them, and applied last.
_WITH_ACTIVATION = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


@dataclass(frozen=True)
class TensorId:
    """Stands in a step's arguments for the tensor of this number."""

    number: int


@dataclass(frozen=True, eq=False)
class Step:
    """One call of one operation.

    Attributes:
        name: Name of the layer, of its call if it is called again ("relu:2" for the second), with
            the names of the networks around it before it ("encoder/conv"); a layer's own activation
            is "conv/activation". No two steps have the same.
        operation: What is called: a layer (dense and convolutional ones without their activation,
            but with the same weights), an operation of ``keras.ops`` or an activation function.
        args: Its positional arguments, a :class:`TensorId` in place of every tensor.
        kwargs: Its named arguments likewise, with ``training=False`` where it takes that.
        inputs: Numbers of the tensors it reads, in the order of the arguments.
        outputs: Numbers of the tensors it makes.
        layer: The layer as the network holds it, activation included; None for other operations.
    """

    name: str
    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    layer: keras.Layer | None

    def run(self, read: Callable[[int], Any]) -> list[Any]:
        """Call the operation on the tensors that ``read`` gives for their numbers."""
        args, kwargs = _map_tensors(
            lambda leaf: read(leaf.number) if isinstance(leaf, TensorId) else leaf,
            (self.args, self.kwargs),
        )
        found: list[Any] = keras.tree.flatten(self.operation(*args, **kwargs))
        return found


@dataclass(frozen=True, eq=False)
class Walk:
    """A network as a sequence of steps over numbered tensors.

    Attributes:
        name: Name of the network.
        steps: The steps that the outputs need, each after those whose tensors it reads.
        inputs: Numbers of the network's input tensors, in the order of ``network.inputs``.
        outputs: Numbers of its output tensors, in the order of ``network.outputs``.
        shapes: Shape of every tensor, by its number; None for the batch and what else is open.
        input_names: Names of the inputs.
    """

    name: str
    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    input_names: tuple[str, ...]

    def run(
        self,
        values: Mapping[int, Any],
        wanted: Iterable[int],
        *,
        on_read: Callable[[Step, int, Any], Any] = lambda step, number, value: value,
    ) -> dict[int, Any]:
        """Compute tensors from others, as in inference: no dropout, moving statistics.

        Only the steps that lie between are run, eagerly, in a ``tf.function`` or under a gradient
        tape alike, and a tensor is let go after its last use.

        Args:
            values: Tensors by their number: the network's inputs, or any that stand in for what
                they were computed from.
            wanted: Numbers of the tensors to return; those given are returned as they are.
            on_read: Called as a step reads a tensor; returns what it reads instead.

        Raises:
            InvalidInputError: If the tensors given do not suffice.
        """
        wanted = tuple(wanted)
        steps = self.steps_between(values, wanted)
        uses = Counter(number for step in steps for number in step.inputs)
        uses.update(wanted)
        held = {number: values[number] for number in values if uses[number]}
        for step in steps:
            made = step.run(lambda number, step=step: on_read(step, number, held[number]))  # type: ignore[misc]
            for number in step.inputs:
                uses[number] -= 1
                if not uses[number]:
                    del held[number]
            for number, value in zip(step.outputs, made, strict=True):
                # one that is given stays, even if a step that is needed makes it too
                if uses[number] and number not in values:
                    held[number] = value
        return {number: held[number] for number in wanted}

    def steps_between(self, given: Iterable[int], wanted: Iterable[int]) -> list[Step]:
        """Return the steps, in order, by which tensors are computed from others.

        Args:
            given: Numbers of the tensors that are known.
            wanted: Numbers of those to compute.

        Raises:
            InvalidInputError: If the tensors given do not suffice.
        """
        known = set(given)
        missing = set(wanted) - known
        needed = []
        for step in reversed(self.steps):
            if missing.intersection(step.outputs):
                needed.append(step)
                missing.difference_update(step.outputs)
                missing.update(number for number in step.inputs if number not in known)
        if missing:
            raise InvalidInputError(
                f"network {self.name!r}: tensors {', '.join(map(str, sorted(missing)))} cannot be "
                "computed from those given; expected the network's inputs, or what replaces them"
            )
        return needed[::-1]


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


def computes_as_in_keras(operation: Any) -> bool:
    """Return whether an operation's class is Keras' own, or derived from it with its ``call``."""
    defining = next(kind for kind in type(operation).__mro__ if "call" in vars(kind))
    return defining.__module__.split(".")[0] == "keras"


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
            args, kwargs = _map_tensors(
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


def _map_tensors(function: Callable[[Any], Any], structure: Any) -> Any:
    return keras.tree.map_structure(function, structure)


def _has_activation(operation: Any) -> bool:
    return (
        isinstance(operation, _WITH_ACTIVATION)
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
