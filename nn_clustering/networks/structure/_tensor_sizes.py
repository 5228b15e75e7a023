"""How much memory the tensors of a network take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering.networks.structure._walk import Walk

if TYPE_CHECKING:
    import keras


def tensor_bytes(walk: Walk, network: keras.Model, input_shape: tuple[int, ...]) -> dict[int, int]:
    """Return the bytes of an image's share of every tensor.

    Args:
        walk: The steps of the network.
        network: The network, whose layers say how many bytes a value has.
        input_shape: Shape of an image; what is open in the network is at most its largest size.
    """
    value = max(_bytes_of_a_value(layer.compute_dtype) for layer in network.layers)
    open_size = max(input_shape, default=1)
    return {
        number: value * int(np.prod([size or open_size for size in shape[1:]], dtype=np.int64))
        for number, shape in enumerate(walk.shapes)
    }


def most_alive(
    walk: Walk, given: Iterable[int], wanted: Iterable[int], sizes: Mapping[int, int]
) -> int:
    """Return the largest sum of sizes of what is alive at a time, the given tensors left out.

    What a step reads counts twice, as it may read a silenced copy.
    """
    given, wanted = set(given), tuple(wanted)
    steps = walk.steps_between(given, wanted)
    uses = Counter(number for step in steps for number in step.inputs)
    uses.update(wanted)
    alive: set[int] = set()
    most = 0
    for step in steps:
        alive.update(step.outputs)
        now = sum(sizes[number] for number in alive)
        most = max(most, now + sum(sizes[number] for number in step.inputs))
        for number in step.inputs:
            uses[number] -= 1
        alive = {number for number in alive if uses[number] and number not in given}
    return most


def _bytes_of_a_value(dtype: str) -> int:
    import tensorflow as tf

    return int(tf.as_dtype(dtype).size)
