"""Study conditions with several seeds each, and print one table with published figures beside.

A condition is a training, or the import of a network that was trained elsewhere.

It goes on where it was interrupted: stages that a completed run has done are not run again.

python experiments/study.py with mnist
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas

from experiments import (
    PROJECT,
    cluster,
    configure,
    import_network,
    lesion,
    shuffle_test,
    train,
    visualise,
)
from experiments._networks import IMPORTED
from experiments._phase_settings import phase_names
from nn_clustering import significance
from nn_clustering.errors import InvalidInputError, did_you_mean
from nn_clustering.tracking import StageExperiment

if TYPE_CHECKING:
    from nn_clustering.tracking import StageRun

# Measures of which there are published means, with the digits that the table shows.
MEASURES = {"accuracy": 4, "ncut": 3, "shuffled_mean": 3, "z_score": 1}
# Those of stages that not every study runs: combined p-values, a network each.
OF_LESIONS = {"importance_p": 4, "coherence_p": 4}
OF_VISUALISATIONS = {"score_p": 4, "entropy_p": 4}
P_VALUES = OF_LESIONS | OF_VISUALISATIONS
TITLES = {
    "accuracy": "accuracy",
    "ncut": "n-cut",
    "shuffled_mean": "shuffled mean",
    "z_score": "z",
    "importance_p": "importance p",
    "coherence_p": "coherence p",
    "score_p": "score p",
    "entropy_p": "entropy p",
}

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
        for stage in STAGES
        if f"{stage}_run" in row
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


STAGES = ("train", "import_network", "cluster", "shuffle_test", "lesion", "visualise")
# The keys of a condition that it can do without.
OPTIONAL = (
    *("train", "import_network", "settings", "n_shuffles", "lesions", "visualisations"),
    "published",
)
# The keys of a condition, each with what its value has to be, and whether it is that.
CONDITION: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": ("a word", lambda value: isinstance(value, str) and bool(value.strip())),
    "train": ("a list of named configs of train", lambda value: _is_list_of(str, value)),
    "import_network": (
        "a list of named configs of import_network",
        lambda value: _is_list_of(str, value),
    ),
    "settings": (
        "a named config of cluster, shuffle_test, lesion and visualise",
        lambda value: isinstance(value, str) and bool(value),
    ),
    "lesions": ("True or False", lambda value: isinstance(value, bool)),
    "visualisations": ("True or False", lambda value: isinstance(value, bool)),
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
        f"for phases, the mean of some of {', '.join((*MEASURES, *P_VALUES))}",
        lambda value: isinstance(value, Mapping) and all(map(_is_published, value.values())),
    ),
}


def _is_published(means: Any) -> bool:
    return isinstance(means, Mapping) and all(
        key in MEASURES | P_VALUES and type(mean) in (int, float) for key, mean in means.items()
    )


def _check(condition: Any) -> None:
    """Check one condition of a study.

    Raises:
        InvalidInputError: If a key is missing, unknown, or of another kind, or a stage refuses it.
    """
    given: Mapping[Any, Any] = condition if isinstance(condition, Mapping) else {}
    missing = [key for key in CONDITION if key not in given and key not in OPTIONAL]
    if not {"train", "import_network"} & given.keys():
        missing.append("train or import_network")
    if missing:
        raise InvalidInputError(
            f"conditions: {dict(given) or condition!r} has no {', '.join(missing)}; "
            "configs/study/default.yaml says what a condition is"
        )
    if {"train", "import_network"} <= given.keys():
        raise InvalidInputError(
            f"conditions: {given['name']} has both train and import_network; expected one of them"
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
    phases = _checked_phases(condition)
    for key in ("phases", "published"):
        if not set(condition.get(key, ())) <= set(phases):
            raise InvalidInputError(
                f"{key}={condition[key]}; its networks have the phases {', '.join(phases)}"
            )
    settings = _settings(condition)
    clustering = cluster.experiment.full_config(settings)
    clustering["n_clusters"] = condition["n_clusters"]
    cluster.check_settings(clustering, ())
    if "n_shuffles" in condition:
        shuffles = shuffle_test.experiment.full_config(settings)
        significance.check_shuffle_test(
            n_shuffles=condition["n_shuffles"], method=shuffles["method"], n_workers=1
        )
    if condition.get("lesions", False):
        lesion.check_settings(lesion.experiment.full_config(settings))
    if condition.get("visualisations", False):
        visualise.check_settings(visualise.experiment.full_config(settings))


def _checked_phases(condition: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the phases that the networks of a condition have, if a stage can make them."""
    if "import_network" in condition:
        config = import_network.experiment.full_config(condition["import_network"])
        import_network.check_settings(config)
        return (IMPORTED,)
    config = train.experiment.full_config(condition["train"])
    train.check_settings(config)
    return tuple(
        phase_names(trained=config["training"]["enabled"], pruned=config["pruning"]["enabled"])
    )


def _settings(condition: Mapping[str, Any]) -> list[str]:
    """Return the named config of the stages that follow."""
    return [condition.get("settings", "published")]


