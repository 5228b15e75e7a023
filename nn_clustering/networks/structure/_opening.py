"""What a layer's own code computes, as a graph of Keras' operations and layers.

The layer's ``call`` is run once, on symbolic tensors, by which Keras records what it calls. Code
that is not of Keras' operations, or that asks for values, cannot be followed.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import keras
import numpy as np
from keras import ops

from nn_clustering.networks.structure._flat_projections import ConcatenatedForEach

# Of axes whose size is open, where nothing says how many positions there are.
_LENGTH = 4
# Relative to the largest value; operations in another order round otherwise.
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class OpenTensor:
    """Stands in a call for a tensor: its shape, and its type."""

    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, eq=False)
class Opened:
    """What a layer's code makes of symbolic tensors.

    Attributes:
        inputs: The tensors that it reads, in the order of its arguments.
        outputs: Those that it makes; none where it makes values that hang on shapes alone.
    """

    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def opened(
    layer: keras.Layer, args: Any, kwargs: dict[str, Any], *, is_keras: bool
) -> Opened | None:
    """Return what a layer calls, on tensors of these shapes; None if its code cannot be followed.

    Args:
        layer: A built layer.
        args: Its arguments, with an :class:`OpenTensor` in place of each tensor.
        kwargs: Its named arguments likewise.
        is_keras: Whether it is Keras' own; what others' code was seen to do is compared with what
            the layer does.
    """
    kwargs = {name: value for name, value in kwargs.items() if name != "training"}
    if "training" in inspect.signature(layer.call).parameters:
        kwargs["training"] = False
    # Some code asks how many samples there are; some layers say by their code alone what they make.
    for n_samples, says in product((None, 1), (_as_their_code_says, nullcontext)):
        try:
            with says(layer):
                found = _traced(layer, args, kwargs, n_samples)
            if is_keras or _computes_alike(layer, found, args, kwargs):
                return found
        except Exception:  # whatever the code of others ends with on symbolic tensors
            continue
    return None


def with_known_sizes(network: keras.Model, sample_shape: Sequence[int] | None) -> Opened | None:
    """Return what a network computes on samples of a known shape; None if it cannot be followed.

    Args:
        network: A network with open axes.
        sample_shape: Shape of what its first input holds of a sample; None for some.
    """
    inputs = []
    for number, tensor in enumerate(network.inputs):
        known = sample_shape if number == 0 or len(tensor.shape) == 2 else None
        shape = [
            size if size is not None else (_LENGTH if known is None else known[axis])
            for axis, size in enumerate(tensor.shape[1:])
        ]
        inputs.append(keras.Input(batch_shape=(None, *shape), dtype=tensor.dtype))
    try:
        made = network.call(keras.tree.pack_sequence_as(network._inputs_struct, inputs))
    except Exception:
        return None
    return Opened(tuple(map(_as_converted, inputs)), tuple(keras.tree.flatten(made)))


def _as_converted(tensor: keras.KerasTensor) -> keras.KerasTensor:
    """Return what the layers of a network read, which converts what it is given first."""
    operation, _, _ = tensor._keras_history
    for node in operation._outbound_nodes:
        if type(node.operation).__name__ == "ConvertToTensor":
            return node.output_tensors[0]
    return tensor


@contextmanager
def unrecorded(network: keras.Model) -> Iterator[None]:
    """Take from the layers of a network, at the end of the block, what was recorded within it.

    A layer would otherwise seem to be called once more, and have several outputs.
    """
    layers = list(network._flatten_layers())
    nodes = [
        (recorded, len(recorded))
        for layer in layers
        for recorded in (layer._inbound_nodes, layer._outbound_nodes)
    ]
    try:
        yield
    finally:
        for recorded, n_before in nodes:
            del recorded[n_before:]


@contextmanager
def _as_their_code_says(layer: keras.Layer) -> Iterator[None]:
    """Within the block, some layers inside one say what they make by their code alone.

    It is those whose code takes other arguments than the method that says it for their base, and
    einsums, which do not know how many positions there are.
    """
    inside = [
        one
        for one in layer._flatten_layers(include_self=False)
        if isinstance(one, keras.layers.EinsumDense)
        or _base_with(type(one), "compute_output_spec")
        not in (keras.Layer, _base_with(type(one), "call"))
    ]
    for one in inside:
        vars(one)["compute_output_spec"] = partial(keras.Operation.compute_output_spec, one)
    try:
        yield
    finally:
        for one in inside:
            del vars(one)["compute_output_spec"]


def _base_with(kind: type, method: str) -> type:
    return next(base for base in kind.__mro__ if method in vars(base))


def _traced(layer: keras.Layer, args: Any, kwargs: dict[str, Any], n_samples: int | None) -> Opened:
    inputs: list[keras.KerasTensor] = []

    def symbolic(leaf: Any) -> Any:
        if not isinstance(leaf, OpenTensor):
            return leaf
        shape = (n_samples, *(size or _LENGTH for size in leaf.shape[1:]))
        inputs.append(keras.Input(batch_shape=shape, dtype=leaf.dtype))
        return inputs[-1]

    args, kwargs = keras.tree.map_structure(symbolic, (args, kwargs))
    made = keras.tree.flatten(layer.call(*args, **kwargs))
    are_symbolic = [isinstance(tensor, keras.KerasTensor) for tensor in made]
    if any(are_symbolic) and not all(are_symbolic):
        raise TypeError("the code makes values beside what hangs on its input")
    if not any(are_symbolic):
        return Opened(tuple(inputs), ())
    return Opened(tuple(inputs), tuple(made))


def batch_free(node: Any) -> Any:
    """Return the operation of a call that was recorded on one sample as one on any number."""
    operation, read, made = node.operation, node.input_tensors, node.output_tensors
    kind = type(operation).__name__
    if not read or read[0].shape[0] != 1 or isinstance(operation, keras.Layer):
        return operation
    if kind == "Reshape" and made[0].shape[0] == 1 and None not in made[0].shape:
        return type(operation)((-1, *made[0].shape[1:]))
    if kind == "Concatenate":
        return ConcatenatedForEach(operation)
    return operation


def _computes_alike(layer: keras.Layer, found: Opened, args: Any, kwargs: dict[str, Any]) -> bool:
    """Return whether the graph that was recorded computes what the layer does, on two samples."""
    random = np.random.default_rng(0)
    values: list[Any] = []

    def drawn(leaf: Any) -> Any:
        if not isinstance(leaf, OpenTensor):
            return leaf
        shape = (2, *(size or _LENGTH for size in leaf.shape[1:]))
        is_float = leaf.dtype.startswith(("float", "bfloat"))
        value = random.normal(size=shape) if is_float else np.zeros(shape)
        values.append(ops.convert_to_tensor(value, leaf.dtype))
        return values[-1]

    args, kwargs = keras.tree.map_structure(drawn, (args, kwargs))
    expected = keras.tree.flatten(layer(*args, **kwargs))
    if not found.outputs:
        zeros = keras.tree.map_structure(
            lambda leaf: ops.zeros_like(leaf) if ops.is_tensor(leaf) else leaf, (args, kwargs)
        )
        others = keras.tree.flatten(layer(*zeros[0], **zeros[1]))
        return all(map(_are_close, map(_values, others), map(_values, expected)))
    made = keras.tree.flatten(_run(found, values))
    return all(map(_are_close, map(_values, made), map(_values, expected)))


def _values(tensor: Any) -> np.ndarray:
    found: np.ndarray = ops.convert_to_numpy(tensor)
    return found


def _are_close(found: np.ndarray, expected: np.ndarray) -> bool:
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    largest = np.abs(expected).max(initial=1e-30)
    return found.shape == expected.shape and bool(
        np.abs(found - expected).max(initial=0.0) <= _TOLERANCE * largest
    )


def _run(found: Opened, values: Sequence[Any]) -> Any:
    held = {id(tensor): value for tensor, value in zip(found.inputs, values, strict=True)}
    for node in nodes_between(found.inputs, found.outputs):
        args, kwargs = keras.tree.map_structure(
            lambda leaf: held[id(leaf)] if isinstance(leaf, keras.KerasTensor) else leaf,
            (node.arguments.args, node.arguments.kwargs),
        )
        made = keras.tree.flatten(batch_free(node)(*args, **kwargs))
        held.update(zip(map(id, node.output_tensors), made, strict=True))
    return [held[id(tensor)] for tensor in found.outputs]


def node_that_made(tensor: keras.KerasTensor) -> Any:
    """Return Keras' record of the call that made a tensor.

    Keras has no public way to it. This is the one that its own ``Functional`` takes.
    """
    operation, node_index, _ = tensor._keras_history
    return operation._inbound_nodes[node_index]


def nodes_between(
    inputs: Sequence[keras.KerasTensor], outputs: Sequence[keras.KerasTensor]
) -> list[Any]:
    """Return Keras' records of the calls by which tensors were made of others, in order."""
    known = set(map(id, inputs))
    found: list[Any] = []
    pending = list(reversed(outputs))
    while pending:
        tensor = pending[-1]
        if id(tensor) in known:
            pending.pop()
            continue
        node = node_that_made(tensor)
        unknown = [read for read in node.input_tensors if id(read) not in known]
        if unknown:
            pending.extend(reversed(unknown))
            continue
        found.append(node)
        known.update(map(id, node.output_tensors))
    return found
