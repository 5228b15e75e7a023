"""Lesion every sub-cluster of a network, and random units beside it.

python experiments/lesion.py with cluster_run=latest
python experiments/lesion.py with cluster_run=12 double n_shuffles=19
python experiments/lesion.py with resume=14
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure, page_command, program
from experiments._datasets import tell
from experiments._keras import import_keras
from experiments._lesion_steps import (
    MEASURED_BY,
    double_lesions,
    groups_of,
    head_lesions,
    measured_in_words,
    measures_by_group,
    single_lesions,
    single_units,
)
from experiments._measures_in_words import measure_in_words, random_ones_in_words
from experiments._network_outputs import check_output
from experiments._network_samples import RawSamples
from experiments._networks import residual_rule
from experiments._phase_settings import check_settings_act
from experiments._result_tables import add_long_table, add_table
from experiments._sub_cluster_tests import (
    Inputs,
    check_chosen_dataset,
    named,
    read_inputs,
    unfinished_test,
)
from experiments._titles import title_on
from nn_clustering import lesions, partitions, reports
from nn_clustering.errors import InvalidInputError
from nn_clustering.significance import check_n_shuffles
from nn_clustering.tracking import StageExperiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nn_clustering.datasets import Dataset
    from nn_clustering.lesions import Groups, LesionEngine, LesionTest
    from nn_clustering.partitions import Partition
    from nn_clustering.tracking import StageRun

experiment = StageExperiment("lesion", base_dir=PROJECT, save_git_info=False)
configure(experiment)


def check_settings(config: Mapping[str, Any], typed: Iterable[str] = ()) -> None:
    """Check what the config, and the keys that the user has typed, alone tell."""
    lesions.check_lesion_test(
        n_shuffles=config["n_shuffles"], silence=config["silence"], memory_mb=config["memory_mb"]
    )
    partitions.check_draws(config["draws"])
    with named("sizes"):
        partitions.SizeFilter(**config["sizes"])
    if config["tail"] not in (None, "left", "right"):
        raise InvalidInputError(f"tail={config['tail']!r}; expected left, right or null")
    if config["measure_by"] not in (None, *MEASURED_BY):
        raise InvalidInputError(
            f"measure_by={config['measure_by']!r}; expected {', '.join(MEASURED_BY)} or null"
        )
    with named("double"):
        check_n_shuffles(config["double"]["n_shuffles"])
    if config["double"]["sub_clusters"] not in ("important", "all"):
        raise InvalidInputError(
            f"double.sub_clusters={config['double']['sub_clusters']!r}; expected important or all"
        )
    check_chosen_dataset(config)
    check_settings_act(config, typed)


def check_task(config: Mapping[str, Any], dataset: str, task: str | None) -> None:
    """Check that the lesions can be measured on a data set, of a task that may be unknown yet."""
    if task in ("classification", None):
        return
    if config["double"]["enabled"]:
        raise InvalidInputError(
            f"double.enabled=True with the data set {dataset}, a {task}: lesions "
            "of pairs are measured by accuracy; leave out double"
        )
    if config["measure_by"] is not None:
        raise InvalidInputError(
            f"measure_by={config['measure_by']!r} with the data set {dataset}, a {task}, whose "
            "lesions are measured by the errors of its targets; leave out measure_by"
        )


def check_dataset(config: Mapping[str, Any], dataset: Dataset) -> None:
    """Check that the lesions can be measured on a data set as the config says."""
    check_task(config, dataset.name, dataset.task)
    if config["measure_by"] == "group" and dataset.groups is None:
        raise InvalidInputError(
            f"measure_by='group' with the data set {dataset.name}, whose answers belong to no "
            "groups; expected class, or null, or a data set with groups"
        )


def inputs(run: StageRun) -> Inputs:
    """Read partition, network and data set, and the test to go on with."""
    unfinished = unfinished_test(run, "lesion", keep=("memory_mb",))
    check_settings(run.config, run.typed_keys())
    return read_inputs(run, unfinished, lambda dataset: check_dataset(run.config, dataset))


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print importance and coherence over all sub-clusters, and what kinds there are."""
    performance = (
        f"accuracy {result['accuracy']:.4f}"
        if "accuracy" in result
        else f"mean squared error {result['mean_squared_error']:.4g}"
    )
    left_out = f" ({result['n_left_out']} left out by size)" if result["n_left_out"] else ""
    print(f"\n{performance}, {result['n_subclusters']} sub-clusters lesioned{left_out}")
    if "group_accuracy" in result:
        print(measured_in_words(result))
    for measure in ("importance", "coherence"):
        print(f"{measure}: " + "\n  ".join(measure_in_words(result[measure])))
    kinds = [f"{count} {kind}" for kind, count in result["kinds"].items() if count]
    if kinds:
        print(f"sub-clusters: {', '.join(kinds)}")
    for line in random_ones_in_words(result["n_few_draws"], run.config["n_shuffles"]):
        print(line)
    if "double" in result:
        print(pairs_in_words(result["double"]))
    if "heads" in result:
        print("\n".join(heads_in_words(result["heads"])))
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


