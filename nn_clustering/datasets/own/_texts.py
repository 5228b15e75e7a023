"""Reading a text: its characters are tokens, and each is asked which one comes next."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._groups import Groups
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets.own._finishing import finished, outline_of
from nn_clustering.datasets.own._request import Request
from nn_clustering.errors import InvalidInputError
from nn_clustering.machine import in_units, memory_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Characters of a sample, and the share of the text, from its beginning, that is trained on.
_LENGTH, _TRAIN_SHARE = 64, 0.9
# Bytes that a character of the text takes as it is read, cut into samples and asked.
_BYTES_A_CHARACTER = 32
VOWELS = frozenset("aeiou")
TOKEN_CLASSES = ("vowels", "consonants", "digits", "white space", "punctuation")


def read(request: Request) -> Dataset:
    """Return the text in samples of so many characters, each asked the next one.

    The samples follow one another; the last ones are the test part. Characters that are asked are
    grouped into vowels, consonants, digits, white space and punctuation.

    Raises:
        InvalidInputError: If the file is no text in UTF-8, or too short for two samples.
    """
    characters, numbers = _read(request)
    length, n_train, n_samples = _sizes(request, len(numbers))
    x = numbers[: n_samples * length].reshape(n_samples, length)
    y = numbers[1 : n_samples * length + 1].reshape(n_samples, length)
    of_characters = np.array([token_class(one) for one in characters], np.int32)
    groups = Groups(
        "token class", TOKEN_CLASSES, of_characters[y[:n_train]], of_characters[y[n_train:]]
    )
    names = tuple(map(shown, characters))
    parts = (x[:n_train], y[:n_train], x[n_train:], y[n_train:])
    # of the characters themselves: what is shown of one may stand for another, too
    dataset = Dataset(request.name, *parts, names, vocabulary=tuple(characters), groups=groups)
    return finished(dataset, request)


def outline(request: Request) -> Outline:
    """Return what is known of it; all of the text is looked at.

    Raises:
        InvalidInputError: As :func:`read`.
    """
    characters, numbers = _read(request)
    length, n_train, _ = _sizes(request, len(numbers))
    return outline_of(
        request,
        "classification",
        (length,),
        tuple(map(shown, characters)),
        n_train,
        n_tokens=len(characters),
        answers_positions=True,
    )


def token_class(character: str) -> int:
    """Return which of :data:`TOKEN_CLASSES` a character belongs to."""
    if character.isspace():
        return 3
    if character.isnumeric():
        return 2
    if not character.isalpha():
        return 4
    # an accent does not make another letter
    return 0 if unicodedata.normalize("NFD", character.lower())[0] in VOWELS else 1


def shown(character: str) -> str:
    """Return how a character is written where it is named."""
    return character if character.isprintable() and not character.isspace() else repr(character)


def _read(request: Request) -> tuple[str, NDArray[np.int32]]:
    """Return the characters that occur, and those of the text as numbers of these."""
    path = request.file
    try:
        n_bytes = path.stat().st_size
        if _BYTES_A_CHARACTER * n_bytes > memory_bytes() / 2:
            raise InvalidInputError(
                f"{path}: a text of {in_units(n_bytes)} takes "
                f"{in_units(_BYTES_A_CHARACTER * n_bytes)} in memory, and there are "
                f"{in_units(memory_bytes())}; expected half of that at most: take a part of it"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"{path} cannot be read as a text ({error}); expected a file in UTF-8"
        ) from error
    codes, numbers = np.unique(np.array(list(text), "<U1").view("<u4"), return_inverse=True)
    return "".join(map(chr, codes.tolist())), numbers.astype(np.int32)


def _sizes(request: Request, n_characters: int) -> tuple[int, int, int]:
    """Return the characters of a sample, the train samples and all samples of a text."""
    length = _LENGTH if request.settings.length is None else request.settings.length
    # the last character has no next one
    n_samples = max(n_characters - 1, 0) // length
    if n_samples < 2:
        raise InvalidInputError(
            f"dataset.name={request.name!r}: a text of {n_characters} characters; expected "
            f"{2 * length + 1} or more, two samples of dataset.length={length} and one more"
        )
    share = request.settings.share(_TRAIN_SHARE)
    n_train = min(max(round(share * n_samples), 1), n_samples - 1)
    return length, n_train, n_samples
