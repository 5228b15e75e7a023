"""Recurrent layers of which all states are wanted, or that read other states than they made."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras


def with_all_states(layer: keras.Layer) -> keras.Layer:
    """Return a recurrent layer that shares all with the given one but returns all its states.

    ``copy.copy`` would save and load it, with new weights.
    """
    twin = object.__new__(type(layer))
    twin.__dict__.update(layer.__dict__)
    twin.__dict__["return_sequences"] = True
    return twin


def with_state_read(layer: keras.Layer, on_state: Callable[[Any], Any]) -> keras.Layer:
    """Return a recurrent layer that returns all its states and reads others than it made.

    What a unit keeps beside its hidden state, as an LSTM's cell state, goes on in it as it is: no
    other unit reads that.

    Args:
        layer: An LSTM, a GRU or a simple recurrent layer.
        on_state: Called with the hidden state of the time before, of shape (samples, units);
            returns what is read instead.
    """
    return _around(_ReadState(layer.cell, on_state), layer)


def states_with_added(layer: keras.Layer, x: Any, added: Any) -> Any:
    """Return all states of a recurrent layer that reads its own with something added.

    Args:
        layer: An LSTM, a GRU or a simple recurrent layer.
        x: What it reads, of shape (samples, times, inputs).
        added: What is added to the state that it reads at each time, in the order in which it
            reads, of shape (samples, times, units).
    """
    from keras import ops

    in_order = ops.flip(added, axis=1) if layer.go_backwards else added
    cell = _AddedState(layer.cell, x.shape[-1])
    return _around(cell, layer)(ops.concatenate([x, in_order], axis=-1))


def _around(cell: Any, layer: keras.Layer) -> keras.Layer:
    """Return a layer that returns all the states that a cell makes, as a layer reads times."""
    import keras

    return keras.layers.RNN(
        cell,
        return_sequences=True,
        go_backwards=layer.go_backwards,
        unroll=layer.unroll,
        dtype=layer.dtype_policy,
        name=layer.name,
    )


class _Cell:
    """A cell around another."""

    def __init__(self, cell: Any) -> None:
        self._cell = cell
        self.state_size, self.compute_dtype = cell.state_size, cell.compute_dtype
        self.get_initial_state = cell.get_initial_state

    def call(self, inputs: Any, states: Any) -> Any:
        raise NotImplementedError

    def __call__(self, inputs: Any, states: Any) -> Any:
        return self.call(inputs, states)


class _ReadState(_Cell):
    """A cell that reads another hidden state than it made."""

    def __init__(self, cell: Any, on_state: Callable[[Any], Any]) -> None:
        super().__init__(cell)
        self._on_state = on_state

    def call(self, inputs: Any, states: Any) -> Any:
        hidden, *kept = states
        return self._cell(inputs, [self._on_state(hidden), *kept], training=False)


class _AddedState(_Cell):
    """A cell that reads, behind its inputs, what is added to the hidden state that it reads."""

    def __init__(self, cell: Any, n_inputs: int) -> None:
        super().__init__(cell)
        self._n_inputs = n_inputs

    def call(self, inputs: Any, states: Any) -> Any:
        hidden, *kept = states
        read = [hidden + inputs[:, self._n_inputs :], *kept]
        return self._cell(inputs[:, : self._n_inputs], read, training=False)
