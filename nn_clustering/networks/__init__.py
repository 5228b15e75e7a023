"""Networks as plain Keras models: builders of the studies' architectures, and reading of files."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nn_clustering.networks._checks import (
    ACTIVATIONS,
    NETWORK_KINDS,
    PRECISIONS,
    check_modular_initialisation,
    check_network,
)
from nn_clustering.networks._own_code import network_code
from nn_clustering.networks._read_file import read_file

if TYPE_CHECKING:
    from nn_clustering.networks._builders import build_network
    from nn_clustering.networks._files import network_bytes, network_from_bytes, read_network
    from nn_clustering.networks._modular import modular_initialisation
    from nn_clustering.networks._precision import in_float32

__all__ = [
    "ACTIVATIONS",
    "NETWORK_KINDS",
    "PRECISIONS",
    "build_network",
    "check_modular_initialisation",
    "check_network",
    "in_float32",
    "modular_initialisation",
    "network_bytes",
    "network_code",
    "network_from_bytes",
    "read_file",
    "read_network",
]

_WITH_KERAS = {
    "build_network": "_builders",
    "in_float32": "_precision",
    "modular_initialisation": "_modular",
    "network_bytes": "_files",
    "network_from_bytes": "_files",
    "read_network": "_files",
}


def __getattr__(name: str) -> Any:
    """Import Keras only for who asks for a network: settings can be checked without it."""
    if name in _WITH_KERAS:
        return getattr(import_module(f"nn_clustering.networks.{_WITH_KERAS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
