"""The page of a study of 2,240 runs, in a real browser that has no network."""

import json

import pytest

from nn_clustering.reports._clusterability_table import clusterability_table
from nn_clustering.reports.page import RunImage, study_page
from tests.browsing import BROWSER, look_at, require
from tests.reports.page.made_up_study import made_up_study, png

HOSTILE = "</script><img src=x onerror=\"document.title='run'\"><b>\u2028{{ 7 * 7 }} '\"&lt;"
N_RUNS = 40 * 8 * (1 + 2 * 3)
HEAD = "document.querySelector('#runs th button[data-key={}]')"
COLUMN = """[...document.querySelectorAll('#runs tbody tr')].slice(0, {}).map((row) => row.cells[
    [...document.querySelectorAll('#runs th[scope=col]')].findIndex((one) => one.innerText === '{}')
].innerText)"""


def typed(text):
    return f"""((field) => {{
        field.value = {json.dumps(text)};
        field.dispatchEvent(new Event('input'));
        return true;
    }})(document.querySelector('#runs input[type=search]'))"""


# What is looked at, in this order, by name.
LOOKS = {
    "ready": "document.documentElement.dataset.ready",
    "count": "document.querySelector('#runs output').textContent",
    "rows": "document.querySelectorAll('#runs tbody tr').length",
    "title": "document.title",
    "headline": "document.querySelector('h1').textContent",
    "elements": "document.querySelectorAll('[onerror], img[src=x], h1 b, td b, th b').length",
    "condition": "document.querySelector('#conditions tbody th').innerText",
    "drawn": "document.querySelector('#ncut-figure').innerText.includes('onerror') && 'text'",
    "lines": "document.querySelectorAll('#parallel path').length",
    "scopes": "[...document.querySelectorAll('th')].every((one) => one.hasAttribute('scope'))",
    "link": "document.querySelector('#networks tbody td.number a[data-run]').href",
    "click": f"{HEAD.format('seconds')}.click() || true",
    "ascending": COLUMN.format(3, "time"),
    "sorted": f"{HEAD.format('seconds')}.closest('th').ariaSort",
    "click again": f"{HEAD.format('seconds')}.click() || true",
    "descending": COLUMN.format(3, "time"),
    "focus": "document.activeElement.dataset.key",
    "search": typed('lesion "case 7" seed=3'),
    "found": "document.querySelector('#runs output').textContent",
    "steps": COLUMN.format(9, "step"),
    "compare": typed("z_score<-12"),
    "scores": COLUMN.format(9, "z_score"),
    "condition's": "document.querySelector('#conditions tbody td.number a').click() || true",
    "chosen": "document.querySelector('#runs [data-part=only]').innerText.includes('chosen') && "
    "document.querySelector('#runs output').textContent",
    "page": "document.querySelector('#runs [data-part=all]').click() || "
    "document.querySelector('#runs [data-part=next]').click() || true",
    "place": "document.querySelector('#runs [data-part=place]').textContent",
    "shown image": "document.querySelector('#pictures figure:not([hidden]) img').naturalWidth",
    "captions": "document.querySelectorAll('#pictures figure:not([hidden])').length",
    "problems": "PROBLEMS",
    "requests": "REQUESTS",
}


@pytest.fixture(scope="module")
def seen(node, tmp_path_factory):
    """What the looks gave."""
    require(BROWSER, "chromium")
    folder = tmp_path_factory.mktemp("page of a study")
    cases = [HOSTILE, *(f"case {number}" for number in range(1, 40))]
    results = made_up_study(cases=cases, n_seeds=8, title=HOSTILE, missing=[f"train: {HOSTILE}"])
    images = [RunImage(run, "network.png", png()) for run in (2, 5, 9)]
    file = folder / "page.html"
    file.write_bytes(
        study_page(
            results,
            tables=[clusterability_table(results)],
            images=images,
            omniboard="http://lab:9000",
            failures={f"train: {HOSTILE}": HOSTILE},
        )
    )
    assert len(results.cells) == N_RUNS
    found = dict(zip(LOOKS, look_at(file.as_uri(), *LOOKS.values(), folder=folder), strict=True))
    return {**found, "address": file.as_uri()}


@pytest.fixture(scope="module")
def browser(seen):
    """Marks the tests."""
    return seen


def test_all_runs_are_there_a_page_of_them_at_a_time(browser):
    assert browser["ready"] == "true"
    assert browser["count"] == f"{N_RUNS} runs"
    assert browser["rows"] == 100
    assert browser["place"] == "page 2 of 23"


def test_hostile_names_are_text(browser):
    assert browser["headline"] == HOSTILE
    assert browser["title"] == HOSTILE
    assert browser["elements"] == 0
    assert browser["drawn"] == "text"
    assert browser["condition"].split() == HOSTILE.split()


def test_page_asks_nobody_and_complains_of_nothing(browser):
    asked = [address for address in browser["requests"] if not address.startswith("data:")]
    assert asked == [browser["address"]]
    assert browser["problems"] == []


def test_header_sorts_and_says_so(browser):
    assert browser["ascending"] == ["12.5 s"] * 3
    assert browser["sorted"] == "ascending"
    assert browser["descending"] == ["18.5 s"] * 3
    assert browser["focus"] == "seconds"  # a keyboard can go on from there
    assert browser["scopes"] is True


def test_search_takes_words_and_comparisons(browser):
    assert browser["found"] == f"2 of {N_RUNS} runs"
    assert browser["steps"] == ["lesion", "lesion"]
    assert len(browser["scores"]) == 9
    assert all(float(score) < -12 for score in browser["scores"])


def test_numbers_lead_to_their_runs(browser):
    assert browser["link"].startswith("http://lab:9000/sacred?showDrillDownRunModal=true&")
    assert (
        browser["chosen"] == f"32 of {N_RUNS} runs"
    )  # 8 trainings, and what was done of one phase


def test_lines_and_images_are_shown(browser):
    assert browser["lines"] == 40 * 8 * 2
    assert (browser["captions"], browser["shown image"]) == (2, 300)  # of the first seed
