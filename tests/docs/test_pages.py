"""The documentation builds without a warning, fetches nothing, and every link leads somewhere."""

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.docs.snippets import pages
from tests.programs import PROJECT, environment, run_python

BUILT = ("docs", "configs", "experiments", "datasets/README.md", "mkdocs.yml", "README.md")
ROOT_PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def build(project, site, home):
    environ = environment(home, NO_MKDOCS_2_WARNING="1")
    arguments = ["-m", "mkdocs", "build", "--strict", "--site-dir", site]
    return run_python(arguments, environ, cwd=project, timeout=900)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built documentation."""
    folder = tmp_path_factory.mktemp("site")
    finished = build(PROJECT, folder, folder)
    assert finished.returncode == 0, finished.stderr
    return folder


def test_every_page_is_built(site):
    names = {path.relative_to(site).parent.name for path in site.rglob("index.html")}
    assert {"tutorial", "methods", "train", "tracking", "contributing", "add_stage"} <= names


def test_nothing_is_fetched_from_elsewhere(site):
    loading = re.compile(
        r'<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//'
    )
    for path in site.rglob("*.html"):
        assert not loading.search(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize("number", ["a1", "c4", "d4", "g7", "i3", "quirk-1", "quirk-26"])
def test_a_method_can_be_linked_by_its_number(site, number):
    assert f'id="{number}"' in (site / "methods" / "index.html").read_text(encoding="utf-8")


def test_every_number_that_the_code_cites_has_a_heading():
    cited = set()
    for folder in ("nn_clustering", "experiments"):
        for path in (PROJECT / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            for group in re.findall(r"methods ((?:[A-J]\d+(?:, | and | to )?)+)", text):
                cited |= {number.lower() for number in re.findall(r"[A-J]\d+", group)}
            cited |= {f"quirk-{number}" for number in re.findall(r"quirk (\d+)", text)}
    headings = set(re.findall(r"\{ #([a-z0-9-]+) \}", pages()["docs/methods.md"].read_text()))
    assert len(cited) > 40
    assert cited <= headings


@pytest.mark.slow
def test_a_broken_link_fails_the_build(tmp_path):
    for name in BUILT:
        source, target = PROJECT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    for name in ("CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(PROJECT / name, tmp_path)
    page = tmp_path / "docs" / "speed.md"
    page.write_text(page.read_text() + "\n[a](methods.md#c99) [b](/absolute) [c](absent.md)\n")
    finished = build(tmp_path, tmp_path / "site", tmp_path)
    assert finished.returncode != 0
    assert "3 warnings" in finished.stderr + finished.stdout


@pytest.mark.parametrize("name", ROOT_PAGES)
def test_links_of_a_page_outside_docs_lead_to_files(name):
    text = (PROJECT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text)
    missing = [
        link for link in links
        if "://" not in link and not (PROJECT / link).exists()
    ]  # fmt: skip
    assert missing == []


def test_files_that_the_architecture_names_are_there():
    text = _page("architecture")
    named = re.findall(r"`([a-z_]+/[a-z_/.]*)`", text)
    rooms = ["structure/", "drawing/", "page/"]  # of the folder that the line is about
    assert len(named) > 20
    assert [name for name in named if name not in rooms and not (PROJECT / name).exists()] == []


def test_readme_is_two_screens():
    assert len(Path(PROJECT / "README.md").read_text().splitlines()) <= 120


TABLE = re.compile(r"<!-- published means of (\w+) -->\n\n((?:\|.*\n)+)")
MEASURES = {
    "accuracy": "accuracy", "n-cut": "ncut", "null mean": "shuffled_mean", "z": "z_score",
    "score p": "score_p", "entropy p": "entropy_p",
    "importance p": "importance_p", "coherence p": "coherence_p",
}  # fmt: skip


def test_the_published_means_in_the_results_are_those_of_the_study():
    tables = TABLE.findall(_page("results"))
    assert {study for study, _ in tables} >= {"clusterability_mlp", "visualisation"}
    for study, table in tables:
        file = PROJECT / "configs" / "study" / f"{study}.yaml"
        means = {
            tuple(entry["of"].values()): entry
            for entry in yaml.safe_load(file.read_text(encoding="utf-8"))["published"]
        }
        header, _, *rows = ([cell.strip() for cell in line.split("|")[1:-1]] for line in
                            table.splitlines())  # fmt: skip
        n_labels = header.index("networks")
        for row in rows:
            published = means[tuple(row[:n_labels])]
            for title, text in zip(header, row, strict=True):
                in_brackets = re.search(r"\((-?\d+(?:\.(\d+))?)\)$", text)
                assert (MEASURES.get(title) in published) == (in_brackets is not None), row
                if in_brackets:
                    unit = 10.0 ** -len(in_brackets[2] or "")
                    assert abs(float(in_brackets[1]) - published[MEASURES[title]]) <= 0.501 * unit


def _page(name):
    return (PROJECT / "docs" / f"{name}.md").read_text(encoding="utf-8")
