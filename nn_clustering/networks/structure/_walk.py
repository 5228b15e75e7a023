"""The steps by which a Keras network computes, and how to take them."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._recurrence import with_state_read

if TYPE_CHECKING:
    import keras


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
        layer: The layer as the network holds it, activation included, without what is wrapped
            around it; None for other operations.
        n_times: Number of axes behind the batch's that the operation does not see: it is called on
            every slice along them, as a ``TimeDistributed`` layer calls what it wraps.
        reads_mask: Whether it also hangs on a mask that goes with what it reads.
        is_constant: Whether it makes the same of everything that has the same shape.
        is_recurrent: Whether it also reads, at each time, what it made at the time before. The last
            of its outputs is all its states then, and the first what the layer puts out of them.
    """

    name: str
    operation: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    layer: "keras.Layer | None"
    n_times: int = 0
    reads_mask: bool = False
    is_constant: bool = False
    is_recurrent: bool = False

    @property
    def tensors_read(self) -> tuple[int, ...]:
        """Numbers of the tensors that it reads, its own states among them if it is recurrent."""
        return (*self.inputs, self.outputs[-1]) if self.is_recurrent else self.inputs

    def run(
        self, read: Callable[[int], Any], on_state: Callable[[Any], Any] | None = None
    ) -> list[Any]:
        """Call the operation on the tensors that ``read`` gives for their numbers.

        Args:
            read: Returns the tensor of a number.
            on_state: Of a recurrent layer: called with what it reads of its own, of shape (samples,
                units), at each time; returns what it reads instead.
        """
        import keras

        if self.n_times:
            return self._run_slice_by_slice(read)
        args, kwargs = keras.tree.map_structure(
            lambda leaf: read(leaf.number) if isinstance(leaf, TensorId) else leaf,
            (self.args, self.kwargs),
        )
        operation = self.operation
        if on_state is not None:
            operation = with_state_read(operation, on_state)
        found: list[Any] = keras.tree.flatten(operation(*args, **kwargs))
        if self.is_recurrent and len(self.outputs) > 1:
            (states,) = found
            return [states[:, -1], states]
        return found

    def _run_slice_by_slice(self, read: Callable[[int], Any]) -> list[Any]:
        """Call the operation on all slices at once: as many samples as there are slices."""
        from keras import ops

        n_axes = 1 + self.n_times
        values = {number: read(number) for number in self.inputs}
        slices = {
            number: ops.reshape(value, (-1, *ops.shape(value)[n_axes:]))
            for number, value in values.items()
        }
        leading = ops.shape(values[self.inputs[0]])[:n_axes]
        found = replace(self, n_times=0).run(slices.__getitem__)
        return [ops.reshape(value, (*leading, *ops.shape(value)[1:])) for value in found]


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
        on_read: Callable[[Step, int, Any], Any] | None = None,
    ) -> dict[int, Any]:
        """Compute tensors from others, as in inference: no dropout, moving statistics.

        Only the steps that lie between are run, eagerly, in a ``tf.function`` or under a gradient
        tape alike, and a tensor is let go after its last use.

        Args:
            values: Tensors by their number: the network's inputs, or any that stand in for what
                they were computed from.
            wanted: Numbers of the tensors to return; those given are returned as they are.
            on_read: Called as a step reads a tensor; returns what it reads instead. A recurrent
                layer reads its own states too, at each time those of the time before.

        Raises:
            InvalidInputError: If the tensors given do not suffice.
        """
        wanted = tuple(wanted)
        steps = self.steps_between(values, wanted)
        uses = Counter(number for step in steps for number in step.inputs)
        uses.update(wanted)
        held = {number: values[number] for number in values if uses[number]}
        for step in steps:
            made = _run(step, held, on_read)
            for number in step.inputs:
                uses[number] -= 1
                if not uses[number]:
                    del held[number]
            for number, value in zip(step.outputs, made, strict=True):
                # one that is given stays, even if a step that is needed makes it too
                if uses[number] and number not in values:
                    held[number] = value
        return {number: held[number] for number in wanted}

    def require_no_masks(self, purpose: str) -> None:
        """Check that no step hangs on a mask, which does not go with a tensor that is replaced.

        Args:
            purpose: What replaces tensors, for the message.

        Raises:
            InvalidInputError: If a step does.
        """
        masked = next((step for step in self.steps if step.reads_mask), None)
        if masked is not None:
            raise InvalidInputError(
                f"layer {masked.name!r} of network {self.name!r} reads a mask, which {purpose} "
                "cannot carry along; expected a network without masks: leave out its Masking layer"
            )

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


def _run(
    step: Step, held: Mapping[int, Any], on_read: Callable[[Step, int, Any], Any] | None
) -> list[Any]:
    """Take a step on the tensors that are held, or on what is read instead."""
    if on_read is None:
        return step.run(held.__getitem__)
    on_state = partial(on_read, step, step.outputs[-1]) if step.is_recurrent else None
    return step.run(lambda number: on_read(step, number, held[number]), on_state)
