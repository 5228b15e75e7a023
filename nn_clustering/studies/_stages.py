"""What a study has to know of the stages that its cells are runs of."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from nn_clustering.errors import InvalidInputError, did_you_mean


class Stage(Protocol):
    """An experiment whose runs are cells."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Every config key with its default, nested."""

    def full_config(
        self, named: Sequence[str], updates: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the config, nested, of a run with these named configs and keys.

        Raises:
            InvalidInputError: If there is no such named config, or a key cannot be set to that.
        """

    def code_digest(self, config: Mapping[str, Any]) -> str:
        """Return what tells the code of a run with this config."""

    def expected_code(self, config: Mapping[str, Any]) -> str:
        """Return what its program refuses to run other code than."""

    @property
    def program(self) -> str:
        """Its file, as runs name it among their sources."""


@dataclass(frozen=True)
class Needs:
    """What a cell needs of the machine that computes it.

    Attributes:
        gpu: Number of GPUs.
        memory_mb: Memory of its process, in MB (2^20 bytes).
    """

    gpu: int = 0
    memory_mb: int = 2000


def _nothing(stage: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True)
class Stages:
    """The stages that a study can have.

    Attributes:
        experiments: They, by name.
        links: By the name of a stage, the config key with which others read its runs.
        needs: What the cells of a stage need, where its step does not say.
        on_gpu: Stages whose cells a GPU helps.
        gpu: Whether each of their cells has one; None leaves that to steps.
        common: From a stage's name and a config of it, the keys that the study sets in it, nested.
    """

    experiments: Mapping[str, Stage]
    links: Mapping[str, str]
    needs: Mapping[str, Needs] = field(default_factory=dict)
    on_gpu: Collection[str] = ()
    gpu: bool | None = None
    common: Callable[[str, Mapping[str, Any]], Mapping[str, Any]] = _nothing

    def __getitem__(self, name: str) -> Stage:
        """Return a stage.

        Raises:
            InvalidInputError: If there is none of that name.
        """
        if name not in self.experiments:
            raise InvalidInputError(
                f"stage={name!r}{did_you_mean(str(name), self.experiments)}; expected "
                f"{', '.join(self.experiments)}"
            )
        return self.experiments[name]

    def needs_of(self, stage: str, given: Needs | None) -> Needs:
        """Return what the cells of a step need.

        Args:
            stage: The step's.
            given: What the step says.
        """
        needs = given or self.needs.get(stage, Needs())
        if self.gpu is None:
            return needs
        return replace(needs, gpu=int(self.gpu and stage in self.on_gpu))

    def link(self, stage: str, parent: str) -> str:
        """Return the key by which a stage reads a run of another.

        Raises:
            InvalidInputError: If it cannot.
        """
        key = self.links.get(parent)
        if key is None or key not in self[stage].defaults:
            can = [name for name, key in self.links.items() if key in self[stage].defaults]
            raise InvalidInputError(
                f"{stage} cannot read a run of {parent}; it reads "
                f"{' or '.join(can) if can else 'none, and is the first step'}"
            )
        return key
