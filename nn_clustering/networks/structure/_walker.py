"""Finding the steps by which a Keras network computes: its graph, walked from output to input.

Networks inside the network are opened to any depth, as are layers that wrap others, and an
activation that is part of a dense or convolutional layer becomes a step of its own. Attention and
layers with code of their own are opened too, where it can be followed. What a layer is called, or
whether other networks use it too, plays no part.
"""

import inspect
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._flat_projections import (
    Equation,
    FlatProjection,
    Joined,
    Parted,
)
from nn_clustering.networks.structure._layer_kinds import (
    LayerKind,
    computes_as_in_keras,
    layer_kind,
)
from nn_clustering.networks.structure._opening import (
    Opened,
    OpenTensor,
    batch_free,
    node_that_made,
    nodes_between,
    opened,
    unrecorded,
    with_known_sizes,
)
from nn_clustering.networks.structure._recurrence import with_all_states
from nn_clustering.networks.structure._walk import Step, TensorId, Walk


def walk_network(network: keras.Model, sample_shape: Sequence[int] | None = None) -> Walk:
    """Return the steps by which a network computes its outputs.

    Attention, and layers with code of their own, are opened where it can be followed: their steps
    are those of the layers and operations that they call.

    Args:
        network: Any built sequential or functional network.
        sample_shape: Shape of a sample. Some length is taken without it where code is followed
            that asks how many positions there are.

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
    with unrecorded(network):
        return _walk_of(network, sample_shape)


def _walk_of(network: keras.Model, sample_shape: Sequence[int] | None) -> Walk:
    walker = _Walker()
    known = _with_known_sizes(network, sample_shape)
    given, wanted = (
        (network.inputs, network.outputs) if known is None else (known.inputs, known.outputs)
    )
    inputs = tuple(walker.new_tensor(tensor.shape, tensor.dtype) for tensor in given)
    outputs = walker.walk(given, wanted, inputs)
    names = tuple(tensor.name for tensor in network.inputs)
    return Walk(network.name, tuple(walker.steps), inputs, outputs, tuple(walker.shapes), names)


def _with_known_sizes(network: keras.Model, sample_shape: Sequence[int] | None) -> Opened | None:
    """Return the network on samples of a known shape, if code has to be followed on them."""
    is_open = any(None in tensor.shape[1:] for tensor in network.inputs)
    layers = network._flatten_layers(include_self=False) if is_open else ()
    if not any(_has_code(layer) for layer in layers):
        return None
    return with_known_sizes(network, sample_shape)


def _has_code(operation: Any) -> bool:
    """Return whether an operation is a layer whose own code says what it calls."""
    kind = layer_kind(operation)
    if not isinstance(operation, keras.Layer) or isinstance(operation, keras.Model):
        return False
    return kind.wraps == "code" or kind == LayerKind()


@dataclass(frozen=True)
class _Around:
    """What is around a network or a layer that is opened.

    Attributes:
        prefix: Names of the networks around it.
        times: Sizes of the axes behind the batch's that it does not see.
        has_masks: Whether masks go with the tensors that it reads.
    """

    prefix: str = ""
    times: tuple[int | None, ...] = ()
    has_masks: bool = False

    def shape(self, seen: Sequence[int | None]) -> tuple[int | None, ...]:
        """Return the shape of a tensor of which it sees this."""
        return (*seen[:1], *self.times, *seen[1:])


_NOTHING_AROUND = _Around()


@dataclass(frozen=True)
class _Call:
    """A call of an operation, on tensors by their numbers, and what it says it makes."""

    name: str
    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shapes: tuple[tuple[int | None, ...], ...]
    dtypes: tuple[str, ...]
    reads_mask: bool


class _Walker:
    """Gathers the steps of a network and of the networks inside it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.shapes: list[tuple[int | None, ...]] = []
        self.dtypes: list[str] = []
        self._calls: Counter[str] = Counter()

    def new_tensor(self, shape: Sequence[int | None], dtype: str) -> int:
        self.shapes.append(tuple(shape))
        self.dtypes.append(dtype)
        return len(self.shapes) - 1

    def walk(
        self,
        given: Sequence[keras.KerasTensor],
        wanted: Sequence[keras.KerasTensor],
        inputs: Sequence[int],
        around: _Around = _NOTHING_AROUND,
        names: Mapping[int, str] | None = None,
    ) -> tuple[int, ...]:
        """Add the steps that make tensors of others; return the numbers of the tensors made.

        Args:
            given: The others.
            wanted: The tensors to make.
            inputs: The numbers of those that are given.
            around: What is around them.
            names: Names of operations by their ids, where those that they have are not to be used.
        """
        numbers = {id(t): number for t, number in zip(given, inputs, strict=True)}
        pending = list(reversed(wanted))
        while pending:
            tensor = pending[-1]
            if id(tensor) in numbers:
                pending.pop()
                continue
            node = node_that_made(tensor)
            masks = set() if _has_code(node.operation) else _masks_of(node)
            unknown = [t for t in node.input_tensors if id(t) not in numbers and id(t) not in masks]
            if unknown:
                pending.extend(reversed(unknown))
                continue
            args, kwargs = keras.tree.map_structure(
                lambda leaf: (
                    TensorId(numbers[id(leaf)]) if isinstance(leaf, keras.KerasTensor) else leaf
                ),
                (node.arguments.args, _without(masks, node.arguments.kwargs)),
            )
            call = _Call(
                self._unique(around.prefix + _name_of(node.operation, names)),
                batch_free(node),
                args,
                kwargs,
                tuple(around.shape(made.shape) for made in node.output_tensors),
                tuple(made.dtype for made in node.output_tensors),
                _reads_mask(node, masks, around),
            )
            made = self._add_call(call, around)
            numbers.update(zip(map(id, node.output_tensors), made, strict=True))
        return tuple(numbers[id(tensor)] for tensor in wanted)

    def _add_call(self, call: _Call, around: _Around) -> tuple[int, ...]:
        operation = call.operation
        if _is_transparent(operation):
            inputs = _inputs_of_call(operation, call.args, call.kwargs)
            inside = replace(around, prefix=call.name + "/", has_masks=call.reads_mask)
            return self.walk(operation.inputs, operation.outputs, inputs, inside)
        match _wraps(call):
            case "layer" | "layer at each time" as wraps:
                if wraps == "layer at each time":
                    time = call.shapes[0][1 + len(around.times)]
                    around = replace(around, times=(*around.times, time))
                return self._add_call(_of_wrapped(call), around)
            case "layers in turn":
                return self._add_in_turn(call, around)
            case "layer both ways":
                return self._add_both_ways(call, around)
        # masks go with tensors of the layer's own, not with those of what it calls
        if _has_code(operation) and not around.times and not call.reads_mask:
            made = self._add_opened(call, around)
            if made is not None:
                return made
        return self._add_flat(call, around) or self._add_steps(call, around)

    def _add_opened(self, call: _Call, around: _Around) -> tuple[int, ...] | None:
        """Add what the code of a layer calls; None, and nothing, if it cannot be followed."""
        inside = opened(
            call.operation,
            *self._open_tensors(call),
            is_keras=type(call.operation).__module__.split(".")[0] == "keras",
        )
        if inside is None:
            return None
        if not inside.outputs:
            made = self._add_steps(call, around)
            self.steps[-1] = replace(self.steps[-1], is_constant=True)
            return made
        nodes = nodes_between(inside.inputs, inside.outputs)
        numbers = [leaf.number for leaf in _tensors((call.args, call.kwargs))]
        names = _names_inside(call.operation, [node.operation for node in nodes])
        return self.walk(
            inside.inputs, inside.outputs, numbers, replace(around, prefix=call.name + "/"), names
        )

    def _open_tensors(self, call: _Call) -> tuple[Any, Any]:
        found: tuple[Any, Any] = keras.tree.map_structure(
            lambda leaf: (
                OpenTensor(self.shapes[leaf.number], self.dtypes[leaf.number])
                if isinstance(leaf, TensorId)
                else leaf
            ),
            (call.args, call.kwargs),
        )
        return found

    def _add_flat(self, call: _Call, around: _Around) -> tuple[int, ...] | None:
        """Add a layer whose units stand on several axes as one that has them on the last.

        Returns:
            None, and nothing is added, if it is no such layer.
        """
        layer = call.operation
        is_einsum = type(layer) is keras.layers.EinsumDense and not around.times
        equation = Equation.of(layer) if is_einsum else None
        if equation is None or equation.n_read == equation.n_made == 1:
            return None
        read, made = equation.sizes(layer.kernel)
        (tensor,) = _tensors((call.args, call.kwargs))
        if len(read) > 1:
            shape = (*self.shapes[tensor.number][: -len(read)], math.prod(read))
            tensor = self._add_own(f"{call.name}/channels", Joined(len(read)), tensor, shape)
        before = self.shapes[tensor.number][:-1]
        activation = layer.activation if _has_activation(layer) else None
        flat = FlatProjection(layer if activation is None else _without_activation(layer), equation)
        shape = (*before, math.prod(made))
        tensor = self._add_own(call.name, flat, tensor, shape, layer)
        if activation is not None:
            tensor = self._add_own(f"{call.name}/activation", activation, tensor, shape)
        if len(made) > 1:
            shape = (*before, *made)
            tensor = self._add_own(f"{call.name}/heads", Parted(made), tensor, shape)
        return (tensor.number,)

    def _add_own(
        self,
        name: str,
        operation: Any,
        read: TensorId,
        shape: tuple[int | None, ...],
        layer: keras.Layer | None = None,
    ) -> TensorId:
        """Add a step of one tensor that is no call of the network's own."""
        number = self.new_tensor(shape, self.dtypes[read.number])
        self.steps.append(Step(name, operation, (read,), {}, (read.number,), (number,), layer))
        return TensorId(number)

    def _add_in_turn(self, call: _Call, around: _Around) -> tuple[int, ...]:
        """Add the calls of layers that a layer makes one after the other."""
        (made,) = _tensors((call.args, call.kwargs))
        n_hidden = len(around.times)
        for layer in call.operation.layers:
            read = self.shapes[made.number]
            shape = layer.compute_output_shape((*read[:1], *read[1 + n_hidden :]))
            name = self._unique(f"{call.name}/{layer.name}")
            shapes = (around.shape(shape),)
            (number,) = self._add_call(
                _Call(name, layer, (made,), {}, shapes, call.dtypes, call.reads_mask), around
            )
            made = TensorId(number)
        return (made.number,)

    def _add_both_ways(self, call: _Call, around: _Around) -> tuple[int, ...]:
        """Add the calls of two recurrent layers, of which one reads backwards, and their merge."""
        both = call.operation
        (read,) = _tensors((call.args, call.kwargs))
        seen = self.shapes[read.number]
        seen = (*seen[:1], *seen[1 + len(around.times) :])
        dtype = both.compute_dtype
        given: list[keras.KerasTensor] = []
        made: list[int] = []
        for layer in (both.forward_layer, both.backward_layer):
            name = self._unique(f"{call.name}/{layer.name}")
            shape = layer.compute_output_shape(seen)
            shapes = (around.shape(shape),)
            inner = _Call(name, layer, (read,), {}, shapes, (dtype,), call.reads_mask)
            made += self._add_call(inner, around)
            given.append(keras.KerasTensor(shape, dtype))
        inside = replace(around, prefix=call.name + "/", has_masks=call.reads_mask)
        return self.walk(given, _merged_both_ways(both, *given), made, inside)

    def _add_steps(self, call: _Call, around: _Around) -> tuple[int, ...]:
        """Add a call as it is, but for an activation that is part of it."""
        operation = call.operation
        outputs = tuple(map(self.new_tensor, call.shapes, call.dtypes))
        inputs = tuple(leaf.number for leaf in _tensors((call.args, call.kwargs)))
        layer = operation if isinstance(operation, keras.Layer) else None
        kwargs = call.kwargs
        if layer is not None and "training" in inspect.signature(layer.call).parameters:
            kwargs = {**kwargs, "training": False}
        step = Step(
            call.name,
            operation,
            call.args,
            kwargs,
            inputs,
            outputs,
            layer,
            len(around.times),
            call.reads_mask,
        )
        if _is_opened_recurrence(operation):
            return self._add_recurrence(step)
        if not _has_activation(operation):
            self.steps.append(step)
            return outputs
        linear = self.new_tensor(call.shapes[0], call.dtypes[0])
        activation = operation.activation
        self.steps.append(
            replace(step, operation=_without_activation(operation), outputs=(linear,))
        )
        self.steps.append(
            Step(
                f"{call.name}/activation",
                activation,
                (TensorId(linear),),
                {},
                (linear,),
                outputs,
                activation if isinstance(activation, keras.Layer) else None,
                len(around.times),
            )
        )
        return outputs

    def _add_recurrence(self, step: Step) -> tuple[int, ...]:
        """Add a recurrent layer's step, which makes all its states and what it puts out of them."""
        made = self.shapes[step.outputs[0]]
        outputs = step.outputs
        if not step.operation.return_sequences:
            read = self.shapes[step.inputs[0]]
            dtype = self.dtypes[step.outputs[0]]
            outputs = (*outputs, self.new_tensor((*read[:-1], made[-1]), dtype))
        self.steps.append(
            replace(
                step,
                operation=with_all_states(step.operation),
                outputs=outputs,
                is_recurrent=True,
            )
        )
        return outputs[:1]

    def _unique(self, name: str) -> str:
        self._calls[name] += 1
        return name if self._calls[name] == 1 else f"{name}:{self._calls[name]}"


