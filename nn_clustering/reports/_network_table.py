"""One row a condition: tests of networks with different seeds together (methods G7-G9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.reports._studied_networks import StudiedNetwork, conditions
from nn_clustering.significance import (
    bates_combination,
    benjamini_hochberg,
    estimate_mean,
    fisher_statistic_by_chance,
    null_interval,
    p_in_words,
)

if TYPE_CHECKING:
    import pandas

# Of p-values over networks, the share that reaches it is shown.
_LEVEL = 0.05


@dataclass(frozen=True, eq=False)
class NetworkTable:
    """What a test finds of all conditions of a study.

    Attributes:
        rows: One a condition; see :func:`table_of_networks`.
        measures: The test's measures that a network has.
        corrected: Those of them whose p-values are corrected for their number.
        scores: What is known of the networks at large, by name.
        level: The false discovery rate over all conditions and corrected measures.
        critical_p: The largest p-value that is significant at that rate; 0 if none is.
        n_tests: p-values behind it.
    """

    rows: pandas.DataFrame
    measures: tuple[str, ...]
    corrected: tuple[str, ...]
    scores: tuple[str, ...]
    level: float
    critical_p: float
    n_tests: int

    def text(self) -> str:
        """Return the table as Markdown: means ± standard errors, p-values over networks.

        Beside the mean Fisher statistic stands what it is by chance, and beside an effect the one
        of random draws in the place of the true partition, with the interval from 5 to 95% of the
        draws.
        """
        header = ["", "networks", *map(_words, self.scores), "sub-clusters"]
        for measure in self.measures:
            header += [f"{_words(measure)} p"]
            header += ["adjusted"] if measure in self.corrected else []
            header += ["Fisher statistic (by chance)", "effect", "of random draws"]
        lines = [header, ["---"] * len(header)]
        for row in self.rows.to_dict("records"):
            cells = [row["condition"], str(row["n_networks"])]
            cells += [_shown(row[name], ".4f") for name in self.scores]
            cells.append(str(row["n_subclusters"]))
            for measure in self.measures:
                cells += measure_texts(row, measure, is_corrected=measure in self.corrected)
            lines.append(cells)
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_SHOWN = (
    "p", "p_method", "p_adjusted", "significant", "fisher_statistic",
    "fisher_statistic_by_chance", "effect",
    "effect_standard_error", "effect_null", "effect_null_low", "effect_null_high", "joint_z",
    "n_null",
)  # fmt: skip


def table_of_networks(
    networks: Sequence[StudiedNetwork],
    *,
    level: float = 0.05,
    seed: int = 0,
    n_resamples: int = 9999,
    names: Sequence[str] | None = None,
) -> NetworkTable:
    """Put the networks of each condition into one row.

    Of each measure of the test a row has

    - ``joint_p`` and ``fisher_p`` over networks: ``mean``, ``std`` (of a sample; None of one
      network), ``geometric_mean``, ``median``, ``share_significant`` (at most 0.05) and ``bates``,
      the networks' combination into one (G7), which asks that they be small in most networks;
    - ``p``: the Bates combination of the joint p-values if all networks have one, else of
      Fisher's, as ``p_method`` says; ``p_smallest`` is the smallest that draws could give, None of
      Fisher's; ``p_adjusted`` and ``significant`` are Benjamini-Hochberg's (G8) over all rows and
      all measures that the test corrects;
    - ``joint_z``, the sum over networks of how far the true partition's summed scores are above
      those of draws, divided by the root of their number;
    - ``fisher_statistic``, the mean over networks, and ``fisher_statistic_by_chance``;
    - ``effect``, ``effect_ratio`` (G9) and the test's further effects over all sub-clusters of all
      networks: mean, standard error, 95% bootstrap interval, median, and how many are undefined
      (quirk 13); and what draws have in the place of the true partitions: ``effect_null`` on
      average, ``effect_null_low`` to ``effect_null_high`` in 5 to 95% of the draws;
    - ``n_infinite_null``, random sub-clusters whose value is infinite.

    A row is without a measure that not all of its networks have.

    Args:
        networks: At least one, all of one test.
        level: The false discovery rate.
        seed: Fixes the bootstraps.
        n_resamples: Of each bootstrap.
        names: Of each network's condition; None for those that tell its settings from the others'.

    Raises:
        InvalidInputError: If there is no network, a network is twice in one condition, the level is
            not between 0 and 1, or there is no resample.
    """
    import pandas

    if not networks:
        raise InvalidInputError("a table of no networks; expected one run at least")
    test = networks[0].test
    bootstrap = {"seed": seed, "n_resamples": n_resamples}
    rows = [_row(name, group, bootstrap) for name, group in conditions(networks, names)]
    measures = tuple(name for name in test.measures if any(name in n.summaries for n in networks))
    corrected = tuple(name for name in measures if name in test.corrected)
    critical_p, n_tests = _correct(rows, corrected, level)
    return NetworkTable(
        pandas.DataFrame(rows),
        measures,
        corrected,
        tuple(name for name in test.scores if any(name in row for row in rows)),
        level,
        critical_p,
        n_tests,
    )


def _correct(
    rows: Sequence[dict[str, Any]], measures: Sequence[str], level: float
) -> tuple[float, int]:
    """Add adjusted p-values to rows; returns the critical p-value, and how many there are."""
    cells = [(row, f"{measure}_p") for row in rows for measure in measures]
    tested = [(row, key) for row, key in cells if row.get(key) is not None]
    for row, key in cells:
        row[f"{key}_adjusted"] = row[f"{key[:-2]}_significant"] = None
    if not tested:
        return 0.0, 0
    found = benjamini_hochberg([row[key] for row, key in tested], level)
    for (row, key), adjusted, significant in zip(
        tested, found.adjusted.tolist(), found.significant.tolist(), strict=True
    ):
        row[f"{key}_adjusted"], row[f"{key[:-2]}_significant"] = adjusted, significant
    return found.critical_p, len(tested)


def _row(
    name: str, networks: Sequence[StudiedNetwork], bootstrap: Mapping[str, int]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "condition": name,
        "runs": " ".join(str(network.run) for network in networks),
        "n_networks": len(networks),
    }
    test = networks[0].test
    for score in test.scores:
        values = [network.scores[score] for network in networks if score in network.scores]
        if values:
            row[score], row[f"{score}_std"] = float(np.mean(values)), _std(values)
    row["n_subclusters"] = sum(len(network.sub_clusters) for network in networks)
    for measure in test.measures:
        if all(measure in network.summaries for network in networks):
            of_measure = _of_measure(measure, networks, bootstrap)
            row.update({f"{measure}_{key}": value for key, value in of_measure.items()})
    return row


def _of_measure(
    measure: str, networks: Sequence[StudiedNetwork], bootstrap: Mapping[str, int]
) -> dict[str, Any]:
    summaries = [network.summaries[measure] for network in networks]
    combined = [one.sub_clusters[one.sub_clusters["combined"]] for one in networks]
    joint, fisher = _over_networks(summaries, "joint_p"), _over_networks(summaries, "fisher_p")
    statistics = [found["fisher_statistic"] for found in summaries if found["n_combined"]]
    method = "joint" if joint["bates"] is not None else "fisher"
    n_null = summaries[0]["n_null"]
    row: dict[str, Any] = {
        "p": (joint if method == "joint" else fisher)["bates"],
        "p_method": method,
        "p_smallest": _over_networks(summaries, "joint_p_smallest")["bates"],
        "joint_z": _stouffer_z([found["joint_z"] for found in summaries]),
        **{f"joint_p_{key}": value for key, value in joint.items()},
        **{f"fisher_p_{key}": value for key, value in fisher.items()},
        "fisher_statistic": float(np.mean(statistics)) if statistics else None,
        "fisher_statistic_by_chance": fisher_statistic_by_chance(n_null),
        "n_null": n_null,
        "n_combined": sum(map(len, combined)),
        "n_infinite_null": sum(found["n_infinite_null"] for found in summaries),
    }
    for key, column in networks[0].test.effects.items():
        values = [table[f"{measure}_{column}"].to_numpy(float) for table in combined]
        mean = estimate_mean(np.concatenate(values), **bootstrap)
        row |= {
            key: mean.mean,
            f"{key}_standard_error": mean.standard_error,
            f"{key}_low": mean.low,
            f"{key}_high": mean.high,
            f"{key}_median": mean.median,
            f"{key}_n_undefined": mean.n_undefined,
            **null_interval(f"{key}_null", _null_of_networks(networks, f"{measure}_{column}")),
        }
    return row


def _null_of_networks(networks: Sequence[StudiedNetwork], column: str) -> NDArray[np.float64]:
    """Return the mean effects of draws over the sub-clusters of all networks, shape (draws,).

    Draw s of all networks is one draw, for networks are drawn independently.
    """
    combining = [one for one in networks if one.sub_clusters["combined"].any()]
    if not combining:
        return np.empty(0)
    of_draws = np.stack([one.random_effects[column].to_numpy(float) for one in combining])
    counts = np.array([[one.sub_clusters["combined"].sum()] for one in combining])
    weights = counts * np.isfinite(of_draws)
    total = np.where(weights > 0, weights * of_draws, 0.0).sum(axis=0)
    weight = weights.sum(axis=0)
    found: NDArray[np.float64] = np.divide(
        total, weight, where=weight > 0, out=np.full(total.shape, np.nan)
    )
    return found


def _stouffer_z(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(sum(known) / len(known) ** 0.5) if known else None


def _over_networks(summaries: Sequence[Mapping[str, Any]], name: str) -> dict[str, float | None]:
    """Return what is said of a p-value over networks; None where not all have it."""
    known = [found[name] for found in summaries]
    keys = ("mean", "std", "geometric_mean", "median", "share_significant", "bates")
    if None in known:
        return dict.fromkeys(keys)
    p_values = np.array(known)
    with np.errstate(divide="ignore"):  # of 700 sub-clusters, Fisher's p can round to 0
        geometric_mean = np.exp(np.log(p_values).mean())
    values = (
        float(p_values.mean()),
        _std(known),
        float(geometric_mean),
        float(np.median(p_values)),
        float((p_values <= _LEVEL).mean()),
        float(bates_combination(p_values)),
    )
    return dict(zip(keys, values, strict=True))


def _std(values: Sequence[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def measure_texts(row: Mapping[Any, Any], measure: str, *, is_corrected: bool) -> list[str]:
    """Return what a table shows of a measure in one row.

    Returns:
        The p-value over networks with what it rests on; the adjusted one, of a corrected measure;
        mean Fisher statistic; effect; and that of random draws.
    """
    of_measure = {key: row.get(f"{measure}_{key}") for key in _SHOWN}
    star = " *" if is_corrected and of_measure["significant"] is True else ""
    method = f" ({_rests_on(of_measure)})" if _shown_p(of_measure["p"]) != "-" else ""
    effect = _shown(of_measure["effect"], ".3f")
    if effect != "-":
        effect = f"{effect} ± {_shown(of_measure['effect_standard_error'], '.3f')}"
    null = _shown(of_measure["effect_null"], ".3f")
    # draws that are no partitions, and so have no joint test, have no interval of their means
    if null != "-" and of_measure["joint_z"] is not None:
        low, high = (_shown(of_measure[f"effect_null_{end}"], ".3f") for end in ("low", "high"))
        null = f"{null} ({low} to {high})"
    statistic = _shown(of_measure["fisher_statistic"], ".3f")
    if statistic != "-":
        statistic = f"{statistic} ({of_measure['fisher_statistic_by_chance']:.3f})"
    return [
        f"{_shown_p(of_measure['p'])}{method}{star}",
        *([_shown_p(of_measure["p_adjusted"])] if is_corrected else []),
        statistic,
        effect,
        null,
    ]


def _rests_on(of_measure: Mapping[str, Any]) -> str:
    """Return what a p-value over networks is made of."""
    joint_z = _shown(of_measure["joint_z"], ".1f")
    of_joint = of_measure["p_method"] == "joint" and joint_z != "-"
    statistic = f", z = {joint_z}" if of_joint else ""
    return f"{of_measure['p_method']}{statistic}, {of_measure['n_null']:.0f} draws"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown_p(p: float | None) -> str:
    return "-" if p is None or np.isnan(p) else p_in_words(p)


def _shown(value: Any, form: str) -> str:
    if value is None or np.isnan(value):
        return "-"
    # + 0.0: no minus sign before 0.0
    return format(float(format(value, form)) + 0.0, form)
