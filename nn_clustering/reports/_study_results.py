"""What a study has found: one row a stored cell, and one row a clustered network."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas

    from nn_clustering.studies import Cell, Published, StoredCell, Study
    from nn_clustering.tracking import Run, RunId, RunStore

# The stages that a network comes from, the one that clusters it, and those that test a clustering.
NETWORK_STAGES = ("train", "import_network")
CLUSTER_STAGE = "cluster"
TEST_STAGES = ("shuffle_test", "lesion", "visualise")
# What a row of `networks` has of each test.
OF_SHUFFLES = ("ncut", "shuffled_mean", "shuffled_std", "z_score", "p_value", "n_shuffles")
OF_SUB_CLUSTERS = {"lesion": ("importance", "coherence"), "visualise": ("score", "entropy")}
# What a row has of a measure of sub-clusters, by the end of the column's name: the combination
# that was published, the calibrated one, and the effect.
OF_MEASURE = {"p": "fisher_p", "joint_p": "joint_p", "effect": "effect"}
# The runs that a row of `networks` has the ids of.
RUNS = (*NETWORK_STAGES, CLUSTER_STAGE, *TEST_STAGES)
# Columns of `networks` whose names begin with this are labels; those of `cells` too.
LABEL = "label."


@dataclass(frozen=True, eq=False)
class StudyResults:
    """What the stored runs of a study say.

    Attributes:
        name: Of the study.
        title: What it is called in a report.
        labels: Names of the labels, in the order in which cells have them; of each there is a
            column ``label.NAME`` in both tables, empty where a row does not have it.
        cells: One row a stored cell, in the order of the study: ``cell`` (its name), ``step``,
            ``stage``, ``seed``, labels, ``run`` (id), ``parent`` (the cell that it reads, None of
            a root), ``parent_run``, ``status``, ``start_time`` (UTC), ``seconds``, ``host``,
            ``code`` (digest), ``config.KEY`` of every dotted config key, and ``result.KEY`` of
            every number, text and truth value of the result.
        networks: One row a clustered network, or several where it is tested in several ways:
            labels, ``seed`` (of the clustering), ``network`` (the run that it is from),
            ``n_clusters``, ``accuracy``, ``ncut``, ``shuffled_mean``, ``shuffled_std``,
            ``z_score``, ``p_value``, ``n_shuffles``, ``fragile``; of importance, coherence, score
            and entropy ``{measure}_p`` (Fisher's combination, which was published),
            ``{measure}_joint_p`` (the calibrated one) and ``{measure}_effect``; and the ids of the
            runs behind it as ``{stage}_run``. Numbers are NaN, and others None, where they are
            undefined or their run is not there.
        missing: Names of the cells that have no completed run.
        published: Means that were published, of the rows whose labels contain ``of``; the means
            are named as the columns of ``networks``.
        runs: The stored runs, by id, for their artifacts.
        variant: ``full`` or ``quick``.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    cells: pandas.DataFrame
    networks: pandas.DataFrame
    missing: tuple[str, ...]
    published: tuple[Published, ...]
    runs: Mapping[RunId, Run] = field(repr=False)
    variant: str = "full"

    @property
    def n_cells(self) -> int:
        """Number of the study's cells, stored or not."""
        return len(self.cells) + len(self.missing)

    def in_words(self) -> str:
        """Return how many of the study's runs are stored."""
        quick = " (quick)" if self.variant == "quick" else ""
        return f"{self.name}{quick}: {len(self.cells):,} of {self.n_cells:,} runs are stored"

    @property
    def label_columns(self) -> list[str]:
        """The columns of both tables that hold labels."""
        return [f"{LABEL}{name}" for name in self.labels]


def read_results(
    store: RunStore,
    study: Study,
    cells: Sequence[Cell],
    stored: Mapping[str, StoredCell],
) -> StudyResults:
    """Read what the stored runs of a study's cells say, with one query.

    Args:
        store: Where the runs are.
        study: The study.
        cells: Its cells, parents first.
        stored: The completed runs of cells, by the cells' names.

    Raises:
        RunNotFoundError: If one of the runs is not there any more.
    """
    found = {
        run.id: run
        for run in store.runs([stored[cell.name].run_id for cell in cells if cell.name in stored])
    }
    runs = {cell.name: found[stored[cell.name].run_id] for cell in cells if cell.name in stored}
    networks = _networks(cells, runs)
    labels = dict.fromkeys(
        [
            *(label for cell in cells for label in cell.labels),
            *(label for row in networks for label in row.labels),
        ]
    )
    return StudyResults(
        study.name,
        study.title,
        tuple(labels),
        _table_of_cells(cells, runs, stored, labels),
        _table_of_networks(networks, runs, labels),
        tuple(cell.name for cell in cells if cell.name not in runs),
        study.published,
        found,
        study.variant,
    )


def is_fragile(result: Mapping[str, Any]) -> bool:
    """Whether another seed, or another k-means start, of the clustering turns a verdict.

    Args:
        result: Of a shuffle test.
    """
    over_seeds, lowest = result.get("over_seeds"), result.get("of_lowest_starts")
    return bool(
        (over_seeds is not None and over_seeds["rests_on_seed"])
        or (lowest is not None and lowest["rests_on_start"])
    )


def _table_of_cells(
    cells: Iterable[Cell],
    runs: Mapping[str, Run],
    stored: Mapping[str, StoredCell],
    labels: Iterable[str],
) -> pandas.DataFrame:
    import pandas

    rows = [
        {
            **_facts(cell, runs, stored[cell.name], labels),
            **dict(_leaves(runs[cell.name].config, "config")),
            **{
                key: value
                for key, value in _leaves(runs[cell.name].result, "result")
                if isinstance(value, int | float | str)
            },
        }
        for cell in cells
        if cell.name in runs
    ]
    names = dict.fromkeys(key for row in rows for key in row)
    # configs before results, though a later stage has keys that an earlier one has not
    groups = ("config.", "result.")
    facts = [name for name in names if not name.startswith(groups)]
    others = [name for group in groups for name in names if name.startswith(group)]
    return pandas.DataFrame(
        {
            name: pandas.Series([row.get(name) for row in rows], dtype=object)
            for name in [*facts, *others]
        }
    )


def _facts(
    cell: Cell, runs: Mapping[str, Run], stored: StoredCell, labels: Iterable[str]
) -> dict[str, Any]:
    run = runs[cell.name]
    parent = None if cell.parent is None else runs.get(cell.parent.name)
    return {
        "cell": cell.name,
        "step": cell.step,
        "stage": cell.stage,
        "seed": cell.seed,
        **{f"{LABEL}{label}": cell.labels.get(label) for label in labels},
        "run": run.id,
        "parent": None if cell.parent is None else cell.parent.name,
        "parent_run": None if parent is None else parent.id,
        "status": run.status,
        "start_time": run.start_time,
        "seconds": run.duration,
        "host": run.host,
        "code": stored.code,
    }


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, below in value.items():
            yield from _leaves(below, f"{path}.{key}")
    else:
        yield path, value


@dataclass(frozen=True)
class _Network:
    """A clustering, and one way in which it is tested: the tests' cells by stage."""

    clustering: Cell
    labels: Mapping[str, Any]
    tests: Mapping[str, Cell]


def _networks(cells: Sequence[Cell], runs: Mapping[str, Run]) -> list[_Network]:
    """Return the clusterings that are stored, once for each way in which they are tested."""
    tests: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.parent is not None and cell.stage in TEST_STAGES:
            tests.setdefault(cell.parent.name, []).append(cell)
    steps = {stage: _steps(cells, stage) for stage in (CLUSTER_STAGE, *TEST_STAGES)}
    return [
        network
        for cell in cells
        if cell.stage == CLUSTER_STAGE and cell.name in runs
        for network in _ways(cell, tests.get(cell.name, ()), steps)
    ]


def _steps(cells: Iterable[Cell], stage: str) -> list[str]:
    return list(dict.fromkeys(cell.step for cell in cells if cell.stage == stage))


def _ways(
    clustering: Cell, tests: Iterable[Cell], steps: Mapping[str, Sequence[str]]
) -> Iterator[_Network]:
    """Yield the ways in which a clustering is tested.

    Tests that differ from it in labels or seed, or that are one of several steps of their stage,
    are a way each; those that do not belong to every way.
    """
    own = {**clustering.labels, **_of_step(clustering, steps)}
    shared: dict[str, Cell] = {}
    ways: dict[str, tuple[dict[str, Any], dict[str, Cell]]] = {}
    for cell in tests:
        labels = {**own, **cell.labels, **_of_step(cell, steps)}
        if labels == own and cell.seed == clustering.seed:
            shared[cell.stage] = cell
        else:
            ways.setdefault(repr((labels, cell.seed)), (labels, {}))[1][cell.stage] = cell
    several = {stage for _, of_way in ways.values() for stage in of_way} & set(shared)
    if several:  # its seed is one of several
        ways = {"own": (own, {stage: shared.pop(stage) for stage in several}), **ways}
    for labels, of_way in ways.values() or [(own, {})]:
        yield _Network(clustering, labels, {**shared, **of_way})


def _of_step(cell: Cell, steps: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the label that tells steps of one stage apart."""
    return {cell.stage: cell.step} if len(steps[cell.stage]) > 1 else {}


def _table_of_networks(
    networks: Sequence[_Network], runs: Mapping[str, Run], labels: Iterable[str]
) -> pandas.DataFrame:
    import pandas

    rows = [_row(network, runs, labels) for network in networks]
    measures = [
        f"{measure}_{end}"
        for of_stage in OF_SUB_CLUSTERS.values()
        for measure in of_stage
        for end in OF_MEASURE
    ]
    numbers = ["accuracy", *OF_SHUFFLES, *measures]
    columns: dict[str, Any] = {
        name: pandas.Series([row[name] for row in rows], dtype=object)
        for name in [*(f"{LABEL}{label}" for label in labels), "seed", "network", "n_clusters"]
    }
    for name in numbers:
        values = [row.get(name) for row in rows]
        columns[name] = [math.nan if value is None else float(value) for value in values]
    for name in ["fragile", *(f"{stage}_run" for stage in RUNS)]:
        columns[name] = pandas.Series([row.get(name) for row in rows], dtype=object)
    return pandas.DataFrame(columns)


def _row(network: _Network, runs: Mapping[str, Run], labels: Iterable[str]) -> dict[str, Any]:
    clustered, source = runs[network.clustering.name], network.clustering.parent
    origin = None if source is None else runs.get(source.name)
    row = {
        **{f"{LABEL}{label}": network.labels.get(label) for label in labels},
        "seed": network.clustering.seed,
        "network": None if origin is None else origin.id,
        "n_clusters": clustered.result.get("n_clusters"),
        "accuracy": None if origin is None else _accuracy(origin, clustered),
        "ncut": clustered.result.get("ncut"),
        f"{CLUSTER_STAGE}_run": clustered.id,
    }
    if origin is not None:
        row[f"{origin.experiment}_run"] = origin.id
    for stage, cell in network.tests.items():
        if cell.name in runs:
            row |= _of_test(stage, runs[cell.name], row["accuracy"])
    return row


def _accuracy(origin: Run, clustered: Run) -> float | None:
    """Return the test accuracy of the network that is clustered, if its training tells it."""
    phase = clustered.info.get("phase")
    if clustered.config.get("checkpoint") is not None or phase not in origin.result:
        return None
    accuracy: float | None = origin.result[phase].get("test_accuracy")
    return accuracy


def _of_test(stage: str, run: Run, accuracy: float | None) -> dict[str, Any]:
    result, found = run.result, {f"{stage}_run": run.id}
    if stage not in OF_SUB_CLUSTERS:
        figures = {key: result.get(key) for key in OF_SHUFFLES}
        return {**found, **figures, "fragile": is_fragile(result)}
    for measure in OF_SUB_CLUSTERS[stage]:
        summary = result.get(measure) or {}
        found |= {f"{measure}_{end}": summary.get(key) for end, key in OF_MEASURE.items()}
    # of an import nothing else tells it
    return found if accuracy is not None else {**found, "accuracy": result.get("accuracy")}


def conditions_of(
    table: pandas.DataFrame, columns: Sequence[str]
) -> list[tuple[dict[str, Any], pandas.DataFrame]]:
    """Return the rows of each condition, which is equal labels, in the order of the first of each.

    Args:
        table: With label columns.
        columns: These.

    Returns:
        The labels that the condition has, by their names, and its rows.
    """
    groups: dict[str, list[int]] = {}
    values = [table[column].tolist() for column in columns]
    found = [list(labels) for labels in zip(*values, strict=True)] or [[]] * len(table)
    for place, labels in enumerate(found):
        groups.setdefault(repr(labels), []).append(place)
    return [
        (
            {
                column.removeprefix(LABEL): label
                for column, label in zip(columns, found[places[0]], strict=True)
                if label is not None
            },
            table.iloc[places],
        )
        for places in groups.values()
    ]


def condition_in_words(labels: Mapping[str, Any]) -> str:
    """Return what a condition is called in a figure: words alone, other values with their key."""
    return ", ".join(
        value if isinstance(value, str) else f"{label}={value}" for label, value in labels.items()
    )


def file_word(name: str) -> str:
    """Return a name as a part of a file's."""
    return re.sub(r"\W+", "_", name)
