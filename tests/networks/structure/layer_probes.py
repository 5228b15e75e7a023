"""Every layer of Keras that has a rule, with its options, and how each is measured.

A probe is a small network: an input, a dense layer ``first``, the layer in question, a dense layer
``last``. What the layer does to units is measured by calling it alone, on one unit at a time.
"""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from keras.src.applications import convnext, inception_resnet_v2

N_UNITS = 4


@dataclass(frozen=True)
class Probe:
    """A layer with options, and how to measure it.

    Attributes:
        layer: Its class.
        options: Its arguments.
        shape: Shape of a sample that it reads, with the channels last.
        how: "pixels": what one place of one unit makes, added up over the places of what is made;
            "maps": what a unit makes that is 1 everywhere; "touched": which channels a unit touches
            at all, in a layer that is not linear; "proportions": what a unit makes in a layer
            that divides by something common to all of them.
        is_weighted: Whether it makes units of its own.
        positive: Whether all weights are, so that nothing cancels of what a unit makes on several
            ways.
        others: Shapes of the other tensors, of a layer that merges several.
    """

    layer: type
    options: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (N_UNITS,)
    how: str = "maps"
    is_weighted: bool = False
    positive: bool = False
    others: tuple[tuple[int, ...], ...] = ()

    def __str__(self) -> str:
        options = ", ".join(f"{name}={spoken(value)}" for name, value in self.options.items())
        return f"{self.layer.__name__}({options}) of {self.shape} {self.others or ''}"

    def build(self) -> keras.layers.Layer:
        return self.layer(**self.options)

    @property
    def stride(self) -> int:
        """How many places of what is read it steps over for one of what is made."""
        inner = self.build()
        while hasattr(inner, "layer"):
            inner = inner.layer
        strides = 1 if "Transpose" in type(inner).__name__ else getattr(inner, "strides", 1)
        return strides if isinstance(strides, int) else strides[0]


def spoken(value: Any) -> Any:
    """A value without the name that Keras gives a layer, which counts how many there are."""
    if isinstance(value, list):
        return [spoken(one) for one in value]
    if isinstance(value, keras.Layer):
        return f"{type(value).__name__}({spoken(value.layer) if hasattr(value, 'layer') else ''})"
    return value


def each(classes: list[type], *option_sets: dict[str, Any], **fields: Any) -> list[Probe]:
    return [Probe(one, options, **fields) for one in classes for options in option_sets or ({},)]


def named(*names: str) -> list[type]:
    return [getattr(layers, name) for name in names if hasattr(layers, name)]


def in_dimension(n: int, *stems: str) -> list[type]:
    return named(*(f"{stem}{n}D" for stem in stems))


MAP = (11, 11, N_UNITS)
SEQUENCE = (11, N_UNITS)
VOLUME = (4, 4, 4, N_UNITS)
IMAGE = (8, 8, 3)
LAST = {"data_format": "channels_last"}


def of_weights() -> list[Probe]:
    weighted = {"how": "pixels", "is_weighted": True}
    found = each(
        [layers.Dense],
        {"units": 3},
        {"units": 3, "lora_rank": 2, "lora_alpha": 1.0},
        **weighted,
    )
    without_bias = {"units": 3, "activation": "relu", "use_bias": False}
    found += [
        Probe(layers.Dense, {"units": 3}, (2, 3, N_UNITS), **weighted),
        Probe(layers.Dense, without_bias, positive=True, **weighted),
    ]
    found += [
        Probe(
            layers.EinsumDense,
            {"equation": equation, "output_shape": made, **more},
            shape,
            **weighted,
        )
        for equation, made, shape, more in [
            ("ab,bc->ac", 3, (N_UNITS,), {"activation": "relu", "bias_axes": "c"}),
            ("...x,xy->...y", 3, (5, N_UNITS), {}),
            ("abc,cd->abd", (5, 3), (5, N_UNITS), {"lora_rank": 2, "lora_alpha": 1.0}),
        ]
    ]
    plain = [
        {"filters": 3, "kernel_size": 3},
        {"filters": 3, "kernel_size": 2, "strides": 2, "padding": "same", "use_bias": False},
        {"filters": 3, "kernel_size": 2, "dilation_rate": 2, "activation": "relu", **LAST},
    ]
    grouped = [*plain, {"filters": 6, "kernel_size": 3, "groups": 2}]
    causal = {"filters": 3, "kernel_size": 3, "padding": "causal"}
    transposed = [
        {"filters": 3, "kernel_size": 3, "activation": "relu", **LAST},
        {"filters": 3, "kernel_size": 3, "strides": 2, "output_padding": 1, "padding": "same"},
        {"filters": 3, "kernel_size": 2, "dilation_rate": 2, "use_bias": False},
    ]
    for n, shape in ((1, SEQUENCE), (2, MAP)):
        found += each(in_dimension(n, "Conv"), *grouped, shape=shape, **weighted)
        found += each([getattr(layers, f"Conv{n}DTranspose")], *transposed, shape=shape, **weighted)
        separable = in_dimension(n, "SeparableConv")
        found += each(separable, *plain, shape=shape, **weighted)
        several = {"filters": 3, "kernel_size": 2, "depth_multiplier": 2}
        found += each(separable, several, shape=shape, positive=True, **weighted)
    found += [Probe(layers.Conv1D, causal, SEQUENCE, **weighted)]
    return found


