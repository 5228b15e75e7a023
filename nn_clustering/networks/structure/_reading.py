"""What the weights of any Keras network say of its units, read by walking its graph."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._channels import (
    Channels,
    Concatenated,
    Depthwise,
    Flattened,
    InputValues,
    Merged,
    Rearranged,
    Scaled,
    Weighted,
)
from nn_clustering.networks.structure._network_weights import NetworkWeights
from nn_clustering.networks.structure._walk import Step, Walk, computes_as_in_keras, walk_network


def read_weights(network: keras.Model) -> NetworkWeights:
    """Return the weights of a network and how they join its units, as arrays.

    Supported are dense layers, convolutions (one- and two-dimensional, grouped, dilated,
    depthwise, separable, transposed), batch, layer, group and RMS normalisation, element-by-element
    merges and gates, concatenation, flattening, and whatever keeps the channels on the last axis
    apart: activations, dropout, noise, pooling, padding, cropping, upsampling.

    Args:
        network: Any built sequential or functional network.

    Raises:
        InvalidInputError: If it has a layer of which it is not known what it does to units, one
            that mixes them without weights, a weight layer that is used twice, or NaN or infinite
            weights; by the layer's name.
    """
    return _Reading(walk_network(network)).weights()


class _Reading:
    """Turns the steps of a network into what the last axis of every tensor holds."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._channels: list[Channels] = []
        self._at: dict[int, int] = {}  # index of the channels that a tensor holds
        self._kernels: list[NDArray[np.floating]] = []
        self._kernel_layers: list[str] = []

    def weights(self) -> NetworkWeights:
        """Read all steps."""
        walk = self._walk
        for name, tensor in zip(walk.input_names, walk.inputs, strict=True):
            width = walk.shapes[tensor][-1] if walk.shapes[tensor] else None
            if width is None:
                raise InvalidInputError(
                    f"input {name!r} of network {walk.name!r} has the shape "
                    f"{walk.shapes[tensor]}; expected a known size of its last axis"
                )
            named = "input" if len(walk.inputs) == 1 else name
            self._add(InputValues(named, tensor, width), tensor)
        uses = Counter(id(step.layer) for step in walk.steps if step.layer is not None)
        for step in walk.steps:
            rule = self._rule(step)
            if rule in _WITH_KERNELS and uses[id(step.layer)] > 1:
                raise self._refusal(
                    step,
                    f"used {uses[id(step.layer)]} times; its units would be several at once: give "
                    "every use a layer of its own",
                )
            if rule in _PER_CHANNEL and self._holds_positions(self._read(step)):
                raise self._refusal(
                    step,
                    "which reads flattened maps, where a channel stands once for every position; "
                    "expected a dense layer behind a flatten",
                )
            rule(self, step)
        return NetworkWeights(
            walk.name,
            tuple(self._channels),
            tuple(self._at[tensor] for tensor in walk.outputs),
            tuple(self._kernel_layers),
            tuple(self._kernels),
        )

    def _rule(self, step: Step) -> "_Rule":
        operation = step.operation
        if getattr(operation, "data_format", None) == "channels_first":
            raise self._refusal(
                step, "with the channels on the first axis; expected data_format='channels_last'"
            )
        if isinstance(operation, keras.Layer):
            if computes_as_in_keras(operation):
                for kind in type(operation).__mro__:
                    if kind in _LAYER_RULES:
                        return _LAYER_RULES[kind]
            raise self._refusal(step, _reason(operation))
        if not isinstance(operation, keras.Operation):  # a layer's own activation
            return _Reading._unitwise
        rule = _OPERATION_RULES.get(type(operation).__name__)
        if rule is None or not computes_as_in_keras(operation):
            raise self._refusal(step, _UNKNOWN)
        return rule

    def _refusal(self, step: Step, reason: str) -> InvalidInputError:
        kind = type(step.operation).__name__
        return InvalidInputError(
            f"layer {step.name!r} of network {self._walk.name!r} is a {kind}, {reason}"
        )

    def _add(self, channels: Channels, tensor: int) -> None:
        self._channels.append(channels)
        self._at[tensor] = len(self._channels) - 1

    def _add_inner(self, channels: Channels) -> int:
        self._channels.append(channels)
        return len(self._channels) - 1

    def _read(self, step: Step) -> int:
        return self._at[step.inputs[0]]

    def _shapes(self, step: Step) -> tuple[tuple[int | None, ...], tuple[int | None, ...]]:
        return self._walk.shapes[step.inputs[0]], self._walk.shapes[step.outputs[0]]

    # Every rule reads one step: what its operation makes of the channels that it is given.

    def _unitwise(self, step: Step) -> None:
        """Pass channels on that the operation keeps apart."""
        before, after = self._shapes(step)
        if len(step.inputs) != 1 or len(step.outputs) != 1 or before[-1:] != after[-1:]:
            raise self._refusal(
                step,
                f"which makes {after} of {before}; expected as many channels, on the last axis",
            )
        self._at[step.outputs[0]] = self._read(step)

    def _dense(self, step: Step) -> None:
        self._weighted(step, self._kernel(step, step.operation.kernel))

    def _convolution(self, step: Step) -> None:
        kernel = _two_dimensional(self._kernel(step, step.operation.kernel))
        self._weighted(step, kernel, step.operation.groups)

    def _transposed(self, step: Step) -> None:
        kernel = _two_dimensional(self._kernel(step, step.operation.kernel))
        self._weighted(step, np.swapaxes(kernel, 2, 3))  # Keras' has the units before the inputs

    def _depthwise(self, step: Step) -> None:
        kernel = _two_dimensional(self._kernel(step, step.operation.kernel))
        read = self._read(step)
        self._add(Depthwise(read, self._add_kernel(step, kernel)), step.outputs[0])

    def _separable(self, step: Step) -> None:
        layer = step.operation
        depthwise = _two_dimensional(self._kernel(step, layer.depthwise_kernel))
        pointwise = _two_dimensional(self._kernel(step, layer.pointwise_kernel))
        depth = self._add_inner(Depthwise(self._read(step), self._add_kernel(step, depthwise)))
        index = self._add_kernel(step, pointwise)
        self._add(
            Weighted(step.name, step.outputs[0], depth, step.inputs[0], index), step.outputs[0]
        )

    def _weighted(self, step: Step, kernel: NDArray[np.floating], groups: int = 1) -> None:
        tensor, index = step.outputs[0], self._add_kernel(step, kernel)
        self._add(
            Weighted(step.name, tensor, self._read(step), step.inputs[0], index, groups), tensor
        )

    def _kernel(self, step: Step, variable: Any) -> NDArray[np.floating]:
        if step.operation.quantization_mode is not None:
            raise self._refusal(
                step,
                f"quantised to {step.operation.quantization_mode}; expected weights in floating "
                "point: read the network before it is quantised",
            )
        kernel = _to_numpy(variable)
        if not np.isfinite(kernel).all():
            raise InvalidInputError(
                f"layer {step.name!r} of network {self._walk.name!r} holds NaN or infinite weights"
            )
        return kernel

    def _add_kernel(self, step: Step, kernel: NDArray[np.floating]) -> int:
        self._kernels.append(kernel)
        self._kernel_layers.append(step.name)
        return len(self._kernels) - 1

    def _scaled(self, step: Step, factors: Any, *, is_normalisation: bool) -> None:
        _, after = self._shapes(step)
        values = np.asarray(factors, np.float64).ravel()
        if values.size not in (1, after[-1]):
            raise self._refusal(
                step,
                f"with {values.size} factors for {after[-1]} channels; expected one for each, "
                "or one for all",
            )
        self._add(
            Scaled(self._read(step), values, is_normalisation=is_normalisation),
            step.outputs[0],
        )

    def _batch_norm(self, step: Step) -> None:
        layer = step.operation
        self._require_last_axis(step, layer.axis, layer.moving_variance)
        gamma = _to_numpy(layer.gamma).astype(np.float64) if layer.scale else 1.0
        variance = _to_numpy(layer.moving_variance).astype(np.float64)
        factors = gamma / np.sqrt(variance + layer.epsilon)
        self._scaled(step, factors, is_normalisation=True)

    def _gamma(self, step: Step) -> None:
        """Layer and group norm: what they divide by is common to many units, gamma is not."""
        layer = step.operation
        if getattr(layer, "gamma", None) is None:
            self._unitwise(step)
            return
        self._require_last_axis(step, layer.axis, layer.gamma)
        self._scaled(step, _to_numpy(layer.gamma), is_normalisation=True)

    def _rms_norm(self, step: Step) -> None:
        layer = step.operation
        self._require_last_axis(step, layer.axis, layer.scale)
        self._scaled(step, _to_numpy(layer.scale), is_normalisation=True)

    def _require_last_axis(self, step: Step, axis: Any, values: Any) -> None:
        rank = len(self._shapes(step)[0])
        axes = {one % rank for one in (axis if isinstance(axis, list | tuple) else [axis])}
        if axes != {rank - 1}:
            width = self._shapes(step)[0][-1]
            raise InvalidInputError(
                f"layer {step.name!r} normalises {math.prod(values.shape)} values; expected one "
                f"for each of the {width} channels on the last axis, which is {self._source(step)}:"
                " check its axis"
            )

    def _source(self, step: Step) -> str:
        """Return where the channels that a step reads arise, for a message."""
        channels = self._channels[self._read(step)]
        while isinstance(channels, Rearranged | Depthwise | Scaled | Flattened):
            channels = self._channels[channels.reads]
        if isinstance(channels, Concatenated):
            return "a concatenation's"
        return f"that of layer {channels.name!r}"

    def _normalization(self, step: Step) -> None:
        layer = step.operation
        variance = layer.variance
        if variance is not None and math.prod(variance.shape) > 1:
            self._require_last_axis(step, layer.axis, variance)
        factors = 1.0 if variance is None else 1 / np.sqrt(_to_numpy(variance).astype(np.float64))
        self._scaled(step, factors, is_normalisation=True)

    def _rescaling(self, step: Step) -> None:
        self._scaled(step, step.operation.scale, is_normalisation=False)

    def _merge(self, step: Step) -> None:
        _, after = self._shapes(step)
        for tensor in step.inputs:
            width = self._walk.shapes[tensor][-1]
            if width != after[-1]:
                raise self._refusal(
                    step,
                    f"which joins a tensor of {width} channels with one of {after[-1]}; expected "
                    "as many in both, since units cannot be told apart by one channel for all",
                )
        reads = tuple(self._at[tensor] for tensor in step.inputs)
        self._add(Merged(step.name, step.outputs[0], reads), step.outputs[0])

    def _average(self, step: Step) -> None:
        self._merge(step)
        merged = self._channels.pop()
        assert isinstance(merged, Merged)
        share = np.array([1 / len(step.inputs)])
        reads = tuple(
            self._add_inner(Scaled(r, share, is_normalisation=False)) for r in merged.reads
        )
        self._add(Merged(merged.name, merged.tensor, reads), merged.tensor)

    def _concatenate(self, step: Step) -> None:
        before, _ = self._shapes(step)
        if step.operation.axis % len(before) != len(before) - 1:
            raise self._refusal(
                step, f"along axis {step.operation.axis}; expected the channels' axis, the last"
            )
        reads = tuple(self._at[tensor] for tensor in step.inputs)
        self._add(Concatenated(reads), step.outputs[0])

    def _reshape(self, step: Step) -> None:
        before, after = self._shapes(step)
        n_values = None if None in before[1:] else math.prod(before[1:])  # type: ignore[arg-type]
        if before[-1] == after[-1]:
            self._unitwise(step)
        elif self._holds_positions(self._read(step)):
            raise self._refusal(
                step,
                f"which makes {after} of maps that are flattened already; expected one flatten",
            )
        elif n_values is not None and after[-1] == n_values:
            positions = tuple(size for size in before[1:-1] if size is not None)
            height, width = math.prod(positions[:-1]), math.prod(positions[-1:])
            if len(positions) == 1:  # as of a convolution in one dimension
                height, width = width, height
            self._add(
                Flattened(self._read(step), step.outputs[0], (height, width)), step.outputs[0]
            )
        elif self._is_input(self._read(step)) and after[-1] is not None:
            self._add(Rearranged(self._read(step), step.outputs[0], after[-1]), step.outputs[0])
        else:
            raise self._refusal(
                step,
                f"which makes {after} of {before}; expected all on one axis, or the channels left "
                "on the last",
            )

    def _is_input(self, index: int) -> bool:
        channels = self._channels[index]
        while isinstance(channels, Rearranged | Scaled | Flattened):
            channels = self._channels[channels.reads]
        return isinstance(channels, InputValues)

    def _holds_positions(self, index: int) -> bool:
        """Return whether channels stand on the last axis once for every position of their maps."""
        match self._channels[index]:
            case Flattened(reads=reads, positions=positions):
                return math.prod(positions) > 1 and not self._is_input(reads)
            case Scaled(reads=reads) | Depthwise(reads=reads):
                return self._holds_positions(reads)
            case Concatenated(reads=concatenated):
                return any(map(self._holds_positions, concatenated))
            case _:
                return False

    def _reduction(self, step: Step) -> None:
        """Mean, sum or extreme over positions."""
        before, _ = self._shapes(step)
        axes = step.operation.axis
        axes = [axes] if isinstance(axes, int) else axes
        if axes is None or not {axis % len(before) for axis in axes} <= set(
            range(1, len(before) - 1)
        ):
            raise self._refusal(
                step,
                f"over the axes {axes}; expected positions, neither the batch nor the channels",
            )
        self._unitwise(step)

    def _sum_or_constant(self, step: Step) -> None:
        """Two tensors are merged; a constant beside one changes no weights."""
        if len(step.inputs) > 1:
            self._merge(step)
        else:
            self._unitwise(step)

    def _product(self, step: Step) -> None:
        if len(step.inputs) > 1:
            self._merge(step)
        else:
            self._scaled(step, self._constant(step), is_normalisation=False)

    def _quotient(self, step: Step) -> None:
        first = keras.tree.flatten((step.args, step.kwargs))[0]
        if len(step.inputs) > 1 or isinstance(first, int | float | np.ndarray):
            raise self._refusal(step, "which divides by channels; expected a constant divisor")
        self._scaled(step, 1 / self._constant(step), is_normalisation=False)

    def _constant(self, step: Step) -> float:
        constants = [
            leaf
            for leaf in keras.tree.flatten((step.args, step.kwargs))
            if isinstance(leaf, int | float | np.number)
        ]
        if len(constants) != 1:
            raise self._refusal(
                step, "whose factor is not known here; expected a number, or another tensor"
            )
        return float(constants[0])


