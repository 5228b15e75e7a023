"""A network as a plain chain of layers, for what can only be done to such a one."""

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure._layer_kinds import is_keras_own, layer_kind


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """A dense or convolutional layer as the next one reads it.

    Attributes:
        name: Name of the Keras layer.
        position: Index of the Keras layer in the chain that :func:`chain_of_layers` returns.
        last_unitwise: Index of the last layer before the next weights (or a flatten) that keeps
            the units apart: activation, pooling, batch norm. What it puts out is what is read.
        kernel: Weights, of shape (inputs, units) or (height, width, channels, units).
        scale: What batch norm multiplies every unit by, of shape (units,).
    """

    name: str
    position: int
    last_unitwise: int
    kernel: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def is_convolution(self) -> bool:
        """Whether the units are filters."""
        return self.kernel.ndim == 4

    @property
    def n_units(self) -> int:
        """The number of units, or of filters."""
        return int(self.kernel.shape[-1])


def chain_of_layers(network: keras.Model) -> list[keras.Layer]:
    """Return the layers in the order in which data passes them, inputs left out.

    Raises:
        InvalidInputError: If the network is not built, or is not a chain: a layer has several
            inputs, is used twice, or is itself a network.
    """
    if not getattr(network, "inputs", None):
        raise InvalidInputError(
            f"network {network.name!r} is a {type(network).__name__} without known inputs; "
            "expected a built sequential or functional Keras model"
        )
    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    nested = next((layer for layer in layers if isinstance(layer, keras.Model)), None)
    if nested is not None:
        raise InvalidInputError(
            f"layer {nested.name!r} of network {network.name!r} is a network itself, which is not "
            "supported: rebuild it as one chain of layers"
        )
    if not isinstance(network, keras.Sequential):
        _require_chain(network, layers)
    return layers


def _require_chain(network: keras.Model, layers: list[keras.Layer]) -> None:
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise InvalidInputError(
            f"network {network.name!r} has {len(network.inputs)} inputs and "
            f"{len(network.outputs)} outputs; expected one of each"
        )
    previous = network.inputs[0]
    for layer in layers:
        try:
            reads = layer.input
        except (AttributeError, ValueError):  # Keras' answer where it is not known
            reads = None
        if reads is not previous:
            raise InvalidInputError(
                f"layer {layer.name!r} of network {network.name!r} does not read the layer before "
                "it alone; expected a plain chain of layers, without branches or shared layers"
            )
        previous = layer.output
    # A layer that is used again speaks of its first use only.
    if network.outputs[0] is not previous:
        raise InvalidInputError(
            f"network {network.name!r} does not put out what its last layer {layers[-1].name!r} "
            "does; expected a plain chain of layers, without branches or shared layers"
        )


def find_weight_layers(network: keras.Model) -> list[WeightLayer]:
    """Return the dense and convolutional layers of a chain, with batch norm's factors.

    Raises:
        InvalidInputError: If the network is not a chain of supported layers.
    """
    chain = chain_of_layers(network)
    found: list[WeightLayer] = []
    unitwise = True  # whether the units of the last weight layer are still apart
    for position, layer in enumerate(chain):
        match layer_kind(layer).place_in_chain:
            case "weights" if is_keras_own(layer):
                kernel = _kernel(layer, network)
                found.append(
                    WeightLayer(layer.name, position, position, kernel, np.ones(kernel.shape[-1]))
                )
                unitwise = True
            case "flatten":
                # After a convolution's flatten, its channels are spread; after a dense layer's or
                # the input's nothing changes.
                unitwise = unitwise and not (found and found[-1].is_convolution)
            case "input scaling" if not found:
                pass  # before any unit
            case "batch norm":
                if found and unitwise:
                    scale = found[-1].scale * _batch_norm_scale(layer, found[-1])
                    found[-1] = _extended(found[-1], position, scale)
            case "unitwise":
                if found and unitwise:
                    found[-1] = _extended(found[-1], position, found[-1].scale)
            case _:
                raise _refusal(layer, network)
    return found


def _refusal(layer: keras.Layer, network: keras.Model) -> InvalidInputError:
    return InvalidInputError(
        f"layer {layer.name!r} of network {network.name!r} is a {type(layer).__name__}, "
        "which has no place in a plain chain of layers; expected Dense, Conv2D, "
        "BatchNormalization, Flatten, Rescaling of the input, activations, dropout, "
        "padding and pooling (only clustering and the shuffle test take other networks)"
    )


def _extended(layer: WeightLayer, position: int, scale: NDArray[np.float64]) -> WeightLayer:
    return WeightLayer(layer.name, layer.position, position, layer.kernel, scale)


def _kernel(layer: keras.Layer, network: keras.Model) -> NDArray[np.float64]:
    if layer_kind(layer).convolves and layer.groups != 1:
        raise InvalidInputError(
            f"layer {layer.name!r} of network {network.name!r} is a grouped convolution, which "
            "has no place in a plain chain of layers; expected convolutions without groups "
            "(only clustering and the shuffle test take other networks)"
        )
    kernel = keras.ops.convert_to_numpy(layer.kernel).astype(np.float64)
    if not np.isfinite(kernel).all():
        raise InvalidInputError(
            f"layer {layer.name!r} of network {network.name!r} holds NaN or infinite weights"
        )
    found: NDArray[np.float64] = kernel
    return found


def _batch_norm_scale(layer: keras.Layer, normalised: WeightLayer) -> NDArray[np.float64]:
    variance = keras.ops.convert_to_numpy(layer.moving_variance).astype(np.float64)
    if variance.shape != (normalised.n_units,):
        raise InvalidInputError(
            f"layer {layer.name!r} normalises {variance.size} values; expected one for each of the "
            f"{normalised.n_units} units of layer {normalised.name!r}: check its axis"
        )
    gamma = keras.ops.convert_to_numpy(layer.gamma) if layer.scale else 1.0
    found: NDArray[np.float64] = gamma / np.sqrt(variance + layer.epsilon)
    return found
