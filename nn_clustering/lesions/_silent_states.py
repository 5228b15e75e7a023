"""Whether recurrent units without incoming weights fall silent."""

import keras

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import Walk


def require_silence_without_weights(walk: Walk) -> None:
    """Check that the state of a recurrent unit whose weights and bias are 0 stays 0.

    It does where the activation makes 0 of 0, whatever the gates let through.

    Raises:
        InvalidInputError: If a recurrent layer has another activation.
    """
    for step in walk.steps:
        if not step.is_recurrent:
            continue
        if float(step.operation.activation(keras.ops.zeros((1, 1)))[0, 0]):
            raise InvalidInputError(
                f"silence='weights' for network {walk.name!r}, where units of the recurrent layer "
                f"{step.name!r} put out more than 0 without any weights; expected "
                "silence='output' or 'mean', or an activation such as tanh"
            )
