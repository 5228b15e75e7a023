"""Modular initialisation: weights larger within modules than between them (methods A15)."""

import keras
import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks._network_settings import check_modular_initialisation
from nn_clustering.networks.structure import WeightLayer, find_weight_layers
from nn_clustering.seeds import generator


def modular_initialisation(
    network: keras.Model,
    *,
    n_modules: int = 10,
    down: float | None = None,
    all_layers: bool = False,
    seed: int,
) -> None:
    """Scale a network's initial weights, in place, by the modules of the units they join.

    Every unit, inputs included, is put into a module at random, the outputs in turn. A weight
    between two units of one module is multiplied by ``up = 1 + (1 - down) (n_modules - 1)``, any
    other by ``down``, so that the expected factor is 1. A filter's kernel on a channel is
    multiplied as a whole; behind a flatten every position has the module of its channel. Biases
    stay.

    Args:
        network: A chain of layers (sequential, or functional without branches).
        n_modules: Number of modules, 2 or more.
        down: Factor between modules, from 0 to below 1; by default the studies', 0.6 in a network
            without convolutions and 0.8 in one with them.
        all_layers: Whether all weights are scaled, as in the studies' networks that were not
            trained. Without it, as in those that were trained, the first layer's stay as they
            are, and so do the dense layers' of a network with convolutions (quirk 4).
        seed: Fixes the modules.

    Raises:
        InvalidInputError: If a value is out of range, a layer is not supported, or no weights would
            be scaled.
    """
    check_modular_initialisation(n_modules=n_modules, down=down, all_layers=all_layers)
    layers = find_weight_layers(network)
    convolutions = [layer for layer in layers if layer.is_convolution]
    scaled = layers if all_layers else (convolutions or layers)[1:]
    if not scaled:
        raise InvalidInputError(
            f"modular_init of network {network.name!r}: it has {len(layers)} layers with weights, "
            "and none but the first that could be scaled; expected more layers, or "
            "modular_init.all_layers=True"
        )
    if down is None:
        down = 0.8 if convolutions else 0.6
    up = 1 + (1 - down) * (n_modules - 1)
    names_of_scaled = {layer.name for layer in scaled}
    incoming = _random_modules(layers[0].kernel.shape[-2], n_modules, seed, 0)
    for index, layer in enumerate(layers, start=1):
        modules = _random_modules(layer.n_units, n_modules, seed, index)
        if layer is layers[-1]:
            modules = np.arange(layer.n_units) % n_modules
        if layer.name in names_of_scaled:
            same = _per_input(incoming, layer)[:, None] == modules
            kernel = network.get_layer(layer.name).kernel
            kernel.assign(kernel * np.where(same, up, down).astype(np.float32))
        incoming = modules


def _random_modules(n_units: int, n_modules: int, seed: int, layer: int) -> NDArray[np.integer]:
    return generator(seed, "modular initialisation", layer).integers(n_modules, size=n_units)


def _per_input(modules: NDArray[np.integer], layer: WeightLayer) -> NDArray[np.integer]:
    """Return the module of everything a layer reads: units, or all positions of channels."""
    # A flatten puts the channels of the first position first, then those of the second.
    return np.tile(modules, layer.kernel.shape[-2] // modules.size)