def of_factors() -> list[Probe]:
    depthwise = [
        {"kernel_size": 3, "activation": "relu", **LAST},
        {"kernel_size": 2, "strides": 2, "padding": "same", "use_bias": False},
        {"kernel_size": 2, "dilation_rate": 2, "depth_multiplier": 3},
    ]
    found = each(in_dimension(1, "DepthwiseConv"), *depthwise, shape=SEQUENCE, how="pixels")
    found += each(in_dimension(2, "DepthwiseConv"), *depthwise, shape=MAP, how="pixels")
    statistics = {"mean": [0.0] * N_UNITS, "variance": [4.0, 9.0, 0.0, 1e-20]}
    found += each(
        [layers.Normalization],
        statistics,
        {**statistics, "invert": True},
        {"axis": None, "mean": 1.0, "variance": 4.0},
        {"axis": 1, **statistics},
    )
    found += [Probe(layers.Normalization, {"axis": -1, **statistics, "invert": True}, (2, N_UNITS))]
    batch_norms = [
        {},
        {"axis": -1, "center": False, "epsilon": 0.5, "momentum": 0.9, "synchronized": True},
        {"scale": False},
        {"renorm": True, "renorm_clipping": {"rmax": 2.0}, "renorm_momentum": 0.9},
    ]
    found += each([layers.BatchNormalization], *batch_norms)
    found += [Probe(layers.BatchNormalization, {"axis": 3}, (2, 3, N_UNITS))]
    found += each(
        [layers.Rescaling],
        {"scale": -2.5, "offset": 1.0},
        {"scale": np.array([1.0, -2, 3, 4]), "offset": np.ones(4)},
        {"scale": np.array([[[1.0, -2, 3, 4]]])},
        shape=(2, 3, N_UNITS),
    )
    found += each([convnext.LayerScale], {"init_values": 0.1, "projection_dim": N_UNITS})
    found += [
        Probe(convnext.LayerScale, {"init_values": 0.1, "projection_dim": N_UNITS}, (2, 2, N_UNITS))
    ]
    return found


def of_norms() -> list[Probe]:
    common = {"how": "proportions"}
    found = each(
        [layers.LayerNormalization],
        {},
        {"axis": [-1], "center": False, "epsilon": 0.1},
        {"scale": False},
        {"rms_scaling": True},
        **common,
    )
    found += [
        Probe(layers.LayerNormalization, {"axis": 3}, (2, 2, N_UNITS), **common),
        Probe(layers.LayerNormalization, {"axis": [1, 2], "scale": False}, (3, N_UNITS), **common),
        Probe(layers.GroupNormalization, {"groups": 1, "axis": 2}, (3, N_UNITS), **common),
        Probe(layers.UnitNormalization, {"axis": [1, 2]}, (3, N_UNITS), **common),
    ]
    found += each(
        [layers.GroupNormalization],
        {"groups": 2, "center": False, "epsilon": 0.1},
        {"groups": 2, "scale": False, "axis": -1},
        **common,
    )
    found += each(named("RMSNormalization"), {}, {"axis": 1, "epsilon": 0.1}, **common)
    found += each([layers.UnitNormalization], {}, {"axis": 1}, **common)
    return found


