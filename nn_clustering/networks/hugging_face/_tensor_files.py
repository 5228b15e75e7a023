"""The tensors in a folder's safetensors files, told by their headers before any is read."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks.hugging_face._layer_weights import Weights

ONE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# By the name that safetensors has for them.
_FLOATS = ("F64", "F32", "F16", "BF16")
# Files that are pickled, or can be.
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file.

    Attributes:
        file: Name of the file.
        shape: Its shape.
        dtype: Its type, as safetensors calls it.
    """

    file: str
    shape: tuple[int, ...]
    dtype: str


def tensors_in(folder: Path) -> dict[str, Tensor]:
    """Return what tensors a folder's files hold, by name.

    Raises:
        InvalidInputError: If there are none, a file that the index names is not there, or one is
            damaged.
    """
    found: dict[str, Tensor] = {}
    for name in _file_names(folder):
        for tensor, described in _header(folder / name).items():
            if tensor in found:
                raise InvalidInputError(
                    f"{folder} holds the tensor {tensor} twice, in {found[tensor].file} and "
                    f"{name}; expected the files of one network"
                )
            found[tensor] = described
    return found


def _file_names(folder: Path) -> list[str]:
    if (folder / INDEX).is_file():
        return _named_by_index(folder)
    if (folder / ONE_FILE).is_file():
        return [ONE_FILE]
    files = sorted(path.name for path in folder.iterdir())
    pickled = next((name for name in files if name.endswith(_PICKLED)), None)
    if pickled is not None:
        raise InvalidInputError(
            f"{folder} has its weights in {pickled}, which is read by running what it says; "
            f"expected {ONE_FILE}: write it where it was made, with "
            "model.save_pretrained(FOLDER, safe_serialization=True)"
        )
    raise InvalidInputError(
        f"{folder} has a config.json and no weights; expected {ONE_FILE}, or {INDEX} with the "
        "files that it names"
    )


def read_json(path: Path) -> Mapping[str, Any]:
    """Return what a JSON file holds.

    Raises:
        InvalidInputError: If it is no JSON, or no object.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path} cannot be read ({in_one_line(error)})") from error
    if not isinstance(content, Mapping):
        raise InvalidInputError(f"{path} holds {type(content).__name__}; expected an object")
    return content


def _named_by_index(folder: Path) -> list[str]:
    named = read_json(folder / INDEX).get("weight_map")
    if not isinstance(named, Mapping) or not named:
        raise InvalidInputError(f"{folder / INDEX} names no files; expected its weight_map")
    files = sorted({str(name) for name in named.values()})
    for name in files:
        # a name that leads out of the folder is no file of it
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise InvalidInputError(
                f"{folder / INDEX} names the file {name!r}; expected names as "
                "model-00001-of-00002.safetensors, in the same folder"
            )
        if not (folder / name).is_file():
            raise InvalidInputError(
                f"{folder} has no {name}, one of {len(files)} files that {INDEX} names; put it "
                "there"
            )
    return files


def _header(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Tensor(path.name, tuple(one.get_shape()), str(one.get_dtype()))
                for name, one in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise InvalidInputError(
            f"{path} is no whole safetensors file ({in_one_line(error)}); expected one as "
            "save_pretrained writes it: fetch it again, and what Git LFS stands in for"
        ) from error


class Expected:
    """Compares the tensors that a network needs with those that there are; reads none.

    Attributes:
        taken: Names of those that are there.
        missing: Names of those that are not.
        n_numbers: How many numbers the network needs.
    """

    def __init__(self, found: Mapping[str, Tensor], prefix: str, source: str) -> None:
        """Begin.

        Args:
            found: Those that there are.
            prefix: What their names may begin with.
            source: The folder, for messages.
        """
        self._found = found
        self._prefix = prefix
        self._source = source
        self._n_held = sum(math.prod(tensor.shape) for tensor in found.values())
        self.taken: set[str] = set()
        self.missing: list[str] = []
        self.n_numbers = 0

    def take(self, name: str, shape: tuple[int, ...]) -> Weights:
        """Return zeros of a shape, which take no memory.

        Raises:
            InvalidInputError: If the tensor has another shape, or holds whole numbers, or all
                together hold less than it is to.
        """
        self.n_numbers += math.prod(shape)
        own = own_name(name, self._found, self._prefix)
        if own is None:
            self.missing.append(name)
            if math.prod(shape) > self._n_held:
                raise InvalidInputError(
                    f"{self._source} lacks {name}, of the shape {shape} by its config.json, and "
                    f"its files hold {self._n_held:,} numbers; expected those of one network"
                )
        else:
            self.taken.add(own)
            tensor = self._found[own]
            if tensor.shape != shape:
                raise InvalidInputError(
                    f"{self._source}: {own} has the shape {tensor.shape}; its config.json asks for "
                    f"{shape}"
                )
            if tensor.dtype not in _FLOATS:
                raise InvalidInputError(
                    f"{self._source}: {own} holds {tensor.dtype}; expected one of "
                    f"{', '.join(_FLOATS)}"
                )
        return np.broadcast_to(np.float32(0), shape)


def own_name(name: str, found: Mapping[str, Tensor], prefix: str) -> str | None:
    """Return the name that a folder has for a tensor: with its prefix, and of older norms."""
    older = name.removesuffix(".weight") + ".gamma", name.removesuffix(".bias") + ".beta"
    tried = [name, older[0]] if name.endswith(".weight") else [name, older[1]]
    known = (start + one for one in tried for start in (prefix, "") if start + one in found)
    return next(known, None)


class Stored:
    """Reads tensors in single precision, each when it is asked for."""

    def __init__(self, folder: Path, found: Mapping[str, Tensor], prefix: str) -> None:
        """Begin.

        Args:
            folder: Where the files are.
            found: What they hold.
            prefix: What names may begin with.
        """
        self._folder = folder
        self._found = found
        self._prefix = prefix

    def take(self, name: str, shape: tuple[int, ...]) -> Weights:
        """Return a tensor of float32.

        Raises:
            InvalidInputError: If it cannot be read any more.
        """
        import ml_dtypes  # noqa: F401  numpy knows BF16 by it
        from safetensors import SafetensorError, safe_open

        own = own_name(name, self._found, self._prefix)
        assert own is not None  # as was checked
        path = self._folder / self._found[own].file
        try:
            with safe_open(path, framework="numpy") as file:
                read = file.get_tensor(own)
        except (SafetensorError, OSError) as error:
            raise InvalidInputError(f"{path} cannot be read ({in_one_line(error)})") from error
        if read.shape != shape:
            raise InvalidInputError(f"{path} is not what it was when its run began")
        return read.astype(np.float32)  # type: ignore[no-any-return]
