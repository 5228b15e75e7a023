"""The studies' architectures (methods A1, A2, A10), freshly initialised from one seed."""

from collections.abc import Callable, Sequence

import keras

from nn_clustering.errors import InvalidInputError
from nn_clustering.seeds import integer_seed


def build_network(
    kind: str,
    input_shape: tuple[int, int, int],
    n_classes: int,
    *,
    hidden_units: Sequence[int],
    conv_filters: Sequence[int],
    dropout: bool,
    seed: int,
) -> keras.Model:
    """Build a network with Glorot-uniform kernels and zero biases.

    Args:
        kind: One of :data:`BUILDERS`.
        input_shape: Shape of one image: (height, width, channels).
        n_classes: Number of outputs of the softmax.
        hidden_units: Units of each hidden dense layer.
        conv_filters: Filters of each convolution (``cnn`` only).
        dropout: Whether to add the studies' dropout layers.
        seed: Fixes the initial weights and the dropout masks.

    Returns:
        A sequential model from images to class probabilities.

    Raises:
        InvalidInputError: If the kind is unknown, a layer has no units, or the images are too
            small for the pooling.
    """
    if kind not in BUILDERS:
        raise InvalidInputError(
            f"network.kind={kind!r} is not a network; expected one of {', '.join(BUILDERS)}"
        )
    for key, sizes in (("hidden_units", hidden_units), ("conv_filters", conv_filters)):
        if not isinstance(sizes, list | tuple) or not all(
            isinstance(size, int) and not isinstance(size, bool) and size >= 1 for size in sizes
        ):
            raise InvalidInputError(
                f"network.{key}={sizes!r}; expected a list of numbers of units, each 1 or more"
            )
    layers = BUILDERS[kind](input_shape, hidden_units, conv_filters, dropout, seed)
    layers.append(_dense(n_classes, "softmax", "output", seed))
    return keras.Sequential([keras.Input(input_shape, name="input"), *layers], name=kind)


def _mlp(
    input_shape: tuple[int, int, int],
    hidden_units: Sequence[int],
    conv_filters: Sequence[int],
    dropout: bool,
    seed: int,
) -> list[keras.Layer]:
    """A1: dense ReLU layers; dropout 0.5 after each, none on the input."""
    layers: list[keras.Layer] = [keras.layers.Flatten(name="flatten")]
    for index, units in enumerate(hidden_units, start=1):
        layers.append(_dense(units, "relu", f"dense_{index}", seed))
        layers += _dropout(0.5, f"dropout_{index}", dropout, seed)
    return layers


def _cnn(
    input_shape: tuple[int, int, int],
    hidden_units: Sequence[int],
    conv_filters: Sequence[int],
    dropout: bool,
    seed: int,
) -> list[keras.Layer]:
    """A2: 3x3 convolutions, 2x2 max-pooling after all but the first, then dense layers.

    Dropout is 0.25 after each convolution (after its pooling) and 0.5 after each dense layer.
    """
    n_pools = max(len(conv_filters) - 1, 0)
    if min(input_shape[:2]) < 2**n_pools:
        raise InvalidInputError(
            f"images of {input_shape[0]} x {input_shape[1]} pixels are too small for {n_pools} "
            f"poolings of the cnn; expected at least {2**n_pools} x {2**n_pools}"
        )
    layers: list[keras.Layer] = []
    for index, filters in enumerate(conv_filters, start=1):
        name = f"conv_{index}"
        initialiser = keras.initializers.GlorotUniform(integer_seed(seed, "initial weights", name))
        layers.append(
            keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=initialiser,
                name=name,
            )
        )
        if index > 1:
            layers.append(keras.layers.MaxPooling2D(2, name=f"pool_{index}"))
        layers += _dropout(0.25, f"dropout_conv_{index}", dropout, seed)
    layers.append(keras.layers.Flatten(name="flatten"))
    for index, units in enumerate(hidden_units, start=1):
        layers.append(_dense(units, "relu", f"dense_{index}", seed))
        layers += _dropout(0.5, f"dropout_dense_{index}", dropout, seed)
    return layers


BUILDERS: dict[str, Callable[..., list[keras.Layer]]] = {"mlp": _mlp, "cnn": _cnn}


def _dense(units: int, activation: str, name: str, seed: int) -> keras.layers.Dense:
    initialiser = keras.initializers.GlorotUniform(integer_seed(seed, "initial weights", name))
    return keras.layers.Dense(
        units, activation=activation, kernel_initializer=initialiser, name=name
    )


def _dropout(rate: float, name: str, dropout: bool, seed: int) -> list[keras.Layer]:
    if not dropout:
        return []
    return [keras.layers.Dropout(rate, seed=integer_seed(seed, "dropout", name), name=name)]
