"""What can be checked of a network before it is built; needs no Keras."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any

from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import in_units, memory_bytes
from nn_clustering.networks._transformer_settings import (
    TRANSFORMERS,
    TokenInput,
    TransformerSettings,
    check_transformer,
    ends_of,
)
from nn_clustering.networks._user_code import check_user_function
from nn_clustering.user_functions import is_dotted_name

# mlp: A1, A4, A5; cnn: A2; vgg: A3.
NETWORK_KINDS = ("mlp", "cnn", "vgg", *TRANSFORMERS)
ACTIVATIONS = ("relu", "tanh", "gelu", "silu")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
TASKS = ("classification", "regression")
# Adam holds a weight, its gradient and two running means, each of four bytes.
_BYTES_OF_A_WEIGHT = 16


def check_network(
    kind: str,
    input_shape: Sequence[int],
    n_outputs: int,
    *,
    task: str = "classification",
    hidden_units: Sequence[int],
    conv_filters: Sequence[int | Sequence[int]],
    activation: str = "relu",
    dropout: bool = False,
    dropout_rate: float | None = None,
    precision: str = "float32",
    tokens: TokenInput | None = None,
    **transformer: Any,
) -> None:
    """Check the settings of a network, for which see :func:`build_network`.

    Of a network of one's own the code is looked at, but not run.

    Raises:
        InvalidInputError: If they make no network.
    """
    _check_ends(input_shape, n_outputs, task)
    if is_dotted_name(kind):
        _check_left_to_user(kind, activation, dropout, dropout_rate, precision)
        check_user_function(kind)
        return
    for key, value, expected in (
        ("kind", kind, NETWORK_KINDS),
        ("activation", activation, ACTIVATIONS),
        ("precision", precision, PRECISIONS),
    ):
        if value not in expected:
            own = "; or a function of your own, MODULE.FUNCTION" if key == "kind" else ""
            problem = " is not a network" if key == "kind" else ""
            raise InvalidInputError(
                f"network.{key}={value!r}{problem}; expected one of {', '.join(expected)}{own}"
            )
    _check_dropout(dropout, dropout_rate)
    settings = TransformerSettings(**transformer)
    if kind in TRANSFORMERS:
        check_transformer(kind, input_shape, task, tokens, settings)
        _check_memory_of_transformer(input_shape, n_outputs, tokens, settings)
        return
    if tokens is not None:
        raise InvalidInputError(
            f"network.kind={kind} takes images or vectors, and the inputs are tokens; expected "
            "network.kind=transformer"
        )
    if not _is_list_of_sizes(hidden_units):
        raise InvalidInputError(
            f"network.hidden_units={hidden_units!r}; expected a list of numbers of units, each 1 "
            "or more"
        )
    _check_filters(kind, conv_filters)
    if kind != "mlp":
        _check_images(kind, input_shape, len(conv_filters))
    _check_memory(kind, input_shape, n_outputs, hidden_units, conv_filters)


def check_modular_initialisation(
    *, n_modules: int = 10, down: float | None = None, all_layers: bool = False
) -> None:
    """Check the settings of a modular initialisation; see :func:`modular_initialisation`.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    if isinstance(n_modules, bool) or not isinstance(n_modules, int) or n_modules < 2:
        raise InvalidInputError(
            f"modular_init.n_modules={n_modules!r}; expected an integer of 2 or more"
        )
    if down is not None and not (_is_number(down) and 0 <= down < 1):
        raise InvalidInputError(
            f"modular_init.down={down!r}; expected the factor between modules, 0 <= down < 1, or "
            "None for the studies'"
        )
    if not isinstance(all_layers, bool):
        raise InvalidInputError(f"modular_init.all_layers={all_layers!r}; expected True or False")


def blocks_of_filters(conv_filters: Sequence[int | Sequence[int]]) -> list[list[int]]:
    """Return a vgg's filters block by block; a bare number is a block of one convolution."""
    return [[block] if isinstance(block, int) else list(block) for block in conv_filters]


def most_units(
    kind: str,
    input_shape: Sequence[int],
    n_outputs: int,
    *,
    hidden_units: Sequence[int],
    conv_filters: Sequence[int | Sequence[int]],
    tokens: TokenInput | None = None,
    **others: Any,
) -> int | None:
    """Return how many units a graph of a network can have; None for a network of one's own.

    Arguments as of :func:`check_network`, of which those that are not named matter for
    transformers alone.
    """
    if is_dotted_name(kind):
        return None
    if kind in TRANSFORMERS:
        names = {field.name for field in fields(TransformerSettings)}
        settings = TransformerSettings(**{key: others[key] for key in names & set(others)})
        n_inputs = math.prod(input_shape) if tokens is None else tokens.n_tokens
        return settings.most_units(n_inputs, n_outputs)
    n_inputs = 1
    for size in input_shape:
        n_inputs *= size
    filters = [] if kind == "mlp" else blocks_of_filters(conv_filters)
    return n_inputs + sum(map(sum, filters)) + sum(hidden_units) + n_outputs