def _name_of(operation: Any, names: Mapping[int, str] | None) -> str:
    return str(operation.name if names is None else names[id(operation)])


def _names_inside(layer: keras.Layer, operations: Sequence[Any]) -> dict[int, str]:
    """Return names of what a layer's code calls, the same in every process.

    Names that Keras has made up hang on how many it has made up before: such a layer is called as
    the attribute that holds it, an operation after its class.
    """
    attributes = {
        id(value): name.lstrip("_")
        for name, value in vars(layer).items()
        if isinstance(value, keras.Layer)
    }
    found = {}
    for operation in operations:
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(operation).__name__).lower()
        made_up = re.fullmatch(rf"{kind}(_\d+)?", operation.name) is not None
        is_layer = isinstance(operation, keras.Layer)
        name = attributes.get(id(operation), kind) if made_up or not is_layer else operation.name
        found[id(operation)] = name
    return found


def _is_transparent(operation: Any) -> bool:
    """Return whether an operation is a network that computes by its graph, not by its own code."""
    is_network = isinstance(operation, keras.Model | keras.Function)
    return is_network and bool(operation.inputs) and computes_as_in_keras(operation)


def _wraps(call: _Call) -> str | None:
    """Return what a layer wraps that is called, if it computes what that does and nothing else."""
    wraps = layer_kind(call.operation).wraps
    # slices of a tensor do not have slices of its mask
    loses_mask = wraps in ("layer at each time", "layers in turn")
    is_masked = call.kwargs.get("mask") is not None or (call.reads_mask and loses_mask)
    if not computes_as_in_keras(call.operation) or is_masked:
        return None
    if wraps == "layer both ways" and not _is_opened_both_ways(call):
        return None
    return wraps


