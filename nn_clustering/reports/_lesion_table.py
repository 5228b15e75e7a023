"""One row a condition: lesion tests of networks with different seeds together (methods G7-G9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.reports._lesioned_networks import (
    MEASURES,
    SCORES,
    LesionedNetwork,
    conditions,
)
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
class LesionTable:
    """Importance and coherence of all conditions of a study.

    Attributes:
        rows: One a condition; see :func:`table_of_lesions`.
        level: The false discovery rate over all conditions and both measures.
        critical_p: The largest p-value that is significant at that rate; 0 if none is.
        n_tests: p-values behind it.
    """

    rows: pandas.DataFrame
    level: float
    critical_p: float
    n_tests: int

    def text(self) -> str:
        """Return the table as Markdown: means ± standard errors, p-values over networks.

        Beside an effect stands the one of random draws in the place of the true partition, with the
        interval from 5 to 95% of the draws.
        """
        scores = [name for name in SCORES if name in self.rows]
        header = ["", "networks", *(name.replace("_", " ") for name in scores), "sub-clusters"]
        for measure in MEASURES:
            header += [f"{measure} p", "adjusted", "Fisher statistic", "effect", "of random draws"]
        lines = [header, ["---"] * len(header)]
        for row in self.rows.to_dict("records"):
            cells = [row["condition"], str(row["n_networks"])]
            cells += [_shown(row[name], ".4f") for name in scores]
            cells.append(str(row["n_subclusters"]))
            for measure in MEASURES:
                cells += _cells({key: row[f"{measure}_{key}"] for key in _SHOWN})
            lines.append(cells)
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


_SHOWN = (
    "p", "p_method", "p_adjusted", "significant", "fisher_statistic", "effect",
    "effect_standard_error", "effect_null", "effect_null_low", "effect_null_high", "joint_z",
    "n_null",
)  # fmt: skip


def table_of_lesions(
    networks: Sequence[LesionedNetwork],
    *,
    level: float = 0.05,
    seed: int = 0,
    n_resamples: int = 9999,
) -> LesionTable:
    """Put the networks of each condition into one row.

    Of each measure, importance and coherence, a row has

    - ``joint_p`` and ``fisher_p`` over networks: ``mean``, ``geometric_mean``, ``median``,
      ``share_significant`` (at most 0.05) and ``bates``, the networks' combination into one
      (G7), which asks that they be small in most networks;
    - ``p``: the Bates combination of the joint p-values if all networks have one, else of
      Fisher's, as ``p_method`` says; ``p_smallest`` is the smallest that draws could give, None of
      Fisher's; ``p_adjusted`` and ``significant`` are Benjamini-Hochberg's (G8) over all rows and
      both measures;
    - ``joint_z``, the sum over networks of how far the true partition's summed scores are above
      those of draws, divided by the root of their number;
    - ``fisher_statistic``, the mean over networks, and ``fisher_statistic_by_chance``;
    - ``effect`` and ``effect_ratio`` (G9) over all sub-clusters of all networks: mean, standard
      error, 95% bootstrap interval, median, and how many are undefined (quirk 13); and what draws
      have in the place of the true partitions: ``effect_null`` on average, ``effect_null_low`` to
      ``effect_null_high`` in 5 to 95% of the draws;
    - ``n_infinite_null``, random sub-clusters whose range is infinite.

    Args:
        networks: At least one.
        level: The false discovery rate.
        seed: Fixes the bootstraps.
        n_resamples: Of each bootstrap.

    Raises:
        InvalidInputError: If there is no network, a network is twice in one condition, the level is
            not between 0 and 1, or there is no resample.
    """
    import pandas

    if not networks:
        raise InvalidInputError("a table of no networks; expected one lesion run at least")
    bootstrap = {"seed": seed, "n_resamples": n_resamples}
    rows = [_row(name, group, bootstrap) for name, group in conditions(networks)]
    cells = [(row, f"{measure}_p") for row in rows for measure in MEASURES]
    tested = [(row, key) for row, key in cells if row[key] is not None]
    for row, key in cells:
        row[f"{key}_adjusted"] = row[f"{key[:-2]}_significant"] = None
    if not tested:
        return LesionTable(pandas.DataFrame(rows), level, 0.0, 0)
    found = benjamini_hochberg([row[key] for row, key in tested], level)
    for (row, key), adjusted, significant in zip(
        tested, found.adjusted.tolist(), found.significant.tolist(), strict=True
    ):
        row[f"{key}_adjusted"], row[f"{key[:-2]}_significant"] = adjusted, significant
    return LesionTable(pandas.DataFrame(rows), level, found.critical_p, len(tested))


def _row(
    name: str, networks: Sequence[LesionedNetwork], bootstrap: Mapping[str, int]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "condition": name,
        "runs": " ".join(str(network.run) for network in networks),
        "n_networks": len(networks),
    }
    for score in SCORES:
        values = [network.scores[score] for network in networks if score in network.scores]
        if values:
            row[score] = float(np.mean(values))
            row[f"{score}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
    row["n_subclusters"] = sum(len(network.sub_clusters) for network in networks)
    for measure in MEASURES:
        of_measure = _of_measure(measure, networks, bootstrap)
        row.update({f"{measure}_{key}": value for key, value in of_measure.items()})
    return row


def _of_measure(
    measure: str, networks: Sequence[LesionedNetwork], bootstrap: Mapping[str, int]
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
    for key, column in (("effect", "effect"), ("effect_ratio", "ratio")):
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


def _null_of_networks(networks: Sequence[LesionedNetwork], column: str) -> NDArray[np.float64]:
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
    keys = ("mean", "geometric_mean", "median", "share_significant", "bates")
    if None in known:
        return dict.fromkeys(keys)
    p_values = np.array(known)
    with np.errstate(divide="ignore"):  # of 700 sub-clusters, Fisher's p can round to 0
        geometric_mean = np.exp(np.log(p_values).mean())
    values = (
        p_values.mean(),
        geometric_mean,
        np.median(p_values),
        (p_values <= _LEVEL).mean(),
        bates_combination(p_values),
    )
    return dict(zip(keys, map(float, values), strict=True))


def _cells(of_measure: Mapping[str, Any]) -> list[str]:
    star = " *" if of_measure["significant"] is True else ""
    method = f" ({_rests_on(of_measure)})" if _shown_p(of_measure["p"]) != "-" else ""
    effect = _shown(of_measure["effect"], ".3f")
    if effect != "-":
        effect = f"{effect} ± {_shown(of_measure['effect_standard_error'], '.3f')}"
    null = _shown(of_measure["effect_null"], ".3f")
    # draws that are no partitions, and so have no joint test, have no interval of their means
    if null != "-" and of_measure["joint_z"] is not None:
        low, high = (_shown(of_measure[f"effect_null_{end}"], ".3f") for end in ("low", "high"))
        null = f"{null} ({low} to {high})"
    return [
        f"{_shown_p(of_measure['p'])}{method}{star}",
        _shown_p(of_measure["p_adjusted"]),
        _shown(of_measure["fisher_statistic"], ".3f"),
        effect,
        null,
    ]


def _rests_on(of_measure: Mapping[str, Any]) -> str:
    """Return what a p-value over networks is made of."""
    joint_z = _shown(of_measure["joint_z"], ".1f")
    of_joint = of_measure["p_method"] == "joint" and joint_z != "-"
    statistic = f", z = {joint_z}" if of_joint else ""
    return f"{of_measure['p_method']}{statistic}, {of_measure['n_null']} draws"


def _shown_p(p: float | None) -> str:
    return "-" if p is None or np.isnan(p) else p_in_words(p)


def _shown(value: Any, form: str) -> str:
    return "-" if value is None or np.isnan(value) else format(value, form)
