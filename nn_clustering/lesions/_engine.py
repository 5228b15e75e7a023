"""What a network still answers when units are silenced (methods G1, G5)."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer, Places, UnitLayers, unit_layers
from nn_clustering.lesions._forward_passes import Held, Passes, intact_scores, sums_of_places
from nn_clustering.lesions._lesion_settings import (
    check_silencing,
    check_task,
)
from nn_clustering.lesions._plan import (
    LESIONS_A_CALL,
    Bytes,
    Plan,
    bytes_of_an_image,
    bytes_of_intact,
    multiply_adds,
    plan_lesions,
)
from nn_clustering.lesions._reduced_steps import (
    PRECISIONS,
    ReducedLayers,
    ReducedSteps,
    reduced_steps,
)
from nn_clustering.lesions._repeated import Repeated
from nn_clustering.lesions._samples import Samples
from nn_clustering.lesions._silent_states import require_silence_without_weights
from nn_clustering.machine import check_memory_mb, memory_bound
from nn_clustering.networks import output_index
from nn_clustering.networks.structure import read_weights, tensor_bytes, walk_network

# What one lesion holds at a time if the bound allows: with less, starting operations takes a share
# of the time that can be measured, the more the more cores there are.
_BYTES_OF_A_LESION = 64 * 2**20
_BYTES_OF_A_LESION_ON_GPU = 512 * 2**20
# Multiply-adds that take as long as compiling a step.
_OPERATIONS_OF_COMPILATION = 1e9

Progress = Callable[[int], object]


def _ignore(n_answers: int) -> None:
    """Do nothing with progress."""


class LesionEngine:
    """Scores a network on test images under many lesions of one layer or of two.

    What lesions do not change is computed once for every batch of images, and what they change is
    computed in one compiled function for all of them. The network must not change meanwhile.

    Attributes:
        layers: Name and number of units of every layer that can be lesioned: all hidden ones that
            the output hangs on, named as in graphs and partitions.
        heads: Number of heads of every such layer whose units are value channels of attention,
            those of a head one behind the other.
        task: "classification" or "regression".
        n_outputs: Number of classes or targets.
        n_scores: Number of scores of a lesion: of classes or targets; or of groups, and of answers
            of no group if there are any.
        n_images: Number of test images; of a network that answers at every position, of positions
            at which something is asked.
        class_sizes: Images behind each score, shape (scores,): of each class or group; in
            regression ``n_images`` for each target.
    """

    def __init__(
        self,
        network: keras.Model,
        x: NDArray[np.generic] | tf.data.Dataset,
        y: NDArray[np.generic] | None = None,
        *,
        task: str = "classification",
        silence: str = "output",
        memory_mb: float | None = None,
        output: str | int | None = None,
        residual: str | None = None,
        precision: str = "auto",
        groups: NDArray[np.integer] | None = None,
        n_groups: int | None = None,
    ) -> None:
        """Prepare a network and the images to test it on.

        Args:
            network: Any network of which a graph of the weights can be made, with one input.
            x: Images, shape (images, ...), or sequences of tokens, (images, positions); or a finite
                ``tf.data.Dataset`` of batches (x, y), which is read batch by batch and must yield
                the same images whenever it is.
            y: Their classes, integers of shape (images,), or their targets, of shape (images,
                targets); None beside a ``tf.data.Dataset``. Of a network that answers at every
                position, classes of shape (images, positions), -1 where nothing is asked.
            task: "classification" or "regression".
            silence: One of :data:`SILENCINGS`. "output" and "mean" change what every weight layer
                reads that reads the units; the mean is over images and positions, of what that
                layer reads. "weights" changes what the weight layers make that lead into them.
            memory_mb: Bound in MB (2^20 bytes) to the values of the network that are held at a
                time; the images themselves, the weights and scratch space come on top. None for
                1,024, or an eighth of a small memory.
            output: Name or index of the output that answers, of shape (images, classes or targets)
                or (images, positions, classes); None for the only one.
            residual: By which rule the layers of units are named; see
                :func:`~nn_clustering.graphs.graph_of_weights`. With "copied" a lesion is one for
                the single weight layer that reads the set (methods G1).
            precision: One of :data:`PRECISIONS`: in what a classifier's lesions are computed at
                first. Answers that bfloat16 leaves in doubt are computed again in the network's
                own precision, so that counts are the same; "auto" takes it where it is faster.
                Networks that answer at every position are computed in their own: one answer in
                doubt would have its whole sequence computed again.
            groups: By which group a right answer is counted instead of by its class, numbers of the
                shape of ``y``, -1 for none.
            n_groups: Number of groups; None for those that occur.

        Raises:
            InvalidInputError: If the network, the images and the task do not fit each other, the
                network has no hidden units, or a value is out of range or too small for one image.
        """
        check_task(task)
        check_silencing(silence)
        check_memory_mb(memory_mb)
        if precision not in PRECISIONS:
            raise InvalidInputError(
                f"precision={precision!r}; expected one of {', '.join(PRECISIONS)}"
            )
        index = output_index(network, output)
        self._samples = Samples(
            network, x, y, task=task, output=index, groups=groups, n_groups=n_groups
        )
        walk = walk_network(network, self._samples.shape)
        self._walk = replace(walk, outputs=(walk.outputs[index],))
        self._walk.require_no_masks("a lesion")
        if silence == "weights":
            require_silence_without_weights(self._walk)
        self._units = unit_layers(
            read_weights(network), of_weights=silence == "weights", residual=residual
        )
        self._takes_means = silence == "mean"
        self._memory = memory_bound(memory_mb)
        self._precision = precision
        self._reduced_layers: ReducedLayers = {}
        self._tensor_bytes = tensor_bytes(self._walk, network, self._samples.shape)
        self.task = task
        self.layers: Mapping[str, int] = self._leading_to_output()
        self.heads: Mapping[str, int] = {
            name: n_heads for name, n_heads in self._units.heads.items() if name in self.layers
        }
        self.n_outputs = self._samples.n_outputs
        self.n_scores = self._samples.n_scores
        self.n_images = self._samples.n_images
        self.class_sizes = self._samples.class_sizes
        self._compiled: dict[tuple[str, ...], tuple[Passes, Bytes]] = {}
        self._means: dict[Places, NDArray[np.float32]] = {}
        # scores of lesions of one unit, of which there are few, but drawn again and again
        self._of_single_units: dict[tuple[str, ...], dict[bytes, NDArray[Any]]] = {}
        # what lesions of the layers of the last call start from, batch by batch
        self._kept: tuple[tuple[str, ...], list[tuple[Held, tf.Tensor]]] = ((), [])
        # whether what compilation takes, some time a step, is less than what it saves
        self._is_heavy = self._samples.n_samples * multiply_adds(walk, walk.steps) > (
            _OPERATIONS_OF_COMPILATION * len(walk.steps)
        )
        for layer in self.layers:
            self._batch_size(self._needed(self._plan((layer,))), f"lesions of layer {layer!r}")

    def intact(self) -> NDArray[Any]:
        """Return the scores of the intact network, shape (scores,); see :meth:`lesioned`.

        Raises:
            InvalidInputError: If it puts out NaN, or its errors are not finite.
        """
        total = self._zeros()
        needed = bytes_of_intact(self._walk, self._walk.outputs, self._tensor_bytes)
        needed = needed.with_more(self._bytes_of_answers)
        score = partial(intact_scores, self._walk, n_counts=self._n_counts)
        if self._is_heavy:
            score = tf.function(score, autograph=False, reduce_retracing=True)
        for x, y in self._samples.batches(self._batch_size(needed, "no lesion")):
            scores, is_nan = score(x, y)
            self._check_outputs(is_nan.numpy(), "no lesion")
            total += scores.numpy()
        return total

    def lesioned(
        self,
        silenced: Mapping[str, NDArray[np.bool_]],
        *,
        on_progress: Progress = _ignore,
    ) -> NDArray[Any]:
        """Return the scores of the network under each lesion.

        Args:
            silenced: For every lesioned layer, by its name, which units are silenced, of shape
                (lesions, units): row i of all layers is lesion i.
            on_progress: Called with the number of answers (images times lesions) computed since
                the last call.

        Returns:
            Shape (lesions, scores): in classification how many images of each class, or group, are
            answered right (int64), the answer being the first of the largest outputs; in regression
            the sum over images of the squared error of each target (float64).

        Raises:
            InvalidInputError: If the network has no such layer, the lesions do not fit it or each
                other, or a lesioned network puts out NaN.
        """
        self._check_lesions(silenced)
        layers = tuple(layer for layer in self.layers if layer in silenced)
        masks = [silenced[layer] for layer in layers]
        known = self._of_single_units.setdefault(layers, {})
        lesions = Repeated.of(masks)
        new = [number for number, lesion in enumerate(lesions.distinct) if lesion not in known]
        rows = lesions.first[new]
        found = self._scores(
            layers, [mask[rows] for mask in masks], lesions.counts[new], on_progress
        )
        total = self._zeros(len(lesions.distinct))
        total[new] = found
        for number, lesion in enumerate(lesions.distinct):
            if lesion in known:
                total[number] = known[lesion]
                on_progress(self.n_images * int(lesions.counts[number]))
        for row, number in zip(rows, new, strict=True):
            if sum(int(mask[row].sum()) for mask in masks) == 1:
                known[lesions.distinct[number]] = total[number]
        scores: NDArray[Any] = total[lesions.number]
        return scores

    def _scores(
        self,
        layers: tuple[str, ...],
        masks: Sequence[NDArray[np.bool_]],
        counts: NDArray[np.int64],
        on_progress: Progress,
    ) -> NDArray[Any]:
        """Return the scores of lesions, each of which stands for so many equal ones."""
        if not len(counts):
            return self._zeros(0)
        passes, needed = self._passes(layers)
        while True:
            passes.doubt.begin()
            total = self._scores_of_all(layers, passes, needed, masks, counts, on_progress)
            if passes.doubt.held:
                return total
            # an answer that was taken for sure may not have been: with the new bound once more
            on_progress = _ignore

    def _scores_of_all(
        self,
        layers: tuple[str, ...],
        passes: Passes,
        needed: Bytes,
        masks: Sequence[NDArray[np.bool_]],
        counts: NDArray[np.int64],
        on_progress: Progress,
    ) -> NDArray[Any]:
        """Return the scores of lesions, image by image."""
        n_lesions = len(counts)
        total = self._zeros(n_lesions)
        for held, y in self._starts(layers, passes, needed):
            for first in range(0, n_lesions, LESIONS_A_CALL):
                rows = slice(first, min(first + LESIONS_A_CALL, n_lesions))
                scores, is_nan = passes.scores(held, y, [mask[rows] for mask in masks])
                self._check_outputs(is_nan, _lesions_of(layers))
                total[rows] += scores
                on_progress(self._samples.n_answers(y) * int(counts[rows].sum()))
        return total

    @property
    def _n_counts(self) -> int | None:
        """By how many classes or groups right answers are counted; None in a regression."""
        return self.n_scores if self.task == "classification" else None

    @property
    def _answers_once(self) -> bool:
        """Whether a single answer is asked of an image, one that can be computed again alone."""
        return self.task == "classification" and not self._samples.has_positions

    def _check_lesions(self, silenced: Mapping[str, NDArray[np.bool_]]) -> None:
        """Check that lesions fit the network and each other."""
        if not silenced:
            raise InvalidInputError("no layer to lesion is given; expected one or two")
        shapes = set()
        for layer, units in silenced.items():
            if layer not in self.layers:
                raise InvalidInputError(
                    f"the network has no hidden layer of units {layer!r}; expected one of "
                    f"{', '.join(self.layers)}: the partition belongs to another network"
                )
            expected = self.layers[layer]
            if units.ndim != 2 or units.shape[1] != expected or units.dtype != np.bool_:
                raise InvalidInputError(
                    f"{units.dtype} lesions of shape {units.shape} for layer {layer!r}; expected "
                    f"bool of shape (lesions, {expected})"
                )
            shapes.add(len(units))
        if len(shapes) > 1:
            raise InvalidInputError(
                f"{' and '.join(map(str, sorted(shapes)))} lesions for the layers of one call; "
                "expected as many for each"
            )

    def _check_outputs(self, is_nan: NDArray[np.bool_], where: str) -> None:
        if np.any(is_nan):
            raise InvalidInputError(
                f"network {self._walk.name!r} puts out NaN or infinite values under {where}: "
                "check its weights and the images"
            )

    def _zeros(self, *n_lesions: int) -> NDArray[Any]:
        kind = np.float64 if self._n_counts is None else np.int64
        return np.zeros((*n_lesions, self.n_scores), kind)

    def _starts(
        self, layers: tuple[str, ...], passes: Passes, needed: Bytes
    ) -> Iterator[tuple[Held, tf.Tensor]]:
        """Yield what lesions of some layers start from, with the classes or targets.

        It is kept for the next call if all of it fits into half of the memory.
        """
        if self._kept[0] == layers:
            yield from self._kept[1]
            return
        self._kept = ((), [])
        fits = needed.held * self._samples.n_samples <= self._memory / 2
        kept = []
        for x, y in self._samples.batches(self._batch_size(needed, _lesions_of(layers))):
            start = (passes.start(x), y)
            if fits:
                kept.append(start)
            yield start
        if fits:
            self._kept = (layers, kept)

    def _passes(self, layers: tuple[str, ...]) -> tuple[Passes, Bytes]:
        if layers not in self._compiled:
            plan = self._plan(layers)
            reduced = self._reduced(plan)
            needed = self._needed(plan, is_reduced=reduced is not None)
            if needed.together > self._memory / 2:  # it is more in bfloat16, beside the other
                reduced, needed = None, self._needed(plan)
            passes = Passes(
                plan,
                self._means_at(plan) if self._takes_means else {},
                n_counts=self._n_counts,
                reduced=reduced,
                is_heavy=self._is_heavy,
            )
            self._compiled[layers] = (passes, needed)
        return self._compiled[layers]

    def _reduced(self, plan: Plan) -> ReducedSteps | None:
        """Return what lesions change in bfloat16, if that is wanted."""
        if not self._answers_once:
            return None
        return reduced_steps(plan, self._reduced_layers, precision=self._precision)

    def _leading_to_output(self) -> dict[str, int]:
        """Return the hidden layers that the output hangs on: all, if it is the only one."""
        steps = self._walk.steps_between(self._walk.inputs, self._walk.outputs)
        reads = {
            (name, number)
            for step in steps
            for number in step.tensors_read
            for name in (step.name, None)
        }
        return {
            layer: n_units
            for layer, n_units in self._units.hidden.items()
            if any(place.cut in reads for place in self._units.places[layer])
        }

    def _plan(self, layers: tuple[str, ...]) -> Plan:
        places = [self._units.places[layer] for layer in layers]
        # the errors of a regression show every rounding
        return plan_lesions(self._walk, places, use_linearity=self._answers_once)

    def _needed(self, plan: Plan, *, is_reduced: bool = False) -> Bytes:
        needed = bytes_of_an_image(plan, self._tensor_bytes, is_reduced=is_reduced)
        return needed.with_more(self._bytes_of_answers)

    @property
    def _bytes_of_answers(self) -> int:
        """Memory that telling right answers takes: as much as the outputs of all positions."""
        return self._tensor_bytes[self._walk.outputs[0]] if self._samples.has_positions else 0

    def _batch_size(self, needed: Bytes, purpose: str) -> int:
        """Return how many images are computed at a time; half of the memory is for what is kept."""
        most = int(self._memory / 2 // needed.together)
        if most < 1:
            enough = -(-2 * needed.together // 2**20)
            raise InvalidInputError(
                f"memory_mb={self._memory / 2**20:g} does not hold one image under {purpose}; "
                f"expected {enough} or more"
            )
        on_gpu = bool(tf.config.list_logical_devices("GPU"))
        target = _BYTES_OF_A_LESION_ON_GPU if on_gpu else _BYTES_OF_A_LESION
        return max(1, min(most, target // needed.lesioned))

    def _means_at(self, plan: Plan) -> dict[Places, NDArray[np.float32]]:
        """Return the means of all that is read silenced, each computed once."""
        places = [place for of_layer in plan.places for place in of_layer]
        new = [place for place in places if place not in self._means]
        if new:
            tensors = sorted({place.tensor for place in new})
            needed = bytes_of_intact(self._walk, tensors, self._tensor_bytes)
            totals: dict[int, Any] = dict.fromkeys(tensors, 0.0)
            counts: dict[int, Any] = dict.fromkeys(tensors, 0)
            for x, _ in self._samples.batches(self._batch_size(needed, "no lesion")):
                for number, (total, count) in sums_of_places(self._walk, x, tensors).items():
                    totals[number] = totals[number] + total
                    counts[number] += count
            for place in new:
                by_place = totals[place.tensor] / counts[place.tensor]
                by_channel = np.bincount(place.channels, by_place) / np.bincount(place.channels)
                self._means[place] = by_channel[place.channels].astype(np.float32)
        return {place: self._means[place] for place in places}


def _lesions_of(layers: Sequence[str]) -> str:
    return f"lesions of layer {' and '.join(map(repr, layers))}"


def lesionable_layers(
    layers: Sequence[Layer], network: LesionEngine | keras.Model, *, residual: str | None = None
) -> tuple[str, ...]:
    """Return the hidden layers among a partition's layers: not the inputs, not the output.

    Of an engine, those that its output hangs on, by its own rule.

    Args:
        layers: The partition's layers.
        network: The network, or an engine of it.
        residual: By which rule the layers of a network are named.

    Raises:
        InvalidInputError: If a layer is not the network's, or has another number of units there.
    """
    if isinstance(network, LesionEngine):
        return tuple(name for name in network._units.among(layers) if name in network.layers)
    found: UnitLayers = unit_layers(read_weights(network), residual=residual)
    return found.among(layers)
