"""How the weight matrices of a graph lie in an ``.npz`` file: exact, small, quickly read.

The i-th matrix is one of

- ``weights_i``: the matrix itself, shape (source units, target units);
- ``planes_i``: its bytes, shape (bytes of a number, source units, target units), of which the one
  with the exponents can be compressed: uint8, the bytes of little-endian floating point numbers;
- ``rows_i``, ``columns_i``, ``values_i``: its entries that are not 0, each place once;
- nothing, where ``same_weights`` has another index than i at i: it is that one's matrix. Along a
  residual stream a convolution's weights lead into every later set of units.

``number_bytes`` has at i in how many bytes a number of it is computed with (4 or 8), where that is
not as many as it is stored with: a graph of float32 weights that is computed with in float64.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.machine import in_units, memory_bytes

# Matrices with fewer entries are stored as they are, for anybody to read.
_SMALLEST_IN_PLANES = 2**16
# The share of entries that are not 0 below which they alone are stored.
_SPARSE_BELOW = 0.5
# Clustering a graph holds it, and a shuffle of it.
_SHARE_OF_MEMORY = 0.5
# Bytes of a float64 number.
_DOUBLE = 8
_SHAPED = "weights_{0}, planes_{0}, or rows_{0}, columns_{0} and values_{0}"


def weights_to_arrays(matrices: Sequence[NDArray[np.floating]]) -> dict[str, NDArray[Any]]:
    """Return matrices as the arrays that an ``.npz`` file holds of them.

    Numbers that float32 has too are stored in it.
    """
    arrays: dict[str, NDArray[Any]] = {}
    firsts: dict[bytes, int] = {}
    same, n_bytes, n_stored = [], [], []
    for index, matrix in enumerate(matrices):
        stored = _shortest(np.asarray(matrix))
        first = firsts.setdefault(_digest(stored), index)
        if first == index:
            arrays |= _arrays_of(index, stored)
        same.append(first)
        n_bytes.append(matrix.dtype.itemsize)
        n_stored.append(stored.dtype.itemsize)
    if same != list(range(len(same))):
        arrays["same_weights"] = np.array(same)
    if n_bytes != n_stored:
        arrays["number_bytes"] = np.array(n_bytes)
    return arrays


def npz_content(
    arrays: Mapping[str, NDArray[Any]], as_they_are: Mapping[str, NDArray[Any]] | None = None
) -> bytes:
    """Return what ``numpy.savez_compressed`` writes, compressed in a third of its time.

    Args:
        arrays: What is compressed.
        as_they_are: What is not, as it would take long and save little.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for compression, some in (
            (zipfile.ZIP_DEFLATED, arrays),
            (zipfile.ZIP_STORED, as_they_are or {}),
        ):
            archive.compression = compression
            for name, array in some.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


