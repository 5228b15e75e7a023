"""Reading data of a function of a user's own: arrays, or streams of TensorFlow."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets.own._arrays import (
    KEYS,
    Survey,
    dataset_of_arrays,
    survey,
    with_channel_axis,
)
from nn_clustering.datasets.own._finishing import finished
from nn_clustering.datasets.own._request import Request
from nn_clustering.datasets.own._streams import StreamedSamples
from nn_clustering.datasets.own._token_arrays import (
    OF_TOKENS,
    VOCABULARY,
    dataset_of_tokens,
    groups_of,
)
from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.seeds import integer_seed
from nn_clustering.user_functions import (
    accepted_arguments,
    check_defines_function,
    current_folder_importable,
    import_function,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEY = "dataset.name"
_PURPOSE = "returns samples with their labels"
_EXPECTED = (
    "expected arrays (x_test, y_test), ((x_train, y_train), (x_test, y_test)), a dictionary of "
    "these four (of tokens with their vocabulary), or tf.data.Datasets of (x, y): the test part, "
    "or (train, test)"
)
# Samples of a stream that are read at a time where it is not in batches.
_BATCH = 64


def outline(request: Request) -> Outline:
    """Return the name alone: nothing is run.

    Raises:
        InvalidInputError: If there is no such function.
    """
    check_defines_function(request.name, _KEY, _PURPOSE)
    return Outline(request.name)


def read(request: Request) -> Dataset:
    """Call the function, and look once at all that it returns.

    NumPy's, TensorFlow's and Python's global random generators are seeded before the call.

    Raises:
        InvalidInputError: If it fails, or returns no samples with labels, or a stream that is not
            the same each time.
    """
    check_defines_function(request.name, _KEY, _PURPOSE)
    with current_folder_importable():
        returned = _called(request)
        parts = _parts(request.name, returned)
        named = _named_arrays(returned)
        if VOCABULARY in named:
            return finished(_tokens(request.name, parts, named), request)
        try:
            arrays, surveys = _arrays(request.name, parts)
        except InvalidInputError:
            raise
        except Exception as error:  # whatever the function's own code in a stream raises
            raise InvalidInputError(
                f"{_KEY}={request.name!r}: what it returned cannot be read ({in_one_line(error)})"
            ) from error
    dataset = dataset_of_arrays(request.name, arrays, surveys)
    groups = groups_of(request.name, named, dataset.y_train)
    return finished(replace(dataset, groups=groups), request)


def _named_arrays(returned: Any) -> dict[str, Any]:
    """Return what a dictionary holds beside samples and labels."""
    if not isinstance(returned, Mapping):
        return {}
    return {key: _numpy(returned[key]) for key in OF_TOKENS if key in returned}


def _tokens(name: str, parts: Mapping[str, Any], named: Mapping[str, Any]) -> Dataset:
    arrays = dict(named)
    for split, part in parts.items():
        if not _is_pair(part):
            raise InvalidInputError(
                f"{_KEY}={name!r} returned a {type(part).__name__} as its {split} part of tokens; "
                "expected arrays"
            )
        arrays |= {f"x_{split}": _numpy(part[0]), f"y_{split}": _numpy(part[1])}
    return dataset_of_tokens(name, arrays)


def _called(request: Request) -> Any:
    settings = request.settings
    function = import_function(request.name, _KEY, _PURPOSE)
    offered = {
        "seed": settings.seed,
        "n_train": settings.n_train,
        "n_test": settings.n_test,
        "image_size": settings.size,
    }
    arguments = accepted_arguments(function, request.name, _KEY, offered)
    _seed_all(settings.seed)
    try:
        return function(**arguments)
    except Exception as error:  # whatever the function's own code raises
        given = ", ".join(f"{name}={value}" for name, value in arguments.items())
        raise InvalidInputError(
            f"{_KEY}={request.name!r} failed on ({given}): {in_one_line(error)}"
        ) from error


def _seed_all(seed: int) -> None:
    number = integer_seed(seed, "own data")
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(number)


def _is_stream(value: Any) -> bool:
    loaded = sys.modules.get("tensorflow")
    return loaded is not None and isinstance(value, loaded.data.Dataset)


def _parts(name: str, returned: Any) -> dict[str, Any]:
    """Return pairs of samples and labels, or streams of both, under "train" and "test"."""
    if isinstance(returned, Mapping):
        return _parts_of_dictionary(name, returned)
    if _is_stream(returned):
        return {"test": returned}
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        many = f" of {len(returned)}" if isinstance(returned, tuple | list) else ""
        raise InvalidInputError(
            f"{_KEY}={name!r} returned a {type(returned).__name__}{many}; {_EXPECTED}"
        )
    if all(_is_stream(part) or _is_pair(part) for part in returned):
        return {"train": returned[0], "test": returned[1]}
    return {"test": tuple(returned)}


def _parts_of_dictionary(name: str, returned: Mapping[Any, Any]) -> dict[str, Any]:
    named = {key for key in returned if key in OF_TOKENS}
    returned = {key: value for key, value in returned.items() if key not in named}
    if set(returned) <= {"train", "test"} and "test" in returned:
        return dict(returned)
    unknown = [key for key in returned if key not in KEYS]
    parts = {
        split: (returned[f"x_{split}"], returned[f"y_{split}"])
        for split in ("train", "test")
        if {f"x_{split}", f"y_{split}"} <= set(returned)
    }
    if unknown or "test" not in parts or 2 * len(parts) != len(returned):
        keys = ", ".join(map(str, returned)) or "nothing"
        raise InvalidInputError(f"{_KEY}={name!r} returned a dictionary of {keys}; {_EXPECTED}")
    return parts


def _is_pair(part: Any) -> bool:
    return isinstance(part, tuple) and len(part) == 2


def _arrays(name: str, parts: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Survey]]:
    """Return samples and labels by their keys, and what is found when they are looked at once."""
    arrays: dict[str, Any] = {}
    surveys: dict[str, Survey] = {}
    for split, part in parts.items():
        keys = (f"x_{split}", f"y_{split}")
        if _is_stream(part):
            x, y, of_x = _of_stream(name, split, part)
            found = (of_x, survey(y))
        elif _is_pair(part):
            x, y = _array_of(f"{name}: {keys[0]}", part[0]), _labels(_numpy(part[1]))
            found = (survey(x), survey(np.atleast_1d(y)))
        else:
            raise InvalidInputError(
                f"{_KEY}={name!r} returned a {type(part).__name__} as its {split} part; {_EXPECTED}"
            )
        arrays |= dict(zip(keys, (x, y), strict=True))
        surveys |= dict(zip(keys, found, strict=True))
    return arrays, surveys


def _numpy(value: Any) -> Any:
    """Return a tensor's array; others as they are."""
    return value.numpy() if callable(getattr(value, "numpy", None)) else value


