"""Networks of one's own: Keras models that a function outside this project returns."""

import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from typing import Any

import keras
import numpy as np

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks._keras_files import network_bytes, network_from_bytes
from nn_clustering.networks._transformer_settings import TokenInput
from nn_clustering.networks._user_code import KEY, PURPOSE
from nn_clustering.seeds import generator, integer_seed
from nn_clustering.user_functions import (
    accepted_arguments,
    current_folder_importable,
    import_function,
)


def build_user_network(
    kind: str,
    input_shape: tuple[int, ...],
    n_outputs: int,
    *,
    task: str,
    tokens: TokenInput | None = None,
    seed: int,
) -> keras.Model:
    """Call the function that ``kind`` names, and check what it returns.

    Keras', TensorFlow's, NumPy's and Python's global random generators are seeded before the call,
    so that layers without seeds of their own begin the same for the same seed too.

    Args:
        kind: Dotted name of the function. It is called with those of ``input_shape``,
            ``n_outputs`` and ``seed`` that it takes, and of inputs that are tokens ``n_tokens``,
            as keywords. The current folder is looked in first for its module.
        input_shape: Shape of one input.
        n_outputs: Number of outputs.
        task: ``classification`` (outputs must be probabilities) or ``regression``.
        tokens: Of inputs that are tokens what they are, and whether outputs are of every position.
        seed: Fixes the initial weights.

    Raises:
        InvalidInputError: If there is no such function, it fails, or what it returns is not a
            network that fits and that a ``.keras`` file can hold.
    """
    with current_folder_importable():
        function = import_function(kind, KEY, PURPOSE)
        offered = {"input_shape": input_shape, "n_outputs": n_outputs, "seed": seed}
        if tokens is not None:
            offered["n_tokens"] = tokens.n_tokens
        arguments = accepted_arguments(function, kind, KEY, offered)
        keras.utils.set_random_seed(integer_seed(seed, "own network"))
        network = _called(kind, function, arguments)
    answers_positions = tokens is not None and tokens.answers_positions
    _check_shapes(
        kind, network, input_shape, (*(input_shape if answers_positions else ()), n_outputs)
    )
    if task == "classification":
        _check_probabilities(kind, network, input_shape, tokens)
    _check_file(kind, network)
    return network


def _called(kind: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> keras.Model:
    try:
        network = function(**arguments)
    except Exception as error:  # whatever the function's own code raises
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise InvalidInputError(
            f"network.kind={kind!r} failed on ({given}): {in_one_line(error)}"
        ) from error
    if not isinstance(network, keras.Model):
        raise InvalidInputError(
            f"network.kind={kind!r} returned a {type(network).__name__}; expected a keras.Model"
        )
    return network


def _check_shapes(
    kind: str,
    network: keras.Model,
    input_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
) -> None:
    if not network.built or not getattr(network, "inputs", None):
        raise InvalidInputError(
            f"network.kind={kind!r} returned a model without known inputs; expected a sequential "
            "model that begins with keras.Input(input_shape), or a functional one"
        )
    expected = (None, *input_shape), (None, *output_shape)
    given = network.input_shape, network.output_shape
    if given != expected:
        raise InvalidInputError(
            f"network.kind={kind!r} returned a model from {given[0]} to {given[1]}; expected from "
            f"{expected[0]} to {expected[1]}, as the data set has it"
        )


def _check_probabilities(
    kind: str, network: keras.Model, input_shape: tuple[int, ...], tokens: TokenInput | None
) -> None:
    random = generator(0, "inputs of an own network")
    inputs = (
        random.uniform(size=(2, *input_shape)).astype(np.float32)
        if tokens is None
        else random.integers(tokens.n_tokens, size=(2, *input_shape)).astype(np.int32)
    )
    outputs = np.asarray(network(inputs, training=False), np.float64)
    sums = outputs.sum(axis=-1).ravel()
    if not (np.isfinite(outputs).all() and outputs.min() >= 0 and np.allclose(sums, 1, atol=0.01)):
        raise InvalidInputError(
            f"network.kind={kind!r} returned a model whose outputs are no probabilities (they sum "
            f"to {sums[0]:.4g} on a random input); expected a last layer with "
            'activation="softmax"'
        )


def _check_file(kind: str, network: keras.Model) -> None:
    """Raise unless the ``.keras`` file brings the network back where its code is not known."""
    refusal = (
        f"network.kind={kind!r} returned a model that a .keras file cannot hold ({{}}); expected "
        "Keras' own layers and functions only"
    )
    try:
        content = network_bytes(network)
        own = next(_own_objects(json.loads(_config_in(content))), None)
        read = None if own else network_from_bytes(content, "its file")
    except Exception as error:  # whatever Keras and the model's own code raise
        raise InvalidInputError(refusal.format(in_one_line(error))) from error
    if own is not None:
        raise InvalidInputError(refusal.format(f"{own} is code of your own"))
    weights = () if read is None else read.get_weights()
    pairs = zip(network.get_weights(), weights, strict=True)
    if not all(np.array_equal(before, after) for before, after in pairs):
        raise InvalidInputError(refusal.format("other weights come back"))


def _config_in(content: bytes) -> bytes:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return archive.read("config.json")


def _own_objects(config: Any) -> Iterator[str]:
    """Yield the names of the classes and functions in a stored config that are not Keras'."""
    if isinstance(config, dict):
        module, name = config.get("module"), config.get("registered_name")
        if "class_name" in config and "module" in config:
            is_keras = module is not None and module.partition(".")[0] == "keras"
            if not is_keras:
                is_function = config["class_name"] == "function"
                yield str(config["config"] if is_function else name or config["class_name"])
                return
        # what a model was compiled with is not read back
        config = [value for key, value in config.items() if key != "compile_config"]
    if isinstance(config, list):
        for entry in config:
            yield from _own_objects(entry)
