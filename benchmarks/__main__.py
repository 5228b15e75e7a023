"""Run comparisons with the usual means, and print their ratios."""

import argparse
import os
import sys
from collections.abc import Callable
from functools import cached_property

import keras

from benchmarks.calibration import benchmark_calibration
from benchmarks.handing_out import benchmark_handing_out
from benchmarks.image_lesions import benchmark_image_lesions
from benchmarks.large import benchmark_growth, benchmark_large, benchmark_test
from benchmarks.lesions import benchmark_lesions
from benchmarks.run_store import benchmark_runs
from benchmarks.shuffling import benchmark_shuffling
from benchmarks.startup import benchmark_startup
from benchmarks.tracking import benchmark_million, benchmark_points, benchmark_share
from benchmarks.training import (
    benchmark_clusterability,
    benchmark_conditions,
    benchmark_training,
)
from benchmarks.transformer import benchmark_transformer
from benchmarks.visualisation import benchmark_visualisation
from nn_clustering.datasets import Dataset, load_dataset
from nn_clustering.errors import NnClusteringError
from nn_clustering.graphs import UnitGraph, graph_from_weights
from nn_clustering.networks import build_network
from nn_clustering.training import Phase, PruningSchedule, train


class Bench:
    """What several comparisons need, made when the first one asks for it."""

    def __init__(self, dataset: str, runs: int) -> None:
        self.dataset_name = dataset
        self.runs = runs

    @cached_property
    def dataset(self) -> Dataset:
        """The data set."""
        return load_dataset(self.dataset_name)

    @cached_property
    def network(self) -> keras.Model:
        """The studies' MLP, trained for 20 epochs."""
        network = build_network(
            "mlp",
            self.dataset.input_shape,
            self.dataset.n_outputs,
            hidden_units=[256] * 4,
            conv_filters=[],
            dropout=False,
            seed=0,
        )
        train(network, self.dataset, Phase(epochs=20), seed=0)
        return network

    @cached_property
    def pruned_network(self) -> keras.Model:
        """The same MLP, pruned in 5 more epochs."""
        network = keras.models.clone_model(self.network)
        network.set_weights(self.network.get_weights())
        n_steps = 5 * -(-len(self.dataset.y_train) // 128)
        schedule = PruningSchedule(0.5, 0.9, n_steps)
        train(network, self.dataset, Phase("pruned", epochs=5, pruning=schedule), seed=0)
        return network

    @cached_property
    def cnn(self) -> keras.Model:
        """The studies' small CNN, trained for an epoch."""
        network = build_network(
            "cnn",
            self.dataset.input_shape,
            self.dataset.n_outputs,
            hidden_units=[128],
            conv_filters=[64] * 3,
            dropout=False,
            seed=0,
        )
        train(network, self.dataset, Phase(epochs=1, batch_size=64), seed=0)
        return network

    def lesions_of_cnn(self) -> object:
        """Compare the lesion test of the small CNN."""
        return benchmark_lesions(
            self.cnn, self.dataset, "the small CNN", n_shuffles=3, runs=self.runs, n_images=1000
        )

    def shuffling(
        self, network: keras.Model, name: str, *, n_shuffles: int = 50, n_workers: int = 2
    ) -> object:
        """Compare the shuffle test of a network's graph."""
        graph = graph_from_weights(network)
        return benchmark_shuffling(
            graph, name, n_shuffles=n_shuffles, n_workers=n_workers, runs=self.runs
        )

    def vgg(self) -> object:
        """Compare the shuffle test of an untrained VGG."""
        blocks = [[64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3]
        network = build_network(
            "vgg", (32, 32, 3), 10, hidden_units=[512] * 2, conv_filters=blocks, seed=0
        )
        return self.shuffling(network, "an untrained CIFAR VGG", n_shuffles=10)

    def resnet50(self) -> object:
        """Compare the shuffle test of an untrained ResNet-50."""
        return benchmark_large(
            self.resnet50_graph, "an untrained ResNet-50", n_shuffles=5, limit=180
        )

    def resnet50_test(self) -> object:
        """Time a shuffle test of an untrained ResNet-50 from its graph to its p-value."""
        return benchmark_test(
            self.resnet50_graph, "an untrained ResNet-50", n_shuffles=100, n_workers=2
        )

    @cached_property
    def resnet50_graph(self) -> UnitGraph:
        """The graph of an untrained ResNet-50, the same every time."""
        keras.utils.set_random_seed(0)
        return graph_from_weights(keras.applications.ResNet50(weights=None))


PARTS: dict[str, Callable[[Bench], object]] = {
    "lesions": lambda bench: benchmark_lesions(
        bench.network, bench.dataset, "the MLP", n_shuffles=19, runs=bench.runs
    ),
    "lesions_cnn": Bench.lesions_of_cnn,
    "lesions_resnet18": lambda bench: benchmark_image_lesions(runs=bench.runs),
    "visualisation": lambda bench: benchmark_visualisation(
        bench.network, "the MLP", "dense_4", runs=bench.runs, n_images=200, n_alone=20
    ),
    "visualisation_cnn": lambda bench: benchmark_visualisation(
        bench.cnn, "the small CNN", "conv_3", runs=bench.runs, n_images=40, n_alone=4
    ),
    "training": lambda bench: benchmark_training(bench.dataset, bench.runs),
    "conditions": lambda bench: benchmark_conditions(bench.dataset, bench.runs),
    "clusterability": lambda bench: benchmark_clusterability(bench.runs),
    "points": lambda bench: benchmark_points(bench.runs),
    "million": lambda bench: benchmark_million(bench.runs),
    "runs": lambda bench: benchmark_runs(bench.runs),
    "startup": lambda bench: benchmark_startup(bench.runs),
    "share": lambda bench: benchmark_share(bench.dataset, bench.runs),
    "mlp": lambda bench: bench.shuffling(bench.network, "the MLP"),
    "pruned_mlp": lambda bench: bench.shuffling(bench.pruned_network, "the pruned MLP"),
    "vgg": Bench.vgg,
    "resnet50": Bench.resnet50,
    "resnet50_test": Bench.resnet50_test,
    "handing_out": lambda bench: benchmark_handing_out(100),
    "handing_out_1000": lambda bench: benchmark_handing_out(1000),
    "transformer": lambda bench: benchmark_transformer(0),
    "transformer_test": lambda bench: benchmark_transformer(20),
    "growth": lambda bench: benchmark_growth(),
    "calibration": lambda bench: benchmark_calibration(),
}

# Only by name: they make anew a chart and a table that the documentation shows, or take half an
# hour.
_BY_NAME = {"growth", "calibration", "handing_out_1000", "transformer_test"}


def main() -> None:
    """Run the comparisons that were asked for, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"which of {', '.join(PARTS)} (default: all but {', '.join(_BY_NAME)})",
    )
    parser.add_argument("--dataset", default="mnist", help="data set (default: mnist)")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each (default: 3)")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(PARTS)}")
    bench = Bench(arguments.dataset, arguments.runs)
    print(f"{os.cpu_count()} processors, data set {bench.dataset_name}\n", flush=True)
    for part in arguments.parts or [name for name in PARTS if name not in _BY_NAME]:
        print(PARTS[part](bench), flush=True)


if __name__ == "__main__":
    try:
        main()
    except NnClusteringError as error:
        sys.exit(f"error: {error}")
