"""The stages of a study, each a Sacred experiment of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nn_clustering.tracking import StageExperiment

PROJECT = Path(__file__).resolve().parents[1]


def configure(
    experiment: StageExperiment,
    *,
    parts: Mapping[str, Sequence[str]] | None = None,
    exclusive_keys: Sequence[str] = (),
) -> None:
    """Give a stage its configs, and have all of this project count as its code.

    Args:
        experiment: The stage.
        parts: Other stages that it runs, with the keys that it sets itself.
        exclusive_keys: Keys that only one named config of a command may set.
    """
    experiment.configure(
        PROJECT / "configs",
        sources=[PROJECT / "nn_clustering", PROJECT / "experiments"],
        packages=["nn_clustering"],
        repository=PROJECT,
        parts=parts,
        exclusive_keys=exclusive_keys,
    )
