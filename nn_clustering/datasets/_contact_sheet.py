"""A figure of a data set to look at: images of every class, target functions, or tokens."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

IMAGES_PER_CLASS = 10
TARGETS_SHOWN = 12
CLASSES_SHOWN = 40
# Samples of tokens, and characters of each.
LINES_SHOWN, LINE_LENGTH = 24, 90
# Height of an image on the sheet, in inches, and about how many of its dots that is.
HEIGHT, DOTS = 0.6, 90
GAP = 6
# Around images, so that white ones have an edge, and between the two images of a pair.
FRAME = np.array([0.12, 0.47, 0.71], np.float32)
FRAME_DOTS = 2
# Heat maps show inputs of up to this distance from 0, in cells of this number a side.
REACH, CELLS = 2.0, 24


def contact_sheet(dataset: Dataset) -> Figure:
    """Draw ten train images of every class, a row a class, or heat maps of some targets.

    Of tokens it shows the first samples, a line each, with what is asked of them.

    Without a train part they are test images; of many classes there are the first ones.

    Channels are shown as images side by side, the first one left, unless they are red, green and
    blue.

    Raises:
        InvalidInputError: If the inputs are neither images of classes nor tokens, nor pairs of
            numbers with targets.
    """
    if dataset.vocabulary is not None:
        return _sheet_of_tokens(dataset, dataset.vocabulary)
    if len(dataset.input_shape) == 3 and dataset.task == "classification":
        return _sheet_of_images(dataset)
    if dataset.input_shape == (2,) and dataset.task == "regression":
        return _sheet_of_functions(dataset)
    raise InvalidInputError(
        f"data set {dataset.name!r} has inputs of shape {dataset.input_shape} for "
        f"{dataset.task}; a contact sheet shows images of classes or functions of two numbers"
    )


def _sheet_of_images(dataset: Dataset) -> Figure:
    x, y = dataset.x_train, dataset.y_train
    if not dataset.has_train_part:
        x, y = dataset.x_test, dataset.y_test
    shown = np.unique(y)[:CLASSES_SHOWN]
    chosen = [x[np.flatnonzero(y == label)[:IMAGES_PER_CLASS]] for label in shown]
    rows = [_row(images) for images in _from_0_to_1(chosen, dataset.white)]
    names = [dataset.class_names[label] for label in shown]
    sheet = np.concatenate(rows)
    row_height, width = rows[0].shape[:2]
    labels_width = 0.4 + 0.075 * max(map(len, names))
    size = HEIGHT / row_height
    figsize = (width * size + labels_width, len(sheet) * size + 0.5)
    figure = Figure(figsize=figsize, layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, vmin=0, vmax=1, interpolation="nearest")
    middles = row_height * (np.arange(len(shown)) + 0.5)
    axes.set_xticks([])
    axes.set_yticks(middles, names, fontsize=9)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    some = (
        "" if len(shown) == dataset.n_outputs else f"\n{len(shown)} of {dataset.n_outputs} classes"
    )
    axes.set_title(_title(dataset) + some, fontsize=10)
    return figure


def _sheet_of_tokens(dataset: Dataset, vocabulary: tuple[str, ...]) -> Figure:
    x, y = dataset.x_train[:LINES_SHOWN], dataset.y_train[:LINES_SHOWN]
    if not dataset.has_train_part:
        x, y = dataset.x_test[:LINES_SHOWN], dataset.y_test[:LINES_SHOWN]
    lines = []
    for tokens, asked in zip(x, y, strict=True):
        read = _in_one_line([vocabulary[token] for token in tokens])
        wanted = [dataset.class_names[one] if one >= 0 else "." for one in np.atleast_1d(asked)]
        lines += [read, f"    \N{RIGHTWARDS ARROW} {_in_one_line(wanted)}"]
    figure = Figure(figsize=(9, 0.5 + 0.17 * len(lines)), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    text = "\n".join(lines)
    # no formula begins with a dollar sign of a text
    axes.text(0, 1, text, va="top", family="monospace", fontsize=8, parse_math=False)
    axes.set_title(_title(dataset), fontsize=10)
    return figure


def _in_one_line(names: list[str]) -> str:
    """Return tokens one after the other: characters as a text, others apart."""
    written = [name if name.isprintable() else "\N{MIDDLE DOT}" for name in names]
    is_text = all(len(name) == 1 or name.startswith("'") for name in names)
    line = "".join(name.strip("'")[:1] or " " for name in written) if is_text else " ".join(written)
    return line if len(line) <= LINE_LENGTH else f"{line[: LINE_LENGTH - 1]}\N{HORIZONTAL ELLIPSIS}"


def _from_0_to_1(images: list[NDArray[Any]], white: float | None) -> list[NDArray[np.float32]]:
    """Return images with pixels from 0 to 1; of no known scale, of all that are shown the range."""
    low, high = 0.0, white
    if high is None:
        low = min(float(some.min()) for some in images)
        high = max(float(some.max()) for some in images)
    scale = np.float32((high - low) or 1)
    return [(some.astype(np.float32) - np.float32(low)) / scale for some in images]


def _row(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return up to ten images in a row with room around, as one image in colour."""
    tiles = [_tile(image) for image in images]
    blank = np.ones_like(_tile(np.zeros(images.shape[1:], np.float32)))
    tiles += [blank] * (IMAGES_PER_CLASS - len(tiles))
    around = ((GAP, GAP), (GAP, GAP), (0, 0))
    return np.concatenate([np.pad(tile, around, constant_values=1) for tile in tiles], axis=1)


