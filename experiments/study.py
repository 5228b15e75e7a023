"""Compute a study: a graph of runs, each stored by itself, on this machine or on many.

It goes on where it was interrupted, by whatever: only what is missing is computed.

python experiments/study.py with clusterability_mlp
python experiments/study.py with clusterability_mlp quick dry_run=True
python experiments/study.py with my_study.yaml scheduler=tcp://host:8786
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from experiments import (
    CHECKOUT,
    PROJECT,
    choose_k,
    cluster,
    configure,
    import_network,
    lesion,
    page_command,
    program,
    random_init,
    shuffle_test,
    train,
    visualise,
)
from experiments._phase_settings import phase_names
from experiments._result_tables import add_table
from nn_clustering import reports, studies
from nn_clustering.errors import InvalidInputError, TrackingError, did_you_mean
from nn_clustering.tracking import OwnCode, StageExperiment, store_id

if TYPE_CHECKING:
    from nn_clustering.studies import Cell, Plan, Study
    from nn_clustering.tracking import StageRun

EXPERIMENTS = {
    "train": train.experiment,
    "import_network": import_network.experiment,
    "random_init": random_init.experiment,
    "cluster": cluster.experiment,
    "choose_k": choose_k.experiment,
    "shuffle_test": shuffle_test.experiment,
    "lesion": lesion.experiment,
    "visualise": visualise.experiment,
}
# By which key others read a stage's runs.
LINKS = {"train": "train_run", "import_network": "train_run", "cluster": "cluster_run"}
# The keys that say which runs there are; the others say how they are computed.
OF_STUDY = ("title", "steps", "quick", "variant", "published", "n_threads", "checkpoint_every")
# What the config alone tells of each.
CHECKS: dict[str, Callable[..., object]] = {
    "train": train.check_settings,
    "import_network": import_network.check_settings,
    "cluster": cluster.check_settings,
    "shuffle_test": shuffle_test.check_settings,
    "lesion": lesion.check_settings,
    "visualise": visualise.check_settings,
}
# A process with TensorFlow takes 600 MB before it has read anything; MNIST takes 400 MB.
NEEDS = {
    "cluster": studies.Needs(memory_mb=1500),
    "choose_k": studies.Needs(memory_mb=1500),
    "shuffle_test": studies.Needs(memory_mb=1500),
}
# Stages that use the network on samples.
ON_GPU = ("train", "lesion", "visualise")

experiment = StageExperiment("study", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("steps",))


def stages_of(config: Mapping[str, Any]) -> studies.Stages:
    """Return the stages that a study can have, with what its config sets in all of them."""

    def common(stage: str, of_cell: Mapping[str, Any]) -> dict[str, Any]:
        found = _whole_paths(of_cell)  # of files that a named config names
        found |= {"reuse": config["reuse"], "tags": list(config["tags"])}
        if "n_threads" in of_cell:
            found["n_threads"] = config["n_threads"]
        if stage == "train" and of_cell["training"]["enabled"]:
            every = of_cell["training"]["checkpoint_every"]
            found["training"] = {"checkpoint_every": every or config["checkpoint_every"]}
        return found

    return studies.Stages(
        EXPERIMENTS, LINKS, NEEDS, on_gpu=ON_GPU, gpu=config["gpu"], common=common
    )


def study_name(named_configs: Sequence[str]) -> str:
    """Return the name of a study: that of the first named config, or of a file."""
    names = [Path(name).stem for name in named_configs if name != "quick"]
    return names[0] if names else "study"


def study_of(config: Mapping[str, Any], named_configs: Sequence[str]) -> Study:
    """Read the study that a config describes.

    Raises:
        InvalidInputError: It describes none.
    """
    return studies.read_study(
        {**config, **{key: _with_whole_paths(config[key]) for key in ("steps", "quick")}},
        study_name(named_configs),
        stages_of(config),
    )


def _with_whole_paths(value: Any, of: str = "") -> Any:
    """Steps with whole paths of the files that they name: workers start elsewhere."""
    if isinstance(value, Mapping):
        return {key: _with_whole_paths(inner, of or _own(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_whole_paths(inner, of) for inner in value]
    is_path = isinstance(value, str) and bool(of) and (os.sep in value or "." in value)
    return str(Path(value).resolve()) if is_path and Path(value).exists() else value


def _whole_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a config that name files of the current folder, with their whole paths."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        whole = _whole_paths(value) if isinstance(value, Mapping) else _with_whole_paths(value, key)
        if whole and whole != value:
            found[key] = whole
    return found


def _own(key: str) -> str:
    return key if key in ("config", "grid") else ""


def check(run: StageRun) -> None:
    """Check what the config alone tells, of the study and of all its runs."""
    config = run.config
    if not run.is_tracked:
        raise InvalidInputError(
            "a study's runs read each other from the store: run it without -u (dry_run=True only "
            "says what there is)"
        )
    if run.seed != experiment.defaults["seed"]:
        raise InvalidInputError(
            f"seed={run.seed} changes nothing: the networks of a study have the seeds of its "
            "steps; leave it out, or change their seeds"
        )
    _check_workplace(config)
    _check_runs(study_of(config, run.named_configs), stages_of(config))
    if config["quick"] and config["variant"] != "quick":
        quick = {**config, "variant": "quick"}
        _check_runs(study_of(quick, run.named_configs), stages_of(quick))


def _check_runs(whole: Study, stages: studies.Stages) -> None:
    """Check what the configs of a study's runs alone tell."""
    checked: set[Any] = set()
    for cell in studies.cells_of(whole, stages):
        key = (cell.step, *map(str, cell.labels.items()))
        if key in checked:
            continue
        checked.add(key)
        try:
            _check_cell(cell, stages)
        except InvalidInputError as error:
            raise InvalidInputError(f"steps: {cell.name}: {error}") from None


