"""Transformers of plain Keras layers: of tokens, and of patches of images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras

from nn_clustering.networks._transformer_settings import (
    TokenInput,
    TransformerSettings,
)
from nn_clustering.seeds import integer_seed

# Of a layer normalisation, as GPT-2 and most since have it.
_EPSILON = 1e-5
# Of dropout in the residual stream, where no other rate is given.
_DROPOUT_RATE = 0.1


def build_transformer(
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    tokens: TokenInput | None,
    settings: TransformerSettings,
    activation: str,
    dropout_rate: float | None,
    precision: str,
    seed: int,
) -> keras.Model:
    """Build a transformer, for checked settings.

    Tokens, or patches of an image, become channels of a residual stream, to which a learnt one of
    the position is added; every block adds attention and then an MLP. Where every position is
    answered attention is causal. Where the whole is, it reads every position; of tokens the last
    position answers, and the last block computes no other; of an image the mean over patches.

    Args:
        input_shape: (length,) of tokens, or (height, width, channels) of an image.
        n_outputs: Number of classes.
        tokens: What it reads; None for images.
        settings: Its sizes.
        activation: Of the neurons.
        dropout_rate: Of what attention and MLPs add to the stream; None for none.
        precision: What the layers compute in.
        seed: Fixes the initial weights and the dropout masks.
    """
    make = _Maker(settings, activation, dropout_rate, precision, seed)
    if tokens is None:
        inputs = keras.Input(input_shape, name="input")
        stream = make.patches(inputs, input_shape)
    else:
        inputs = keras.Input(input_shape, dtype="int32", name="input")
        stream = make.embedding(inputs, tokens.n_tokens)
    reads_last = tokens is not None and not tokens.answers_positions
    for block in range(settings.n_blocks):
        stream = make.block(
            stream,
            block,
            is_causal=tokens is not None and tokens.answers_positions,
            of_last=reads_last and block == settings.n_blocks - 1,
        )
    if settings.norm_first:
        stream = make.norm(stream, "final_norm")
    if tokens is None:
        stream = keras.layers.GlobalAveragePooling1D(dtype=precision, name="pool")(stream)
    elif reads_last:
        stream = keras.layers.Flatten(dtype=precision, name="flatten")(stream)
    outputs = keras.layers.Dense(
        n_outputs,
        activation="softmax",
        kernel_initializer=make.initialiser("output"),
        dtype="float32",  # half precision would round probabilities to 0
        name="output",
    )(stream)
    network = keras.Model(inputs, outputs, name="vit" if tokens is None else "transformer")
    _initialise_attention(network, seed)
    return network


@dataclass(frozen=True)
class _Maker:
    """Makes the layers of one transformer, each with seeds of its own."""

    settings: TransformerSettings
    activation: str
    dropout_rate: float | None
    precision: str
    seed: int

    def embedding(self, inputs: keras.KerasTensor, n_tokens: int) -> keras.KerasTensor:
        of_tokens = self._table(n_tokens, "token_embedding")(inputs)
        positions = keras.ops.cumsum(keras.ops.ones_like(inputs), axis=1) - 1
        return self._with_positions(of_tokens, positions, inputs.shape[1])

    def patches(self, inputs: keras.KerasTensor, input_shape: tuple[int, ...]) -> keras.KerasTensor:
        side, n_channels = self.settings.patch_size, self.settings.n_channels
        of_patches = keras.layers.Conv2D(
            n_channels,
            side,
            strides=side,
            kernel_initializer=self.initialiser("patch_embedding"),
            dtype=self.precision,
            name="patch_embedding",
        )(inputs)
        length = (input_shape[0] // side) * (input_shape[1] // side)
        of_patches = keras.layers.Reshape(
            (length, n_channels), dtype=self.precision, name="patches"
        )(of_patches)
        # counted without a look at what the patches hold
        ones = keras.ops.max(keras.ops.ones_like(of_patches, dtype="int32"), axis=-1)
        return self._with_positions(of_patches, keras.ops.cumsum(ones, axis=1) - 1, length)

    def block(
        self, stream: keras.KerasTensor, block: int, *, is_causal: bool, of_last: bool
    ) -> keras.KerasTensor:
        name, first = f"block_{block}", self.settings.norm_first
        read = self.norm(stream, f"{name}_norm_1") if first else stream
        asking = read
        if of_last:
            stream, asking = (
                self._last(one, f"{name}_{what}")
                for one, what in ((stream, "last"), (read, "last_read"))
            )
        attention = keras.layers.MultiHeadAttention(
            self.settings.n_heads,
            self.settings.head_channels,
            dtype=self.precision,
            name=f"{name}_attention",
        )(asking, read, use_causal_mask=is_causal)
        stream = self._added(stream, attention, name, 1)
        read = self.norm(stream, f"{name}_norm_2") if first else stream
        return self._added(stream, self._mlp(read, block), name, 2)

    def norm(self, stream: keras.KerasTensor, name: str) -> keras.KerasTensor:
        if self.settings.norm == "none":
            return stream
        layer = (
            keras.layers.LayerNormalization
            if self.settings.norm == "layer"
            else keras.layers.RMSNormalization
        )
        return layer(epsilon=_EPSILON, dtype=self.precision, name=name)(stream)

    def initialiser(self, name: str) -> keras.Initializer:
        return keras.initializers.GlorotUniform(integer_seed(self.seed, "initial weights", name))

    def _table(self, n_rows: int, name: str) -> keras.Layer:
        return keras.layers.Embedding(
            n_rows,
            self.settings.n_channels,
            embeddings_initializer=self.initialiser(name),
            dtype=self.precision,
            name=name,
        )

    def _with_positions(
        self, stream: keras.KerasTensor, positions: keras.KerasTensor, length: int
    ) -> keras.KerasTensor:
        of_positions = self._table(length, "position_embedding")(positions)
        return keras.layers.Add(dtype=self.precision, name="embedding_add")([stream, of_positions])

    def _last(self, stream: keras.KerasTensor, name: str) -> keras.KerasTensor:
        length = stream.shape[1]
        return keras.layers.Cropping1D((length - 1, 0), dtype=self.precision, name=name)(stream)

    def _mlp(self, read: keras.KerasTensor, block: int) -> keras.KerasTensor:
        name, n_neurons = f"block_{block}_mlp", self.settings.neurons[block]
        if self.settings.gated:
            gate = self._dense(read, n_neurons, f"{name}_gate", self.activation)
            gated = self._dense(read, n_neurons, f"{name}_in", None)
            product = keras.layers.Multiply(dtype=self.precision, name=f"{name}_product")
            neurons = product([gate, gated])
        else:
            neurons = self._dense(read, n_neurons, f"{name}_in", self.activation)
        return self._dense(neurons, self.settings.n_channels, f"{name}_out", None)

    def _dense(
        self, read: keras.KerasTensor, units: int, name: str, activation: str | None
    ) -> keras.KerasTensor:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=self.initialiser(name),
            dtype=self.precision,
            name=name,
        )(read)

    def _added(
        self, stream: keras.KerasTensor, added: keras.KerasTensor, name: str, which: int
    ) -> keras.KerasTensor:
        """Return the stream with what attention (1) or MLP (2) adds to it."""
        if self.dropout_rate is not None:
            dropout = f"{name}_dropout_{which}"
            added = keras.layers.Dropout(
                self.dropout_rate,
                seed=integer_seed(self.seed, "dropout", dropout),
                dtype=self.precision,
                name=dropout,
            )(added)
        layer = keras.layers.Add(dtype=self.precision, name=f"{name}_add_{which}")
        stream = layer([stream, added])
        return stream if self.settings.norm_first else self.norm(stream, f"{name}_norm_{which}")


def dropout_rate_of(dropout: bool, rate: float | None) -> float | None:
    """Return the rate of dropout in the stream, None for none."""
    if not dropout:
        return None
    return _DROPOUT_RATE if rate is None else rate


def _initialise_attention(network: keras.Model, seed: int) -> None:
    """Draw the kernels of attention as those of dense layers, each with a seed of its own.

    Keras would draw all kernels of one layer alike, and take their heads for positions.
    """
    for layer in network.layers:
        if not isinstance(layer, keras.layers.MultiHeadAttention):
            continue
        for name in ("query", "key", "value", "output"):
            kernel = getattr(layer, f"{name}_dense").kernel
            n_read = kernel.shape[0] if name != "output" else math.prod(kernel.shape[:2])
            whole = (n_read, math.prod(kernel.shape) // n_read)
            number = integer_seed(seed, "initial weights", f"{layer.name}/{name}")
            drawn = keras.initializers.GlorotUniform(number)(whole)
            kernel.assign(keras.ops.reshape(drawn, kernel.shape))