def _tile(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one image in colour, every pixel a square of several dots, in a frame."""
    dots = max(1, DOTS // image.shape[0])
    large = image.repeat(dots, axis=0).repeat(dots, axis=1)
    channels = large.shape[2]
    parts = [large] if channels == 3 else [large[..., [channel]] for channel in range(channels)]
    height, width = large.shape[:2]
    step = width + FRAME_DOTS
    tile = np.tile(FRAME, (height + 2 * FRAME_DOTS, len(parts) * step + FRAME_DOTS, 1))
    for place, part in enumerate(parts):
        left = FRAME_DOTS + place * step
        tile[FRAME_DOTS:-FRAME_DOTS, left : left + width] = part
    return tile


def _sheet_of_functions(dataset: Dataset) -> Figure:
    chosen = np.linspace(0, dataset.n_outputs - 1, TARGETS_SHOWN + 1).astype(int)[1:]
    figure = Figure(figsize=(11, 8.5), layout="constrained")
    for axes, target in zip(figure.subplots(3, 4).flat, chosen, strict=True):
        _draw_function(axes, dataset, int(target))
    figure.suptitle(
        f"{_title(dataset)}\n{TARGETS_SHOWN} of {dataset.n_outputs} targets", fontsize=10
    )
    return figure


def _draw_function(axes: Axes, dataset: Dataset, target: int) -> None:
    x, values = dataset.x_train, dataset.y_train[:, target]
    edges = np.linspace(-REACH, REACH, CELLS + 1)
    count, total = (
        np.histogram2d(x[:, 0], x[:, 1], bins=(edges, edges), weights=weights)[0]
        for weights in (None, values)
    )
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    picture = axes.pcolormesh(edges, edges, mean.T, cmap="viridis")
    bar = axes.figure.colorbar(picture, ax=axes, shrink=0.75)
    bar.ax.tick_params(labelsize=7)
    axes.set_aspect("equal")
    axes.set_xlabel("x1", fontsize=8)
    axes.set_ylabel("x2", fontsize=8)
    axes.tick_params(labelsize=7)
    axes.set_title(_wrapped(dataset.class_names[target]), fontsize=7)


def _wrapped(name: str) -> str:
    """Break a long sum over several lines, between its terms."""
    terms = name.replace(" ", "\N{NO-BREAK SPACE}")
    return textwrap.fill(terms.replace("\N{NO-BREAK SPACE}+\N{NO-BREAK SPACE}", " + "), 30)


def _title(dataset: Dataset) -> str:
    shape = " x ".join(map(str, dataset.input_shape))
    return (
        f"{dataset.name}: inputs of {shape}, {len(dataset.x_train):,} for training, "
        f"{len(dataset.x_test):,} for testing"
    )
