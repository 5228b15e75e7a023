"""HDF5 files of networks, looked at before anything large is read out of them."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nn_clustering.errors import NnClusteringError, in_one_line

if TYPE_CHECKING:
    import h5py

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_ENTRIES = 200_000
# Of a network in a network in a network; every layer is three deep.
_DEEPEST = 100
_DAMAGED = "is damaged: its HDF5 cannot be read ({}); copy it again from where it was made"


class NotANetworkError(NnClusteringError):
    """A file is no network's; the message goes on behind its name."""


def is_hdf5(content: bytes) -> bool:
    """Return whether a file is HDF5."""
    return content.startswith(_SIGNATURE)


def text_attributes(content: bytes, *, longest: int) -> dict[str, str]:
    """Return ``model_config``, and ``keras_version`` if there is one, of a whole network's file.

    Args:
        content: The HDF5 file.
        longest: How many bytes each may have.

    Raises:
        NotANetworkError: If there is no ``model_config``, it is too long, or the file is damaged.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            if "model_config" not in file.attrs:
                raise NotANetworkError(_without_config(file))
            names = [name for name in ("model_config", "keras_version") if name in file.attrs]
            return {name: _text_of(file, name, longest) for name in names}
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise NotANetworkError(_DAMAGED.format(in_one_line(error))) from error


def count_numbers(content: bytes | Path, *, most_bytes: int) -> int:
    """Return how many numbers an HDF5 file holds; what it says of itself is not believed.

    Args:
        content: The file, or its path.
        most_bytes: How many bytes its numbers may take in memory.

    Raises:
        NotANetworkError: If they take more, come from other files, or the file is damaged.
    """
    import h5py

    n_numbers = n_bytes = 0
    try:
        with h5py.File(io.BytesIO(content) if isinstance(content, bytes) else content, "r") as file:
            for entry in _datasets(file):
                if entry.external or entry.is_virtual:
                    raise NotANetworkError(
                        f"takes {entry.name} from another file; expected all weights in one"
                    )
                size = entry.size or 0  # of an array without a shape there is no size
                n_numbers += size
                n_bytes += size * max(entry.dtype.itemsize, 1)
                if n_bytes > most_bytes:
                    raise NotANetworkError(
                        f"says that it holds {n_bytes:,} bytes of weights, which are more than it "
                        "has room for: it is no network that Keras has written"
                    )
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise NotANetworkError(_DAMAGED.format(in_one_line(error))) from error
    return n_numbers


def _datasets(file: "h5py.File") -> "Iterator[h5py.Dataset]":
    """Yield the arrays of a file, which must hold them itself."""
    import h5py

    waiting: list[tuple[h5py.Group, int]] = [(file, 0)]
    n_entries = 0
    while waiting:
        group, depth = waiting.pop()
        n_entries += len(group)
        if n_entries > _MOST_ENTRIES or depth > _DEEPEST:
            raise NotANetworkError(
                f"holds more than {_MOST_ENTRIES:,} arrays, or groups more than {_DEEPEST} deep: "
                "it is no network that Keras has written"
            )
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise NotANetworkError(
                    f"takes {group.name}/{name} from elsewhere; expected all weights in one file"
                )
            entry = group[name]
            if isinstance(entry, h5py.Group):
                waiting.append((entry, depth + 1))
            elif isinstance(entry, h5py.Dataset):
                yield entry


def _without_config(file: "h5py.File") -> str:
    """Say what an HDF5 file is that has no ``model_config``."""
    names, attributes = set(file), set(file.attrs)
    weights_of_keras_3 = {"layers", "_layer_checkpoint_dependencies", "vars"} & names
    if weights_of_keras_3 or "layer_names" in attributes:
        return (
            "holds weights only, without the layers that they belong to (save_weights): build the "
            "network, model.load_weights it, and write both with model.save('NAME.keras')"
        )
    held = ", ".join(sorted(names)[:3])
    return (
        f"is an HDF5 file of something else than a Keras network ({held or 'it is empty'}); "
        "expected one that model.save('NAME.h5') has written"
    )


def _text_of(file: "h5py.File", name: str, longest: int) -> str:
    # of a text of no fixed length the place alone is stored here, and the file holds the text
    if file.attrs.get_id(name).get_storage_size() <= longest:
        value = file.attrs[name]
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        if len(text) <= longest:
            return text
    raise NotANetworkError(
        f"holds a {name} of more than {longest:,} bytes: it is no network that Keras has written"
    )
