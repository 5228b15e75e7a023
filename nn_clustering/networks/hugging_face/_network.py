"""Transformers of plain Keras layers and operations, as folders have them."""

from typing import Any

import keras
from keras import ops

from nn_clustering.networks._keras_files import check_finite
from nn_clustering.networks.hugging_face._architecture import Architecture, Head, Rotation
from nn_clustering.networks.hugging_face._folder import HuggingFaceFolder
from nn_clustering.networks.hugging_face._layer_weights import layer_weights
from nn_clustering.networks.hugging_face._tensor_files import Stored


def network_of_folder(folder: HuggingFaceFolder) -> keras.Model:
    """Build the network of a folder, with its weights in single precision.

    It reads numbers of tokens, of shape (batch, positions), or images, and puts out a number for
    each token or class, before the softmax, or the stream behind the last block. Nothing is padded,
    and all tokens are of the first kind.

    Raises:
        InvalidInputError: If a weight is NaN or infinite, or cannot be read any more.
    """
    network = build_network(folder.architecture)
    stored = Stored(folder.path, folder.tensors, folder.architecture.names.prefix)
    for name, arrays in layer_weights(folder.architecture, stored):
        network.get_layer(name).set_weights(arrays)
    check_finite(network, str(folder.path))
    return network


def build_network(architecture: Architecture) -> keras.Model:
    """Build a transformer whose weights are all 0, but for those of norms."""
    if architecture.patches is None:
        inputs = keras.Input((None,), dtype="int32", name="tokens")
        x = _embedding(architecture, inputs, "token_embedding", architecture.vocabulary)
        positions = _positions(inputs)
    else:
        inputs = keras.Input(architecture.patches.image, name="image")
        x = _patches(architecture, inputs)
        positions = _positions(x[..., 0])
    if architecture.n_positions:
        at = _embedding(architecture, positions, "position_embedding", architecture.n_positions)
        x = keras.layers.Add(name="embedding_add")([x, at])
    if architecture.names.embedding_norm is not None:
        x = _norm(architecture, "embedding_norm")(x)
    turn = None if architecture.rotation is None else _Turn(architecture.rotation, positions)
    mask = _mask(architecture, positions)
    for number in range(architecture.n_blocks):
        x = _block(architecture, x, f"block_{number}_", turn, mask)
    if architecture.names.final_norm is not None:
        x = _norm(architecture, "final_norm")(x)
    if architecture.head is not None:
        x = _head(architecture, architecture.head, x)
    return keras.Model(inputs, x, name=architecture.kind)


def _positions(x: Any) -> Any:
    """Return 0, 1, 2, ... for what is of shape (batch, positions)."""
    return ops.cumsum(ops.ones_like(x, dtype="int32"), axis=1) - 1


def _embedding(architecture: Architecture, numbers: Any, name: str, n_rows: int) -> Any:
    layer = keras.layers.Embedding(
        n_rows, architecture.n_channels, embeddings_initializer="zeros", name=name
    )
    return layer(numbers)


def _patches(architecture: Architecture, images: Any) -> Any:
    """Return what squares become, behind a place for what stands for the whole."""
    patches, width = architecture.patches, architecture.n_channels
    assert patches is not None
    x = keras.layers.Conv2D(
        width,
        patches.size,
        strides=patches.size,
        kernel_initializer="zeros",
        name="patch_embedding",
    )(images)
    x = keras.layers.Reshape((patches.n, width), name="patches")(x)
    return keras.layers.ZeroPadding1D((1, 0), name="class_token")(x)


def _norm(architecture: Architecture, name: str) -> keras.Layer:
    if architecture.norm == "rms":
        return keras.layers.RMSNormalization(epsilon=architecture.epsilon, name=name)
    return keras.layers.LayerNormalization(epsilon=architecture.epsilon, name=name)


def _dense(architecture: Architecture, n_outputs: int, role: str, name: str) -> keras.Layer:
    has_bias = role in architecture.biases
    return keras.layers.Dense(
        n_outputs, use_bias=has_bias, kernel_initializer="zeros", name=f"{name}"
    )


def _activation(name: str, x: Any) -> Any:
    if name == "gelu_tanh":
        return ops.gelu(x, approximate=True)
    return keras.layers.Activation(name)(x)


def _mask(architecture: Architecture, positions: Any) -> Any:
    """Return which positions are read by which, where there is more to it than what lies before."""
    if architecture.window is None:
        return None
    back = ops.expand_dims(positions, 2) - ops.expand_dims(positions, 1)
    near = ops.logical_and(ops.greater_equal(back, 0), ops.less(back, architecture.window))
    return ops.expand_dims(near, 1)


