"""Lesion every sub-cluster of a network, and random units beside it.

python experiments/lesion.py with cluster_run=latest
python experiments/lesion.py with cluster_run=12 double n_shuffles=19
python experiments/lesion.py with resume=14
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure, page_command, program
from experiments._datasets import tell
from experiments._keras import import_keras
from experiments._lesion_steps import (
    add_long_table,
    add_table,
    double_lesions,
    groups_of,
    residual_rule,
    single_lesions,
    single_units,
)
from experiments._network_samples import RawSamples
from experiments._networks import NetworkFile, clustered_network, model_code_of
from experiments._phase_settings import check_settings_act
from experiments._titles import title_on
from nn_clustering import datasets, lesions, networks, partitions, reports
from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import SMALLEST_SHOWN, p_in_words
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset
    from nn_clustering.lesions import Groups, LesionEngine, LesionTest
    from nn_clustering.partitions import Partition
    from nn_clustering.tracking import Run, StageRun

experiment = StageExperiment("lesion", base_dir=PROJECT, save_git_info=False)
configure(experiment)


def check_settings(config: Mapping[str, Any], typed: Iterable[str] = ()) -> None:
    """Check what the config, and the keys that the user has typed, alone tell."""
    lesions.check_lesion_test(
        n_shuffles=config["n_shuffles"], silence=config["silence"], memory_mb=config["memory_mb"]
    )
    partitions.check_draws(config["draws"])
    with _named("sizes"):
        partitions.SizeFilter(**config["sizes"])
    if config["tail"] not in (None, "left", "right"):
        raise InvalidInputError(f"tail={config['tail']!r}; expected left, right or null")
    with _named("double"):
        lesions.check_n_shuffles(config["double"]["n_shuffles"])
    if config["double"]["sub_clusters"] not in ("important", "all"):
        raise InvalidInputError(
            f"double.sub_clusters={config['double']['sub_clusters']!r}; expected important or all"
        )
    asked = {key: value for key, value in config["dataset"].items() if value is not None}
    if "name" in asked:
        datasets.require_dataset(**asked)
    check_settings_act(config, typed)


@contextmanager
def _named(group: str) -> Iterator[None]:
    """Name a key by its group too, as the user set it, where its value is refused."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(f"{group}.{error}") from None


def check_task(config: Mapping[str, Any], dataset: str, task: str | None) -> None:
    """Check that the lesions can be measured on a data set, of a task that may be unknown yet."""
    if not config["double"]["enabled"]:
        return
    if task not in ("classification", None):
        raise InvalidInputError(
            f"double.enabled=True with the data set {dataset}, a {task}: lesions "
            "of pairs are measured by accuracy; leave out double"
        )


def has_outputs(n_outputs: int, n_classes: int, class_names: str | None) -> bool:
    """Return whether a network with so many outputs has one for each of so many classes.

    Args:
        n_outputs: Of the network.
        n_classes: Classes or targets.
        class_names: The file of their names: an object of positions may leave out the last outputs.
    """
    is_open = class_names is not None and not datasets.lists_all_classes(class_names)
    return n_outputs == n_classes or (is_open and n_outputs > n_classes)


def check_output(file: NetworkFile, dataset: Dataset, config: Mapping[str, Any]) -> None:
    """Check that a network has an output for the classes or targets of a data set.

    Raises:
        InvalidInputError: If it has not.
    """
    output = config["output"]
    index = networks.output_index(file.network, output)
    shape = tuple(file.network.outputs[index].shape[1:])
    # a network that was trained here may have learnt more classes than the images are of
    if file.was_trained and output is None:
        return
    names_file = file.dataset_settings(config["dataset"]).get("class_names")
    name, n_outputs = networks.output_names(file.network)[index], dataset.n_outputs
    if len(shape) == 1 and has_outputs(shape[0], n_outputs, names_file):
        return
    if len(shape) == 1 and names_file is not None and not datasets.lists_all_classes(names_file):
        raise InvalidInputError(
            f"dataset.class_names={names_file!r}: {dataset.class_names[-1]!r} is at "
            f"{n_outputs - 1}, and {file.source} has the {shape[0]} outputs 0 to {shape[0] - 1} in "
            f"{name}; expected positions among them"
        )
    kind = "class" if dataset.task == "classification" else "target"
    ending = "" if n_outputs == 1 else "es" if kind == "class" else "s"
    shown = " to ".join(dict.fromkeys((dataset.class_names[0], dataset.class_names[-1])))
    raise InvalidInputError(
        f"output={output!r}: {file.source} has the output {name} of shape {shape}, the data "
        f"set {dataset.name} has {n_outputs} {kind}{ending}, {shown}; "
        "expected one number for each: take another output, or the data set that it was trained "
        "on, or say in a file (dataset.class_names) which output is which class: "
        '["cat", "dog"], or {"cat": 3} of some'
    )


