"""Making inputs better and better for what they are to move, by Adam (methods H1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import UnitPlaces, Walk
from nn_clustering.visualisation._parametrised import Parametrised
from nn_clustering.visualisation._redirection import REDIRECTED_STEPS, with_redirected_gradients
from nn_clustering.visualisation._settings import Ascent, Objective, Transformations
from nn_clustering.visualisation._transforming import drawn_moves, moved
from nn_clustering.visualisation._unit_values import spatial_means

# Adam's.
_DECAY, _DECAY_OF_SQUARES, _EPSILON = 0.9, 0.999, 1e-8
# How long a call of compiled steps is to take: what Ctrl-C waits for.
_SECONDS_A_CALL = 0.5
_MOST_STEPS_A_CALL = 256

Progress = Callable[[int], object]
Reads = Callable[[tf.Tensor], tf.Tensor]


class Climb:
    """Steps of optimisation of inputs for sets of units of one layer, compiled."""

    def __init__(
        self,
        walk: Walk,
        places: UnitPlaces,
        n_units: int,
        *,
        parametrised: Parametrised,
        reads: Reads,
        objective: Objective,
        transformations: Transformations,
        ascent: Ascent,
    ) -> None:
        """Prepare for a layer.

        Args:
            walk: The steps of the network.
            places: Where the units stand whose values count.
            n_units: How many there are.
            parametrised: What inputs are made of.
            reads: Makes of inputs what the network reads.
            objective: What is made of the units' values.
            transformations: How inputs are moved before each step.
            ascent: How inputs are optimised.
        """
        self._places = places
        self._parametrised = parametrised
        self._reads = reads
        self._objective = objective
        self._transformations = transformations
        self._ascent = ascent
        self._steps_a_call = 1
        numbers = tf.TensorSpec((None, *parametrised.shape), tf.float32)
        signature = [
            (numbers, numbers, numbers),
            tf.TensorSpec((None, n_units), tf.float32),
            tf.TensorSpec((None, None, 2, 3), tf.float32),
            tf.TensorSpec((), tf.int32),
            tf.TensorSpec((), tf.int32),
        ]

        def compiled(of: Walk) -> Any:
            def steps(*given: Any) -> Any:
                return self._steps(of, *given)

            # at once: TensorFlow warns of many functions that are compiled where they are called
            found = tf.function(steps, autograph=False, input_signature=signature)
            return _without_failing_remapper(found.get_concrete_function())

        self._compile = compiled
        self._walks = {False: walk, True: with_redirected_gradients(walk)}
        self._compiled: dict[bool, Any] = {}

    def optimised(
        self, masks: NDArray[np.bool_], seeds: Sequence[int], on_progress: Progress
    ) -> NDArray[np.float32]:
        """Return inputs, in the data set's scale, of as many steps as the settings say.

        Args:
            masks: The units of each input's set, shape (inputs, units).
            seeds: One for each input.
            on_progress: Called with the number of inputs times steps since the last call.
        """
        start = np.stack([self._parametrised.start(seed) for seed in seeds])
        state = (start, np.zeros_like(start), np.zeros_like(start))
        weights = tf.constant(masks.astype(np.float32))
        done = 0
        while done < self._ascent.n_steps:
            redirects = self._ascent.redirect_relu and done < REDIRECTED_STEPS
            until = (
                min(REDIRECTED_STEPS, self._ascent.n_steps) if redirects else self._ascent.n_steps
            )
            n_steps = min(self._steps_a_call, until - done)
            run = self._steps_of(redirects)
            moves = self._moves(seeds, range(done, done + n_steps))
            began = time.monotonic()
            given = (state, weights, moves, np.int32(done), np.int32(n_steps))
            state = run(*tf.nest.map_structure(tf.convert_to_tensor, given))
            state[0].numpy()
            self._keep_pace(n_steps, time.monotonic() - began)
            done += n_steps
            on_progress(n_steps * len(seeds))
        made: NDArray[np.float32] = self._parametrised(state[0]).numpy()
        return made

    def _steps_of(self, redirects: bool) -> Any:
        """Return what makes some steps, with gradients redirected or not; compiled when needed."""
        if redirects not in self._compiled:
            self._compiled[redirects] = self._compile(self._walks[redirects])
        return self._compiled[redirects]

    def _moves(self, seeds: Sequence[int], steps: range) -> NDArray[np.float32]:
        if not self._transformations.any:
            return np.zeros((0, 0, 2, 3), np.float32)
        return drawn_moves(self._transformations, seeds, steps)

    def _keep_pace(self, n_steps: int, seconds: float) -> None:
        """Set how many steps the next call takes: results do not hang on it."""
        fitting = int(n_steps * _SECONDS_A_CALL / max(seconds, 1e-6))
        self._steps_a_call = min(max(fitting, 1), 4 * n_steps, _MOST_STEPS_A_CALL)

    def _steps(
        self,
        walk: Walk,
        state: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
        masks: tf.Tensor,
        moves: tf.Tensor,
        done: tf.Tensor,
        n_steps: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the numbers, and what Adam keeps of their gradients, some steps later."""

        def step(
            place: tf.Tensor, numbers: tf.Tensor, mean: tf.Tensor, square: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            move = moves[place] if self._transformations.any else None
            gradient = self._gradient(walk, numbers, masks, move)
            mean = _DECAY * mean + (1 - _DECAY) * gradient
            square = _DECAY_OF_SQUARES * square + (1 - _DECAY_OF_SQUARES) * gradient**2
            count = tf.cast(done + place + 1, tf.float32)
            rate = self._ascent.learning_rate * (
                tf.sqrt(1 - _DECAY_OF_SQUARES**count) / (1 - _DECAY**count)
            )
            return place + 1, numbers + rate * mean / (tf.sqrt(square) + _EPSILON), mean, square

        found: tuple[tf.Tensor, ...] = tf.while_loop(
            lambda place, *_: place < n_steps,
            step,
            (tf.zeros((), tf.int32), *state),
            parallel_iterations=1,
            maximum_iterations=n_steps,
        )
        return found[1:]

    def _gradient(
        self, walk: Walk, numbers: tf.Tensor, masks: tf.Tensor, move: tf.Tensor | None
    ) -> tf.Tensor:
        """Return the gradient of each input's objective in the numbers that it is made of."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(numbers)
            inputs = self._parametrised(numbers)
            if move is not None:
                inputs = moved(inputs, move)
            given = {walk.inputs[0]: self._reads(inputs)}
            tensor = walk.run(given, [self._places.tensor])[self._places.tensor]
            values = spatial_means(self._places, tensor)
            # of every input by itself, as no input hangs on another
            objective = tf.reduce_sum(self._reduced(values, masks))
        gradient = tape.gradient(objective, numbers)
        if gradient is None:
            raise InvalidInputError(
                f"a step of network {walk.name!r} before the units has no gradient; expected "
                "operations that have one"
            )
        return gradient

    def _reduced(self, values: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
        if self._objective.reduction == "absolute":
            values = tf.abs(values)
        sums = tf.reduce_sum(values * masks, axis=1)
        return sums / tf.reduce_sum(masks, axis=1) if self._objective.reduction == "mean" else sums


def _without_failing_remapper(function: Any) -> Callable[..., Any]:
    """Return a function that is called with TensorFlow's remapper off, if that would fail on it.

    It does on the gradients of leaky rectified units: then it changes nothing, and prints a line
    of error that stands between a user and a stage's own lines.

    Args:
        function: A concrete function.
    """
    library = function.graph.as_graph_def().library.function
    if all(node.op != "LeakyReluGrad" for body in library for node in body.node_def):
        return function  # type: ignore[no-any-return]

    def called(*given: Any) -> Any:
        before = tf.config.optimizer.get_experimental_options().get("remapping", True)
        tf.config.optimizer.set_experimental_options({"remapping": False})
        try:
            return function(*given)
        finally:
            tf.config.optimizer.set_experimental_options({"remapping": before})

    return called