_Rule = Callable[[_Reading, Step], None]

_UNKNOWN = "of which it is not known what it does to units; rebuild it from layers that are"


def _reason(layer: keras.Layer) -> str:
    """Return why a layer has no place in the graph of units."""
    for kinds, reason in _REASONS:
        if isinstance(layer, kinds):
            return reason
    if layer.weights:
        return "which has weights for which there is no rule how they join units"
    return _UNKNOWN


def _two_dimensional(kernel: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return a kernel as (height, width, ...), with a width of 1 if it has one dimension."""
    return kernel if kernel.ndim == 4 else kernel[:, None]


def _to_numpy(variable: Any) -> NDArray[np.floating]:
    """Return a variable in single precision, or in double if that is what it has."""
    array = keras.ops.convert_to_numpy(variable)
    found: NDArray[np.floating] = (
        array if array.dtype == np.float64 else array.astype(np.float32, copy=False)
    )
    return found


def _all(rule: _Rule, kinds: Iterable[str]) -> dict[Any, _Rule]:
    """Return a rule for those of the layers of these names that this version of Keras has."""
    found = (getattr(keras.layers, kind, None) for kind in kinds)
    return {kind: rule for kind in found if kind is not None}


def _in_dimensions(kinds: Sequence[str], dimensions: Sequence[int] = (1, 2, 3)) -> list[str]:
    return [f"{kind}{n}D" for kind in kinds for n in dimensions]


_WITH_KERNELS = (
    _Reading._dense,
    _Reading._convolution,
    _Reading._transposed,
    _Reading._depthwise,
    _Reading._separable,
)

# Those that read what is on the last axis as channels, each of its own.
_PER_CHANNEL = tuple(rule for rule in _WITH_KERNELS if rule is not _Reading._dense)

_LAYER_RULES: Mapping[type, _Rule] = {
    **_all(_Reading._dense, ["Dense"]),
    **_all(_Reading._convolution, ["Conv1D", "Conv2D"]),
    **_all(_Reading._transposed, ["Conv1DTranspose", "Conv2DTranspose"]),
    **_all(_Reading._depthwise, ["DepthwiseConv1D", "DepthwiseConv2D"]),
    **_all(_Reading._separable, ["SeparableConv1D", "SeparableConv2D"]),
    **_all(_Reading._batch_norm, ["BatchNormalization"]),
    **_all(_Reading._gamma, ["LayerNormalization", "GroupNormalization"]),
    **_all(_Reading._rms_norm, ["RMSNormalization"]),
    **_all(_Reading._normalization, ["Normalization"]),
    **_all(_Reading._rescaling, ["Rescaling"]),
    **_all(_Reading._merge, ["Add", "Subtract", "Multiply", "Maximum", "Minimum"]),
    **_all(_Reading._average, ["Average"]),
    **_all(_Reading._concatenate, ["Concatenate"]),
    **_all(_Reading._reshape, ["Flatten", "Reshape"]),
    **_all(
        _Reading._unitwise,
        [
            *("Activation", "ReLU", "LeakyReLU", "ELU", "PReLU", "Softmax", "Identity"),
            *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
            *("ActivityRegularization", "UnitNormalization", "RepeatVector", "Resizing"),
            *("RandomBrightness", "RandomContrast", "RandomFlip", "RandomRotation"),
            *("RandomTranslation", "RandomZoom"),
            *_in_dimensions(["SpatialDropout", "MaxPooling", "AveragePooling", "GlobalMaxPooling"]),
            *_in_dimensions(["GlobalAveragePooling", "AdaptiveMaxPooling"]),
            *_in_dimensions(["AdaptiveAveragePooling", "ZeroPadding", "Cropping", "UpSampling"]),
        ],
    ),
}

# The classes of these operations have no public names.
_OPERATION_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("Add", "Subtract", "Maximum", "Minimum"), _Reading._sum_or_constant),
    **dict.fromkeys(("Multiply",), _Reading._product),
    **dict.fromkeys(("Divide", "TrueDivide"), _Reading._quotient),
    **dict.fromkeys(("Concatenate",), _Reading._concatenate),
    **dict.fromkeys(("Reshape", "ExpandDims", "Squeeze"), _Reading._reshape),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min", "Amax", "Amin"), _Reading._reduction),
    **dict.fromkeys(
        (
            *("Relu", "Relu6", "Sigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid"),
            *("LeakyRelu", "HardSigmoid", "HardSilu", "HardTanh", "Elu", "Selu", "Gelu", "Celu"),
            *("Softmax", "LogSoftmax", "Tanh", "MaxPool", "AveragePool", "Absolute", "Abs"),
            *("Negative", "Exp", "Log", "Log1p", "Sqrt", "Square", "Sign", "Clip", "Pad"),
            *("Copy", "Cast", "StopGradient"),
        ),
        _Reading._unitwise,
    ),
}

_REASONS: tuple[tuple[tuple[type, ...], str], ...] = (
    (
        (keras.layers.RNN, keras.layers.LSTM, keras.layers.GRU, keras.layers.Bidirectional),
        "which is recurrent: its units join themselves over time",
    ),
    (
        (
            keras.layers.Attention,
            keras.layers.AdditiveAttention,
            keras.layers.MultiHeadAttention,
            keras.layers.GroupQueryAttention,
        ),
        "which mixes positions by weights that it makes anew for every input",
    ),
    ((keras.layers.Embedding,), "which looks its outputs up and reads no units"),
    ((keras.layers.Lambda,), "whose code cannot be read; rebuild it from Keras' layers"),
    (
        (keras.layers.Permute,),
        "which moves the channels; expected them on the last axis throughout",
    ),
    (
        (keras.layers.Conv3D, keras.layers.Conv3DTranspose),
        "whose kernels have three dimensions; there are norms for one and two",
    ),
    (
        (keras.Model,),
        "which computes by code of its own; expected a sequential or functional network",
    ),
)
