"""The page of a study as a file: what is in it, and what it refuses."""

import base64
import hashlib
import html
import json
import re

import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.reports._clusterability_table import clusterability_table
from nn_clustering.reports.page import RunImage, images_of, study_page
from tests.reports.page.made_up_study import PHASES, made_up_study, png

N_OF_NETWORK = 1 + 2 * 3  # a training, two clusterings, and two tests of each


@pytest.fixture(scope="module")
def results():
    return made_up_study(cases=["MLP", "CNN"], n_seeds=2)


@pytest.fixture(scope="module")
def page(results):
    return text_of(results, tables=[clusterability_table(results)])


def text_of(results, **options):
    return study_page(results, **options).decode()


def data_of(text):
    found = re.search(r'<script type="application/json" id="study-data">(.*?)</script>', text)
    return json.loads(found[1])


def column(table, key):
    place = [one["key"] for one in table["columns"]].index(key)
    return [row[place] for row in table["rows"]]


def test_page_lets_its_own_scripts_run_and_nothing_be_fetched(page):
    policy = html.unescape(re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1])
    scripts = re.findall(r"<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts
    ]
    assert f"script-src 'sha256-{digests[0]}' 'sha256-{digests[1]}';" in policy
    assert policy.startswith("default-src 'none';")
    assert not re.search(r'<(?:link|script|img|iframe)[^>]+(?:src|href)="(?!data:)', page)


def test_every_run_and_network_is_in_the_data(results, page):
    tables = data_of(page)["tables"]
    assert column(tables["runs"], "run") == list(range(1, 4 * N_OF_NETWORK + 1))
    assert column(tables["networks"], "ncut") == results.networks["ncut"].tolist()


def test_figures_name_the_run_that_they_are_from(page):
    networks = data_of(page)["tables"]["networks"]
    run_of = {one["key"]: one.get("run") for one in networks["columns"]}
    assert run_of["ncut"] == "cluster_run"
    assert run_of["z_score"] == "shuffle_test_run"
    assert run_of["accuracy"] == "network"
    assert run_of["importance_joint_p"] == "lesion_run"


def test_only_config_that_differs_within_a_step_is_shown(page):
    keys = [one["key"] for one in data_of(page)["tables"]["runs"]["columns"]]
    config = [key for key in keys if key.startswith("config.")]
    # epochs are the same, phase and the run that is read have columns, seeds are no config
    assert config == ["config.network.dropout", "config.training.learning_rate"]


def test_settings_that_tell_networks_apart_in_one_way_are_one_axis(page):
    axes = [axis["title"] for axis in data_of(page)["parallel"]["axes"]]
    assert axes[:4] == ["train", "phase", "seed", "accuracy"]


def test_published_means_are_in_table_and_figure(page):
    published = {
        trace["name"]: trace["x"]
        for trace in data_of(page)["figure"]["traces"]
        if trace["name"].startswith("published")
    }
    assert published == {"published n-cut": [8.881], "published null mean": [9.183]}
    assert '<span class="beside">(8.881)</span>' in page


def test_numbers_of_a_condition_lead_to_its_runs(page):
    first = re.search(r'href="#runs=([^"]*)"', page)[1]
    # networks 0 and 1, unpruned: training, clustering, two tests
    assert first.split("%2C") == [str(run) for run in (1, 2, 3, 4, 8, 9, 10, 11)]


def test_undefined_numbers_are_missing():
    results = made_up_study(cases=["MLP"], n_seeds=1)
    results.networks.loc[0, "z_score"] = float("-inf")
    results.networks.loc[1, "z_score"] = float("nan")
    data = data_of(text_of(results))
    assert column(data["tables"]["networks"], "seed") == [0, 0]
    assert "z_score" not in [axis["key"] for axis in data["parallel"]["axes"]]


def test_missing_cells_are_named_with_why():
    missing = ["lesion: seed=7", "train: seed=9"]
    results = made_up_study(cases=["MLP"], n_seeds=1, missing=missing)
    text = text_of(results, failures={"lesion: seed=7": "ValueError: <none>"})
    assert f"{N_OF_NETWORK} of {N_OF_NETWORK + 2} done, 1 failed, 1 missing" in text
    assert "ValueError: &lt;none&gt;" in text
    assert "train: seed=9" in text


def test_study_without_runs_is_a_page():
    results = made_up_study(cases=[], missing=["train: seed=0"])
    text = text_of(results)
    assert "0 of 1 done, 1 missing" in text
    assert len(text) < 100_000  # nothing moves, so that Plotly is not in it


def test_study_of_trainings_alone_is_a_page():
    results = made_up_study(cases=["MLP"], n_seeds=2)
    cells = results.cells[results.cells["step"] == "train"].reset_index(drop=True)
    object.__setattr__(results, "cells", cells)
    object.__setattr__(results, "networks", results.networks.iloc[:0])
    data = data_of(text_of(results))
    assert list(data["tables"]) == ["runs"]
    assert data["figure"] is None


def test_images_of_first_seeds_come_first():
    files = {"network.png": b"1", "lesions.png": b"2", "input_3.png": b"3", "table.csv": b"4"}
    results = made_up_study(cases=["MLP"], n_seeds=2, tests=(), artifacts=files)
    found = [(image.run, image.name) for image in images_of(results)]
    assert found == [
        *((run, "network.png") for run in (1, 2, 3)),
        *((run, "lesions.png") for run in (1, 2, 3)),
        *((run, "network.png") for run in (4, 5, 6)),
        *((run, "lesions.png") for run in (4, 5, 6)),
    ]


def test_images_are_made_smaller_and_counted_beyond_the_bound(results):
    images = [
        RunImage(1, "network.png", png(2400, 1200)),
        RunImage(2, "network.png", b"no image"),
        RunImage(9, "network.png", png()),
    ]
    text = text_of(results, images=images)
    assert re.findall(r'width="(\d+)" height="(\d+)"', text) == [("1200", "600"), ("300", "200")]
    assert "1 image is not in this page" in text
    assert "3 images are not in this page" in text_of(results, images=images, max_image_mb=0)


def test_page_is_the_same_each_time(results, page):
    assert text_of(results, tables=[clusterability_table(results)]) == page


@pytest.mark.parametrize("address", ["javascript:alert(1)", "lab:9000", ""])
def test_address_that_is_none_of_the_web_is_refused(results, address):
    with pytest.raises(InvalidInputError, match="expected an address such as"):
        study_page(results, omniboard=address)


def test_negative_bound_is_refused(results):
    with pytest.raises(InvalidInputError, match="max_image_mb=-1"):
        study_page(results, max_image_mb=-1)


def test_phases_are_conditions(page):
    layout = data_of(page)["figure"]["layout"]
    assert layout["yaxis"]["ticktext"] == [
        f"{case}, {phase}" for case in ("MLP", "CNN") for phase in PHASES
    ]