def _check_cell(cell: Cell, stages: studies.Stages) -> None:
    config = studies.full_config(cell, stages, 1)
    if cell.stage in CHECKS:
        CHECKS[cell.stage](config)
    if cell.parent is None:
        _check_first(cell, config)
    if cell.parent is None or config.get("phase") is None:
        return
    if cell.parent.stage != "train":
        raise InvalidInputError(f"phase={config['phase']}: an imported network has no phases")
    trained = studies.full_config(cell.parent, stages)
    phases = phase_names(
        trained=trained["training"]["enabled"], pruned=trained["pruning"]["enabled"]
    )
    if config["phase"] not in phases:
        raise InvalidInputError(
            f"phase={config['phase']}{did_you_mean(str(config['phase']), phases)}; this training "
            f"has {', '.join(phases)}"
        )


def _check_first(cell: Cell, config: Mapping[str, Any]) -> None:
    """Check that a cell that reads none of the study's runs has what it works on."""
    lacking = (stage for stage, key in LINKS.items() if key in config and config[key] is None)
    stage = next(lacking, None)
    is_given = cell.stage == "cluster" and (config["model"] or config["graph"]["source"] == "file")
    if stage is not None and not is_given:
        raise InvalidInputError(
            f"it reads no run; expected of: [{stage}], a step of this study, or {LINKS[stage]} in "
            "its config"
        )


def _check_workplace(config: Mapping[str, Any]) -> None:
    for key in ("n_threads", "max_attempts", "checkpoint_every"):
        value = config[key]
        if value is not None and (type(value) is not int or value < 1):
            raise InvalidInputError(f"{key}={value!r}; expected an integer from 1")
    studies.check_workplace(config["n_workers"], config["scheduler"], config["scheduler_file"])


def plan_of(run: StageRun) -> Plan:
    """Look up which runs of a study there are."""
    config, stages = run.config, stages_of(run.config)
    whole = study_of(config, run.named_configs)
    cells = studies.cells_of(whole, stages)
    database = run.store.database
    found = studies.find_completed(database, cells, stages) if config["reuse"] else {}

    def names_data(cell: Cell) -> bool:
        return _names_file(studies.full_config(cell, stages))

    def read(cell: Cell, parent_run: Any) -> Mapping[str, Any]:
        link = {} if cell.link is None else {cell.link: parent_run}
        return EXPERIMENTS[cell.stage].input_digests(cell.configs, {**cell.updates, **link})

    stored = studies.without_changed_inputs(found, cells, stages, names_data, read)
    costs = studies.Costs.read(database, {step.stage for step in whole.steps}, stages)
    return studies.Plan(whole, cells, stored, costs, stages)


def _names_file(value: Any) -> bool:
    """Whether a config names a file or a folder; those of a study are whole paths."""
    if isinstance(value, Mapping):
        return any(map(_names_file, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_names_file, value))
    return isinstance(value, str) and os.path.isabs(value) and Path(value).exists()


def prepare(run: StageRun) -> Plan:
    """Plan, and say what is to do; a study that is only planned ends here."""
    plan = plan_of(run)
    if plan.to_do and not run.config["dry_run"]:
        studies.check_workplace_is_there(**_place(run.config, plan))
    print("\n".join(["", *plan.lines(run.config["n_workers"]), ""]))
    if run.config["dry_run"]:
        raise SystemExit(0)
    if plan.to_do:
        check_installed()
    own = OwnCode()  # which a named config of the user's own may name
    for cell in plan.to_do:
        own |= EXPERIMENTS[cell.stage].config_code(studies.full_config(cell, plan.stages))
    run.add_code(own)
    return plan


def check_installed() -> None:
    """Check that there is what hands out runs, which `make demo` alone does not install.

    Raises:
        InvalidInputError: There is not.
    """
    if importlib.util.find_spec("distributed") is None:
        how = "make install-study" if CHECKOUT else 'pip install "nn_clustering[cluster]"'
        raise InvalidInputError(
            f"studies need Dask Distributed, which is not installed; type {how}, and this again"
        )


