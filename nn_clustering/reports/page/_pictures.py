"""Runs' images in the page: made smaller, and no more of them than a page can hold."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nn_clustering.reports._study_results import LABEL, StudyResults, condition_in_words
from nn_clustering.reports.page._html import plain
from nn_clustering.tracking import TrackingError

if TYPE_CHECKING:
    from nn_clustering.tracking import Run

# The figures that a study is looked at by come first; of the others each stage has its own.
_FIRST = ("network.png", "clusters_by_layer.png", "null_distribution.png", "learning_curves.png")
# One for each sub-cluster or unit: a contact sheet shows them together.
_SINGLE = "input_"
_LONGEST_SIDE = 1200
_LARGEST_PIXELS = 40_000_000


@dataclass(frozen=True)
class RunImage:
    """An image that a run has stored.

    Attributes:
        run: The run's id.
        name: Of the artifact.
        content: The file; any kind that Pillow reads.
    """

    run: Any
    name: str
    content: bytes


@dataclass(frozen=True)
class Picture:
    """An image as the page has it.

    Attributes:
        run: The run's id.
        name: Of the artifact.
        condition: Of the run, in words.
        seed: Of the run.
        uri: The image itself.
        width: In pixels.
        height: In pixels.
    """

    run: Any
    name: str
    condition: str
    seed: str
    uri: str
    width: int
    height: int


def images_of(results: StudyResults) -> Iterator[RunImage]:
    """Yield the images that the runs of a study stored, one after the other.

    Of each condition those of the first seed come before those of the second, so that a page that
    cannot hold all shows some of each. Images of single inputs are left out, and what cannot be
    read.
    """
    for run, name in _in_order(results):
        try:
            yield RunImage(run.id, name, run.artifact(name))
        except TrackingError:
            continue


def _in_order(results: StudyResults) -> list[tuple[Run, str]]:
    seen: dict[tuple[str, str, str], int] = {}
    found = []
    for row in results.cells.to_dict("records"):
        run = results.runs[row["run"]]
        condition = _condition(row, results)
        for name in run.artifacts:
            if name.endswith(".png") and not name.startswith(_SINGLE):
                key = (row["step"], condition, name)
                seen[key] = seen.get(key, -1) + 1
                rank = _FIRST.index(name) if name in _FIRST else len(_FIRST)
                found.append(((seen[key], rank), run, name))
    found.sort(key=lambda entry: entry[0])
    return [(run, name) for _, run, name in found]


def pictures(
    results: StudyResults, images: Iterable[RunImage], most_bytes: int
) -> tuple[list[Picture], int]:
    """Return images as the page has them, and how many it cannot hold or read.

    Args:
        results: Of the study.
        images: Of its runs, the most wanted first.
        most_bytes: That all of them may take together.
    """
    rows = {row["run"]: row for row in results.cells.to_dict("records")}
    found: list[Picture] = []
    n_left_out, left = 0, most_bytes
    for image in images:
        row = rows.get(image.run)
        # once a page is full, to open further images would only take time
        made = None if row is None or left <= 0 else _embedded(image.content)
        if row is None or made is None or len(made[0]) > left:
            n_left_out += 1
            left = left if made is None else 0
            continue
        uri, width, height = made
        left -= len(uri)
        condition = _condition(row, results)
        found.append(
            Picture(plain(image.run), image.name, condition, str(row["seed"]), uri, width, height)
        )
    return found, n_left_out


def names_in_order(found: Sequence[Picture]) -> list[str]:
    """Return the names of images, those that a study is looked at by first."""
    names = dict.fromkeys(picture.name for picture in found)
    return sorted(names, key=lambda name: _FIRST.index(name) if name in _FIRST else len(_FIRST))


def _condition(row: dict[Any, Any], results: StudyResults) -> str:
    labels = {label: plain(row[f"{LABEL}{label}"]) for label in results.labels}
    return condition_in_words({key: value for key, value in labels.items() if value is not None})


def _embedded(content: bytes) -> tuple[str, int, int] | None:
    """Return an image as an address that holds it, with its size; None where it is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > _LARGEST_PIXELS:
                return None
            image.load()
            seen = image.convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    paper = Image.new("RGB", seen.size, "white")
    paper.paste(seen, mask=seen.getchannel("A"))
    paper.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    paper.save(file, "WEBP", quality=82, method=4)
    encoded = base64.b64encode(file.getvalue()).decode()
    return f"data:image/webp;base64,{encoded}", paper.width, paper.height
