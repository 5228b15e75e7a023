"""Inputs that move sets of units, many at a time (methods H1 to H4)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.machine import check_memory_mb, memory_bound
from nn_clustering.networks import (
    ChannelMap,
    fitted_shape,
    in_float32,
    n_channels,
    output_index,
)
from nn_clustering.networks.structure import (
    InputValues,
    NetworkWeights,
    UnitPlaces,
    most_alive,
    read_weights,
    tensor_bytes,
    walk_network,
)
from nn_clustering.visualisation._ascent import Climb
from nn_clustering.visualisation._bounds import Bounds
from nn_clustering.visualisation._outputs import ClassValues, class_values, entropies
from nn_clustering.visualisation._parametrised import Parametrised
from nn_clustering.visualisation._reduction import dispersion_each, reduced_each
from nn_clustering.visualisation._settings import (
    Ascent,
    Objective,
    Parametrisation,
    Transformations,
)
from nn_clustering.visualisation._unit_values import hidden_units, spatial_means
from nn_clustering.visualisation._visualisation_test import Optimised

if TYPE_CHECKING:
    from nn_clustering.datasets import Samples

# More at a time are no faster; with fewer, much of the time weights are read from memory.
_MOST_INPUTS = 256
_FEWEST_INPUTS = 8
_MOST_SAMPLES = 1024
# Layers of which the functions are kept that were compiled last.
_MOST_COMPILED = 2
_BYTES_A_BATCH = 64 * 2**20
_BYTES_A_BATCH_ON_GPU = 4 * 2**30
# Values held for each of the numbers that an input is made of, and for each of its own.
_COPIES_OF_NUMBERS = 10
_COPIES_OF_VALUES = 8
_COPIES_OF_MOVED_VALUES = 24

Progress = Callable[[int], object]


def _ignore(n_steps: int) -> None:
    """Do nothing with progress."""


class InputOptimiser:
    """Optimises inputs of a network for sets of units, and measures what the network answers.

    All sets of a batch are optimised side by side in one compiled function. The network must not
    change meanwhile.

    Attributes:
        layers: Name and number of units of every hidden layer, named as in graphs and partitions.
        measures_entropy: Whether the entropy of the output is measured.
        sample_shape: Shape of an input, as the data set holds samples.
        objective: What an input is to make large.
    """

    def __init__(  # noqa: PLR0913 (settings by name)
        self,
        network: keras.Model,
        sample_shape: tuple[int, ...],
        *,
        bounds: Bounds,
        channel_map: ChannelMap | None = None,
        objective: Objective = Objective(),  # noqa: B008 (frozen)
        parametrisation: Parametrisation = Parametrisation(),  # noqa: B008
        transformations: Transformations = Transformations(),  # noqa: B008
        ascent: Ascent = Ascent(),  # noqa: B008
        entropy: bool | None = None,
        output: str | int | None = None,
        residual: str | None = None,
        task: str = "classification",
        memory_mb: float | None = None,
    ) -> None:
        """Prepare a network.

        Args:
            network: Any network of which a graph of the weights can be made, with one input.
            sample_shape: Shape of a sample of the data set: (height, width, channels) of an image,
                anything else is optimised value by value.
            bounds: Between what the values of an input lie; 0 and 1 of an image.
            channel_map: What the network reads of a pixel; None for the pixels as they are.
            objective: What an input is to make large.
            parametrisation: What an input is made of.
            transformations: How an image is moved before each step.
            ascent: How an input is optimised.
            entropy: Whether the entropy of the output is measured; None to do so where it is a
                softmax, or logits of a classification.
            output: Name or index of the output that is measured; None for the only one.
            residual: By which rule the layers of units are named; see
                :func:`~nn_clustering.graphs.graph_of_weights`.
            task: "classification" or "regression": what outputs without a softmax are of.
            memory_mb: Bound in MB (2^20 bytes) to the values that are held at a time; the weights
                and scratch space come on top. None for 1,024, or an eighth of a small memory.

        Raises:
            InvalidInputError: If the network, the samples and the settings do not fit each other,
                the network has no hidden units, or a value is out of range or too small for one
                input.
        """
        check_memory_mb(memory_mb)
        if any(_computes_in_half(layer) for layer in network.layers):
            # gradients of means over many positions are too small for it
            network = in_float32(network)
        self._network_shape = fitted_shape(network, sample_shape)
        self._dtype = network.inputs[0].dtype
        index = output_index(network, output)
        walk = walk_network(network, self._network_shape)
        self._walk = replace(walk, outputs=(walk.outputs[index],))
        weights = read_weights(network)
        _require_no_tokens(weights)
        self._unit_layers, self._values = hidden_units(walk, weights, residual)
        self.sample_shape = tuple(sample_shape)
        self._channel_map = _fitting(channel_map, self.sample_shape)
        if transformations.any and len(self.sample_shape) != 3:
            raise InvalidInputError(
                f"transformations of samples of shape {self.sample_shape}; expected images "
                "(height, width, channels), or none"
            )
        _check_jitter(transformations, self.sample_shape)
        self.objective = objective
        self._transformations = transformations
        self._ascent = ascent
        self._parametrised = Parametrised(self.sample_shape, bounds, parametrisation)
        self._class_values = _measured_output(self._walk, entropy, task)
        self._memory = memory_bound(memory_mb)
        self._tensor_bytes = tensor_bytes(self._walk, network, self._network_shape)
        self._climbs: dict[str, Climb] = {}
        self._measures: dict[str, Any] = {}
        self._of_samples: dict[tuple[str, ...], Any] = {}
        self.layers: Mapping[str, int] = {
            name: values.n_units for name, values in self._values.items()
        }
        self.measures_entropy = self._class_values is not None
        for layer in self.layers:
            self.batch_size(layer)

    def among(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Return the names of a partition's layers that are hidden here.

        Raises:
            InvalidInputError: If a layer is not the network's, or has another number of units.
        """
        self._unit_layers.among(layers)
        return tuple(layer.name for layer in layers if layer.name in self.layers)

    def batch_size(self, layer: str) -> int:
        """Return how many inputs are optimised for a layer at a time.

        It hangs on the network, the settings and the memory bound alone.

        Raises:
            InvalidInputError: If there is no such layer, or not even one input fits into memory.
        """
        needed = self._bytes_of_an_input(layer)
        on_gpu = bool(tf.config.list_logical_devices("GPU"))
        target = _BYTES_A_BATCH_ON_GPU if on_gpu else _BYTES_A_BATCH
        self._require_memory(needed, f"an input for layer {layer!r}")
        wanted = min(max(target // needed, _FEWEST_INPUTS), _MOST_INPUTS)
        return int(min(self._memory // needed, wanted))

    def optimise(
        self,
        layer: str,
        masks: NDArray[np.bool_],
        seeds: Sequence[int] | NDArray[np.integer],
        *,
        on_progress: Progress = _ignore,
    ) -> Optimised:
        """Return inputs optimised for sets of units of a layer, and what the network answers.

        The same call gives the same bits; beside other inputs in a batch, an input differs by
        rounding.

        Args:
            layer: Name of the layer.
            masks: The units of every set, shape (inputs, units); at most :meth:`batch_size`.
            seeds: One integer for each input, of 0 or more: fixes its start and how it is moved.
            on_progress: Called with the number of inputs times steps done since the last call.

        Raises:
            InvalidInputError: If there is no such layer, the sets do not fit it, a set is empty, or
                the network puts out NaN.
        """
        self._check_masks(layer, masks)
        if len(seeds) != len(masks) or len(masks) > self.batch_size(layer):
            raise InvalidInputError(
                f"{len(masks)} sets of units and {len(seeds)} seeds; expected as many, "
                f"{self.batch_size(layer)} at most for layer {layer!r}"
            )
        inputs = self._climb(layer).optimised(masks, [int(seed) for seed in seeds], on_progress)
        return self.measured(layer, inputs, masks)

    def measured(
        self, layer: str, inputs: NDArray[np.floating], masks: NDArray[np.bool_]
    ) -> Optimised:
        """Return what the network answers to inputs, each for a set of units of a layer.

        Args:
            layer: Name of the layer.
            inputs: In the data set's scale, shape (inputs, *shape of a sample).
            masks: The units of every input's set, shape (inputs, units).

        Raises:
            InvalidInputError: As :meth:`optimise` does.
        """
        self._check_masks(layer, masks)
        if inputs.shape != (len(masks), *self.sample_shape):
            raise InvalidInputError(
                f"inputs of shape {inputs.shape}; expected {(len(masks), *self.sample_shape)}"
            )
        inputs = inputs.astype(np.float32)
        measure, size = self._measure(layer), self.batch_size(layer)
        batches = (inputs[start : start + size] for start in range(0, len(inputs), size))
        found = [[array.numpy() for array in measure(batch)] for batch in batches]
        values, behind, outputs = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
        if not all(np.isfinite(array).all() for array in (values, behind, outputs)):
            raise InvalidInputError(
                f"network {self._walk.name!r} puts out NaN or infinite values for an input of "
                f"layer {layer!r}: check its weights"
            )
        classes = self._class_values
        return Optimised(
            reduced_each(values, masks, self.objective.reduction),
            None if classes is None else entropies(outputs, classes.kind),
            dispersion_each(behind, masks),
            inputs,
        )

    def as_read(self, inputs: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return inputs in the data set's scale, (inputs, *shape of a sample), as they are read."""
        read: NDArray[np.float32] = tf.cast(self._reads(inputs.astype(np.float32)), tf.float32)
        return np.asarray(read)

    def values(
        self, layers: Sequence[str], x: Samples
    ) -> Iterator[tuple[slice, dict[str, NDArray[np.float32]]]]:
        """Yield what units answer to samples, batch by batch.

        Args:
            layers: Names of the layers.
            x: Samples as the network reads them.

        Yields:
            Which samples, and for every layer the means over positions of its units, where the
            objective takes them, shape (samples, units).

        Raises:
            InvalidInputError: If there is no such layer, or the samples do not fit the network.
        """
        shape = tuple(x.shape[1:])
        if shape != self._network_shape:
            raise InvalidInputError(
                f"samples of shape {shape} for network {self._walk.name!r}; expected "
                f"{self._network_shape}"
            )
        layers = tuple(layers)
        answers = self._answers(layers)
        needed = self._bytes_of_forward({self._places(layer).tensor for layer in layers})
        self._require_memory(needed, "a sample")
        size = int(min(self._memory // needed, max(_BYTES_A_BATCH // needed, 1), _MOST_SAMPLES))
        for start in range(0, len(x), size):
            rows = slice(start, min(start + size, len(x)))
            found = [array.numpy() for array in answers(np.asarray(x[rows], np.float32))]
            if not all(np.isfinite(array).all() for array in found):
                raise InvalidInputError(
                    f"network {self._walk.name!r} answers NaN or infinite values to samples "
                    f"{rows.start} to {rows.stop - 1}: check its weights and the samples"
                )
            yield rows, dict(zip(layers, found, strict=True))

    def _answers(self, layers: tuple[str, ...]) -> Any:
        """Return what computes the values of layers' units of samples as they are read."""
        if layers not in self._of_samples:
            _let_go(self._of_samples)
            places = [self._places(layer) for layer in layers]

            def answers(samples: tf.Tensor) -> list[tf.Tensor]:
                given = {self._walk.inputs[0]: tf.cast(samples, self._dtype)}
                found = self._walk.run(given, {at.tensor for at in places})
                return [spatial_means(at, found[at.tensor]) for at in places]

            spec = tf.TensorSpec((None, *self._network_shape), tf.float32)
            # at once: TensorFlow warns of many functions that are compiled where they are called
            compiled = tf.function(answers, autograph=False, input_signature=[spec])
            self._of_samples[layers] = compiled.get_concrete_function()
        return self._of_samples[layers]

    def _places(self, layer: str) -> UnitPlaces:
        """Return where the units of a layer stand whose values count."""
        if layer not in self._values:
            raise InvalidInputError(
                f"the network has no hidden layer of units {layer!r}; expected one of "
                f"{', '.join(self.layers)}: the partition belongs to another network"
            )
        return self._values[layer].at(self.objective.position)

    def _check_masks(self, layer: str, masks: NDArray[np.bool_]) -> None:
        self._places(layer)
        n_units = self.layers[layer]
        if masks.ndim != 2 or masks.shape[1] != n_units or masks.dtype != np.bool_:
            raise InvalidInputError(
                f"{masks.dtype} sets of units of shape {masks.shape} for layer {layer!r}; expected "
                f"bool of shape (inputs, {n_units})"
            )
        if not len(masks) or not masks.any(axis=1).all():
            raise InvalidInputError("an empty set of units; expected one unit at least in each")

    def _climb(self, layer: str) -> Climb:
        if layer not in self._climbs:
            _let_go(self._climbs)
            self._climbs[layer] = Climb(
                self._walk,
                self._places(layer),
                self.layers[layer],
                parametrised=self._parametrised,
                reads=self._reads,
                objective=self.objective,
                transformations=self._transformations,
                ascent=self._ascent,
            )
        return self._climbs[layer]

    def _measure(self, layer: str) -> Any:
        """Return what computes values, those behind the nonlinearity, and outputs, of inputs."""
        if layer not in self._measures:
            _let_go(self._measures)
            at, behind = self._places(layer), self._values[layer].post
            classes = self._class_values
            wanted = {at.tensor, behind.tensor} | self._measured_tensors()

            def measure(inputs: tf.Tensor) -> tuple[tf.Tensor, ...]:
                found = self._walk.run({self._walk.inputs[0]: self._reads(inputs)}, wanted)
                values = spatial_means(behind, found[behind.tensor])
                return (
                    values if at is behind else spatial_means(at, found[at.tensor]),
                    values,
                    values[:, :0]
                    if classes is None
                    else tf.cast(found[classes.tensor], tf.float32),
                )

            spec = tf.TensorSpec((None, *self.sample_shape), tf.float32)
            compiled = tf.function(measure, autograph=False, input_signature=[spec])
            self._measures[layer] = compiled.get_concrete_function()
        return self._measures[layer]

    def _reads(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return what the network reads of inputs in the data set's scale."""
        if not self._channel_map.is_identity:
            matrix, offset = (
                array.astype(np.float32)
                for array in (self._channel_map.matrix, self._channel_map.offset)
            )
            pixels = tf.reshape(inputs, (-1, len(offset)))
            inputs = pixels @ matrix + offset
        return tf.cast(tf.reshape(inputs, (-1, *self._network_shape)), self._dtype)

    def _bytes_of_an_input(self, layer: str) -> int:
        """Return about how many bytes an input takes as it is optimised or measured."""
        wanted = {self._places(layer).tensor}
        # all is held until the gradient comes back, and the gradients of a step beside it
        held = sum(
            self._tensor_bytes[number]
            for step in self._walk.steps_between(self._walk.inputs, wanted)
            for number in step.outputs
        )
        gradients = most_alive(self._walk, self._walk.inputs, wanted, self._tensor_bytes)
        copies = _COPIES_OF_MOVED_VALUES if self._transformations.any else _COPIES_OF_VALUES
        own = 4 * copies * int(np.prod(self.sample_shape, dtype=np.int64))
        own += 4 * _COPIES_OF_NUMBERS * int(np.prod(self._parametrised.shape, dtype=np.int64))
        wanted |= {self._values[layer].post.tensor}
        wanted |= self._measured_tensors()
        return max(held + gradients + own, self._bytes_of_forward(wanted))

    def _measured_tensors(self) -> set[int]:
        return set() if self._class_values is None else {self._class_values.tensor}

    def _bytes_of_forward(self, wanted: Collection[int]) -> int:
        size = 4 * int(np.prod(self._network_shape, dtype=np.int64))
        return 2 * size + most_alive(self._walk, self._walk.inputs, wanted, self._tensor_bytes)

    def _require_memory(self, needed: int, purpose: str) -> None:
        if self._memory < needed:
            raise InvalidInputError(
                f"memory_mb={self._memory / 2**20:g} does not hold {purpose}; expected "
                f"{-(-needed // 2**20)} or more"
            )


def _let_go(compiled: dict[Any, Any]) -> None:
    """Make room for one more compiled function: those of a large network take 100 MB a layer."""
    while len(compiled) >= _MOST_COMPILED:
        del compiled[next(iter(compiled))]


def _require_no_tokens(weights: NetworkWeights) -> None:
    """Check that an input can be moved little by little."""
    if any(isinstance(made, InputValues) and made.is_of_tokens for made in weights.channels):
        raise InvalidInputError(
            f"network {weights.name!r} reads tokens, between which there is nothing that an input "
            "could be optimised over; expected a network of images, or of other numbers"
        )


def _computes_in_half(layer: keras.Layer) -> bool:
    """Return whether a layer, or one inside it, computes in fewer bits than float32."""
    inside = layer.layers if isinstance(layer, keras.Model) else [layer]
    return any(inner.compute_dtype in ("float16", "bfloat16") for inner in inside)


def _fitting(channel_map: ChannelMap | None, sample_shape: tuple[int, ...]) -> ChannelMap:
    """Return what the network reads of a pixel, checked against the samples."""
    channels = n_channels(sample_shape)
    if channel_map is None:
        return ChannelMap.identity(channels)
    shapes = (channel_map.matrix.shape, channel_map.offset.shape)
    if shapes != ((channels, channels), (channels,)):
        raise InvalidInputError(
            f"a channel map of shapes {shapes} for samples of shape {sample_shape}; expected "
            f"{channels} channels"
        )
    return channel_map


def _check_jitter(transformations: Transformations, sample_shape: tuple[int, ...]) -> None:
    """Refuse to move an image so far that nothing of it may be left to see."""
    if transformations.jitter and transformations.jitter >= min(sample_shape[:2]):
        raise InvalidInputError(
            f"transformations.jitter={transformations.jitter:g} with images of {sample_shape[0]} x "
            f"{sample_shape[1]} pixels; expected less than {min(sample_shape[:2])}"
        )


def _measured_output(walk: Any, entropy: bool | None, task: str) -> ClassValues | None:
    """Return of what the entropy is measured; None for no such."""
    if task not in ("classification", "regression"):
        raise InvalidInputError(f"task={task!r}; expected classification or regression")
    if entropy not in (None, True, False):
        raise InvalidInputError(f"entropy={entropy!r}; expected true, false or null")
    if entropy is False:
        return None
    found = class_values(walk) if task == "classification" else None
    if entropy and found is None:
        what = "is of a regression" if task == "regression" else "is no softmax and no logits"
        raise InvalidInputError(
            f"entropy=true, but the output of network {walk.name!r} {what}; expected "
            "probabilities of classes or their logits, or entropy=null"
        )
    return found
