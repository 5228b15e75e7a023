"""Contact sheets of what sub-clusters respond to, one of each layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nn_clustering.reports._figure_text import counted, number
from nn_clustering.reports._sample_pictures import Range, is_image
from nn_clustering.reports._sheet_layout import Block, Sheet
from nn_clustering.reports._sub_cluster_figure_parts import Significance
from nn_clustering.significance import p_in_words

if TYPE_CHECKING:
    from nn_clustering.datasets import Dataset
    from nn_clustering.visualisation import TopSamples, VisualisationTest

# Of more inputs and samples of a sub-cluster the first ones are shown.
_MOST_RANDOM, _MOST_TOPS = 9, 20


def contact_sheets(
    test: VisualisationTest, tops: TopSamples | None, samples: Dataset | None, title: str
) -> Mapping[str, Figure]:
    """Return a figure for each layer: inputs of sub-clusters, beside random ones' and real samples.

    A block is a sub-cluster: the input that was optimised for it, with its score and p-value in a
    frame that tells whether it is small, that of one or more random sub-clusters, and the test
    samples that activate it most with the names of their classes, the most frequent first. Images
    are drawn pixel by pixel; what is no image is drawn as bars, all of a layer to one scale. Of
    random sub-clusters nine are shown at most, of samples twenty.

    Args:
        test: The test.
        tops: The samples that activate each sub-cluster most; None for none.
        samples: The data set of whose test part these are; None where there are none.
        title: Of the figures; the layer's name follows.

    Returns:
        Figures by the name of their layer. Each is drawn when it is asked for, and not kept: those
        of a large network would fill the memory.
    """
    return _ContactSheets(test, tops if samples is not None else None, samples, title)


@dataclass(frozen=True, eq=False)
class _ContactSheets(Mapping[str, Figure]):
    test: VisualisationTest
    tops: TopSamples | None
    samples: Dataset | None
    title: str

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(sub.layer for sub in self.test.sub_clusters))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, layer: str) -> Figure:
        rows = [row for row, sub in enumerate(self.test.sub_clusters) if sub.layer == layer]
        if not rows:
            raise KeyError(layer)
        blocks = [self._block(row) for row in rows]
        drawn = [sample for block in blocks for sample in (*block.inputs, *block.tops)]
        values = self._range(drawn)
        sheet = Sheet.of(blocks, drawn[0], values, title=f"{self.title}\nlayer {layer}")
        return sheet.draw(self._key(values, drawn[0]))

    @cached_property
    def _significance(self) -> Significance:
        return Significance.of_measure(self.test.score)

    def _key(self, values: Range, sample: NDArray[Any]) -> list[str]:
        """Return what frames mean, and on which scale values are shown."""
        of_null = f"p: of the score, beside {counted(self.test.n_shuffles, 'random sub-cluster')}"
        names = [*self._significance.in_words, of_null]
        if (values.low, values.high) != (0.0, 1.0) or not is_image(sample.shape):
            ends = f"{number_in_words(values.low)} to {number_in_words(values.high)}"
            names.append(f"black to white: {ends}" if is_image(sample.shape) else f"bars: {ends}")
        return names

    def _block(self, row: int) -> Block:
        test, sub = self.test, self.test.sub_clusters[row]
        tops, names = self._tops_of(row)
        inputs = test.inputs[row, : 1 + _MOST_RANDOM]
        found = self._significance
        return Block(
            f"cluster {sub.label}: {counted(len(sub.units), 'unit')}",
            tuple(inputs),
            tuple(number_in_words(score) for score in test.scores[row, : len(inputs)].tolist()),
            p_in_words(float(test.score.p_values[row]), "p"),
            0 if found.corrected[row] else 1 if found.uncorrected[row] else 2,
            tops,
            names,
        )

    def _tops_of(self, row: int) -> tuple[tuple[NDArray[Any], ...], tuple[str, ...]]:
        """Return the samples that activate a sub-cluster most, on the inputs' scale, and names."""
        if self.tops is None or self.samples is None:
            return (), ()
        wanted = self.tops.indices[row, :_MOST_TOPS]
        rows, places = np.unique(wanted, return_inverse=True)  # ascending, as samples are read
        found = np.asarray(self.samples.x_test[rows])[places]
        if self.samples.white not in (None, 1):
            found = found.astype(np.float32) / np.float32(self.samples.white)
        if self.tops.classes is None:
            return tuple(found), ()
        classes = self.tops.classes[row, :_MOST_TOPS].tolist()
        return tuple(found), tuple(self.samples.class_names[label] for label in classes)

    def _range(self, drawn: Sequence[NDArray[Any]]) -> Range:
        if not is_image(drawn[0].shape):
            return Range.of([*drawn, np.zeros(1)])  # bars begin at 0
        of_known_scale = self.samples is None or self.samples.white is not None
        return Range.of_inputs(self.test.inputs) if of_known_scale else Range.of(drawn)


def number_in_words(value: float) -> str:
    """Return a number with three digits or more, with a true minus sign."""
    return number(value, ",.0f" if 1000 <= abs(value) < 1e6 else ".3g")
