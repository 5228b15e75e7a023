"""Study a network: train or import, cluster, test, lesion and visualise it, each a run of its own.

It goes on where it was interrupted: stages that a completed run has done are not run again.

python experiments/pipeline.py with mlp mnist pruned
python experiments/pipeline.py with resnet18 published "leave_out=['visualise']"
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import (
    PROJECT,
    cluster,
    configure,
    import_network,
    lesion,
    page_command,
    shuffle_test,
    train,
    visualise,
)
from experiments._about import is_import
from experiments._chosen_null_model import check_clustering_fits
from experiments._datasets import tokens_of
from experiments._graph_files import is_of_file
from experiments._measures_in_words import measure_in_words
from experiments._network_outputs import has_outputs
from experiments._networks import IMPORTED
from experiments._phase_settings import phase_names
from nn_clustering import datasets, networks, partitions
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import StageExperiment, check_writable, project_root

if TYPE_CHECKING:
    from nn_clustering.tracking import RunStore, StageRun

# The stages in their order, each with the keys that the pipeline sets; one of the first two is run.
STAGES = {
    "train": ("seed", "resume"),
    "import_network": ("seed",),
    "cluster": ("seed", "train_run", "model", "model_code", "preprocessing", "checkpoint"),
    "shuffle_test": ("seed", "cluster_run", "model_code", "resume", "against_run"),
    "lesion": ("seed", "cluster_run", "model_code", "preprocessing", "output", "resume"),
    "visualise": ("seed", "cluster_run", "model_code", "preprocessing", "output", "resume"),
}
# Those that no other stage needs: they read the clustering, each by itself.
MAY_BE_LEFT_OUT = ("shuffle_test", "lesion", "visualise")
EXPERIMENTS = {
    "train": train.experiment,
    "import_network": import_network.experiment,
    "cluster": cluster.experiment,
    "shuffle_test": shuffle_test.experiment,
    "lesion": lesion.experiment,
    "visualise": visualise.experiment,
}

# What the config alone tells of each; that of the training returns what is known of its data set.
CHECKS: dict[str, Callable[..., datasets.Outline | None]] = {
    "train": train.check_settings,
    "import_network": import_network.check_settings,
    "cluster": cluster.check_settings,
    "shuffle_test": shuffle_test.check_settings,
    "lesion": lesion.check_settings,
    "visualise": visualise.check_settings,
}
# Those that use the network on a data set, and what tells whether they can on one of its task.
ON_DATA = {"lesion": lesion.check_task, "visualise": visualise.check_task}

# Kinds of networks that have no heads.
WITHOUT_ATTENTION = ("mlp", "cnn", "vgg")

# What the pipeline's own result has of a stage's; None for all of it.
FIGURES: dict[str, tuple[str, ...] | None] = {
    "cluster": ("ncut",),
    "shuffle_test": None,
    "lesion": ("n_subclusters", "importance", "coherence"),
    "visualise": ("score", "entropy"),
}

experiment = StageExperiment("pipeline", base_dir=PROJECT, save_git_info=False)
configure(
    experiment,
    parts=STAGES,
    exclusive_keys=(
        "train.network.kind",
        "train.dataset.name",
        "import_network.network.name",
        "cluster.graph.source",
        "cluster.partition.method",
        "shuffle_test.method",
    ),
)


def check(run: StageRun) -> None:
    """Refuse what any stage would by the config alone, before the training that comes first."""
    if not run.is_tracked:
        raise InvalidInputError(
            "the stages hand each other their results through stored runs: run the pipeline "
            "without -u"
        )
    check_left_out(run.config["leave_out"])
    stages = stages_of(run.config)
    _check_acts(run, stages)
    outline = None
    for stage in stages:
        with run.context.mistakes_of_part(stage):
            found = CHECKS[stage](run.config[stage], _typed(run, stage))
            outline = outline or found
    _check_clustering(run.config, outline)
    if "lesion" in stages:
        _check_heads(run.config)
    if "shuffle_test" in stages:
        check_clustering_fits(
            run.config["cluster"],
            run.config["shuffle_test"],
            parts=("cluster.", "shuffle_test."),
            rule=run.config["cluster"]["graph"]["residual"],
        )
    for stage in ON_DATA:
        if stage in stages:
            check_data(run.config, stage, outline)
    folder = run.config["figures_folder"]
    if not folder.strip():
        raise InvalidInputError("figures_folder='': expected the name of a folder")
    check_writable(project_root() / folder, f"figures_folder={folder}")


@experiment.stage(check=check)
def pipeline(run: StageRun) -> dict[str, Any]:
    """Run all stages; the result holds the run id and the main figures of each."""
    folder = _figures_folder(run)
    first, *others = stages_of(run.config)
    done = {first: run_stage(run, first)}
    # whoever names the code of an imported network's layers here names it for all stages
    code = {"model_code": run.config["import_network"]["model_code"]}
    done["cluster"] = run_stage(run, "cluster", train_run=done[first]._id, **code)
    for stage in others[1:]:
        done[stage] = run_stage(run, stage, cluster_run=done["cluster"]._id, **code)
    result = {
        "runs": {stage: part._id for stage, part in done.items()},
        "phase": done["cluster"].info["phase"],
        **_network_figures(done),
        **{
            key: value
            for stage, keys in FIGURES.items()
            if stage in done
            for key, value in done[stage].result.items()
            if keys is None or key in keys
        },
    }
    copy_figures(run.store, result["runs"].values(), folder)
    print(_summary(result, folder))
    return result


def stages_of(config: Mapping[str, Any]) -> list[str]:
    """Return the stages that a config asks for: a network is imported or trained, never both."""
    no_source = "train" if is_import(config["import_network"]) else "import_network"
    return [stage for stage in STAGES if stage not in (no_source, *config["leave_out"])]


def _check_heads(config: Mapping[str, Any]) -> None:
    """Check that a network that is trained has heads, if they are to be lesioned."""
    kind = config["train"]["network"]["kind"]
    if config["lesion"]["heads"] and stages_of(config)[0] == "train" and kind in WITHOUT_ATTENTION:
        raise InvalidInputError(
            f"lesion.heads=True with train.network.kind={kind}, which has no attention; expected "
            "transformer or vit, or a function of one's own"
        )


def check_left_out(left_out: Sequence[Any]) -> None:
    """Check that the stages which are to be left out can be.

    Raises:
        InvalidInputError: If one is no stage, or others need it, or one is there twice.
    """
    for stage in left_out:
        if stage not in MAY_BE_LEFT_OUT:
            why = "which others need" if stage in tuple(STAGES) else "which is no stage"
            raise InvalidInputError(
                f"leave_out={list(left_out)}: {stage!r}, {why}; expected some of "
                f"{', '.join(MAY_BE_LEFT_OUT)}"
            )
    if len(set(left_out)) < len(left_out):
        raise InvalidInputError(f"leave_out={list(left_out)}; expected each stage once")


def _network_figures(done: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the training says of the network's phase, or of an imported one the lesions."""
    if "train" in done:
        figures: dict[str, Any] = done["train"].result[done["cluster"].info["phase"]]
        return figures
    intact = done["lesion"].result if "lesion" in done else {}
    return {
        "test_accuracy": intact.get("accuracy"),
        "test_loss": intact.get("mean_squared_error"),
        "n_parameters": done["import_network"].result["n_parameters"],
    }


