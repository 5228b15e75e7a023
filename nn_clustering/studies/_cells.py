"""The cells of a study: each is one run, and knows which cell's run it reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from nn_clustering.errors import InvalidInputError
from nn_clustering.studies._spec import Case, Step, Study, combinations, merged, nested
from nn_clustering.studies._stages import Needs, Stages


@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        name: In words; no other cell of the study has it.
        step: Name of the step that it is of.
        stage: The experiment that it is a run of.
        configs: Named configs, in their order.
        updates: Config keys on top of them, nested: all but the link.
        seed: Of the run.
        labels: What tells it from the others of its step: names of cases by step and values by
            grid key, its own and those of the cells that it rests on. Cells that differ in seeds
            alone have the same.
        parent: The cell whose run it reads, if it reads one.
        link: The config key that gets the id of that run.
        needs: What it needs of its machine.
    """

    name: str
    step: str
    stage: str
    configs: tuple[str, ...]
    updates: Mapping[str, Any] = field(hash=False, repr=False)
    seed: int
    labels: Mapping[str, Any] = field(hash=False)
    parent: Cell | None = None
    link: str | None = None
    needs: Needs = field(default_factory=Needs)

    @property
    def ancestors(self) -> tuple[Cell, ...]:
        """The cells that it rests on, the first one first."""
        return () if self.parent is None else (*self.parent.ancestors, self.parent)

    @property
    def root_seed(self) -> int:
        """The seed of the first of the cells that it rests on: of its network."""
        return (*self.ancestors, self)[0].seed


def cells_of(study: Study, stages: Stages) -> tuple[Cell, ...]:
    """Return the cells of a study, each after the one that it reads.

    Raises:
        InvalidInputError: If two of them would be the same.
    """
    known: dict[str, list[Cell]] = {}
    several = _keys_of_several_steps(study)
    for step in study.steps:
        parents = [cell for name in step.of for cell in known[name]] if step.of else [None]
        known[step.name] = [
            cell for parent in parents for cell in _cells(step, parent, stages, several)
        ]
    cells = tuple(cell for step in study.steps for cell in known[step.name])
    twice = next((name for name, n in Counter(cell.name for cell in cells).items() if n > 1), None)
    if twice is not None:
        raise InvalidInputError(
            f"steps: two runs would be {twice}; expected cases with names that tell them apart, "
            "and each value of a grid once"
        )
    # a quick variant has fewer cells than there are published means of
    for published in study.published if study.variant == "full" else ():
        _check_published(published.of, cells)
    return cells


def _check_published(of: Mapping[str, Any], cells: tuple[Cell, ...]) -> None:
    """Check that there are cells whose means can be laid beside published ones."""
    if any(of.items() <= cell.labels.items() for cell in cells):
        return
    for label, value in of.items():
        known = [cell.labels[label] for cell in cells if label in cell.labels]
        if value not in known:
            labels = [label for cell in cells for label in cell.labels]
            expected = ", ".join(dict.fromkeys(map(str, known or labels)))
            raise InvalidInputError(
                f"published: of: {label}={value!r}; expected {'one of ' if known else 'labels: '}"
                f"{expected or 'none, for no cell has a label'}"
            )
    words = ", ".join(f"{label}={value}" for label, value in of.items())
    raise InvalidInputError(f"published: of: no run has all of {words}; expected labels of one")


def full_config(cell: Cell, stages: Stages, parent_run: Any = None) -> dict[str, Any]:
    """Return the whole config of a cell's run, nested.

    Args:
        cell: The cell.
        stages: The study's.
        parent_run: Id of the run that it reads, if it reads one.
    """
    link = {} if cell.link is None else {cell.link: parent_run}
    return stages[cell.stage].full_config(cell.configs, merged(cell.updates, link))


def _keys_of_several_steps(study: Study) -> set[str]:
    counted = Counter(key for step in study.steps for key in step.grid)
    return {key for key, n in counted.items() if n > 1}


def _cells(step: Step, parent: Cell | None, stages: Stages, several: set[str]) -> Iterator[Cell]:
    link = None if parent is None else stages.link(step.stage, parent.stage)
    needs = stages.needs_of(step.stage, step.needs)
    seeds = step.seeds or (parent.seed,)  # type: ignore[union-attr]  # a first step has seeds
    for case in step.cases:
        for values in combinations(step.grid):
            labels = {
                **({} if parent is None else parent.labels),
                **({} if case.name is None else {step.name: case.name}),
                **{
                    f"{step.name}.{key}" if key in several else key: value
                    for key, value in values.items()
                },
            }
            for seed in seeds:
                yield Cell(
                    name=_name(step, labels, parent, seed),
                    step=step.name,
                    stage=step.stage,
                    configs=case.configs,
                    updates=_updates(step, case, values, seed, stages),
                    seed=seed,
                    labels=labels,
                    parent=parent,
                    link=link,
                    needs=needs,
                )


def _updates(
    step: Step, case: Case, values: Mapping[str, Any], seed: int, stages: Stages
) -> dict[str, Any]:
    given = merged(merged(case.config, nested(values)), {"seed": seed})
    whole = stages[step.stage].full_config(case.configs, given)
    return merged(stages.common(step.stage, whole), given)


def _name(step: Step, labels: Mapping[str, Any], parent: Cell | None, seed: int) -> str:
    words = [f"{key}={value}" for key, value in labels.items()]
    before = () if parent is None else (*parent.ancestors, parent)
    seeds = [*(cell.seed for cell in before), seed]
    while len(seeds) > 1 and seeds[-1] == seeds[-2]:  # of the run that it reads
        seeds.pop()
    words.append("seed=" + "/".join(map(str, seeds)))
    return f"{step.name}: {', '.join(words)}"
