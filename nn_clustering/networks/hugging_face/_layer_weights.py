"""The weights of a network's layers, out of the tensors of a folder; needs no Keras."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nn_clustering.networks.hugging_face._architecture import Architecture, Head

Weights = NDArray[np.floating[Any]]


class Tensors(Protocol):
    """What hands out the tensors of a folder."""

    def take(self, name: str, shape: tuple[int, ...]) -> Weights:
        """Return a tensor.

        Args:
            name: Its name, without the prefix of all.
            shape: The shape that it is to have.
        """


def layer_weights(
    architecture: Architecture, tensors: Tensors
) -> Iterator[tuple[str, list[Weights]]]:
    """Yield the layers of :func:`build_network` that have weights, by name, with these.

    Each tensor is taken when its layer's turn comes, so that no more than one layer's are held.

    Args:
        architecture: What they are the weights of.
        tensors: Where they are taken from.
    """
    yield from _embeddings(architecture, tensors)
    for number in range(architecture.n_blocks):
        yield from _block(architecture, tensors, number)
    if architecture.names.final_norm is not None:
        yield "final_norm", _norm(architecture, tensors, architecture.names.final_norm)
    if architecture.head is not None:
        yield from _head(architecture, architecture.head, tensors)


def _embeddings(
    architecture: Architecture, tensors: Tensors
) -> Iterator[tuple[str, list[Weights]]]:
    names, width = architecture.names, architecture.n_channels
    if names.token is not None:
        shape = (architecture.vocabulary, width)
        yield "token_embedding", [tensors.take(f"{names.token}.weight", shape)]
    if architecture.patches is not None:
        yield from _of_patches(architecture, tensors)
    if names.position is not None:
        n_skipped = architecture.n_skipped_positions
        shape = (n_skipped + architecture.n_positions, width)
        table = tensors.take(f"{names.position}.weight", shape)[n_skipped:]
        if names.token_type is not None:
            shape = (architecture.n_token_types, width)
            table = table + tensors.take(f"{names.token_type}.weight", shape)[0]
        yield "position_embedding", [table]
    if names.embedding_norm is not None:
        yield "embedding_norm", _norm(architecture, tensors, names.embedding_norm)


def _of_patches(
    architecture: Architecture, tensors: Tensors
) -> Iterator[tuple[str, list[Weights]]]:
    """Yield the projection of patches, and positions of which the first holds the class token.

    Before it the stream has nothing there.
    """
    patches, width = architecture.patches, architecture.n_channels
    assert patches is not None
    module, n_colours = "embeddings.patch_embeddings.projection", patches.image[2]
    shape = (width, n_colours, patches.size, patches.size)
    kernel = tensors.take(f"{module}.weight", shape).transpose(2, 3, 1, 0)
    yield "patch_embedding", [kernel, tensors.take(f"{module}.bias", (width,))]
    token = tensors.take("embeddings.cls_token", (1, 1, width))[0]
    table = tensors.take("embeddings.position_embeddings", (1, architecture.n_positions, width))[0]
    yield "position_embedding", [np.concatenate([table[:1] + token, table[1:]])]


def _block(
    architecture: Architecture, tensors: Tensors, number: int
) -> Iterator[tuple[str, list[Weights]]]:
    names, of_block = architecture.names, architecture.names.of_block
    before, inside = f"block_{number}_", names.block.format(number)
    width, n_hidden = architecture.n_channels, architecture.n_hidden
    yield f"{before}norm_1", _norm(architecture, tensors, inside + of_block.norm_1)
    yield from _attention(architecture, tensors, before, inside)
    yield f"{before}norm_2", _norm(architecture, tensors, inside + of_block.norm_2)
    for role, n_inputs, n_outputs in (
        ("gate", width, n_hidden), ("mlp_in", width, n_hidden), ("mlp_out", n_hidden, width),
    ):  # fmt: skip
        module = getattr(of_block, role)
        if module is None:
            continue
        layer = "mlp_gate" if role == "gate" else role
        has_bias = role in architecture.biases
        yield (
            f"{before}{layer}",
            _dense(architecture, tensors, inside + module, n_inputs, n_outputs, has_bias=has_bias),
        )


def _attention(
    architecture: Architecture, tensors: Tensors, before: str, inside: str
) -> Iterator[tuple[str, list[Weights]]]:
    """Yield the projections of attention: of one layer, or of four where positions turn."""
    width, size = architecture.n_channels, architecture.head_size
    values = _queries_keys_values(architecture, tensors, inside)
    n_read = architecture.n_heads * size
    module = inside + architecture.names.of_block.attention_output
    has_bias = "attention_output" in architecture.biases
    out = _dense(architecture, tensors, module, n_read, width, has_bias=has_bias)
    out[0] = out[0].reshape(architecture.n_heads, size, width)
    if architecture.rotation is None:
        # the layer has biases of all four
        values = [_with_bias(one) for one in values]
        yield f"{before}attention", [array for one in (*values, out) for array in one]
        return
    for role, one in zip(("query", "key", "value"), values, strict=True):
        yield f"{before}attention_{role}", one
    yield f"{before}attention_output", out


def _with_bias(arrays: list[Weights]) -> list[Weights]:
    """Return a kernel with its bias, 0 where it has none."""
    if len(arrays) > 1:
        return arrays
    return [*arrays, np.zeros(arrays[0].shape[1:], np.float32)]


def _queries_keys_values(
    architecture: Architecture, tensors: Tensors, inside: str
) -> list[list[Weights]]:
    """Return kernels of shape (inputs, heads, channels of one), with biases where there are any."""
    of_block, width, size = (
        architecture.names.of_block, architecture.n_channels, architecture.head_size,
    )  # fmt: skip
    if of_block.fused is not None:
        return _fused(architecture, tensors, inside + of_block.fused)
    found = []
    for role in ("query", "key", "value"):
        n_heads = architecture.n_heads if role == "query" else architecture.n_key_heads
        module, has_bias = inside + getattr(of_block, role), role in architecture.biases
        made = _dense(architecture, tensors, module, width, n_heads * size, has_bias=has_bias)
        found.append([array.reshape(*array.shape[:-1], n_heads, size) for array in made])
    return found


def _fused(architecture: Architecture, tensors: Tensors, module: str) -> list[list[Weights]]:
    """Return queries, keys and values out of one matrix of all three.

    Where matrices are stored as (inputs, outputs) they stand side by side, as GPT-2 has them, else
    side by side in each head, as GPT-NeoX does.
    """
    width, n_heads, size = architecture.n_channels, architecture.n_heads, architecture.head_size
    has_bias = "query" in architecture.biases
    made = _dense(architecture, tensors, module, width, 3 * n_heads * size, has_bias=has_bias)
    if architecture.stores_transposed:
        parted = [array.reshape(*array.shape[:-1], n_heads, 3, size) for array in made]
        return [[array[..., place, :] for array in parted] for place in range(3)]
    parted = [array.reshape(*array.shape[:-1], 3, n_heads, size) for array in made]
    return [[array[..., place, :, :] for array in parted] for place in range(3)]


def _dense(
    architecture: Architecture,
    tensors: Tensors,
    module: str,
    n_inputs: int,
    n_outputs: int,
    *,
    has_bias: bool,
) -> list[Weights]:
    """Return a kernel of shape (inputs, outputs), and the bias."""
    if architecture.stores_transposed:
        kernel = tensors.take(f"{module}.weight", (n_outputs, n_inputs)).T
    else:
        kernel = tensors.take(f"{module}.weight", (n_inputs, n_outputs))
    return [kernel, tensors.take(f"{module}.bias", (n_outputs,))] if has_bias else [kernel]


def _norm(architecture: Architecture, tensors: Tensors, module: str) -> list[Weights]:
    shape = (architecture.n_channels,)
    gamma = tensors.take(f"{module}.weight", shape)
    return [gamma] if architecture.norm == "rms" else [gamma, tensors.take(f"{module}.bias", shape)]


def _head(
    architecture: Architecture, head: Head, tensors: Tensors
) -> Iterator[tuple[str, list[Weights]]]:
    width = architecture.n_channels
    if head.hidden is not None:
        kernel = tensors.take(f"{head.hidden}.weight", (width, width)).T
        yield "head_hidden", [kernel, tensors.take(f"{head.hidden}.bias", (width,))]
    if head.norm is not None:
        yield "head_norm", _norm(architecture, tensors, head.norm)
    module = architecture.names.token if head.decoder is None else head.decoder
    kernel = tensors.take(f"{module}.weight", (head.n_outputs, width)).T
    bias = [] if head.bias is None else [tensors.take(head.bias, (head.n_outputs,))]
    yield "output", [kernel, *bias]
