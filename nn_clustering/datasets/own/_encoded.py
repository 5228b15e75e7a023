"""Data sets of encoded images, in files or in records, that are decoded when they are needed."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from os import cpu_count
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from nn_clustering.datasets._dataset import WHITE_BYTE, Dataset
from nn_clustering.datasets._samples import Rows
from nn_clustering.datasets.own._decoding import (
    DamagedImageError,
    Header,
    Shape,
    bombs_refused,
    decode,
    read_header,
)
from nn_clustering.datasets.own._request import Request
from nn_clustering.datasets.own._selection import in_order_of_draw, taken
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS = ("train", "test")
# Images in a process at a time that are being read; more threads than that are no faster.
_MOST_THREADS = 16
# Up to so many images all are decoded before a run starts; of more their beginnings and ends are
# looked at, unless damaged ones are to be skipped: that takes a fifth of the time.
_ALL_DECODED = 5000
# A terminal shows the progress of so many images, which take seconds.
_MANY = 2000
_NAMED = 3
T = TypeVar("T")
R = TypeVar("R")


class Encoded(Protocol):
    """Images of one split, encoded."""

    def __len__(self) -> int:
        """Return how many there are."""

    def name(self, row: int) -> str:
        """Return how to speak of one, the same on every machine."""

    def where(self, row: int) -> str:
        """Return where one is."""

    def content(self, row: int) -> bytes:
        """Return the file of one; of several in threads at once.

        Raises:
            OSError: If it cannot be read.
        """


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Samples that are read and decoded when they are needed, in several threads.

    Attributes:
        encoded: The images.
        rows: Numbers of those that are meant, in their order.
        sample: What is made of each.
    """

    encoded: Encoded = field(repr=False)
    rows: NDArray[np.int64]
    sample: Shape

    @property
    def shape(self) -> tuple[int, ...]:
        """(samples, height, width, channels)."""
        return (len(self.rows), self.sample.height, self.sample.width, self.sample.channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of their values."""
        return np.dtype(np.uint8)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.rows)

    def __getitem__(self, rows: Rows) -> NDArray[np.uint8]:
        """Return samples as an array.

        Raises:
            InvalidInputError: If one cannot be read.
        """
        asked = self.rows[rows]
        pixels = np.empty((len(asked), *self.shape[1:]), np.uint8)

        def read(place: int) -> None:
            row = int(asked[place])
            try:
                pixels[place] = decode(self.encoded.content(row), self.sample)
            except (DamagedImageError, OSError) as error:
                raise _unreadable(self.encoded.where(row), error) from error

        in_threads(read, range(len(asked)))
        return pixels


@dataclass(frozen=True)
class Examined:
    """What is known of an encoded image before it is decoded.

    Attributes:
        sha256: Of its file.
        header: None of one that cannot be read.
        problem: Why it cannot be.
    """

    sha256: str
    header: Header | None
    problem: Exception | None = None


@dataclass(frozen=True)
class Part:
    """The images of one split.

    Attributes:
        encoded: The images.
        y: Their classes, int32.
    """

    encoded: Encoded
    y: NDArray[np.int32]


@dataclass(frozen=True)
class _Chosen:
    """What is taken of a part."""

    rows: NDArray[np.int64]
    examined: list[Examined]
    skipped: tuple[str, ...]

    @property
    def headers(self) -> list[Header]:
        return [one.header for one in self.examined if one.header is not None]


def dataset_of(
    request: Request,
    parts: Mapping[str, Part],
    class_names: tuple[str, ...],
    *,
    kind: str,
    is_upright: bool,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Return the data set of encoded images, of which those that are taken were examined.

    Args:
        request: What is asked.
        parts: Of "train", which may be missing, and "test".
        class_names: One name a class.
        kind: What the images are in, for the digest.
        is_upright: Whether images are turned as their camera says.
        notes: What is to be told of them.

    Raises:
        InvalidInputError: If one cannot be read, sizes differ, or there are fewer than asked for.
    """
    chosen = {
        split: _choose(request, split, part, class_names, is_upright)
        for split, part in parts.items()
    }
    shape = _shape(request, parts, chosen, is_upright)
    arrays: dict[str, Any] = {}
    for split in SPLITS:
        rows = np.empty(0, np.int64)
        if split in parts:
            rows = chosen[split].rows
        part = parts.get(split, parts["test"])
        arrays[f"x_{split}"] = DecodedImages(part.encoded, rows, shape)
        arrays[f"y_{split}"] = part.y[rows]
    sizes = {header.size for one in chosen.values() for header in one.headers}
    return Dataset(
        request.name,
        **arrays,
        class_names=class_names,
        white=WHITE_BYTE,
        source_digest=_digest(parts, chosen, class_names, shape, kind),
        skipped=tuple(name for one in chosen.values() for name in one.skipped),
        notes=(*notes, *_of_resizing(request.name, sizes, shape)),
    )


def in_threads(
    function: Callable[[T], R], items: Iterable[T], *, what: str | None = None
) -> list[R]:
    """Return what a function makes of each item, several at a time.

    Args:
        function: Called with an item.
        items: The items.
        what: What a terminal shows beside the progress; None for none.
    """
    items = list(items)
    n_threads = min(_MOST_THREADS, cpu_count() or 1, len(items))
    if n_threads <= 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(n_threads) as pool:
        found = pool.map(function, items)
        if what is None or len(items) < _MANY or not sys.stderr.isatty():
            return list(found)
        from tqdm import tqdm

        return list(tqdm(found, desc=what, total=len(items), file=sys.stderr))


def _choose(
    request: Request, split: str, part: Part, names: tuple[str, ...], is_upright: bool
) -> _Chosen:
    """Return the images that are taken; in place of damaged ones the next of their class."""
    settings = request.settings
    order = in_order_of_draw(settings.seed, split, part.y)
    known: dict[int, Examined] = {}

    def examine(row: int) -> Examined:
        is_whole = settings.skips_damaged or len(rows) <= _ALL_DECODED
        return _examined(part.encoded, row, is_upright, is_whole)

    while True:
        rows = taken(order, settings, split, part.y, names, request.name)
        new = [int(row) for row in rows if int(row) not in known]
        if not new:
            break
        with bombs_refused():
            found = in_threads(examine, new, what=f"{request.name}: {split} images")
        known |= zip(new, found, strict=True)
        damaged = [row for row in new if known[row].problem is not None]
        if damaged and not settings.skips_damaged:
            raise _damaged(part.encoded, damaged, known)
        order = order[~np.isin(order, damaged)]
    if not len(rows):
        raise InvalidInputError(f"{request.name}: none of the {split} images can be read")
    skipped = tuple(
        part.encoded.name(row) for row in sorted(known) if known[row].problem is not None
    )
    return _Chosen(rows, [known[int(row)] for row in rows], skipped)


def _examined(encoded: Encoded, row: int, is_upright: bool, is_whole: bool) -> Examined:
    content = b""
    try:
        content = encoded.content(row)
        header = read_header(content, is_upright=is_upright, is_whole=is_whole)
    except (DamagedImageError, OSError) as error:
        return Examined("", None, error)
    return Examined(hashlib.sha256(content).hexdigest(), header)


def _unreadable(where: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f"{where} cannot be read ({_reason(error)}): replace or remove it, or skip what cannot be "
        "read (dataset.damaged=skip)"
    )


def _damaged(
    encoded: Encoded, rows: Sequence[int], known: Mapping[int, Examined]
) -> InvalidInputError:
    described = [f"{encoded.where(row)} ({_reason(known[row].problem)})" for row in rows[:_NAMED]]
    others = f" and {len(rows) - _NAMED} others" if len(rows) > _NAMED else ""
    return InvalidInputError(
        f"{len(rows)} image{'s' if len(rows) > 1 else ''} cannot be read: {', '.join(described)}"
        f"{others}; replace or remove them, or skip them (dataset.damaged=skip)"
    )


def _reason(error: Exception | None) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def _shape(
    request: Request, parts: Mapping[str, Part], chosen: Mapping[str, _Chosen], is_upright: bool
) -> Shape:
    settings = request.settings
    headers = [header for one in chosen.values() for header in one.headers]
    size = settings.size
    if size is None:
        size = headers[0].size
        _check_one_size(request, parts, chosen, size)
    channels = settings.channels
    if channels is None:
        channels = 1 if all(header.is_grey for header in headers) else 3
    return Shape(*size, channels, settings.is_cropped, is_upright)


def _check_one_size(
    request: Request,
    parts: Mapping[str, Part],
    chosen: Mapping[str, _Chosen],
    size: tuple[int, int],
) -> None:
    first = next(iter(chosen))
    for split, one in chosen.items():
        for row, header in zip(one.rows, one.headers, strict=True):
            if header.size != size:
                names = (
                    parts[first].encoded.name(int(chosen[first].rows[0])),
                    parts[split].encoded.name(int(row)),
                )
                raise InvalidInputError(
                    f"{request.name}: the images are of unequal sizes ({names[0]} of "
                    f"{_in_words(size)}, {names[1]} of {_in_words(header.size)}); expected "
                    "dataset.image_size, the height and width that all of them become"
                )


def _of_resizing(name: str, sizes: set[tuple[int, int]], shape: Shape) -> tuple[str, ...]:
    size = (shape.height, shape.width)
    if sizes <= {size}:
        return ()
    given = f"images of {_in_words(min(sizes))}"
    if len(sizes) > 1:
        given = f"images of {len(sizes)} sizes, {_in_words(min(sizes))} to {_in_words(max(sizes))},"
    how = "the middle of them" if shape.is_cropped else "straight"
    return (f"{name}: {given} are resized to {_in_words(size)} ({how})",)


def _in_words(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def _digest(
    parts: Mapping[str, Part],
    chosen: Mapping[str, _Chosen],
    class_names: tuple[str, ...],
    shape: Shape,
    kind: str,
) -> str:
    sha = hashlib.sha256()
    sha.update(json.dumps([kind, asdict(shape), class_names]).encode())
    for split, one in chosen.items():
        part = parts[split]
        for row, examined in zip(one.rows, one.examined, strict=True):
            line = (split, part.encoded.name(int(row)), int(part.y[row]), examined.sha256)
            sha.update(json.dumps(line).encode())
    return sha.hexdigest()
