"""Networks in and out of ``.keras`` files, which hold no code and no pickle."""

import tempfile
from pathlib import Path

import keras

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks._read_file import read_file


def read_network(path: Path | str) -> keras.Model:
    """Read a network from a ``.keras`` file, as ``keras.Model.save`` writes it.

    Raises:
        InvalidInputError: If there is no such file, or Keras cannot read it.
    """
    return network_from_bytes(read_file(path), str(path))


def network_from_bytes(content: bytes, source: str) -> keras.Model:
    """Read a network from the content of a ``.keras`` file.

    Args:
        content: The content.
        source: Where it comes from, for the message.

    Raises:
        InvalidInputError: If Keras cannot read it.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        path.write_bytes(content)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises whatever zipfile, json, h5py or a layer raises
            reason = in_one_line(error).replace(str(path), "it")
            raise InvalidInputError(
                f"{source} cannot be read as a Keras network ({reason}): save "
                "it again with model.save('NAME.keras')"
            ) from error


def network_bytes(network: keras.Model) -> bytes:
    """Return the content of the network's ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        network.save(path)
        return path.read_bytes()
