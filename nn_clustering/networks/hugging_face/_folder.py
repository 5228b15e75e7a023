"""A folder as Hugging Face's libraries write one, checked before any weight is read."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import in_units, memory_bytes
from nn_clustering.networks.hugging_face._architecture import Architecture
from nn_clustering.networks.hugging_face._kinds import architecture_of
from nn_clustering.networks.hugging_face._layer_weights import layer_weights
from nn_clustering.networks.hugging_face._tensor_files import (
    INDEX,
    Expected,
    Tensor,
    read_json,
    tensors_in,
)

CONFIG = "config.json"
PREPROCESSING = "preprocessor_config.json"
# Bytes held at a time for each number: the network, its file, and that as it is sent.
_BYTES_A_NUMBER = 16
_HASHED_AT_A_TIME = 2**22
# How many names of tensors a message has.
_N_NAMED = 3


@dataclass(frozen=True)
class HuggingFaceFolder:
    """A network in a folder, of a kind that is known, with all the tensors that it needs.

    Attributes:
        path: The folder.
        architecture: What the network is made of.
        tensors: What its files hold, by name.
        unread: Names of tensors that play no part in it, as of another head.
        checksums: The SHA-256 of every file that is read, by name.
        preprocessing: What is done to pixels before it reads them, where the folder says so.
    """

    path: Path
    architecture: Architecture
    tensors: dict[str, Tensor] = field(repr=False)
    unread: tuple[str, ...]
    checksums: dict[str, str]
    preprocessing: str | None = None

    @property
    def digest(self) -> str:
        """The SHA-256 of the names and checksums of all files, in hexadecimal."""
        return hashlib.sha256(json.dumps(self.checksums, sort_keys=True).encode()).hexdigest()


def is_hugging_face_folder(path: Path | str) -> bool:
    """Return whether there is a folder with a config.json."""
    return Path(path, CONFIG).is_file()


def read_hugging_face_folder(path: Path | str) -> HuggingFaceFolder:
    """Read what a folder says of its network, and which tensors it holds; no weights yet.

    Raises:
        InvalidInputError: If the network is of no known kind, its weights are pickled, damaged,
            missing, of other shapes than its config says or more than the memory holds, or it has
            blocks of more than is known of them.
    """
    path = Path(path)
    architecture = architecture_of(read_json(path / CONFIG), str(path / CONFIG))
    tensors = tensors_in(path)
    unread = _checked(architecture, tensors, str(path))
    files = {CONFIG, *(tensor.file for tensor in tensors.values())}
    files |= {name for name in (INDEX, PREPROCESSING) if (path / name).is_file()}
    return HuggingFaceFolder(
        path,
        architecture,
        tensors,
        unread,
        {name: _sha256(path / name) for name in sorted(files)},
        _preprocessing(path, architecture),
    )


def _checked(
    architecture: Architecture, tensors: dict[str, Tensor], source: str
) -> tuple[str, ...]:
    """Check that all tensors are there, and return the names of those that are not read."""
    if architecture.n_blocks > len(tensors):
        raise InvalidInputError(
            f"{source}: its config.json has {architecture.n_blocks:,} blocks, and its files hold "
            f"{len(tensors):,} tensors; expected those of one network"
        )
    names = architecture.names
    expected = Expected(tensors, names.prefix, source)
    for _ in layer_weights(architecture, expected):
        pass
    if expected.missing:
        raise InvalidInputError(
            f"{source} lacks {_named(expected.missing)}; expected all tensors of a "
            f"{architecture.kind} of {architecture.n_blocks} blocks"
        )
    inner = names.block.split("{}")[0]
    spare = sorted(
        name
        for name in tensors.keys() - expected.taken
        if not name.endswith(names.buffers or ("\0",))
    )
    in_blocks = [name for name in spare if name.removeprefix(names.prefix).startswith(inner)]
    if in_blocks:
        raise InvalidInputError(
            f"{source} has {_named(in_blocks)} beside what a {architecture.kind} of "
            f"{architecture.n_blocks} blocks has; expected a network of that kind, with what was "
            "trained beside it merged into its matrices"
        )
    _check_memory(expected.n_numbers, source)
    return tuple(spare)


def _named(names: list[str]) -> str:
    more = len(names) - _N_NAMED
    plural = f"the tensors {', '.join(names[:_N_NAMED])}" if len(names) > 1 else names[0]
    return plural + (f" and {more:,} more" if more > 0 else "")


def _check_memory(n_numbers: int, source: str) -> None:
    needed, there = n_numbers * _BYTES_A_NUMBER, memory_bytes()
    if needed > there:
        raise InvalidInputError(
            f"{source} has {n_numbers:,} weights, which need {in_units(needed)} of memory while "
            f"they are imported, and there are {in_units(there)}; expected a smaller network"
        )


def _sha256(path: Path) -> str:
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_HASHED_AT_A_TIME):
            sha.update(part)
    return sha.hexdigest()


def _preprocessing(path: Path, architecture: Architecture) -> str | None:
    """Return the style in which pixels are read, where mean and deviation are those of one."""
    if architecture.patches is None or not (path / PREPROCESSING).is_file():
        return None
    said = read_json(path / PREPROCESSING)
    found = tuple(said.get("image_mean") or ()), tuple(said.get("image_std") or ())
    styles = {
        ((0.5,) * 3, (0.5,) * 3): "tf",
        ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)): "torch",
        ((0.0,) * 3, (1.0,) * 3): "unit",
    }
    return styles.get(found)
