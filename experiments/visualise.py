"""Optimise inputs for every sub-cluster of a network, and for random units beside it.

python experiments/visualise.py with cluster_run=latest
python experiments/visualise.py with cluster_run=12 transformed top_samples=16
python experiments/visualise.py with resume=14
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure, page_command, program
from experiments._datasets import tell
from experiments._keras import import_keras
from experiments._measures_in_words import measure_in_words, random_ones_in_words
from experiments._network_outputs import check_output
from experiments._network_samples import RawSamples
from experiments._sub_cluster_tests import (
    Inputs,
    check_chosen_dataset,
    named,
    read_inputs,
    unfinished_test,
)
from experiments._visualise_steps import (
    add_files,
    find_top_samples,
    log_measures,
    make_optimiser,
    note_batches,
    optimised_inputs,
    result_of,
    settings_of,
    tops_in_words,
)
from nn_clustering import partitions, visualisation
from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import check_memory_mb
from nn_clustering.significance import check_n_shuffles
from nn_clustering.tracking import StageExperiment

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset, Outline
    from nn_clustering.tracking import StageRun
    from nn_clustering.visualisation import InputOptimiser

experiment = StageExperiment("visualise", base_dir=PROJECT, save_git_info=False)
configure(experiment)


def check_settings(config: Mapping[str, Any], typed: Iterable[str] = ()) -> None:
    """Check what the config, and the keys that the user has typed, alone tell."""
    settings_of(config)
    check_n_shuffles(config["n_shuffles"])
    check_memory_mb(config["memory_mb"])
    partitions.check_draws(config["draws"])
    with named("sizes"):
        partitions.SizeFilter(**config["sizes"])
    if config["entropy"] not in (None, True, False):
        raise InvalidInputError(f"entropy={config['entropy']!r}; expected true, false or null")
    if not 0 <= config["top_samples"] <= visualisation.MOST_TOP:
        raise InvalidInputError(
            f"top_samples={config['top_samples']}; expected 0 to {visualisation.MOST_TOP}"
        )
    if not 0 <= config["random_inputs"] <= config["n_shuffles"]:
        raise InvalidInputError(
            f"random_inputs={config['random_inputs']}; expected 0 to "
            f"n_shuffles={config['n_shuffles']}, the number of those that are optimised"
        )
    if "output" in typed and config["output"] is not None and config["entropy"] is False:
        raise InvalidInputError(
            f"output={config['output']!r} changes nothing while entropy=False; leave out one of "
            "the two"
        )
    check_chosen_dataset(config)


def check_task(config: Mapping[str, Any], dataset: str, task: str | None) -> None:
    """Check that what is asked for can be measured on a data set, of a task that may be unknown."""
    if config["entropy"] and task not in ("classification", None):
        raise InvalidInputError(
            f"entropy=True with the data set {dataset}, a {task}: the entropy is that of classes; "
            "expected entropy=None or False"
        )


def check_numbers(dataset: Dataset | Outline, way_out: str = "") -> None:
    """Check that a data set holds numbers, which inputs can be optimised as.

    Args:
        dataset: The data set, or what is known of it.
        way_out: What else is expected, in the words of a message.

    Raises:
        InvalidInputError: If it holds tokens.
    """
    if dataset.n_tokens is not None:
        raise InvalidInputError(
            f"the data set {dataset.name} is of tokens, and inputs are optimised that are numbers; "
            f"expected a network of images or vectors{', ' * bool(way_out)}{way_out} (of one of "
            "tokens lesions and graphs of activations tell what units are for)"
        )


def inputs(run: StageRun) -> Inputs:
    """Read partition, network and data set, and the run to go on with."""
    # with the bound of that run too, which says how many inputs are optimised at a time
    unfinished = unfinished_test(run, "visualise")
    check_settings(run.config, run.typed_keys())

    def check_dataset(dataset: Dataset) -> None:
        check_task(run.config, dataset.name, dataset.task)
        check_numbers(dataset)

    return read_inputs(run, unfinished, check_dataset)


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print score, entropy and dispersion over all sub-clusters, and what data move them."""
    left_out = f" ({result['n_left_out']} left out by size)" if result["n_left_out"] else ""
    print(f"\n{result['n_subclusters']} sub-clusters visualised{left_out}")
    for measure in ("score", "entropy", "dispersion", "top_entropy"):
        if result[measure] is not None:
            name = measure.replace("top_entropy", "classes of top samples")
            print(f"{name}: " + "\n  ".join(measure_in_words(result[measure])))
    for line in (
        *tops_in_words(result, run.config["top_samples"]),
        *random_ones_in_words(result["n_few_draws"], run.config["n_shuffles"]),
    ):
        print(line)
    run.suggest(f"{program('visualisation_table')} with visualise_runs=[{run.id}]", page_command())


@dataclass(frozen=True)
class Prepared:
    """What optimises inputs for the network, and the layers whose sub-clusters they are for."""

    optimiser: InputOptimiser
    layers: Sequence[str]


def prepare(run: StageRun[Inputs]) -> Prepared:
    """Read the network, and check that inputs can be optimised for it."""
    import_keras()
    config, given = run.config, run.inputs
    optimiser = make_optimiser(config, given)
    if optimiser.measures_entropy:
        check_output(given.network.value, given.dataset.value, config)
    partition = given.partition.value
    layers = optimiser.among(partition.layers)
    sizes = partitions.SizeFilter(**config["sizes"])
    partitions.check_possible_draws(partition, layers, config["n_shuffles"], sizes)
    note_batches(run, {layer: optimiser.batch_size(layer) for layer in layers})
    return Prepared(optimiser, layers)


@experiment.stage(
    check=lambda run: check_settings(run.config, run.typed_keys()),
    inputs=inputs,
    prepare=prepare,
    summary=summary,
)
def visualise(run: StageRun[Inputs]) -> dict[str, Any]:
    """Optimise the inputs; the result holds score, entropy and dispersion over all of them."""
    optimiser, layers = run.prepared.optimiser, run.prepared.layers
    dataset, file = run.inputs.dataset.value, run.inputs.network.value
    raw = RawSamples.of_tests(dataset)
    tell(run, dataset)
    for line in (raw.pixels_in_words(file), raw.reshaping_in_words(file)):
        if line is not None:
            print(line)
    test = optimised_inputs(run, optimiser, layers)
    tops = find_top_samples(run, optimiser, test)
    log_measures(run, test)
    add_files(run, test, tops)
    return result_of(test, tops, run.seed)


if __name__ == "__main__":
    experiment.run_commandline()
