"""Clustering and shuffling a network of the size of GPT-2 small, in processes of their own."""

import json
import os
import subprocess
import sys
import time

import numpy as np
from joblib import delayed
from sklearn.cluster import SpectralClustering

from benchmarks.large import _peak_mb, _used
from nn_clustering.graphs import UnitGraph, graph_of_weights
from nn_clustering.networks.structure import InputValues, Merged, NetworkWeights, Scaled, Weighted
from nn_clustering.partitions import ncut, spectral_clustering
from nn_clustering.seeds import generator
from nn_clustering.significance import shuffle_test, shuffled_kernels, worker_pool

N_CLUSTERS = 16

# k-means starts of networks with residual sums, by default.
N_INIT = 25

# Blocks, channels and heads of GPT-2 small; a network with narrower ones is compared with peers.
GPT2_SMALL = (12, 768, 12, 50_257)
NARROW = (12, 96, 12, 500)


def transformer(n_blocks: int, width: int, n_heads: int, n_tokens: int) -> NetworkWeights:
    """Return a decoder with random weights, as arrays: attention, then neurons, in each block."""
    random = generator(0, "transformer", width)

    def kernel(*shape: int) -> np.ndarray:
        return random.standard_normal(shape, np.float32) * np.float32(0.02)

    channels: list = [InputValues("input", 0, n_tokens, is_of_tokens=True)]
    kernels, names, nonlinear = [], [], set()

    def weighted(name: str, reads: int, n_units: int, heads: int | None = None) -> int:
        names.append(name)
        kernels.append(kernel(_width(channels, kernels, reads), n_units))
        tensor = len(channels)
        channels.append(Weighted(name, tensor, reads, tensor - 1, len(kernels) - 1, n_heads=heads))
        return len(channels) - 1

    def normed(reads: int) -> int:
        gamma = 1 + 0.1 * random.standard_normal(width)
        channels.append(Scaled(reads, gamma, is_normalisation=True))
        return len(channels) - 1

    stream = weighted("tokens", 0, width)
    for block in range(n_blocks):
        for inner, outer, n_units, heads in (
            ("attention/value", "attention/attention_output", width, n_heads),
            ("mlp_in", "mlp_out", 4 * width, None),
        ):
            units = weighted(f"block_{block}/{inner}", normed(stream), n_units, heads)
            nonlinear.add(units)
            made = weighted(f"block_{block}/{outer}", units, width)
            channels.append(Merged(f"block_{block}/{inner}/add", len(channels), (stream, made)))
            stream = len(channels) - 1
    outputs = (weighted("output", normed(stream), n_tokens),)
    return NetworkWeights(
        "transformer",
        tuple(channels),
        outputs,
        tuple(names),
        tuple(kernels),
        has_attention=True,
        nonlinear=frozenset(nonlinear),
    )


def _width(channels: list, kernels: list, reads: int) -> int:
    match channels[reads]:
        case InputValues(n_units=n_units):
            return n_units
        case Weighted(kernel=kernel):
            return kernels[kernel].shape[1]
        case Scaled(reads=inner):
            return _width(channels, kernels, inner)
        case Merged(reads=(first, *_)):
            return _width(channels, kernels, first)
    raise AssertionError(channels[reads])


def benchmark_transformer(n_shuffles: int, rules: tuple[str, ...] = ("units", "contracted")) -> str:
    """Time clusterings and shuffle tests of raw kernels, and compare with a peer at a small size.

    Args:
        n_shuffles: Shuffles of each test; 0 for none.
        rules: By which rules the residual stream is made units, or left out.
    """
    lines = []
    for rule in rules:
        found = _in_process("cluster", rule)
        lines += [
            f"GPT-2 small with random weights, graph.residual={rule}: {found['n_units']} units, "
            f"{found['n_edges']:.3g} edges; k = {N_CLUSTERS}, {N_INIT} starts",
            f"  graph     {_times(found['graph'])}",
            f"  clusters  {_times(found['clusters'])}: n-cut {found['ncut']:.4f}",
            f"  together  {_times(found['graph'], found['clusters'])}, peak memory "
            f"{found['peak_mb']:.0f} MB",
        ]
        if n_shuffles:
            found = _in_process("shuffle", rule, n_shuffles)
            lines += [
                f"  {n_shuffles} shuffles of its kernels  {_times(found['test'])}, peak memory "
                f"{', '.join(f'{peak:.0f}' for peak in found['peaks'])} MB of the processes; n-cut "
                f"{found['mean']:.4f} (std {found['std']:.5f})",
            ]
    return "\n".join([*lines, _beside_peer()])


