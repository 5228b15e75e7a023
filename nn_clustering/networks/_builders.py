"""The studies' architectures (methods A1 to A5, A10), freshly initialised; and transformers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from nn_clustering.networks._network_settings import blocks_of_filters, check_network
from nn_clustering.networks._transformer_settings import (
    TRANSFORMERS,
    TokenInput,
    TransformerSettings,
)
from nn_clustering.networks._transformers import build_transformer, dropout_rate_of
from nn_clustering.networks._user_networks import build_user_network
from nn_clustering.seeds import integer_seed
from nn_clustering.user_functions import is_dotted_name


def build_network(
    kind: str,
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    task: str = "classification",
    hidden_units: Sequence[int],
    conv_filters: Sequence[int | Sequence[int]],
    activation: str = "relu",
    dropout: bool = False,
    dropout_rate: float | None = None,
    precision: str = "float32",
    tokens: TokenInput | None = None,
    seed: int,
    **transformer: Any,
) -> keras.Model:
    """Build a network with Glorot-uniform kernels and zero biases.

    Args:
        kind: One of :data:`NETWORK_KINDS`: ``mlp`` (dense layers), ``cnn`` (3x3 convolutions, 2x2
            max-pooling after all but the first, then dense layers) or ``vgg`` (blocks of 3x3
            convolutions with 2x2 max-pooling after each block, then dense layers; batch norm
            after every convolution and its pooling, and after every hidden dense layer but the
            last); ``transformer`` (blocks of attention and an MLP, of tokens) or ``vit`` (the
            same, of patches of images). Or the dotted name of a function of one's own,
            ``my_networks.residual``, whose module may lie in the current folder: it is called with
            those of ``input_shape``, ``n_outputs``, ``n_tokens`` (of the vocabulary) and ``seed``
            that it takes, after all global random generators have been
            seeded, and returns a built Keras model; all settings but ``task`` are its own.
        input_shape: Shape of one image, (height, width, channels), or (features,) of one vector,
            which only an ``mlp`` takes, or (length,) of tokens, which only a ``transformer`` does.
        n_outputs: Number of outputs.
        task: ``classification`` for a softmax at the end, ``regression`` for none.
        hidden_units: Units of each hidden dense layer.
        conv_filters: Filters of each convolution (``cnn``), or of each convolution of each block
            (``vgg``; a bare number is a block of one).
        activation: Of all hidden layers: ``relu``, ``tanh``, ``gelu`` or ``silu``.
        dropout: Whether to add the studies' dropout layers (A10). ``mlp``: 0.5 after every hidden
            layer. ``cnn``: 0.25 after every convolution and its pooling, 0.5 after every hidden
            dense layer. ``vgg``: 0.3 after the first convolution, 0.4 after every other, but none
            after the last one of a block, except 0.5 after the last of all; 0.5 after every
            hidden dense layer but the last. Transformers: 0.1 of what attention and MLPs add.
        dropout_rate: Between 0 and 1; replaces all those rates.
        precision: What the layers compute in: ``float32``, ``mixed_float16`` or
            ``mixed_bfloat16``. Weights and outputs are float32 always.
        tokens: Of inputs that are tokens what they are and whether every position is answered;
            None of others.
        seed: Fixes the initial weights and the dropout masks.
        transformer: Of a ``transformer`` and a ``vit`` the attributes of
            ``TransformerSettings``: ``n_blocks``, ``n_channels``, ``n_heads``, ``n_neurons``,
            ``norm``, ``norm_first``, ``gated``, ``patch_size``.

    Returns:
        A sequential model, or for transformers a functional one, from inputs to class
        probabilities (or, in regression, to targets).

    Raises:
        InvalidInputError: If the settings make no network, or a function of one's own does not
            return one that fits.
    """
    check_network(
        kind,
        input_shape,
        n_outputs,
        task=task,
        hidden_units=hidden_units,
        conv_filters=conv_filters,
        activation=activation,
        dropout=dropout,
        dropout_rate=dropout_rate,
        precision=precision,
        tokens=tokens,
        **transformer,
    )
    input_shape = tuple(input_shape)
    if is_dotted_name(kind):
        return build_user_network(kind, input_shape, n_outputs, task=task, tokens=tokens, seed=seed)
    if kind in TRANSFORMERS:
        return build_transformer(
            input_shape,
            n_outputs,
            tokens=tokens,
            settings=TransformerSettings(**transformer),
            activation=activation,
            dropout_rate=dropout_rate_of(dropout, dropout_rate),
            precision=precision,
            seed=seed,
        )
    make = _LayerMaker(activation, dropout, dropout_rate, precision, seed)
    layers = _BUILDERS[kind](make, input_shape, hidden_units, conv_filters)
    layers.append(make.output(n_outputs, "softmax" if task == "classification" else None))
    return keras.Sequential([keras.Input(input_shape, name="input"), *layers], name=kind)


@dataclass(frozen=True)
class _LayerMaker:
    """Makes the layers of one network, each with seeds of its own."""

    activation: str
    has_dropout: bool
    dropout_rate: float | None
    precision: str
    seed: int

    def dense(self, units: int, name: str) -> keras.Layer:
        return keras.layers.Dense(
            units,
            activation=self.activation,
            kernel_initializer=self._initialiser(name),
            dtype=self.precision,
            name=name,
        )

    def convolution(self, filters: int, name: str) -> keras.Layer:
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            activation=self.activation,
            kernel_initializer=self._initialiser(name),
            dtype=self.precision,
            name=name,
        )

    def output(self, units: int, activation: str | None) -> keras.Layer:
        # in float32: half precision would round probabilities to 0
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=self._initialiser("output"),
            dtype="float32",
            name="output",
        )

    def pooling(self, name: str) -> keras.Layer:
        return keras.layers.MaxPooling2D(2, dtype=self.precision, name=name)

    def batch_norm(self, name: str) -> keras.Layer:
        return keras.layers.BatchNormalization(dtype=self.precision, name=name)

    def flatten(self) -> keras.Layer:
        return keras.layers.Flatten(dtype=self.precision, name="flatten")

    def dropout(self, rate: float | None, name: str) -> list[keras.Layer]:
        """Return one layer, or none where the studies have none (``rate`` is None)."""
        if not self.has_dropout or rate is None:
            return []
        return [
            keras.layers.Dropout(
                rate if self.dropout_rate is None else self.dropout_rate,
                seed=integer_seed(self.seed, "dropout", name),
                dtype=self.precision,
                name=name,
            )
        ]

    def _initialiser(self, name: str) -> keras.Initializer:
        return keras.initializers.GlorotUniform(integer_seed(self.seed, "initial weights", name))


def _mlp(
    make: _LayerMaker,
    input_shape: tuple[int, ...],
    hidden_units: Sequence[int],
    conv_filters: Sequence[int],
) -> list[keras.Layer]:
    """A1, A4, A5."""
    layers = [make.flatten()] if len(input_shape) > 1 else []
    for index, units in enumerate(hidden_units, start=1):
        layers.append(make.dense(units, f"dense_{index}"))
        layers += make.dropout(0.5, f"dropout_{index}")
    return layers


def _cnn(
    make: _LayerMaker,
    input_shape: tuple[int, ...],
    hidden_units: Sequence[int],
    conv_filters: Sequence[int],
) -> list[keras.Layer]:
    """A2."""
    layers: list[keras.Layer] = []
    for index, filters in enumerate(conv_filters, start=1):
        layers.append(make.convolution(filters, f"conv_{index}"))
        if index > 1:
            layers.append(make.pooling(f"pool_{index}"))
        layers += make.dropout(0.25, f"dropout_conv_{index}")
    layers.append(make.flatten())
    for index, units in enumerate(hidden_units, start=1):
        layers.append(make.dense(units, f"dense_{index}"))
        layers += make.dropout(0.5, f"dropout_dense_{index}")
    return layers


def _vgg(
    make: _LayerMaker,
    input_shape: tuple[int, ...],
    hidden_units: Sequence[int],
    conv_filters: Sequence[int | Sequence[int]],
) -> list[keras.Layer]:
    """A3: convolution, activation, pooling, batch norm, dropout, in this order."""
    blocks = blocks_of_filters(conv_filters)
    n_convolutions = sum(len(block) for block in blocks)
    layers: list[keras.Layer] = []
    index = 0
    for block in blocks:
        for place, filters in enumerate(block, start=1):
            index += 1
            ends_block = place == len(block)
            layers.append(make.convolution(filters, f"conv_{index}"))
            if ends_block:
                layers.append(make.pooling(f"pool_{index}"))
            layers.append(make.batch_norm(f"batch_norm_conv_{index}"))
            rate = _vgg_dropout_rate(index, n_convolutions, ends_block)
            layers += make.dropout(rate, f"dropout_conv_{index}")
    layers.append(make.flatten())
    for index, units in enumerate(hidden_units, start=1):
        layers.append(make.dense(units, f"dense_{index}"))
        if index < len(hidden_units):
            layers.append(make.batch_norm(f"batch_norm_dense_{index}"))
            layers += make.dropout(0.5, f"dropout_dense_{index}")
    return layers


def _vgg_dropout_rate(index: int, n_convolutions: int, ends_block: bool) -> float | None:
    """A10, for blocks of any size; convolutions are counted from 1."""
    if index == n_convolutions:
        return 0.5
    if ends_block:
        return None
    return 0.3 if index == 1 else 0.4


_BUILDERS: dict[str, Callable[..., list[keras.Layer]]] = {"mlp": _mlp, "cnn": _cnn, "vgg": _vgg}
