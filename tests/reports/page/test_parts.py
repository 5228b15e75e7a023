"""What the parts of a study's page say, each by itself."""

import base64
import datetime
import io
import math

import pandas
import pytest
from PIL import Image

from nn_clustering.reports import StudyTable
from nn_clustering.reports.page import RunImage, study_page
from nn_clustering.reports.page._data_tables import figure_title, networks_table, runs_table
from nn_clustering.reports.page._html import duration, plain, rendered, script_json
from nn_clustering.reports.page._lineage import lineage, step_summaries
from nn_clustering.reports.page._ncut_figure import ncut_figure
from nn_clustering.reports.page._page import _data, _facts
from nn_clustering.reports.page._parallel import parallel_coordinates
from nn_clustering.reports.page._pictures import pictures
from nn_clustering.reports.page._summaries import summary
from tests.reports.page.made_up_study import NOON, made_up_study, png


@pytest.fixture
def results():
    """Runs 1 to 14: of each of two networks a training, two clusterings and their two tests."""
    return made_up_study(cases=["MLP"], n_seeds=2)


def test_trees_say_what_tells_runs_from_those_that_they_read(results):
    ((condition, trees),) = lineage(results)
    assert (condition, [tree.words for tree in trees]) == ("MLP", ["seed 0", "seed 1"])
    first = trees[0]
    assert (first.run, first.n_runs) == (1, 7)
    ncut, z, p = (results.networks.iloc[1][key] for key in ("ncut", "z_score", "p_value"))
    clustering = first.children[1]
    assert (clustering.run, clustering.words) == (5, f"phase=pruned, n-cut {ncut:.4g}")
    assert [child.words for child in clustering.children] == [f"z {z:.4g}, p {p:.4g}", ""]
    results.cells.loc[results.cells["run"] == 5, "seed"] = 8
    ((_, trees),) = lineage(results)
    assert trees[0].children[1].words == f"phase=pruned, seed 8, n-cut {ncut:.4g}"


def test_steps_say_what_they_read_and_took(results):
    object.__setattr__(results, "missing", ("lesion: seed=7", "later: seed=0"))
    found = {step.name: step for step in step_summaries(results)}
    assert list(found) == ["train", "cluster", "shuffle_test", "lesion", "later"]
    assert [step.reads for step in found.values()] == [
        (), ("train",), ("cluster",), ("cluster",), (),
    ]  # fmt: skip
    assert [step.n_done for step in found.values()] == [2, 4, 4, 4, 0]
    assert [step.n_missing for step in found.values()] == [0, 0, 0, 1, 1]
    assert found["train"].seconds == (12.5 + 1) + (12.5 + 8 % 7)


def test_entries_are_sorted_by_their_number_and_lead_to_their_runs(results):
    lines = (
        ("MLP", "unpruned", "-1.5 ± 0.2 (3)", "< 0.001", "-"),
        ("MLP", "pruned", "2e-5", "undefined", ""),
        ("MLP", "", "1", "1", "1"),
        ("2 (3)", "", "", "", ""),
    )
    header = ("train", "phase", "a", "b", "c")
    found = summary(StudyTable("t", "T", pandas.DataFrame(), header, lines), results)
    assert found.n_labels == 2
    values = [[entry.value for entry in row] for row in found.rows]
    assert values[0] == ["MLP", "unpruned", -1.5, 0.001, ""]
    assert values[1] == ["MLP", "pruned", 2e-5, "", ""]
    first = found.rows[0][2]
    assert (first.text, first.spread, first.beside) == ("-1.5", " ± 0.2", "3")
    # of each network its training, a clustering and two tests
    assert first.link == "#runs=1%2C2%2C3%2C4%2C8%2C9%2C10%2C11"
    assert [bool(entry.link) for entry in found.rows[1]] == [True, True, True, False, False]
    assert found.rows[2][2].link == "#runs=1%2C8"
    assert (found.rows[3][0].text, found.rows[3][0].beside) == ("2 (3)", "")  # a label, no number


def test_columns_are_called_by_what_they_show(results):
    results.cells["code"] = "0123456789"
    for end in ("joint_p", "fisher_p"):
        results.cells[f"result.score.{end}"] = results.cells["result.p_value"]
    networks, runs = networks_table(results), runs_table(results)
    keys = [one["key"] for one in networks["columns"]]
    assert keys[0] == "cluster_run"  # by which a row is called
    assert keys[-3:] == ["network", "shuffle_test_run", "lesion_run"]
    kinds = {one["key"]: one["kind"] for one in networks["columns"]}
    assert (kinds["importance_joint_p"], kinds["importance_effect"]) == ("p", "number")
    assert (kinds["p_value"], kinds["fragile"]) == ("p", "text")
    keys = [one["key"] for one in runs["columns"]]
    assert {row[keys.index("code")] for row in runs["rows"]} == {"01234567"}
    kinds = {one["key"]: one["kind"] for one in runs["columns"]}
    ps = ("score.joint_p", "score.fisher_p", "p_value")
    assert [kinds[f"result.{key}"] for key in (*ps, "ncut")] == ["p", "p", "p", "number"]
    titles = ("importance_joint_p", "importance_p", "score_effect", "p_value", "n_shuffles")
    assert [figure_title(name) for name in titles] == [
        "importance joint p", "importance Fisher p", "score effect", "p", "shuffles",
    ]  # fmt: skip


