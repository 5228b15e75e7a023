"""What a run asks of a data set besides its name: the section `dataset` of a config."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from nn_clustering.errors import InvalidInputError, did_you_mean
from nn_clustering.seeds import seed_sequence

# What sets are composed, made and drawn with unless a run says otherwise (methods B).
SEED = 42
RESIZES = ("straight", "crop")
DAMAGED = ("refuse", "skip")
# The key that says a size of images, and what it says if nothing is said.
_IMAGE_SIZE = ("dataset.image_size", "images as they are")


@dataclass(frozen=True)
class Settings:
    """What is asked of a data set.

    Attributes:
        seed: Seed of composed sets, of those made by rule, and of what is drawn.
        channels: 3 makes grey images three equal channels, 1 reads images in grey; None leaves
            them as they are.
        n_train: How many train samples to take; None takes all.
        n_test: How many test samples to take.
        per_class: How many test samples of every class to take.
        image_size: (height, width) of the images, or one number for both; None leaves them as
            they are.
        resize: How images of another size become of that: "straight", whatever their sides, or
            "crop", of which the middle is taken.
        class_names: A JSON file with the names of the classes, in the order of a network's outputs.
        targets: Columns of a table that hold what is predicted: a name, or a list of names.
        damaged: "refuse" or "skip" what cannot be read.
        prime: Modulus of modular addition; None is the published one.
        length: Tokens of a sample of a text.
        train_share: Share of the samples that are for training, of modular addition and texts.

    Raises:
        InvalidInputError: If a value is none of those.
    """

    seed: int = SEED
    channels: int | None = None
    n_train: int | None = None
    n_test: int | None = None
    per_class: int | None = None
    image_size: Any = None
    resize: str | None = None
    class_names: str | None = None
    targets: Any = None
    damaged: str | None = None
    prime: int | None = None
    length: int | None = None
    train_share: float | None = None

    def __post_init__(self) -> None:
        try:
            seed_sequence(self.seed)
        except InvalidInputError as error:
            raise InvalidInputError(f"dataset.{error}") from None
        for key in ("n_train", "n_test", "per_class"):
            check_number(key, getattr(self, key))
        if self.per_class is not None and self.n_test is not None:
            raise InvalidInputError(
                f"dataset.n_test={self.n_test} dataset.per_class={self.per_class}: expected one of "
                "the two, so many test samples of all or of every class"
            )
        if self.image_size is not None:
            checked_size(self.image_size, *_IMAGE_SIZE)
        _check_share(self.train_share)
        if self.length is not None and not _is_count(self.length):
            raise InvalidInputError(
                f"dataset.length={self.length!r}; expected a number of characters of 1 or more, or "
                "null for the usual one"
            )
        _check_one_of("resize", self.resize, RESIZES)
        _check_one_of("damaged", self.damaged, DAMAGED)
        if self.class_names is not None and not (
            isinstance(self.class_names, str) and self.class_names
        ):
            raise InvalidInputError(
                f"dataset.class_names={self.class_names!r}; expected the name of a JSON file, or "
                "null"
            )

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) that images become, None where they stay as they are."""
        return None if self.image_size is None else checked_size(self.image_size, *_IMAGE_SIZE)

    @property
    def image_shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) that images become, None where the images alone tell."""
        if self.size is None or self.channels is None:
            return None
        return (*self.size, self.channels)

    def share(self, usual: float) -> float:
        """Return the share of the samples that are for training."""
        return usual if self.train_share is None else float(self.train_share)

    @property
    def is_cropped(self) -> bool:
        """Whether images keep their proportions and lose what is too long."""
        return self.resize == "crop"

    @property
    def skips_damaged(self) -> bool:
        """Whether what cannot be read is left out."""
        return self.damaged == "skip"

    def check_act(self, takes: Collection[str], kind: str) -> None:
        """Check that nothing is asked that this kind of data has not.

        Args:
            takes: What it has, besides seed, n_train and n_test.
            kind: How to speak of it.

        Raises:
            InvalidInputError: If something else is asked; it would change nothing.
        """
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("seed", "n_train", "n_test", *takes):
                continue
            if value in (None, "straight", "refuse"):
                continue
            raise InvalidInputError(
                f"dataset.{field.name}={value!r} changes nothing with {kind}; leave it out"
            )


def _is_count(number: Any) -> bool:
    is_whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
    return is_whole and bool(number >= 1)


def check_number(key: str, number: Any) -> None:
    """Check a number of samples.

    Raises:
        InvalidInputError: If it is none of 1 or more.
    """
    if number is None:
        return
    if not _is_count(number):
        raise InvalidInputError(
            f"dataset.{key}={number!r}; expected a number of samples of 1 or more, or null for all"
        )


def check_available(key: str, number: int | None, available: int | None, name: str) -> None:
    """Check that there are so many samples.

    Raises:
        InvalidInputError: If there are fewer.
    """
    if number is not None and available is not None and number > available:
        raise InvalidInputError(
            f"dataset.{key}={number}, but {name} has {available} such samples; expected at most as "
            "many, or null for all"
        )


def checked_size(size: Any, key: str, null: str) -> tuple[int, int]:
    """Return (height, width) of images.

    Args:
        size: The two, in pixels, or one number for both.
        key: The key of a config that says them.
        null: What null says there.

    Raises:
        InvalidInputError: If they are no numbers of pixels.
    """
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or any(
        isinstance(side, bool) or not isinstance(side, int | np.integer) or side < 1
        for side in sides
    ):
        raise InvalidInputError(
            f"{key}={size!r}; expected a number of pixels, [height, width], or null for {null}"
        )
    return int(sides[0]), int(sides[1])


def _check_share(share: Any) -> None:
    if share is None:
        return
    is_number = isinstance(share, int | float) and not isinstance(share, bool)
    if not is_number or not 0 < share < 1:
        raise InvalidInputError(
            f"dataset.train_share={share!r}; expected a number between 0 and 1, or null for the "
            "usual one"
        )


def _check_one_of(key: str, value: Any, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise InvalidInputError(
            f"dataset.{key}={value!r}{did_you_mean(str(value), known)}; expected "
            f"{' or '.join(known)}"
        )
