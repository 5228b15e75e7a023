"""A study as it is written down: steps, their cases, grids and seeds, and published means."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from nn_clustering.errors import InvalidInputError, did_you_mean
from nn_clustering.studies._stages import Needs, Stages
from nn_clustering.tracking.execution_keys import REPEAT_KEYS, RESUME

VARIANTS = ("full", "quick")
# What there can be published means of, and what tables have columns of.
MEASURES = (
    *("accuracy", "ncut", "shuffled_mean", "shuffled_std", "z_score"),
    *("importance_p", "coherence_p", "score_p", "entropy_p"),
)
_CASE_KEYS = ("name", "configs", "config")
_STEP_KEYS = ("name", "stage", "of", "configs", "config", "cases", "grid", "seeds", "needs")


@dataclass(frozen=True)
class Case:
    """One way in which a step is done.

    Attributes:
        name: By which tables tell it from others; None for the only one.
        configs: Named configs of the stage, in their order.
        config: Config keys on top of them, nested.
    """

    name: str | None
    configs: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """Runs of one stage, for each run of the steps that it reads.

    Attributes:
        name: The step's.
        stage: The experiment that its runs are of.
        of: Names of the steps whose runs it reads, each by itself; none for a first step.
        cases: The ways in which it is done.
        grid: Dotted config keys with values, whose product is done for each case.
        seeds: One run each; None for the seed of the run that it reads.
        needs: What a run needs of its machine; None for what its stage does.
    """

    name: str
    stage: str
    of: tuple[str, ...] = ()
    cases: tuple[Case, ...] = (Case(None),)
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] | None = None
    needs: Needs | None = None


@dataclass(frozen=True)
class Published:
    """Published means of some cells.

    Attributes:
        of: Labels that these cells have.
        means: By measure, one of :data:`MEASURES`.
    """

    of: Mapping[str, Any]
    means: Mapping[str, float]


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        name: By which it is found again.
        title: What a reader calls it.
        variant: ``full`` or ``quick``.
        steps: In an order in which each comes after those that it reads.
        published: Means to lay beside.
    """

    name: str
    title: str
    variant: str
    steps: tuple[Step, ...]
    published: tuple[Published, ...] = ()

    def step(self, name: str) -> Step:
        """Return the step of a name that there is."""
        return next(step for step in self.steps if step.name == name)


def read_study(config: Mapping[str, Any], name: str, stages: Stages) -> Study:
    """Read a study out of its config; ``configs/study/default.yaml`` says what that holds.

    Args:
        config: Nested; only ``title``, ``steps``, ``quick``, ``variant`` and ``published`` count.
        name: What the study is called.
        stages: Those that it can have.

    Raises:
        InvalidInputError: If a key is missing, unknown or of another kind, a step reads one that
            does not come before it, or a stage does not have what is to be set.
    """
    if config["variant"] not in VARIANTS:
        raise InvalidInputError(f"variant={config['variant']}; expected {' or '.join(VARIANTS)}")
    given = _mappings(config["steps"], "steps")
    if not given:
        raise InvalidInputError(
            "steps=[]: a study needs some: take a named config (print_named_configs lists the "
            "studies), or a YAML file of your own"
        )
    if config["variant"] == "quick":
        given = _changed(given, _mappings(config["quick"], "quick"))
    steps: list[Step] = []
    for entry in given:
        steps.append(_read_step(entry, steps, stages))
    _check_labels(steps)
    published = tuple(_read_published(entry) for entry in _list(config["published"], "published"))
    title = config["title"]
    title = name.replace("_", " ") if title is None else _word(title, "title")
    return Study(name, title, config["variant"], tuple(steps), published)


