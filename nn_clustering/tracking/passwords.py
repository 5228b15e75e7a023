"""Text without the passwords of the URLs in it, odd ones that nobody percent-encoded included.

A login ends at an `@`, and so can what it holds: which one is meant depends on what stands around
the URL. In doubt more is masked, for a word that is missing harms less than a password that is not:

- In a sentence, up to the last `@` before the next blank or quote. What looks like `user:password`
  may hold quotes, and blanks where no `@` comes before the first; a port is no password.
- Where the URL is a value (it begins the text or a line, stands in quotes, or behind `=` or `:`)
  and looks like `user:password`, up to the last `@` of the value: the whole of it is the URL.
- The passwords of MONGO_URL, MONGO_READER_URL and IMPORT_MONGO_URL are known, and masked wherever
  they stand, percent-encoded or not, unless they are short, or a mere word or number.

Text without `://` is never a URL: `git@github.com:x` stays, as does `http://a/b, mail ann@b.c`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote, quote_plus, unquote, unquote_plus

MASK = "***"
EXPLAINED = "[user:password@]"  # as messages say what a URL looks like
# Characters of a login at most: a token may be long, and a line of output longer.
LONGEST_LOGIN = 4096
SHORTEST_KNOWN = 8
_URLS = ("MONGO_URL", "MONGO_READER_URL", "IMPORT_MONGO_URL")
_VARIABLES = tuple(name for url in _URLS for name in (url, f"{url}_FILE"))
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*\Z"
_LONGEST_SCHEME = 40
_QUOTED = re.compile(r"(\\*)(['\"`])" + _SCHEME)
_VALUE = re.compile(r"(?:^|[\r\n=]|:[ \t]*)[ \t]*" + _SCHEME)
_LINE = re.compile(r"[^\r\n]*")
_WORD = re.compile(r"\S*")
_UNQUOTED_WORD = re.compile(r"[^\s'\"`]*")
# `user:`, or `host:` of `host:port`; a user may be an address of mail.
_USER = re.compile(r"(\[[0-9A-Fa-f:.]*\]|[^\s/'\"`:?#]*):")
_PORT = re.compile(r"\d{1,5}(?=[/?#\s'\"`,;)\]}>]|$)")
_QUOTE_ENDS = re.compile(r"[\s,;:)\]}>\\'\"`]|\.(?:\s|$)|$")
# What else in a MongoDB URL is secret.
_SECRET_OPTION = re.compile(
    r"(tlsCertificateKeyFilePassword=|AWS_SESSION_TOKEN:)[^&;,\s'\"`]+", re.IGNORECASE
)


def mask_passwords(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """The text with the user and password of every URL in it replaced by `***`.

    Args:
        text: Any text.
        environ: Where MONGO_URL and its like are looked up, whose passwords are known.
    """
    if len(text) < SHORTEST_KNOWN:
        return text
    for password in _known_passwords(*[environ.get(name, "") for name in _VARIABLES]):
        text = text.replace(password, MASK)
    return mask_logins(text)


def mask_logins(text: str) -> str:
    """The same where no password is known; it takes next to no time where there is no URL."""
    if "://" not in text:
        return text
    text = _SECRET_OPTION.sub(rf"\1{MASK}", text)
    if "@" not in text:
        return text
    parts, done = [], 0
    while (found := text.find("://", done)) >= 0:
        start = found + 3
        length = _login_length(text, start)
        parts += [text[done:start], f"{MASK}@" if length else ""]
        done = start + length
    return "".join([*parts, text[done:]])


def _login_length(text: str, start: int) -> int:
    """How many characters from `start`, behind `://`, are a login and its `@`; 0 for none."""
    if text.startswith(EXPLAINED, start) or text.find("@", start, start + LONGEST_LOGIN) < 0:
        return 0
    line = _matched(_LINE, text[start : start + LONGEST_LOGIN])
    before = text[max(0, start - 3 - _LONGEST_SCHEME) : start - 3]
    quoted = _QUOTED.search(before)
    if quoted:
        value = _until_quote(line, quoted[2], len(quoted[1]))
        return _length_in_value(value) or _length_in_sentence(line)
    if _VALUE.search(before):
        return _length_in_value(line)
    return _length_in_sentence(line)


def _length_in_value(value: str) -> int:
    """The same where the text is all of a value that begins with the URL."""
    return 1 + (value if _has_user(value, is_value=True) else _matched(_WORD, value)).rfind("@")


def _length_in_sentence(line: str) -> int:
    """The same where the URL stands in a sentence, the rest of whose line this is."""
    if not _has_user(line, is_value=False):
        return 1 + _matched(_UNQUOTED_WORD, line).rfind("@")
    word = _matched(_WORD, line)
    if "@" in word:
        return 1 + word.rfind("@")
    first = line.find("@")
    return 0 if first < 0 else 1 + first + _matched(_WORD, line[first:]).rfind("@")


def _has_user(line: str, *, is_value: bool) -> bool:
    """Whether the line begins with `user:password`, and not with `host:port`.

    A password can look like a port; where there is nothing but the URL, only what looks like a
    host makes it one.
    """
    user = _USER.match(line)
    if user is None:
        return False
    is_port = _PORT.match(line, user.end()) is not None
    return not (is_port and (not is_value or _is_host(user[1])))


def _is_host(name: str) -> bool:
    is_named = "." in name or name.startswith("[") or name == "localhost"
    return is_named and "@" not in name


def _until_quote(line: str, quote: str, n_escapes: int) -> str:
    """The line up to the quote that closes: as deep as the first, with no word right after it."""
    for found in re.finditer(rf"(?<!\\)(\\*){quote}", line):
        is_as_deep = (len(found[1]) - n_escapes) % (2 * n_escapes + 2) == 0
        if is_as_deep and _QUOTE_ENDS.match(line, found.end()):
            return line[: found.start()]
    return line


def _matched(pattern: re.Pattern[str], line: str) -> str:
    """What of the line's beginning the pattern, which may match nothing, matches."""
    found = pattern.match(line)
    return found[0] if found else ""


@lru_cache(maxsize=8)
def _known_passwords(*settings: str) -> tuple[str, ...]:
    """The passwords of the URLs that `_VARIABLES` hold, as a text may have them, longest first."""
    found: set[str] = set()
    for name, value in zip(_VARIABLES, settings, strict=True):
        url = _content(value) if value and name.endswith("_FILE") else value
        login = url.partition("://")[2].rpartition("@")[0]
        raw = login.partition(":")[2]
        for password in {raw, unquote(raw), unquote_plus(raw)}:
            found |= {password, quote(password, safe=""), quote_plus(password)}
    return tuple(sorted(filter(_is_tellable, found), key=len, reverse=True))


def _content(path: str) -> str:
    try:
        return Path(path.strip()).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):  # who connects is told
        return ""


def _is_tellable(password: str) -> bool:
    """Whether a text that holds it most likely means it."""
    return len(password) >= SHORTEST_KNOWN and not (password.isalpha() or password.isdigit())