def _kernel_sizes(
    kind: str,
    input_shape: Sequence[int],
    n_outputs: int,
    hidden_units: Sequence[int],
    conv_filters: Sequence[int | Sequence[int]],
) -> Iterator[int]:
    """Yield the number of weights of every kernel of a network, layer by layer."""
    *sides, n_units = input_shape
    if kind != "mlp":
        blocks = blocks_of_filters(conv_filters)
        for index, block in enumerate(blocks):
            for n_filters in block:
                yield 3 * 3 * n_units * n_filters
                n_units = n_filters
            if kind == "vgg" or index > 0:  # a pooling follows
                sides = [side // 2 for side in sides]
    for side in sides:
        n_units *= side
    for n_next in (*hidden_units, n_outputs):
        yield n_units * n_next
        n_units = n_next


def _check_memory(
    kind: str,
    input_shape: Sequence[int],
    n_outputs: int,
    hidden_units: Sequence[int],
    conv_filters: Sequence[int | Sequence[int]],
) -> None:
    """Raise if the weights of a network, as they are trained, take more memory than there is."""
    count = sum(_kernel_sizes(kind, input_shape, n_outputs, hidden_units, conv_filters))
    sizes = [f"network.hidden_units={list(hidden_units)}"]
    if kind != "mlp":
        sizes.append(f"network.conv_filters={list(conv_filters)}")
    _check_room(count, " ".join(sizes), input_shape, n_outputs)


def _check_memory_of_transformer(
    input_shape: Sequence[int],
    n_outputs: int,
    tokens: TokenInput | None,
    settings: TransformerSettings,
) -> None:
    keys = ("n_blocks", "n_channels", "n_neurons")
    sizes = " ".join(f"network.{key}={getattr(settings, key)}" for key in keys)
    count = settings.n_weights(*ends_of(input_shape, tokens, settings), n_outputs)
    _check_room(count, sizes, input_shape, n_outputs)


def _check_room(count: int, sizes: str, input_shape: Sequence[int], n_outputs: int) -> None:
    needed, available = _BYTES_OF_A_WEIGHT * count, memory_bytes()
    if needed > available:
        raise InvalidInputError(
            f"{sizes} between {tuple(input_shape)} inputs and {n_outputs} outputs: {count:,} "
            f"weights take {in_units(needed)} of memory in training, "
            f"and this machine has {in_units(available)}; expected a smaller network"
        )


def _check_ends(input_shape: Sequence[int], n_outputs: int, task: str) -> None:
    if len(input_shape) not in (1, 3) or not all(_is_size(size) for size in input_shape):
        raise InvalidInputError(
            f"input_shape={input_shape!r}; expected (height, width, channels) of images, or "
            "(features,) of vectors, each 1 or more"
        )
    if task not in TASKS:
        raise InvalidInputError(f"task={task!r}; expected one of {', '.join(TASKS)}")
    least = 2 if task == "classification" else 1
    if not _is_size(n_outputs) or n_outputs < least:
        raise InvalidInputError(
            f"n_outputs={n_outputs!r}; expected {least} or more for a {task} network"
        )


def _check_left_to_user(
    kind: str, activation: str, dropout: bool, dropout_rate: float | None, precision: str
) -> None:
    given = {
        "activation": (activation, "relu"),
        "dropout": (dropout, False),
        "dropout_rate": (dropout_rate, None),
        "precision": (precision, "float32"),
    }
    for key, (value, default) in given.items():
        if value != default:
            raise InvalidInputError(
                f"network.{key}={value!r} with network.kind={kind!r}: a network of your own "
                f"settles that itself; leave out {key}, and have the function do it"
            )


def _check_dropout(dropout: bool, dropout_rate: float | None) -> None:
    if not isinstance(dropout, bool):
        raise InvalidInputError(f"network.dropout={dropout!r}; expected True or False")
    if dropout_rate is None:
        return
    if not (_is_number(dropout_rate) and 0 < dropout_rate < 1):
        raise InvalidInputError(
            f"network.dropout_rate={dropout_rate!r}; expected 0 < dropout_rate < 1, or None for "
            "the studies' rates"
        )
    if not dropout:
        raise InvalidInputError(
            f"network.dropout_rate={dropout_rate} with network.dropout=False: there is no dropout "
            "whose rate it could be; expected network.dropout=True with it"
        )


def _check_filters(kind: str, conv_filters: Any) -> None:
    """Raise unless they fit the kind; an mlp takes either form, since it has no use for it."""
    flat, nested = "a list of numbers of filters", "a list of blocks [[64, 64], [128, 128]]"
    is_flat = _is_list_of_sizes(conv_filters)
    is_nested = isinstance(conv_filters, list | tuple) and all(
        _is_size(block) or (_is_list_of_sizes(block) and block) for block in conv_filters
    )
    if not (is_flat if kind == "cnn" else is_nested):
        raise InvalidInputError(
            f"network.conv_filters={conv_filters!r}; expected {nested if kind == 'vgg' else flat}, "
            "each 1 or more"
        )
    if kind != "mlp" and not conv_filters:
        raise InvalidInputError(
            f"network.conv_filters=[]; expected one convolution or more in a {kind}, or "
            "network.kind=mlp"
        )


def _check_images(kind: str, input_shape: Sequence[int], n_convolutions_or_blocks: int) -> None:
    if len(input_shape) != 3:
        raise InvalidInputError(
            f"network.kind={kind} takes images, and the inputs are vectors of {input_shape[0]} "
            "features; expected network.kind=mlp for them"
        )
    n_pools = n_convolutions_or_blocks - (1 if kind == "cnn" else 0)
    if min(input_shape[:2]) < 2**n_pools:
        raise InvalidInputError(
            f"images of {input_shape[0]} x {input_shape[1]} pixels are too small for {n_pools} "
            f"poolings of the {kind}; expected at least {2**n_pools} x {2**n_pools}"
        )


def _is_list_of_sizes(sizes: Any) -> bool:
    return isinstance(sizes, list | tuple) and all(_is_size(size) for size in sizes)


def _is_size(size: Any) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= 1


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
