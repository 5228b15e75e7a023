"""Networks in and out of ``.keras`` files, which hold no code and no pickle."""

import tempfile
from pathlib import Path
from typing import Protocol

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


class StoredRun(Protocol):
    """A run that artifacts are stored with, as `nn_clustering.tracking.Run`."""

    @property
    def id(self) -> int:
        """The run's number."""

    def artifact(self, name: str) -> bytes:
        """Return the content of an artifact."""


def network_of_run(run: StoredRun, name: str) -> keras.Model:
    """Read a network that a run has stored.

    Args:
        run: From the run store.
        name: Name of the artifact, with or without ``.keras``.

    Raises:
        RunNotFoundError: If the run has no such artifact.
        DamagedArtifactError: If the content is not what was stored.
        InvalidInputError: If the artifact is no network.
    """
    file_name = name if name.endswith(".keras") else f"{name}.keras"
    return network_from_bytes(run.artifact(file_name), f"{file_name} of run {run.id}")


def network_bytes(network: keras.Model) -> bytes:
    """Return the content of the network's ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        network.save(path)
        return path.read_bytes()