def _one_network(run: StageRun, condition: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    source = "train" if "train" in condition else "import_network"
    program = {"train": train, "import_network": import_network}[source].experiment
    found = run.run_part(program, {"seed": seed}, condition[source])
    return [
        {
            "condition": condition["name"],
            "phase": phase,
            "seed": seed,
            **_figures(run, condition, seed, phase, found),
            f"{source}_run": found._id,
        }
        for phase in condition["phases"]
    ]


def _figures(
    run: StageRun, condition: Mapping[str, Any], seed: int, phase: str, found: Any
) -> dict[str, Any]:
    """Cluster and test a network; returns its figures and the ids of the runs."""
    settings = _settings(condition)
    updates = {"seed": seed, "train_run": found._id, "n_clusters": condition["n_clusters"]}
    if phase != IMPORTED:
        updates["phase"] = phase
    clustered = run.run_part(cluster.experiment, updates, settings)
    links = {"seed": seed, "cluster_run": clustered._id}
    figures = {
        "accuracy": None if phase == IMPORTED else found.result[phase]["test_accuracy"],
        "ncut": clustered.result["ncut"],
        "cluster_run": clustered._id,
    }
    if "n_shuffles" in condition:
        updates = {**links, "n_shuffles": condition["n_shuffles"]}
        shuffled = run.run_part(shuffle_test.experiment, updates, settings)
        figures |= _of_shuffle_test(shuffled)
    if condition.get("lesions", False):
        lesioned = run.run_part(lesion.experiment, links, settings)
        figures |= {
            "accuracy": lesioned.result.get("accuracy", figures["accuracy"]),
            **_fisher_p_values(lesioned, ("importance", "coherence")),
            "lesion_run": lesioned._id,
        }
    if condition.get("visualisations", False):
        visualised = run.run_part(visualise.experiment, links, settings)
        figures |= {
            **_fisher_p_values(visualised, ("score", "entropy")),
            "visualise_run": visualised._id,
        }
    return figures


def _of_shuffle_test(shuffled: Any) -> dict[str, Any]:
    keys = ("ncut", "shuffled_mean", "shuffled_std", "z_score", "p_value")
    return {
        **{key: shuffled.result[key] for key in keys},
        "fragile": shuffle_test.is_fragile(shuffled.result),
        "shuffle_test_run": shuffled._id,
    }


def _fisher_p_values(tested: Any, measures: Sequence[str]) -> dict[str, float | None]:
    """Return the combined p-values of measures; None of one that the network does not have."""
    summaries = {measure: tested.result[measure] for measure in measures}
    return {
        f"{measure}_p": None if summary is None else summary["fisher_p"]
        for measure, summary in summaries.items()
    }


def summarise(
    networks: pandas.DataFrame, conditions: Sequence[Mapping[str, Any]]
) -> pandas.DataFrame:
    """Return one row a condition and phase: means over networks, and the published ones.

    Standard deviations are those of a sample (n - 1); a single network has none.
    """
    published = {condition["name"]: condition.get("published", {}) for condition in conditions}
    measures = [key for key in (*MEASURES, *P_VALUES) if key in networks]
    rows = []
    for (name, phase), group in networks.groupby(["condition", "phase"], sort=False):
        row = {"condition": f"{name}, {phase}", "n_networks": len(group)}
        for measure in measures:
            # undefined where all shuffles of a network are alike, or nothing was tested
            values = group[measure].astype(float)
            row[measure] = values.mean()
            row[f"{measure}_std"] = values.std() if len(group) > 1 else None
            row[f"{measure}_published"] = published[name].get(phase, {}).get(measure)
        if "p_value" in networks:
            row["largest_p_value"] = group["p_value"].max()
            row["n_fragile"] = int(group["fragile"].fillna(False).sum())
        rows.append(row)
    return pandas.DataFrame(rows)


def format_table(table: pandas.DataFrame) -> str:
    """Return the table as Markdown: mean ± standard deviation over networks, (published mean)."""
    measures = {key: digits for key, digits in (MEASURES | P_VALUES).items() if key in table}
    is_shuffled = "largest_p_value" in table
    header = ["", "networks", *(TITLES[measure] for measure in measures)]
    header += ["largest p"] if is_shuffled else []
    lines = [header, ["---"] * len(header)]
    for row in table.to_dict("records"):
        cells = [row["condition"], str(row["n_networks"])]
        cells += [_cell(row, measure, digits) for measure, digits in measures.items()]
        lines.append([*cells, *([_largest_p(row)] if is_shuffled else [])])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _largest_p(row: Mapping[Hashable, Any]) -> str:
    if pandas.isna(row["largest_p_value"]):
        return "undefined"
    fragile = f" ({row['n_fragile']} fragile)" if row["n_fragile"] else ""
    return f"{row['largest_p_value']:.3f}{fragile}"


def _cell(row: Mapping[Hashable, Any], measure: str, digits: int) -> str:
    """Return mean, spread (not of z, which is one already) and published mean of a measure."""
    reference, spread = row[f"{measure}_published"], row[f"{measure}_std"]
    shown = f"{row[measure]:.{digits}f}" if pandas.notna(row[measure]) else "undefined"
    if measure in P_VALUES and row[measure] < significance.SMALLEST_SHOWN:
        shown = f"< {significance.SMALLEST_SHOWN:g}"
    if pandas.notna(spread) and measure != "z_score":
        shown += f" ± {spread:.{digits}f}"
    return f"{shown} ({reference})" if pandas.notna(reference) else shown


if __name__ == "__main__":
    experiment.run_commandline()
