"""Tests of sub-clusters by condition of a study (methods G7-G9), published means beside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import NnClusteringError
from nn_clustering.reports._clusterability_table import label_text, mean_and_spread, published_of
from nn_clustering.reports._network_table import NetworkTable, measure_texts, table_of_networks
from nn_clustering.reports._studied_networks import NetworkTest, StudiedNetwork, studied_network
from nn_clustering.reports._study_results import OF_SUB_CLUSTERS, conditions_of
from nn_clustering.reports._study_table import StudyTable
from nn_clustering.significance import SMALLEST_SHOWN, p_in_words

if TYPE_CHECKING:
    import pandas

    from nn_clustering.reports._study_results import StudyResults
    from nn_clustering.tracking import RunStore

_TITLES = {
    "lesion": ("lesions", "lesions of sub-clusters"),
    "visualise": ("visualisations", "inputs optimised for sub-clusters"),
}
_HEADER = (
    *("measure", "networks", "sub-clusters", "p", "adjusted", "Fisher p"),
    *("Fisher statistic (by chance)", "effect", "of random draws"),
)


def sub_cluster_table(
    results: StudyResults,
    store: RunStore,
    test: NetworkTest,
    *,
    level: float = 0.05,
    seed: int = 0,
    n_resamples: int = 9999,
) -> StudyTable | None:
    """Return the table of a study's tests of sub-clusters; None where it has none.

    People read a row a condition and measure; the numbers are those of
    :func:`table_of_networks`, a row a condition, with the published means. A network that was
    tested several times in one condition counts with the first.

    Args:
        results: Of the study.
        store: Where its runs are.
        test: What was done to the sub-clusters.
        level: The false discovery rate over all conditions and measures that are corrected.
        seed: Fixes the bootstraps.
        n_resamples: Of each bootstrap.
    """
    tested = results.networks[results.networks[f"{test.stage}_run"].notna()]
    if tested.empty:
        return None
    conditions = conditions_of(tested, results.label_columns)
    networks, names, remarks = _studied(results, store, test, conditions)
    name, title = _TITLES[test.stage]
    caption = f"{results.title}: {title}"
    if not networks:
        return StudyTable(name, caption, tested.iloc[:0], _HEADER, (), tuple(remarks))
    table = table_of_networks(
        networks, level=level, seed=seed, n_resamples=n_resamples, names=names
    )
    shown = [conditions[int(place)][0] for place in dict.fromkeys(names)]
    labels = [name for name in results.labels if any(name in one for one in shown)]
    rows, lines = _rows_and_lines(results, table, shown, labels, test)
    notes = (*_notes(table), *remarks)
    return StudyTable(name, caption, rows, (*labels, *_HEADER), lines, notes)


def _studied(
    results: StudyResults,
    store: RunStore,
    test: NetworkTest,
    conditions: Sequence[tuple[Mapping[str, Any], pandas.DataFrame]],
) -> tuple[list[StudiedNetwork], list[str], list[str]]:
    """Return the networks, the place of each one's condition, and what is to be said of others."""
    networks, names, unreadable, n_left_out = [], [], [], 0
    for place, (_, group) in enumerate(conditions):
        seen: set[str] = set()
        for run_id in dict.fromkeys(group[f"{test.stage}_run"]):
            try:
                network = studied_network(store, results.runs[run_id], test)
            except NnClusteringError as error:
                unreadable.append(str(error))
                continue
            if network.network in seen:
                n_left_out += 1
                continue
            seen.add(network.network)
            networks.append(network)
            names.append(str(place))
    remarks = []
    if n_left_out:
        remarks.append(
            f"{n_left_out} more tests of networks that are in their condition already are left "
            "out: there they would count as several networks."
        )
    if unreadable:
        remarks.append(f"{len(unreadable)} tests are left out that cannot be read: {unreadable[0]}")
    return networks, names, remarks


def _rows_and_lines(
    results: StudyResults,
    table: NetworkTable,
    conditions: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    test: NetworkTest,
) -> tuple[pandas.DataFrame, tuple[tuple[str, ...], ...]]:
    import pandas

    means = [f"{measure}_p" for measure in OF_SUB_CLUSTERS[test.stage]]
    rows, lines = [], []
    for found, row in zip(conditions, table.rows.to_dict("records"), strict=True):
        published = published_of(found, results.published)
        lines += list(_lines(row, table, found, labels, published))
        numbers = {str(key): value for key, value in row.items() if key != "condition"}
        rows.append(
            {
                **{name: found.get(name) for name in labels},
                **numbers,
                **{f"{key}_published": published.get(key) for key in means},
            }
        )
    return pandas.DataFrame(rows), tuple(lines)


def _lines(
    row: Mapping[Any, Any],
    table: NetworkTable,
    labels: Mapping[str, Any],
    names: Sequence[str],
    published: Mapping[str, float],
) -> Iterator[tuple[str, ...]]:
    for measure in table.measures:
        if f"{measure}_p" not in row or f"{measure}_n_null" not in row:
            continue
        is_corrected = measure in table.corrected
        p, *others = measure_texts(row, measure, is_corrected=is_corrected)
        adjusted, statistic, effect, null = others if is_corrected else ["-", *others]
        yield (
            *(label_text(labels.get(name)) for name in names),
            measure.replace("_", " "),
            str(row["n_networks"]),
            str(row["n_subclusters"]),
            p,
            adjusted,
            _fisher(row, measure, published),
            statistic,
            effect,
            null,
        )


def _fisher(row: Mapping[Any, Any], measure: str, published: Mapping[str, float]) -> str:
    """Return the mean over networks of Fisher's combined p-value, and the published one."""
    mean, spread = (_defined(row[f"{measure}_fisher_p_{key}"]) for key in ("mean", "std"))
    shown = mean_and_spread(mean, spread, ".4f")
    if mean is not None and mean < SMALLEST_SHOWN:
        shown = p_in_words(mean)
    reference = published.get(f"{measure}_p")
    return shown if reference is None else f"{shown} ({reference})"


def _defined(value: float | None) -> float | None:
    return None if value is None or value != value else value  # noqa: PLR0124  # NaN


def _notes(table: NetworkTable) -> Iterator[str]:
    found = p_in_words(table.critical_p, "critical p") if table.critical_p else "none is"
    yield (
        f"p over networks: Bates combination; * significant with a false discovery rate of "
        f"{table.level:g} over {table.n_tests} tests ({found}, Benjamini-Hochberg). Fisher p: mean "
        "± standard deviation over networks, published means in brackets. Effects: mean ± standard "
        "error over sub-clusters; of random draws, the effect that they have in the place of the "
        "partitions, in brackets from 5 to 95% of them."
    )
