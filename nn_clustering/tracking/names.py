"""Names in messages, and names for files.

Ids, names and keys from a database hold whatever somebody wrote there: none is ever a path, and
each becomes the name of a file by `file_name` alone.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence

NAMED = 10  # names that a message lists at most
LONGEST_NAME = 150  # bytes of a stem; file systems take 255 of a name
_DIGITS = 12
# Letters, digits and few signs, none of which any system or shell takes for more than a sign.
_UNSAFE = re.compile(r"[^\w.()+=,@ -]")
_DIGESTED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}(\.[^.]*)?\Z", re.IGNORECASE)
# Names that are devices on Windows, in any folder and with any ending.
_DEVICE = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE
)


def listed(names: Sequence[object], most: int = NAMED) -> str:
    """The names as a message has them; of many the first."""
    return ", ".join(map(str, names[:most])) + (", ..." if len(names) > most else "")


def file_name(text: str) -> str:
    """A name for a file that belongs to this text alone, and that leads out of no folder.

    It is the text itself, where any system takes that for an ordinary name; otherwise what of it
    can be kept, and a digest of the text.

    Args:
        text: The text, which may hold anything.
    """
    safe = unicodedata.normalize("NFC", _UNSAFE.sub("_", text)).lstrip(".- ").rstrip(". ")
    if _DEVICE.fullmatch(safe):
        safe = f"_{safe}"
    stem, suffix = _split(safe or "unnamed")
    short = _shortened(stem)
    if short + suffix == text and not _DIGESTED.search(text):
        return text
    return _with_digest(short, suffix, text)


def safe_file_names(names: Iterable[str]) -> dict[str, str]:
    """The `file_name` of each text, all different on file systems that know no case, too.

    Args:
        names: The texts, for instance names of a run's artifacts.
    """
    taken: set[str] = set()
    chosen = {}
    for name in names:
        candidate = file_name(name)
        while candidate.casefold() in taken:
            candidate = _with_digest(*_split(candidate), name)
        taken.add(candidate.casefold())
        chosen[name] = candidate
    return chosen


def _split(name: str) -> tuple[str, str]:
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix}") if stem and dot and len(suffix) < 20 else (name, "")


def _with_digest(stem: str, suffix: str, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{stem}-{digest}{suffix}"


def _shortened(stem: str) -> str:
    return stem.encode()[:LONGEST_NAME].decode(errors="ignore")
