"""The epoch loop: data resident in memory, a whole epoch as one compiled function."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.datasets import NOT_ASKED, Dataset, Samples
from nn_clustering.errors import InvalidInputError, NnClusteringError, in_one_line
from nn_clustering.seeds import generator, integer_seed
from nn_clustering.training._checkpoints import Checkpoint, EpochResult
from nn_clustering.training._clusterability import ClusterabilityTerm
from nn_clustering.training._phases import Phase, check_phase
from nn_clustering.training._state import TrainingState
from nn_clustering.training._steps import compile_epoch, compile_evaluation


def train(
    network: keras.Model,
    dataset: Dataset,
    phase: Phase,
    *,
    seed: int,
    start: Checkpoint | None = None,
    checkpoint_every: int | None = None,
    on_checkpoint: Callable[[Checkpoint], None] = lambda checkpoint: None,
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> list[EpochResult]:
    """Train a network in place for one phase, with an Adam of its own (methods A6).

    The loss is the cross-entropy of class probabilities, of the whole of a sample or at every
    position at which one is asked, or the mean squared error of a regression (methods A4), and what
    the phase's penalties and the network's own losses add to it. Layers that compute in half
    precision keep their weights in float32; with float16 the loss is scaled. With weight decay
    Adam is AdamW.

    Args:
        network: A model from samples to class probabilities, of the whole or at every position, or
            to the targets of a regression.
        dataset: What to train on.
        phase: How to train.
        seed: Fixes the order of the samples and the augmentation.
        start: Go on from this checkpoint of the same phase, network and data set instead of from
            the network's present state; the outcome is what it would have been, bit for bit on
            the same processors, for a network whose random numbers are all Keras'.
        checkpoint_every: Take a checkpoint every so many epochs, and after the last; None: never.
        on_checkpoint: Called with every checkpoint, after ``on_epoch``.
        on_epoch: Called after every epoch that is trained now.

    Returns:
        One result an epoch, those before ``start`` included. With pruning, the kernels end at
        exactly the final sparsity.

    Raises:
        InvalidInputError: If a number is out of its range, or the network does not fit the data
            set, or the checkpoint the phase or the network.
        NnClusteringError: If the loss or a weight becomes infinite or NaN.
    """
    _check(network, dataset, phase, checkpoint_every)
    state = TrainingState.fresh(network, phase)
    run_epoch = compile_epoch(state, phase, dataset.task)
    run_evaluation = compile_evaluation(network, dataset.task)
    results = [] if start is None else state.restore(phase, start)
    x, y = tf.constant(dataset.x_train), tf.constant(dataset.y_train)
    test_batches = _batches(dataset.x_test, dataset.y_test)
    n_steps = -(-len(y) // phase.batch_size)
    for epoch in range(len(results) + 1, phase.epochs + 1):
        figures = run_epoch(
            x,
            y,
            tf.constant(_sample_order(len(y), phase, epoch, seed), tf.int32),
            tf.constant((epoch - 1) * n_steps),
            tf.constant(integer_seed(seed, "augmentation", phase.name, epoch)),
        )
        if epoch == phase.epochs and phase.pruning is not None:
            # The last refresh may lie some steps back, a hair below the final sparsity.
            state.prune(phase.pruning.final_sparsity)
        test = _mean_evaluation(run_evaluation, test_batches, dataset.task)
        result = _result(epoch, state, phase, dataset, figures.numpy(), test)
        _check_finite(result, state, phase)
        results.append(result)
        on_epoch(result)
        if checkpoint_every is not None and (
            epoch % checkpoint_every == 0 or epoch == phase.epochs
        ):
            on_checkpoint(Checkpoint(phase.name, epoch, tuple(results), state.arrays()))
    return results


def check_training(network: keras.Model, dataset: Dataset, phase: Phase) -> None:
    """Check that a network can be trained on a data set for one phase.

    Raises:
        InvalidInputError: If the network does not fit the data set, or the phase.
    """
    _check(network, dataset, phase, None)
    if phase.clusterability is not None:
        ClusterabilityTerm(network, phase.clusterability)


def evaluate(network: keras.Model, x: Samples, y: NDArray[Any]) -> tuple[float, float | None]:
    """Return the mean loss and the accuracy of a network.

    Args:
        network: A model from samples to class probabilities, or to the targets of a regression.
        x: Samples.
        y: Classes, integers of shape (samples,), or (samples, length) with -1 where nothing is
            asked, for cross-entropy and accuracy; or targets, floats of shape (samples, targets),
            for the mean squared error alone (no accuracy).
    """
    task = _task_of(y)
    return _mean_evaluation(compile_evaluation(network, task), _batches(x, y), task)


def _check(
    network: keras.Model, dataset: Dataset, phase: Phase, checkpoint_every: int | None
) -> None:
    check_phase(phase, dataset)
    if checkpoint_every is not None and (
        isinstance(checkpoint_every, bool)
        or not isinstance(checkpoint_every, int)
        or checkpoint_every < 1
    ):
        raise InvalidInputError(
            f"training.checkpoint_every={checkpoint_every!r}; expected a number of epochs, 1 or "
            "more, or None"
        )
    outputs = _outputs_of_first(network, dataset)
    positions = dataset.input_shape if dataset.answers_positions else ()
    expected = (*positions, dataset.n_outputs)
    if outputs.shape[1:] != expected:
        raise InvalidInputError(
            f"the network gives outputs of shape {outputs.shape[1:]} a sample; expected "
            f"{expected} for {dataset.name}: give its last layer {dataset.n_outputs} units"
        )
    ends_in_softmax = getattr(network.layers[-1], "activation", None) is keras.activations.softmax
    if dataset.task == "regression" and ends_in_softmax:
        raise InvalidInputError(
            f"the network ends in a softmax, but {dataset.name} is a regression; expected a last "
            "layer without activation"
        )
    # NaN passes: that is a training that diverged, and is reported as such.
    unlike_probabilities = (outputs < 0) | (np.abs(outputs.sum(axis=-1, keepdims=True) - 1) > 0.05)
    if dataset.task == "classification" and unlike_probabilities.any():
        raise InvalidInputError(
            "the network's outputs are no class probabilities (they are negative or do not add up "
            f"to 1), but {dataset.name} is a classification; expected a last layer with softmax"
        )


def _outputs_of_first(network: keras.Model, dataset: Dataset) -> NDArray[Any]:
    try:
        outputs = network(dataset.x_train[:8], training=False)
        return np.asarray(tf.cast(outputs, tf.float32))
    except Exception as error:  # whatever Keras, TensorFlow or a layer of one's own objects to
        raise InvalidInputError(
            f"the network cannot take samples of {dataset.name}, of shape {dataset.input_shape} "
            f"({in_one_line(error, longest=300)}); expected a network built for that shape"
        ) from error


def _sample_order(n_samples: int, phase: Phase, epoch: int, seed: int) -> NDArray[np.integer]:
    random = generator(seed, "sample order", phase.name, epoch)
    return random.permutation(n_samples) if phase.shuffle else np.arange(n_samples)


def _batches(
    x: Samples, y: NDArray[Any], batch_size: int = 1000
) -> list[tuple[tf.Tensor, tf.Tensor]]:
    starts = range(0, len(y), batch_size)
    return [
        (tf.constant(x[start : start + batch_size]), tf.constant(y[start : start + batch_size]))
        for start in starts
    ]


def _mean_evaluation(
    run_evaluation: Callable[..., tuple[tf.Tensor, ...]],
    batches: Sequence[tuple[tf.Tensor, tf.Tensor]],
    task: str,
) -> tuple[float, float | None]:
    loss, n_correct = 0.0, 0
    for x, y in batches:
        batch_loss, batch_correct = run_evaluation(x, y)
        loss += float(batch_loss)
        n_correct += int(batch_correct)
    n_answers = sum(_n_answers(y.numpy(), task) for _, y in batches)
    return loss / n_answers, n_correct / n_answers if task == "classification" else None


def _n_answers(y: NDArray[Any], task: str) -> int:
    """Return how many answers are asked: one a sample, or one at some of its positions."""
    if task == "regression" or y.ndim == 1:
        return len(y)
    return int(np.count_nonzero(y != NOT_ASKED))


def _task_of(y: NDArray[Any]) -> str:
    return "regression" if np.issubdtype(y.dtype, np.floating) else "classification"


def _result(
    epoch: int,
    state: TrainingState,
    phase: Phase,
    dataset: Dataset,
    figures: NDArray[np.float32],
    test: tuple[float, float | None],
) -> EpochResult:
    loss, n_correct, penalty, clusterability = map(float, figures)
    n_answers = _n_answers(dataset.y_train, dataset.task)
    n_steps = -(-len(dataset.y_train) // phase.batch_size)
    penalised = phase.penalty is not None or bool(state.network.losses)
    return EpochResult(
        epoch,
        train_loss=loss / n_answers,
        train_accuracy=n_correct / n_answers if dataset.task == "classification" else None,
        test_loss=test[0],
        test_accuracy=test[1],
        penalty=penalty / n_steps if penalised else None,
        clusterability=clusterability / n_steps if phase.clusterability is not None else None,
    )


def _check_finite(result: EpochResult, state: TrainingState, phase: Phase) -> None:
    added = {"penalty": result.penalty, "clusterability": result.clusterability}
    terms = {name: value for name, value in added.items() if value is not None}
    # A fused convolution can turn NaN into 0, so that NaN weights need not show in the loss.
    finite = state.is_finite()
    if finite and math.isfinite(result.train_loss + result.test_loss + sum(terms.values())):
        return
    listed = "".join(f", {name} {value:.4g}" for name, value in terms.items())
    advice = f"try a smaller training.learning_rate than {phase.learning_rate}"
    if terms:
        advice += f", or a smaller rate of the {' and '.join(terms)}"
    raise NnClusteringError(
        f"epoch {result.epoch} of the {phase.name} phase diverged (loss {result.train_loss:.4g}, "
        f"of the test set {result.test_loss:.4g}{listed}, weights "
        f"{'finite' if finite else 'not finite'}): {advice}"
    )
