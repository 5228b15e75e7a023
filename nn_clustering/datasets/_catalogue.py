"""The table of all data sets: what each is called, looks like, needs and how it is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations, permutations

from nn_clustering.datasets import _composed, _modular_addition, _sources, _synthetic
from nn_clustering.datasets._data_files import DataFile
from nn_clustering.datasets._dataset import Dataset
from nn_clustering.datasets._images import Images
from nn_clustering.datasets._outline import Outline
from nn_clustering.datasets._settings import Settings
from nn_clustering.datasets.own import _imagenet
from nn_clustering.errors import InvalidInputError, did_you_mean

LIST_COMMAND = "python -m nn_clustering.datasets list"
GREY_28 = (28, 28, 1)


@dataclass(frozen=True)
class Reader:
    """What reads a data set whose images are decoded when they are needed.

    Attributes:
        read: Reads it.
        outline: Says what is known before.
        takes: Settings that act on it, besides seed, n_train and n_test.
        fitted: Those of them that a network's input decides where nobody says otherwise.
        file: What has to be in a folder of data.
    """

    read: Callable[[Settings], Dataset]
    outline: Callable[[Settings], Outline]
    takes: tuple[str, ...]
    fitted: tuple[str, ...]
    file: str


@dataclass(frozen=True)
class Rule:
    """What makes a data set of tokens, as settings of its own say.

    Attributes:
        read: Makes it.
        outline: Says what is known before.
        takes: Settings that act on it, besides seed, n_train and n_test.
    """

    read: Callable[[Settings], Dataset]
    outline: Callable[[Settings], Outline]
    takes: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """One data set.

    Attributes:
        name: Its name in configs.
        about: What it holds, in a few words.
        make: Makes it with a seed.
        input_shape: (height, width, channels), (features,) or (length,) of tokens; () of images of
            any size.
        n_outputs: Number of classes or targets.
        sizes: Numbers of train and test samples, as distributed.
        files: The data files that it is made of.
        task: "classification" or "regression".
        own: What reads it, where it is read as data of one's own are.
        rule: What makes it, where its settings change it.
    """

    name: str
    about: str
    make: Callable[[int], Images | Dataset]
    input_shape: tuple[int, ...]
    n_outputs: int = 10
    sizes: tuple[int, int] = (60000, 10000)
    files: tuple[DataFile, ...] = ()
    task: str = "classification"
    own: Reader | None = None
    rule: Rule | None = None


@dataclass(frozen=True)
class Composition:
    """A way to compose data sets of one part or two.

    Attributes:
        prefix: What the names of its data sets begin with.
        function: Composes images, called with those of the parts, ``name`` and ``seed``.
        about: What it holds, with a place for the name of each part.
        channels: Channels of the result for each channel of a part.
        n_parts: 1 or 2.
    """

    prefix: str
    function: Callable[..., Images]
    about: str
    channels: int = 1
    n_parts: int = 1

    def entry(self, *parts: Entry) -> Entry:
        """Return the data set composed of these."""
        names = [part.name for part in parts]
        name = "_".join([self.prefix, *names])
        *sides, channels = parts[0].input_shape
        return replace(
            parts[0],
            name=name,
            about=self.about.format(*names),
            make=partial(_compose, self.function, parts, name),
            input_shape=(*sides, channels * self.channels),
            sizes=self._sizes(parts),
            # each file once, in the order of the parts
            files=tuple({file.name: file for part in parts for file in part.files}.values()),
        )

    def _sizes(self, parts: tuple[Entry, ...]) -> tuple[int, int]:
        train, test = (sum(sizes) for sizes in zip(*(part.sizes for part in parts), strict=True))
        # of each part of a separated mixture about a half
        return (train // 2, test // 2) if self.prefix == "separated" else (train, test)


COMPOSITIONS = (
    Composition(
        "halves",
        partial(_composed.halves, same=False),
        "two of {} side by side; their labels' sum",
    ),
    Composition(
        "halves_same", partial(_composed.halves, same=True), "two of one class of {} side by side"
    ),
    Composition(
        "stacked",
        partial(_composed.stacked, same=False),
        "two of {} in two channels; their labels' sum",
        channels=2,
    ),
    Composition(
        "stacked_same",
        partial(_composed.stacked, same=True),
        "two of one class of {} in two channels",
        channels=2,
    ),
    Composition("random_labels", _composed.random_labels, "{} with random labels"),
    Composition("mixed", _composed.mixed, "{} and {}, with their labels", n_parts=2),
    Composition("separated", _composed.separated, "classes 0-4 of {}, 5-9 of {}", n_parts=2),
)


def listed_entries(*, both_ways: bool = False) -> list[Entry]:
    """Return all entries, mixtures of A and B one way round or both."""
    pairs = permutations if both_ways else combinations
    entries = [*sources(), *rules(), *tokens(), *streamed()]
    for composition in COMPOSITIONS:
        if composition.n_parts == 2:
            entries += [composition.entry(*pair) for pair in pairs(_mixable(), 2)]
        else:
            entries += [
                composition.entry(source)
                for source in sources()
                if composition.channels == 1 or source.input_shape[-1] == 1
            ]
    return entries


def find_entry(name: str) -> Entry:
    """Return the entry of a name.

    Raises:
        InvalidInputError: If no data set has this name; says why where its parts are known.
    """
    entry = entry_of(name)
    if entry is None:
        raise no_such_dataset(name)
    return entry


def entry_of(name: str) -> Entry | None:
    """Return the entry of a name, None if no data set has it."""
    if not isinstance(name, str):
        return None
    return next((entry for entry in listed_entries(both_ways=True) if entry.name == name), None)


def no_such_dataset(name: str) -> InvalidInputError:
    """The error for a name that is none; it says why where the parts of a composition are known."""
    reason = _why_not(str(name))
    if reason is not None:
        return InvalidInputError(f"dataset.name={name!r} is not a data set: {reason}")
    names = [entry.name for entry in listed_entries(both_ways=True)]
    bases = ", ".join(entry.name for entry in [*sources(), *rules(), *tokens(), *streamed()])
    return InvalidInputError(
        f"dataset.name={name!r} is not a data set{did_you_mean(str(name), names)}; expected one "
        f"of {bases} or a composition like halves_mnist, as `{LIST_COMMAND}` shows them, or data "
        "of your own: a folder, an .npz, .csv, .parquet or .txt file, or a function"
    )


def sources() -> list[Entry]:
    """Return the data sets as distributed, and those made smaller (methods B1)."""
    mnist, fashion, cifar = (
        (file,) for file in (_sources.MNIST, _sources.FASHION, _sources.CIFAR10)
    )
    sizes = (50000, 10000)
    return [
        _entry("mnist", "handwritten digits", _sources.mnist, GREY_28, files=mnist),
        _entry("fashion", "clothes (Fashion-MNIST)", _sources.fashion, GREY_28, files=fashion),
        _entry("cifar10", "colour photographs", _sources.cifar10, (32, 32, 3), sizes, cifar),
        _entry("cifar10_grey", "cifar10 in grey", _sources.cifar10_grey, GREY_28, sizes, cifar),
        _entry("small_mnist", "mnist made smaller", _sources.small_mnist, (7, 7, 1), files=mnist),
        _entry("digits", "scikit-learn's digits", _sources.digits, (8, 8, 1), (1433, 364)),
    ]


def rules() -> list[Entry]:
    """Return the data sets made by rule (methods B6, B7)."""
    mnist = sources()[0]
    return [
        Entry("lines", "1 to 10 vertical lines", _synthetic.lines, GREY_28),
        Entry("circles", "0 to 9 circles", _synthetic.circles, GREY_28),
        Entry("random", "random pixels, random labels", _synthetic.random_pixels, GREY_28),
        # the same as random_labels_mnist, whose random numbers it takes
        replace(_of("random_labels").entry(mnist), name="random_labels"),
        Entry(
            "poly",
            "512 polynomials of two numbers",
            _synthetic.polynomials,
            (2,),
            n_outputs=_synthetic.N_POLYNOMIALS,
            task="regression",
        ),
    ]


def tokens() -> list[Entry]:
    """Return the data sets of tokens, made by rule."""
    prime, share = _modular_addition.PRIME, _modular_addition.TRAIN_SHARE
    n_train = round(share * prime**2)
    return [
        Entry(
            _modular_addition.NAME,
            f"a + b modulo {prime}, as tokens",
            lambda seed: _modular_addition.read(Settings(seed=seed)),
            (3,),
            n_outputs=prime,
            sizes=(n_train, prime**2 - n_train),
            rule=Rule(_modular_addition.read, _modular_addition.outline, _modular_addition.TAKES),
        )
    ]


def streamed() -> list[Entry]:
    """Return the data sets that do not fit into memory."""
    return [
        Entry(
            _imagenet.NAME,
            "ImageNet's validation photographs",
            lambda seed: _imagenet.read(Settings(seed=seed)),
            (),
            n_outputs=_imagenet.N_CLASSES,
            sizes=(0, _imagenet.N_IMAGES),
            own=Reader(
                _imagenet.read,
                _imagenet.outline,
                _imagenet.TAKES,
                ("image_size", "channels"),
                _imagenet.TAR,
            ),
        )
    ]


def _entry(
    name: str,
    about: str,
    make: Callable[[], Images],
    input_shape: tuple[int, ...],
    sizes: tuple[int, int] = (60000, 10000),
    files: tuple[DataFile, ...] = (),
) -> Entry:
    return Entry(name, about, lambda seed: make(), input_shape, sizes=sizes, files=files)


def _of(prefix: str) -> Composition:
    return next(composition for composition in COMPOSITIONS if composition.prefix == prefix)


def _mixable() -> list[Entry]:
    # Mixtures are of images of one shape, as the studies' sets of 28 x 28 are.
    return [entry for entry in [rules()[0], *sources()] if entry.input_shape == GREY_28]


def _compose(
    function: Callable[..., Images], parts: tuple[Entry, ...], name: str, seed: int
) -> Images:
    return function(*(part.make(seed) for part in parts), name=name, seed=seed)


def _why_not(name: str) -> str | None:
    parts = {entry.name: entry for entry in [*sources(), *rules()]}
    # "halves_same" before "halves", which begins alike
    for composition in sorted(COMPOSITIONS, key=lambda one: -len(one.prefix)):
        if not name.startswith(composition.prefix + "_"):
            continue
        rest = name[len(composition.prefix) + 1 :]
        if composition.n_parts == 2:
            pairs = [(a, b) for a in parts for b in parts if rest == f"{a}_{b}"]
            return _why_not_mixed(parts[pairs[0][0]], parts[pairs[0][1]]) if pairs else None
        if rest not in parts:
            return None
        if composition.channels > 1 and parts[rest].input_shape[-1] > 1:
            return f"two channels hold two grey images, and {rest} is in colour; use {name}_grey"
        names = ", ".join(source.name for source in sources())
        return f"expected after {composition.prefix}_ one of {names}"
    return None


def _why_not_mixed(first: Entry, second: Entry) -> str:
    if first.name == second.name:
        return f"a mixture is of two different sets, not of {first.name} and {second.name}"
    if first.input_shape != second.input_shape:
        one, other = (" x ".join(map(str, entry.input_shape)) for entry in (first, second))
        grey = "; use cifar10_grey" if "cifar10" in (first.name, second.name) else ""
        return (
            f"a mixture is of images of one shape, and {first.name} has inputs of {one}, "
            f"{second.name} of {other}{grey}"
        )
    names = ", ".join(entry.name for entry in _mixable())
    return f"expected a mixture of two of {names}"