@dataclass(frozen=True)
class Inputs:
    """What lesions rest on.

    Attributes:
        model_code: The module with the layers of the network's author, where it is named.
    """

    cluster_run: Input[Run]
    partition: Input[Partition]
    network: Input[NetworkFile]
    model_code: Input[bytes] | None
    dataset: Input[Dataset]
    unfinished: Input[Run] | None


def inputs(run: StageRun) -> Inputs:
    """Read partition, network and data set, and the test to go on with."""
    unfinished = _unfinished(run)
    check_settings(run.config, run.typed_keys())
    clustered = run.read_run("cluster_run", "cluster")
    network = clustered_network(run, clustered)
    dataset = network.dataset(run.config["dataset"])
    check_task(run.config, dataset.name, dataset.task)
    code = model_code_of(network, clustered)
    partition = clustered.artifact("partition.npz")
    return Inputs(
        cluster_run=Input(clustered, clustered.id),
        partition=Input.of_bytes(partition, partitions.Partition.from_npz(partition)),
        network=Input.of_bytes(network.content, network),
        model_code=code,
        dataset=Input(dataset, dataset.digest()),
        unfinished=None if unfinished is None else Input(unfinished, unfinished.id),
    )


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print importance and coherence over all sub-clusters, and what kinds there are."""
    performance = (
        f"accuracy {result['accuracy']:.4f}"
        if "accuracy" in result
        else f"mean squared error {result['mean_squared_error']:.4g}"
    )
    left_out = f" ({result['n_left_out']} left out by size)" if result["n_left_out"] else ""
    print(f"\n{performance}, {result['n_subclusters']} sub-clusters lesioned{left_out}")
    for measure in ("importance", "coherence"):
        print(f"{measure}: " + "\n  ".join(in_words(result[measure])))
    kinds = [f"{count} {kind}" for kind, count in result["kinds"].items() if count]
    if kinds:
        print(f"sub-clusters: {', '.join(kinds)}")
    if result["n_few_draws"]:
        print(
            f"of {result['n_few_draws']} sub-clusters there are fewer possible random ones than "
            f"n_shuffles={run.config['n_shuffles']}: they were drawn repeatedly"
        )
    smallest = 1 / (run.config["n_shuffles"] + 1)
    if smallest > 0.05:
        print(
            f"no sub-cluster's own p-value can be below {smallest:.2g}, whatever it does; choose "
            "n_shuffles=19 or more"
        )
    if "double" in result:
        print(pairs_in_words(result["double"]))
    if run.config["single_units"]:
        print("single units: units.csv, and class by class unit_class_changes.parquet")
    run.suggest(f"{program('lesion_table')} with lesion_runs=[{run.id}]", page_command())


def pairs_in_words(double: Mapping[str, Any]) -> str:
    """Return what the lesions of pairs gave, or why there were none."""
    count = double["n_sub_clusters"]
    if count < 2:
        found = "1 sub-cluster is" if count else "no sub-cluster is"
        return f"no pairs: {found} important alone (double.sub_clusters=all pairs them all)"
    return (
        f"pairs of {count} sub-clusters: {double['n_important_pairs']} important together, "
        f"{double['n_dependencies']} dependent (dependencies.png)"
    )


def in_words(measure: Mapping[str, Any]) -> list[str]:
    """Return combined p-value and effect of importance or coherence, with what they rest on.

    Returns:
        Two lines, or one where nothing is combined.
    """
    if measure["n_combined"] == 0:
        return ["undefined"]
    return [_p_in_words(measure), _effect_in_words(measure)]


def _p_in_words(measure: Mapping[str, Any]) -> str:
    n_null, p = measure["n_null"], measure["joint_p"]
    if p is None:
        return (
            f"{p_in_words(measure['fisher_p'], 'Fisher p')} if sub-clusters were independent "
            f"(mean -ln p {measure['fisher_statistic']:.3g}, {n_null} random each)"
        )
    n_layers = measure["joint_layers"]
    if n_layers == 0:
        return f"{p_in_words(p, 'joint p')} (all of {n_null} draws are as extreme)"
    draws = f"{n_null} draws of {n_layers} layer{'' if n_layers == 1 else 's'}"
    if SMALLEST_SHOWN <= p <= measure["joint_p_smallest"]:
        draws = f"no less can be had of {draws}"
    z = "" if measure["joint_z"] is None else f"z = {measure['joint_z']:.1f} of summed scores, "
    return f"{p_in_words(p, 'joint p')} ({z}{draws})"


def _effect_in_words(measure: Mapping[str, Any]) -> str:
    if measure["effect"] is None:
        return "effect undefined"
    effect = f"effect {measure['effect']:.3f} (median {measure['effect_median']:.3f})"
    if measure["effect_null"] is None:
        return effect
    if measure["joint_p"] is None:  # draws that are no partitions have no interval of their means
        return f"{effect}; random sub-clusters in their place have {measure['effect_null']:.3f}"
    low, high = measure["effect_null_low"], measure["effect_null_high"]
    return (
        f"{effect}; random draws in place of the partition have {measure['effect_null']:.3f} "
        f"({low:.3f} to {high:.3f})"
    )


@dataclass(frozen=True)
class Prepared:
    """The network with its images, the layers that are lesioned, and what they are measured by."""

    engine: LesionEngine
    layers: Sequence[str]
    groups: Groups


def prepare(run: StageRun[Inputs]) -> Prepared:
    """Read the network, and check that it can be lesioned on these images."""
    import_keras()
    config = run.config
    dataset, file = run.inputs.dataset.value, run.inputs.network.value
    check_output(file, dataset, config)
    engine = lesions.LesionEngine(
        file.network,
        RawSamples.of_tests(dataset).for_network(file),
        dataset.y_test,
        task=dataset.task,
        silence=config["silence"],
        memory_mb=config["memory_mb"],
        output=config["output"],
        residual=residual_rule(run.inputs.cluster_run.value.config),
    )
    partition = run.inputs.partition.value
    layers = lesions.lesionable_layers(partition.layers, engine)
    sizes = partitions.SizeFilter(**config["sizes"])
    partitions.check_possible_draws(partition, layers, config["n_shuffles"], sizes)
    return Prepared(engine, layers, groups_of(dataset, engine, config["tail"]))


@experiment.stage(
    check=lambda run: check_settings(run.config, run.typed_keys()),
    inputs=inputs,
    prepare=prepare,
    summary=summary,
)
def lesion(run: StageRun[Inputs]) -> dict[str, Any]:
    """Lesion sub-clusters; the result holds importance and coherence over all of them."""
    config, prepared = run.config, run.prepared
    engine, layers, groups = prepared.engine, prepared.layers, prepared.groups
    clustered, partition = run.inputs.cluster_run.value, run.inputs.partition.value
    file, dataset = run.inputs.network.value, run.inputs.dataset.value
    raw = RawSamples.of_tests(dataset)
    tell(run, dataset)
    for line in (
        raw.pixels_in_words(file),
        raw.reshaping_in_words(file),
        _apart_in_words(run, layers),
    ):
        if line is not None:
            print(line)
    test = single_lesions(run, engine, partition, layers, groups)
    add_table(run, "sub_clusters", test.table())
    add_long_table(run, "class_changes", [test.class_changes()], test.changes.size)
    add_table(run, "random_effects", test.random_effects())
    title = title_on(run, clustered)
    for name, draw in {
        "lesions": reports.figure_of_lesions,
        "class_changes": reports.figure_of_class_changes,
        "importance_by_size": reports.figure_of_importance_by_size,
        "lesion_nulls": reports.figure_of_lesion_nulls,
    }.items():
        run.add_figure(name, draw(test, title))
    result = _figures(test, run.seed)
    if config["double"]["enabled"]:
        result["double"] = double_lesions(run, engine, partition, test, title)
    if config["single_units"]:
        units = single_units(run, engine, layers, groups)
        add_table(run, "units", units.table())
        add_long_table(run, "unit_class_changes", units.class_changes(), units.changes.size)
    return result


def _apart_in_words(run: StageRun[Inputs], layers: Sequence[str]) -> str | None:
    """Return which layers are not lesioned, as the output that is chosen does not hang on them."""
    config, given = run.config, run.inputs
    if config["output"] is None:
        return None
    hidden = lesions.lesionable_layers(
        given.partition.value.layers,
        given.network.value.network,
        residual=residual_rule(given.cluster_run.value.config),
    )
    apart = [name for name in hidden if name not in layers]
    if not apart:
        return None
    return f"left out, since output {config['output']} does not hang on them: {', '.join(apart)}"


def _figures(test: LesionTest, seed: int) -> dict[str, Any]:
    kinds = Counter(test.kinds) if test.task == "classification" else {}
    overall = "accuracy" if test.task == "classification" else "mean_squared_error"
    return {
        overall: test.intact_overall,
        "n_subclusters": len(test.sub_clusters),
        "n_left_out": test.n_left_out,
        "n_few_draws": test.n_few_draws,
        "kinds": dict(sorted(kinds.items())),
        "importance": test.importance.summary(seed),
        "coherence": test.coherence.summary(seed),
    }


def _unfinished(run: StageRun) -> Run | None:
    """Return the test to go on with, after its config became this run's."""
    if run.config["resume"] is None:
        return None
    stored = run.unfinished_run("resume", "lesion")
    run.adopt_config(stored, keep=("memory_mb",))
    return stored


if __name__ == "__main__":
    experiment.run_commandline()
