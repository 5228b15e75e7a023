"""A transformer with two tasks planted in disjoint heads and neurons, its weights set by hand.

A sequence is of one task: of letters ("a" and "b", task 0) or of digits ("0" and "1", task 1), and
its class is which of the two there are more of. Each task has half of the channels of the stream,
of the values and of the neurons. A task's answer goes from one direction of its part of the stream
to the next: the embedding writes the first, the attention of block 0 reads it and writes the
second, its neurons read that and write the third, and so on; the output reads the last. So every
block is needed, and no way leads around one. All other weights are noise.
"""

import keras
import numpy as np
from keras import layers, ops

LENGTH, N_BLOCKS, N_TASKS = 7, 2, 2
WIDTH, N_HEADS, HEAD, N_NEURONS = 16, 8, 2, 16
TOKENS = ("a", "b", "0", "1")
NOISE = 0.02


def planted_transformer(*, task_of_channel=None, noise=NOISE, seed=0):
    """Return the network, in float32.

    Args:
        task_of_channel: The task of each value channel, of shape (heads, channels); by default
            the first half of the heads is of task 0.
        noise: Standard deviation of what is added to each weight.
        seed: Of the noise.
    """
    network = _network()
    random = np.random.default_rng(seed)
    tasks = default_tasks() if task_of_channel is None else np.asarray(task_of_channel)
    for layer in network.layers:
        weights = _planted(layer.name, [w.shape for w in layer.get_weights()], tasks)
        layer.set_weights([w + noise * random.normal(size=w.shape) for w in weights])
    return network


def default_tasks():
    """The task of every value channel, (heads, channels)."""
    return np.repeat(np.arange(N_TASKS), N_HEADS * HEAD // 2).reshape(N_HEADS, HEAD)


def task_of_unit(layer, tasks=None):
    """The planted task of every unit of a set, by the name of its layer."""
    if layer.endswith("/value"):
        return (default_tasks() if tasks is None else np.asarray(tasks)).ravel()
    return np.repeat(np.arange(N_TASKS), (N_NEURONS if "mlp" in layer else WIDTH) // 2)


def samples(n_samples, seed=0):
    """Return tokens (samples, length), classes and tasks (samples,)."""
    random = np.random.default_rng(seed)
    tasks = random.integers(N_TASKS, size=n_samples)
    second = random.integers(2, size=(n_samples, LENGTH))
    x = (second + 2 * tasks[:, None]).astype(np.int32)
    return x, 2 * tasks + (second.mean(axis=1) > 0.5), tasks


def _network():
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    embedded = layers.Embedding(len(TOKENS), WIDTH, name="token_embedding")(tokens)
    positions = layers.Embedding(LENGTH, WIDTH, name="position_embedding")(places)
    stream = layers.Add(name="embedded")([embedded, positions])
    for block in range(N_BLOCKS):
        name = f"block_{block}"
        read = layers.LayerNormalization(name=f"{name}_norm_1")(stream)
        attended = layers.MultiHeadAttention(N_HEADS, HEAD, name=f"{name}_attention")(read, read)
        stream = layers.Add(name=f"{name}_add_1")([stream, attended])
        read = layers.LayerNormalization(name=f"{name}_norm_2")(stream)
        neurons = layers.Dense(N_NEURONS, activation="relu", name=f"{name}_mlp_in")(read)
        written = layers.Dense(WIDTH, name=f"{name}_mlp_out")(neurons)
        stream = layers.Add(name=f"{name}_add_2")([stream, written])
    stream = layers.LayerNormalization(name="last_norm")(stream)
    pooled = layers.GlobalAveragePooling1D(name="pooled")(stream)
    classes = layers.Dense(2 * N_TASKS, activation="softmax", name="output")(pooled)
    return keras.Model(tokens, classes, name="planted")


def _directions():
    """Seven directions that are orthogonal to each other and to the mean, (7, width / 2)."""
    two = np.array([[1, 1], [1, -1]])
    return np.kron(two, np.kron(two, two))[1:]


def _in_parts(of_task):
    """A matrix of both tasks, each in its own half of the rows and columns."""
    return np.kron(np.eye(N_TASKS), of_task)


def _planted(name, shapes, tasks):
    """The weights of a layer without noise."""
    weights = [np.zeros(shape) for shape in shapes]
    directions = _directions()
    signs = np.tile([1, -1], N_NEURONS // 4)  # half of a task's neurons answer to either class
    if "norm" in name:
        weights[0] += 1
    elif name == "token_embedding":
        weights[0] += _in_parts(np.outer([-1, 1], directions[0]))
    elif name == "output":
        weights[0] += _in_parts(np.outer(directions[2 * N_BLOCKS], [-1, 1]))
    elif name.endswith("attention"):
        at = 2 * int(name[len("block_")])
        of_channel = np.eye(N_TASKS)[tasks]  # (heads, channels, tasks)
        reads, writes = (
            np.einsum("hct,td->hcd", of_channel, _in_parts(directions[step][None]))
            for step in (at, at + 1)
        )
        weights[4] += reads.transpose(2, 0, 1) / 2
        weights[6] += writes / 2
    elif "mlp" in name:
        at = 2 * int(name[len("block_")]) + 1
        if name.endswith("in"):
            weights[0] += _in_parts(np.outer(directions[at], signs)) / 2
        else:
            weights[0] += _in_parts(np.outer(signs, directions[at + 1])) / 2
    return weights
