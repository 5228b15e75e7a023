"""Where in a network the values of its units stand, before and after their nonlinearity."""

from nn_clustering.networks.structure._layer_kinds import layer_kind
from nn_clustering.networks.structure._walk import Walk


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
        kind = layer_kind(step.operation)
        if len(step.inputs) != 1 or step.inputs[0] not in reached:
            continue
        if kind.is_nonlinearity:
            if not kind.joins_units:
                return step.inputs[0], step.outputs[0]
            continue
        same_width = walk.shapes[step.outputs[0]][-1:] == walk.shapes[tensor][-1:]
        if same_width and not kind.kernels:
            reached.update(step.outputs)
    return tensor, tensor
