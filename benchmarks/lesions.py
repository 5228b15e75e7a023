"""Lesion tests against setting weights and predicting again, lesion by lesion."""

import dataclasses
import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks._timing import Comparison, compare, operations_of
from nn_clustering.datasets import Dataset
from nn_clustering.graphs import graph_from_weights
from nn_clustering.lesions import LesionEngine, lesionable_layers
from nn_clustering.lesions._forward_passes import Held, Passes
from nn_clustering.lesions._repeated import Repeated
from nn_clustering.partitions import SubCluster, spectral_partition
from nn_clustering.seeds import generator

# For every sub-cluster its layer, and which units are silenced, (lesions, units).
Lesions = list[tuple[str, np.ndarray]]


@dataclass(frozen=True)
class Images:
    """Test images with their classes, and how many classes there are."""

    x: np.ndarray
    y: np.ndarray
    n_classes: int


def benchmark_lesions(
    network: keras.Model,
    dataset: Dataset,
    name: str,
    *,
    n_shuffles: int,
    runs: int,
    n_images: int | None = None,
) -> Comparison:
    """Compare class counts of the same lesions: sub-clusters at k = 16 and random ones."""
    images = Images(dataset.x_test[:n_images], dataset.y_test[:n_images], dataset.n_outputs)
    partition = spectral_partition(graph_from_weights(network), 16, seed=0)
    layers = lesionable_layers(partition.layers, network)
    sizes = {layer.name: layer.n_units for layer in partition.layers}
    lesions = [
        (sub_cluster.layer, _lesions(sub_cluster, sizes[sub_cluster.layer], n_shuffles))
        for sub_cluster in partition.sub_clusters(layers)
    ]
    counts: dict[str, np.ndarray] = {}

    def ours() -> None:
        engine = LesionEngine(network, images.x, images.y)
        counts["ours"] = np.concatenate(
            [engine.lesioned({layer: silenced}) for layer, silenced in lesions]
        )

    def theirs() -> None:
        counts["theirs"] = np.array(
            [
                _predict_lesioned(network, images, layer, units)
                for layer, silenced in lesions
                for units in silenced
            ]
        )

    n_lesions = len(lesions) * (n_shuffles + 1)
    comparison = compare(
        f"lesion test: {n_lesions} lesions of {name}, {len(images.y)} images",
        "set_weights and predict(batch_size=1000) for each lesion",
        ours,
        theirs,
        runs=runs,
        warm_up=False,
    )
    n_different = int((counts["ours"] != counts["theirs"]).sum())
    peak = _peak_rate()
    plain = _plain_operations(network, lesions)
    operations = _operations(LesionEngine(network, images.x, images.y), lesions)
    rate = 2 * len(images.y) * operations / np.median(comparison.ours)
    note = (
        f"{n_different} of {counts['ours'].size} class counts differ; {operations / 1e6:.1f} "
        f"million multiply-adds an image, {plain / operations:.2f} times fewer than the "
        f"{plain / 1e6:.1f} of subtraction alone; ours computed at {rate / 1e9:.0f} Gflop/s, "
        f"{rate / peak:.0%} of the {peak / 1e9:.0f} of a large product"
    )
    return dataclasses.replace(comparison, note=note)


def _lesions(sub_cluster: SubCluster, n_units: int, n_shuffles: int) -> np.ndarray:
    """Return which units are silenced in the true lesion and in random ones of its size."""
    silenced = np.zeros((n_shuffles + 1, n_units), bool)
    silenced[0, sub_cluster.units] = True
    random = generator(0, "benchmark", sub_cluster.layer, sub_cluster.label)
    for row in silenced[1:]:
        row[random.choice(n_units, len(sub_cluster.units), replace=False)] = True
    return silenced


def _predict_lesioned(
    network: keras.Model, images: Images, layer_name: str, units: np.ndarray
) -> np.ndarray:
    layer = network.get_layer(layer_name)
    intact = layer.get_weights()
    kernel, bias = (array.copy() for array in intact)
    kernel[..., units] = 0
    bias[units] = 0
    layer.set_weights([kernel, bias])
    predicted = network.predict(images.x, batch_size=1000, verbose=0).argmax(axis=1)
    layer.set_weights(intact)
    return np.bincount(images.y[predicted == images.y], minlength=images.n_classes)


def _plain_operations(network: keras.Model, lesions: Lesions) -> float:
    """Return the multiply-adds that an image's lesions take in a chain of layers.

    Of the layer behind the lesioned one those of the silenced units, or of all if they are not less
    than half; of the layers behind that all. What comes before is left out.
    """
    weighted = [layer for layer in network.layers if hasattr(layer, "kernel")]
    names = [layer.name for layer in weighted]
    total = 0.0
    for name, silenced in lesions:
        first, *rest = weighted[names.index(name) + 1 :]
        shares = silenced.mean(axis=1)
        shares[shares >= 0.5] = 1
        total += shares.sum() * operations_of(first)
        total += len(silenced) * sum(map(operations_of, rest))
    return total


def _operations(engine: LesionEngine, lesions: Lesions) -> float:
    """Return the multiply-adds that an image's lesions take in the engine.

    Of the linear step those of the silenced places, or of the others if they are fewer; behind it
    all. Equal lesions of a call, and of one unit, count once.
    """
    total, seen = 0.0, set()
    for name, silenced in lesions:
        distinct = Repeated.of([silenced])
        keys = [(name, key) for key in distinct.distinct]
        masks = silenced[distinct.first[[key not in seen for key in keys]]]
        seen.update(
            key
            for key, lesion in zip(keys, silenced[distinct.first], strict=True)
            if lesion.sum() == 1
        )
        if not len(masks):
            continue
        engine.lesioned({name: np.zeros((1, masks.shape[1]), bool)})
        passes, starts = engine._compiled[(name,)][0], engine._kept[1]
        (places,) = passes._silent_places([masks])
        (step,) = passes._plan.linear
        n_silent = places.sum(axis=1)
        fewest = np.minimum(n_silent, places.shape[1] - n_silent).sum()
        total += fewest / places.shape[1] * operations_of(step.layer)
        total += len(masks) * _operations_behind(passes, starts[0][0])
    return total


def _operations_behind(passes: Passes, held: Held) -> float:
    """Return the multiply-adds of an image under a lesion behind the linear step."""
    tally: list[float] = []
    steps = [
        dataclasses.replace(step, operation=_Counted(step.operation, tally))
        for step in passes._plan.walk.steps
    ]
    walk = dataclasses.replace(passes._plan.walk, steps=tuple(steps))
    (step,) = passes._plan.linear
    walk.run({step.outputs[0]: held[step.outputs[0]][:1]}, walk.outputs)
    return sum(tally)


class _Counted:
    """An operation that counts the multiply-adds of the layers that have a kernel."""

    def __init__(self, operation: Any, tally: list[float]) -> None:
        self._operation, self._tally = operation, tally

    def __call__(self, *values: Any, **settings: Any) -> Any:
        made = self._operation(*values, **settings)
        if getattr(self._operation, "kernel", None) is not None:
            n_positions = np.prod(made.shape[:-1], dtype=np.int64)
            self._tally.append(float(n_positions * self._operation.kernel.shape.num_elements()))
        return made


def _peak_rate(size: int = 4096) -> float:
    """Return the operations a second of a large matrix product, the best of three."""
    matrix = tf.random.stateless_normal((size, size), (0, 0))
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    product()
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        product().numpy()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)
