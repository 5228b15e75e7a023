"""Images out of files as bytes of red, green and blue, of one size; what is wrong with others."""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nn_clustering.datasets._images import luminance
from nn_clustering.errors import in_one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
# Of 16-bit images, whose white becomes that of bytes.
WHITE_16 = 65535


# The EXIF tag of how the camera was held, and its values for images that lie on their side.
_ORIENTATION = 0x0112
_ON_ITS_SIDE = (5, 6, 7, 8)
# Formats whose EXIF data are read without decoding the image.
_WITH_EXIF = ("JPEG", "MPO", "WEBP")


class DamagedImageError(Exception):
    """An image cannot be read; says why."""


@dataclass(frozen=True)
class Header:
    """What the beginning of an image's file says.

    Attributes:
        size: (height, width), as it is seen when it is turned upright.
        is_grey: Whether it has no colours.
    """

    size: tuple[int, int]
    is_grey: bool


@dataclass(frozen=True)
class Shape:
    """What images are made of as they are read.

    Attributes:
        height: In pixels.
        width: In pixels.
        channels: 1 or 3.
        is_cropped: Whether images of other proportions lose what is too long.
        is_upright: Whether images are turned as their camera says (EXIF).
    """

    height: int
    width: int
    channels: int
    is_cropped: bool = False
    is_upright: bool = True


@contextmanager
def bombs_refused() -> Iterator[None]:
    """Within the block an image of more pixels than Pillow thinks safe is an error.

    For the thread that starts others: what is to become of warnings belongs to the whole process.
    """
    from PIL import Image

    with warnings.catch_warnings():
        # Of damaged EXIF data and the like, which changes no pixel.
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_header(content: bytes, *, is_upright: bool, is_whole: bool) -> Header:
    """Read what the beginning of an image's file says, and check that the rest is there.

    Args:
        content: The file.
        is_upright: Whether images are turned as their camera says.
        is_whole: Whether every image is decoded, which alone finds all damage; else those that
            are of another format than JPEG and PNG, or do not end as these do.

    Raises:
        DamagedImageError: If it is damaged, or no image.
    """
    with _opened(content) as image:
        width, height = image.size
        if is_upright and _orientation(image) in _ON_ITS_SIDE:
            width, height = height, width
        header = Header((height, width), image.mode in GREY_MODES)
        if is_whole or not _ends_well(content, image.format):
            image.load()
        elif image.format == "PNG":
            image.verify()
    return header


def decode(content: bytes, shape: Shape) -> NDArray[np.uint8]:
    """Return the pixels of an image, of shape (height, width, channels).

    Pillow's resampling, as :func:`nn_clustering.datasets._images.resize` has it.

    Args:
        content: The image's file.
        shape: What is made of it.

    Raises:
        DamagedImageError: If it is damaged, or no image.
    """
    from PIL import Image, ImageOps

    with _opened(content) as opened:
        is_turned = shape.is_upright and _orientation(opened) != 1
        image = _in_bytes(ImageOps.exif_transpose(opened) if is_turned else opened)
        size, box = (shape.width, shape.height), None
        if shape.is_cropped:
            box = middle(image.height, image.width, shape.height, shape.width)
        if image.size != size:
            image = image.resize(size, Image.Resampling.BILINEAR, box=box)
        pixels: NDArray[np.uint8] = np.asarray(image).reshape(shape.height, shape.width, -1)
    if pixels.shape[2] == shape.channels:
        return pixels
    if shape.channels == 1:
        grey: NDArray[np.uint8] = luminance(pixels[np.newaxis])[0]
        return grey
    grey_thrice: NDArray[np.uint8] = np.repeat(pixels, shape.channels, axis=2)
    return grey_thrice


def middle(
    height: int, width: int, new_height: int, new_width: int
) -> tuple[float, float, float, float]:
    """Return the largest part, from the middle, that has the proportions of another size.

    Returns:
        Left, upper, right and lower side, in pixels.
    """
    scale = min(height / new_height, width / new_width)
    left, top = (width - new_width * scale) / 2, (height - new_height * scale) / 2
    return left, top, left + new_width * scale, top + new_height * scale


@contextmanager
def _opened(content: bytes) -> Iterator[Image.Image]:
    from PIL import Image

    if not content:
        raise DamagedImageError("it is empty")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            yield image
    except Image.UnidentifiedImageError:
        raise DamagedImageError(f"it is no image of {', '.join(FORMATS)}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DamagedImageError(
            f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels, which may be meant to fill the "
            "memory"
        ) from None
    # whatever the decoders object to: they raise these and others on damaged files
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, KeyError,
            OverflowError, AttributeError, struct.error, MemoryError) as error:  # fmt: skip
        raise DamagedImageError(in_one_line(error)) from error


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format in _WITH_EXIF else 1


def _ends_well(content: bytes, kind: str | None) -> bool:
    """Return whether a file ends as its kind does; decoders tell where this is false."""
    if kind in ("JPEG", "MPO"):  # the mark of the end follows the last scan
        return content.rfind(b"\xff\xd9") > content.rfind(b"\xff\xda")
    return kind == "PNG"


def _in_bytes(image: Image.Image) -> Image.Image:
    """Return an image as bytes of grey, or of red, green and blue; on white what is transparent."""
    from PIL import Image

    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64).clip(0, WHITE_16)
        return Image.fromarray(((values * 255 + WHITE_16 // 2) // WHITE_16).astype(np.uint8))
    if image.has_transparency_data:
        is_grey = image.mode in GREY_MODES
        seen: Any = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, seen).convert("L" if is_grey else "RGB")
    if image.mode in GREY_MODES:
        return image.convert("L")
    return image if image.mode == "RGB" else image.convert("RGB")
