"""The kinds of Keras layers, operations and activations, and all that the library knows of each.

Weights, walk, activations, gradients, chains, pruning, modular initialisation, the clusterability
gradient and lesions ask here. A new kind of layer is an entry of :data:`LAYER_KINDS`, with a rule
of those in ``rules`` or a new one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Any, Literal

from nn_clustering.networks.structure._walk import Step
from nn_clustering.networks.structure._weights_builder import WeightsBuilder
from nn_clustering.networks.structure.rules.attention import (
    dot_product_attention,
    einsum,
    join_heads,
    matrix_product,
    part_heads,
    repetition,
    transposition,
)
from nn_clustering.networks.structure.rules.lookup import embedding
from nn_clustering.networks.structure.rules.merging import (
    average,
    concatenation,
    difference,
    merge,
    nonlinear_merge,
    scaled_sum,
)
from nn_clustering.networks.structure.rules.normalisation import (
    batch_normalisation,
    fixed_normalisation,
    gamma_alone,
    rms_normalisation,
    unit_normalisation,
)
from nn_clustering.networks.structure.rules.recurrent import recurrent
from nn_clustering.networks.structure.rules.reshaping import (
    flip,
    item,
    permutation,
    reshape,
    split,
)
from nn_clustering.networks.structure.rules.scaling import (
    difference_or_constant,
    extreme,
    layer_scale,
    negation,
    product,
    quotient,
    rescaling,
    sum_or_constant,
)
from nn_clustering.networks.structure.rules.unitwise import (
    comparison,
    constant,
    reduction,
    unitwise,
)
from nn_clustering.networks.structure.rules.weighted import (
    convolution,
    dense,
    depthwise_convolution,
    einsum_dense,
    flat_projection,
    separable_convolution,
    transposed_convolution,
)

Rule = Callable[[WeightsBuilder, Step], None]
PlaceInChain = Literal["weights", "unitwise", "batch norm", "flatten", "input scaling"]
Wrapping = Literal["layer", "layer at each time", "layers in turn", "layer both ways", "code"]


@dataclass(frozen=True)
class LayerKind:
    """What is known of a kind of layer, operation or activation.

    Attributes:
        rule: What it makes of the channels that it reads; None if it has no place in a graph.
        refusal: Why it has none, a relative clause.
        wraps: What it wraps, if it computes what other layers do and nothing else: the walk takes
            their steps instead. "code": other layers and operations, which its code calls.
        kernels: Names of the variables that are its kernels: what is pruned and penalised, and
            joins units where there is a rule. A layer with kernels applies its activation last, but
            for recurrent ones.
        is_recurrent: Whether it reads what it made at the time before.
        convolves: Whether the kernels slide over positions.
        is_nonlinearity: Whether it is what makes a unit's value of what was summed up for it.
        is_linear: Whether it makes of a sum the sum of what it makes of each part, but for what is
            added and for what a norm divides by; a nonlinearity never is.
        joins_units: Whether a unit's value hangs on those of other units, without weights.
        takes_heads: Whether it may read channels that stand on two axes, heads and their channels.
        is_homogeneous: Whether c x instead of x, with c > 0 of every unit's own, makes c times as
            much of it; of a layer with kernels its activation says so.
        place_in_chain: What it is in a plain chain of layers; None if it has no place there.
    """

    rule: Rule | None = None
    refusal: str | None = None
    wraps: Wrapping | None = None
    kernels: tuple[str, ...] = ()
    is_recurrent: bool = False
    convolves: bool = False
    is_nonlinearity: bool = False
    is_linear: bool = True
    joins_units: bool = False
    takes_heads: bool = False
    is_homogeneous: bool = False
    place_in_chain: PlaceInChain | None = None

    @property
    def keeps_positions(self) -> bool:
        """Whether it is known to make every position of that position, of the same size of map."""
        return self.is_nonlinearity or self.rule not in _MAY_MOVE_POSITIONS


_flat_projections_module = f"{__package__}._flat_projections"

# pooling, padding and the like among them
_MAY_MOVE_POSITIONS = (
    *(unitwise, reduction, reshape, permutation, item, flip, depthwise_convolution),
    *(dot_product_attention, einsum, matrix_product, repetition, transposition),
)


def _each(kind: LayerKind, *names: str) -> dict[str, LayerKind]:
    return dict.fromkeys(names, kind)


def _in_dimensions(stems: Iterable[str], *dimensions: int) -> list[str]:
    return [f"{stem}{n}D" for stem in stems for n in dimensions]


_CONVOLUTION = LayerKind(convolution, kernels=("kernel",), convolves=True)
_TRANSPOSED = replace(_CONVOLUTION, rule=transposed_convolution)
_DEPTHWISE = replace(_CONVOLUTION, rule=depthwise_convolution)
_SEPARABLE = replace(
    _CONVOLUTION, rule=separable_convolution, kernels=("depthwise_kernel", "pointwise_kernel")
)
_IN_THREE_DIMENSIONS = replace(
    _CONVOLUTION,
    rule=None,
    refusal="whose kernels have three dimensions; there are norms for one and two",
)
_RECURRENT = LayerKind(
    recurrent, kernels=("cell.kernel", "cell.recurrent_kernel"), is_recurrent=True
)
_OF_OWN_CELLS = LayerKind(
    refusal="which is recurrent by cells of any kind; expected LSTM, GRU or SimpleRNN"
)
_ATTENTION = LayerKind(wraps="code")
_RECURRENT_CELL = LayerKind(refusal="which is a cell of a recurrent layer")
_OF_CATEGORIES = LayerKind(refusal="which makes numbers of categories or texts and reads no units")
_OF_SPECTRA = LayerKind(refusal="which makes spectra of waves, whose values are no units")
_CODE = LayerKind(refusal="whose code cannot be read; rebuild it from Keras' layers")
_BASE = LayerKind(refusal="of which it is not known what it does to units")
_UNITWISE = LayerKind(unitwise)
_UNITWISE_IN_CHAIN = LayerKind(unitwise, place_in_chain="unitwise")
_HOMOGENEOUS = LayerKind(unitwise, is_homogeneous=True)
_HOMOGENEOUS_IN_CHAIN = replace(_HOMOGENEOUS, place_in_chain="unitwise")
_NONLINEAR = LayerKind(unitwise, is_linear=False)
_MAX_POOLING = replace(_HOMOGENEOUS, is_linear=False)
_NONLINEARITY = LayerKind(
    unitwise, is_nonlinearity=True, is_linear=False, place_in_chain="unitwise"
)
_SOFTMAX = replace(_NONLINEARITY, joins_units=True)

# By the name in ``keras.layers``; it counts for classes that are derived from one, too. What a
# version of Keras does not have plays no part in it.
LAYER_KINDS: Mapping[str, LayerKind] = {
    "Dense": LayerKind(dense, kernels=("kernel",), place_in_chain="weights"),
    "EinsumDense": LayerKind(einsum_dense, kernels=("kernel",)),
    "Conv1D": _CONVOLUTION,
    "Conv2D": replace(_CONVOLUTION, place_in_chain="weights"),
    **_each(_TRANSPOSED, "Conv1DTranspose", "Conv2DTranspose"),
    **_each(_DEPTHWISE, "DepthwiseConv1D", "DepthwiseConv2D"),
    **_each(_SEPARABLE, "SeparableConv1D", "SeparableConv2D"),
    **_each(_IN_THREE_DIMENSIONS, "Conv3D", "Conv3DTranspose"),
    "BatchNormalization": LayerKind(batch_normalisation, place_in_chain="batch norm"),
    **_each(LayerKind(gamma_alone, joins_units=True), "LayerNormalization", "GroupNormalization"),
    "RMSNormalization": LayerKind(rms_normalisation, joins_units=True),
    "UnitNormalization": LayerKind(unit_normalisation, joins_units=True),
    "Normalization": LayerKind(fixed_normalisation),
    "Rescaling": LayerKind(rescaling, place_in_chain="input scaling"),
    "Add": LayerKind(merge),
    "Subtract": LayerKind(difference),
    **_each(LayerKind(nonlinear_merge), "Multiply", "Maximum", "Minimum"),
    "Average": LayerKind(average),
    "Concatenate": LayerKind(concatenation),
    "Flatten": LayerKind(reshape, is_homogeneous=True, place_in_chain="flatten"),
    "Reshape": LayerKind(reshape, takes_heads=True),
    "Permute": LayerKind(permutation),
    "SpectralNormalization": LayerKind(wraps="layer"),
    "TimeDistributed": LayerKind(wraps="layer at each time"),
    "Pipeline": LayerKind(wraps="layers in turn"),
    # of an ``Activation``, and of a ReLU with bounds, see layer_kind and is_homogeneous
    "Activation": _NONLINEARITY,
    **_each(replace(_NONLINEARITY, is_homogeneous=True), "ReLU", "LeakyReLU"),
    "ELU": _NONLINEARITY,
    "PReLU": replace(_NONLINEARITY, place_in_chain=None),
    "Softmax": _SOFTMAX,
    "Dropout": replace(_HOMOGENEOUS_IN_CHAIN, takes_heads=True),
    **_each(_HOMOGENEOUS_IN_CHAIN, "AveragePooling2D", "GlobalAveragePooling2D"),
    **_each(replace(_MAX_POOLING, place_in_chain="unitwise"), "MaxPooling2D", "GlobalMaxPooling2D"),
    **_each(_HOMOGENEOUS_IN_CHAIN, *_in_dimensions(["SpatialDropout"], 1, 2, 3)),
    "ZeroPadding2D": _HOMOGENEOUS_IN_CHAIN,
    **_each(_MAX_POOLING, *_in_dimensions(["MaxPooling", "GlobalMaxPooling"], 1, 3)),
    **_each(_HOMOGENEOUS, *_in_dimensions(["AveragePooling", "GlobalAveragePooling"], 1, 3)),
    **_each(_HOMOGENEOUS, *_in_dimensions(["ZeroPadding"], 1, 3)),
    "GaussianNoise": _UNITWISE_IN_CHAIN,
    **_each(_UNITWISE, "Identity", "AlphaDropout", "GaussianDropout", "ActivityRegularization"),
    **_each(_UNITWISE, "RepeatVector", "Masking"),
    **_each(_NONLINEAR, *_in_dimensions(["AdaptiveMaxPooling"], 1, 2, 3)),
    **_each(_UNITWISE, *_in_dimensions(["Cropping"], 1, 2, 3)),
    **_each(_UNITWISE, *_in_dimensions(["AdaptiveAveragePooling", "UpSampling"], 1, 2, 3)),
    **_each(_RECURRENT, "LSTM", "GRU", "SimpleRNN"),
    "Bidirectional": LayerKind(wraps="layer both ways"),
    "RNN": _OF_OWN_CELLS,
    **_each(_ATTENTION, "Attention", "AdditiveAttention"),
    **_each(_ATTENTION, "MultiHeadAttention", "GroupQueryAttention"),
    **_each(_RECURRENT_CELL, "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"),
    **_each(LayerKind(embedding, kernels=("embeddings",)), "Embedding", "ReversibleEmbedding"),
    "Dot": LayerKind(refusal="which sums products of the units of two tensors, without weights"),
    **_each(_OF_CATEGORIES, "CategoryEncoding", "Discretization", "HashedCrossing", "Hashing"),
    **_each(_OF_CATEGORIES, "IntegerLookup", "StringLookup", "TextVectorization"),
    **_each(_OF_SPECTRA, "MelSpectrogram", "STFTSpectrogram"),
    **_each(_CODE, "Lambda", "FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"),
    **_each(_BASE, "InputLayer", "Wrapper"),
}

# By the name of a class of Keras that ``keras.layers`` does not have: of Keras' own networks, and
# the base of all layers that change images, of which the random ones do nothing in inference.
INNER_LAYER_KINDS: Mapping[str, LayerKind] = {
    "BaseImagePreprocessingLayer": _UNITWISE,
    "LayerScale": LayerKind(layer_scale),
    "CustomScaleLayer": LayerKind(scaled_sum),
    "StochasticDepth": _UNITWISE,
}

# By the name of the class of what ``keras.ops`` calls, which is not a public one.
OPERATION_KINDS: Mapping[str, LayerKind] = {
    "Add": LayerKind(sum_or_constant),
    "Subtract": LayerKind(difference_or_constant),
    "Negative": LayerKind(negation),
    **_each(LayerKind(extreme), "Maximum", "Minimum"),
    "Multiply": LayerKind(product),
    **_each(LayerKind(quotient), "Divide", "TrueDivide"),
    "Concatenate": LayerKind(concatenation),
    **_each(LayerKind(reshape, takes_heads=True), "Reshape", "ExpandDims", "Squeeze"),
    "Flip": LayerKind(flip),
    **_each(LayerKind(reduction), "Mean", "Sum"),
    **_each(LayerKind(reduction, is_linear=False), "Max", "Min", "Amax", "Amin"),
    **_each(_NONLINEARITY, "Relu", "Relu6", "Sigmoid", "Softplus", "Softsign", "Silu"),
    **_each(_NONLINEARITY, "LogSigmoid", "LeakyRelu", "HardSigmoid", "HardSilu", "HardTanh"),
    **_each(_NONLINEARITY, "Elu", "Selu", "Gelu", "Celu", "Tanh"),
    **_each(_SOFTMAX, "Softmax", "LogSoftmax"),
    **_each(_NONLINEAR, "MaxPool", "Absolute", "Abs", "Exp", "Log", "Log1p", "Sqrt", "Square"),
    **_each(_NONLINEAR, "Sign", "Clip", "Power"),
    **_each(_UNITWISE, "AveragePool", "Pad", "Copy", "StopGradient"),
    **_each(replace(_UNITWISE, takes_heads=True), "Cast", "ConvertToTensor"),
    "GetItem": LayerKind(item),
    "Split": LayerKind(split),
    "DotProductAttention": LayerKind(dot_product_attention, takes_heads=True),
    "Einsum": LayerKind(einsum, takes_heads=True),
    "Matmul": LayerKind(matrix_product, takes_heads=True),
    "Repeat": LayerKind(repetition, takes_heads=True),
    "Transpose": LayerKind(transposition, takes_heads=True),
    **_each(LayerKind(constant), "OnesLike", "ZerosLike", "FullLike"),
    **_each(LayerKind(comparison), "Equal", "NotEqual", "Greater", "GreaterEqual", "Less"),
    **_each(LayerKind(comparison), "LessEqual", "LogicalAnd", "LogicalOr", "LogicalNot"),
}

# By the name of the class of what a walk puts in the place of a layer's parts.
WALK_KINDS: Mapping[str, LayerKind] = {
    "FlatProjection": LayerKind(flat_projection, kernels=("kernel",)),
    "ConcatenatedForEach": LayerKind(concatenation),
    "Parted": LayerKind(part_heads),
    "Joined": LayerKind(join_heads, takes_heads=True),
}

# By the name in ``keras.activations``; every other function is a nonlinearity of each unit's own.
ACTIVATION_KINDS: Mapping[str, LayerKind] = {
    "linear": _HOMOGENEOUS_IN_CHAIN,
    **_each(replace(_NONLINEARITY, is_homogeneous=True), "relu", "leaky_relu"),
    **_each(_SOFTMAX, "softmax", "log_softmax", "sparsemax"),
    "glu": LayerKind(refusal="which is glu: it makes one channel of two"),
}


def layer_kind(operation: Any) -> LayerKind:
    """Return what is known of a layer, an operation of ``keras.ops`` or an activation function.

    An ``Activation`` layer is of the kind of its function. Nothing is known of a layer that is
    derived from none that is listed.
    """
    import keras

    if isinstance(operation, keras.layers.Activation):
        return activation_kind(operation.activation)
    if isinstance(operation, keras.Layer):
        found = (_of_class(kind) for kind in type(operation).__mro__)
        return next((kind for kind in found if kind is not None), LayerKind())
    if _is_of_walk(operation):
        return WALK_KINDS[type(operation).__name__]
    if isinstance(operation, keras.Operation):
        return OPERATION_KINDS.get(type(operation).__name__, LayerKind())
    return activation_kind(operation)


def activation_kind(function: Any) -> LayerKind:
    """Return what is known of an activation function; a layer in its place is any function."""
    import keras

    names = (
        name for name in ACTIVATION_KINDS if function is getattr(keras.activations, name, None)
    )
    return ACTIVATION_KINDS.get(next(names, ""), _NONLINEARITY)


def _is_of_walk(operation: Any) -> bool:
    return type(operation).__module__ == _flat_projections_module


def _of_class(layer_class: type) -> LayerKind | None:
    if _is_of_keras(layer_class):
        by_name = INNER_LAYER_KINDS.get(layer_class.__name__)
        return _by_class().get(layer_class, by_name)
    return None


def _is_of_keras(layer_class: type) -> bool:
    return layer_class.__module__.split(".")[0] == "keras"


@cache
def _by_class() -> Mapping[type, LayerKind]:
    """Return the kinds of the layers that this version of Keras has."""
    import keras

    return {
        getattr(keras.layers, name): kind
        for name, kind in LAYER_KINDS.items()
        if hasattr(keras.layers, name)
    }


def computes_as_in_keras(operation: Any) -> bool:
    """Return whether an operation's class is Keras' own, or derived from it and computes alike.

    A layer's derived class must not define anew what Keras' has, but for how it is made: its
    ``call`` may lean on any other method. Of a network, which has methods for much else, it counts
    that its ``call`` is Keras'.
    """
    import keras

    classes = type(operation).__mro__
    if _is_of_walk(operation):
        return True
    if isinstance(operation, keras.Model) or not isinstance(operation, keras.Layer):
        return _is_of_keras(next(kind for kind in classes if "call" in vars(kind)))
    n_own = next(place for place, kind in enumerate(classes) if _is_of_keras(kind))
    return not any(_changes(kind, classes[n_own]) for kind in classes[:n_own])


# What a derived class may do anew: how its layer is made, saved and spoken of.
_HARMLESS = frozenset(
    {
        *("build", "build_from_config", "get_build_config", "from_config", "get_config"),
        *("compute_output_shape", "compute_output_spec"),
        *("load_own_variables", "save_own_variables"),
    }
)


def _changes(derived: type, base: type) -> bool:
    """Return whether a class defines anew what may be part of how its base computes."""
    own = {
        name
        for name in vars(derived)
        if name == "__call__" or not (name.startswith("__") and name.endswith("__"))
    }
    return any(hasattr(base, name) for name in own - _HARMLESS)


def is_plain(layer: Any) -> bool:
    """Return whether a layer is Keras' own dense layer or convolution, and of all channels at once.

    No transposed, depthwise or separable convolution, no groups and no causal padding, and of no
    derived class: so what it makes of a channel, or a channel of what it makes, can be computed
    from the kernel alone.
    """
    if layer_kind(layer).rule not in (dense, convolution) or not is_keras_own(layer):
        return False
    return not layer_kind(layer).convolves or (layer.groups == 1 and layer.padding != "causal")


def is_keras_own(layer: Any) -> bool:
    """Return whether a layer is of a class that is listed, not of one derived from it."""
    return type(layer) in _by_class()


def is_homogeneous(layer: Any) -> bool:
    """Return whether scaling a unit's weights and bias scales what the layer makes of it."""
    kind = layer_kind(layer)
    if kind.kernels and not kind.is_recurrent:
        return activation_kind(getattr(layer, "activation", None)).is_homogeneous
    # of a ReLU
    is_bounded = getattr(layer, "max_value", None) is not None or getattr(layer, "threshold", False)
    return kind.is_homogeneous and not is_bounded


def kernels_of(layer: Any) -> list[Any]:
    """Return the variables of a layer that are kernels."""
    return [attrgetter(name)(layer) for name in layer_kind(layer).kernels]
