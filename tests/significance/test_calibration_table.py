"""The documented table of how often p-values are small by chance."""

import pandas
import pytest
import scipy.stats

from benchmarks.calibration import (
    CLUSTERS,
    DRAWS,
    HARMS,
    LAYERS,
    LEVELS,
    TABLE,
    Calibration,
)


@pytest.fixture(scope="module")
def cells():
    return pandas.read_csv(TABLE)


def test_all_that_can_be_simulated_is_there(cells):
    assert len(cells) == len(HARMS) * len(CLUSTERS) * len(DRAWS) * len(LAYERS) * len(LEVELS)
    for name, values in {
        "harm": HARMS, "clusters": CLUSTERS, "draws": DRAWS, "layers": LAYERS, "level": LEVELS,
    }.items():  # fmt: skip
        assert set(cells[name]) == set(values)


def test_the_page_shows_what_the_file_holds(cells):
    page = TABLE.with_suffix(".md").read_text()
    tables = [table for table in str(Calibration(cells)).split("\n\n") if table.startswith("|")]
    assert len(tables) == 2
    for table in tables:
        assert table.strip() in page


def by_chance(cells, method):
    """How probable it is that p-values are as often small if that is 1.2 times too frequent."""
    return scipy.stats.binom.sf(cells[method] - 1, cells["networks"], 1.2 * cells["level"])


def test_joint_p_values_keep_their_promise(cells):
    """No cell at most 1.2 times too frequent but for chance, and all together not at all."""
    assert (by_chance(cells, "joint") > 0.01 / len(cells)).all()
    for _, of_level in cells.groupby("level"):
        expected = (of_level["networks"] * of_level["level"]).sum()
        assert of_level["joint"].sum() <= expected + 3 * expected**0.5


def test_those_of_students_t_did_not(cells):
    assert (by_chance(cells, "student") < 1e-6 / len(cells)).sum() > 10
