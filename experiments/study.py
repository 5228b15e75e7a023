"""Study conditions with several seeds each, and print one table with published figures beside.

It goes on where it was interrupted: stages that a completed run has done are not run again.

python experiments/study.py with mnist
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas

from experiments import PROJECT, cluster, configure, shuffle_test, train
from experiments._phase_settings import phase_names
from nn_clustering import partitions, significance
from nn_clustering.errors import InvalidInputError, did_you_mean
from nn_clustering.tracking import StageExperiment

if TYPE_CHECKING:
    from nn_clustering.tracking import StageRun

MEASURES = ("accuracy", "ncut", "shuffled_mean")

experiment = StageExperiment("study", base_dir=PROJECT, save_git_info=False)
configure(experiment)


def check(run: StageRun) -> None:
    """Check what the config alone tells."""
    conditions = run.config["conditions"]
    if not run.is_tracked or not conditions:
        raise InvalidInputError(
            "a study needs stored runs and conditions: run it without -u and with a named config "
            "(print_named_configs lists the studies)"
        )
    if run.seed != experiment.defaults["seed"]:
        raise InvalidInputError(
            f"seed={run.seed} changes nothing: the networks of a study have the seeds of its "
            "conditions; leave it out, or change their seeds"
        )
    for condition in conditions:
        _check(condition)
    names = [condition["name"] for condition in conditions]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InvalidInputError(
            f"conditions: two are called {twice}, and would be one row; expected a name for each"
        )


@experiment.stage(check=check)
def study(run: StageRun) -> dict[str, Any]:
    """Run every condition with every seed; the result holds means, spreads and z-scores."""
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


def _is_list_of(kind: type, value: Any) -> bool:
    is_list = isinstance(value, list | tuple) and all(type(entry) is kind for entry in value)
    return is_list and len(set(value)) == len(value)


# The keys of a condition, each with what its value has to be, and whether it is that.
CONDITION: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a word", lambda value: isinstance(value, str) and bool(value.strip())),
    "train": ("a list of named configs of train", lambda value: _is_list_of(str, value)),
    "seeds": (
        "a list of integers from 0 to 4294967295, each once",
        lambda value: (
            _is_list_of(int, value) and len(value) > 0 and all(0 <= seed < 2**32 for seed in value)
        ),
    ),
    "phases": (
        "a list of phases, each once",
        lambda value: _is_list_of(str, value) and len(value) > 0,
    ),
    "n_clusters": ("an integer of 2 or more", lambda value: type(value) is int and value >= 2),
    "n_shuffles": ("an integer of 2 or more", lambda value: type(value) is int and value >= 2),
    "published": (
        f"for phases, the mean of some of {', '.join(MEASURES)}",
        lambda value: isinstance(value, Mapping) and all(map(_is_published, value.values())),
    ),
}


def _is_published(means: Any) -> bool:
    return isinstance(means, Mapping) and all(
        key in MEASURES and type(mean) in (int, float) for key, mean in means.items()
    )


def _check(condition: Any) -> None:
    """Check one condition of a study.

    Raises:
        InvalidInputError: If a key is missing, unknown, or of another kind, or a stage refuses it.
    """
    given: Mapping[Any, Any] = condition if isinstance(condition, Mapping) else {}
    missing = [key for key in CONDITION if key not in given and key != "published"]
    if missing:
        raise InvalidInputError(
            f"conditions: {dict(given) or condition!r} has no {', '.join(missing)}; "
            "configs/study/default.yaml says what a condition is"
        )
    unknown = next((key for key in given if key not in CONDITION), None)
    if unknown is not None:
        raise InvalidInputError(
            f"conditions: {given['name']} has {unknown}={given[unknown]!r}"
            f"{did_you_mean(str(unknown), CONDITION)}; expected {', '.join(CONDITION)}"
        )
    for key, (expected, is_that) in CONDITION.items():
        if key in given and not is_that(given[key]):
            raise InvalidInputError(
                f"conditions: {given['name']} has {key}={given[key]!r}; expected {expected}"
            )
    try:
        _check_stages(given)
    except InvalidInputError as error:
        raise InvalidInputError(f"conditions: {given['name']}: {error}") from None


def _check_stages(condition: Mapping[str, Any]) -> None:
    config = train.experiment.full_config(condition["train"])
    train.check_settings(config)
    phases = phase_names(trained=config["training"]["enabled"], pruned=config["pruning"]["enabled"])
    for key in ("phases", "published"):
        if not set(condition.get(key, ())) <= set(phases):
            raise InvalidInputError(
                f"{key}={condition[key]}; its training has the phases {', '.join(phases)}"
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