def of_positions() -> list[Probe]:
    found = []
    for n, shape in ((1, SEQUENCE), (2, MAP), (3, VOLUME)):
        pooling = in_dimension(n, "MaxPooling", "AveragePooling")
        found += each(
            pooling, {"pool_size": 2}, {"pool_size": 3, "strides": 1, "padding": "same", **LAST},
            shape=shape,
        )  # fmt: skip
        found += each(
            in_dimension(n, "AdaptiveMaxPooling", "AdaptiveAveragePooling"),
            {"output_size": 2, **LAST},
            shape=shape,
        )
        found += each(
            in_dimension(n, "GlobalMaxPooling", "GlobalAveragePooling"),
            {}, {"keepdims": True, **LAST},
            shape=shape,
        )  # fmt: skip
        found += each(in_dimension(n, "Cropping"), {"cropping": 1}, shape=shape)
        found += each(in_dimension(n, "ZeroPadding"), {"padding": 1, **LAST}, shape=shape)
        found += each(in_dimension(n, "UpSampling"), {"size": 2}, shape=shape)
        dropout = {"rate": 0.5} if n == 1 else {"rate": 0.5, **LAST}
        found += each(in_dimension(n, "SpatialDropout"), dropout, shape=shape)
    found += each(
        [layers.UpSampling2D], {"interpolation": "bilinear", **LAST}, {"interpolation": "bicubic"},
        shape=MAP,
    )  # fmt: skip
    found += each([layers.UpSampling3D, layers.Cropping2D, layers.Cropping3D], LAST, shape=VOLUME)
    found = [
        probe
        for probe in found
        if probe.layer is not layers.Cropping2D or "cropping" in probe.options
    ]
    found += [Probe(layers.Cropping2D, {"cropping": 1, **LAST}, MAP)]
    found += each([layers.Flatten], {}, LAST, shape=(2, 3, N_UNITS))
    found += each(
        [layers.Reshape],
        {"target_shape": (6, N_UNITS)}, {"target_shape": (-1,)}, {"target_shape": (3, 1, 2, 4)},
        shape=(2, 3, N_UNITS),
    )  # fmt: skip
    found += each([layers.Permute], {"dims": (2, 1, 3)}, shape=(2, 3, N_UNITS))
    found += each([layers.RepeatVector], {"n": 3})
    return found


def of_activations() -> list[Probe]:
    found = each(
        named("ReLU", "LeakyReLU", "ELU", "PReLU", "Identity"), shape=(2, 3, N_UNITS), how="touched"
    )
    found += each(
        [layers.ReLU], {"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.2}, how="touched"
    )
    found += each([layers.LeakyReLU], {"negative_slope": 0.5}, how="touched")
    found += each([layers.ELU], {"alpha": 2.0}, how="touched")
    found += each([layers.PReLU], {"shared_axes": [1]}, shape=(3, N_UNITS), how="touched")
    # over positions it keeps units apart; over units it is a nonlinearity of all of them
    found += each([layers.Softmax], {"axis": 1}, shape=(3, N_UNITS), how="touched")
    found += each(
        [layers.Activation],
        *({"activation": name} for name in ("relu", "tanh", "gelu", "linear", "softplus")),
        how="touched",
    )
    found += each(
        named("Dropout", "AlphaDropout"), {"rate": 0.5}, {"rate": 0.2, "noise_shape": (None, 1)}
    )
    found += each(named("GaussianDropout"), {"rate": 0.5})
    found += each(named("GaussianNoise"), {"stddev": 0.5})
    found += each(named("ActivityRegularization"), {"l1": 0.1, "l2": 0.1})
    found += each([layers.Masking], {"mask_value": 0.0}, {"mask_value": -3.0}, shape=(2, N_UNITS))
    found += each([convnext.StochasticDepth], {"drop_path_rate": 0.5})
    return found


# Of those that change images: what they cannot do without.
_FACTOR = {"factor": 0.1}
_SIZE = {"height": 4, "width": 4}
IMAGE_OPTIONS: dict[str, dict[str, Any]] = {
    "CenterCrop": _SIZE,
    "MaxNumBoundingBoxes": {"max_number": 3},
    "RandomBrightness": _FACTOR,
    "RandomColorDegeneration": _FACTOR,
    "RandomContrast": _FACTOR,
    "RandomCrop": _SIZE,
    "RandomHue": _FACTOR,
    "RandomPosterization": {"factor": 4},
    "RandomRotation": _FACTOR,
    "RandomSaturation": _FACTOR,
    "RandomSharpness": _FACTOR,
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.1},
    "Resizing": {"height": 6, "width": 5, "antialias": True},
}
OF_IMAGES = next(
    kind for kind in layers.RandomFlip.__mro__ if kind.__name__ == "BaseImagePreprocessingLayer"
)


# What Keras itself cannot put into a network: they make no tensor of their own.
NOT_IN_NETWORKS = ("Equalization",)


def of_images() -> list[Probe]:
    """All that derive from Keras' base of layers that change images, as they are in inference."""
    public = {
        getattr(layers, name) for name in dir(layers) if isinstance(getattr(layers, name), type)
    }
    derived = sorted(
        (kind for kind in public if issubclass(kind, OF_IMAGES)), key=lambda kind: kind.__name__
    )
    found = []
    for kind in derived:
        if kind.__name__ in NOT_IN_NETWORKS:
            continue
        options = IMAGE_OPTIONS.get(kind.__name__, {})
        found.append(Probe(kind, options, IMAGE, how="touched"))
    resized = {"height": 6, "width": 5, "pad_to_aspect_ratio": True, "interpolation": "nearest"}
    return [*found, Probe(layers.Resizing, resized, MAP)]