@contextmanager
def opened_npz(content: bytes) -> Iterator[Mapping[str, NDArray[Any]]]:
    """Open the content of an ``.npz`` file; each array is read when it is asked for.

    Raises:
        InvalidInputError: If it is none, or its arrays are larger than the memory allows; also in
            place of whatever other error what is done with the arrays ends with.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise InvalidInputError("not the .npz file of a unit graph (no zip archive)")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            check_memory(sum(member.file_size for member in arrays.zip.infolist()))
            yield arrays
    except InvalidInputError:
        raise
    except Exception as error:  # whatever numpy, zipfile or zlib objects to
        raise InvalidInputError(
            f"not the .npz file of a unit graph ({in_one_line(error)})"
        ) from error


def weights_from_arrays(
    arrays: Mapping[str, NDArray[Any]], shapes: Sequence[tuple[int, int]]
) -> list[NDArray[np.floating]]:
    """Return the matrices of which :func:`weights_to_arrays` made arrays.

    Args:
        arrays: The arrays.
        shapes: Units of the source and of the target layer of each.

    Raises:
        InvalidInputError: If one is missing, has no numbers, has places outside or twice, or all
            of them are larger than the memory allows for.
    """
    same = [int(index) for index in arrays.get("same_weights", np.arange(len(shapes)))]
    n_bytes = arrays.get("number_bytes", np.zeros(len(shapes), int))
    found: dict[int, NDArray[np.floating]] = {}
    n_held = 0
    for index, first in enumerate(same):
        if first == index:
            found[index] = _matrix(arrays, index, shapes[index], n_held)
            n_held += found[index].nbytes
        elif first not in found:
            raise InvalidInputError(
                f"same_weights has {first} at {index}; expected the index itself, or of a matrix "
                "before it that has its own weights"
            )
    in_double = {first for first, size in zip(same, n_bytes, strict=True) if size == _DOUBLE}
    doubles = {first: found[first].astype(np.float64, copy=False) for first in in_double}
    return [
        (doubles if size == _DOUBLE else found)[first]
        for first, size in zip(same, n_bytes, strict=True)
    ]


def check_memory(n_bytes: int) -> None:
    """Check that arrays of so many bytes can be held, and computed with.

    Raises:
        InvalidInputError: If they cannot.
    """
    available = _SHARE_OF_MEMORY * memory_bytes()
    if n_bytes > available:
        raise InvalidInputError(
            f"matrices or arrays of {in_units(n_bytes)}; expected at most {in_units(available)}, "
            "half of this machine's memory: every pair of joined layers has a full matrix, with a "
            "number for each pair of their units"
        )


def _shortest(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    if matrix.dtype != np.float64:
        return matrix
    with np.errstate(over="ignore"):
        single = matrix.astype(np.float32)
    return single if np.array_equal(single, matrix) else matrix


def _digest(matrix: NDArray[np.floating]) -> bytes:
    found = hashlib.sha256(f"{matrix.dtype.str} {matrix.shape}".encode())
    found.update(np.ascontiguousarray(matrix).data)
    return found.digest()


def _arrays_of(index: int, matrix: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
    n_entries = np.count_nonzero(matrix)
    if matrix.size >= _SMALLEST_IN_PLANES and n_entries < _SPARSE_BELOW * matrix.size:
        rows, columns = np.nonzero(matrix)
        return {
            f"rows_{index}": rows.astype(np.min_scalar_type(matrix.shape[0])),
            f"columns_{index}": columns.astype(np.min_scalar_type(matrix.shape[1])),
            f"values_{index}": matrix[rows, columns],
        }
    if matrix.size >= _SMALLEST_IN_PLANES:
        little = np.ascontiguousarray(matrix, matrix.dtype.newbyteorder("<"))
        parts = little.view(np.uint8).reshape(*matrix.shape, matrix.dtype.itemsize)
        return {f"planes_{index}": np.ascontiguousarray(np.moveaxis(parts, -1, 0))}
    return {f"weights_{index}": matrix}


def _matrix(
    arrays: Mapping[str, NDArray[Any]], index: int, shape: tuple[int, int], n_held: int
) -> NDArray[np.floating]:
    """Return a matrix, beside others of so many bytes."""
    if f"weights_{index}" in arrays:
        return as_floating(arrays[f"weights_{index}"], f"weights_{index}")
    if f"planes_{index}" in arrays:
        return _from_planes(arrays[f"planes_{index}"], f"planes_{index}")
    names = [f"{part}_{index}" for part in ("rows", "columns", "values")]
    if not all(name in arrays for name in names):
        raise InvalidInputError(f"no weights of edges {index}; expected {_SHAPED.format(index)}")
    rows, columns, values = (arrays[name] for name in names)
    check_places(names[0], rows, shape[0])
    check_places(names[1], columns, shape[1])
    weights = as_floating(values, names[2])
    if not rows.shape == columns.shape == weights.shape or rows.ndim != 1:
        raise InvalidInputError(
            f"{', '.join(names)} of shapes {rows.shape}, {columns.shape}, {weights.shape}; "
            "expected three of one length"
        )
    check_memory(n_held + shape[0] * shape[1] * weights.dtype.itemsize)
    matrix = np.zeros(shape, weights.dtype)
    flat = rows.astype(np.int64) * shape[1] + columns
    if not (np.diff(flat) > 0).all() and np.unique(flat).size < flat.size:
        raise InvalidInputError(f"{names[0]} and {names[1]} have a place twice; expected each once")
    matrix.ravel()[flat] = weights
    return matrix


def check_places(name: str, places: NDArray[Any], n_units: int) -> None:
    """Check the indices of units that stand in a file.

    Raises:
        InvalidInputError: If they are no integers, or outside.
    """
    if not np.issubdtype(places.dtype, np.integer):
        raise InvalidInputError(f"{name} of type {places.dtype}; expected integers")
    if places.size and not (places.min() >= 0 and places.max() < n_units):
        raise InvalidInputError(
            f"{name} from {places.min()} to {places.max()}; expected 0 to {n_units - 1}, of "
            f"{n_units} units"
        )


def as_floating(numbers: NDArray[Any], name: str) -> NDArray[np.floating]:
    """Return numbers of whatever type as floating point ones that are computed with.

    Raises:
        InvalidInputError: If they are none.
    """
    if numbers.dtype.kind not in "biuf" or numbers.dtype.itemsize > 8:
        raise InvalidInputError(f"{name} of type {numbers.dtype}; expected numbers")
    if numbers.dtype.kind == "f":
        return numbers.astype(np.float32 if numbers.dtype.itemsize <= 4 else np.float64, copy=False)
    return numbers.astype(np.float64)


def _from_planes(planes: NDArray[Any], name: str) -> NDArray[np.floating]:
    if planes.dtype != np.uint8 or planes.ndim != 3 or len(planes) not in (4, 8):
        raise InvalidInputError(
            f"{name} of type {planes.dtype} and shape {planes.shape}; expected bytes (uint8) of "
            "shape (4 or 8, source units, target units)"
        )
    parts = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    found = parts.view(f"<f{len(planes)}")[..., 0]
    return found.astype(found.dtype.newbyteorder("="), copy=False)
