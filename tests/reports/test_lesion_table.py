"""A table of lesioned networks: rows and their numbers by hand and beside scipy and pandas."""

import dataclasses

import numpy as np
import pandas
import pytest
import scipy.stats

from nn_clustering.errors import InvalidInputError
from nn_clustering.lesions._statistics import coherence_measure, importance_measure
from nn_clustering.reports import LESIONS, StudiedNetwork, table_of_networks
from nn_clustering.significance import benjamini_hochberg, bootstrap_interval

SETTINGS = {
    "train.dataset.name": "mnist",
    "train.network.kind": "mlp",
    "train.pruning.enabled": False,
    "cluster.n_clusters": 16,
    "cluster.graph.source": "weights",
    "lesion.n_shuffles": 19,
    "lesion.dataset.name": "mnist",
}


def network(run, *, shift=0.0, draws="joint", settings=None, **fields):
    """A network whose true lesions cost so much more than random ones."""
    random, n = np.random.default_rng(run), 12
    drawn = -random.uniform(0.01, 0.2, (n, 19))
    true = -random.uniform(0.01, 0.2, n) - shift
    combined = np.arange(n) != 3
    layers = ["first"] * 5 + ["second"] * 7 if draws == "joint" else None
    shared = {"count_ties": True, "layers": layers, "combined": combined}
    importance = importance_measure(true, drawn, intact=0.95, harm=-1, tail="left", **shared)
    ranges, random_ranges = random.uniform(1, 4, n), random.uniform(1, 4, (n, 19))
    random_ranges[:2, 5] = np.inf
    ranges[5] = np.inf
    coherence = coherence_measure(ranges, random_ranges, **shared)
    table = pandas.DataFrame(
        {
            "combined": combined,
            "importance_effect": importance.effects,
            "importance_ratio": importance.ratios,
            "coherence_effect": coherence.effects,
            "coherence_ratio": coherence.ratios,
        }
    )
    summaries = {"importance": importance.summary(0), "coherence": coherence.summary(0)}
    of_draws = pandas.DataFrame(
        {
            "importance_effect": importance.mean_null_effects(),
            "importance_ratio": importance.mean_null_ratios(),
            "coherence_effect": coherence.mean_null_effects(),
            "coherence_ratio": coherence.mean_null_ratios(),
        }
    )
    given = {
        "settings": {**SETTINGS, **(settings or {})},
        "network": f"training seed {run}",
        "scores": {"accuracy": 0.9 + run / 1000},
        **fields,
    }
    tables = {"sub_clusters": table, "random_effects": of_draws}
    return StudiedNetwork(LESIONS, run, summaries=summaries, **tables, **given)


@pytest.fixture(scope="module")
def networks():
    return [network(run, shift=0.2) for run in (1, 2, 3)]


def test_one_condition(networks):
    table = table_of_networks(networks, seed=4, n_resamples=99)
    (row,) = table.rows.to_dict("records")
    assert row["condition"] == "mnist mlp"
    assert row["runs"] == "1 2 3"
    assert row["n_networks"] == 3
    assert row["accuracy"] == pytest.approx(0.902)
    assert row["accuracy_std"] == pytest.approx(0.001)
    assert "mean_squared_error" not in row
    assert row["n_subclusters"] == 36
    for measure in ("importance", "coherence"):
        for name in ("joint_p", "fisher_p"):
            p = np.array([one.summaries[measure][name] for one in networks])
            found = {key: row[f"{measure}_{name}_{key}"] for key in ("mean", "median")}
            assert found == pytest.approx({"mean": p.mean(), "median": np.median(p)})
            assert row[f"{measure}_{name}_std"] == pytest.approx(np.std(p, ddof=1))
            assert row[f"{measure}_{name}_geometric_mean"] == pytest.approx(scipy.stats.gmean(p))
            assert row[f"{measure}_{name}_share_significant"] == np.mean(p <= 0.05)
            # the mean of three uniforms below 1/3: a corner of the cube
            if p.sum() < 1:
                assert row[f"{measure}_{name}_bates"] == pytest.approx(p.sum() ** 3 / 6)
        assert row[f"{measure}_p"] == row[f"{measure}_joint_p_bates"]
        assert row[f"{measure}_p_method"] == "joint"
        statistics = [one.summaries[measure]["fisher_statistic"] for one in networks]
        assert row[f"{measure}_fisher_statistic"] == pytest.approx(np.mean(statistics))
        assert row[f"{measure}_fisher_statistic_by_chance"] == pytest.approx(0.983, abs=5e-4)
        assert row[f"{measure}_n_combined"] == 33
    assert row["importance_joint_p_bates"] < 0.1  # so that the corner was looked at
    assert row["coherence_n_infinite_null"] == 6
    assert table.n_tests == 2


