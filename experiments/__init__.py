"""The stages of a study, each a Sacred experiment of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments._about import ABOUT

if TYPE_CHECKING:
    from nn_clustering.tracking import StageExperiment

# Holds both packages: a checkout, or where they are installed.
PROJECT = Path(__file__).resolve().parents[1]
CHECKOUT = PROJECT if (PROJECT / "pyproject.toml").is_file() else None


def configure(
    experiment: StageExperiment,
    *,
    parts: Mapping[str, Sequence[str]] | None = None,
    exclusive_keys: Sequence[str] = (),
    keys_of: str | None = None,
) -> None:
    """Give a stage its configs; of this project, what it imports counts as its code.

    Args:
        experiment: The stage.
        parts: Other stages that it runs, with the keys that it sets itself.
        exclusive_keys: Keys that only one named config of a command may set.
        keys_of: Another stage whose keys and named configs it has too.
    """
    experiment.configure(
        config_folders(),
        # Stored with each run, so that its sources are whole; it changes no number.
        sources=[PROJECT / "nn_clustering" / "tracking"],
        own_packages=["nn_clustering", "experiments"],
        code_keys=["model_code", "preprocessing"],
        repository=CHECKOUT,
        parts=parts,
        exclusive_keys=exclusive_keys,
        keys_of=keys_of,
        about=ABOUT,
    )


def config_folders() -> list[Path]:
    """Return the folders of configs: this project's own, then that of the current folder on top."""
    beside = Path(__file__).resolve().with_name("configs")
    # Not by what else is in the checkout: `rerun` writes stored runs' code and configs alone.
    own = beside if beside.is_dir() else PROJECT / "configs"
    here = Path.cwd() / "configs"
    return [own] if here.resolve() == own else [own, here]


def program(stage: str) -> str:
    """Return what a user types to run a stage, up to ``with``."""
    return f"python experiments/{stage}.py" if CHECKOUT else f"python -m experiments.{stage}"


def page_command() -> str:
    """Return what a user types to see the runs in Omniboard."""
    return "make up" if CHECKOUT else "nn-clustering up"