def test_values_are_what_json_holds():
    assert [plain(value) for value in (math.inf, math.nan, 2**53, -(2**53), 2**53 - 1)] == [
        None, None, str(2**53), str(-(2**53)), 2**53 - 1,
    ]  # fmt: skip
    assert plain(True) is True
    assert plain(NOON) == "2026-01-01 12:00:00"
    assert script_json("<&>") == '"\\u003c\\u0026\\u003e"'
    assert [duration(seconds) for seconds in (0.5, 59, 60, 3599, 3720)] == [
        "0.5 s", "59 s", "1 min", "1 h 00 min", "1 h 02 min",
    ]  # fmt: skip


def test_half_a_letter_is_replaced(results):
    contents = dict.fromkeys(
        ("facts", "steps", "warnings", "missing", "summaries", "pictures", "picture_names"), ()
    )
    object.__setattr__(results, "title", "half \ud800 letter")
    page = rendered(
        **contents,
        **{"results": results, "n_failed": 0, "n_left_out": 0, "max_image_mb": 1, "lineage": []},
        data={"tables": {}, "omniboard": "", "figure": None, "parallel": None},
    )
    assert b"half ? letter" in page


def test_networks_stand_in_their_condition_beside_their_null():
    results = made_up_study(cases=["MLP", "CNN"], n_seeds=3)
    # seed by seed there are both conditions of a network; the figure has one after the other
    order = [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]
    results.networks.loc[order, "p_value"] = [0.05, 0.051, math.nan] * 4
    networks = results.networks.loc[order]
    figure = ncut_figure(results)
    null, below, others, *_ = figure["traces"]
    assert null["error_x"]["array"] == (2 * networks["shuffled_std"]).tolist()
    assert null["customdata"] == networks["shuffle_test_run"].tolist()
    assert below["customdata"] == networks["cluster_run"].tolist()[::3]
    assert (len(below["x"]), len(others["x"])) == (4, 8)
    # three networks beneath each other, in the line of their condition
    assert sorted({round(place, 2) for place in null["y"]})[:4] == [-0.31, 0, 0.31, 0.69]
    low, high = figure["layout"]["yaxis"]["range"]
    assert low > 3.31  # the first condition is the uppermost
    assert high < -0.31
    published = {trace["name"]: trace["y"] for trace in figure["traces"][3:]}
    assert published == {"published n-cut": [1], "published null mean": [1]}


def test_lines_lead_to_the_shuffle_test_else_to_the_clustering(results):
    results.networks.loc[0, "shuffle_test_run"] = None
    found = parallel_coordinates(results)
    runs = results.networks["shuffle_test_run"].tolist()
    assert [row["run"] for row in found["rows"]] == [2, *runs[1:]]
    logarithmic = {axis["key"] for axis in found["axes"] if axis.get("log")}
    assert logarithmic == {"p_value", "importance_joint_p"}


def test_no_more_axes_than_can_be_read():
    results = made_up_study(cases=[f"case {number}" for number in range(61)], n_seeds=1)
    for number in range(12):
        own = results.cells["run"] == 1 + 7 * number  # a training each
        results.cells[f"config.key_{number:02}"] = own.astype(object)
    axes = parallel_coordinates(results)["axes"]
    settings = [axis for axis in axes if axis["key"].startswith(("label.", "train.", "cluster."))]
    assert "label.train" not in [axis["key"] for axis in settings]  # 61 words
    assert len(settings) == 9


def see_through():
    file = io.BytesIO()
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(file, "PNG")
    return file.getvalue()


def test_images_fill_the_page_in_their_order(results, monkeypatch):
    name = "nn_clustering.reports.page._pictures._LARGEST_PIXELS"
    images = [RunImage(1, "a.png", b"no image"), RunImage(2, "b.png", see_through())]
    images += [RunImage(run, "c.png", png()) for run in (3, 4, 5)]
    found, n_left_out = pictures(results, images, 10**6)
    assert ([one.run for one in found], n_left_out) == ([2, 3, 4, 5], 1)
    content = base64.b64decode(found[0].uri.partition(",")[2])
    assert Image.open(io.BytesIO(content)).getpixel((1, 1)) == (255, 255, 255)
    two, small = sum(len(one.uri) for one in found[:2]), len(found[0].uri)
    # once one is too large, a smaller one does not take its place
    found, n_left_out = pictures(results, [*images, images[1]], two + small)
    assert ([one.run for one in found], n_left_out) == ([2, 3], 4)
    for missing, n_shown in ((0, 1), (1, 0)):
        page = study_page(results, images=images[1:2], max_image_mb=(small - missing) / 2**20)
        assert page.count(b'src="data:image/webp') == n_shown
    monkeypatch.setattr(name, 100)
    assert [one.run for one in pictures(results, images, 10**6)[0]] == [2]


def test_facts_of_the_page(results):
    results.cells.loc[1, "host"] = "other"
    results.cells.loc[2, "host"] = None
    results.cells.loc[1, "status"] = "RUNNING"
    facts = dict(_facts(results, NOON))
    first, last = (NOON + datetime.timedelta(minutes=run) for run in (1, 14))
    assert facts["Runs started"] == f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"
    assert facts["Machines"] == "lab (12 runs), other (1 runs), unknown (1 runs)"
    assert facts["Code"].startswith("train 3f2a9c, cluster 3f2a9c")
    assert _data(results, "http://lab:9000")["statuses"] == {"2": "RUNNING"}


def test_the_address_of_omniboard_and_what_failed(results):
    object.__setattr__(results, "missing", ("lesion: seed=7",))
    failures = {"lesion: seed=7": "no", "lesion: seed=8": "of a former try"}
    page = study_page(results, omniboard="http://lab:9000/", failures=failures).decode()
    assert '"omniboard":"http://lab:9000"' in page
    assert "1 failed" in page
