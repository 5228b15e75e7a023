"""What figures of a study show: by the numbers that they draw."""

import numpy as np
import pytest

from nn_clustering.reports import study_figures
from tests.reports.stored_study import (
    CLUSTERINGS,
    LESIONS,
    NETWORKS,
    PUBLISHED,
    SHUFFLES,
    StoredCells,
)

ON_THE_WAY = {
    **CLUSTERINGS,
    "name": "on_the_way",
    "stage": "cluster",
    "grid": {"checkpoint": [1, 2], "phase": ["unpruned", "pruned"]},
}


def figures_of(store, *steps, **spec):
    made = StoredCells(store.database, *steps, **spec).add_all()
    results = made.results(store)
    return results, dict(study_figures(results, store))


def lines_of(axes):
    return {line.get_label(): line for line in axes.get_lines()}


@pytest.fixture(scope="module")
def of_all(shared_store):
    steps = (NETWORKS, CLUSTERINGS, SHUFFLES, LESIONS)
    return figures_of(shared_store, *steps, published=[PUBLISHED], title="Small")


def test_a_study_has_the_figures_that_its_runs_have_something_for(store, of_all):
    assert list(of_all[1]) == ["ncuts", "learning_curves", "p_values", "networks"]
    _, alone = figures_of(store, NETWORKS)
    assert list(alone) == ["learning_curves"]


def test_ncuts_of_networks_beside_their_nulls_and_what_was_published(of_all):
    (axes,) = of_all[1]["ncuts"].axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[:2] == ["MLP, unpruned", "MLP, pruned"]
    points = [line for line in axes.get_lines() if line.get_marker() == "o"]
    assert [point.get_xdata().tolist() for point in points[:2]] == [[10.0, 10.5], [9.0, 9.5]]
    assert [round(float(point.get_ydata().mean()), 9) for point in points] == [0, 1, 2, 3]
    nulls = [line for line in axes.get_lines() if line.get_marker() == "|"]
    assert nulls[0].get_xdata().tolist() == [11.0, 12.0]
    (mark,) = [line for line in axes.get_lines() if line.get_marker() == "D"]
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([10.024], [0])


def test_learning_curves_go_on_where_a_phase_ends_and_have_ncuts_of_checkpoints(store):
    clusterings = {**CLUSTERINGS, "config": {"phase": "pruned"}, "grid": {}}
    tests = {**SHUFFLES, "of": "on_the_way"}
    _, figures = figures_of(store, NETWORKS, clusterings, ON_THE_WAY, tests)
    accuracy, ncut, z = figures["learning_curves"].axes
    first, of_training = accuracy.get_lines()[:2]
    assert first.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    # of runs 1 and 2, whose accuracy after an epoch is 1 - 0.5 / (run + epoch)
    expected = [50 * (2 - 0.5 / (1 + step) - 0.5 / (2 + step)) for step in (1, 2, 3, 4, 1, 2)]
    assert first.get_ydata().tolist() == pytest.approx(expected)
    assert of_training.get_ydata().tolist() == [100] * 6
    # epochs 1 and 2 of each phase, the second after four of the first, and its end, which is 2
    found, null = ncut.get_lines()[:2]
    assert found.get_xdata().tolist() == null.get_xdata().tolist() == [1, 2, 5, 6]
    assert null.get_ydata().tolist() == [11.5] * 4
    of_z = z.get_lines()[0]
    assert (of_z.get_xdata().tolist(), of_z.get_ydata().tolist()) == ([1, 2], [-3, -3])
    assert [line.get_xdata()[0] for line in ncut.get_lines()[4:]] == [4.5]


def test_p_values_are_counted_in_bars_that_hold_equally_many(of_all):
    results, figures = of_all
    shuffles, importance, _ = figures["p_values"].axes
    # 1/51 eight times over 0.3: 51 = 3 x 17
    assert len(shuffles.patches) == 17
    assert [bar.get_height() for bar in shuffles.patches][:6] == [4, 0, 0, 0, 0, 4]
    heights = [bar.get_height() for bar in importance.patches]
    assert (len(heights), sum(heights)) == (20, 80)
    tables = [results.runs[run] for run in results.networks["lesion_run"]]
    lowest = sum(run.artifact("sub_clusters.csv").decode().count(",0.05,") > 0 for run in tables)
    assert (heights[0] > 0) == (lowest > 0)  # p = 1/20 belongs to the first bar
    assert importance.get_lines()[0].get_ydata() == pytest.approx([4, 4])


def test_a_curve_over_a_numeric_label(store):
    clusterings = {**CLUSTERINGS, "grid": {"n_clusters": [2, 4, 8], "phase": ["unpruned"]}}
    networks = {**NETWORKS, "cases": NETWORKS["cases"][:1]}
    _, figures = figures_of(store, networks, clusterings, SHUFFLES)
    ncut, z = figures["by_n_clusters"].axes
    assert (ncut.get_ylabel(), z.get_ylabel()) == ("n-cut", "z")
    points, mean, null = ncut.get_lines()
    assert sorted(points.get_xdata().tolist()) == [2, 2, 4, 4, 8, 8]
    assert mean.get_ydata().tolist() == [10.25] * 3
    assert null.get_ydata().tolist() == [11.5] * 3
    assert z.get_lines()[1].get_ydata().tolist() == [-3.0] * 3


def test_one_network_of_each_condition_is_drawn(of_all):
    drawn = [axes for axes in of_all[1]["networks"].axes if axes.get_images()]
    assert [axes.get_title() for axes in drawn] == [
        "MLP, unpruned\nn-cut 10.000",
        "MLP, pruned\nn-cut 9.000",
        "MLP, 50% dropout, unpruned\nn-cut 10.000",
        "MLP, 50% dropout, pruned\nn-cut 9.000",
    ]
    assert np.asarray(drawn[0].get_images()[0].get_array()).shape == (40, 60, 3)