@experiment.stage(check=check, prepare=prepare)
def study(run: StageRun) -> dict[str, Any]:
    """Compute the runs of a study that are missing; the result counts them."""
    plan: Plan = run.prepared
    completed = {name: cell.run_id for name, cell in plan.stored.items()}
    if run.config["tags"]:
        for run_id in completed.values():
            run.store.tag(run_id, *run.config["tags"])
    carried = _carry_out(run, plan, completed) if plan.to_do else None
    if carried is not None:
        completed |= {name: outcome.run_id for name, outcome in carried.completed.items()}
    _store_cells(run, plan, completed, carried)
    _print_tables(run, plan, carried)
    failed, not_run = (carried.failed, carried.not_run) if carried is not None else ({}, {})
    if failed:
        raise TrackingError(
            f"{len(failed)} of {len(plan.cells)} runs failed, and {len(not_run)} that rest on them "
            f"were not made: see why above; the same command goes on with what is missing"
        )
    return {
        "n_cells": len(plan.cells),
        "n_stored_before": len(plan.stored),
        "n_computed": len(completed) - len(plan.stored),
    }


def _carry_out(run: StageRun, plan: Plan, completed: Mapping[str, Any]) -> studies.CarriedOut:
    """Have the cells that are missing computed, by the code as it is now."""
    config = run.config
    for name in {step.stage for step in plan.study.steps}:
        configs = dict.fromkeys(
            config for cell in plan.cells if cell.stage == name for config in cell.configs
        )
        run.add_config_files(EXPERIMENTS[name].config_files(tuple(configs)))
    run.await_stored_program()
    assert isinstance(run.id, int)  # the database numbers runs
    database, base = run.store.database, run.sacred_run.experiment_info["base_dir"]
    snapshot = studies.snapshot_of(database, run.id, os.path.relpath(Path.cwd(), base))
    orders = studies.Orders(
        plan.stages,
        snapshot,
        store_id(database),
        plan.costs,
        config["max_attempts"],
        config["reuse"],
    )
    terminal = run.context.surroundings.terminal
    with contextlib.ExitStack() as stack:
        with run.uncaptured():  # workers would hold the captured output open
            client = stack.enter_context(studies.workplace(**_place(config, plan)))
        return studies.carry_out(
            client,
            plan.cells,
            lambda cell, parent_run: orders.order(cell, parent_run).to_plain(),
            completed=completed,
            seconds_of=lambda cell: plan.costs.seconds(cell, plan.stages),
            max_attempts=config["max_attempts"],
            progress=studies.Progress(n_stored=len(completed), terminal=terminal),
        )


def _place(config: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """Where the cells that are missing are computed, as `studies.workplace` takes it."""
    named = {key: config[key] for key in ("n_threads", "n_workers", "scheduler", "scheduler_file")}
    return {**named, "memory_mb": max(cell.needs.memory_mb for cell in plan.to_do)}


def _store_cells(
    run: StageRun,
    plan: Plan,
    completed: Mapping[str, Any],
    carried: studies.CarriedOut | None,
) -> None:
    """Store which run each cell has, and why others have none."""
    ends = {} if carried is None else {**carried.completed, **carried.failed}
    rows = [
        {
            "cell": cell.name,
            "step": cell.step,
            "stage": cell.stage,
            "seed": cell.seed,
            **{f"label.{name}": value for name, value in cell.labels.items()},
            "run": completed.get(cell.name),
            "state": _state(cell, plan, ends),
            "reason": ends[cell.name].reason if cell.name in ends else "",
        }
        for cell in plan.cells
    ]
    add_table(run, "cells", pandas.DataFrame(rows))
    run.sacred_run.info["lineage"] = {
        f"{cell.stage}_run_{place}": completed[cell.name]
        for place, cell in enumerate(plan.cells)
        if cell.name in completed
    }


def _state(cell: Cell, plan: Plan, ends: Mapping[str, Any]) -> str:
    if cell.name in plan.stored:
        return "stored before"
    return ends[cell.name].state if cell.name in ends else "not run"


def _print_tables(run: StageRun, plan: Plan, carried: studies.CarriedOut | None) -> None:
    """Print what the study's runs say, and what to type next."""
    computed = {} if carried is None else carried.completed
    found = {
        **plan.stored,
        **{
            name: studies.StoredCell(outcome.run_id, outcome.seconds, None)
            for name, outcome in computed.items()
        },
    }
    results = reports.read_results(run.store, plan.study, plan.cells, found)
    for table in reports.study_tables(results, run.store):
        print(f"\n{table.caption}\n\n{table.markdown()}")
    print()
    run.suggest(same_study("report", run), page_command())


def same_study(stage: str, run: StageRun) -> str:
    """Return what a user types for the study of a run: to compute it, or to report it."""
    typed = [f"{key}={run.config[key]}" for key in run.typed_keys() if key in OF_STUDY]
    return " ".join([program(stage), "with", *map(shlex.quote, [*run.named_configs, *typed])])


if __name__ == "__main__":
    experiment.run_commandline()