def _changed(
    steps: Sequence[Mapping[str, Any]], changes: Sequence[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The steps as the quick variant has them: each key of a change replaces the step's."""
    if not changes:
        raise InvalidInputError("variant=quick: this study has none; expected its key quick")
    found = [dict(step) for step in steps]
    names = [step.get("name") for step in found]
    for change in changes:
        name = change.get("name")
        if name not in names:
            raise InvalidInputError(
                f"quick: {name!r} is no step{did_you_mean(str(name), map(str, names))}; expected "
                f"{', '.join(map(str, names))}"
            )
        step = found[names.index(name)]
        both = [_mapping(each.get("config", {}), f"{name}: config") for each in (step, change)]
        step |= {**change, **({"config": merged(*both)} if any(both) else {})}
    return [*found]


def merged(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested keys with others on top."""
    found = dict(lower)
    for key, value in upper.items():
        before = found.get(key)
        both = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[key] = merged(before, value) if both else value  # type: ignore[arg-type]
    return found


def _read_step(entry: Mapping[str, Any], before: Sequence[Step], stages: Stages) -> Step:
    name = entry.get("name")
    if not _is_word(name):
        raise InvalidInputError(f"steps: {dict(entry)} has no name; expected a word")
    try:
        _check_keys(entry, _STEP_KEYS)
        if name in [step.name for step in before]:
            raise InvalidInputError("there are two of that name; expected a name for each")
        step = Step(
            name=name,
            stage=_word(entry.get("stage", name), "stage"),
            of=_words(entry.get("of", ()), "of"),
            cases=_read_cases(entry),
            grid=dict(_leaves(_mapping(entry.get("grid", {}), "grid"))),
            seeds=_read_seeds(entry),
            needs=_read_needs(entry),
        )
        _check_step(step, before, stages)
    except InvalidInputError as error:
        raise InvalidInputError(f"steps: {name}: {error}") from None
    return step


def _check_step(step: Step, before: Sequence[Step], stages: Stages) -> None:
    stage, names = stages[step.stage], [earlier.name for earlier in before]
    for of in step.of:
        if of not in names:
            raise InvalidInputError(
                f"of={of}{did_you_mean(of, names)}; expected steps that come before it: "
                f"{', '.join(names) or 'there are none'}"
            )
    parents = dict.fromkeys(earlier.stage for earlier in before if earlier.name in step.of)
    links = [stages.link(step.stage, parent) for parent in parents]
    if not step.of and step.seeds is None:
        raise InvalidInputError("it has no seeds, and reads no step; expected seeds: [0, 1]")
    for case in step.cases:
        for values in combinations(step.grid):
            given = merged(case.config, nested(values))
            _check_not_set(given, links)
            _check_is_one_run(stage.full_config(case.configs, given), stage.defaults)


def _check_not_set(given: Mapping[str, Any], links: Collection[str]) -> None:
    """Check that a step sets nothing that its study sets in each of its runs."""
    ways = {
        "seed": "its runs have those in its seeds, or of what it reads",
        **dict.fromkeys(links, "of says which runs are read"),
        "reuse": "it is a key of the whole study",
    }
    for key, way in ways.items():
        if key in given:
            raise InvalidInputError(f"{key}={given[key]!r} is not for a step: {way}")


def _check_is_one_run(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check that a cell is one run, from its beginning."""
    for key in (REPEAT_KEYS[0], RESUME):
        if config.get(key) != defaults.get(key):
            raise InvalidInputError(
                f"{key}={config[key]!r} is not for a step, each cell of which is a run: leave it "
                "out, and take several seeds instead of repeats"
            )


def _check_labels(steps: Sequence[Step]) -> None:
    """Check that no step whose cases have names is called as a key of a grid is."""
    keys = {key for step in steps for key in step.grid}
    both = next((step.name for step in steps if step.name in keys and step.cases[0].name), None)
    if both is not None:
        raise InvalidInputError(
            f"steps: {both} is a step and a key of a grid, which tables could not tell apart; "
            "expected another name for the step"
        )


def _read_cases(entry: Mapping[str, Any]) -> tuple[Case, ...]:
    configs = _words(entry.get("configs", ()), "configs")
    config = _mapping(entry.get("config", {}), "config")
    if "cases" not in entry:
        return (Case(None, configs, config),)
    found = []
    for case in _list(entry["cases"], "cases"):
        _check_keys(_mapping(case, "cases"), _CASE_KEYS)
        own = _words(case.get("configs", ()), "configs")
        on_top = _mapping(case.get("config", {}), "config")
        found.append(Case(_word(case.get("name"), "name"), configs + own, merged(config, on_top)))
    names = [case.name for case in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or not found:
        raise InvalidInputError(
            f"cases: {'there are none' if not found else f'two are called {twice}'}; expected a "
            "name for each"
        )
    return tuple(found)


def _read_seeds(entry: Mapping[str, Any]) -> tuple[int, ...] | None:
    seeds = entry.get("seeds")
    if seeds is None:
        return None
    is_list = isinstance(seeds, Sequence) and not isinstance(seeds, str)
    if (
        not is_list
        or not seeds
        or any(type(seed) is not int or not 0 <= seed < 2**32 for seed in seeds)
        or len(set(seeds)) < len(seeds)
    ):
        raise InvalidInputError(
            f"seeds={seeds!r}; expected a list of integers from 0 to 4294967295, each once"
        )
    return tuple(seeds)


def _read_needs(entry: Mapping[str, Any]) -> Needs | None:
    if entry.get("needs") is None:
        return None
    given = _mapping(entry["needs"], "needs")
    _check_keys(given, ("gpu", "memory_mb"))
    for key, least in (("gpu", 0), ("memory_mb", 1)):
        value = given.get(key, least)
        if type(value) is not int or value < least:
            raise InvalidInputError(f"needs: {key}={value!r}; expected an integer from {least}")
    return Needs(**given)


def _read_published(entry: Any) -> Published:
    given = dict(_mapping(entry, "published"))
    of = _mapping(given.pop("of", None), "published: of")
    try:
        _check_keys(given, MEASURES)
    except InvalidInputError as error:
        raise InvalidInputError(f"published: {error}") from None
    for key, mean in given.items():
        if type(mean) not in (int, float) or not math.isfinite(mean):
            raise InvalidInputError(f"published: {key}={mean!r}; expected a number")
    return Published(dict(_scalars(of)), given)


def _scalars(labels: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield labels by dotted keys: they are nested where a grid's key is."""
    for key, value in labels.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _leaves(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the dotted keys of a grid with their values."""
    for key, value in config.items():
        whole = f"{path}{key}"
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{whole}.")
        elif isinstance(value, Sequence) and not isinstance(value, str) and value:
            yield whole, tuple(value)
        else:
            raise InvalidInputError(f"grid: {whole}={value!r}; expected a list of values")


def combinations(grid: Mapping[str, Sequence[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every choice of one value for each key of a grid; of an empty grid, the empty one."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def nested(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return dotted keys as nested ones."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        *groups, last = key.split(".")
        for group in reversed(groups):
            value, last = {last: value}, group  # noqa: PLW2901
        found = merged(found, {last: value})
    return found


def _check_keys(given: Mapping[Any, Any], known: Collection[str]) -> None:
    unknown = next((key for key in given if key not in known), None)
    if unknown is not None:
        raise InvalidInputError(
            f"{unknown}={given[unknown]!r}{did_you_mean(str(unknown), known)}; expected some of "
            f"{', '.join(known)}"
        )


def _checked(value: Any, key: str, expected: str, is_that: Callable[[Any], bool]) -> Any:
    if not is_that(value):
        raise InvalidInputError(f"{key}: {value!r}; expected {expected}")
    return value


def _mapping(value: Any, key: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = _checked(
        value, key, "keys with values", lambda given: isinstance(given, Mapping)
    )
    return found


def _list(value: Any, key: str) -> Sequence[Any]:
    found: Sequence[Any] = _checked(
        value, key, "a list", lambda given: isinstance(given, list | tuple)
    )
    return found


def _mappings(value: Any, key: str) -> list[Mapping[str, Any]]:
    return [_mapping(entry, key) for entry in _list(value, key)]


def _word(value: Any, key: str) -> str:
    found: str = _checked(value, key, "a word", _is_word)
    return found


def _is_word(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _words(value: Any, key: str) -> tuple[str, ...]:
    given = [value] if isinstance(value, str) else _list(value, key)
    return tuple(_word(entry, key) for entry in given)
