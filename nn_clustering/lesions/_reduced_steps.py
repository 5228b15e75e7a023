"""The steps behind a lesion in bfloat16, where the hardware multiplies in it twice as fast.

Convolutions and dense layers but the last read and make bfloat16, with the batch norm that reads
them in their kernels, and so do sums; all that is not known to be harmless stays float32.
"""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from nn_clustering.lesions._plan import Plan, multiply_adds
from nn_clustering.lesions._reduced_layers import InDtype, ReducedLayer, ReducedNorm
from nn_clustering.networks.structure import Step, Walk, is_plain, layer_kind

# "auto": bfloat16 where the hardware has it and a lesion takes long enough to gain by it.
PRECISIONS = ("auto", "float32", "bfloat16")

# With fewer multiply-adds of an image behind a lesion, starting operations takes longer than they.
_LEAST_OPERATIONS = 4e6
# What has no weights and takes no sums of many values, and so does no harm in bfloat16.
_KEEPS_VALUES = (
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.Flatten,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.Reshape,
    keras.layers.SpatialDropout2D,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
)
_RELUS = (keras.activations.relu, keras.activations.relu6, keras.activations.linear)


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


# By the names of the steps that are in them: all plans share the rounded kernels.
ReducedLayers = dict[tuple[str, ...], ReducedLayer]


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
    around = _Around(plan, steps)
    layers, are_in_others = {}, set()
    for step in plain:
        padding, norm = around.padding(step), around.norm(step)
        key = tuple(found.name for found in (padding, step, norm) if found is not None)
        if key not in known:
            known[key] = ReducedLayer(
                step.operation,
                padding=None if padding is None else padding.operation,
                norm=None if norm is None else norm.operation,
            )
        layers[step.name] = known[key]
        are_in_others.update(set(key) - {step.name})
    replaced = [_replaced(step, layers, are_in_others, plan.walk) for step in plan.walk.steps]
    return ReducedSteps(replace(plan.walk, steps=tuple(replaced)), output, layers)


def _before_softmax(walk: Walk) -> int | None:
    """Return the tensor whose order is that of the outputs, without what makes large ones equal."""
    (output,) = walk.outputs
    last = next(step for step in walk.steps if output in step.outputs)
    if last.is_recurrent:
        return output
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


class _Around:
    """The steps before and behind a plain layer that can be taken with it."""

    def __init__(self, plan: Plan, steps: Sequence[Step]) -> None:
        self._walk = plan.walk
        self._uses = Counter(number for step in steps for number in step.inputs)
        self._silenced = {place.tensor for of_layer in plan.places for place in of_layer}
        self._makers = {number: step for step in steps for number in step.outputs}
        self._readers = {number: step for step in steps for number in step.inputs}

    def padding(self, step: Step) -> Step | None:
        """Return the step that pads, for this one alone, what it reads."""
        layer, maker = step.operation, self._makers.get(step.inputs[0])
        is_padding = maker is not None and type(maker.operation) is keras.layers.ZeroPadding2D
        if not is_padding or not self._is_between(step.inputs[0]):
            return None
        is_alone = getattr(layer, "padding", "") == "valid" and layer.rank == 2
        return maker if is_alone else None

    def norm(self, step: Step) -> Step | None:
        """Return the batch norm that alone reads what a step makes."""
        (number,) = step.outputs
        reader = self._readers.get(number)
        is_norm = reader is not None and _is_last_axis_norm(reader, self._walk)
        return reader if is_norm and self._is_between(number) else None

    def _is_between(self, number: int) -> bool:
        return self._uses[number] == 1 and number not in self._silenced


def _is_last_axis_norm(step: Step, walk: Walk) -> bool:
    norm = step.operation
    if type(norm) is not keras.layers.BatchNormalization or step.n_times:
        return False
    last = len(walk.shapes[step.inputs[0]]) - 1
    return norm.axis in (-1, last) and norm.compute_dtype == "float32"


def _replaced(
    step: Step, layers: dict[str, ReducedLayer], are_in_others: set[str], walk: Walk
) -> Step:
    """Return a step that takes bfloat16 or float32, as it comes."""
    operation = step.operation
    if step.name in layers:
        return replace(step, operation=layers[step.name])
    if step.name in are_in_others:
        return replace(step, operation=_as_it_is)
    if _is_last_axis_norm(step, walk):
        return replace(step, operation=ReducedNorm(operation))
    is_layer, is_relu = isinstance(operation, keras.Layer), _is_relu(operation)
    if type(operation) in _KEEPS_VALUES or (is_relu and is_layer):
        # by its ``call``: a layer that is called casts what it reads
        return replace(step, operation=InDtype(operation.call, tf.bfloat16))
    if is_layer:
        return step
    return replace(step, operation=InDtype(operation, tf.bfloat16 if is_relu else tf.float32))


def _is_relu(operation: Any) -> bool:
    if type(operation) in (keras.layers.ReLU, keras.layers.Activation):
        operation = getattr(operation, "activation", keras.activations.relu)
    return operation in _RELUS


def _as_it_is(x: tf.Tensor, **_: Any) -> tf.Tensor:
    return x
