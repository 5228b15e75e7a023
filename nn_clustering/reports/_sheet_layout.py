"""Where the pictures and words of a contact sheet lie."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from nn_clustering.reports._sample_pictures import Range, is_image, picture
from nn_clustering.reports._text_in_dots import (
    DOTS_PER_INCH,
    fitted,
    names_in_lines,
    text_width,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# About how many dots a side of a large picture has; larger images than the second are drawn
# smaller than they are.
_DOTS, _MOST_DOTS = 112, 256
_PAGE = 1.55  # height of a page by its width
# Around a large picture of 112 dots; all grow with it.
_GAP, _SMALL_GAP, _BLOCK_GAP, _MARGIN = 10, 6, 36, 20
_LINE = 24
_TYPE, _TITLE_TYPE = 6.5, 9.0  # points
_LETTER = 15.5  # dots of a title's letter, on the safe side
_SMALL_ROWS = 2
SIGNIFICANT, OTHER = "#d55e00", "#8c8c8c"
# Frames of the inputs of sub-clusters that are significant also if corrected for all, only if not,
# and not at all, and of all other pictures: colour, width in dots, dashes.
_Frame = tuple[str, float, Any]
_FRAMES: tuple[_Frame, ...] = (
    (SIGNIFICANT, 5.0, "solid"),
    (SIGNIFICANT, 5.0, (0, (1.2, 0.8))),
    (OTHER, 1.5, "solid"),
)
# More values than this have no room between their bars.
_MOST_APART = 28
_PALE = "#595959"
_BARS = "#1f1f1f"


@dataclass(frozen=True, eq=False)
class Block:
    """What is shown of a sub-cluster.

    Attributes:
        name: Of the sub-cluster.
        inputs: The optimised one, and those of random sub-clusters.
        scores: Of these, in words.
        p_value: Of the first score, likewise.
        frame: Which frame the first input has, from 0 on.
        tops: Samples that activate the sub-cluster most.
        names: Of their classes.
    """

    name: str
    inputs: tuple[NDArray[Any], ...]
    scores: tuple[str, ...]
    p_value: str
    frame: int
    tops: tuple[NDArray[Any], ...]
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """Where the blocks of a contact sheet lie; lengths are dots, from the upper left.

    Attributes:
        blocks: What it shows.
        values: What black and white, or the ends of bars, stand for.
        size: Width and height of a large picture; of a small one it is half.
        unit: How many times larger all is than around a large picture of 112 dots.
        n_columns: Of blocks.
        title: Of the figure, in lines.
    """

    blocks: Sequence[Block]
    values: Range
    size: tuple[float, float]
    unit: float
    n_columns: int
    title: tuple[str, ...] = ()

    @classmethod
    def of(cls, blocks: Sequence[Block], sample: NDArray[Any], values: Range, title: str) -> Sheet:
        """Lay blocks out in as few columns as fit a page."""
        height, width = (_DOTS, _DOTS)
        if is_image(sample.shape):
            height, width = picture(sample, values).shape[:2]
        times = _dots_a_pixel(max(height, width)) if is_image(sample.shape) else 1
        size = (times * width, times * height)
        unit = max(max(size) / _DOTS, 1.0)
        sheet = cls(blocks, values, size, unit, 1)
        for n_columns in range(1, len(blocks) + 1):
            sheet = cls(blocks, values, size, unit, n_columns)
            wide = sheet.inner_width >= 5 * _DOTS * unit
            if wide and sheet.n_rows * sheet.block_height <= _PAGE * sheet.inner_width:
                break
        letters = int(sheet.width / (_LETTER * unit))
        lines = [
            line
            for part in title.splitlines()
            for line in textwrap.wrap(part, letters, break_on_hyphens=False)
        ]
        return cls(blocks, values, size, unit, sheet.n_columns, tuple(lines))

    @property
    def n_rows(self) -> int:
        return math.ceil(len(self.blocks) / self.n_columns)

    @property
    def slot(self) -> float:
        """Width of a large picture with what is written below it."""
        return max(self.size[0], 0.9 * _DOTS * self.unit)

    @property
    def small_columns(self) -> int:
        return math.ceil(max(len(block.tops) for block in self.blocks) / _SMALL_ROWS)

    @property
    def tops_width(self) -> float:
        """Width of the samples with what is written below them."""
        if not self.small_columns:
            return 0.0
        step = self.size[0] / 2 + _SMALL_GAP * self.unit
        return max(self.small_columns * step - _SMALL_GAP * self.unit, 1.6 * _DOTS * self.unit)

    @property
    def tops_left(self) -> float:
        """Where in a block the samples begin."""
        n_inputs = max(len(block.inputs) for block in self.blocks)
        return n_inputs * (self.slot + _GAP * self.unit) + _GAP * self.unit

    @property
    def block_width(self) -> float:
        return (
            self.tops_left + self.tops_width - (0 if self.small_columns else 2) * (_GAP * self.unit)
        )

    @property
    def pictures_height(self) -> float:
        """Height of a large picture, or of the small ones above each other."""
        return self.size[1] + (_SMALL_GAP * self.unit if self.small_columns else 0)

    @property
    def block_height(self) -> float:
        return self.pictures_height + (3.6 * _LINE + _GAP) * self.unit

    @property
    def inner_width(self) -> float:
        return self.n_columns * (self.block_width + _BLOCK_GAP * self.unit) - (
            _BLOCK_GAP * self.unit
        )

    @property
    def width(self) -> float:
        return math.ceil(max(self.inner_width, 5 * _DOTS * self.unit) + 2 * _MARGIN * self.unit)

    @property
    def top(self) -> float:
        """Where the headings of the columns begin."""
        return (_MARGIN + 1.4 * _LINE * len(self.title) + 0.5 * _LINE) * self.unit

    def draw(self, key: Sequence[str]) -> Figure:
        """Return the figure, with what colours and scales mean at its foot."""
        foot = self.top + 1.4 * _LINE * self.unit + self.n_rows * self.block_height
        key_places = self._lay_key(key)
        n_lines = 1 + max(line for _, line in key_places)
        height = math.ceil(foot + (1.3 * _LINE * n_lines + _MARGIN) * self.unit)
        figure = Figure(figsize=(self.width / DOTS_PER_INCH, height / DOTS_PER_INCH))
        figure.suppressComposite = True  # else hundreds of images become one, slowly
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        for line, text in enumerate(self.title):
            self._write(
                axes,
                self.width / 2,
                _MARGIN * self.unit + 1.4 * _LINE * self.unit * line,
                text,
                fontsize=_TITLE_TYPE * self.unit,
                ha="center",
            )
        for column in range(min(self.n_columns, len(self.blocks))):
            self._draw_headings(axes, self._left(column))
        for place, block in enumerate(self.blocks):
            column, row = divmod(place, self.n_rows)
            top = self.top + 1.4 * _LINE * self.unit + row * self.block_height
            self._draw_block(axes, block, self._left(column), top)
        self._draw_key(axes, key, key_places, foot)
        axes.set_xlim(0, self.width)
        axes.set_ylim(height, 0)
        axes.set_aspect("auto")
        return figure

    def _left(self, column: int) -> float:
        margin = max((self.width - self.inner_width) / 2, 0.0)
        return round(margin + column * (self.block_width + _BLOCK_GAP * self.unit))

    def _draw_headings(self, axes: Axes, left: float) -> None:
        n_random = max(len(block.inputs) for block in self.blocks) - 1
        step = self.slot + _GAP * self.unit
        headings: list[tuple[float, tuple[str, ...], float]] = [(0.0, ("sub-cluster",), self.slot)]
        if n_random:
            headings.append((step, ("random sub-clusters", "random"), n_random * step))
        if self.small_columns:
            of_tops = ("most active test samples", "top test samples", "top samples")
            headings.append((self.tops_left, of_tops, self.tops_width))
        for start, texts, width in headings:
            text = next((text for text in texts if self._width_of(text) <= width), texts[-1])
            self._write(axes, left + start, self.top, text, color=_PALE, style="italic")

    def _draw_block(self, axes: Axes, block: Block, left: float, top: float) -> None:
        self._write(
            axes, left, top, fitted(block.name, self.block_width, self._type), weight="bold"
        )
        top = round(top + 1.15 * _LINE * self.unit)
        below = top + self.pictures_height + 0.25 * _LINE * self.unit
        for place, (sample, score) in enumerate(zip(block.inputs, block.scores, strict=True)):
            start = round(left + place * (self.slot + _GAP * self.unit))
            frame = _FRAMES[-1 if place else block.frame]
            self._draw_sample(axes, sample, (start, top), 1.0, frame)
            self._write(axes, start, below, self._score_in_words(score))
        self._write(axes, left, below + _LINE * self.unit, block.p_value)
        self._draw_tops(axes, block, left + self.tops_left, top, below)

    def _draw_tops(self, axes: Axes, block: Block, left: float, top: float, below: float) -> None:
        gap = _SMALL_GAP * self.unit
        for place, sample in enumerate(block.tops):
            row, column = divmod(place, self.small_columns)
            start = round(left + column * (self.size[0] / 2 + gap))
            upper = round(top + row * (self.size[1] / 2 + gap))
            self._draw_sample(axes, sample, (start, upper), 0.5, _FRAMES[-1])
        for line, text in enumerate(names_in_lines(block.names, self.tops_width, self._type)):
            self._write(axes, left, below + line * _LINE * self.unit, text)

    def _draw_sample(
        self,
        axes: Axes,
        sample: NDArray[Any],
        upper_left: tuple[float, float],
        share: float,
        frame: _Frame,
    ) -> None:
        """Draw a sample with a frame around it, at a share of a large picture's size."""
        left, top = upper_left
        width, height = self.size[0] * share, self.size[1] * share
        if is_image(sample.shape):
            axes.imshow(
                picture(sample, self.values),
                cmap="gray",
                vmin=0,
                vmax=255,
                extent=(left, left + width, top + height, top),
                interpolation="antialiased",
                zorder=2,
            )
        else:
            heights = top + height * (1 - self.values.shares(sample.ravel()))
            zero = float(top + height * (1 - self.values.shares(0.0)))
            self._draw_bars(axes, heights, zero, (left, left + width))
            axes.hlines(zero, left, left + width, color=_BARS, linewidth=0.5, zorder=2)
        self._draw_frame(axes, (left, top), (width, height), frame)

    def _draw_frame(
        self,
        axes: Axes,
        upper_left: tuple[float, float],
        size: tuple[float, float],
        frame: _Frame,
    ) -> None:
        """Draw a frame around an area."""
        colour, line, dashes = frame
        line *= self.unit
        axes.add_patch(
            Rectangle(
                (upper_left[0] - line / 2, upper_left[1] - line / 2),
                size[0] + line,
                size[1] + line,
                fill=False,
                edgecolor=colour,
                linewidth=line * 72 / DOTS_PER_INCH,
                linestyle=dashes,
                zorder=3,
            )
        )

    def _draw_bars(
        self, axes: Axes, heights: NDArray[np.float64], zero: float, ends: tuple[float, float]
    ) -> None:
        """Draw bars from the height of 0, a few of them with room in between."""
        edges = np.linspace(*ends, heights.size + 1)
        if heights.size > _MOST_APART:
            axes.stairs(heights, edges, baseline=zero, fill=True, color=_BARS, zorder=2)
            return
        step = edges[1] - edges[0]
        axes.bar(edges[:-1] + step / 2, heights - zero, 0.7 * step, zero, color=_BARS, zorder=2)

    @property
    def _type(self) -> float:
        return _TYPE * self.unit

    def _score_in_words(self, score: str) -> str:
        """Return a score, named as such if all of the sheet have the room."""
        texts = [f"score {score}" for block in self.blocks for score in block.scores]
        room = self.slot + 0.5 * _GAP * self.unit
        return f"score {score}" if max(map(self._width_of, texts)) <= room else score

    def _width_of(self, text: str) -> float:
        return text_width(text, self._type)

    def _write(self, axes: Axes, left: float, top: float, text: str, **style: Any) -> None:
        style = {"fontsize": self._type, "va": "top", **style}
        axes.text(left, top, text, parse_math=False, zorder=4, **style)

    def _lay_key(self, key: Sequence[str]) -> list[tuple[float, int]]:
        """Return where each entry stands: its left edge and its line."""
        places: list[tuple[float, int]] = []
        left, line = _MARGIN * self.unit, 0
        for text in key:
            width = self._width_of(text) + 3 * _LINE * self.unit
            if places and left + width > self.width:
                left, line = _MARGIN * self.unit, line + 1
            places.append((left, line))
            left += width
        return places

    def _draw_key(
        self, axes: Axes, key: Sequence[str], places: Sequence[tuple[float, int]], top: float
    ) -> None:
        side = 0.7 * _LINE * self.unit
        for index, (text, (left, line)) in enumerate(zip(key, places, strict=True)):
            upper = top + 1.3 * _LINE * self.unit * line
            if index < len(_FRAMES):
                self._draw_frame(axes, (left, upper), (side, side), _FRAMES[index])
            start = left + (1.7 * side if index < len(_FRAMES) else 0)
            self._write(axes, start, upper, text)


def _dots_a_pixel(side: int) -> float:
    """Return how many dots a pixel of a large picture has on each side.

    An even number where a picture would not become too large, so that a small picture's is whole
    too; or the inverse of a whole number.
    """
    if side > _MOST_DOTS:
        return 1 / math.ceil(side / _MOST_DOTS)
    return 2 * round(_DOTS / 2 / side) or 1
