"""What a transformer is made of, and the names of its tensors in a folder; needs no Keras."""

from dataclasses import dataclass
from typing import Literal

Order = Literal["before", "after", "parallel"]


@dataclass(frozen=True)
class Rotation:
    """How queries and keys are turned by their positions.

    Attributes:
        base: What the wave lengths are powers of.
        n_channels: How many channels of a head are turned, the first ones.
    """

    base: float
    n_channels: int


@dataclass(frozen=True)
class Patches:
    """The images that are read, and the squares that they are cut into.

    Attributes:
        image: Height, width, colours.
        size: Of a square's side.
    """

    image: tuple[int, int, int]
    size: int

    @property
    def n(self) -> int:
        """How many there are."""
        return (self.image[0] // self.size) * (self.image[1] // self.size)


@dataclass(frozen=True)
class BlockNames:
    """The modules of a block, by what they do.

    Attributes:
        query, key, value: None where ``fused`` holds all three.
        gate: None where the hidden layer has no gate.
    """

    norm_1: str
    attention_output: str
    norm_2: str
    mlp_in: str
    mlp_out: str
    query: str | None = None
    key: str | None = None
    value: str | None = None
    fused: str | None = None
    gate: str | None = None


@dataclass(frozen=True)
class Names:
    """The names of the modules whose tensors are read.

    Attributes:
        prefix: What they all begin with, in folders of a network with a head.
        block: Of a block, with ``{}`` for its number.
        token_type: The table of kinds of tokens; all are of the first one.
        embedding_norm: The norm of the sum of embeddings.
        final_norm: That of the stream after the last block.
        buffers: Ends of tensors that are no weights.
    """

    prefix: str
    block: str
    of_block: BlockNames
    token: str | None = None
    position: str | None = None
    token_type: str | None = None
    embedding_norm: str | None = None
    final_norm: str | None = None
    buffers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Head:
    """What is made of the stream behind the last block.

    Attributes:
        n_outputs: How many numbers are put out.
        of_first: Whether it reads the first position alone, not each.
        decoder: The module of the last weights; None where the token embedding is read backwards.
        bias: The tensor of its bias; None for none.
        hidden: A dense layer of the stream's width before it, with its activation.
        norm: The norm behind that one.
    """

    n_outputs: int
    of_first: bool
    decoder: str | None
    bias: str | None
    hidden: str | None = None
    activation: str = "linear"
    norm: str | None = None


@dataclass(frozen=True)
class Architecture:
    """A transformer, as far as a table of names and a few settings say it.

    Attributes:
        kind: Its ``model_type``.
        n_channels: Of the stream.
        n_key_heads: Heads of keys and values, each read by as many heads of queries.
        n_hidden: Neurons of a block.
        activation: One of :data:`ACTIVATIONS`.
        order: Where norms stand: before attention and neurons, behind their sum with the stream, or
            before both side by side.
        norm: ``layer``, or ``rms``, which has no bias.
        biases: The modules that have one, in the terms of :class:`BlockNames`.
        stores_transposed: Whether matrices are stored as (outputs, inputs).
        n_skipped_positions: Rows before that of the first position.
        window: How many positions back a position reads; None for all.
        head: None where the stream is put out.
        graph_only: Why it does not compute what the folder's network does; None if it does.
    """

    kind: str
    names: Names
    n_blocks: int
    n_channels: int
    n_heads: int
    n_key_heads: int
    head_size: int
    n_hidden: int
    activation: str
    epsilon: float
    order: Order
    norm: Literal["layer", "rms"]
    biases: frozenset[str]
    is_causal: bool
    stores_transposed: bool = True
    vocabulary: int = 0
    n_positions: int = 0
    n_skipped_positions: int = 0
    n_token_types: int = 0
    patches: Patches | None = None
    rotation: Rotation | None = None
    window: int | None = None
    head: Head | None = None
    graph_only: str | None = None


# By the folder's name: Keras' own, the last one with tanh in the place of the error function.
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