def heads_in_words(heads: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the lesions of whole heads gave, the important ones by name."""
    count = heads["n_heads"]
    found = "; ".join(
        f"{found['layer']} {', '.join(map(str, found['heads']))}" for found in heads["important"]
    )
    yield (
        f"heads: {heads['n_important']} of {count} do more harm than as many random value channels "
        f"of their layer (corrected p ≤ 0.05){f': {found}' if found else ''} (heads.png)"
    )
    for measure in ("importance", "coherence"):
        yield f"{measure} of heads: " + "\n  ".join(measure_in_words(heads[measure]))


@dataclass(frozen=True)
class Prepared:
    """The network with its images, the layers that are lesioned, and what they are measured by.

    Attributes:
        heads: The heads that are lesioned as wholes; None where none are.
    """

    engine: LesionEngine
    layers: Sequence[str]
    groups: Groups
    heads: Partition | None


def prepare(run: StageRun[Inputs]) -> Prepared:
    """Read the network, and check that it can be lesioned on these images."""
    import_keras()
    config = run.config
    dataset, file = run.inputs.dataset.value, run.inputs.network.value
    check_output(file, dataset, config)
    by_group = measures_by_group(dataset, config["measure_by"])
    engine = lesions.LesionEngine(
        file.network,
        RawSamples.of_tests(dataset).for_network(file),
        dataset.y_test,
        task=dataset.task,
        silence=config["silence"],
        memory_mb=config["memory_mb"],
        output=config["output"],
        residual=residual_rule(run.inputs.cluster_run.value),
        groups=by_group.test if by_group else None,
        n_groups=len(by_group.names) if by_group else None,
    )
    partition = run.inputs.partition.value
    layers = lesions.lesionable_layers(partition.layers, engine)
    sizes = partitions.SizeFilter(**config["sizes"])
    partitions.check_possible_draws(partition, layers, config["n_shuffles"], sizes)
    groups = groups_of(dataset, engine, tail=config["tail"], measure_by=config["measure_by"])
    return Prepared(engine, layers, groups, _heads(engine, config) if config["heads"] else None)


def _heads(engine: LesionEngine, config: Mapping[str, Any]) -> Partition:
    """Return the heads of a network that can be lesioned beside random channels."""
    try:
        heads = lesions.partition_into_heads(engine.layers, engine.heads)
        lesions.check_head_lesions(heads, config["n_shuffles"])
    except InvalidInputError as error:
        raise InvalidInputError(f"heads=True: {error}") from None
    return heads


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
    for name, draw in drawn_of(test).items():
        run.add_figure(name, draw(test, title))
    result = _figures(test, run.seed)
    if prepared.heads is not None:
        result["heads"] = head_lesions(run, engine, prepared.heads, groups, title)
    if config["double"]["enabled"]:
        result["double"] = double_lesions(run, engine, partition, test, title)
    if config["single_units"]:
        units = single_units(run, engine, layers, groups)
        add_table(run, "units", units.table())
        add_long_table(run, "unit_class_changes", units.class_changes(), units.changes.size)
    return result


def drawn_of(test: LesionTest) -> dict[str, Callable[[LesionTest, str], Figure]]:
    """Return the figures that a test has: those of which there is something to see, by name."""
    found: dict[str, Callable[[LesionTest, str], Figure]] = {
        "lesions": reports.figure_of_lesions,
        "class_changes": reports.figure_of_class_changes,
        "importance_by_size": reports.figure_of_importance_by_size,
    }
    if test.importance.combined.any() or test.coherence.combined.any():
        found["lesion_nulls"] = reports.figure_of_lesion_nulls
    return found


def _apart_in_words(run: StageRun[Inputs], layers: Sequence[str]) -> str | None:
    """Return which layers are not lesioned, as the output that is chosen does not hang on them."""
    config, given = run.config, run.inputs
    if config["output"] is None:
        return None
    hidden = lesions.lesionable_layers(
        given.partition.value.layers,
        given.network.value.network,
        residual=residual_rule(given.cluster_run.value),
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
        "measured_by": test.group_kind,
        "n_subclusters": len(test.sub_clusters),
        "n_left_out": test.n_left_out,
        "n_few_draws": test.n_few_draws,
        "kinds": dict(sorted(kinds.items())),
        "importance": test.importance.summary(seed),
        "coherence": test.coherence.summary(seed),
        **_by_group(test),
    }


def _by_group(test: LesionTest) -> dict[str, Any]:
    """Return the intact accuracy of every group of answers, if they are what counts."""
    if test.group_kind in ("class", "group of targets"):
        return {}
    return {"groups": list(test.groups), "group_accuracy": test.intact.tolist()}


if __name__ == "__main__":
    experiment.run_commandline()