def _times(*found: tuple[float, float]) -> str:
    wall, cpu = (sum(parts) for parts in zip(*found, strict=True))
    return f"{wall:7.1f} s, {cpu:.1f} s of processor time ({cpu / 2:.1f} s on two cores)"


def _beside_peer() -> str:
    """Compare with scikit-learn on a network of narrower blocks, whose graph fits a matrix."""
    graph = graph_of_weights(transformer(*NARROW), residual="contracted")
    start = time.process_time()
    found = _clustered(graph)
    ours = time.process_time() - start
    matrix = graph.adjacency().toarray()
    start = time.process_time()
    labels = SpectralClustering(
        N_CLUSTERS, affinity="precomputed", eigen_solver="arpack", n_init=25, random_state=0
    ).fit_predict(matrix)
    theirs = time.process_time() - start
    return "\n".join(
        [
            f"a tenth of its width, contracted: {graph.n_units} units, k = {N_CLUSTERS}",
            f"  ours   {ours:8.2f} s of processor time: n-cut {found.ncut:.4f}",
            f"  peer   {theirs:8.2f} s: n-cut {ncut(graph, labels):.4f}: scikit-learn's "
            "SpectralClustering (arpack, 25 k-means starts)",
            f"  ratio  {theirs / ours:8.2f} times faster",
        ]
    )


def _clustered(graph: UnitGraph, *, seed: int = 0):
    return spectral_clustering(graph, N_CLUSTERS, seed=seed, n_init=N_INIT)


def _in_process(side: str, rule: str, n_shuffles: int = 0) -> dict:
    command = [sys.executable, "-m", "benchmarks.transformer", side, rule, str(n_shuffles)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _measure_clustering(rule: str) -> dict:
    network = transformer(*GPT2_SMALL)
    laps = [_now()]
    graph = graph_of_weights(network, residual=rule)
    laps.append(_now())
    found = _clustered(graph)
    laps.append(_now())
    return {
        "n_units": graph.n_units,
        "n_edges": sum(block.stored.size for block in graph.edges),
        "graph": _between(laps[0], laps[1]),
        "clusters": _between(laps[1], laps[2]),
        "ncut": found.ncut,
        "peak_mb": _peak_mb(),
    }


def _measure_test(rule: str, n_shuffles: int) -> dict:
    network = transformer(*GPT2_SMALL)
    null = shuffled_kernels(network, "layer", {"residual": rule})
    start = _now()
    test = shuffle_test(null, _clustered, 0.0, n_shuffles=n_shuffles, seed=0, n_workers=2)
    wall, own = _between(start, _now())
    used = dict(worker_pool(2)(delayed(_used)() for _ in range(8)))
    workers = [measured for pid, measured in used.items() if pid != os.getpid()]
    return {
        "test": (wall, own + sum(cpu for _, cpu in workers)),
        "peaks": [_peak_mb(), *(peak for peak, _ in workers)],
        "mean": test.mean,
        "std": test.std,
    }


def _now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _between(start: tuple[float, float], stop: tuple[float, float]) -> tuple[float, float]:
    return stop[0] - start[0], stop[1] - start[1]


if __name__ == "__main__":
    side, rule, number = sys.argv[1:]
    measured = _measure_clustering(rule) if side == "cluster" else _measure_test(rule, int(number))
    print(json.dumps(measured))
