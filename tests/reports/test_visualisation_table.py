"""What a table of optimised inputs has of its own: measures that networks lack, and what counts."""

import dataclasses

import numpy as np
import pandas
import pytest

from nn_clustering.reports import VISUALISATIONS, StudiedNetwork, table_of_networks
from nn_clustering.significance import benjamini_hochberg, measure_beside_random

SETTINGS = {"train.network.kind": "cnn", "visualise.dataset.name": "mnist"}
TAILS = {"score": "right", "entropy": "left", "dispersion": "left", "top_entropy": "left"}


def network(run, *names, draws="joint", settings=None):
    """A network with these measures, of which the scores alone are larger than by chance."""
    random, n = np.random.default_rng(run), 8
    columns, of_draws, summaries = {"combined": np.ones(n, bool)}, {}, {}
    for name in names:
        found = measure_beside_random(
            random.uniform(1, 2, n) + (name == "score"),
            random.uniform(1, 2, (n, 9)),
            tail=TAILS[name],
            count_ties=True,
            layers=["one"] * 3 + ["two"] * 5 if draws == "joint" else None,
            combined=columns["combined"],
            each=True,
        )
        summaries[name] = found.summary(0)
        columns |= found.columns(name)
        of_draws |= found.columns_of_draws(name)
    return StudiedNetwork(
        VISUALISATIONS,
        run,
        {**SETTINGS, **(settings or {})},
        f"training seed {run}",
        {},
        summaries,
        pandas.DataFrame(columns),
        pandas.DataFrame(of_draws),
    )


def cells_of(table):
    return [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.text().splitlines()
    ]


def test_score_and_entropy_alone_are_corrected_together():
    networks = [network(run, *TAILS) for run in (1, 2)]
    networks.append(network(3, *TAILS, settings={"train.network.kind": "mlp"}))
    table = table_of_networks(networks, n_resamples=9)
    p_values = table.rows[["score_p", "entropy_p"]].to_numpy()
    expected = benjamini_hochberg(p_values.ravel(), 0.05)
    assert (table.n_tests, table.critical_p) == (4, expected.critical_p)
    adjusted = table.rows[["score_p_adjusted", "entropy_p_adjusted"]].to_numpy(float)
    np.testing.assert_array_equal(adjusted.ravel(), expected.adjusted)
    assert table.rows["score_significant"].tolist() == [True, True]
    assert "dispersion_p" in table.rows
    assert not {"dispersion_p_adjusted", "top_entropy_significant"} & set(table.rows)
    header = cells_of(table)[0]
    assert [header[place] for place in (3, 8, 13, 17)] == [
        "score p", "entropy p", "dispersion p", "top entropy p",
    ]  # fmt: skip
    assert header[13:17] == [
        "dispersion p", "Fisher statistic (by chance)", "effect", "of random draws",
    ]  # fmt: skip
    assert all(len(line) == len(header) == 21 for line in cells_of(table))


def test_effects_of_each_draw_are_means_over_sub_clusters():
    networks = [network(run, "score", "dispersion") for run in (1, 2)]
    (row,) = table_of_networks(networks, n_resamples=9).rows.to_dict("records")
    each = np.concatenate([one.sub_clusters["score_effect_each"] for one in networks])
    assert row["score_effect_each"] == pytest.approx(each.mean())
    assert row["score_effect_each_low"] < each.mean() < row["score_effect_each_high"]
    of_draws = np.mean([one.random_effects["score_effect_each"] for one in networks], axis=0)
    assert row["score_effect_each_null"] == pytest.approx(of_draws.mean())
    assert row["score_effect_each_null_high"] == pytest.approx(np.quantile(of_draws, 0.95))
    assert row["score_fisher_statistic_by_chance"] == pytest.approx(0.966, abs=5e-4)  # G7


def test_a_measure_that_no_network_has_is_no_column():
    table = table_of_networks([network(1, "score", "dispersion")], n_resamples=9)
    assert table.measures == ("score", "dispersion")
    assert table.n_tests == 1
    assert "entropy" not in table.text()
    assert not [name for name in table.rows if "entropy" in name]


def test_a_condition_without_a_measure_that_another_has():
    """A regression beside a classifier: it has no entropy to correct for."""
    regression = network(2, "score", "dispersion", settings={"train.network.kind": "mlp"})
    table = table_of_networks([network(1, "score", "entropy", "dispersion"), regression])
    assert table.n_tests == 3
    assert np.isnan(table.rows["entropy_p"][1])
    assert cells_of(table)[3][8:13] == ["-"] * 5
    assert cells_of(table)[3][13].endswith("9 draws)")


def test_networks_of_which_one_alone_has_a_measure():
    """Of one of two no p-value over both can be had."""
    table = table_of_networks([network(1, "score", "entropy"), network(2, "score")])
    (row,) = table.rows.to_dict("records")
    assert row["n_networks"] == 2
    assert table.n_tests == 1
    assert "entropy_effect" not in row
    assert cells_of(table)[2][8:13] == ["-"] * 5


def test_no_minus_before_a_z_of_zero():
    one = network(1, "score")
    summaries = {"score": {**one.summaries["score"], "joint_z": -0.04}}
    table = table_of_networks([dataclasses.replace(one, summaries=summaries)], n_resamples=9)
    assert "(joint, z = 0.0, 9 draws)" in table.text()


def test_agreement_of_inputs_with_samples_is_of_the_networks_that_have_it():
    scores = ({"top_share": 0.25, "score_quantile": 1.0}, {"top_share": 0.5})
    networks = [
        dataclasses.replace(network(run, "score"), scores=found)
        for run, found in enumerate(scores, start=1)
    ]
    networks.append(network(3, "score", settings={"train.network.kind": "mlp"}))
    lines = cells_of(table_of_networks(networks, n_resamples=9))
    assert [line[2:5] for line in lines] == [
        ["top share", "score quantile", "sub-clusters"],
        ["---"] * 3,
        ["0.3750", "1.0000", "16"],
        ["-", "-", "8"],
    ]


def test_draws_that_are_no_partitions_have_no_interval():
    """Nor a z where one network alone has a joint test: what is shown rests on Fisher's."""
    afresh = network(1, "score", draws="afresh")
    table = table_of_networks([afresh], n_resamples=9)
    null = table.rows["score_effect_null"][0]
    assert cells_of(table)[2][7] == f"{null:.3f}"
    (row,) = cells_of(table_of_networks([afresh, network(2, "score")], n_resamples=9))[2:]
    assert row[3].removesuffix(" *").endswith("(fisher, 9 draws)")


def test_a_draw_that_is_undefined_in_one_network_is_that_of_the_others():
    networks = [network(run, "score") for run in (1, 2)]
    networks[0].random_effects.loc[0, "score_effect"] = np.nan
    (row,) = table_of_networks(networks, n_resamples=9).rows.to_dict("records")
    first, second = (one.random_effects["score_effect"].to_numpy() for one in networks)
    of_draws = [second[0], *((first + second) / 2)[1:]]
    assert row["score_effect_null"] == pytest.approx(np.mean(of_draws))
