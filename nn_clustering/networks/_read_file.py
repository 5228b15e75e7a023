"""A network's file, read and told from what is none; needs no Keras."""

from pathlib import Path

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks._stored_network import stored_network


def read_file(path: Path | str) -> bytes:
    """Return the content of a network's file, as Keras 2 or 3 writes one.

    Raises:
        InvalidInputError: If there is no such file, or it holds no network that can be read.
    """
    path = Path(path)
    _check_place(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be read ({error.strerror}); expected a file that this user may read"
        ) from error
    # Keras itself would say so only once TensorFlow is imported, when a run has begun.
    stored_network(content, str(path))
    return content


def _check_place(path: Path) -> None:
    if (path / "saved_model.pb").is_file():
        raise InvalidInputError(
            f"{path} is a SavedModel folder, which holds operations of TensorFlow and no layers: "
            "read it where it was made, keras.models.load_model(FOLDER) of Keras 2, and write it "
            "there with model.save('NAME.h5')"
        )
    if (path / "config.json").is_file():
        raise InvalidInputError(
            f"{path} is a folder of Hugging Face's: import it first, with the stage import_network "
            f"and model={path}, and go on with train_run=ID"
        )
    if path.is_dir():
        raise InvalidInputError(
            f"{path} is a folder; expected a file, as model.save('NAME.keras') writes it"
        )
    if not path.is_file():
        raise InvalidInputError(
            f"{path} is not there; expected a network as model.save('NAME.keras') writes it, in "
            f"{path.resolve().parent}"
        )