def of_wrappers() -> list[Probe]:
    weighted = {"how": "pixels", "is_weighted": True}
    spectral = {"power_iterations": 2}
    pipeline = [layers.RandomFlip(), layers.Rescaling(3.0), layers.AveragePooling2D(2)]
    return [
        Probe(layers.TimeDistributed, {"layer": layers.Dense(3, "relu")}, (5, N_UNITS), **weighted),
        Probe(layers.TimeDistributed, {"layer": layers.Conv2D(3, 2)}, (2, *MAP), **weighted),
        Probe(layers.TimeDistributed, {"layer": layers.Flatten()}, (2, 2, 3, N_UNITS)),
        Probe(layers.TimeDistributed, {"layer": layers.MaxPooling2D()}, (2, 4, 4, N_UNITS)),
        Probe(layers.TimeDistributed, {"layer": layers.BatchNormalization()}, (2, N_UNITS)),
        Probe(
            layers.TimeDistributed,
            {"layer": layers.TimeDistributed(layers.Conv1D(3, 3, strides=2))},
            (2, 2, *SEQUENCE),
            **weighted,
        ),
        Probe(
            layers.SpectralNormalization, {"layer": layers.Dense(3, "relu"), **spectral}, **weighted
        ),
        Probe(
            layers.SpectralNormalization, {"layer": layers.Conv2D(3, 3, groups=1)}, MAP, **weighted
        ),
        Probe(
            layers.TimeDistributed,
            {"layer": layers.SpectralNormalization(layers.Dense(3))},
            (5, N_UNITS),
            **weighted,
        ),
        Probe(layers.Pipeline, {"layers": pipeline}, (4, 4, 3)),
        Probe(layers.Pipeline, {"layers": [layers.Dense(3, "relu")]}, (5, N_UNITS), **weighted),
    ]


def of_merges() -> list[Probe]:
    shape = (2, 3, N_UNITS)
    broadcasts = [((shape,)), ((2, 3, 1),), ((1, 1, N_UNITS),), ((1, 3, 1), shape)]
    linear = named("Add", "Average")
    found = [Probe(kind, {}, shape, others=others) for kind in linear for others in broadcasts]
    found += [
        Probe(kind, {}, shape, how="touched", others=others)
        for kind in named("Multiply", "Maximum", "Minimum")
        for others in broadcasts
    ]
    found += [
        Probe(kind, {}, shape, how="touched", others=((N_UNITS,),)) for kind in named("Multiply")
    ]
    found += [Probe(layers.Subtract, {}, shape, others=others) for others in broadcasts[:3]]
    found += [
        Probe(layers.Concatenate, {"axis": axis}, shape, others=others)
        for axis, others in ((-1, (shape, (2, 3, 2))), (3, (shape,)))
    ]
    found += [
        Probe(inception_resnet_v2.CustomScaleLayer, {"scale": 0.25}, shape, others=others)
        for others in broadcasts[:3]
    ]
    return found


def of_recurrence() -> list[Probe]:
    shape = (3, N_UNITS)
    common = {
        "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": False, "dropout": 0.5,
        "recurrent_dropout": 0.5, "return_sequences": True, "return_state": False,
        "go_backwards": True, "stateful": False, "unroll": True,
    }  # fmt: skip
    simple = {name: value for name, value in common.items() if name != "recurrent_activation"}
    gru = {**common, "reset_after": False, "use_cudnn": False}
    lstm = {**common, "unit_forget_bias": False, "use_cudnn": False}
    return [
        Probe(kind, {"units": 5, **options}, shape)
        for kind, options in [
            *((kind, {}) for kind in (layers.SimpleRNN, layers.GRU, layers.LSTM)),
            (layers.SimpleRNN, simple),
            (layers.GRU, gru),
            (layers.LSTM, lstm),
        ]
    ]


def both_ways() -> list[Probe]:
    """Around recurrent layers; the weights that it begins with are another name for a set."""
    one, backwards = layers.GRU(5), layers.GRU(5, go_backwards=True)
    return [
        Probe(layers.Bidirectional, {"layer": layer, **options}, (3, N_UNITS))
        for layer, options in [
            *(
                (layers.LSTM(5, return_sequences=True), {"merge_mode": mode})
                for mode in MERGE_MODES
            ),
            (one, {"backward_layer": backwards, "weights": None}),
        ]
    ]


