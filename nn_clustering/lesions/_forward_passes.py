"""Compiled passes of images through a network under many lesions."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.graphs import Places
from nn_clustering.lesions._doubt import Doubt, Rounding
from nn_clustering.lesions._linear_steps import LinearStep
from nn_clustering.lesions._plan import Plan
from nn_clustering.lesions._reduced_layers import in_bfloat16
from nn_clustering.lesions._reduced_steps import ReducedSteps
from nn_clustering.lesions._scores import Margins, right_answers, scores_of
from nn_clustering.networks.structure import Step, Walk

# A tensor, and the name of the step that reads it silenced; None for all that read it.
Cut = tuple[str | None, int]
Held = dict[int, tf.Tensor]


class Passes:
    """What is compiled for lesions of some layers."""

    def __init__(
        self,
        plan: Plan,
        means: Mapping[Places, NDArray[np.float32]],
        *,
        n_counts: int | None,
        reduced: ReducedSteps | None = None,
        is_heavy: bool = False,
    ) -> None:
        """Prepare; compilation waits for the first images.

        Args:
            plan: What lesions leave as it is, and what they change.
            means: What places are set to as they fall silent; 0 where nothing is said.
            n_counts: By how many classes or groups right answers are counted; None where outputs
                are compared with targets.
            reduced: What lesions change in bfloat16, if that is faster.
            is_heavy: Whether to compile also what is computed once for every batch of images.
        """
        self._plan, self._reduced, self._is_heavy = plan, reduced, is_heavy
        self.doubt = Doubt()
        self._cuts = tuple(
            dict.fromkeys(place.cut for of_layer in plan.places for place in of_layer)
        )
        self._fill = {place.cut: values for place, values in means.items()}
        self._n_counts = n_counts
        # for every linear step the number, among the cut tensors, of what it reads
        self._read = [
            self._cuts.index(self._cuts_at(step, step.inputs[0])[0]) for step in plan.linear
        ]
        self._compiled: dict[Callable[..., Any], Callable[..., Any]] = {}
        self._start: Callable[..., Any] | None = None
        self._again_compiled: Callable[..., Any] | None = None

    def start(self, x: tf.Tensor) -> Held:
        """Return what all lesions start from, of some images."""
        walk = self._plan.walk

        def start(x: tf.Tensor) -> Held:
            return walk.run({walk.inputs[0]: x}, self._plan.held)

        if not self._is_heavy:
            return start(x)
        if self._start is None:
            self._start = tf.function(start, autograph=False).get_concrete_function(
                tf.TensorSpec((None, *x.shape[1:]), x.dtype)
            )
        found: Held = self._start(x)
        return found

    def scores(
        self, held: Held, y: tf.Tensor, silenced: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the scores of lesions, (lesions, scores), and which put out NaN, (lesions,).

        Args:
            held: What ``start`` returned.
            y: What is asked of the images, or their targets.
            silenced: For every lesioned layer which units are silenced, (lesions, units).
        """
        silent = self._silent_places(silenced)
        is_reduced = self._is_reduced
        in_part = np.full(len(silent[0]), is_reduced or bool(self._read))
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

    @property
    def _is_reduced(self) -> bool:
        return self._reduced is not None and self.doubt.pays

    def _plainly(
        self, held: Held, y: tf.Tensor, silent: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        scores, is_nan = self._call(self._scores_of_all, held, y, tuple(silent))
        return scores.numpy(), is_nan.numpy()

    def _by_parts(
        self, held: Held, y: tf.Tensor, silent: Sequence[NDArray[np.bool_]]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Count right answers fast, and compute again those on which rounding has a say."""
        is_reduced = self._is_reduced
        doubt: Doubt | Rounding = self.doubt if is_reduced else Rounding()
        fast = self._reduced_margins if is_reduced else self._margins
        margins, is_exact = (f.numpy() for f in self._call(fast, held, y, tuple(silent)))
        right, is_nan = margins > 0, np.zeros(len(margins), bool)
        is_known = np.zeros(margins.shape, bool)
        again = ~is_exact | doubt.sample(margins.shape)
        # what is learnt can throw doubt on more answers
        while True:
            if again.any():
                exact = self._again(held, y, silent, again, right, is_nan)
                errors = np.abs(exact - margins[again])[is_exact[again]]
                doubt.learn(errors[np.isfinite(errors)])
            is_known |= again
            # NaN is in doubt too
            again = ~is_known & ~(np.abs(margins) > doubt.bound)
            if not again.any():
                break
        doubt.end(is_known.size, int(is_known.sum()))
        counts_for = np.arange(self._n_counts or 0) == y.numpy()[:, 1:]
        return right.astype(np.int64) @ counts_for.astype(np.int64), is_nan

    def _again(
        self,
        held: Held,
        y: tf.Tensor,
        silent: Sequence[NDArray[np.bool_]],
        again: NDArray[np.bool_],
        right: NDArray[np.bool_],
        is_nan: NDArray[np.bool_],
    ) -> NDArray[np.floating]:
        """Compute some answers without tricks; return their margins, in the order of ``again``.

        Args:
            held: What ``start`` returned.
            y: What is asked of the images.
            silent: For every cut tensor which places are silent, (lesions, places).
            again: Which answers, (lesions, images).
            right: Which answers are right, (lesions, images); corrected here.
            is_nan: Which lesions put out NaN, (lesions,); noted here.
        """
        margins = []
        start = {number: held[number] for number in self._plan.frontier}
        pairs = np.argwhere(again)
        for first in range(0, len(pairs), len(y)):
            lesions, images = pairs[first : first + len(y)].T
            arguments = (start, y, tf.constant(images), [places[lesions] for places in silent])
            found = self._answers(*arguments)
            right[lesions, images] = found[0].numpy()
            is_nan[lesions] |= found[1].numpy()
            margins.append(found[2].numpy())
        return np.concatenate(margins)

    def _answers(
        self, start: Held, y: tf.Tensor, images: tf.Tensor, silent: Sequence[Any]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return of some images, each under a lesion of its own, whether it is answered right.

        With that go whether an output is NaN, and the margins of what is compared with bfloat16.
        """

        def answers(
            start: Held, y: tf.Tensor, images: tf.Tensor, silent: tuple[tf.Tensor, ...]
        ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            some = {number: tf.gather(value, images) for number, value in start.items()}
            y = tf.gather(y, images)
            (output,), compared = self._plan.walk.outputs, self._compared
            found = self._run(self._plan.walk, some, silent, (output, compared))
            outputs = found[output]
            right = right_answers(outputs, y)
            is_nan = tf.reduce_any(tf.math.is_nan(outputs), axis=1)
            margins = Margins(y, self._n_classes, found[compared].dtype).of(found[compared])
            return right, is_nan, margins

        if self._reduced is None and not self._is_heavy:
            return answers(start, y, images, tuple(silent))
        if self._again_compiled is None:
            self._again_compiled = tf.function(answers, autograph=False).get_concrete_function(
                *_specs(start, y),
                tf.TensorSpec((None,), images.dtype),
                _silent_specs(silent),
            )
        found: tuple[tf.Tensor, tf.Tensor, tf.Tensor] = self._again_compiled(
            start, y, images, tuple(map(tf.constant, silent))
        )
        return found

    @property
    def _compared(self) -> int:
        """Number of the tensor whose margins are looked at."""
        return self._plan.walk.outputs[0] if self._reduced is None else self._reduced.output

    @property
    def _n_classes(self) -> int:
        n_classes = self._plan.walk.shapes[self._plan.walk.outputs[0]][-1]
        assert n_classes is not None
        return n_classes

    def _call(
        self, function: Callable[..., Any], held: Held, y: tf.Tensor, silent: tuple[Any, ...]
    ) -> Any:
        """Call a function of what lesions start from, compiled for any number of images."""
        if function not in self._compiled:
            self._compiled[function] = tf.function(function, autograph=False).get_concrete_function(
                *_specs(held, y), _silent_specs(silent)
            )
        return self._compiled[function](held, y, tuple(map(tf.constant, silent)))

    def _scores_of_all(
        self, held: Held, y: tf.Tensor, silent: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        start = {number: held[number] for number in self._plan.frontier}
        return _for_each_lesion(
            lambda places: scores_of(self._outputs(start, places), y, self._n_counts),
            silent,
            (tf.float64 if self._n_counts is None else tf.int32, tf.bool),
        )

    def _margins(
        self, held: Held, y: tf.Tensor, silent: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the margins of answers, and which are precise: (lesions, images)."""
        steps, is_exact = self._linear_steps(held, silent)
        walk, (output,) = self._plan.walk, self._plan.walk.outputs
        return self._margins_of(walk, output, steps, held, y, silent), is_exact

    def _reduced_margins(
        self, held: Held, y: tf.Tensor, silent: tuple[tf.Tensor, ...]
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the same in bfloat16."""
        assert self._reduced is not None
        steps, is_exact = self._linear_steps(held, silent, self._reduced)
        walk, output = self._reduced.walk, self._reduced.output
        # once for all lesions
        held = {number: in_bfloat16(held[number]) for number in self._plan.frontier}
        return self._margins_of(walk, output, steps, held, y, silent), is_exact

    def _linear_steps(
        self, held: Held, silent: tuple[tf.Tensor, ...], reduced: ReducedSteps | None = None
    ) -> tuple[list[LinearStep], tf.Tensor]:
        """Return the linear steps, and under which lesions of which images they are precise."""
        steps = []
        is_exact = tf.ones(
            (tf.shape(silent[0])[0], tf.shape(next(iter(held.values())))[0]), tf.bool
        )
        for step, cut in zip(self._plan.linear, self._read, strict=True):
            made, read = held[step.outputs[0]], held[step.inputs[0]]
            fill = self._fill.get(self._cuts[cut])
            layer = None if reduced is None else reduced.layers[step.name]
            steps.append(LinearStep(step, read, made, fill, layer))
            is_exact &= steps[-1].is_exact_under(silent[cut])
        return steps, is_exact

    def _margins_of(
        self,
        walk: Walk,
        output: int,
        steps: Sequence[LinearStep],
        held: Held,
        y: tf.Tensor,
        silent: tuple[tf.Tensor, ...],
    ) -> tf.Tensor:
        dtype = steps[0].dtype if steps else tf.float32
        margins = Margins(y, self._n_classes, dtype)

        def of_one(places: tuple[tf.Tensor, ...]) -> tf.Tensor:
            made = {
                step.number: step.under(places[cut])
                for step, cut in zip(steps, self._read, strict=True)
            }
            return margins.of(self._run(walk, held | made, places, (output,))[output])

        return tf.map_fn(of_one, silent, fn_output_signature=dtype, parallel_iterations=1)

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
        """Return what the network puts out with some places silent, (images, outputs)."""
        (output,) = self._plan.walk.outputs
        return self._run(self._plan.walk, given, places, (output,))[output]

    def _run(
        self, walk: Walk, given: Held, places: Sequence[Any], wanted: Sequence[int]
    ) -> dict[int, tf.Tensor]:
        """Return tensors of the network with some places silent.

        Args:
            walk: The steps of the network.
            given: The tensors to start from; more than the frontier only where they are already
                those of the lesioned network.
            places: For every cut tensor which places are silent, (places,), or under the lesion
                of each image (images, places).
            wanted: Numbers of the tensors.
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

        return walk.run(given, wanted, on_read=read)


def _specs(held: Held, y: tf.Tensor) -> tuple[dict[int, tf.TensorSpec], tf.TensorSpec]:
    """Return the signature of what lesions start from, of any number of images."""
    return (
        {n: tf.TensorSpec((None, *t.shape[1:]), t.dtype) for n, t in held.items()},
        tf.TensorSpec((None, *y.shape[1:]), y.dtype),
    )


def _silent_specs(silent: Sequence[Any]) -> tuple[tf.TensorSpec, ...]:
    return tuple(tf.TensorSpec((None, places.shape[1]), tf.bool) for places in silent)


def intact_scores(
    walk: Walk, x: tf.Tensor, y: tf.Tensor, *, n_counts: int | None
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the network's scores, (scores,), and whether an output is NaN, of some images."""
    (output,) = walk.outputs
    outputs = walk.run({walk.inputs[0]: x}, [output])[output]
    return scores_of(outputs, y, n_counts)


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
