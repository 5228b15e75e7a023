"""What changes while a network trains: its variables, the optimiser's, and the pruning masks."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.training._checkpoints import (
    MASK,
    NETWORK,
    OPTIMIZER,
    THRESHOLD,
    Checkpoint,
    EpochResult,
    arrays_of_part,
    restore_part,
    restore_variables,
)
from nn_clustering.training._phases import Phase
from nn_clustering.training._pruning import (
    embeddings,
    magnitude_mask,
    prunable_kernels,
    smallest_kept_magnitude,
)


@dataclass(frozen=True)
class TrainingState:
    """A network and what trains it.

    Attributes:
        network: The network.
        optimizer: Built for the network's trainable variables.
        kernels: The kernels that penalties and pruning act on.
        masks: One a kernel, 1 where a weight is kept; none in a phase without pruning.
        thresholds: One a kernel, the smallest magnitude that its last mask kept, 0 before the
            first; none where units are not scaled by them.
    """

    network: keras.Model
    optimizer: keras.Optimizer
    kernels: list[keras.Variable]
    masks: list[tf.Variable]
    thresholds: list[tf.Variable]

    @classmethod
    def fresh(cls, network: keras.Model, phase: Phase) -> "TrainingState":
        """Return the state at the start of a phase, with a fresh Adam."""
        optimizer = _optimizer(network, phase)
        if any(layer.compute_dtype == "float16" for layer in network._flatten_layers()):
            # Gradients below float16's smallest number would be lost.
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(network.trainable_variables)
        kernels = prunable_kernels(network)
        pruned = kernels if phase.pruning is not None else []
        by_threshold = phase.clusterability is not None and phase.clusterability.norm_by_threshold
        return cls(
            network,
            optimizer,
            kernels,
            masks=[tf.Variable(tf.ones(kernel.shape)) for kernel in pruned],
            thresholds=[tf.Variable(0.0) for _ in pruned] if by_threshold else [],
        )

    def prune(self, wanted: tf.Tensor | float) -> None:
        """Choose the weights to keep anew, and set the others to 0."""
        for kernel, mask in zip(self.kernels, self.masks, strict=True):
            mask.assign(magnitude_mask(kernel.value, wanted))
        for kernel, mask, threshold in zip(self.kernels, self.masks, self.thresholds, strict=False):
            threshold.assign(smallest_kept_magnitude(kernel.value, mask))
        self.apply_masks()

    def apply_masks(self) -> None:
        """Set the pruned weights to 0."""
        for kernel, mask in zip(self.kernels, self.masks, strict=True):
            kernel.assign(kernel.value * tf.cast(mask, kernel.dtype))

    def threshold_of(self, kernel: keras.Variable) -> tf.Tensor | float:
        """Return the smallest magnitude that the last mask of a kernel kept; 1 if none is kept."""
        kept = zip(self.kernels, self.thresholds, strict=False)
        return next((threshold.value() for own, threshold in kept if own is kernel), 1.0)

    def is_finite(self) -> bool:
        """Return whether no weight is infinite or NaN."""
        return all(np.isfinite(np.asarray(weight)).all() for weight in self.network.weights)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return all values."""
        parts = {
            NETWORK: self.network.variables,
            OPTIMIZER: self.optimizer.variables,
            MASK: self.masks,
            THRESHOLD: self.thresholds,
        }
        return {
            name: array
            for part, variables in parts.items()
            for name, array in arrays_of_part(part, variables).items()
        }

    def restore(self, phase: Phase, checkpoint: Checkpoint) -> list[EpochResult]:
        """Take over the values of a checkpoint of this phase; return its results.

        Raises:
            InvalidInputError: If it is one of another phase or of another network.
        """
        if checkpoint.phase != phase.name or checkpoint.epoch > phase.epochs:
            raise InvalidInputError(
                f"the checkpoint is one after epoch {checkpoint.epoch} of the {checkpoint.phase} "
                f"phase; expected one of the {phase.epochs} epochs of the {phase.name} phase"
            )
        restore_part(MASK, self.masks, checkpoint)
        restore_part(THRESHOLD, self.thresholds, checkpoint)
        restore_part(OPTIMIZER, self.optimizer.variables, checkpoint)
        restore_variables(self.network, checkpoint)
        self.optimizer.learning_rate = phase.learning_rate
        return list(checkpoint.results)


def _optimizer(network: keras.Model, phase: Phase) -> keras.Optimizer:
    if not phase.weight_decay:
        return keras.optimizers.Adam(phase.learning_rate)
    optimizer = keras.optimizers.AdamW(phase.learning_rate, phase.weight_decay)
    decayed = {id(weights) for weights in (*prunable_kernels(network), *embeddings(network))}
    others = [one for one in network.trainable_variables if id(one) not in decayed]
    if others:
        optimizer.exclude_from_weight_decay(var_list=others)
    return optimizer
