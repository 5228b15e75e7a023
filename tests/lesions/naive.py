"""The plain way to lesion a dense network: a pass through it in numpy for every lesion."""

import numpy as np


def outputs(network, x, silenced):
    """What a chain of dense layers puts out; ``silenced``: units of each layer by its name."""
    x = x.reshape(len(x), -1).astype(float)
    for layer in network.layers:
        if "kernel" not in [variable.name for variable in layer.weights]:
            continue
        kernel, *bias = layer.get_weights()
        x = x @ kernel.astype(float) + (bias[0] if bias else 0)
        if layer.activation.__name__ == "relu":
            x = np.maximum(x, 0)
        x[:, silenced.get(layer.name, [])] = 0
    return x


def accuracy_changes(network, x, y, silenced):
    """Lesioned minus intact accuracy, of every class and over all images."""
    changes = {}
    for when, units in (("intact", {}), ("lesioned", silenced)):
        right = outputs(network, x, units).argmax(axis=1) == y
        changes[when] = np.array([*(right[y == label].mean() for label in np.unique(y))])
        changes[when, "overall"] = right.mean()
    overall = changes["lesioned", "overall"] - changes["intact", "overall"]
    return changes["lesioned"] - changes["intact"], overall


def error_changes(network, x, y, silenced, membership):
    """Lesioned minus intact error, the mean over members of every group and over all targets."""

    def errors(units):
        each = ((outputs(network, x, units) - y) ** 2).mean(axis=0)
        return np.array([*(each[members].mean() for members in membership), each.mean()])

    changes = errors(silenced) - errors({})
    return changes[:-1], changes[-1]
