"""What a stage stores with its run: figures."""

import io
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure
from PIL import Image
from sacred import Experiment
from sacred.observers import RunObserver

from nn_clustering.tracking import StageRun
from nn_clustering.tracking.stages.context import StageContext


class Keeper(RunObserver):
    """Keeps the content of artifacts."""

    def __init__(self):
        self.artifacts = {}

    def artifact_event(self, name, filename, metadata=None, content_type=None):
        self.artifacts[name] = Path(filename).read_bytes()


@pytest.fixture
def stored(tmp_path):
    """Stores a figure with a run, under each of some names; returns the files by name."""

    def store(figure, *names):
        keeper = Keeper()
        sacred = Experiment("draw", save_git_info=False, base_dir=str(tmp_path))
        sacred.observers.append(keeper)

        @sacred.main
        def draw(_run):
            run = StageRun(StageContext(), _run, None)
            for name in names:
                run.add_figure(name, figure)

        sacred.run(options={"--capture": "no"})
        return keeper.artifacts

    return store


@pytest.fixture
def figure():
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([1, 2, 4], label="growth < 1 & more")
    axes.axvspan(0, 1, hatch="/")  # hatches and clipping have ids in an SVG file
    figure.legend()
    return figure


def test_png(stored, figure):
    with Image.open(io.BytesIO(stored(figure, "growth.png")["growth.png"])) as image:
        assert image.format == "PNG"
        assert image.size == (600, 400)


def test_svg_is_text_without_a_date(stored, figure):
    content = stored(figure, "growth.svg")["growth.svg"]
    texts = ElementTree.fromstring(content).iter("{http://www.w3.org/2000/svg}text")
    assert "growth < 1 & more" in {text.text for text in texts}
    assert b"<dc:date>" not in content


@pytest.mark.parametrize("name", ["growth.png", "growth.svg"])
def test_same_figure_gives_the_same_bytes(stored, figure, name):
    first = stored(figure, name)
    assert first[name]
    assert stored(figure, name) == first


def test_one_figure_in_both_forms(stored, figure):
    both = stored(figure, "growth.png", "growth.svg")
    assert list(both) == ["growth.png", "growth.svg"]
    assert both["growth.png"].startswith(b"\x89PNG")
    assert both["growth.svg"].startswith(b"<?xml")