def _array_of(where: str, x: Any) -> Any:
    x = _numpy(x)
    # an array on disk, of another library, is read when it is needed
    if not isinstance(x, np.ndarray) and not all(
        hasattr(x, name) for name in ("shape", "dtype", "__len__", "__getitem__")
    ):
        x = np.asarray(x)
    if not x.shape or x.dtype.hasobject:
        raise InvalidInputError(f"{where} is of {x.dtype} and shape {x.shape}; expected numbers")
    return x


def _labels(y: Any) -> NDArray[Any]:
    """Return labels as an array; texts may come as objects."""
    found = np.asarray(y)
    if found.dtype.hasobject:
        texts = [one.decode() if isinstance(one, bytes) else one for one in found.reshape(-1)]
        if all(isinstance(one, str) for one in texts):
            return np.array(texts).reshape(found.shape)
    return found


def _of_stream(name: str, split: str, stream: Any) -> tuple[Any, NDArray[Any], Survey]:
    """Read a stream once: return its samples, all labels, and what is found in the samples."""
    where = f"{_KEY}={name!r}, {split} part"
    batched = _in_batches(where, stream)
    shape, dtype = _sample(where, batched)
    found, labels = Survey(), []
    found.begin(shape, dtype)
    for x, y in batched.as_numpy_iterator():
        found.add(x)
        labels.append(y)
    if not labels:
        raise InvalidInputError(f"{where} has no samples; expected one at least")
    y = _labels(np.concatenate(labels))

    def blocks() -> Iterator[NDArray[Any]]:
        for x, _ in batched.as_numpy_iterator():
            yield x.reshape(len(x), *shape)

    samples = StreamedSamples(where, blocks, (len(y), *shape), dtype)
    samples.check_same()
    again = next(iter(batched.as_numpy_iterator()))[1]
    if not np.array_equal(again, labels[0]):
        raise InvalidInputError(f"{where} gives other labels each time; expected the same ones")
    return samples, y, found


def _in_batches(where: str, stream: Any) -> Any:
    """Return a stream of (x, y) in batches."""
    import tensorflow as tf

    spec = stream.element_spec
    if (
        not isinstance(spec, tuple)
        or len(spec) != 2
        or not all(isinstance(one, tf.TensorSpec) for one in spec)
    ):
        raise InvalidInputError(
            f"{where} is a stream of {_in_words(spec)}; expected pairs (x, y) of tensors, as "
            "tfds.load gives them with as_supervised=True"
        )
    if stream.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise InvalidInputError(f"{where} never ends; expected a stream without repeat()")
    x, y = (one.shape for one in spec)
    if x.rank is None or y.rank is None:
        raise InvalidInputError(f"{where}: {_in_words(spec)}; expected tensors of known shape")
    is_batched = y.rank > 0 and x.rank > 1 and x[0] == y[0]
    return stream if is_batched else stream.batch(_BATCH)


def _sample(where: str, stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    spec = stream.element_spec[0]
    shape = tuple(spec.shape[1:])
    if None in shape:
        raise InvalidInputError(
            f"{where}: samples of shape {shape}; expected one size: resize them in map()"
        )
    return with_channel_axis((1, *shape))[1:], np.dtype(spec.dtype.as_numpy_dtype)


def _in_words(spec: Any) -> str:
    parts = spec if isinstance(spec, tuple) else (spec,)
    return " and ".join(
        f"{getattr(part, 'dtype', None) and part.dtype.name} {part.shape}"
        if hasattr(part, "shape")
        else type(part).__name__
        for part in parts
    )
