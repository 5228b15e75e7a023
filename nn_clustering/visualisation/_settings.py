"""What an image is optimised for, what it is made of and how; needs no Keras (methods H1, H2)."""

from dataclasses import dataclass

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import POSITIONS

# What makes one number of the units of a sub-cluster.
REDUCTIONS = ("sum", "absolute", "mean")
# What an image is a combination of: waves, or its own pixels.
BASES = ("fourier", "pixels")


@dataclass(frozen=True)
class Objective:
    """What an input is to make large: a number of the units of a sub-cluster (methods H2).

    A unit's value is the mean over positions of its map, or the value itself where it has no map.

    Attributes:
        reduction: One of :data:`REDUCTIONS`: the sum over units, the sum of absolute values, or the
            mean.
        position: ``post``, after the unit's nonlinearity, or ``pre``, before it.

    Raises:
        InvalidInputError: If a value is unknown.
    """

    reduction: str = "sum"
    position: str = "post"

    def __post_init__(self) -> None:
        _check_word("reduction", self.reduction, REDUCTIONS)
        _check_word("position", self.position, POSITIONS)


@dataclass(frozen=True)
class Parametrisation:
    """What an image is made of (methods H1).

    Attributes:
        basis: One of :data:`BASES`; None for fourier of images, and pixels of other samples.
        decorrelate: Whether what is optimised are colours as they vary in photographs, not red,
            green and blue; None for images of three channels.

    Raises:
        InvalidInputError: If a value is unknown.
    """

    basis: str | None = None
    decorrelate: bool | None = None

    def __post_init__(self) -> None:
        if self.basis is not None:
            _check_word("basis", self.basis, BASES)
        if self.decorrelate not in (None, True, False):
            raise InvalidInputError(
                f"decorrelate={self.decorrelate!r}; expected true, false or null"
            )


@dataclass(frozen=True)
class Transformations:
    """How an image is moved at random before each step, so that it does not hang on single pixels.

    Attributes:
        jitter: The farthest that it is moved along each axis, in pixels.
        scaling: The most that it is made larger or smaller, as a share: 0.1 for 0.9 to 1.1.
        rotation: The farthest that it is turned, in degrees.

    Raises:
        InvalidInputError: If a value is out of range.
    """

    jitter: float = 0.0
    scaling: float = 0.0
    rotation: float = 0.0

    def __post_init__(self) -> None:
        _check_number("jitter", self.jitter, 0, float("inf"))
        _check_number("scaling", self.scaling, 0, 1)
        _check_number("rotation", self.rotation, 0, 180, inclusive=True)

    @property
    def any(self) -> bool:
        """Whether an image is moved at all."""
        return bool(self.jitter or self.scaling or self.rotation)


@dataclass(frozen=True)
class Ascent:
    """How an image is optimised: by Adam, as in the studies (methods H1).

    Attributes:
        n_steps: Number of steps.
        learning_rate: Of Adam.
        redirect_relu: Whether in the first steps the gradient passes rectified units that no image
            would ever leave otherwise: those of an image on which all of them are silent.

    Raises:
        InvalidInputError: If a value is out of range.
    """

    n_steps: int = 256
    learning_rate: float = 0.05
    redirect_relu: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.n_steps, bool) or not isinstance(self.n_steps, int) or self.n_steps < 1:
            raise InvalidInputError(f"n_steps={self.n_steps!r}; expected an integer of 1 or more")
        if self.n_steps > 1_000_000:
            raise InvalidInputError(f"n_steps={self.n_steps}; expected 1,000,000 at most")
        _check_number("learning_rate", self.learning_rate, 0, float("inf"), above=True)
        if not isinstance(self.redirect_relu, bool):
            raise InvalidInputError(f"redirect_relu={self.redirect_relu!r}; expected true or false")


def _check_word(name: str, value: object, words: tuple[str, ...]) -> None:
    if value not in words:
        raise InvalidInputError(f"{name}={value!r}; expected one of {', '.join(words)}")


def _check_number(
    name: str,
    value: object,
    low: float,
    high: float,
    *,
    inclusive: bool = False,
    above: bool = False,
) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    in_range = is_number and low <= value < high and not (above and value == low)  # type: ignore[operator]
    if in_range or (inclusive and value == high):
        return
    start = f"more than {low:g}" if above else f"{low:g} or more"
    end = f"at most {high:g}" if inclusive else f"less than {high:g}"
    expected = start + ("" if high == float("inf") else f" and {end}")
    raise InvalidInputError(f"{name}={value!r}; expected a number, {expected}")