def run_stage(run: StageRun, stage: str, **links: int | str | None) -> Any:
    """Run one stage with its part of the config, and record that this run rests on it."""
    config = copy.deepcopy(dict(run.config[stage]))
    updates = {**config, "seed": run.seed, **links}
    done = run.run_part(EXPERIMENTS[stage], updates, run.named_configs)
    run.sacred_run.info.setdefault("lineage", {})[f"{stage}_run"] = done._id
    return done


def _check_acts(run: StageRun, stages: Sequence[str]) -> None:
    """Check that nothing was asked of the stages that are not run."""
    of_others = {name for stage in stages for name in EXPERIMENTS[stage].named_configs}
    for left_out in STAGES:
        if left_out in stages:
            continue
        only_there = set(EXPERIMENTS[left_out].named_configs) - of_others
        asked = [f"{left_out}.{key}" for key in _typed(run, left_out)]
        asked += [name for name in run.named_configs if name in only_there]
        if asked:
            why = {
                "train": "a network is imported, and none trained: leave it out, or leave out what "
                "is imported",
                "import_network": "no network is imported: add its name, as vgg16, or "
                "import_network.model=FILE",
            }.get(left_out, f"leave_out={run.config['leave_out']}; leave out one of the two")
            raise InvalidInputError(f"{', '.join(asked)} changes nothing while {why}")


