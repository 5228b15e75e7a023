"""What a network's file says of its inputs, read without Keras."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nn_clustering.networks._stored_network import stored_network


def stored_sample_shape(content: bytes, source: str) -> tuple[int | None, ...] | None:
    """Return the shape of the samples that a network takes; None for a size that may be any.

    Args:
        content: Its file.
        source: Where it comes from, for the message.

    Returns:
        (height, width, channels) of the images that it takes, or else (length,) of the vectors or
        tokens; None where it takes neither, several, or inputs that its file does not tell.

    Raises:
        InvalidInputError: If it is no network's file.
    """
    shapes = [shape for shape, _ in _inputs(stored_network(content, source).config)]
    images = [shape for shape in shapes if len(shape) == 4]
    found = images or ([] if len(shapes) > 1 else [shape for shape in shapes if len(shape) == 2])
    if len(found) != 1:
        return None
    return tuple(size if isinstance(size, int) else None for size in found[0][1:])


def takes_tokens(content: bytes, source: str) -> bool:
    """Return whether a network takes whole numbers, as of tokens, so far as its file tells.

    Args:
        content: Its file.
        source: Where it comes from, for the message.

    Raises:
        InvalidInputError: If it is no network's file.
    """
    types = [dtype for _, dtype in _inputs(stored_network(content, source).config)]
    return any(isinstance(dtype, str) and dtype.startswith("int") for dtype in types)


def _inputs(config: Mapping[str, Any]) -> Iterator[tuple[list[Any], Any]]:
    """Yield the shapes, with that of the batch, and types of the outermost network's inputs."""
    layers = config.get("config", {})
    layers = layers.get("layers", []) if isinstance(layers, Mapping) else layers
    inputs = [layer for layer in layers if layer.get("class_name") == "InputLayer"]
    for layer in inputs or layers[:1]:  # of a sequential one the first layer may tell
        settings = layer.get("config", {})
        shape = settings.get("batch_shape") or settings.get("batch_input_shape")
        if isinstance(shape, list | tuple):
            yield list(shape), settings.get("dtype")
