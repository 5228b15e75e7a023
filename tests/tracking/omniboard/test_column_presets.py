"""Omniboard's preset columns come once, and leave those of users alone."""

from zoneinfo import ZoneInfo

import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import preset_columns
from nn_clustering.tracking.omniboard.column_presets import (
    columns_file as find_columns_file,
    first_visit,
    read_columns,
)
from tests.programs import PROJECT

COLUMNS = """
metric_columns:
  - {name: accuracy, metric_name: test.accuracy, extrema: last}
config_columns:
  - {name: n-cut, config_path: result.ncut}
"""


def columns_of(database):
    found = []
    for collection in ("omniboard.metric.columns", "omniboard.custom.columns"):
        found += database[collection].find({}, {"_id": 0}).sort("name", 1)
    return found


@pytest.fixture
def columns_file(tmp_path):
    path = tmp_path / "omniboard.yaml"
    path.write_text(COLUMNS)
    return path


def test_presets_are_idempotent(database, columns_file):
    for _ in range(2):
        assert preset_columns(database, columns_file) == 2
        assert columns_of(database) == [
            {"name": "accuracy", "metric_name": "test.accuracy", "extrema": "last"},
            {"name": "n-cut", "config_path": "result.ncut"},
        ]


def settings_of(database):
    return {entry["name"]: entry["value"] for entry in database["omniboard.settings"].find()}


def test_settings_are_preset_once_and_kept(database, columns_file):
    preset_columns(database, columns_file)
    settings = settings_of(database)
    assert settings["row_height"] == 70
    assert ZoneInfo(settings["timezone"])
    change = {"$set": {"value": "Europe/Berlin"}}
    database["omniboard.settings"].update_one({"name": "timezone"}, change)
    preset_columns(database, columns_file)
    assert settings_of(database) == {**settings, "timezone": "Europe/Berlin"}
    assert database["omniboard.settings"].count_documents({}) == 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [("Europe/Berlin", "Europe/Berlin"), (":Asia/Tokyo", "Asia/Tokyo"), ("CET-1CEST", "UTC")],
)
def test_timezone_is_the_machines(database, columns_file, monkeypatch, given, expected):
    monkeypatch.setenv("TZ", given)
    preset_columns(database, columns_file)
    assert settings_of(database)["timezone"] == expected


def test_changed_preset_replaces_the_former(database, columns_file):
    preset_columns(database, columns_file)
    columns_file.write_text(COLUMNS.replace("result.ncut", "result.cut"))
    preset_columns(database, columns_file)
    assert columns_of(database)[1] == {"name": "n-cut", "config_path": "result.cut"}


def test_columns_of_users_are_kept(database, columns_file):
    own = [{"name": "mine", "config_path": "config.mine"}, {"name": "n-cut", "config_path": "own"}]
    database["omniboard.custom.columns"].insert_many([dict(column) for column in own])
    assert preset_columns(database, columns_file) == 1
    assert columns_of(database)[1:] == own


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("other: []", "metric_columns"),
        ("- 1", "metric_columns"),
        ("config_columns: [{name: a}]", "config_path"),
        ("config_columns: [1]", "config_path"),
        ("config_columns: [{name: a.b, config_path: c}]", "'a.b'"),
        ("config_columns: [{name: $a, config_path: c}]", "'$a'"),
        ("metric_columns: [{name: a, metric_name: c, extrema: most}]", "'most'"),
        ("config_columns: [{name: a, config_path: c}, {name: a, config_path: d}]", "'a'"),
        ("config_columns: [", "YAML"),
        ("plot: {x_axis: time}", "'time'"),
        ("plot: {metrics: accuracy}", "metrics, the last words"),
        ("plot: [accuracy]", "x_axis (steps or timestamps)"),
        ("plot: {colour: red}", "'red'"),
    ],
)
def test_what_holds_no_columns_is_refused(tmp_path, text, named):
    path = tmp_path / "omniboard.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInputError) as refused:
        read_columns(path)
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidInputError, match=r"nowhere.*expected a YAML file with") as refused:
        read_columns(tmp_path / "nowhere.yaml")
    assert "metric_columns" in str(refused.value)
    with pytest.raises(InvalidInputError, match="expected a YAML file with"):
        read_columns(tmp_path)


def test_the_projects_own_columns_are_valid():
    columns = read_columns(PROJECT / "configs" / "omniboard_columns.yaml")
    assert all(columns.values())
    shown = first_visit(PROJECT / "configs" / "omniboard_columns.yaml")["shown"]
    assert {"status", "tags", "notes"} <= set(shown[:5])
    assert "importance p" in shown
    assert "importance p (Fisher)" not in shown


def test_plot_is_that_of_the_file(columns_file):
    assert first_visit(columns_file)["plot"] == {}
    columns_file.write_text(COLUMNS + "plot: {y_axis: logarithmic, metrics: [loss]}")
    assert first_visit(columns_file)["plot"] == {"y_axis": "logarithmic", "metrics": ["loss"]}


def test_first_visit_has_every_column_once(columns_file):
    columns_file.write_text(COLUMNS + "first_visit: [n-cut, _id]")
    layout = first_visit(columns_file)
    assert layout["shown"] == ["n-cut", "_id"]
    assert "accuracy" in layout["hidden"]
    assert sorted(layout["shown"] + layout["hidden"]) == sorted(layout["paths"])
    assert layout["paths"]["n-cut"] == "result.ncut"
    assert layout["paths"]["accuracy"] == "accuracy"


def test_first_visit_without_a_list_shows_all(columns_file):
    assert first_visit(columns_file)["hidden"] == []


def test_first_visit_of_an_unknown_column_is_refused(columns_file):
    columns_file.write_text(COLUMNS + "first_visit: [ncut]")
    with pytest.raises(InvalidInputError, match="'ncut'; expected columns among"):
        first_visit(columns_file)


def test_columns_are_found_in_the_project_before_the_checkout(tmp_path):
    assert find_columns_file(tmp_path) == PROJECT / "configs" / "omniboard_columns.yaml"
    (tmp_path / "configs").mkdir()
    own = tmp_path / "configs" / "omniboard_columns.yaml"
    own.touch()
    assert find_columns_file(tmp_path) == own


def test_without_a_file_omniboard_gets_its_settings_alone(database):
    assert preset_columns(database) == 0
    assert columns_of(database) == []
    assert settings_of(database)["row_height"] == 70
