"""What a stage is: its settings, its code, and the functions that do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from nn_clustering.tracking.stages.settings import StageSettings
from nn_clustering.tracking.stages.stage_run import StageRun
from nn_clustering.tracking.store.about import Describe

if TYPE_CHECKING:
    Inputs = TypeVar("Inputs")
    Result = TypeVar("Result", bound=Mapping[str, Any])

    class Decorator(Protocol[Inputs]):
        """Takes the function of a stage that reads such inputs, and returns it as it is."""

        def __call__(
            self, work: Callable[[StageRun[Inputs]], Result], /
        ) -> Callable[[StageRun[Inputs]], Result]:
            """Take the function."""

    Check = Callable[[StageRun], object]
    Prepare = Callable[[StageRun[Inputs]], object]
    Workers = Callable[[StageRun], int]
    Summary = Callable[[StageRun[Inputs], Mapping[str, Any]], object]


@dataclass(frozen=True)
class StageCode:
    """What of the code counts for whether a run would repeat another.

    Attributes:
        own_packages: Names of packages that are the experiment's own even where they are installed.
        keys: Dotted config keys whose values name modules, or what is in one.
        repository: A folder of the git checkout whose state is noted, if there is one.
    """

    own_packages: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    repository: Path | None = None


@dataclass(frozen=True)
class StageFunctions:
    """The functions of a stage; see `StageExperiment.stage`."""

    check: Check | None = None
    inputs: Callable[[StageRun], Any] | None = None
    prepare: Callable[[StageRun[Any]], Any] | None = None
    summary: Summary[Any] | None = None
    workers: Workers | None = None


@dataclass(frozen=True)
class StageDefinition:
    """A stage, as its experiment was configured.

    Attributes:
        settings: Its config keys and named configs.
        code: What of the code counts.
        functions: What does it.
        about: By the name of an experiment of the project, what tells what a run is about.
    """

    settings: StageSettings = field(default_factory=StageSettings)
    code: StageCode = StageCode()
    functions: StageFunctions = StageFunctions()
    about: Mapping[str, Describe] = field(default_factory=dict)
