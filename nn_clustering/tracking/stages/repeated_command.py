"""A stage's program that makes several runs: its own command once for each seed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import InvalidInputError, TrackingError
from nn_clustering.tracking.stages.context import LentStore
from nn_clustering.tracking.stages.repeats import Repeat, repeats_table, run_repeats

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nn_clustering.tracking.stages.stage_run import StageRun


def repeat_command(run: StageRun, stage: str, n_workers: int) -> None:
    """Run the program's command once for each seed, and print what came out.

    Args:
        run: The run that stands for all of them, and never starts.
        stage: Name of the stage.
        n_workers: How many runs go side by side.

    Raises:
        InvalidInputError: This is no program.
        ServerUnavailableError: The runs could not be tracked.
        TrackingError: Some of the runs failed.
    """
    from nn_clustering.tracking.server.connection import connect, resolve_server

    n_repeats, first = run.config["n_repeats"], run.seed
    is_tracked = not run.sacred_run.unobserved
    if not run.context.surroundings.is_program:
        raise InvalidInputError(
            f"n_repeats={n_repeats}: {stage} runs as a part of another program, once; "
            "expected n_repeats=1, and a run for each seed"
        )
    if is_tracked:
        # Refused, or started, once for all.
        connect(resolve_server()).client.close()
    with run.progress(n_repeats, "runs") as bar:

        def show(ended: Repeat) -> None:
            bar.clear()
            print(ended)
            bar.update()
            bar.refresh()

        commands = {seed: _command_for(run, seed) for seed in range(first, first + n_repeats)}
        repeats = run_repeats(commands, n_workers, show)
    if is_tracked:
        _print_table(repeats)
    failed = [repeat.seed for repeat in repeats if not repeat.is_completed]
    if failed:
        raise TrackingError(
            f"{len(failed)} of {n_repeats} runs failed, with seed "
            f"{', '.join(map(str, failed))}: see why above, then start the command again"
        )


def _command_for(run: StageRun, seed: int) -> list[str]:
    """The program's own command for one of several runs."""
    updates: dict[str, Any] = {"seed": seed, "n_repeats": 1}
    if "n_workers" in run.config:
        updates["n_workers"] = run.context.defaults["n_workers"]
    given = [] if run.sacred_run.meta_info["options"].get("with") else ["with"]
    settings = [f"{key}={value!r}" for key, value in updates.items()]
    return [sys.executable, *run.context.surroundings.command, *given, *settings]


def _print_table(repeats: Sequence[Repeat]) -> None:
    with LentStore() as lent:
        store = lent.open()
        runs = {
            repeat.seed: store.run(repeat.run_id)
            for repeat in repeats
            if repeat.is_completed and repeat.run_id is not None
        }
        if runs:
            print("\n".join(["", *repeats_table(runs)]))