def _check_clustering(config: Mapping[str, Any], outline: datasets.Outline | None) -> None:
    training, clustering = config["train"], config["cluster"]
    if is_of_file(clustering):
        raise InvalidInputError(
            "cluster.graph.source=file: the pipeline clusters the network that it makes; expected "
            "weights, activations or gradients"
        )
    if outline is None:
        if clustering["phase"] is not None:
            raise InvalidInputError(
                f"cluster.phase={clustering['phase']}: an imported network has no phases; leave it "
                "out"
            )
        return
    phases = phase_names(
        trained=training["training"]["enabled"], pruned=training["pruning"]["enabled"]
    )
    if clustering["phase"] not in (None, *phases):
        raise InvalidInputError(
            f"cluster.phase={clustering['phase']}: this training has the phases {', '.join(phases)}"
        )
    shape, n_outputs = outline.input_shape, outline.n_outputs
    if shape is None or n_outputs is None:
        return  # the stage itself checks it
    most = networks.most_units(
        input_shape=shape,
        n_outputs=n_outputs,
        tokens=tokens_of(outline),
        **training["network"],
    )
    makes_clusters = clustering["partition"]["method"] in partitions.WITH_N_CLUSTERS
    if most is not None and makes_clusters and clustering["n_clusters"] > most:
        raise InvalidInputError(
            f"cluster.n_clusters={clustering['n_clusters']}; expected 2 to {most}, the number of "
            "units that this network has"
        )


def check_data(config: Mapping[str, Any], stage: str, outline: datasets.Outline | None) -> None:
    """Check that a stage uses the network on a data set that it has an output for each class of.

    Args:
        config: The pipeline's.
        stage: One of :data:`ON_DATA`.
        outline: Of the data set that the network is trained on; None where it is imported.
    """
    settings, first = config[stage], stages_of(config)[0]
    asked = {key: value for key, value in settings["dataset"].items() if value is not None}
    name, names = asked.get("name"), asked.get("class_names")
    with_task = config[first]["dataset"]["name"] if name is None else name
    if with_task is None:
        raise InvalidInputError(
            "import_network.dataset.name=None: expected the data set that the network is used "
            "on, import_network.dataset.name=NAME"
        )
    own = outline
    if name is not None:
        with _named_as(stage):
            own = datasets.require_dataset(**asked)
    elif outline is None:
        of_network = config[first]["dataset"]
        names = of_network["class_names"] if names is None else names
        with _named_as("import_network"):
            own = datasets.require_dataset(**{**of_network, "class_names": names})
    assert own is not None  # of the one or of the other
    if stage == "visualise":
        visualise.check_numbers(own, "or leave_out=['visualise']")
    try:
        ON_DATA[stage](settings, own.name, own.task)
    except InvalidInputError as error:
        raise InvalidInputError(f"{stage}.{error}") from None
    if outline is None:
        _check_outputs(config["import_network"]["network"], own, names)
        return
    if own.input_shape is None or outline.input_shape is None:
        return
    if own.n_tokens != outline.n_tokens:
        raise InvalidInputError(
            f"{stage}.dataset.name={name}: its samples are of {_in_words(own)}, and the network is "
            f"trained on {outline.name}, of {_in_words(outline)}; expected a data set of the same, "
            "or None for the same"
        )
    if math.prod(own.input_shape) != math.prod(outline.input_shape):
        raise InvalidInputError(
            f"{stage}.dataset.name={name}: its samples have the shape {own.input_shape}, and the "
            f"network is trained on {outline.name}, of {outline.input_shape}; expected a data set "
            "of that shape, or None for the same"
        )


