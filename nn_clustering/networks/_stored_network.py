"""What a network's file holds: the layers' config and their weights; needs no Keras, runs no code.

Nothing is inflated, or read out of an HDF5 file, before it is known to be of a sensible size.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks._hdf5_networks import (
    NotANetworkError,
    count_numbers,
    is_hdf5,
    text_attributes,
)

# A config of a thousand layers takes some 2 MB, and each of its bytes may become 25 in memory.
_LARGEST_CONFIG = 8 * 2**20
_LARGEST_METADATA = 2**16
_MOST_MEMBERS = 10_000
# Keras does not compress weights; who does gets a tenth. Zeros get a thousandth.
_LARGEST_RATIO = 100
_ALWAYS_INFLATED = 64 * 2**20
_DEEPEST_CONFIG = 300
_WEIGHTS = "model.weights.h5"
_EXPECTED = "expected a network as model.save('NAME.keras') writes it"


@dataclass(frozen=True, eq=False)
class StoredNetwork:
    """A network's file in parts.

    Attributes:
        config: Of its layers, as the version that wrote it has it.
        version: Of the Keras that wrote it.
        weights: An HDF5 file with the weights.
        is_hdf5: Whether the whole file is that HDF5 file, in the order of the layers.
        n_numbers: How many numbers that file holds.
    """

    config: dict[str, Any]
    version: str
    weights: bytes = field(repr=False)
    is_hdf5: bool
    n_numbers: int

    @property
    def is_of_keras_2(self) -> bool:
        """Whether Keras 2 has written it."""
        return self.version.startswith("2.")


def stored_network(content: bytes, source: str) -> StoredNetwork:
    """Take a network's file apart.

    Args:
        content: The file.
        source: Where it comes from, for the message.

    Raises:
        InvalidInputError: If it is no network's file, is damaged, larger in memory than it can be
            for what it holds, or of a version of Keras before 2.
    """
    try:
        found = _from_hdf5(content) if is_hdf5(content) else _from_archive(content)
        _check_depth(found.config)
        if found.version.startswith(("0.", "1.")):
            raise NotANetworkError(
                f"was written by Keras {found.version}, whose configs Keras 3 does not read: open "
                "it with Keras 2 where it was made, and write it with model.save('NAME.h5')"
            )
    except NotANetworkError as error:
        raise InvalidInputError(f"{source} {error}") from error.__cause__
    return found


def _from_hdf5(content: bytes) -> StoredNetwork:
    attributes = text_attributes(content, longest=_LARGEST_CONFIG)
    return StoredNetwork(
        config=_config_in(attributes["model_config"], "its attribute model_config"),
        version=attributes.get("keras_version", "2.0"),
        weights=content,
        is_hdf5=True,
        n_numbers=count_numbers(content, most_bytes=_most_bytes(len(content))),
    )


def _from_archive(content: bytes) -> StoredNetwork:
    if not content.startswith(b"PK"):
        raise NotANetworkError(_what_else(content))
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OverflowError) as error:
        raise NotANetworkError(
            f"is damaged: it is no whole archive ({in_one_line(error)}); copy it again from where "
            "it was made"
        ) from error
    with archive:
        members = archive.namelist()
        if len(members) > _MOST_MEMBERS:
            raise NotANetworkError(f"holds {len(members):,} files; {_EXPECTED}")
        if "config.json" not in members:
            raise NotANetworkError(_what_other_archive(members))
        metadata = {}
        if "metadata.json" in members:
            text = _inflated(archive, "metadata.json", _LARGEST_METADATA)
            metadata = _config_in(text, "its metadata.json")
        config = _config_in(_inflated(archive, "config.json", _LARGEST_CONFIG), "its config.json")
        if _WEIGHTS not in members:
            raise NotANetworkError(
                f"holds layers but no weights ({_WEIGHTS}): write it again where it was made, with "
                "model.save('NAME.keras')"
            )
        largest = _most_bytes(archive.getinfo(_WEIGHTS).compress_size)
        weights = _inflated(archive, _WEIGHTS, largest)
    if not is_hdf5(weights):
        raise NotANetworkError(f"is damaged: its {_WEIGHTS} is no HDF5 file; copy it again")
    return StoredNetwork(
        config=config,
        version=str(metadata.get("keras_version", "3.0")),
        weights=weights,
        is_hdf5=False,
        n_numbers=count_numbers(weights, most_bytes=_most_bytes(len(weights))),
    )


def _most_bytes(stored: int) -> int:
    """Return how many bytes may be made of so many that are stored."""
    return max(_ALWAYS_INFLATED, _LARGEST_RATIO * stored)


def _inflated(archive: zipfile.ZipFile, name: str, largest: int) -> bytes:
    """Return the content of a member, no more than so many bytes, whatever it says of itself."""
    info = archive.getinfo(name)
    too_large = NotANetworkError(
        f"holds a {name} of {info.file_size:,} bytes, compressed into {info.compress_size:,}; "
        f"expected at most {largest:,}: it is no network that Keras has written"
    )
    if info.file_size > largest:
        raise too_large
    try:
        with archive.open(info) as member:
            content = member.read(largest + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise NotANetworkError(
            f"is damaged: its {name} cannot be read ({in_one_line(error)}); copy it again from "
            "where it was made"
        ) from error
    if len(content) > largest:
        raise too_large
    return content


def _config_in(text: bytes | str, where: str) -> dict[str, Any]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotANetworkError(
            f"is damaged: {where} is no JSON ({in_one_line(error)}); copy it again from where it "
            "was made"
        ) from error
    if not isinstance(config, dict):
        raise NotANetworkError(f"is no network: {where} holds a {type(config).__name__}")
    return config


def _check_depth(config: dict[str, Any]) -> None:
    """Check that what reads a config by recursion does not run out of stack."""
    waiting: list[tuple[Any, int]] = [(config, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEEPEST_CONFIG:
            raise NotANetworkError(
                f"holds layers in layers, more than {_DEEPEST_CONFIG} deep: it is no network that "
                "Keras has written"
            )
        waiting.extend((inner, depth + 1) for inner in _inside(value))


def _inside(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _what_else(content: bytes) -> str:
    """Say what a file is that is neither an archive nor HDF5."""
    if not content:
        return f"is empty; {_EXPECTED}"
    if content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05":
        return (
            "is a pickle, and to read one runs whatever code is in it: write the network where it "
            "was made, with model.save('NAME.keras')"
        )
    if content.lstrip()[:1] == b"{":
        return (
            "is text, perhaps the layers without their weights (model.to_json()): write both where "
            "it was made, with model.save('NAME.keras')"
        )
    return f"is neither an archive nor an HDF5 file; {_EXPECTED}, or model.save('NAME.h5')"


def _what_other_archive(members: list[str]) -> str:
    """Say what an archive is that is not one of Keras."""
    if any(name.endswith((".pkl", ".pickle")) for name in members):
        return (
            "is an archive of PyTorch, whose data.pkl is a pickle that runs code when it is read: "
            "rebuild the network of Keras' layers, and write it with model.save('NAME.keras')"
        )
    if any(name.endswith(".npy") for name in members):
        return (
            "holds arrays of NumPy and no layers: build the network, put the arrays into it "
            "(model.set_weights) and write it with model.save('NAME.keras')"
        )
    return f"is an archive without config.json; {_EXPECTED}"