def _is_opened_both_ways(call: _Call) -> bool:
    """Return whether both layers of a bidirectional one are known, and begin without states."""
    layers = (call.operation.forward_layer, call.operation.backward_layer)
    return all(map(_is_opened_recurrence, layers)) and len(_tensors((call.args, call.kwargs))) == 1


def _merged_both_ways(
    both: keras.Layer, forward: keras.KerasTensor, backward: keras.KerasTensor
) -> list[keras.KerasTensor]:
    """Return what a bidirectional layer makes of what its two layers make."""
    if both.return_sequences:
        backward = keras.ops.flip(backward, axis=1)
    if both.merge_mode is None:
        return [forward, backward]
    merge = {
        "concat": keras.layers.Concatenate,
        "sum": keras.layers.Add,
        "ave": keras.layers.Average,
        "mul": keras.layers.Multiply,
    }[both.merge_mode]
    return [merge(name=both.merge_mode, dtype=both.dtype_policy)([forward, backward])]


def _of_wrapped(call: _Call) -> _Call:
    """Return the call of the layer that is wrapped by the one that is called."""
    kwargs = {
        name: value for name, value in call.kwargs.items() if name not in ("training", "mask")
    }
    return replace(call, operation=call.operation.layer, kwargs=kwargs)


def _masks_of(node: Any) -> set[int]:
    """Return the tensors, by their ids, that a call reads as masks that go with others.

    Keras gives them to the layers that take them, here as where the walk is run.
    """
    masks = {id(getattr(tensor, "_keras_mask", None)) for tensor in node.input_tensors}
    return masks & {id(tensor) for tensor in node.input_tensors}


