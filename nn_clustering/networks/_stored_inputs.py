"""What a network's file says of its inputs, read without Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nn_clustering.networks._stored_network import stored_network


def stored_image_shape(content: bytes, source: str) -> tuple[int | None, ...] | None:
    """Return the height, width and channels of the images that a network takes; None for any.

    Args:
        content: Its file.
        source: Where it comes from, for the message.

    Returns:
        None where it takes no images, or inputs that its file does not tell.

    Raises:
        InvalidInputError: If it is no network's file.
    """
    config = stored_network(content, source).config
    shapes = [shape for shape in _input_shapes(config) if len(shape) == 4]
    if len(shapes) != 1:
        return None
    return tuple(size if isinstance(size, int) else None for size in shapes[0][1:])


def _input_shapes(config: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Yield the shapes, with that of the batch, of the inputs of the outermost network."""
    layers = config.get("config", {})
    layers = layers.get("layers", []) if isinstance(layers, Mapping) else layers
    inputs = [layer for layer in layers if layer.get("class_name") == "InputLayer"]
    for layer in inputs or layers[:1]:  # of a sequential one the first layer may tell
        settings = layer.get("config", {})
        shape = settings.get("batch_shape") or settings.get("batch_input_shape")
        if isinstance(shape, list | tuple):
            yield list(shape)
