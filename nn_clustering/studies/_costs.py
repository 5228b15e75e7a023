"""What cells will cost, by what stored runs of the same kind have cost."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_clustering.studies._cells import Cell, full_config
from nn_clustering.studies._spec import merged
from nn_clustering.studies._stages import Stages
from nn_clustering.studies._stored import seconds_of
from nn_clustering.tracking import request_digest

if TYPE_CHECKING:
    from pymongo.database import Database

# Newest runs of a stage that are looked at.
_MOST_RUNS = 500


@dataclass(frozen=True)
class Costs:
    """Medians of how long stored runs took.

    Attributes:
        of_kinds: In seconds, by a digest of what was asked for but for the seed and the run that
            was read.
        of_stages: In seconds, by the names of stages.
        links: Config keys that name runs.
    """

    of_kinds: Mapping[str, float] = field(default_factory=dict)
    of_stages: Mapping[str, float] = field(default_factory=dict)
    links: tuple[str, ...] = ()

    @classmethod
    def read(cls, database: Database, names: Collection[str], stages: Stages) -> Costs:
        """Read what the completed runs of stages took.

        Args:
            database: Where runs are.
            names: The names of the stages.
            stages: A study's.
        """
        links = tuple(sorted(set(stages.links.values())))
        fields = {"config": 1, "start_time": 1, "stop_time": 1}
        kinds: dict[str, list[float]] = {}
        totals: dict[str, list[float]] = {}
        for name in names:
            query = {"experiment.name": name, "status": "COMPLETED"}
            found = database["runs"].find(query, fields).sort("_id", -1).limit(_MOST_RUNS)
            for run in found:
                seconds, config = seconds_of(run), run.get("config")
                if seconds is None or not isinstance(config, Mapping):
                    continue
                # of former code, which did what the defaults of keys that came since do
                config = merged(stages[name].defaults, config)
                kinds.setdefault(_kind(name, config, links), []).append(seconds)
                totals.setdefault(name, []).append(seconds)
        return cls(_medians(kinds), _medians(totals), links)

    def seconds(self, cell: Cell, stages: Stages) -> float | None:
        """Return what a cell should take: as others of its kind, else of its stage; or None."""
        kind = _kind(cell.stage, full_config(cell, stages), self.links)
        return self.of_kinds.get(kind, self.of_stages.get(cell.stage))

    def total(self, cells: Iterable[Cell], stages: Stages) -> tuple[float, int]:
        """Return what cells should take, one after the other, and of how many nothing is known."""
        found = [self.seconds(cell, stages) for cell in cells]
        known = [seconds for seconds in found if seconds is not None]
        return sum(known), len(found) - len(known)


def _kind(stage: str, config: Mapping[str, Any], links: Collection[str]) -> str:
    left_out = ("seed", *links)
    return request_digest(
        stage, {key: value for key, value in config.items() if key not in left_out}
    )


def _medians(found: Mapping[str, list[float]]) -> dict[str, float]:
    return {key: statistics.median(seconds) for key, seconds in found.items()}