def _have_masks(tensors: Sequence[Any]) -> bool:
    return any(getattr(tensor, "_keras_mask", None) is not None for tensor in tensors)


def _without(masks: set[int], kwargs: dict[str, Any]) -> dict[str, Any]:
    def is_mask(value: Any) -> bool:
        return any(id(leaf) in masks for leaf in keras.tree.flatten(value))

    return {name: value for name, value in kwargs.items() if not is_mask(value)}


def _reads_mask(node: Any, masks: set[int], around: _Around) -> bool:
    """Return whether a call hangs on a mask that goes with what it reads.

    What code does with one is not known, nor what hangs on one that code makes.
    """
    has_code = _has_code(node.operation)
    n_tensors = len(node.input_tensors) - len(masks)
    if has_code and _have_masks(node.output_tensors):
        return True
    hangs = has_code or _hangs_on_masks(node.operation, n_tensors)
    return hangs and (around.has_masks or bool(masks) or _have_masks(node.input_tensors))


def _hangs_on_masks(operation: Any, n_tensors: int) -> bool:
    """Return whether an operation makes something else of tensors with masks than without.

    A merge takes them from its tensors, other layers as an argument; of batch norm in inference
    nothing hangs on it, and what wraps others passes it on.
    """
    if layer_kind(operation).wraps == "layers in turn":
        return any(_hangs_on_masks(layer, n_tensors) for layer in operation.layers)
    while (wraps := layer_kind(operation).wraps) not in (None, "code"):
        both_ways = wraps == "layer both ways"
        operation = operation.forward_layer if both_ways else operation.layer
    if isinstance(operation, keras.layers.BatchNormalization):
        return False
    return n_tensors > 1 or getattr(operation, "_call_has_mask_arg", False)


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
        and not layer_kind(operation).is_recurrent
        and computes_as_in_keras(operation)
        and getattr(operation, "activation", None) not in (None, keras.activations.linear)
    )


def _is_opened_recurrence(operation: Any) -> bool:
    """Return whether an operation is a recurrent layer whose step makes all its states."""
    return (
        layer_kind(operation).is_recurrent
        and computes_as_in_keras(operation)
        and not operation.return_state
    )


def _without_activation(layer: keras.Layer) -> keras.Layer:
    """Return a layer that shares all with the given one but applies no activation.

    ``copy.copy`` would save and load it, with new weights.
    """
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__)
    twin.__dict__["activation"] = keras.activations.linear
    return twin
