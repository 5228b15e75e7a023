"""Study a network: train, cluster, shuffle-test and lesion it, each a run of its own.

It goes on where it was interrupted: stages that a completed run has done are not run again.

python experiments/pipeline.py with mlp mnist pruned
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import (
    PROJECT,
    cluster,
    configure,
    lesion,
    page_command,
    shuffle_test,
    train,
)
from experiments._phase_settings import check_conditions, check_settings_act, phase_names
from nn_clustering import datasets
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import StageExperiment, project_root

if TYPE_CHECKING:
    from nn_clustering.tracking import RunStore, StageRun

# The stages in their order, each with the keys that the pipeline sets.
STAGES = {
    "train": ("seed", "resume"),
    "cluster": ("seed", "train_run", "model", "model_code", "checkpoint"),
    "shuffle_test": ("seed", "cluster_run", "model_code", "resume", "against_run"),
    "lesion": ("seed", "cluster_run", "model_code", "output", "resume"),
}
EXPERIMENTS = {
    "train": train.experiment,
    "cluster": cluster.experiment,
    "shuffle_test": shuffle_test.experiment,
    "lesion": lesion.experiment,
}

experiment = StageExperiment("pipeline", base_dir=PROJECT, save_git_info=False)
configure(experiment, parts=STAGES, exclusive_keys=("train.network.kind", "train.dataset.name"))


@experiment.stage
def pipeline(run: StageRun) -> dict[str, Any]:
    """Run all stages; the result holds the run id and the main figures of each."""
    if run.database is None:
        raise InvalidInputError(
            "the stages hand each other their results through stored runs: run the pipeline "
            "without -u"
        )
    _check(run)
    folder = _figures_folder(run)
    trained = run_stage(run, "train")
    clustered = run_stage(run, "cluster", train_run=trained._id)
    shuffled = run_stage(run, "shuffle_test", cluster_run=clustered._id)
    lesioned = run_stage(run, "lesion", cluster_run=clustered._id)
    runs = (trained, clustered, shuffled, lesioned)
    result = {
        "runs": {stage: part._id for stage, part in zip(STAGES, runs, strict=True)},
        "phase": clustered.info["phase"],
        **trained.result[clustered.info["phase"]],
        **shuffled.result,
        "n_subclusters": lesioned.result["n_subclusters"],
        "importance": lesioned.result["importance"],
        "coherence": lesioned.result["coherence"],
    }
    copy_figures(run.store, result["runs"].values(), folder)
    print(_summary(result, folder))
    return result


def run_stage(run: StageRun, stage: str, **links: int) -> Any:
    """Run one stage with its part of the config, and record that this run rests on it."""
    config = copy.deepcopy(dict(run.config[stage]))
    updates = {**config, "seed": run.seed, **links}
    done = run.run_part(EXPERIMENTS[stage], updates, run.named_configs)
    run.sacred_run.info.setdefault("lineage", {})[f"{stage}_run"] = done._id
    return done


def _check(run: StageRun) -> None:
    """Refuse what a later stage would, before the training that comes first."""
    clustering = run.config["cluster"]
    cluster.check_settings(clustering, _typed(run, "cluster"))
    partition = clustering["partition"]
    if partition["local"] or partition["method"] == "file":
        raise InvalidInputError(
            f"cluster.partition.local={partition['local']} cluster.partition.method="
            f"{partition['method']}: the shuffle test needs one clustering of the whole graph, by "
            "a method that finds one; run train.py, cluster.py and lesion.py one by one"
        )
    training = run.config["train"]
    check_conditions(training)
    check_settings_act(training, _typed(run, "train"))
    datasets.require_dataset(**training["dataset"])
    phases = phase_names(
        trained=training["training"]["enabled"], pruned=training["pruning"]["enabled"]
    )
    if clustering["phase"] not in (None, *phases):
        raise InvalidInputError(
            f"cluster.phase={clustering['phase']}: this training has the phases {', '.join(phases)}"
        )
    shuffle_test.check_settings(run.config["shuffle_test"])
    check_settings_act(run.config["shuffle_test"], _typed(run, "shuffle_test"))
    lesioning = run.config["lesion"]
    lesion.check_settings(lesioning)
    check_settings_act(lesioning, _typed(run, "lesion"))
    if lesioning["dataset"]["name"] is not None:
        datasets.require_dataset(lesioning["dataset"]["name"])
    lesion.check_task(lesioning, lesioning["dataset"]["name"] or training["dataset"]["name"])


def _typed(run: StageRun, stage: str) -> list[str]:
    """Return the keys of a stage that the command line sets one by one."""
    prefix = f"{stage}."
    return [key.removeprefix(prefix) for key in run.typed_keys() if key.startswith(prefix)]


def _figures_folder(run: StageRun) -> Path:
    folder = project_root() / run.config["figures_folder"] / f"run_{run.id}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInputError(
            f"figures_folder={run.config['figures_folder']}: {folder} cannot be made "
            f"({error.strerror}); expected a folder that can be written to"
        ) from error
    found: Path = folder
    return found


def copy_figures(store: RunStore, run_ids: Iterable[int], folder: Path) -> None:
    """Write the PNG files of runs to a folder."""
    for run_id in run_ids:
        stored = store.run(run_id)
        for name, file_name in stored.file_names().items():
            if name.endswith(".png"):
                (folder / file_name).write_bytes(stored.artifact(name))


def _performance(result: dict[str, Any]) -> str:
    if result["test_accuracy"] is None:
        return f"{result['test_loss']:.4g}"
    return f"{result['test_accuracy']:.4f}"


def _summary(result: dict[str, Any], folder: Path) -> str:
    ids = ", ".join(f"{stage} {run_id}" for stage, run_id in result["runs"].items())
    lines = [
        (
            "test loss" if result["test_accuracy"] is None else "test accuracy",
            f"{_performance(result)}, sparsity {result['sparsity']:.3f} ({result['phase']})",
        ),
        (
            "n-cut",
            f"{result['ncut']:.4f}; its shuffles {result['shuffled_mean']:.4f} "
            f"(std {result['shuffled_std']:.4f})",
        ),
        (
            "clusterability",
            f"{shuffle_test.in_words(result)} of {result['n_shuffles']} shuffles",
        ),
    ]
    lines += [
        ("", line) for line in shuffle_test.fragility_in_words(result, result["runs"]["cluster"])
    ]
    for measure in ("importance", "coherence"):
        first, *others = lesion.in_words(result[measure])
        lines += [(measure, first), *(("", other) for other in others)]
    lines += [
        ("sub-clusters", str(result["n_subclusters"])),
        ("runs", ids),
        ("figures", str(folder)),
        ("Omniboard", page_command()),
    ]
    return "\n" + "\n".join(f"  {name:<15} {text}" for name, text in lines) + "\n"


if __name__ == "__main__":
    experiment.run_commandline()
