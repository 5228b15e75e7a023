"""Where in a network the values of its units stand, before and after their nonlinearity."""

import keras

from nn_clustering.networks.structure._walk import Step, Walk

# They make a unit's value of those of all units, so that none of them is a unit's own.
_JOINT_ACTIVATIONS = (keras.activations.softmax, keras.activations.log_softmax)
_NONLINEAR_LAYERS = (
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.PReLU,
    keras.layers.ELU,
)
# The classes of these operations have no public names.
_NONLINEAR_OPERATIONS = frozenset(
    (
        *("Relu", "Relu6", "Sigmoid", "Softplus", "Softsign", "Silu", "LogSigmoid", "LeakyRelu"),
        *("HardSigmoid", "HardSilu", "HardTanh", "Elu", "Selu", "Gelu", "Celu", "Tanh"),
    )
)
_WITH_WEIGHTS = (
    keras.layers.Dense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
)


def around_nonlinearity(walk: Walk, tensor: int) -> tuple[int, int]:
    """Return the tensors before and after the first nonlinearity of units.

    It is the first activation that is reached from where the units arise through steps that read
    them alone and keep them apart, such as normalisation and pooling: not through a merge, a
    concatenation, a depthwise or any other weight layer. A softmax is none, as it joins units.

    Args:
        walk: The steps of the network.
        tensor: Number of the tensor where the units arise, on its last axis.

    Returns:
        The number of the tensor that the nonlinearity reads and of the one that it makes; twice
        ``tensor`` where there is none.
    """
    reached = {tensor}
    for step in walk.steps:
        if len(step.inputs) != 1 or step.inputs[0] not in reached or is_joint(step):
            continue
        if _is_nonlinear(step):
            return step.inputs[0], step.outputs[0]
        same_width = walk.shapes[step.outputs[0]][-1:] == walk.shapes[tensor][-1:]
        if same_width and not isinstance(step.operation, _WITH_WEIGHTS):
            reached.update(step.outputs)
    return tensor, tensor


def is_joint(step: Step) -> bool:
    """Return whether a step is a softmax, which makes every unit's value of those of all."""
    operation = step.operation
    return (
        _activation(step) in _JOINT_ACTIVATIONS
        or isinstance(operation, keras.layers.Softmax)
        or type(operation).__name__ in ("Softmax", "LogSoftmax")
    )


def _is_nonlinear(step: Step) -> bool:
    activation = _activation(step)
    if activation is not None:
        return activation is not keras.activations.linear
    return (
        isinstance(step.operation, _NONLINEAR_LAYERS)
        or type(step.operation).__name__ in _NONLINEAR_OPERATIONS
    )


def _activation(step: Step) -> object:
    """Return the function that a step applies as an activation, or None."""
    if isinstance(step.operation, keras.layers.Activation):
        return step.operation.activation
    return None if isinstance(step.operation, keras.Operation) else step.operation
