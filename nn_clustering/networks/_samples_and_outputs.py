"""How samples of a data set, and one output of several, go with a network."""

import math
from collections.abc import Sequence

import keras

from nn_clustering.errors import InvalidInputError


def fitted_shape(network: keras.Model, given: Sequence[int]) -> tuple[int, ...]:
    """Return the shape in which a network reads samples of a data set.

    They keep their values and the order of these: samples are flattened, made images of what was
    flat, or gain or lose axes of size 1. Samples whose axes would have to be exchanged, or that
    have another number of values, do not fit.

    Args:
        network: The network, with one input.
        given: Shape of a sample.

    Returns:
        ``given`` where it fits as it is.

    Raises:
        InvalidInputError: If they do not fit, or the network has several inputs.
    """
    if len(network.inputs) != 1:
        raise InvalidInputError(
            f"network {network.name!r} has {len(network.inputs)} inputs; expected one, of which a "
            "data set holds samples"
        )
    expected, given = tuple(network.inputs[0].shape[1:]), tuple(given)
    if _goes_with(expected, given):
        return given
    shape = _reshaped(expected, given)
    if shape is None:
        what = "images" if len(given) == 3 else "samples"
        raise InvalidInputError(
            f"network {network.name!r} takes inputs of shape {expected}, the data set's {what} are "
            f"{given}: choose the data set that it was trained on{_or_resized(expected, given)}"
        )
    return shape


def check_tokens(network: keras.Model, length: int, n_tokens: int) -> None:
    """Check that a network knows all tokens and positions that it is to read.

    It does by the tables of its layers `token_embedding` and `position_embedding`, where it has
    such: outside of them Keras reads zeros on a graphics card, and ends with an error elsewhere.

    Args:
        network: The network.
        length: Number of positions of a sample.
        n_tokens: Number of tokens of the vocabulary.

    Raises:
        InvalidInputError: If it does not.
    """
    for name, n_asked, what in (
        ("token_embedding", n_tokens, "tokens"),
        ("position_embedding", length, "positions"),
    ):
        table = next((layer for layer in network.layers if layer.name == name), None)
        if isinstance(table, keras.layers.Embedding) and table.input_dim < n_asked:
            raise InvalidInputError(
                f"network {network.name!r} knows {table.input_dim:,} {what}, and the data set has "
                f"{n_asked:,}; expected one of the tokens that the network was trained on, no "
                "longer than it reads"
            )


def _or_resized(expected: tuple[int | None, ...], given: tuple[int, ...]) -> str:
    """Return what else can be done with images, if they differ in size or in colours alone."""
    if len(expected) != 3 or len(given) != 3:
        return ""
    if (given[2], expected[2]) in ((1, 3), (3, 1)) and _goes_with(expected[:2], given[:2]):
        return f", or import the network with dataset.channels={expected[2]}"
    if expected[2] not in (None, given[2]):
        return ""
    return f", or have images resized (dataset.image_size=[{expected[0]},{expected[1]}])"


def _goes_with(expected: tuple[int | None, ...], given: tuple[int, ...]) -> bool:
    return len(expected) == len(given) and all(
        size in (None, found) for size, found in zip(expected, given, strict=True)
    )


def _reshaped(expected: tuple[int | None, ...], given: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape that samples take to be read; None if they would become other ones."""
    n_values = math.prod(given)
    if None not in expected:
        whole = tuple(size for size in expected if size is not None)
        is_flat = len(whole) == 1 or len(given) == 1
        if math.prod(whole) == n_values and (is_flat or _long(whole) == _long(given)):
            return whole
        return None
    # where axes are open only those of size 1 can be told apart from them
    for shape in ((*given, 1), given[:-1] if given[-1:] == (1,) else given):
        if _goes_with(expected, shape):
            return shape
    return None


def _long(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(size for size in shape if size != 1)


def output_names(network: keras.Model) -> list[str]:
    """Return the names of a network's outputs, in the order of ``network.outputs``.

    They are the keys of a network that puts out a dictionary, else the names of the layers.
    """
    made = getattr(network, "_outputs_struct", None)
    if isinstance(made, dict) and len(made) == len(network.outputs):
        return [str(key) for key in sorted(made)]
    if not hasattr(network, "output_names"):  # a sequential one
        return [str(network.layers[-1].name)]
    return [str(name) for name in network.output_names]


def output_index(network: keras.Model, output: str | int | None) -> int:
    """Return which of a network's outputs is meant.

    Args:
        network: The network.
        output: Its name or its index; None for the only one.

    Raises:
        InvalidInputError: If there is no such output, or there are several and none is named.
    """
    names = output_names(network)
    known = ", ".join(f"{name} ({index})" for index, name in enumerate(names))
    if output is None:
        if len(names) == 1:
            return 0
        raise InvalidInputError(
            f"network {network.name!r} has {len(names)} outputs, {known}: say which is meant, "
            f"output={names[0]}"
        )
    if output in names:
        return names.index(str(output))
    if isinstance(output, int) and not isinstance(output, bool) and 0 <= output < len(names):
        return output
    raise InvalidInputError(
        f"output={output!r}: network {network.name!r} has no such output; expected one of {known}"
    )
