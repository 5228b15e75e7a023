"""Reading data of an .npz file in Keras' layout: where it is not compressed, out of the file."""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets._samples import Rows, Samples
from nn_clustering.datasets.own._arrays import (
    BLOCK,
    KEYS,
    Survey,
    check_keys,
    dataset_of_arrays,
    labels_of,
    with_channel_axis,
)
from nn_clustering.datasets.own._finishing import finished, outline_of
from nn_clustering.datasets.own._request import Request
from nn_clustering.datasets.own._token_arrays import (
    OF_GROUPS,
    OF_TOKENS,
    VOCABULARY,
    dataset_of_tokens,
    groups_of,
)
from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.machine import in_units, memory_bytes

# The fixed part of the header that a file in a zip archive has, and where its lengths stand.
_LOCAL_HEADER, _LENGTHS = 30, slice(26, 30)
_EXPECTED = (
    "expected the arrays x_test and y_test, and x_train and y_train where there is a train part"
)


@dataclass(frozen=True)
class Member:
    """An array of an .npz file.

    Attributes:
        path: The file.
        info: Of the array's own file in it.
        shape: Of the array.
        dtype: Of its values.
        is_fortran: Whether its first axis varies fastest.
        data: Where its values begin in its own file.
    """

    path: Path
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    is_fortran: bool
    data: int

    @property
    def n_bytes(self) -> int:
        """Bytes of its values."""
        return self.dtype.itemsize * math.prod(self.shape)

    @property
    def is_in_place(self) -> bool:
        """Whether its rows lie one after the other in the file as they are."""
        return self.info.compress_type == zipfile.ZIP_STORED and not self.is_fortran


@dataclass(frozen=True, eq=False)
class StoredSamples:
    """Samples that are read out of a file, in which they lie one after the other.

    Attributes:
        path: The file.
        offset: Where they begin in it.
        shape: (samples, ...).
        dtype: Of their values.
    """

    path: Path
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __len__(self) -> int:
        """Return the number of samples."""
        return self.shape[0]

    def __getitem__(self, rows: Rows) -> NDArray[Any]:
        """Return samples as an array."""
        numbers = np.arange(len(self))[rows] if isinstance(rows, slice) else np.asarray(rows)
        found = np.empty((len(numbers), *self.shape[1:]), self.dtype)
        starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
        with self.path.open("rb", buffering=0) as file:
            for start, end in zip(starts, [*starts[1:], len(numbers)], strict=True):
                self._read(file, int(numbers[start]), found[start:end])
        return found

    def _read(self, file: IO[bytes], first: int, to: NDArray[Any]) -> None:
        file.seek(self.offset + first * self.dtype.itemsize * math.prod(self.shape[1:]))
        place = to.reshape(-1).view(np.uint8).data
        while place:
            n_read = cast(Any, file).readinto(place)
            if not n_read:
                raise InvalidInputError(
                    f"{self.path} ends before its samples do: it was changed while it is read"
                )
            place = place[n_read:]


def outline(request: Request) -> Outline:
    """Return what is known of it without reading its samples.

    Raises:
        InvalidInputError: If it is no .npz file, or not of test samples with labels.
    """
    members, others = _members(request)
    if VOCABULARY in others:
        return _outline_of_tokens(request, _tokens(request, members, others))
    with _reading(request):
        ys = {key: _array(members[key]) for key in members if key.startswith("y_")}
    labels = labels_of(request.name, ys)
    shape = with_channel_axis(members["x_test"].shape)[1:]
    n_train = members["x_train"].shape[0] if "x_train" in members else 0
    return outline_of(request, labels.task, shape, labels.names, n_train)


def read(request: Request) -> Dataset:
    """Read it; samples of a file that is not compressed, when they are needed.

    All of it is looked at once: its digest is of what the arrays hold, compressed or not.

    Raises:
        InvalidInputError: If it is damaged, or not of test samples with labels; or if it is
            compressed and larger than half of the memory there is.
    """
    members, others = _members(request)
    if VOCABULARY in others:
        return finished(_tokens(request, members, others), request)
    _check_memory(members)
    with _reading(request):
        surveys = {key: _surveyed(member) for key, member in members.items()}
        arrays = {key: _samples(key, member) for key, member in members.items()}
        named = {key: _array(member) for key, member in others.items() if key in OF_GROUPS}
    dataset = dataset_of_arrays(request.name, arrays, surveys)
    groups = groups_of(request.name, named, dataset.y_train)
    return finished(replace(dataset, groups=groups), request)


