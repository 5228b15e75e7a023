"""The content of a ``.keras`` file; needs no Keras."""

import zipfile
from pathlib import Path

from nn_clustering.errors import InvalidInputError


def read_file(path: Path | str) -> bytes:
    """Return the content of a ``.keras`` file.

    Raises:
        InvalidInputError: If there is no such file, or it is no archive as such a file is.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise InvalidInputError(
            f"{path} is not there, or not a .keras file; expected a network as "
            "model.save('NAME.keras') writes it"
        )
    # Keras itself would say so only once TensorFlow is imported, when a run has begun.
    if not zipfile.is_zipfile(path):
        raise InvalidInputError(
            f"{path} cannot be read as a Keras network (it is no whole archive): save it again "
            "with model.save('NAME.keras')"
        )
    return path.read_bytes()
