"""A data set of arrays of tokens, and what groups of answers any arrays come with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._dataset import NOT_ASKED, Dataset
from nn_clustering.datasets._groups import NONE, Groups
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

# That says that samples are tokens; and what more there may be.
VOCABULARY, CLASS_NAMES = "vocabulary", "class_names"
GROUPS = ("groups_train", "groups_test")
GROUP_NAMES, GROUP_KIND = "group_names", "group_kind"
OF_GROUPS = (*GROUPS, GROUP_NAMES, GROUP_KIND)
OF_TOKENS = (VOCABULARY, CLASS_NAMES, *OF_GROUPS)


def dataset_of_tokens(name: str, arrays: Mapping[str, Any]) -> Dataset:
    """Return the data set of arrays of tokens.

    Args:
        name: Of the data set; messages begin with it.
        arrays: ``x_test``, ``y_test`` and, where there is a train part, ``x_train``, ``y_train``:
            tokens, whole numbers (samples, length), and classes, whole numbers (samples,), or one
            a position, (samples, length), -1 where nothing is asked. ``vocabulary``: one text a
            token, or their number. ``class_names``: one text a class; without it classes at
            positions are tokens. And what :func:`groups_of` reads.

    Raises:
        InvalidInputError: If they are not as above.
    """
    vocabulary = _vocabulary(name, np.asarray(arrays[VOCABULARY]))
    has_train = "x_train" in arrays and len(arrays["x_train"]) > 0
    parts: dict[str, Any] = {
        key: _whole(f"{name}: {key}", np.asarray(arrays[key]))
        for split in (("train", "test") if has_train else ("test",))
        for key in (f"x_{split}", f"y_{split}")
    }
    if not has_train:
        parts |= {"x_train": parts["x_test"][:0], "y_train": parts["y_test"][:0]}
    names = _class_names(name, arrays, parts, vocabulary)
    groups = groups_of(name, arrays, parts["y_train"])
    return Dataset(name, class_names=names, vocabulary=vocabulary, groups=groups, **parts)


def groups_of(name: str, arrays: Mapping[str, Any], y_train: NDArray[Any]) -> Groups | None:
    """Return the groups of answers that arrays come with, if they do.

    Args:
        name: Of the data set; messages begin with it.
        arrays: ``groups_test`` and, where there is a train part, ``groups_train``: whole numbers
            of the shapes of the labels, -1 for in none; ``group_names``, one text a group; and
            ``group_kind``, a text, "task" if there is none.
        y_train: Labels of the train part.

    Raises:
        InvalidInputError: If they are not as above.
    """
    if not any(key in arrays for key in OF_GROUPS):
        return None
    needed = [*GROUPS[0 if len(y_train) else 1 :], GROUP_NAMES]
    missing = [key for key in needed if key not in arrays]
    if missing:
        raise InvalidInputError(
            f"{name}: answers in groups without {' and '.join(missing)}; expected "
            f"{', '.join(needed)}"
        )
    test = _whole(f"{name}: {GROUPS[1]}", np.asarray(arrays[GROUPS[1]]))
    train = np.full(y_train.shape, NONE, np.int32)
    if len(y_train):
        train = _whole(f"{name}: {GROUPS[0]}", np.asarray(arrays[GROUPS[0]]))
    names = texts_of(f"{name}: {GROUP_NAMES}", np.asarray(arrays[GROUP_NAMES]))
    try:
        return Groups(str(np.asarray(arrays.get(GROUP_KIND, "task"))), names, train, test)
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error}") from None


def texts_of(where: str, array: NDArray[Any]) -> tuple[str, ...]:
    """Return the texts of an array.

    Raises:
        InvalidInputError: If it is none of one axis.
    """
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise InvalidInputError(
            f"{where} is of {array.dtype} and shape {array.shape}; expected a list of texts"
        )
    texts = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    return tuple(map(str, texts))


def _vocabulary(name: str, array: NDArray[Any]) -> tuple[str, ...]:
    if array.ndim == 0 and array.dtype.kind in "iu" and array > 0:
        return tuple(map(str, range(int(array))))
    return texts_of(f"{name}: {VOCABULARY}", array)


def _class_names(
    name: str,
    arrays: Mapping[str, Any],
    parts: Mapping[str, NDArray[np.int32]],
    vocabulary: tuple[str, ...],
) -> tuple[str, ...]:
    if CLASS_NAMES in arrays:
        return texts_of(f"{name}: {CLASS_NAMES}", np.asarray(arrays[CLASS_NAMES]))
    if parts["y_test"].ndim == 2:
        return vocabulary
    n_classes = 1 + max(int(parts[key].max(initial=0)) for key in ("y_train", "y_test"))
    return tuple(map(str, range(n_classes)))


def _whole(where: str, array: NDArray[Any]) -> NDArray[np.int32]:
    if array.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{where} is of {array.dtype}; expected whole numbers, as of tokens and their classes"
        )
    if array.size and not (array.min() >= NOT_ASKED and array.max() < 2**31):
        raise InvalidInputError(
            f"{where} runs from {array.min()} to {array.max()}; expected numbers of tokens, of "
            f"classes or of groups, or {NOT_ASKED}"
        )
    return array.astype(np.int32)
