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
    import keras

    return keras.layers.RNN(
        _ReadState(layer.cell, on_state),
        return_sequences=True,
        go_backwards=layer.go_backwards,
        unroll=layer.unroll,
        dtype=layer.dtype_policy,
        name=layer.name,
    )


class _ReadState:
    """A cell that reads another hidden state than it made."""

    def __init__(self, cell: Any, on_state: Callable[[Any], Any]) -> None:
        self._cell, self._on_state = cell, on_state
        self.state_size, self.compute_dtype = cell.state_size, cell.compute_dtype
        self.get_initial_state = cell.get_initial_state

    def call(self, inputs: Any, states: Any) -> Any:
        hidden, *kept = states
        return self._cell(inputs, [self._on_state(hidden), *kept], training=False)

    __call__ = call
