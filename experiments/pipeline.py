"""Study a network: train, cluster, shuffle-test and lesion it, each a run of its own.

python experiments/pipeline.py with mlp mnist pruned
"""

import copy
from pathlib import Path
from typing import Any

from experiments import PROJECT, cluster, lesion, shuffle_test, train
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking.experiment import StageExperiment, StageRun
from nn_clustering.tracking.server import project_root
from nn_clustering.tracking.store import RunStore

# The stages in their order, each with the keys that the pipeline sets.
STAGES = {
    "train": ("seed",),
    "cluster": ("seed", "train_run", "model"),
    "shuffle_test": ("seed", "cluster_run"),
    "lesion": ("seed", "cluster_run"),
}
EXPERIMENTS = {
    "train": train.experiment,
    "cluster": cluster.experiment,
    "shuffle_test": shuffle_test.experiment,
    "lesion": lesion.experiment,
}

experiment = StageExperiment("pipeline", base_dir=PROJECT)
experiment.configure(PROJECT, parts=STAGES)


@experiment.stage
def pipeline(run: StageRun) -> dict[str, Any]:
    """Run all stages; the result holds the run id and the main figures of each."""
    if run.database is None:
        raise InvalidInputError(
            "the stages hand each other their results through stored runs: run the pipeline "
            "without -u"
        )
    trained = run_stage(run, "train")
    clustered = run_stage(run, "cluster", train_run=trained._id)
    shuffled = run_stage(run, "shuffle_test", cluster_run=clustered._id)
    lesioned = run_stage(run, "lesion", cluster_run=clustered._id)
    runs = (trained, clustered, shuffled, lesioned)
    result = {
        "runs": {stage: part._id for stage, part in zip(STAGES, runs, strict=True)},
        "test_accuracy": trained.result["test_accuracy"],
        "sparsity": trained.result["sparsity"],
        **shuffled.result,
        "n_subclusters": lesioned.result["n_subclusters"],
        "importance": lesioned.result["importance"],
        "coherence": lesioned.result["coherence"],
    }
    folder = _copy_figures(run, result["runs"])
    print(_summary(result, folder))
    return result


def run_stage(run: StageRun, stage: str, **links: int) -> Any:
    """Run one stage with its part of the config, and record that this run rests on it."""
    config = copy.deepcopy(dict(run.config[stage]))
    done = EXPERIMENTS[stage].run_as_part(run.experiment, {**config, "seed": run.seed, **links})
    run.sacred_run.info.setdefault("lineage", {})[f"{stage}_run"] = done._id
    return done


def _copy_figures(run: StageRun, run_ids: dict[str, int]) -> Path:
    folder = project_root() / run.config["figures_folder"] / f"run_{run.id}"
    folder.mkdir(parents=True, exist_ok=True)
    assert run.database is not None
    store = RunStore(run.database)
    for run_id in run_ids.values():
        stored = store.run(run_id)
        for name in stored.artifacts:
            if name.endswith(".png"):
                (folder / name).write_bytes(stored.artifact(name))
    return folder


def _summary(result: dict[str, Any], folder: Path) -> str:
    ids = ", ".join(f"{stage} {run_id}" for stage, run_id in result["runs"].items())
    lines = [
        ("test accuracy", f"{result['test_accuracy']:.4f}, sparsity {result['sparsity']:.3f}"),
        (
            "n-cut",
            f"{result['ncut']:.4f}; its shuffles {result['shuffled_mean']:.4f} "
            f"(std {result['shuffled_std']:.4f})",
        ),
        (
            "clusterability",
            f"z = {result['z_score']:.2f}, p = {result['p_value']:.3g} of "
            f"{result['n_shuffles']} shuffles",
        ),
    ]
    for measure in ("importance", "coherence"):
        summary = result[measure]
        effect = "undefined" if summary["effect"] is None else f"{summary['effect']:.3f}"
        lines.append(
            (
                measure,
                f"combined p = {summary['fisher_p']:.3g}, effect {effect} (1 is none), "
                f"{result['n_subclusters']} sub-clusters",
            )
        )
    lines += [
        ("runs", ids),
        ("figures", str(folder)),
        ("Omniboard", "make up"),
    ]
    return "\n" + "\n".join(f"  {name:<15} {text}" for name, text in lines) + "\n"


if __name__ == "__main__":
    experiment.run_commandline()
