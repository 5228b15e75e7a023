"""Networks of ImageNet as two packages build them, with random weights or those of a file."""

from pathlib import Path

import keras
import numpy as np

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks._image_classifiers import image_classifier
from nn_clustering.networks._imagenet_table import (
    IMAGE_CLASSIFIERS,
    ImageNetNetwork,
    imagenet_network,
)
from nn_clustering.networks._weight_files import load_weights
from nn_clustering.seeds import integer_seed

# The standard deviations of red, green and blue in ImageNet, of pixels from 0 to 1.
_STANDARD_DEVIATIONS = (0.229, 0.224, 0.225)


def build_imagenet_network(
    name: str,
    *,
    input_size: tuple[int, int] | None = None,
    n_outputs: int = 1000,
    seed: int = 0,
    weights: Path | str | None = None,
    is_published: bool = False,
) -> keras.Model:
    """Build a network of ImageNet by its name; it is of Keras' own layers.

    Args:
        name: One of :func:`imagenet_network_names`.
        input_size: Height and width of the images, in pixels; None for those it was made for.
        n_outputs: Number of classes.
        seed: Fixes random weights, bit for bit. Keras', TensorFlow's, NumPy's and Python's global
            random generators are seeded with it.
        weights: A file of weights, for which see :func:`load_weights`; None for random ones.
        is_published: Whether that is the file that the package publishes.

    Returns:
        The network, from images (samples, height, width, 3), preprocessed, to probabilities.

    Raises:
        InvalidInputError: If there is no such network, it is not made for images so small, or the
            weights do not fit it.
    """
    known = imagenet_network(name)
    height, width = input_size or (known.size, known.size)
    keras.utils.set_random_seed(integer_seed(seed, "imagenet network"))
    try:
        network = _built(known, (height, width, 3), n_outputs)
    except Exception as error:  # whatever the package and Keras' layers raise
        raise InvalidInputError(
            f"network.input_size=[{height}, {width}] network.n_outputs={n_outputs}: {name} cannot "
            f"be built so ({in_one_line(error)}); expected network.input_size=None for the "
            f"{known.size} x {known.size} that it was made for"
        ) from error
    if weights is not None:
        load_weights(network, weights)
        if is_published:
            _finish_normalisation(network, known)
    return network


def _built(
    known: ImageNetNetwork, input_shape: tuple[int, int, int], n_outputs: int
) -> keras.Model:
    if known.package == IMAGE_CLASSIFIERS:
        return image_classifier(known.builder, input_shape, n_outputs)
    build = getattr(keras.applications, known.builder)
    network: keras.Model = build(weights=None, input_shape=input_shape, classes=n_outputs)
    return network


def _finish_normalisation(network: keras.Model, known: ImageNetNetwork) -> None:
    """Divide by the root of the standard deviations, which the file of EfficientNet leaves out.

    Keras adds a layer for that where it downloads the file; here it is a part of the variances.
    """
    if not known.builder.startswith("EfficientNetB"):
        return
    (layer,) = (layer for layer in network.layers if isinstance(layer, keras.layers.Normalization))
    layer.adapt_variance.assign(layer.adapt_variance * np.array(_STANDARD_DEVIATIONS, np.float32))
    layer.finalize_state()
