"""What a name is that is none of the catalogue: a folder, a file, or a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nn_clustering.datasets._data_files import dataset_folders
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets._settings import Settings
from nn_clustering.datasets.own import _folders, _functions, _npz, _prepared, _tables, _texts
from nn_clustering.datasets.own._request import Request
from nn_clustering.errors import InvalidInputError
from nn_clustering.user_functions import is_dotted_name


@dataclass(frozen=True)
class Kind:
    """A kind of data.

    Attributes:
        about: How to speak of it.
        read: Reads it; the samples themselves, where they may be many, when they are needed.
        outline: Says what is known of it without reading it, and checks what can be checked so.
        takes: Settings that act on it, besides seed, n_train and n_test.
        fitted: Those of them that a network's input decides where nobody says otherwise.
    """

    about: str
    read: Callable[[Request], Dataset]
    outline: Callable[[Request], Outline]
    takes: frozenset[str]
    fitted: tuple[str, ...] = ()


OF_IMAGES = frozenset({"channels", "image_size", "resize"})
OF_CLASSES = frozenset({"per_class", "class_names"})

FOLDER = Kind(
    "a folder of images, one folder a class",
    _folders.read,
    _folders.outline,
    OF_IMAGES | OF_CLASSES | {"damaged"},
    ("image_size", "channels"),
)
PREPARED = Kind(
    "a folder that TensorFlow Datasets prepared",
    _prepared.read,
    _prepared.outline,
    OF_IMAGES | OF_CLASSES | {"damaged"},
    ("image_size", "channels"),
)
NPZ = Kind("an .npz file", _npz.read, _npz.outline, OF_IMAGES | OF_CLASSES, ("image_size",))
TABLE = Kind("a table", _tables.read, _tables.outline, OF_CLASSES | {"targets", "damaged"})
TEXT = Kind(
    "a text",
    _texts.read,
    _texts.outline,
    frozenset({"length", "train_share"}),
    ("length",),
)
FUNCTION = Kind(
    "a function", _functions.read, _functions.outline, OF_IMAGES | OF_CLASSES, ("image_size",)
)
# By the ending of a file's name.
OF_FILES = {
    ".npz": NPZ,
    ".csv": TABLE,
    ".parquet": TABLE,
    ".txt": TEXT,
}
EXPECTED = (
    "a folder of images (FOLDER/CLASS/*.jpg, or FOLDER/train/CLASS/*.jpg and FOLDER/test/...), a "
    "folder that TensorFlow Datasets prepared, an .npz, .csv, .parquet or .txt file, or a "
    "function by its dotted name"
)


@dataclass(frozen=True)
class Found:
    """Data that a name speaks of.

    Attributes:
        name: The name, as a config has it.
        kind: What it is.
        path: Where it is; None of a function.
    """

    name: str
    kind: Kind
    path: Path | None

    def outline(self, settings: Settings) -> Outline:
        """Return what is known of it without reading it.

        Raises:
            InvalidInputError: If something is asked that it has not.
        """
        return self.kind.outline(self._request(settings))

    def read(self, settings: Settings) -> Dataset:
        """Read it.

        Raises:
            InvalidInputError: If something is asked that it has not, or it is damaged.
        """
        return self.kind.read(self._request(settings))

    def _request(self, settings: Settings) -> Request:
        settings.check_act(self.kind.takes, f"{self.name}, {self.kind.about}")
        return Request(self.name, self.path, settings)


def find(name: str) -> Found | None:
    """Return what a name speaks of: a path, looked for in the current folder and those of data.

    Args:
        name: The name, which is none of the catalogue.

    Returns:
        None if there is no such file, and it is no name of a function either.

    Raises:
        InvalidInputError: If there is such a file or folder and it is nothing that can be read,
            or the name can only be that of a file that is not there.
    """
    path = _path_of(name)
    if path is not None:
        return Found(name, _kind_of(name, path), path)
    if "/" in name or name.startswith("~") or Path(name).suffix.lower() in OF_FILES:
        places = [name] if Path(name).is_absolute() else list(map(str, _places()))
        raise InvalidInputError(
            f"dataset.name={name!r}: there is no such file or folder"
            f"{'' if Path(name).is_absolute() else ' in ' + ', '.join(places)}; expected {EXPECTED}"
        )
    return Found(name, FUNCTION, None) if is_dotted_name(name) else None


def _places() -> list[Path]:
    return [Path.cwd(), *dataset_folders()]


def _path_of(name: str) -> Path | None:
    if not name or "\0" in name:
        return None
    candidates = (folder / Path(name).expanduser() for folder in _places())
    return next((path for path in candidates if path.exists()), None)


def _kind_of(name: str, path: Path) -> Kind:
    if path.is_dir():
        return PREPARED if _prepared.version_folder(path) is not None else FOLDER
    kind = OF_FILES.get(path.suffix.lower())
    if kind is None:
        raise InvalidInputError(f"dataset.name={name!r}: {path} is no data; expected {EXPECTED}")
    return kind
