"""The steps behind a lesion in bfloat16, where the hardware multiplies in it twice as fast.

Convolutions and dense layers but the last read and make bfloat16, with the batch norm that reads
them in their kernels; residual streams, and all that is not known to be harmless, stay float32.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from nn_clustering.lesions._plan import Plan, multiply_adds
from nn_clustering.lesions._reduced_layers import ReducedLayer
from nn_clustering.networks.structure import Step, Walk, is_plain, layer_kind

# "auto": bfloat16 where the hardware has it and a lesion takes long enough to gain by it.
PRECISIONS = ("auto", "float32", "bfloat16")

# With fewer multiply-adds of an image behind a lesion, starting operations takes longer than they.
_LEAST_OPERATIONS = 4e6
# What takes no sums and is of no weights, and so makes of bfloat16 what it would of float32.
_KEEPS_VALUES = (
    keras.layers.Activation,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.ReLU,
    keras.layers.Reshape,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
)
_KEEPS_VALUES_TOO = (keras.activations.relu, keras.activations.relu6, keras.activations.linear)


def has_fast_bfloat16() -> bool:
    """Return whether the GPUs, or without any the processor, multiply faster in bfloat16."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(found.get("compute_capability", (0, 0)) >= (8, 0) for found in details)
    if os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1") == "0":  # the other kernels are slow in it
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags)


# Of steps, by name and by that of the norm in them, if any: all plans share the rounded kernels.
ReducedLayers = dict[tuple[str, str | None], ReducedLayer]


@dataclass(frozen=True, eq=False)
class ReducedSteps:
    """What lesions change, in bfloat16.

    Attributes:
        walk: The network's steps, some of them replaced.
        output: Number of the tensor whose largest value is the answer, from before a softmax.
        layers: Which plain layers are replaced, by the name of the step.
    """

    walk: Walk
    output: int
    layers: dict[str, ReducedLayer] = field(default_factory=dict)


def reduced_steps(plan: Plan, known: ReducedLayers, *, precision: str) -> ReducedSteps | None:
    """Return what lesions change in bfloat16, or None if that is no gain or margins would not show.

    Args:
        plan: What lesions leave as it is, and what they change.
        known: Layers in bfloat16; new ones are added.
        precision: One of :data:`PRECISIONS`.
    """
    output = _before_softmax(plan.walk)
    if output is None or precision == "float32":
        return None
    steps = plan.walk.steps_between(plan.frontier, [output])
    weighted = [step for step in steps if layer_kind(step.operation).kernels]
    # the last sums say which answer it is, and cost little
    plain = [step for step in weighted[:-1] if _is_reducible(step)]
    if {step.name for step in plan.linear} - {step.name for step in plain}:
        return None
    is_little = multiply_adds(plan.walk, plain) < _LEAST_OPERATIONS
    if not plain or (precision == "auto" and (is_little or not has_fast_bfloat16())):
        return None
    norms = _norms_behind(plan, plain, steps)
    layers = {step.name: _reduced(step, norms.get(step.name), known) for step in plain}
    in_kernels = {norm.name for norm in norms.values()}
    replaced = [_replaced(step, layers, in_kernels) for step in plan.walk.steps]
    return ReducedSteps(replace(plan.walk, steps=tuple(replaced)), output, layers)


def _before_softmax(walk: Walk) -> int | None:
    """Return the tensor whose order is that of the outputs, without what makes large ones equal."""
    (output,) = walk.outputs
    last = next(step for step in walk.steps if output in step.outputs)
    activation = getattr(last.operation, "activation", last.operation)
    is_softmax = isinstance(last.operation, keras.layers.Softmax) or (
        activation is keras.activations.softmax
    )
    if is_softmax and not last.n_times and len(walk.shapes[last.inputs[0]]) == 2:
        return last.inputs[0]
    is_sum = layer_kind(last.operation).kernels or isinstance(
        last.operation, keras.layers.GlobalAveragePooling2D
    )
    return output if is_sum else None


def _is_reducible(step: Step) -> bool:
    layer = step.operation
    return (
        is_plain(layer)
        and not step.n_times
        and layer.compute_dtype == "float32"
        and getattr(layer, "rank", 1) <= 2
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def _norms_behind(plan: Plan, plain: Sequence[Step], steps: Iterable[Step]) -> dict[str, Step]:
    """Return the batch norms that alone read what a plain layer makes, by that layer's step."""
    steps = list(steps)
    uses = Counter(number for step in steps for number in step.inputs)
    silenced = {place.tensor for of_layer in plan.places for place in of_layer}
    norms = {step.inputs[0]: step for step in steps if _is_foldable(step, plan.walk)}
    made = {step.outputs[0]: step.name for step in plain}
    return {
        name: norms[number]
        for number, name in made.items()
        if number in norms and uses[number] == 1 and number not in silenced
    }


def _is_foldable(step: Step, walk: Walk) -> bool:
    norm = step.operation
    if type(norm) is not keras.layers.BatchNormalization or step.n_times:
        return False
    last = len(walk.shapes[step.inputs[0]]) - 1
    return norm.axis in (-1, last) and norm.compute_dtype == "float32"


def _reduced(step: Step, norm: Step | None, known: ReducedLayers) -> ReducedLayer:
    key = (step.name, None if norm is None else norm.name)
    if key not in known:
        known[key] = ReducedLayer(step.operation, None if norm is None else norm.operation)
    return known[key]


def _replaced(step: Step, layers: dict[str, ReducedLayer], in_kernels: set[str]) -> Step:
    """Return a step that takes bfloat16 or float32, as it comes."""
    operation = step.operation
    if step.name in layers:
        return replace(step, operation=layers[step.name])
    if step.name in in_kernels:
        return replace(step, operation=_as_it_is)
    is_relu = getattr(operation, "activation", operation) in _KEEPS_VALUES_TOO
    if type(operation) in _KEEPS_VALUES:
        is_activation = type(operation) is keras.layers.Activation
        # by its ``call``: a layer that is called casts what it reads
        return replace(step, operation=operation.call) if is_relu or not is_activation else step
    if isinstance(operation, keras.Layer) or is_relu:
        return step
    return replace(step, operation=_InFloat32(operation))


def _as_it_is(x: tf.Tensor, **_: Any) -> tf.Tensor:
    return x


class _InFloat32:
    """An operation on tensors, as it would be without bfloat16."""

    def __init__(self, operation: Callable[..., Any]) -> None:
        self._operation = operation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = keras.tree.map_structure(_in_float32, (args, kwargs))
        return self._operation(*args, **kwargs)


def _in_float32(leaf: Any) -> Any:
    is_reduced = isinstance(leaf, tf.Tensor) and leaf.dtype == tf.bfloat16
    return tf.cast(leaf, tf.float32) if is_reduced else leaf
