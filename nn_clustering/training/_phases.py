"""What a phase of training is: its settings, checked without TensorFlow (methods A6 to A12, I)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nn_clustering.datasets import Dataset
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import check_kernel_norm

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class PruningSchedule:
    """How the share of zero weights of every kernel rises over the pruning phase (methods A9).

    Attributes:
        initial_sparsity: Share of zeros from the first step on, in [0, 1).
        final_sparsity: Share of zeros at the end, in [initial_sparsity, 1).
        n_steps: Training steps of the whole phase.
        every_n_steps: Steps between two choices of the weights to keep.
        power: Exponent of the polynomial; 3 is what the studies used.

    Raises:
        InvalidInputError: If a value is out of its range.
    """

    initial_sparsity: float
    final_sparsity: float
    n_steps: int
    every_n_steps: int = 10
    power: float = 3.0

    def __post_init__(self) -> None:
        ends = (self.initial_sparsity, self.final_sparsity)
        if not (all(map(_is_number, ends)) and 0 <= ends[0] <= ends[1] < 1):
            raise InvalidInputError(
                f"pruning.initial_sparsity={ends[0]!r} and pruning.final_sparsity={ends[1]!r}; "
                "expected 0 <= initial_sparsity <= final_sparsity < 1"
            )
        for name in ("n_steps", "every_n_steps"):
            _check_count(f"pruning.{name}", getattr(self, name))
        if not (_is_number(self.power) and 0 < self.power < math.inf):
            raise InvalidInputError(f"pruning.power={self.power!r}; expected more than 0")

    def sparsity(self, step: "tf.Tensor | float") -> "tf.Tensor":
        """Return the share of zeros wanted at a step counted from the start of the phase."""
        import tensorflow as tf

        progress = tf.clip_by_value(tf.cast(step, tf.float32) / self.n_steps, 0.0, 1.0)
        fall = self.initial_sparsity - self.final_sparsity
        return self.final_sparsity + fall * (1 - progress) ** self.power


@dataclass(frozen=True)
class Penalty:
    """What large weights add to the loss (methods A11): kernels of every layer, no biases.

    Attributes:
        l1: Factor of the sum of |weight|.
        l2: Factor of the sum of weight squared.
        first_layer_l1: Whether the first kernel gets the ``l2`` rate as L1 instead of L2, as the
            studies' MLPs did (quirk 3).

    Raises:
        InvalidInputError: If a rate is negative, infinite or not a number.
    """

    l1: float = 0.0
    l2: float = 0.0
    first_layer_l1: bool = False

    def __post_init__(self) -> None:
        for name in ("l1", "l2"):
            _check_range(f"penalty.{name}_rate", getattr(self, name), 0, math.inf)
        _check_switch("penalty.first_layer_l1", self.first_layer_l1)


@dataclass(frozen=True)
class Augmentation:
    """How far images are moved about at random, anew at every step (methods A12).

    Attributes:
        rotation: Largest angle either way, in degrees.
        shift: Largest shift either way, along and across, as a share of the image's side.
        flip: Whether half of the images are mirrored left to right.

    Raises:
        InvalidInputError: If a value is out of its range.
    """

    rotation: float = 15.0
    shift: float = 0.1
    flip: bool = True

    def __post_init__(self) -> None:
        _check_range("augmentation.rotation", self.rotation, 0, 180)
        _check_range("augmentation.shift", self.shift, 0, 1)
        _check_switch("augmentation.flip", self.flip)


@dataclass(frozen=True)
class ClusterabilityGradient:
    """What a weight graph that falls apart badly adds to the loss (methods I1).

    Attributes:
        weight: Factor of the mean of the eigenvalues 2 to ``n_eigenvalues`` + 1 of the graph's
            normalised Laplacian.
        n_eigenvalues: How many eigenvalues count.
        kernel_norm: Norm that makes one edge weight of a convolution's kernel.
        norm_by_threshold: Whether units are scaled, in a phase with pruning, by the norm of their
            weights times the smallest magnitude that their layer's last mask kept, as in the
            studies (quirk 27), instead of by the norm of the weights themselves.

    Raises:
        InvalidInputError: If a value is out of its range.
    """

    weight: float = 0.1
    n_eigenvalues: int = 3
    kernel_norm: str = "l1"
    norm_by_threshold: bool = False

    def __post_init__(self) -> None:
        _check_range("clusterability_gradient.weight", self.weight, 0, math.inf)
        _check_count("clusterability_gradient.n_eigenvalues", self.n_eigenvalues)
        check_kernel_norm(self.kernel_norm)
        _check_switch("clusterability_gradient.norm_by_threshold", self.norm_by_threshold)


@dataclass(frozen=True)
class Phase:
    """One phase of training, with an Adam of its own (methods A6 and A9).

    Attributes:
        name: What the phase is called; two phases of one seed see different random numbers.
        epochs: Passes over the training samples.
        batch_size: Samples a step; the last step of an epoch takes what is left.
        learning_rate: Adam's, constant.
        weight_decay: What share of every kernel and embedding, times the learning rate, every step
            takes away, apart from the gradient (AdamW); 0 for none.
        shuffle: Whether every epoch takes the samples in a new order.
        pruning: Prune the kernels on this schedule while training.
        penalty: Penalty on the weights.
        augmentation: Move the images about.
        clusterability: Clusterability gradient.

    Raises:
        InvalidInputError: If a value is out of its range.
    """

    name: str = "unpruned"
    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.001
    weight_decay: float = 0.0
    shuffle: bool = True
    pruning: PruningSchedule | None = None
    penalty: Penalty | None = None
    augmentation: Augmentation | None = None
    clusterability: ClusterabilityGradient | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInputError(f"a phase named {self.name!r}; expected a word")
        # In configs a pruning phase shares all with the one before but its length.
        _check_count("training.epochs" if self.pruning is None else "pruning.epochs", self.epochs)
        _check_count("training.batch_size", self.batch_size)
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate < math.inf):
            raise InvalidInputError(
                f"training.learning_rate={self.learning_rate!r}; expected a number of more than 0"
            )
        _check_range("training.weight_decay", self.weight_decay, 0, math.inf)
        _check_switch("training.shuffle", self.shuffle)


def check_phase(phase: Phase, dataset: Dataset) -> None:
    """Check that a phase can be run on a data set.

    Raises:
        InvalidInputError: If the batch is larger than the data set, or what is not images is to be
            augmented.
    """
    check_phase_fits(phase, dataset.name, dataset.input_shape, len(dataset.y_train))


def check_phase_fits(
    phase: Phase, name: str, input_shape: Sequence[int], n_samples: int | None
) -> None:
    """Check the same of a data set that is not loaded yet.

    Args:
        phase: The phase.
        name: Of the data set.
        input_shape: Of one sample.
        n_samples: How many training samples it has; None where that is not known.

    Raises:
        InvalidInputError: As :func:`check_phase`.
    """
    if n_samples is not None and phase.batch_size > n_samples:
        raise InvalidInputError(
            f"training.batch_size={phase.batch_size}; expected 1 to {n_samples}, the number of "
            f"training samples of {name}, or training.full_batch=True, which takes all of them"
        )
    if phase.augmentation is not None and len(input_shape) != 3:
        raise InvalidInputError(
            f"augmentation moves images about, but a sample of {name} is a vector of "
            f"{input_shape[0]} numbers; expected a data set of images, or "
            "augmentation.enabled=False"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_count(key: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInputError(f"{key}={value!r}; expected an integer of 1 or more")


def _check_range(key: str, value: Any, lowest: float, highest: float) -> None:
    if not (_is_number(value) and math.isfinite(value) and lowest <= value <= highest):
        expected = "0 or more" if highest == math.inf else f"{lowest} to {highest}"
        raise InvalidInputError(f"{key}={value!r}; expected a number of {expected}")


def _check_switch(key: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise InvalidInputError(f"{key}={value!r}; expected True or False")
