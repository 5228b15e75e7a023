"""Study conditions with several seeds each, and print one table with published figures beside.

It goes on where it was interrupted: stages that a completed run has done are not run again.

python experiments/study.py with mnist
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas

from experiments import PROJECT, cluster, configure, shuffle_test, train
from experiments._phase_settings import check_conditions, phase_names, training_phases
from nn_clustering import datasets, partitions, significance
from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import StageExperiment

if TYPE_CHECKING:
    from nn_clustering.tracking import StageRun

MEASURES = ("accuracy", "ncut", "shuffled_mean")

experiment = StageExperiment("study", base_dir=PROJECT, save_git_info=False)
configure(experiment)


@experiment.stage
def study(run: StageRun) -> dict[str, Any]:
    """Run every condition with every seed; the result holds means, spreads and z-scores."""
    if run.database is None or not run.config["conditions"]:
        raise InvalidInputError(
            "a study needs stored runs and conditions: run it without -u and with a named config "
            "(print_named_configs lists the studies)"
        )
    if run.seed != experiment.defaults["seed"]:
        raise InvalidInputError(
            f"seed={run.seed} changes nothing: the networks of a study have the seeds of its "
            "conditions; leave it out, or change their seeds"
        )
    for condition in run.config["conditions"]:
        _check(condition)
    rows = [
        row
        for condition in run.config["conditions"]
        for seed in condition["seeds"]
        for row in _one_network(run, condition, seed)
    ]
    run.sacred_run.info["lineage"] = {
        f"{stage}_run_{place}": row[f"{stage}_run"]
        for place, row in enumerate(rows)
        for stage in ("train", "cluster", "shuffle_test")
    }
    networks = pandas.DataFrame(rows)
    run.add_artifact("networks.csv", networks.to_csv(index=False).encode())
    table = summarise(networks, run.config["conditions"])
    run.add_artifact("table.csv", table.to_csv(index=False).encode())
    print("\n" + format_table(table))
    defined = table.astype(object).where(table.notna(), None)
    return {"conditions": defined.to_dict("records")}


def _check(condition: Any) -> None:
    keys = ("name", "train", "seeds", "phases", "n_clusters", "n_shuffles")
    missing = [key for key in keys if not isinstance(condition, Mapping) or key not in condition]
    if missing:
        raise InvalidInputError(
            f"conditions: {dict(condition) if isinstance(condition, Mapping) else condition!r} has "
            f"no {', '.join(missing)}; configs/study/default.yaml says what a condition is"
        )
    config = train.experiment.full_config(condition["train"])
    check_conditions(config)
    training_phases(config, n_train=config["training"]["batch_size"])
    datasets.require_dataset(**config["dataset"])
    phases = phase_names(trained=config["training"]["enabled"], pruned=config["pruning"]["enabled"])
    unknown = [phase for phase in condition["phases"] if phase not in phases]
    if unknown:
        raise InvalidInputError(
            f"conditions: {condition['name']} has phases={condition['phases']}; its training has "
            f"the phases {', '.join(phases)}"
        )
    published = cluster.experiment.full_config(["published"])
    partitions.check_clustering(
        condition["n_clusters"],
        n_init=published["kmeans"]["n_init"],
        select=published["kmeans"]["select"],
    )
    significance.check_shuffle_test(n_shuffles=condition["n_shuffles"], method="layer", n_workers=1)


def _one_network(run: StageRun, condition: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    trained = run.run_part(train.experiment, {"seed": seed}, condition["train"])
    rows = []
    for phase in condition["phases"]:
        updates = {
            "seed": seed,
            "train_run": trained._id,
            "phase": phase,
            "n_clusters": condition["n_clusters"],
        }
        clustered = run.run_part(cluster.experiment, updates, ["published"])
        updates = {
            "seed": seed,
            "cluster_run": clustered._id,
            "n_shuffles": condition["n_shuffles"],
        }
        shuffled = run.run_part(shuffle_test.experiment, updates, ["published"])
        rows.append(
            {
                "condition": condition["name"],
                "phase": phase,
                "seed": seed,
                "accuracy": trained.result[phase]["test_accuracy"],
                **{key: shuffled.result[key] for key in ("ncut", "shuffled_mean", "shuffled_std")},
                **{key: shuffled.result[key] for key in ("z_score", "p_value")},
                "fragile": shuffle_test.is_fragile(shuffled.result),
                "train_run": trained._id,
                "cluster_run": clustered._id,
                "shuffle_test_run": shuffled._id,
            }
        )
    return rows


def summarise(
    networks: pandas.DataFrame, conditions: Sequence[Mapping[str, Any]]
) -> pandas.DataFrame:
    """Return one row a condition and phase: means over networks, and the published ones.

    Standard deviations are those of a sample (n - 1); a single network has none.
    """
    published = {condition["name"]: condition.get("published", {}) for condition in conditions}
    rows = []
    for (name, phase), group in networks.groupby(["condition", "phase"], sort=False):
        row = {"condition": f"{name}, {phase}", "n_networks": len(group)}
        for measure in MEASURES:
            row[measure] = group[measure].mean()
            row[f"{measure}_std"] = group[measure].std() if len(group) > 1 else None
            row[f"{measure}_published"] = published[name].get(phase, {}).get(measure)
        # undefined where all shuffles of a network are alike
        row["z_score"] = group["z_score"].astype(float).mean()
        row["largest_p_value"] = group["p_value"].max()
        row["n_fragile"] = int(group["fragile"].sum())
        rows.append(row)
    return pandas.DataFrame(rows)


def format_table(table: pandas.DataFrame) -> str:
    """Return the table as Markdown: mean ± standard deviation over networks, (published mean)."""
    header = ["", "networks", "accuracy", "n-cut", "shuffled mean", "z", "largest p"]
    lines = [header, ["---"] * len(header)]
    for row in table.to_dict("records"):
        cells = [row["condition"], str(row["n_networks"])]
        for measure, digits in zip(MEASURES, (4, 3, 3), strict=True):
            reference, spread = row[f"{measure}_published"], row[f"{measure}_std"]
            shown = f"{row[measure]:.{digits}f}"
            if pandas.notna(spread):
                shown += f" ± {spread:.{digits}f}"
            cells.append(f"{shown} ({reference})" if pandas.notna(reference) else shown)
        z_score = f"{row['z_score']:.1f}" if pandas.notna(row["z_score"]) else "undefined"
        fragile = f" ({row['n_fragile']} fragile)" if row["n_fragile"] else ""
        lines.append([*cells, z_score, f"{row['largest_p_value']:.3f}{fragile}"])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    experiment.run_commandline()