def test_effects_are_of_all_sub_clusters(networks):
    (row,) = table_of_networks(networks, seed=4, n_resamples=99).rows.to_dict("records")
    for measure in ("importance", "coherence"):
        for key, column in (("effect", "effect"), ("effect_ratio", "ratio")):
            pooled = np.concatenate(
                [
                    one.sub_clusters[f"{measure}_{column}"].to_numpy()[np.arange(12) != 3]
                    for one in networks
                ]
            )
            defined = pooled[np.isfinite(pooled)]
            assert row[f"{measure}_{key}"] == pytest.approx(defined.mean())
            assert row[f"{measure}_{key}_standard_error"] == pytest.approx(scipy.stats.sem(defined))
            interval = bootstrap_interval(defined, seed=4, n_resamples=99)
            assert (row[f"{measure}_{key}_low"], row[f"{measure}_{key}_high"]) == interval
            assert row[f"{measure}_{key}_median"] == np.median(defined)
            expected = {"importance": 0, "coherence": 3}[measure]
            assert row[f"{measure}_{key}_n_undefined"] == expected


def test_conditions_are_told_apart_by_what_differs():
    networks = [
        network(1),
        network(2, settings={"cluster.n_clusters": 12}),
        network(3),
        network(4, settings={"lesion.n_shuffles": 20, "train.pruning.enabled": True}),
        network(5, settings={"train.dataset.name": "fashion", "lesion.dataset.name": "fashion"}),
    ]
    rows = table_of_networks(networks, n_resamples=9).rows
    assert rows["condition"].tolist() == [
        "mnist mlp, enabled=False, n_clusters=16, n_shuffles=19",
        "mnist mlp, enabled=False, n_clusters=12, n_shuffles=19",
        "mnist mlp, enabled=True, n_clusters=16, n_shuffles=20",
        "fashion mlp, enabled=False, n_clusters=16, n_shuffles=19",
    ]
    assert rows["runs"].tolist() == ["1 3", "2", "4", "5"]


def test_names_of_keys_are_as_long_as_needed():
    other = {"train.pruning.enabled": True, "train.penalty.enabled": True}
    networks = [network(1, settings={"train.penalty.enabled": False}), network(2, settings=other)]
    rows = table_of_networks(networks, n_resamples=9).rows
    assert rows["condition"].tolist() == [
        "mnist mlp, pruning.enabled=False, penalty.enabled=False",
        "mnist mlp, pruning.enabled=True, penalty.enabled=True",
    ]


def test_networks_from_files_beside_trained_ones():
    """Nothing is known of their training: their layers stand for it."""
    settings = {
        "cluster.n_clusters": 16,
        "lesion.dataset.name": "mnist",
        "network.layers": "784-32-10",
    }
    files = [
        network(run, network=f"file {run}", scores={"mean_squared_error": 0.25}) for run in (1, 2)
    ]
    files = [dataclasses.replace(one, settings=settings) for one in files]
    table = table_of_networks([*files, network(3)], n_resamples=9)
    names = table.rows["condition"].tolist()
    assert names[0].startswith("mnist 784-32-10")
    assert names[1].startswith("mnist mlp")
    assert "train" not in names[0]
    assert table.rows["mean_squared_error"].tolist()[0] == 0.25
    assert np.isnan(table.rows["accuracy"][0])
    assert "| mean squared error |" in table.text()


def test_benjamini_hochberg_is_over_all_rows_and_measures():
    networks = [
        network(1, shift=0.3),
        network(2, settings={"cluster.n_clusters": 12}),
        network(3, shift=0.05, settings={"cluster.n_clusters": 8}),
    ]
    table = table_of_networks(networks, level=0.1, n_resamples=9)
    keys = [f"{measure}_p" for measure in ("importance", "coherence")]
    p_values = table.rows[keys].to_numpy().ravel()
    expected = benjamini_hochberg(p_values, 0.1)
    assert table.n_tests == 6
    assert table.critical_p == expected.critical_p > 0
    adjusted = table.rows[[f"{key}_adjusted" for key in keys]].to_numpy(float).ravel()
    np.testing.assert_array_equal(adjusted, expected.adjusted)
    significant = table.rows[[f"{key[:-2]}_significant" for key in keys]].to_numpy().ravel()
    assert significant.tolist() == expected.significant.tolist()
    assert 0 < expected.significant.sum() < 6
    assert table.text().count(" *") == expected.significant.sum()


def test_without_joint_draws_fishers_method_it_is(networks):
    apart = network(4, draws="afresh", settings={"lesion.draws": "afresh"})
    table = table_of_networks([*networks, apart], n_resamples=9)
    row = table.rows.to_dict("records")[1]
    assert row["importance_p_method"] == "fisher"
    assert row["importance_p"] == apart.summaries["importance"]["fisher_p"]
    assert pandas.isna(row["importance_joint_p_mean"])
    assert "(fisher, 19 draws)" in table.text()