MERGE_MODES = ("concat", "sum", "ave", "mul")

PROBES: list[Probe] = [
    *of_weights(), *of_factors(), *of_norms(), *of_positions(), *of_activations(), *of_images(),
    *of_wrappers(),
]  # fmt: skip
MERGES: list[Probe] = of_merges()
RECURRENT: list[Probe] = of_recurrence()
BOTH_WAYS: list[Probe] = both_ways()


class Refused(NamedTuple):
    """A layer with an option that is refused, and what the message says of it."""

    probe: Probe
    reason: str


def refused() -> list[Refused]:
    found = [
        Refused(Probe(kind, {**options, "data_format": "channels_first"}, shape), "the first axis")
        for kind, options, shape in [
            (layers.Conv2D, {"filters": 2, "kernel_size": 1}, (4, 4, 4)),
            (layers.Conv1DTranspose, {"filters": 2, "kernel_size": 1}, (4, 4)),
            (layers.DepthwiseConv2D, {"kernel_size": 1}, (4, 4, 4)),
            (layers.SeparableConv1D, {"filters": 2, "kernel_size": 1}, (4, 4)),
            (layers.MaxPooling1D, {}, (4, 4)),
            (layers.AveragePooling2D, {"pool_size": 2}, (4, 4, 4)),
            (layers.AdaptiveMaxPooling1D, {"output_size": 2}, (4, 4)),
            (layers.GlobalAveragePooling1D, {}, (4, 4)),
            (layers.GlobalMaxPooling2D, {}, (4, 4, 4)),
            (layers.Flatten, {}, (4, 4, 4)),
            (layers.UpSampling2D, {}, (4, 4, 4)),
            (layers.Cropping2D, {}, (4, 4, 4)),
            (layers.ZeroPadding1D, {}, (4, 4)),
            (layers.ZeroPadding3D, {}, (4, 4, 4, 4)),
            (layers.SpatialDropout2D, {"rate": 0.5}, (4, 4, 4)),
            (layers.CenterCrop, {"height": 2, "width": 2}, (4, 4, 4)),
            (layers.RandomFlip, {}, (4, 4, 4)),
        ]
    ]
    found += [
        Refused(Probe(kind, options, shape), reason)
        for kind, options, shape, reason in [
            (layers.BatchNormalization, {"axis": 1}, (3, 4), "normalises 3 values.*axis"),
            (layers.Normalization, {"axis": 1}, (3, 4), "normalises 3 values.*axis"),
            (layers.Normalization, {"axis": (1, 2)}, (3, 4), "normalises 12 values.*axis"),
            (layers.LayerNormalization, {"axis": [1, 2]}, (3, 4), "normalises 12.*axis"),
            (layers.LayerNormalization, {"axis": 1, "scale": False}, (3, 4), r"over axis \[1\]"),
            (layers.RMSNormalization, {"axis": 1}, (3, 4), "normalises 3 values.*axis"),
            (layers.UnitNormalization, {"axis": 1}, (3, 4), "over axis 1, which"),
            (layers.GroupNormalization, {"groups": 1, "axis": 1}, (3, 4), "normalises 3.*axis"),
            (layers.GroupNormalization, {"groups": -1}, (3, 4), "groups=4 of 4 channels"),
            (layers.GroupNormalization, {"groups": 4}, (3, 4), "groups=4 of 4 channels"),
            (layers.Rescaling, {"scale": np.ones((4, 1))}, (4, 4), r"scale of shape \(4, 1\)"),
            (layers.Permute, {"dims": (2, 1)}, (3, 4), r"moves the channels, dims=\(2, 1\)"),
            (layers.Reshape, {"target_shape": (4, 3)}, (3, 4), r"makes \(None, 4, 3\)"),
            (layers.Activation, {"activation": "glu"}, (4,), "is glu"),
            (layers.TimeDistributed, {"layer": layers.LSTM(2)}, (2, 3, 4), "recurrent"),
            (layers.TimeDistributed, {"layer": layers.Permute((2, 1))}, (2, 3, 4), "Permute"),
            (layers.Pipeline, {"layers": [layers.Permute((2, 1))]}, (3, 4), "Permute"),
            *(
                (layers.EinsumDense, {"equation": equation, "output_shape": made}, (3, 4), "equati")
                for equation, made in [
                    ("abc,bd->adc", (2, 4)),
                    ("abc,dc->abd", (3, 2)),
                    ("abc,cc->abc", (3, 4)),
                ]
            ),
        ]
    ]
    return found


REFUSED = refused()
