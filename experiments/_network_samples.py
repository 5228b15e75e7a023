"""Samples of a data set as a network reads them: preprocessed, and in its shape."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering import datasets, networks
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from experiments._networks import NetworkFile
    from nn_clustering.datasets import Dataset, Samples

# What networks that were trained here read.
UNIT = "unit"
# What each preprocessing makes of pixels.
_SCALES = {
    "none": "0 to 255",
    UNIT: "0 to 1",
    "caffe": "blue, green and red, less ImageNet's mean",
    "torch": "0 to 1, less ImageNet's mean, by its standard deviation",
    "tf": "-1 to 1",
}


def scale_in_words(name: str | None) -> str:
    """Return what a preprocessing makes of pixels; None is that of networks trained here."""
    style = UNIT if name is None else name
    scale = _SCALES.get(style, "what the function makes of 0 to 255")
    return f"pixels: {scale} (preprocessing={style})"


@dataclass(frozen=True, eq=False)
class RawSamples:
    """Samples as a data set holds them.

    Attributes:
        x: The samples.
        white: The value that white has in them; None for what is of no known scale.
        dataset: The data set that they are of.
    """

    x: Samples = field(repr=False)
    white: float | None
    dataset: Dataset | None = field(default=None, repr=False)

    @classmethod
    def of_tests(cls, dataset: Dataset) -> RawSamples:
        """Return the test samples of a data set."""
        return cls(dataset.x_test, dataset.white, dataset)

    @property
    def are_images(self) -> bool:
        """Whether they are images whose pixels are of a known scale."""
        return len(self.x.shape) == 4 and self.white is not None

    def for_network(self, file: NetworkFile) -> Samples:
        """Return samples as a network reads them.

        Raises:
            InvalidInputError: If they do not fit it, or it wants pixels of a known scale.
        """
        given = tuple(self.x.shape[1:])
        shape = networks.fitted_shape(file.network, given)
        if self.dataset is not None and self.dataset.vocabulary is not None:
            networks.check_tokens(file.network, given[0], len(self.dataset.vocabulary))
        samples = preprocessed(self, file.preprocessing)
        if file.preprocessing not in (None, *networks.PREPROCESSINGS) and len(samples):
            samples[:1]  # what a function of the user's cannot do shows before a run begins
        if shape == given:
            return samples
        if isinstance(samples, np.ndarray):
            reshaped: NDArray[Any] = samples.reshape(len(samples), *shape)
            return reshaped
        return datasets.changed(samples, lambda x: x.reshape(len(x), *shape), shape)

    def reshaping_in_words(self, file: NetworkFile) -> str | None:
        """Return how samples are reshaped for a network, None where they are read as they are."""
        given = tuple(self.x.shape[1:])
        shape = networks.fitted_shape(file.network, given)
        if shape == given:
            return None
        return f"samples of shape {given} are read as {shape}, which is what {file.source} takes"

    def pixels_in_words(self, file: NetworkFile) -> str | None:
        """Return what a network from a file reads, None of one that was trained here."""
        if file.was_trained:
            return None
        shape, name = tuple(self.x.shape[1:]), file.preprocessing
        if self.dataset is not None and self.dataset.vocabulary is not None:
            return f"{len(self.x):,} sequences of {shape[0]} tokens"
        samples = f"{len(self.x):,} {'images' if len(shape) == 3 else 'samples'} of {shape}"
        if len(shape) == 3 and self.white is not None:
            return f"{samples}; {scale_in_words(name)}"
        values = "pixels" if len(shape) == 3 else "values"
        if name in (None, "none", UNIT):
            return f"{samples}; {values}: as they are in the data"
        return f"{samples}; {values}: what preprocessing={name} makes of those in the data"


def preprocessed(samples: RawSamples, name: str | None) -> Samples:
    """Return samples with what a preprocessing makes of their pixels.

    Args:
        samples: The samples.
        name: Of the preprocessing; None for pixels from 0 to 1, and other values as they are.

    Raises:
        InvalidInputError: If there is no such preprocessing, or it wants pixels of a known scale
            and these are of none.
    """
    x, white = samples.x, samples.white
    shape = tuple(x.shape[1:])
    if not samples.are_images:
        if name in (None, "none", UNIT) and (name != UNIT or len(shape) != 3):
            return x
        if name in networks.PREPROCESSINGS:
            raise InvalidInputError(
                f"preprocessing={name} with samples of shape {shape} whose values are of no known "
                "scale; expected images of bytes or of 0 to 1, or preprocessing=none"
            )
        assert name is not None  # None is of the first
        return datasets.changed(x, networks.preprocessing(name, shape), shape)
    assert white is not None
    if name in (None, UNIT):
        return x if white == 1 else datasets.changed(x, partial(_scaled, white=white, to=1), shape)
    change = networks.preprocessing(str(name), shape)
    return datasets.changed(
        x, lambda values: change(_scaled(values, white, datasets.WHITE_BYTE)), shape
    )


def _scaled(x: NDArray[Any], white: float, to: float) -> NDArray[np.float32]:
    """Return pixels with another value for white."""
    values = x.astype(np.float32)  # a copy, which is changed: images of a block may fill the memory
    if white != to and to == 1:
        values /= np.float32(white)
    elif white != to:
        values *= np.float32(to / white)
    return values