def _tokens(
    request: Request, members: Mapping[str, Member], others: Mapping[str, Member]
) -> Dataset:
    """Read tokens, all of them: they take little room."""
    whole = {**members, **others}
    _check_memory(whole, in_place=False)
    with _reading(request):
        arrays = {key: _array(member) for key, member in whole.items()}
    return dataset_of_tokens(request.name, arrays)


def _outline_of_tokens(request: Request, dataset: Dataset) -> Outline:
    return outline_of(
        request,
        dataset.task,
        dataset.input_shape,
        dataset.class_names,
        len(dataset.x_train),
        n_tokens=len(dataset.vocabulary or ()),
        answers_positions=dataset.answers_positions,
    )


@contextlib.contextmanager
def _reading(request: Request) -> Iterator[None]:
    """Say in one line what is the matter with a file."""
    try:
        yield
    except InvalidInputError:
        raise
    except Exception as error:  # whatever numpy, zipfile, zlib or the disk object to
        raise InvalidInputError(
            f"{request.file} cannot be read ({in_one_line(error)}): it is damaged, or no .npz "
            f"file; {_EXPECTED}"
        ) from error


def _members(request: Request) -> tuple[dict[str, Member], dict[str, Member]]:
    """Return the arrays of samples and labels, and those of tokens and groups, by their keys."""
    with _reading(request), zipfile.ZipFile(request.file) as archive:
        names = set(archive.namelist())
        members, others = (
            {
                key: _member(archive, request.file, f"{key}.npy")
                for key in keys
                if f"{key}.npy" in names
            }
            for keys in (KEYS, OF_TOKENS)
        )
    if not members:
        there = ", ".join(sorted(name.removesuffix(".npy") for name in names)) or "no arrays"
        raise InvalidInputError(f"{request.file} holds {there}; {_EXPECTED}")
    check_keys(request.name, members)
    return members, others


def _member(archive: zipfile.ZipFile, path: Path, name: str) -> Member:
    info = archive.getinfo(name)
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        read_header = (
            np.lib.format.read_array_header_1_0
            if version == (1, 0)
            else np.lib.format.read_array_header_2_0
        )
        shape, is_fortran, dtype = read_header(file)
        data = file.tell()
    if dtype.hasobject:
        raise InvalidInputError(
            f"{path}: {name.removesuffix('.npy')} holds Python objects, which are not read from "
            "files; expected numbers or texts in an array of one type"
        )
    return Member(path, info, shape, dtype, is_fortran, data)


def _surveyed(member: Member) -> Survey:
    """Look at a stored array once, and at whether its file is whole."""
    found = Survey()
    found.begin(member.shape, member.dtype)
    size = max(1, BLOCK // member.dtype.itemsize) * member.dtype.itemsize
    with zipfile.ZipFile(member.path) as archive, archive.open(member.info) as file:
        file.read(member.data)
        n_bytes = 0
        while block := file.read(size):
            n_bytes += len(block)
            found.add(np.frombuffer(block, member.dtype))
    if n_bytes != member.n_bytes:
        raise ValueError(f"{member.info.filename} has {n_bytes} bytes, not {member.n_bytes}")
    return found


def _array(member: Member) -> NDArray[Any]:
    with zipfile.ZipFile(member.path) as archive, archive.open(member.info) as file:
        array: NDArray[Any] = np.lib.format.read_array(file, allow_pickle=False)
    return array


def _samples(key: str, member: Member) -> Samples:
    if key.startswith("y_") or not member.is_in_place:
        return _array(member)
    with member.path.open("rb") as file:
        file.seek(member.info.header_offset)
        lengths = file.read(_LOCAL_HEADER)[_LENGTHS]
    offset = member.info.header_offset + _LOCAL_HEADER + sum(np.frombuffer(lengths, "<u2").tolist())
    return StoredSamples(
        member.path, offset + member.data, with_channel_axis(member.shape), member.dtype
    )


def _check_memory(members: Mapping[str, Member], *, in_place: bool = True) -> None:
    """Check that there is room for what has to be read as a whole."""
    whole = {
        key: member for key, member in members.items() if not (in_place and member.is_in_place)
    }
    n_bytes = sum(member.n_bytes for member in whole.values())
    if n_bytes > memory_bytes() / 2:
        path = next(iter(whole.values())).path
        raise InvalidInputError(
            f"{path}: {' and '.join(whole)} take {in_units(n_bytes)} in memory, and there are "
            f"{in_units(memory_bytes())}; expected half of that at most, or an .npz file that is "
            "not compressed and in C order, which is read piece by piece: write it with np.savez"
        )
