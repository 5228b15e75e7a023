"""What a layer's own code computes, as a graph of Keras' operations and layers.

The layer's ``call`` is run once, on symbolic tensors, by which Keras records what it calls. Code
that is not of Keras' operations, or that asks for values, cannot be followed.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

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
        outputs: Those that it makes.
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
    for n_samples in (None, 1):
        try:
            found = _traced(layer, args, kwargs, n_samples)
            if is_keras or _computes_alike(layer, found, args, kwargs):
                return found
        except Exception:  # whatever the code of others ends with on symbolic tensors
            continue
    return None


def with_known_sizes(
    network: keras.Model, sample_shape: Sequence[int] | None
) -> keras.Model | Opened | None:
    """Return what a network computes on samples of a known shape.

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
    return Opened(tuple(inputs), tuple(keras.tree.flatten(made)))


@contextmanager
def unrecorded(network: keras.Model) -> Iterator[None]:
    """Take from the layers of a network, at the end of the block, what was recorded within it.

    A layer would otherwise seem to be called once more, and have several outputs.
    """
    nodes = [
        (recorded, len(recorded))
        for layer in network._flatten_layers()
        for recorded in (layer._inbound_nodes, layer._outbound_nodes)
    ]
    try:
        yield
    finally:
        for recorded, n_before in nodes:
            del recorded[n_before:]


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
    if not all(isinstance(tensor, keras.KerasTensor) for tensor in made):
        raise TypeError("the code makes values, not what hangs on its input")
    return Opened(tuple(inputs), tuple(made))


def batch_free(operation: Any, read: Sequence[keras.KerasTensor]) -> Any:
    """Return an operation that was recorded on one sample as one on any number of them."""
    shape = getattr(operation, "newshape", None)
    if type(operation).__name__ != "Reshape" or shape is None or len(read) != 1:
        return operation
    if read[0].shape[0] != 1 or shape[0] != 1:
        return operation
    return type(operation)((-1, *shape[1:]))


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
    made = keras.tree.flatten(_run(found, values))
    return all(
        _are_close(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
        for one, other in zip(made, expected, strict=True)
    )


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
        operation = batch_free(node.operation, node.input_tensors)
        made = keras.tree.flatten(operation(*args, **kwargs))
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
