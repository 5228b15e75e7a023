"""Compiled passes of images through a network under many lesions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.lesions._linear_steps import LinearStep
from nn_clustering.lesions._plan import Plan
from nn_clustering.lesions._scores import Classes, class_counts, squared_errors
from nn_clustering.lesions._unit_positions import Places
from nn_clustering.networks.structure import Step, Walk

# A tensor, and the name of the step that reads it silenced; None for all that read it.
Cut = tuple[str | None, int]
Held = dict[int, tf.Tensor]


class Passes:
    """What is compiled for lesions of some layers."""

    def __init__(
        self, plan: Plan, means: Mapping[Places, NDArray[np.float32]], *, classifies: bool
    ) -> None:
        """Prepare; compilation waits for the first images.

        Args:
            plan: What lesions leave as it is, and what they change.
            means: What places are set to as they fall silent; 0 where nothing is said.
            classifies: Whether outputs are scored by the largest, or compared with targets.
        """
        self._plan = plan
        self._cuts = tuple(
            dict.fromkeys(place.cut for of_layer in plan.places for place in of_layer)
        )
        self._fill = {place.cut: values for place, values in means.items()}
        self._classifies = classifies
        # for every linear step the number, among the cut tensors, of what it reads
        self._read = [
            self._cuts.index(self._cuts_at(step, step.inputs[0])[0]) for step in plan.linear
        ]
        self._compiled: dict[Callable[..., Any], Callable[..., Any]] = {}

    def start(self, x: tf.Tensor) -> Held:
        """Return what all lesions start from, of some images."""
        walk = self._plan.walk
        return walk.run({walk.inputs[0]: x}, self._plan.held)

    def scores(
        self, held: Held, y: tf.Tensor, silenced: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the scores of lesions, (lesions, outputs), and which put out NaN, (lesions,).

        Args:
            held: What ``start`` returned.
            y: Classes of the images, or targets.
            silenced: For every lesioned layer which units are silenced, (lesions, units).
        """
        silent = self._silent_places(silenced)
        in_part = np.full(len(silent[0]), bool(self._read))
        for cut in self._read:
            n_silent = silent[cut].sum(axis=1)
            in_part &= (n_silent > 0) & (n_silent < silent[cut].shape[1])
            if self._cuts[cut] in self._fill:
                in_part &= 2 * n_silent < silent[cut].shape[1]
        if not in_part.any():
            return self._plainly(held, y, silent)
        if in_part.all():
            return self._by_parts(held, y, silent)
        of_parts = self._by_parts(held, y, [places[in_part] for places in silent])
        others = self._plainly(held, y, [places[~in_part] for places in silent])
        order = np.argsort(np.append(np.flatnonzero(in_part), np.flatnonzero(~in_part)))
        scores, is_nan = (
            np.concatenate(pair)[order] for pair in zip(of_parts, others, strict=True)
        )
        return scores, is_nan

    def _plainly(
        self, held: Held, y: tf.Tensor, silent: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        scores, is_nan = self._call(self._scores_of_all, held, y, tuple(silent))
        return scores.numpy(), is_nan.numpy()

    def _by_parts(
        self, held: Held, y: tf.Tensor, silent: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Count right answers fast, and compute again those on which rounding has a say."""
        right, is_sure = (
            found.numpy() for found in self._call(self._correct_and_certain, held, y, tuple(silent))
        )
        is_nan = np.zeros(len(right), bool)
        doubtful = np.argwhere(~is_sure)
        for first in range(0, len(doubtful), len(y)):
            lesions, images = doubtful[first : first + len(y)].T
            some = {n: tf.gather(held[n], images) for n in self._plan.frontier}
            outputs = self._outputs(some, [places[lesions] for places in silent])
            classes = Classes(tf.gather(y, images), outputs.shape[1], outputs.dtype)
            right[lesions, images] = classes.right(outputs).numpy()
            is_nan[lesions] |= tf.reduce_any(tf.math.is_nan(outputs), axis=1).numpy()
        is_of_class = np.arange(self._n_classes) == y.numpy()[:, np.newaxis]
        return right.astype(np.int64) @ is_of_class.astype(np.int64), is_nan

    @property
    def _n_classes(self) -> int:
        n_classes = self._plan.walk.shapes[self._plan.walk.outputs[0]][1]
        assert n_classes is not None
        return n_classes

    def _call(
        self, function: Callable[..., Any], held: Held, y: tf.Tensor, silent: tuple[Any, ...]
    ) -> Any:
        """Call a function of what lesions start from, compiled for any number of images."""
        if function not in self._compiled:
            self._compiled[function] = tf.function(function, autograph=False).get_concrete_function(
                {n: tf.TensorSpec((None, *t.shape[1:]), t.dtype) for n, t in held.items()},
                tf.TensorSpec((None, *y.shape[1:]), y.dtype),
                tuple(tf.TensorSpec((None, places.shape[1]), tf.bool) for places in silent),
            )
        return self._compiled[function](held, y, tuple(map(tf.constant, silent)))

    def _scores_of_all(
        self, held: Held, y: tf.Tensor, silent: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        score = class_counts if self._classifies else squared_errors
        start = {number: held[number] for number in self._plan.frontier}
        return _for_each_lesion(
            lambda places: score(self._outputs(start, places), y),
            silent,
            (tf.int32 if self._classifies else tf.float64, tf.bool),
        )

    def _correct_and_certain(
        self, held: Held, y: tf.Tensor, silent: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return which images are answered right, and which for sure: (lesions, images)."""
        steps, is_exact = [], tf.constant(True)
        for step, cut in zip(self._plan.linear, self._read, strict=True):
            made, read = held[step.outputs[0]], held[step.inputs[0]]
            steps.append(LinearStep(step, read, made, self._fill.get(self._cuts[cut])))
            is_exact &= steps[-1].is_exact_under(silent[cut])
        classes = Classes(y, self._n_classes, steps[0].dtype)

        def of_one(places: tuple[tf.Tensor, ...]) -> tuple[tf.Tensor, tf.Tensor]:
            made = {
                step.number: step.under(places[cut])
                for step, cut in zip(steps, self._read, strict=True)
            }
            return classes.correct_and_certain(self._outputs(held | made, places))

        right, is_sure = _for_each_lesion(of_one, silent, (tf.bool, tf.bool))
        return right, is_sure & is_exact

    def _silent_places(
        self, silenced: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[np.bool_], ...]:
        """Return for every cut tensor which places are silent, (lesions, places)."""
        silent: dict[Cut, Any] = {}
        for units, of_layer in zip(silenced, self._plan.places, strict=True):
            # one unit more, never silent, for the places of other layers
            padded = np.pad(units, ((0, 0), (0, 1)))
            for place in of_layer:
                held = np.where(place.units < 0, units.shape[1], place.units)
                new = padded[:, held].any(axis=1)
                silent[place.cut] = silent[place.cut] | new if place.cut in silent else new
        return tuple(silent[cut] for cut in self._cuts)

    def _cuts_at(self, step: Step, number: int) -> list[Cut]:
        """Return as what, if at all, a tensor is cut that a step reads."""
        found: tuple[Cut, Cut] = ((step.name, number), (None, number))
        return [cut for cut in found if cut in self._cuts]

    def _outputs(self, given: Held, places: Sequence[Any]) -> tf.Tensor:
        """Return what the network puts out with some places silent, (images, outputs).

        Args:
            given: The tensors to start from; more than the frontier only where they are already
                those of the lesioned network.
            places: For every cut tensor which places are silent, (places,), or under the lesion
                of each image (images, places).
        """
        silent = dict(zip(self._cuts, map(tf.convert_to_tensor, places), strict=True))

        def read(step: Step, number: int, value: tf.Tensor) -> tf.Tensor:
            for cut in self._cuts_at(step, number):
                fill = tf.cast(self._fill.get(cut, 0.0), value.dtype)
                at = silent[cut]
                if at.shape.rank == 2:
                    positions = [1] * (value.shape.rank - 2)
                    at = tf.reshape(at, [-1, *positions, at.shape[1]])
                value = tf.where(at, fill, value)
            return value

        (output,) = self._plan.walk.outputs
        return self._plan.walk.run(given, [output], on_read=read)[output]


def intact_scores(
    walk: Walk, x: tf.Tensor, y: tf.Tensor, *, classifies: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the network's scores, (outputs,), and whether an output is NaN, of some images."""
    (output,) = walk.outputs
    outputs = walk.run({walk.inputs[0]: x}, [output])[output]
    return class_counts(outputs, y) if classifies else squared_errors(outputs, y)


def sums_of_places(
    walk: Walk, x: tf.Tensor, tensors: Sequence[int]
) -> dict[int, tuple[NDArray[np.float64], int]]:
    """Return sums of tensors over all axes but the last, of some images.

    With each sum goes the number of values that it is of.
    """
    found = {}
    for number, value in walk.run({walk.inputs[0]: x}, tensors).items():
        total = tf.reduce_sum(tf.cast(value, tf.float64), axis=list(range(value.shape.rank - 1)))
        found[number] = (total.numpy(), int(np.prod(value.shape[:-1])))
    return found


def _for_each_lesion(
    score: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    lesions: object,
    types: tuple[tf.DType, tf.DType],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Score one lesion after the other.

    Side by side they would be some tenths faster, and wrong at times: TensorFlow's convolutions by
    oneDNN spoil each other's results where one step of a function runs twice at once.
    """
    found: tuple[tf.Tensor, tf.Tensor] = tf.map_fn(
        score, lesions, fn_output_signature=types, parallel_iterations=1
    )
    return found
