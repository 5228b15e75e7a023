"""The settings of transformers, checked before anything is built; needs no Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nn_clustering.errors import InvalidInputError

TRANSFORMERS = ("transformer", "vit")
NORMS = ("none", "layer", "rms")


@dataclass(frozen=True)
class TokenInput:
    """What a network reads that reads tokens.

    Attributes:
        n_tokens: Number of tokens of the vocabulary.
        answers_positions: Whether it answers at every position, from what is not behind it, and
            not on the whole.
    """

    n_tokens: int
    answers_positions: bool = False


@dataclass(frozen=True)
class TransformerSettings:
    """What a transformer is made of: keys of the section ``network``.

    Attributes:
        n_blocks: Blocks of attention and an MLP.
        n_channels: Channels of the residual stream.
        n_heads: Heads of every attention; the channels are shared out among them.
        n_neurons: Neurons of the MLP of each block: a list, of which one number is that of all
            blocks, or that number.
        norm: What normalises the stream: "layer", "rms" or "none".
        norm_first: Whether what attention and MLP read is normalised, and the stream once at the
            end; else the stream is, behind each of the two.
        gated: Whether an MLP's neurons are products of two linear maps, one of which has the
            activation.
        patch_size: Side of the patches that a ``vit`` cuts an image into, in pixels.

    Raises:
        InvalidInputError: If a value is out of its range.
    """

    n_blocks: int = 2
    n_channels: int = 64
    n_heads: int = 4
    n_neurons: int | Sequence[int] = 256
    norm: str = "layer"
    norm_first: bool = True
    gated: bool = False
    patch_size: int = 4

    def __post_init__(self) -> None:
        for key in ("n_blocks", "n_channels", "n_heads", "patch_size"):
            value = getattr(self, key)
            if not _is_size(value):
                raise InvalidInputError(f"network.{key}={value!r}; expected an integer, 1 or more")
        if self.n_channels % self.n_heads:
            raise InvalidInputError(
                f"network.n_channels={self.n_channels} network.n_heads={self.n_heads}; expected "
                "heads that have equally many channels"
            )
        self._check_neurons()
        if self.norm not in NORMS:
            raise InvalidInputError(
                f"network.norm={self.norm!r}; expected one of {', '.join(NORMS)}"
            )
        for key in ("norm_first", "gated"):
            if not isinstance(getattr(self, key), bool):
                raise InvalidInputError(
                    f"network.{key}={getattr(self, key)!r}; expected True or False"
                )

    def _check_neurons(self) -> None:
        given: Any = self.n_neurons
        listed = list(given) if isinstance(given, list | tuple) else [given]
        if not listed or not all(map(_is_size, listed)):
            raise InvalidInputError(
                f"network.n_neurons={given!r}; expected a list of numbers of neurons, each 1 or "
                "more"
            )
        if len(listed) not in (1, self.n_blocks):
            raise InvalidInputError(
                f"network.n_neurons={given!r} network.n_blocks={self.n_blocks}; expected one "
                "number a block, or one for all of them"
            )

    @property
    def neurons(self) -> tuple[int, ...]:
        """Neurons of each block."""
        given = (self.n_neurons,) if isinstance(self.n_neurons, int) else tuple(self.n_neurons)
        return given * self.n_blocks if len(given) == 1 else given

    @property
    def head_channels(self) -> int:
        """Channels of one head."""
        return self.n_channels // self.n_heads

    def n_weights(self, n_inputs: int, length: int, n_outputs: int) -> int:
        """Return how many weights kernels and embeddings have.

        Args:
            n_inputs: Tokens of the vocabulary, or numbers of a patch.
            length: Positions.
            n_outputs: Outputs.
        """
        of_mlps = (3 if self.gated else 2) * self.n_channels * sum(self.neurons)
        of_attention = 4 * self.n_blocks * self.n_channels**2
        ends = (n_inputs + length + n_outputs) * self.n_channels
        return ends + of_attention + of_mlps

    def most_units(self, n_inputs: int, n_outputs: int) -> int:
        """Return how many units a graph can have: those of all sets that there are."""
        of_mlps = (3 if self.gated else 1) * sum(self.neurons)
        # embedding; in every block values, what the attention and the MLP add, and both sums
        streams = (1 + 5 * self.n_blocks) * self.n_channels
        return n_inputs + streams + of_mlps + n_outputs


def check_transformer(
    kind: str,
    input_shape: Sequence[int],
    task: str,
    tokens: TokenInput | None,
    settings: TransformerSettings,
) -> None:
    """Check that a transformer fits what it is to read.

    Raises:
        InvalidInputError: If it does not.
    """
    if task != "classification":
        raise InvalidInputError(
            f"network.kind={kind} puts out classes, and the task is a {task}; expected "
            "network.kind=mlp"
        )
    if kind == "transformer":
        if tokens is None:
            raise InvalidInputError(
                f"network.kind={kind} takes tokens, and the inputs are "
                f"{'images' if len(input_shape) == 3 else 'vectors'}; expected "
                f"network.kind={'vit' if len(input_shape) == 3 else 'mlp'}, or a data set of tokens"
            )
        return
    if len(input_shape) != 3:
        raise InvalidInputError(
            f"network.kind={kind} takes images, and the inputs are "
            f"{'vectors' if tokens is None else 'tokens'}; expected "
            f"network.kind={'mlp' if tokens is None else 'transformer'} for them"
        )
    height, width, _ = input_shape
    if height % settings.patch_size or width % settings.patch_size:
        raise InvalidInputError(
            f"network.patch_size={settings.patch_size} for images of {height} x {width} pixels; "
            "expected patches that both sides are multiples of"
        )


def ends_of(
    input_shape: Sequence[int], tokens: TokenInput | None, settings: TransformerSettings
) -> tuple[int, int]:
    """Return the tokens of the vocabulary, or the numbers of a patch, and the positions."""
    if tokens is not None:
        return tokens.n_tokens, input_shape[0]
    height, width, channels = input_shape
    side = settings.patch_size
    return side * side * channels, (height // side) * (width // side)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
