"""Run all comparisons and print their ratios."""

import argparse
import os
import sys

from benchmarks.lesions import benchmark_lesions
from benchmarks.shuffling import benchmark_shuffling
from benchmarks.tracking import benchmark_points, benchmark_share
from benchmarks.training import (
    benchmark_clusterability,
    benchmark_conditions,
    benchmark_training,
)
from nn_clustering.datasets import load_dataset
from nn_clustering.errors import NnClusteringError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks import build_network
from nn_clustering.training import Phase, PruningSchedule, train


def main() -> None:
    """Train one MLP, then time the lesion test, training, tracking and the shuffle test on it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--dataset", default="mnist", help="data set (default: mnist)")
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each (default: 3)")
    arguments = parser.parse_args()
    dataset = load_dataset(arguments.dataset)
    print(f"{os.cpu_count()} processors, data set {dataset.name}\n", flush=True)

    network = build_network(
        "mlp",
        dataset.input_shape,
        dataset.n_outputs,
        hidden_units=[256] * 4,
        conv_filters=[],
        dropout=False,
        seed=0,
    )
    train(network, dataset, Phase(epochs=10), seed=0)
    unpruned = graph_from_weights(network)
    runs = arguments.runs
    print(benchmark_lesions(network, dataset, "the MLP", n_shuffles=19, runs=runs), flush=True)
    print(benchmark_training(dataset, runs), flush=True)
    print(benchmark_conditions(dataset, runs), flush=True)
    print(benchmark_clusterability(runs), flush=True)
    print(benchmark_points(runs), flush=True)
    print(benchmark_share(dataset, runs), flush=True)
    n_steps = 5 * -(-len(dataset.y_train) // 128)
    schedule = PruningSchedule(0.5, 0.9, n_steps)
    train(network, dataset, Phase("pruned", epochs=5, pruning=schedule), seed=0)
    for graph, name in ((unpruned, "the MLP"), (graph_from_weights(network), "the pruned MLP")):
        comparison = benchmark_shuffling(graph, name, n_shuffles=50, n_workers=2, runs=runs)
        print(comparison, flush=True)


if __name__ == "__main__":
    try:
        main()
    except NnClusteringError as error:
        sys.exit(f"error: {error}")