def _in_words(outline: datasets.Outline) -> str:
    return "no tokens" if outline.n_tokens is None else f"{outline.n_tokens} tokens"


@contextmanager
def _named_as(part: str) -> Iterator[None]:
    """Name a key by the part that has it."""
    try:
        yield
    except InvalidInputError as error:
        raise InvalidInputError(str(error).replace("dataset.", f"{part}.dataset.", 1)) from None


def _check_outputs(
    network: Mapping[str, Any], lesioned: datasets.Outline, class_names: str | None
) -> None:
    n_outputs, n_classes = network["n_outputs"], lesioned.n_outputs
    if network["name"] is None or n_classes is None:
        return
    if not has_outputs(n_outputs, n_classes, class_names):
        raise InvalidInputError(
            f"{network['name']} has {n_outputs:,} outputs, and the data set {lesioned.name} "
            f"{lesioned.n_outputs:,} classes or targets; expected one output for each: take "
            "another import_network.dataset.name, say in a file which output is which class "
            "(import_network.dataset.class_names), or with random weights "
            "import_network.network.n_outputs"
        )


def _typed(run: StageRun, stage: str) -> list[str]:
    """Return the keys of a stage that the command line sets one by one."""
    prefix = f"{stage}."
    return [key.removeprefix(prefix) for key in run.typed_keys() if key.startswith(prefix)]


def _figures_folder(run: StageRun) -> Path:
    folder: Path = project_root() / run.config["figures_folder"] / f"run_{run.id}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def copy_figures(store: RunStore, run_ids: Iterable[int], folder: Path) -> None:
    """Write the figures of runs to a folder, as PNG and PDF; single inputs are on sheets."""
    for run_id in run_ids:
        stored = store.run(run_id)
        for name, file_name in stored.file_names().items():
            if name.endswith((".png", ".pdf")) and not name.startswith("input_"):
                (folder / file_name).write_bytes(stored.artifact(name))


def _performance(result: Mapping[str, Any]) -> tuple[str, str]:
    """Return what the network's performance is called, and what it is."""
    if result["test_accuracy"] is not None:
        return "test accuracy", f"{result['test_accuracy']:.4f}"
    if result["test_loss"] is not None:
        return "test loss", f"{result['test_loss']:.4g}"
    return "network", "not tested"


def _network_in_words(result: Mapping[str, Any]) -> tuple[str, str]:
    name, performance = _performance(result)
    if result["phase"] == IMPORTED:
        return name, f"{performance}, {result['n_parameters']:,} parameters ({IMPORTED})"
    return name, f"{performance}, sparsity {result['sparsity']:.3f} ({result['phase']})"


def _clusterability_in_words(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if "shuffle_test" not in result["runs"]:
        yield "n-cut", f"{result['ncut']:.4f}"
        return
    yield (
        "n-cut",
        f"{result['ncut']:.4f}; its shuffles {result['shuffled_mean']:.4f} "
        f"(std {result['shuffled_std']:.4f})",
    )
    yield "clusterability", f"{shuffle_test.in_words(result)} of {result['n_shuffles']} shuffles"
    for line in shuffle_test.fragility_in_words(result, result["runs"]["cluster"]):
        yield "", line


def _summary(result: dict[str, Any], folder: Path) -> str:
    runs = result["runs"]
    lines = [_network_in_words(result)]
    lines += _clusterability_in_words(result)
    for measure in ("importance", "coherence", "score", "entropy"):
        if result.get(measure) is not None:
            first, *others = measure_in_words(result[measure])
            lines += [(measure, first), *(("", other) for other in others)]
    if "lesion" in runs:
        lines.append(("sub-clusters", str(result["n_subclusters"])))
    lines += [
        ("runs", ", ".join(f"{stage} {run_id}" for stage, run_id in runs.items())),
        ("figures", str(folder)),
        ("Omniboard", page_command()),
    ]
    return "\n" + "\n".join(f"  {name:<15} {text}" for name, text in lines) + "\n"


if __name__ == "__main__":
    experiment.run_commandline()
