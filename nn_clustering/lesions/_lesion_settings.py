"""What can be checked of a lesion test before its network is there; needs no Keras."""

from nn_clustering.datasets import TASKS
from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import check_memory_mb
from nn_clustering.significance import check_n_shuffles

# What a lesion does to a unit: its output becomes 0 as every weight layer reads it that reads it,
# after batch norm and pooling; or its incoming weights and bias become 0, after which batch norm
# may still put out a constant (methods G1, quirk 14); or its output becomes its mean over images.
SILENCINGS = ("output", "weights", "mean")


def check_lesion_test(*, n_shuffles: int, silence: str, memory_mb: float | None = None) -> None:
    """Check the settings of a lesion test.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    check_n_shuffles(n_shuffles)
    check_silencing(silence)
    check_memory_mb(memory_mb)


def check_silencing(silence: str) -> None:
    """Raise InvalidInputError unless ``silence`` is one of :data:`SILENCINGS`."""
    if silence not in SILENCINGS:
        raise InvalidInputError(f"silence={silence!r}; expected one of {', '.join(SILENCINGS)}")


def check_task(task: str) -> None:
    """Raise InvalidInputError unless ``task`` is one of :data:`TASKS`."""
    if task not in TASKS:
        raise InvalidInputError(f"task={task!r}; expected one of {', '.join(TASKS)}")
