"""Numbers in figures are written as they are printed."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from nn_clustering.reports._figure_text import counted, number, plain_number, set_plain_ticks
from tests.reports.figure_texts import assert_numbers_are_well_written, texts_of


@pytest.mark.parametrize(
    ("value", "spec", "expected"),
    [
        (-10.823, ".2f", "\N{MINUS SIGN}10.82"),
        (-3, "d", "\N{MINUS SIGN}3"),
        (2e-5, ".3g", "2e\N{MINUS SIGN}05"),
        (0.0196, ".3g", "0.0196"),
    ],
)
def test_number(value, spec, expected):
    assert number(value, spec) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "0"),
        (-1, "\N{MINUS SIGN}1"),
        (5e-05, "0.00005"),
        (-0.3, "\N{MINUS SIGN}0.3"),
        (0.1 + 0.2, "0.3"),
        (30.0, "30"),
        (2e-7, "2 \N{MULTIPLICATION SIGN} 10⁻⁷"),
        (-1e-12, "\N{MINUS SIGN}10⁻¹²"),
        (3000, "3000"),
        (12_345.6, "12,345.6"),
        (500_000, "500,000"),
        (999_999.9, "1,000,000"),
        (1e6, "1,000,000"),
        (-2.5e7, "\N{MINUS SIGN}25,000,000"),
        (1e9, "10⁹"),
        (3.2e12, "3.2 \N{MULTIPLICATION SIGN} 10¹²"),
        (np.inf, "inf"),
        (np.float64(100), "100"),
    ],
)
def test_plain_number(value, expected):
    assert plain_number(value) == expected


def test_ticks():
    figure = Figure()
    axes = figure.subplots()
    axes.set_xticks([])
    axes.set_ylim(-4, 4)
    set_plain_ticks(axes.yaxis, [-3, 0, 0.5])
    assert texts_of(figure) == ["\N{MINUS SIGN}3", "0", "0.5"]
    assert_numbers_are_well_written(figure)


def test_counted():
    assert [counted(count, "lesion") for count in (0, 1, 2, 1200)] == [
        "0 lesions",
        "1 lesion",
        "2 lesions",
        "1,200 lesions",
    ]