def test_nothing_to_combine():
    one = network(1)
    table = one.sub_clusters.assign(combined=False)
    undefined = {
        measure: {**found, **dict.fromkeys(k for k in found if k.startswith(("joint_", "fisher_")))}
        | {"n_combined": 0}
        for measure, found in one.summaries.items()
    }
    empty = dataclasses.replace(one, summaries=undefined, sub_clusters=table)
    found = table_of_networks([empty], n_resamples=9)
    assert found.n_tests == found.critical_p == 0
    row = found.rows.to_dict("records")[0]
    assert row["importance_p"] is None
    assert row["importance_effect"] is None
    assert "| - | - | - | - | - |" in found.text()


def test_a_tiny_p_value_has_a_geometric_mean():
    one = network(1)
    tiny = {m: {**found, "fisher_p": 0.0} for m, found in one.summaries.items()}
    zero = dataclasses.replace(one, summaries=tiny)
    row = table_of_networks([zero], n_resamples=9).rows.to_dict("records")[0]
    assert row["importance_fisher_p_geometric_mean"] == 0


def test_text():
    table = table_of_networks([network(1, shift=0.3)], n_resamples=9)
    header, rule, line = table.text().splitlines()
    assert header.count("|") == rule.count("|") == line.count("|") == 15
    row = table.rows.to_dict("records")[0]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:4] == ["mnist mlp", "1", "0.9010", "12"]
    z = row["importance_joint_z"]
    assert cells[4] == f"{row['importance_p']:.2g} (joint, z = {z:.1f}, 19 draws) *"
    effect, error = row["importance_effect"], row["importance_effect_standard_error"]
    statistic, by_chance = (row[f"importance_fisher_statistic{end}"] for end in ("", "_by_chance"))
    assert cells[6] == f"{statistic:.3f} ({by_chance:.3f})"
    assert cells[7] == f"{effect:.3f} ± {error:.3f}"
    null, low, high = (row[f"importance_effect_null{end}"] for end in ("", "_low", "_high"))
    assert cells[8] == f"{null:.3f} ({low:.3f} to {high:.3f})"
    assert header.split(" | ")[7:9] == ["effect", "of random draws"]


def test_text_shows_no_p_value_below_what_can_be_said():
    table = table_of_networks([network(run, shift=0.3) for run in range(1, 9)], n_resamples=9)
    row = table.rows.to_dict("records")[0]
    assert row["importance_p"] < 1e-4
    z = row["importance_joint_z"]
    assert f"| < 0.0001 (joint, z = {z:.1f}, 19 draws) * | < 0.0001 |" in table.text()


def test_p_values_have_a_smallest_one(networks):
    """That of three networks with two layers each and 19 draws: 1/400 each, by Bates."""
    (row,) = table_of_networks(networks, n_resamples=9).rows.to_dict("records")
    for measure in ("importance", "coherence"):
        assert row[f"{measure}_p_smallest"] == pytest.approx((3 / 400) ** 3 / 6)
        scores = [one.summaries[measure]["joint_z"] for one in networks]
        assert row[f"{measure}_joint_z"] == pytest.approx(sum(scores) / np.sqrt(3))


def test_effects_of_draws_are_of_all_networks(networks):
    """Of networks that combine 11 and 2 sub-clusters, the means are weighted by these."""
    few = networks[1].sub_clusters.assign(combined=np.arange(12) < 2)
    two = [networks[0], dataclasses.replace(networks[1], sub_clusters=few)]
    (row,) = table_of_networks(two, n_resamples=9).rows.to_dict("records")
    for measure in ("importance", "coherence"):
        for key, column in (("effect_null", "effect"), ("effect_ratio_null", "ratio")):
            of_networks = [one.random_effects[f"{measure}_{column}"].to_numpy() for one in two]
            expected = np.average(of_networks, axis=0, weights=[11, 2])
            assert row[f"{measure}_{key}"] == pytest.approx(expected.mean())
            low, high = np.quantile(expected, [0.05, 0.95])
            assert row[f"{measure}_{key}_low"] == pytest.approx(low)
            assert row[f"{measure}_{key}_high"] == pytest.approx(high)


def test_refused():
    with pytest.raises(InvalidInputError, match="no networks; expected one run at least"):
        table_of_networks([])
    same = [network(7), network(9, network="training seed 7")]
    with pytest.raises(InvalidInputError, match=r"runs 7 and 9 lesion one network \(training seed"):
        table_of_networks(same)
    with pytest.raises(InvalidInputError, match="level=1; expected a number between"):
        table_of_networks([network(1)], level=1, n_resamples=9)
    with pytest.raises(InvalidInputError, match="n_resamples=1; expected 2 or more"):
        table_of_networks([network(1)], n_resamples=1)
    # of two conditions it is two networks' worth
    same[1] = network(9, network="training seed 7", settings={"cluster.n_clusters": 12})
    assert len(table_of_networks(same, n_resamples=9).rows) == 2
