"""What an epoch achieved, and all that a training needs to go on from there."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError, in_one_line

if TYPE_CHECKING:
    import keras

# The parts of a training's state; the number of the variable follows.
NETWORK, OPTIMIZER, MASK, THRESHOLD = "network", "optimizer", "mask", "threshold"


@dataclass(frozen=True)
class EpochResult:
    """What one epoch achieved.

    The loss is the cross-entropy (classification) or the mean squared error (regression, methods
    A4), without what penalties add to it.

    Attributes:
        epoch: Number of the epoch, from 1.
        train_loss: Mean loss over the epoch's samples, as they were trained on.
        train_accuracy: Accuracy over the same (the running figure, methods A13); None for a
            regression.
        test_loss: Mean loss on the test set at the epoch's end.
        test_accuracy: Accuracy on the test set at the epoch's end; None for a regression.
        penalty: Mean over the epoch's batches of what the penalty and the network's own losses
            (regularisers of its layers) add to the loss; None without either.
        clusterability: The same of the clusterability term.
    """

    epoch: int
    train_loss: float
    train_accuracy: float | None
    test_loss: float
    test_accuracy: float | None
    penalty: float | None = None
    clusterability: float | None = None


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The state of a training after an epoch.

    Attributes:
        phase: Name of the phase.
        epoch: Number of the epoch that it was taken after.
        results: Results of the phase up to then.
        arrays: All variables of the network (weights, statistics of batch norm, states of random
            generators) and of the optimiser, the pruning masks, and their thresholds where units
            are scaled by them.
    """

    phase: str
    epoch: int
    results: tuple[EpochResult, ...]
    arrays: Mapping[str, NDArray[Any]]

    def __post_init__(self) -> None:
        if len(self.results) != self.epoch:
            raise InvalidInputError(
                f"a checkpoint after epoch {self.epoch} with {len(self.results)} results; expected "
                "one result an epoch"
            )

    def to_npz(self) -> bytes:
        """Return the content of an ``.npz`` file, the same for the same checkpoint."""
        description = {
            "phase": self.phase,
            "epoch": self.epoch,
            "results": [asdict(result) for result in self.results],
        }
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, description=json.dumps(description), **self.arrays)
        return file.getvalue()

    @classmethod
    def from_npz(cls, content: bytes) -> "Checkpoint":
        """Read what :meth:`to_npz` wrote.

        Raises:
            InvalidInputError: If the content is not that of a checkpoint.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            description = json.loads(str(arrays.pop("description")))
            results = tuple(EpochResult(**result) for result in description["results"])
            return cls(description["phase"], description["epoch"], results, arrays)
        except Exception as error:  # whatever numpy, zipfile, zlib or json objects to
            raise InvalidInputError(
                f"a checkpoint of {len(content)} bytes cannot be read "
                f"({in_one_line(error)}); expected the .npz content that Checkpoint.to_npz gives"
            ) from error


def restore_variables(network: "keras.Model", checkpoint: Checkpoint) -> None:
    """Give a network all its variables as they were when the checkpoint was taken.

    Raises:
        InvalidInputError: If the checkpoint is that of another network.
    """
    restore_part(NETWORK, network.variables, checkpoint)


def arrays_of_part(part: str, variables: Sequence[Any]) -> dict[str, NDArray[Any]]:
    """Return the values of variables by part and number."""
    return {
        f"{part}_{index:04d}": _storable(np.asarray(variable))
        for index, variable in enumerate(variables)
    }


def restore_part(part: str, variables: Sequence[Any], checkpoint: Checkpoint) -> None:
    """Assign to all variables of a part, or to none.

    Raises:
        InvalidInputError: If the checkpoint holds other variables of this part.
    """
    stored = [array for name, array in checkpoint.arrays.items() if name.startswith(f"{part}_")]
    expected, found = ([tuple(array.shape) for array in arrays] for arrays in (variables, stored))
    if expected != found:
        pairs = enumerate(zip(expected, found, strict=False))
        difference = next(
            (f"variable {i} has the shape {b} instead of {a}" for i, (a, b) in pairs if a != b),
            f"it holds {len(found)} variables instead of {len(expected)}",
        )
        raise InvalidInputError(
            f"the checkpoint after epoch {checkpoint.epoch} of the {checkpoint.phase} phase does "
            f"not fit the {part} ({difference}); expected one of a training with the same config"
        )
    for variable, array in zip(variables, stored, strict=True):
        variable.assign(array)


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    # numpy's files know no bfloat16; float32 holds all its values.
    return array if array.dtype.isbuiltin == 1 else array.astype(np.float32)
