"""An optimiser in numpy whose answers are a known function of units and seeds, and partitions."""

import numpy as np

from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition
from nn_clustering.visualisation import Objective, Optimised

LAYERS = (Layer("input", 6), Layer("dense_1", 18), Layer("dense_2", 15), Layer("output", 4))
HIDDEN = ("dense_1", "dense_2")
SAMPLE_SHAPE = (3, 2, 1)


def partition_of(seed, *, n_clusters=3, n_isolated=0, layers=LAYERS):
    """A partition that means nothing: units are dealt to clusters at random."""
    random = np.random.default_rng(seed)
    labels = [random.integers(0, n_clusters, layer.n_units) for layer in layers]
    for in_layer in labels:
        in_layer[random.choice(len(in_layer), n_isolated, replace=False)] = -1
    return Partition(layers, np.concatenate(labels).astype(np.int32), n_clusters)


def entropy_of(shares):
    return float(sum(-share * np.log(share) for share in shares if share > 0))


class StandIn:
    """Reads 2 x + 1 of inputs x, and takes a start of random numbers for what comes of it.

    Unit u of a layer answers input x with |(2 x + 1) . kernel[:, u]| + offset[u].
    """

    sample_shape = SAMPLE_SHAPE

    def __init__(self, *, batch_size=7, measures_entropy=True, reduction="sum", seed=0):
        self.layers = {layer.name: layer.n_units for layer in LAYERS[1:3]}
        self.measures_entropy = measures_entropy
        self.objective = Objective(reduction)
        self._batch_size = batch_size
        random = np.random.default_rng(seed)
        n_values = int(np.prod(SAMPLE_SHAPE))
        self.kernels = {name: random.normal(size=(n_values, n)) for name, n in self.layers.items()}
        self.offsets = {name: random.exponential(size=n) for name, n in self.layers.items()}
        self.outputs = {name: random.normal(size=(n, 4)) for name, n in self.layers.items()}
        self.asked = []
        self.read = []

    def batch_size(self, layer):
        return self._batch_size + (layer == "dense_2")

    def as_read(self, inputs):
        return (2 * inputs.reshape(len(inputs), -1) + 1).astype(np.float32)

    def answers(self, layer, x):
        return np.abs(x @ self.kernels[layer]) + self.offsets[layer]

    def optimise(self, layer, masks, seeds, *, on_progress):
        self.asked.append((layer, masks, np.array(seeds)))
        inputs = np.array([self.start(seed) for seed in seeds], np.float32)
        found = [
            self.measured_one(layer, one, mask) for one, mask in zip(inputs, masks, strict=True)
        ]
        scores, entropies, dispersions = np.transpose(found)
        on_progress(len(seeds) * 10)
        entropies = entropies if self.measures_entropy else None
        return Optimised(scores, entropies, dispersions, inputs)

    @staticmethod
    def start(seed):
        """Some are brighter than others, so that what begins otherwise ends otherwise."""
        random = np.random.default_rng(seed)
        return 4 * random.random() * random.random(SAMPLE_SHAPE)

    def measured_one(self, layer, one, mask):
        """Score, entropy and dispersion of one input for one set of units."""
        values = self.answers(layer, self.as_read(one[np.newaxis]))[0]
        logits = (values * mask) @ self.outputs[layer] / 4
        shares = np.exp(logits) / np.exp(logits).sum()
        score = values[mask].sum() / (mask.sum() if self.objective.reduction == "mean" else 1)
        return score, entropy_of(shares), values[mask].std()

    def values(self, layers, x):
        for start in range(0, len(x), 16):
            rows = slice(start, min(start + 16, len(x)))
            self.read.append((rows.start, rows.stop))
            yield (
                rows,
                {name: self.answers(name, x[rows]).astype(np.float32) for name in layers},
            )
