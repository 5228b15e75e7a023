"""Weights out of a file into a network that is built: of Keras 2 or 3, with its layers or without.

What is in a file of Keras 2 is told by its place among the layers, not by names: those are not the
same in two versions of a package.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks._hdf5_networks import NotANetworkError, count_numbers
from nn_clustering.networks._keras_files import check_finite, network_from_bytes
from nn_clustering.networks._read_file import read_file

if TYPE_CHECKING:
    import h5py

# Keras does not compress weights; zeros that someone else did get a thousandth.
_LARGEST_RATIO = 100


@dataclass(frozen=True, eq=False)
class _Stored:
    """The weights of a layer in a file.

    Attributes:
        name: Of the layer, in the file.
        arrays: Trainable ones first.
    """

    name: str
    arrays: tuple[NDArray[Any], ...] = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} {_shapes(array.shape for array in self.arrays)}"


def load_weights(network: keras.Model, path: Path | str) -> None:
    """Put the weights of a file into a network.

    Args:
        network: The network.
        path: Weights alone of Keras 2 (``.h5``: told by their place) or Keras 3 (``.weights.h5``),
            or a whole network of either, whose weights alone are used.

    Raises:
        InvalidInputError: If there is no such file, it holds no weights, others than the network
            has, or some that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInputError(
            f"weights={str(path)!r} is not there; expected imagenet, random, or a file of weights: "
            ".h5, .weights.h5 or .keras"
        )
    try:
        kind = _kind(path)
        if kind == "weights of Keras 3":
            _load_as_keras_3(network, path)
        else:
            stored = _of_network(path) if kind == "network" else _of_keras_2(path)
            _assign(network, _by_layer(network, stored), str(path))
    except NotANetworkError as error:
        raise InvalidInputError(f"{path} {error}") from error
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read ({in_one_line(error)})") from error
    check_finite(network, str(path))


def _kind(path: Path) -> str:
    import h5py

    if not h5py.is_hdf5(path):
        return "network"  # or none, of which it is said what else it is
    # Also that all numbers are its own: nothing is followed into other files.
    count_numbers(path, most_bytes=_LARGEST_RATIO * path.stat().st_size)
    with h5py.File(path, "r") as file:
        if _has(file, "layer_names") or "model_weights" in file:
            return "weights of Keras 2"
        if {"layers", "_layer_checkpoint_dependencies", "vars"} & set(file):
            return "weights of Keras 3"
    return "network"


def _of_network(path: Path) -> list[_Stored]:
    network = network_from_bytes(read_file(path), str(path))
    return [
        _Stored(layer.name, tuple(keras.ops.convert_to_numpy(variable) for variable in variables))
        for layer, variables in _weighted(network)
    ]


def _of_keras_2(path: Path) -> list[_Stored]:
    import h5py

    with h5py.File(path, "r") as file:
        weights = file.get("model_weights", file)
        layers = [(name, weights[name]) for name in _texts(weights, "layer_names")]
        found = [
            _Stored(name, tuple(np.asarray(group[key]) for key in _texts(group, "weight_names")))
            for name, group in layers
        ]
    return [layer for layer in found if layer.arrays]


def _has(group: "h5py.Group", name: str) -> bool:
    return name in group.attrs or f"{name}0" in group.attrs


def _texts(group: "h5py.Group", name: str) -> list[str]:
    """Return an attribute that is a list of texts; Keras parts what is too long for one."""
    if name in group.attrs:
        parts = [group.attrs[name]]
    else:
        keys = (f"{name}{index}" for index in range(len(group.attrs)))
        parts = [group.attrs[key] for key in keys if key in group.attrs]
    return [
        text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
        for part in parts
        for text in part
    ]


def _weighted(network: keras.Model) -> Iterator[tuple[keras.Layer, list[Any]]]:
    """Yield the layers that have weights with these, in the order in which files have them."""
    for layer in network.layers:
        variables = layer.trainable_weights + layer.non_trainable_weights
        if variables:
            yield layer, variables


def _by_layer(network: keras.Model, stored: Sequence[_Stored]) -> list[_Stored]:
    """Return what a file holds with the parts of convolutions in groups put together.

    Some packages had a convolution for each group.
    """
    found = list(stored)
    for index, (layer, variables) in enumerate(_weighted(network)):
        n_groups = getattr(layer, "groups", 1)
        parts = found[index : index + n_groups]
        *_, n_filters = variables[0].shape
        part = (*variables[0].shape[:-1], n_filters // n_groups)
        are_parts = n_groups > 1 and all(
            [array.shape for array in stored.arrays] == [part] for stored in parts
        )
        if are_parts and len(variables) == 1 and len(parts) == n_groups:
            whole = np.concatenate([stored.arrays[0] for stored in parts], axis=-1)
            found[index : index + n_groups] = [_Stored(parts[0].name, (whole,))]
    return found


def _assign(network: keras.Model, stored: Sequence[_Stored], source: str) -> None:
    layers = list(_weighted(network))
    for found, expected in zip_longest(stored, layers):
        if (
            found is None
            or expected is None
            or [array.shape for array in found.arrays]
            != [tuple(variable.shape) for variable in expected[1]]
        ):
            own = "no more" if expected is None else _in_words(*expected)
            raise InvalidInputError(
                f"{source} does not fit {network.name}: it holds the weights of {len(stored)} "
                f"layers, and the network has {len(layers)}; the first that differs is "
                f"{'missing' if found is None else found} in the file, {own} in the network"
            )
    for found, (layer, variables) in zip(stored, layers, strict=True):
        for variable, array in zip(variables, found.arrays, strict=True):
            variable.assign(array)
        if hasattr(layer, "finalize_state"):  # of what it computes with, from its weights
            layer.finalize_state()


def _load_as_keras_3(network: keras.Model, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder, "own.weights.h5")
        network.save_weights(own)
        expected, found = _arrays(own), _arrays(path)
    differing = [
        name for name in dict.fromkeys([*expected, *found]) if expected.get(name) != found.get(name)
    ]
    if differing:
        first = differing[0]
        own_shape, shape = (shapes.get(first, "missing") for shapes in (expected, found))
        raise InvalidInputError(
            f"{path} does not fit {network.name}: it holds {len(found)} arrays of weights, and the "
            f"network has {len(expected)}; the first that differs is {first}, {shape} in the file, "
            f"{own_shape} in the network"
        )
    network.load_weights(path)


def _arrays(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the arrays in a file by name, without those of random generators."""
    import h5py

    found: dict[str, tuple[int, ...]] = {}

    def note(name: str, entry: object) -> None:
        if isinstance(entry, h5py.Dataset) and "seed_generator" not in name:
            found[name] = tuple(entry.shape)

    with h5py.File(path, "r") as file:
        file.visititems(note)
    return found


def _in_words(layer: keras.Layer, variables: Sequence[Any]) -> str:
    return f"{layer.name} {_shapes(variable.shape for variable in variables)}"


def _shapes(shapes: Any) -> str:
    return ", ".join(str(tuple(shape)) for shape in shapes)
