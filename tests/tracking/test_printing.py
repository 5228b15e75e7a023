"""Tables fit the terminal, and what is printed steers none."""

import datetime
import json
import math

import pytest
from hypothesis import given, strategies as st

from nn_clustering.tracking.printing import (
    cut,
    fit_columns,
    fitted_lines,
    format_seconds,
    format_size,
    format_value,
    printable,
    table_lines,
    text_width,
    to_json,
)

CELLS = st.text(max_size=40).map(printable)


@given(st.data(), st.integers(20, 200))
def test_table_fits_its_width(data, width):
    names = data.draw(st.lists(CELLS, min_size=1, max_size=6, unique=True))
    n_rows = data.draw(st.integers(0, 3))
    columns = {name: data.draw(st.lists(CELLS, min_size=n_rows, max_size=n_rows)) for name in names}
    fitted = fit_columns(columns, width, 1, names[1:])
    lines = fitted_lines(columns, width, 1, names[1:], "advice")
    assert names[0] in fitted
    assert len(lines) == n_rows + 1 + (len(fitted) < len(names))
    assert all(text_width(line) <= width for line in lines)


def test_columns_are_chosen_by_preference():
    columns = {"run": ["1"], "wide": ["w" * 20], "narrow": ["n"], "other": ["o"]}
    assert list(fit_columns(columns, 20, 1, ["other", "wide", "narrow"])) == [
        "run", "narrow", "other",
    ]  # fmt: skip
    *_, last = fitted_lines(columns, 60, 3, [], "look elsewhere")
    assert last == "1 column did not fit (look elsewhere): other"


def test_long_cells_are_cut():
    columns = {"run": ["1"], "note": ["long " * 20]}
    cell = fit_columns(columns, 80, 1, ["note"])["note"][0]
    assert cell.endswith("…")


def test_numbers_stand_to_the_right():
    lines = table_lines({"run": ["5", "12"], "name": ["a", "bcdef"], "ncut": ["10.5", ""]})
    assert lines == ["run  name   ncut", "  5  a      10.5", " 12  bcdef"]


def test_wide_letters_take_two_columns():
    assert text_width("日本") == 4
    assert cut("日本語", 5) == "日本…"
    assert table_lines({"a": ["日本", "xx"], "b": ["y", "y"]})[1:] == ["日本  y", "xx    y"]


@given(st.text())
def test_what_is_printed_steers_no_terminal(text):
    assert printable(text).isprintable()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""), (True, "True"), (3, "3"), (0.123456, "0.1235"), (1e-9, "1e-09"),
        (math.nan, "nan"), ("a\x1b[31m\nb", "a?[31m b"), ([1, [2.0]], "[1, [2]]"),
        (datetime.datetime(2024, 1, 2, 3, 4, 5), "2024-01-02 03:04"),
    ],
)  # fmt: skip
def test_values(value, shown):
    assert format_value(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, ""), (0, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"),
        (59.6, "1 min 00 s"), (3599.6, "1 h 00 min"), (86400 * 2 + 3600 * 5, "2 d 05 h"),
    ],
)  # fmt: skip
def test_durations(seconds, shown):
    assert format_seconds(seconds) == shown


@pytest.mark.parametrize(
    ("size", "shown"),
    [(None, "lost"), (0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2**20, "1.0 MB"),
     (123_456_789, "123 MB"), (5 * 10**12, "5000.0 GB")],
)  # fmt: skip
def test_sizes(size, shown):
    assert format_size(size) == shown


ANYTHING = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.datetimes(), st.just(object()), st.just("\ud800"),
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.tuples(inner),
        st.dictionaries(st.one_of(st.text(), st.integers()), inner),
    ),
)  # fmt: skip


@given(ANYTHING)
def test_json_is_strict(value):
    text = json.dumps(to_json(value), allow_nan=False)
    text.encode("utf-8")
    json.loads(text)
