"""A whole epoch, and a whole evaluation, as compiled functions."""

from collections.abc import Callable

import keras
import tensorflow as tf

from nn_clustering.datasets import NOT_ASKED
from nn_clustering.training._augmentation import augment
from nn_clustering.training._penalties import penalty_term
from nn_clustering.training._phases import Phase
from nn_clustering.training._pruning import has_convolutions
from nn_clustering.training._state import TrainingState


def compile_epoch(state: TrainingState, phase: Phase, task: str) -> Callable[..., tf.Tensor]:
    """Return a function that trains for one epoch.

    It takes inputs and targets of all samples, the order of the samples, the number of the
    epoch's first step in the phase and an integer seed; it returns the epoch's loss and number of
    right answers, added up over answers, and its penalty and clusterability, added up over steps.
    """
    step = _step_function(state, phase, task)
    batch_size = phase.batch_size

    @tf.function(jit_compile=_compiles_with_xla(state.network, phase))  # type: ignore[untyped-decorator]
    def run_batches(
        x: tf.Tensor, y: tf.Tensor, batches: tf.Tensor, first_step: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        figures = tf.zeros(4)
        for index in tf.range(batches.shape[0]):
            batch = batches[index]
            inputs, targets = tf.gather(x, batch), tf.gather(y, batch)
            figures += step(inputs, targets, first_step + index, tf.stack([seed, index]))
        return figures

    # Without XLA, which takes longer to compile one more step than this takes in all epochs.
    run_step = tf.function(step)

    def run_epoch(
        x: tf.Tensor, y: tf.Tensor, order: tf.Tensor, first_step: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        n_full = order.shape[0] // batch_size
        batches, rest = tf.split(order, [n_full * batch_size, order.shape[0] % batch_size])
        batches = tf.reshape(batches, (n_full, batch_size))
        figures = run_batches(x, y, batches, first_step, seed)
        if len(rest):
            inputs, targets = tf.gather(x, rest), tf.gather(y, rest)
            figures += run_step(inputs, targets, first_step + n_full, tf.stack([seed, n_full]))
        return figures

    return run_epoch


def compile_evaluation(network: keras.Model, task: str) -> Callable[..., tuple[tf.Tensor, ...]]:
    """Return a function from inputs and targets to their loss and number of right answers."""

    # XLA would take longer to compile this than it saves.
    @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
    def run_evaluation(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        outputs = network(x, training=False)
        return tf.reduce_sum(_losses(task, y, outputs)), _n_correct(task, y, outputs)

    found: Callable[..., tuple[tf.Tensor, ...]] = run_evaluation
    return found


def _step_function(state: TrainingState, phase: Phase, task: str) -> Callable[..., tf.Tensor]:
    network, optimizer, pruning = state.network, state.optimizer, phase.pruning
    variables = network.trainable_variables
    term = None
    if phase.clusterability is not None:
        from nn_clustering.training._clusterability import ClusterabilityTerm

        term = ClusterabilityTerm(network, phase.clusterability)

    def step(x: tf.Tensor, y: tf.Tensor, index: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        if term is not None and state.thresholds:
            # Before the mask is chosen: the first norms are then those of the biases alone.
            term.normalise(state.threshold_of)
        if pruning is not None and index % pruning.every_n_steps == 0:
            state.prune(pruning.sparsity(index))
        if term is not None and not state.thresholds:
            term.normalise()
        if phase.augmentation is not None:
            x = augment(x, phase.augmentation, seed)
        penalty = clusterability = tf.constant(0.0)
        with tf.GradientTape() as tape:
            outputs = network(x, training=True)
            losses = _losses(task, y, outputs)
            if phase.penalty is not None:
                penalty += penalty_term(state.kernels, phase.penalty)
            for loss in network.losses:
                penalty += tf.cast(loss, tf.float32)
            if term is not None:
                clusterability = term.loss()
            total = _mean_of_answers(task, y, losses) + penalty + clusterability
            scaled = optimizer.scale_loss(total)
        optimizer.apply(tape.gradient(scaled, variables), variables)
        if pruning is not None:
            state.apply_masks()
        n_correct = tf.cast(_n_correct(task, y, outputs), tf.float32)
        return tf.stack([tf.reduce_sum(losses), n_correct, penalty, clusterability])

    return step


def _compiles_with_xla(network: keras.Model, phase: Phase) -> bool:
    # XLA knows neither the affine transforms of images nor LAPACK's eigenvalues.
    if phase.augmentation or phase.clusterability:
        return False
    if not all(layer.supports_jit for layer in network._flatten_layers()):
        return False
    # On a CPU, XLA's convolutions are slower than TensorFlow's own; in a loop, many times slower.
    return bool(tf.config.list_physical_devices("GPU")) or not has_convolutions(network)


def _losses(task: str, y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    outputs = tf.cast(outputs, tf.float32)
    if task == "regression":
        return tf.reduce_mean(tf.square(outputs - y), axis=-1)
    if y.shape.rank == 1:
        return keras.losses.sparse_categorical_crossentropy(y, outputs)
    is_asked = y != NOT_ASKED
    losses = keras.losses.sparse_categorical_crossentropy(tf.where(is_asked, y, 0), outputs)
    return tf.where(is_asked, losses, 0.0)


def _mean_of_answers(task: str, y: tf.Tensor, losses: tf.Tensor) -> tf.Tensor:
    """Return the mean loss over samples, or over the positions at which something is asked."""
    if task == "regression" or y.shape.rank == 1:
        return tf.reduce_mean(losses)
    n_answers = tf.reduce_sum(tf.cast(y != NOT_ASKED, tf.float32))
    return tf.reduce_sum(losses) / tf.maximum(n_answers, 1.0)


def _n_correct(task: str, y: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    if task == "regression":
        return tf.constant(0)
    # no output is that of a position at which nothing is asked
    predicted = tf.argmax(outputs, axis=-1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(predicted == y, tf.int32))
