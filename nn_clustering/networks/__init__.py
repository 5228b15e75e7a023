"""Networks as plain Keras models: builders of the studies' architectures, and reading of files."""

from nn_clustering.networks._builders import BUILDERS, build_network
from nn_clustering.networks._files import (
    network_bytes,
    network_from_bytes,
    read_file,
    read_network,
)

__all__ = [
    "BUILDERS",
    "build_network",
    "network_bytes",
    "network_from_bytes",
    "read_file",
    "read_network",
]
