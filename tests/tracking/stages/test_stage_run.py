"""What a stage stores with its run: figures."""

import contextlib
import hashlib
import io
import logging
import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image
from sacred import Experiment
from sacred.observers import RunObserver

from nn_clustering.tracking import StageRun
from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.stages.context import StageContext


class Keeper(RunObserver):
    """Keeps the content of artifacts."""

    def __init__(self):
        self.artifacts = {}

    def artifact_event(self, name, filename, metadata=None, content_type=None):
        self.artifacts[name] = Path(filename).read_bytes()


def store_figure(name, figure, folder=None):
    """Store a figure with a run; return the files by name."""
    keeper = Keeper()
    sacred = Experiment("draw", save_git_info=False, base_dir=str(Path(__file__).parent))
    sacred.observers.append(keeper)

    @sacred.main
    def draw(_run):
        StageRun(StageContext(), _run, None).add_figure(name, figure, folder)

    sacred.run(options={"--capture": "no"})
    return keeper.artifacts


def streams_of(pdf):
    """What a PDF file holds compressed."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL):
        with contextlib.suppress(zlib.error):
            found.append(zlib.decompress(stream))
    return found


def growth():
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    axes.plot([1, 2, -4], label="growth < 1 & more ≤ 2")
    axes.axvspan(0, 1, hatch="/")  # hatches, clipping and images have names in files
    axes.imshow([[1, 2], [3, 4]])
    figure.legend()
    return figure


def test_a_figure_is_stored_as_picture_and_for_print():
    stored = store_figure("growth", growth())
    assert list(stored) == ["growth.png", "growth.pdf"]
    with Image.open(io.BytesIO(stored["growth.png"])) as image:
        assert image.format == "PNG"
        assert image.size == (600, 400)
    assert stored["growth.pdf"].startswith(b"%PDF-")


def test_a_figure_is_written_to_a_folder_besides(tmp_path):
    stored = store_figure("growth", growth(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == stored


def test_text_of_the_print_is_text_in_true_type():
    content = store_figure("growth", growth())["growth.pdf"]
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"/ToUnicode" in content  # what can be searched and copied


def test_fonts_of_the_print_are_letters_alone():
    content = store_figure("growth", growth())["growth.pdf"]
    fonts = [stream for stream in streams_of(content) if b"glyf" in stream[:512]]
    assert fonts
    for font in fonts:
        assert not [table for table in (b"GPOS", b"GSUB", b"kern") if table in font[:512]]


def test_files_hold_neither_dates_nor_versions():
    stored = store_figure("growth", growth())
    with Image.open(io.BytesIO(stored["growth.png"])) as image:
        assert set(image.info) == {"dpi"}
    content = stored["growth.pdf"]
    content += b"".join(streams_of(content))
    assert b"Date" not in content
    assert b"atplotlib" not in content


def test_same_figure_gives_the_same_bytes_in_every_process():
    def digests(seed):
        surroundings = {"PYTHONHASHSEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path)}
        told = subprocess.run(
            [sys.executable, "-m", __name__],
            env={**os.environ, **surroundings},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        return dict(line.split() for line in told.splitlines())

    found = digests(1)
    assert set(found) == {"growth.png", "growth.pdf"}
    assert digests(2) == found


def test_nothing_is_told_of_fonts(caplog):
    caplog.set_level(logging.INFO)
    store_figure("growth", growth())
    assert not [record for record in caplog.records if record.name.startswith("fontTools")]


@pytest.mark.parametrize("ending", [".png", ".PDF", ".svg"])
def test_a_name_with_an_ending_is_refused(ending):
    with pytest.raises(InvalidInputError, match=f"figure growth{ending}; .* ending: growth$"):
        store_figure(f"growth{ending}", growth())


def test_names_may_hold_points_and_slashes():
    stored = store_figure("sheet_block1.conv/a", growth())
    assert list(stored) == ["sheet_block1.conv/a.png", "sheet_block1.conv/a.pdf"]


if __name__ == "__main__":
    for stored_name, stored_content in store_figure("growth", growth()).items():
        print(stored_name, hashlib.sha256(stored_content).hexdigest())
