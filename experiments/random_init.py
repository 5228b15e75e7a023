"""How clusterable networks are before any training: the n-cut of many fresh ones.

python experiments/random_init.py with mlp
python experiments/random_init.py with vgg modular_init published
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import PROJECT, configure
from experiments._graphs import check_graph_settings, weight_graph
from experiments._keras import import_keras
from experiments._own_network import own_network_code
from experiments._partitions import with_starts
from experiments._phase_settings import check_settings_act, without_switch
from experiments._titles import training_title
from nn_clustering import networks, partitions, reports
from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import integer_seed
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    import keras

    from nn_clustering.tracking import StageRun

# Each takes a tenth of a second at least: this is a day.
MOST_NETWORKS = 1_000_000

experiment = StageExperiment("random_init", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("network.kind",))


@dataclass(frozen=True)
class Inputs:
    """The code of a network of one's own."""

    network_code: Input[bytes] | None


def check(run: StageRun) -> None:
    """Check what the config alone tells."""
    config = run.config
    check_settings_act(config, run.typed_keys())
    if config["n_networks"] < 2:
        raise InvalidInputError(
            f"n_networks={config['n_networks']}; expected 2 or more, of which there is a spread"
        )
    if config["n_networks"] > MOST_NETWORKS:
        raise InvalidInputError(
            f"n_networks={config['n_networks']}; expected an integer from 2 to {MOST_NETWORKS}"
        )
    _check_tokens(config)
    networks.check_network(
        input_shape=config["input_shape"],
        n_outputs=config["n_outputs"],
        tokens=_tokens(config),
        **config["network"],
    )
    networks.check_modular_initialisation(**without_switch(config["modular_init"]))
    check_graph_settings(config["graph"])
    partitions.check_clustering(config["n_clusters"], **with_starts(config)["kmeans"])


def inputs(run: StageRun) -> Inputs:
    """Read the code of a network of one's own."""
    return Inputs(own_network_code(run.config["network"]["kind"]))


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print the mean n-cut and its standard error."""
    print(
        f"\nn-cut {result['mean']:.4f} with standard error {result['standard_error']:.4f} (std "
        f"{result['std']:.4f}, {result['min']:.4f} to {result['max']:.4f}) of "
        f"{run.config['n_networks']} networks in {run.config['n_clusters']} clusters"
    )


def prepare(run: StageRun[Inputs]) -> None:
    """Check, by the first network, that there are as many units as clusters."""
    import_keras()
    graph = weight_graph(_network(run.config, _network_seed(run, 0)), run.config["graph"])
    partitions.check_units(graph, "spectral", run.config["n_clusters"])


@experiment.stage(check=check, inputs=inputs, prepare=prepare, summary=summary)
def random_init(run: StageRun[Inputs]) -> dict[str, float]:
    """Cluster fresh networks; the result holds n-cut's mean, std, standard error, extremes."""
    n_networks = run.config["n_networks"]
    if run.inputs.network_code is not None:
        run.add_artifact("network_code.py", run.inputs.network_code.value)
    seeds = [_network_seed(run, index) for index in range(n_networks)]
    ncuts: list[float] = []
    with run.progress(n_networks, "networks") as bar:
        for index, seed in enumerate(seeds):
            ncuts.append(_ncut_of_network(run.config, seed))
            run.log("ncut", ncuts[-1], index)
            bar.update()
    run.add_artifact("ncuts.csv", _table(seeds, ncuts))
    title = f"{training_title(run)}, untrained, {run.config['n_clusters']} clusters"
    run.add_figure("ncuts", reports.figure_of_random_networks(ncuts, title))
    std = float(np.std(ncuts, ddof=1))
    return {
        "mean": float(np.mean(ncuts)),
        "std": std,
        "standard_error": std / n_networks**0.5,
        "min": min(ncuts),
        "max": max(ncuts),
    }


def _check_tokens(config: Mapping[str, Any]) -> None:
    n_tokens, shape = config["n_tokens"], config["input_shape"]
    if n_tokens is None and config["network"]["kind"] == "transformer":
        raise InvalidInputError(
            "network.kind=transformer n_tokens=None: it takes tokens; expected n_tokens=NUMBER "
            "input_shape=[LENGTH], or network.kind=vit, which takes images"
        )
    if n_tokens is None:
        return
    if isinstance(n_tokens, bool) or not isinstance(n_tokens, int) or n_tokens < 1:
        raise InvalidInputError(
            f"n_tokens={n_tokens!r}; expected a number of tokens of 1 or more, or None"
        )
    if len(shape) != 1:
        raise InvalidInputError(
            f"n_tokens={n_tokens} input_shape={shape}: a sample of tokens is [length] of them; "
            "expected one number, or n_tokens=None"
        )


def _tokens(config: Mapping[str, Any]) -> networks.TokenInput | None:
    return None if config["n_tokens"] is None else networks.TokenInput(config["n_tokens"])


def _network_seed(run: StageRun, index: int) -> int:
    return integer_seed(run.seed, "network", index)


def _network(config: Mapping[str, Any], seed: int) -> keras.Model:
    network = networks.build_network(
        input_shape=tuple(config["input_shape"]),
        n_outputs=config["n_outputs"],
        tokens=_tokens(config),
        seed=seed,
        **config["network"],
    )
    if config["modular_init"]["enabled"]:
        networks.modular_initialisation(
            network, seed=seed, **without_switch(config["modular_init"])
        )
    return network


def _ncut_of_network(config: Mapping[str, Any], seed: int) -> float:
    network = _network(config, seed)
    graph = weight_graph(network, config["graph"])
    starts = with_starts(config, network)["kmeans"]
    partition = partitions.spectral_partition(graph, config["n_clusters"], seed=seed, **starts)
    return partitions.ncut(graph, partition.labels)


def _table(seeds: Sequence[int], ncuts: Sequence[float]) -> bytes:
    """Return a CSV file of every network's seed and n-cut."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["network", "seed", "ncut"])
    rows.writerows(zip(range(len(ncuts)), seeds, ncuts, strict=True))
    return text.getvalue().encode()


if __name__ == "__main__":
    experiment.run_commandline()
