"""The epoch loop: data resident in memory, a whole epoch as one compiled function."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.datasets import Dataset
from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.seeds import generator
from nn_clustering.training._pruning import PruningSchedule, magnitude_mask, prunable_kernels


@dataclass(frozen=True)
class EpochResult:
    """What one epoch achieved.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean cross-entropy over the epoch's batches, as they were trained on.
        train_accuracy: Accuracy over the same (the running figure, methods A13).
        test_loss: Mean cross-entropy on the test set at the epoch's end.
        test_accuracy: Accuracy on the test set at the epoch's end.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float


def train(
    network: keras.Model,
    dataset: Dataset,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    phase: str = "unpruned",
    pruning: PruningSchedule | None = None,
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> list[EpochResult]:
    """Train a network in place with a fresh Adam and categorical cross-entropy (methods A6).

    Args:
        network: A model from images to class probabilities.
        dataset: What to train on.
        epochs: Passes over the training images, 1 or more.
        batch_size: Images a step; the last step of an epoch takes what is left.
        learning_rate: Adam's, constant.
        seed: Fixes the order of the images.
        phase: Name of the phase; two phases of one seed see different orders.
        pruning: Prune the kernels on this schedule while training.
        on_epoch: Called after every epoch.

    Returns:
        One result an epoch. With ``pruning``, the kernels end at exactly the final sparsity.

    Raises:
        InvalidInputError: If a number is out of its range.
        NnClusteringError: If the loss or a weight becomes infinite or NaN.
    """
    check_training(dataset, epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(network.trainable_variables)
    masks = [tf.Variable(tf.ones(kernel.shape)) for kernel in prunable_kernels(network)]
    run_epoch = _compile_epoch(network, optimizer, batch_size, pruning, masks)
    run_evaluation = _compile_evaluation(network)
    x, y = tf.constant(dataset.x_train), tf.constant(dataset.y_train)
    results = []
    for epoch in range(1, epochs + 1):
        order = generator(seed, "sample order", phase, epoch).permutation(len(dataset.y_train))
        loss, n_correct = run_epoch(x, y, tf.constant(order, tf.int32))
        if epoch == epochs and pruning is not None:
            # The last refresh may lie some steps back, a hair below the final sparsity.
            _prune(network, masks, pruning.final_sparsity)
        test_loss, test_accuracy = _mean_evaluation(run_evaluation, dataset.x_test, dataset.y_test)
        n_samples = len(dataset.y_train)
        result = EpochResult(
            epoch, float(loss) / n_samples, int(n_correct) / n_samples, test_loss, test_accuracy
        )
        # A fused convolution can turn NaN into 0, so that NaN weights need not show in the loss.
        finite = all(np.isfinite(variable.numpy()).all() for variable in network.weights)
        if not (finite and math.isfinite(result.train_loss + result.test_loss)):
            raise NnClusteringError(
                f"epoch {epoch} of the {phase} phase diverged (loss {result.train_loss:.4g}, of "
                f"the test set {result.test_loss:.4g}, weights "
                f"{'finite' if finite else 'not finite'}): try a smaller training.learning_rate "
                f"than {learning_rate}"
            )
        results.append(result)
        on_epoch(result)
    return results


def check_training(dataset: Dataset, *, epochs: int, batch_size: int, learning_rate: float) -> None:
    """Check the numbers of a training phase.

    Raises:
        InvalidInputError: If one is out of its range.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidInputError(f"training.{name}={value!r}; expected an integer of 1 or more")
    if batch_size > len(dataset.y_train):
        raise InvalidInputError(
            f"training.batch_size={batch_size}; expected 1 to {len(dataset.y_train)}, the number "
            f"of training images of {dataset.name}"
        )
    if not (isinstance(learning_rate, int | float) and 0 < learning_rate < math.inf):
        raise InvalidInputError(f"training.learning_rate={learning_rate!r}; expected more than 0")


def evaluate(
    network: keras.Model, x: NDArray[np.float32], y: NDArray[np.int32]
) -> tuple[float, float]:
    """Return the mean cross-entropy and the accuracy of a network on images and labels."""
    return _mean_evaluation(_compile_evaluation(network), x, y)


def _compile_epoch(
    network: keras.Model,
    optimizer: keras.Optimizer,
    batch_size: int,
    pruning: PruningSchedule | None,
    masks: list[tf.Variable],
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    variables = network.trainable_variables
    kernels = prunable_kernels(network)

    def step(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if pruning is not None and optimizer.iterations % pruning.every_n_steps == 0:
            wanted = pruning.sparsity(optimizer.iterations)
            for kernel, mask in zip(kernels, masks, strict=True):
                mask.assign(magnitude_mask(kernel.value, wanted))
                kernel.assign(kernel.value * mask)
        with tf.GradientTape() as tape:
            probabilities = network(x, training=True)
            losses = keras.losses.sparse_categorical_crossentropy(y, probabilities)
            loss = tf.reduce_mean(losses)
        optimizer.apply(tape.gradient(loss, variables), variables)
        if pruning is not None:
            for kernel, mask in zip(kernels, masks, strict=True):
                kernel.assign(kernel.value * mask)
        return tf.reduce_sum(losses), _n_correct(y, probabilities)

    # On a CPU, XLA's convolutions are slower than TensorFlow's own; in a loop, many times slower.
    @tf.function(jit_compile=not _has_convolutions(network))
    def run_epoch(x: tf.Tensor, y: tf.Tensor, order: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        n_full = order.shape[0] // batch_size
        batches = tf.reshape(order[: n_full * batch_size], (n_full, batch_size))
        loss, n_correct = tf.constant(0.0), tf.constant(0)
        for index in tf.range(n_full):
            batch = batches[index]
            batch_loss, batch_correct = step(tf.gather(x, batch), tf.gather(y, batch))
            loss += batch_loss
            n_correct += batch_correct
        if order.shape[0] > n_full * batch_size:
            rest = order[n_full * batch_size :]
            batch_loss, batch_correct = step(tf.gather(x, rest), tf.gather(y, rest))
            loss += batch_loss
            n_correct += batch_correct
        return loss, n_correct

    return run_epoch


def _compile_evaluation(network: keras.Model) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    @tf.function(jit_compile=not _has_convolutions(network), reduce_retracing=True)
    def run_evaluation(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        probabilities = network(x, training=False)
        losses = keras.losses.sparse_categorical_crossentropy(y, probabilities)
        return tf.reduce_sum(losses), _n_correct(y, probabilities)

    return run_evaluation


def _mean_evaluation(
    run_evaluation: Callable[..., tuple[tf.Tensor, tf.Tensor]],
    x: NDArray[np.float32],
    y: NDArray[np.int32],
    batch_size: int = 1000,
) -> tuple[float, float]:
    loss, n_correct = 0.0, 0
    for start in range(0, len(y), batch_size):
        batch = slice(start, start + batch_size)
        batch_loss, batch_correct = run_evaluation(tf.constant(x[batch]), tf.constant(y[batch]))
        loss += float(batch_loss)
        n_correct += int(batch_correct)
    return loss / len(y), n_correct / len(y)


def _n_correct(y: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    predicted = tf.argmax(probabilities, axis=-1, output_type=tf.int32)
    return tf.reduce_sum(tf.cast(predicted == y, tf.int32))


def _has_convolutions(network: keras.Model) -> bool:
    return any("Conv" in type(layer).__name__ for layer in network._flatten_layers())


def _prune(network: keras.Model, masks: list[tf.Variable], wanted: float) -> None:
    for kernel, mask in zip(prunable_kernels(network), masks, strict=True):
        mask.assign(magnitude_mask(kernel.value, wanted))
        kernel.assign(kernel.value * mask)
