"""The content of a ``.keras`` file; needs no Keras."""

from pathlib import Path

from nn_clustering.errors import InvalidInputError


def read_file(path: Path | str) -> bytes:
    """Return the content of a ``.keras`` file.

    Raises:
        InvalidInputError: If there is no such file.
    """
    path = Path(path)
    if path.suffix != ".keras" or not path.is_file():
        raise InvalidInputError(
            f"{path} is not there, or not a .keras file; expected a network as "
            "model.save('NAME.keras') writes it"
        )
    return path.read_bytes()
