"""The lesion test against setting weights and predicting again, lesion by lesion."""

import dataclasses

import keras
import numpy as np

from benchmarks._timing import Comparison, compare
from nn_clustering.datasets import Dataset
from nn_clustering.graphs import graph_from_weights
from nn_clustering.lesions import LesionEngine, lesionable_layers
from nn_clustering.partitions import spectral_partition
from nn_clustering.seeds import generator


def benchmark_lesions(
    network: keras.Model, dataset: Dataset, name: str, *, n_shuffles: int, runs: int
) -> Comparison:
    """Compare class counts of the same lesions: sub-clusters at k = 16 and random ones."""
    graph = graph_from_weights(network)
    partition = spectral_partition(graph, 16, seed=0)
    layers = lesionable_layers(partition.layers, network)
    lesions = []
    for sub_cluster in partition.sub_clusters(layers):
        n_units = network.get_layer(sub_cluster.layer).units
        random = generator(0, "benchmark", sub_cluster.layer, sub_cluster.label)
        draws = [random.choice(n_units, len(sub_cluster.units), False) for _ in range(n_shuffles)]
        lesions += [(sub_cluster.layer, units) for units in (sub_cluster.units, *draws)]
    counts: dict[str, np.ndarray] = {}

    def ours() -> None:
        engine = LesionEngine(network, dataset.x_test, dataset.y_test)
        of_layers = []
        for layer in layers:
            chosen = [units for of_layer, units in lesions if of_layer == layer]
            keep = np.ones((len(chosen), network.get_layer(layer).units), np.float32)
            for row, units in enumerate(chosen):
                keep[row, units] = 0
            of_layers.append(engine.lesioned(layer, keep))
        counts["ours"] = np.concatenate(of_layers)

    def theirs() -> None:
        counts["theirs"] = np.array(
            [_predict_lesioned(network, dataset, layer, units) for layer, units in lesions]
        )

    comparison = compare(
        f"lesion test: {len(lesions)} lesions of {name}, {len(dataset.y_test)} images",
        "set_weights and predict(batch_size=1000) for each lesion",
        ours,
        theirs,
        runs=runs,
        warm_up=False,
    )
    n_different = int((counts["ours"] != counts["theirs"]).sum())
    note = f"{n_different} of {counts['ours'].size} class counts differ"
    return dataclasses.replace(comparison, note=note)


def _predict_lesioned(
    network: keras.Model, dataset: Dataset, layer_name: str, units: np.ndarray
) -> np.ndarray:
    layer = network.get_layer(layer_name)
    intact = layer.get_weights()
    kernel, bias = (array.copy() for array in intact)
    kernel[..., units] = 0
    bias[units] = 0
    layer.set_weights([kernel, bias])
    predicted = network.predict(dataset.x_test, batch_size=1000, verbose=0).argmax(axis=1)
    layer.set_weights(intact)
    right = dataset.y_test[predicted == dataset.y_test]
    return np.bincount(right, minlength=dataset.n_outputs)
