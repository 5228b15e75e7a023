"""Clusterability by condition: means over networks, their spread, and published means beside."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nn_clustering.reports._study_results import conditions_of
from nn_clustering.reports._study_table import StudyTable
from nn_clustering.significance import p_in_words

if TYPE_CHECKING:
    import pandas

    from nn_clustering.reports._study_results import StudyResults
    from nn_clustering.studies import Published

# What the table has means of, with what people read above it and how many digits.
MEASURES = {
    "accuracy": ("accuracy", 4),
    "ncut": ("n-cut", 3),
    "shuffled_mean": ("null mean", 3),
    "shuffled_std": ("null std", 3),
    "z_score": ("z", 1),
}
_OF_TEST = ("shuffled_mean", "shuffled_std", "z_score")


def clusterability_table(results: StudyResults) -> StudyTable | None:
    """Return the table of a study's clustered networks, a row a condition; None without any.

    A row has the condition's labels; ``n_networks``, ``n_clusterings`` (more, where networks are
    clustered with several seeds) and ``n_tested``, those with a shuffle test; of accuracy, n-cut,
    the mean and the standard deviation of its null distribution, and z the mean over networks (of
    each of which, over its clusterings), ``_std`` of a sample (empty of one), and ``_published``,
    the mean that was published; ``largest_p_value``; and ``n_fragile``, how many verdicts another
    seed or start turns.

    Of a single network that is clustered with several seeds, means and spreads are over these.
    """
    if results.networks.empty:
        return None
    import pandas

    rows = [
        _row(labels, group, results.published)
        for labels, group in conditions_of(results.networks, results.label_columns)
    ]
    labels = [name for name in results.labels if any(name in row["labels"] for row in rows)]
    is_tested = any(row["n_tested"] for row in rows)
    shown = [
        name
        for name in MEASURES
        if (is_tested or name not in _OF_TEST)
        and (name != "shuffled_std" or any(row[f"{name}_published"] is not None for row in rows))
    ]
    header = [*labels, "networks", *(MEASURES[name][0] for name in shown)]
    lines = [
        (
            *(label_text(row["labels"].get(name)) for name in labels),
            str(row["n_networks"]),
            *(_text(row, name) for name in shown),
            *([_largest_p(row)] if is_tested else []),
        )
        for row in rows
    ]
    table = pandas.DataFrame(
        [{**{name: row["labels"].get(name) for name in labels}, **_numbers(row)} for row in rows]
    )
    return StudyTable(
        "clusterability",
        f"{results.title}: n-cut{' beside the null distribution' if is_tested else ''}",
        table,
        tuple([*header, "largest p"] if is_tested else header),
        tuple(lines),
        tuple(_notes(rows)),
    )


def label_text(label: Any) -> str:
    """Return a label as a table shows it."""
    return "" if label is None else str(label)


def published_of(labels: Mapping[str, Any], published: Iterable[Published]) -> dict[str, float]:
    """Return the published means of a condition: those of which it has all labels."""
    found: dict[str, float] = {}
    for entry in published:
        if all(name in labels and labels[name] == value for name, value in entry.of.items()):
            found |= entry.means
    return found


def over_networks(group: pandas.DataFrame, measure: str) -> pandas.Series:
    """Return a measure of each network of a condition.

    Returns:
        Of each network, the mean over its clusterings; of a single one, all of these.
    """
    if measure not in _OF_TEST:  # however often a clustering is tested
        group = group.drop_duplicates("cluster_run")
    values = group[measure].astype(float)
    # a clustering of a file is of a network of its own
    network = group["network"].where(group["network"].notna(), group["cluster_run"].map(repr))
    return values if network.nunique() == 1 else values.groupby(network, sort=False).mean()


def _row(
    labels: Mapping[str, Any], group: pandas.DataFrame, published: Sequence[Published]
) -> dict[str, Any]:
    means = published_of(labels, published)
    row: dict[str, Any] = {
        "labels": labels,
        "n_networks": int(group["network"].nunique()) or len(group),
        "n_clusterings": int(group["cluster_run"].nunique()),
        "n_tested": int(group.loc[group["shuffle_test_run"].notna(), "cluster_run"].nunique()),
    }
    for measure in MEASURES:
        values = over_networks(group, measure).dropna()
        row[measure] = values.mean() if len(values) else None
        row[f"{measure}_std"] = values.std() if len(values) > 1 else None
        row[f"{measure}_published"] = means.get(measure)
    largest = group["p_value"].max()
    row["largest_p_value"] = None if math.isnan(largest) else largest
    fragile = group.loc[group["fragile"].eq(True), "cluster_run"].nunique()
    row["n_fragile"] = int(fragile) if row["n_tested"] else None
    return row


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "labels"}


def _text(row: Mapping[str, Any], measure: str) -> str:
    """Return mean, spread (not of z, which is one already) and published mean of a measure."""
    _, digits = MEASURES[measure]
    reference = row[f"{measure}_published"]
    beside = "" if reference is None else f" ({reference})"
    if measure in _OF_TEST and not row["n_tested"]:
        return f"-{beside}"
    spread = None if measure == "z_score" else row[f"{measure}_std"]
    return mean_and_spread(row[measure], spread, f".{digits}f") + beside


def mean_and_spread(mean: float | None, spread: float | None, form: str) -> str:
    """Return a mean ± its spread, without one that there is not."""
    if mean is None:
        return "undefined"
    return format(mean, form) if spread is None else f"{mean:{form}} ± {spread:{form}}"


def _largest_p(row: Mapping[str, Any]) -> str:
    if not row["n_tested"]:
        return "-"
    few = row["n_tested"] < row["n_clusterings"]
    remarks = [
        *([f"{row['n_tested']} of {row['n_clusterings']} tested"] if few else []),
        *([f"{row['n_fragile']} fragile"] if row["n_fragile"] else []),
    ]
    return p_in_words(row["largest_p_value"]) + (f" ({', '.join(remarks)})" if remarks else "")


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    notes = ["Mean ± standard deviation over networks, published means in brackets."]
    if any(row["n_clusterings"] > row["n_networks"] for row in rows):
        notes.append(
            "A network that is clustered several times counts once, with its mean; where it is the "
            "only one, mean and standard deviation are over its clusterings."
        )
    if any(row["n_fragile"] for row in rows):
        notes.append(
            "Fragile is a verdict that another seed or k-means start of the clustering turns."
        )
    return notes