def _block(architecture: Architecture, x: Any, before: str, turn: Any, mask: Any) -> Any:
    norm_1, norm_2 = (_norm(architecture, f"{before}norm_{number}") for number in (1, 2))
    add_1, add_2 = (keras.layers.Add(name=f"{before}add_{number}") for number in (1, 2))

    def attention(read: Any) -> Any:
        return _attention(architecture, read, before, turn, mask)

    def neurons(read: Any) -> Any:
        return _neurons(architecture, read, before)

    if architecture.order == "parallel":
        return add_1([x, attention(norm_1(x)), neurons(norm_2(x))])
    if architecture.order == "after":
        x = norm_1(add_1([x, attention(x)]))
        return norm_2(add_2([x, neurons(x)]))
    x = add_1([x, attention(norm_1(x))])
    return add_2([x, neurons(norm_2(x))])


def _neurons(architecture: Architecture, x: Any, before: str) -> Any:
    n_hidden = architecture.n_hidden
    hidden = _dense(architecture, n_hidden, "mlp_in", f"{before}mlp_in")(x)
    if architecture.names.of_block.gate is None:
        hidden = _activation(architecture.activation, hidden)
    else:
        gate = _dense(architecture, n_hidden, "gate", f"{before}mlp_gate")(x)
        gate = _activation(architecture.activation, gate)
        hidden = keras.layers.Multiply(name=f"{before}mlp_gated")([gate, hidden])
    return _dense(architecture, architecture.n_channels, "mlp_out", f"{before}mlp_out")(hidden)


def _attention(architecture: Architecture, x: Any, before: str, turn: Any, mask: Any) -> Any:
    if turn is None:
        layer = keras.layers.MultiHeadAttention(
            architecture.n_heads,
            architecture.head_size,
            kernel_initializer="zeros",
            name=f"{before}attention",
        )
        return layer(x, x, use_causal_mask=architecture.is_causal)
    n_heads, n_key_heads = architecture.n_heads, architecture.n_key_heads
    query, key, value = (
        _heads(architecture, n, role, before)(x)
        for role, n in (("query", n_heads), ("key", n_key_heads), ("value", n_key_heads))
    )
    key, value = (_repeated(one, n_heads // n_key_heads) for one in (key, value))
    mixed = ops.dot_product_attention(
        turn(query), turn(key), value, mask=mask, is_causal=mask is None
    )
    return keras.layers.EinsumDense(
        "abcd,cde->abe",
        (None, architecture.n_channels),
        bias_axes="e" if "attention_output" in architecture.biases else None,
        kernel_initializer="zeros",
        name=f"{before}attention_output",
    )(mixed)


def _heads(architecture: Architecture, n_heads: int, role: str, before: str) -> keras.Layer:
    return keras.layers.EinsumDense(
        "abc,cde->abde",
        (None, n_heads, architecture.head_size),
        bias_axes="de" if role in architecture.biases else None,
        kernel_initializer="zeros",
        name=f"{before}attention_{role}",
    )


def _repeated(x: Any, n_times: int) -> Any:
    return x if n_times == 1 else ops.repeat(x, n_times, axis=2)


class _Turn:
    """Turns the first channels of every head by an angle that grows with the position.

    Channel c of the first half and of the second are the two of a plane.
    """

    def __init__(self, rotation: Rotation, positions: Any) -> None:
        n = self._n = rotation.n_channels
        speeds = [rotation.base ** (-2 * plane / n) for plane in range(n // 2)]
        by_plane = ops.expand_dims(ops.cast(positions, "float32"), -1) * ops.convert_to_numpy(
            ops.array(speeds, "float32")
        )
        angles = ops.expand_dims(ops.concatenate([by_plane, by_plane], axis=-1), 2)
        self._cosine, self._sine = ops.cos(angles), ops.sin(angles)

    def __call__(self, heads: Any) -> Any:
        turned, half = heads[..., : self._n], self._n // 2
        across = ops.concatenate([-turned[..., half:], turned[..., :half]], axis=-1)
        turned = turned * self._cosine + across * self._sine
        if self._n == heads.shape[-1]:
            return turned
        return ops.concatenate([turned, heads[..., self._n :]], axis=-1)


def _head(architecture: Architecture, head: Head, x: Any) -> Any:
    if head.of_first:
        x = x[:, 0]
    if head.hidden is not None:
        x = keras.layers.Dense(
            architecture.n_channels, kernel_initializer="zeros", name="head_hidden"
        )(x)
        x = _activation(head.activation, x)
    if head.norm is not None:
        x = _norm(architecture, "head_norm")(x)
    return keras.layers.Dense(
        head.n_outputs, use_bias=head.bias is not None, kernel_initializer="zeros", name="output"
    )(x)
