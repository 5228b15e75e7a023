"""The URL of a MongoDB server, as people write it: its parts, and what is wrong with it.

No message holds what stands in the URL but names of options: any other part of it may belong to a
password that was not percent-encoded.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import unquote

from nn_clustering.tracking.errors import ServerUnavailableError

URL_FORM = "mongodb://[user:password@]host[:port][/database][?options]"
WAYS_OUT = (
    "check MONGO_URL (or MONGO_URL_FILE), or unset it to use the embedded server "
    "(`python -m nn_clustering.tracking up` starts it)"
)
# Of the server itself: who logs in there does not mean runs to be there.
SYSTEM_DATABASES = ("admin", "local", "config", "$external")
# Users that are known outside of the server are looked up there, whatever the path says; those of
# PLAIN where it says nothing.
_EXTERNAL = ("GSSAPI", "MONGODB-X509", "MONGODB-AWS", "MONGODB-OIDC")


class UrlParts(NamedTuple):
    """The parts of a MongoDB URL.

    Attributes:
        scheme: With its `://`.
        user: And password; empty for none.
        hosts: Host and port of each member, comma separated.
        path: A database, empty for none.
        options: What follows the `?`.
    """

    scheme: str
    user: str
    hosts: str
    path: str
    options: str


def split_url(url: str) -> UrlParts:
    """The parts of a URL, whatever is wrong with it."""
    scheme, separator, rest = url.partition("://")
    rest, _, options = rest.partition("?")
    # The last '@' ends the password, even where it was not percent-encoded as it should be.
    user, _, tail = rest.rpartition("@")
    hosts, _, path = tail.partition("/")
    return UrlParts(scheme + separator, user, hosts, path, options)


def join_url(parts: UrlParts) -> str:
    """The URL of these parts."""
    login = f"{parts.user}@" if parts.user else ""
    options = f"?{parts.options}" if parts.options else ""
    return f"{parts.scheme}{login}{parts.hosts}/{parts.path}{options}"


def option(url: str, name: str) -> str | None:
    """The value of the URL's first option of that name (in any case), None without."""
    values = (value for key, value in _options(url) if key.lower() == name.lower())
    return next(values, None)


def without_options(url: str, names: Collection[str]) -> str:
    """The URL without the options of these names, in any case."""
    left_out = {name.lower() for name in names}
    kept = [f"{key}={value}" for key, value in _options(url) if key.lower() not in left_out]
    return join_url(split_url(url)._replace(options="&".join(kept)))


def with_database(url: str, database: str) -> str:
    """The URL with this database as its path, logging in as the URL did before.

    The path of a MongoDB URL is also where the user is looked up unless `authSource` says
    otherwise, so what the path meant goes there.
    """
    parts = split_url(url)
    options = parts.options
    mechanism = (option(url, "authMechanism") or "").upper()
    if parts.user and option(url, "authSource") is None and mechanism not in _EXTERNAL:
        usual = "$external" if mechanism == "PLAIN" else "admin"
        source = f"authSource={parts.path or usual}"
        options = f"{options}&{source}" if options else source
    return join_url(parts._replace(path=database, options=options))


def database_of(url: str) -> str:
    """The database that the URL's path names; empty for none, and for one of the server's own."""
    path = unquote(split_url(url).path)
    return "" if path in SYSTEM_DATABASES else path


def unknown_options(url: str) -> list[str]:
    """The names of the URL's options that the driver does not know."""
    return [key for key, value in _options(url) if "Unknown option" in _problem_of(key, value)]


def require_well_formed(url: str, variable: str) -> None:
    """Refuse a URL that the driver cannot use; options that it does not know are no reason.

    Args:
        url: The URL.
        variable: The environment's variable that holds it, or the name of a file that does.

    Raises:
        ServerUnavailableError: It is malformed, or an option has a wrong value.
    """
    scheme, user, hosts, path, options = split_url(url)
    is_url = scheme in ("mongodb://", "mongodb+srv://") and bool(hosts) and url.isprintable()
    address = join_url(UrlParts("mongodb://", user, hosts, path, ""))
    # To parse a +srv URL is to ask the name service; that is left to `connect`.
    is_srv = scheme == "mongodb+srv://"
    # An '@' among the options means that a password has a '?'.
    if not is_url or "@" in options or (not is_srv and _is_refused(address)):
        raise ServerUnavailableError(
            f"{variable} holds no address of a MongoDB server: expected {URL_FORM}, with "
            f"': / ? # [ ] @ %' in user or password percent-encoded; {WAYS_OUT}"
        )
    if not all("=" in part for part in re.split("[&;]", options) if part):
        raise ServerUnavailableError(
            f"an option in {variable} has no value; expected name=value, joined by '&'; {WAYS_OUT}"
        )
    _require_good_options(url, variable)
    known = without_options(url, unknown_options(url))
    if not is_srv and _is_refused(known):
        raise ServerUnavailableError(
            f"the options in {variable} contradict each other, or need another; expected "
            f"those that go together; {WAYS_OUT}"
        )


def _require_good_options(url: str, variable: str) -> None:
    for key, value in _options(url):
        problem = _problem_of(key, value)
        if problem and "Unknown option" not in problem:
            # The driver's words, unless they repeat the value.
            reason = f" ({problem})" if value and value not in problem else ""
            raise ServerUnavailableError(
                f"option {key} in {variable} has a wrong value{reason}; expected one that the "
                f"driver takes, the next option behind '&'; {WAYS_OUT}"
            )


def _options(url: str) -> list[tuple[str, str]]:
    """Name and value of each option."""
    parts = re.split("[&;]", split_url(url).options)
    pairs = [part.partition("=") for part in parts if part]
    return [(key, value) for key, _, value in pairs]


def _problem_of(key: str, value: str) -> str:
    """What the driver says of an option on its own; empty where that is right."""
    if key.lower().startswith("srv"):  # only right in a +srv URL
        return ""
    return _refusal(f"mongodb://localhost/?{key}={value}")


def _is_refused(url: str) -> bool:
    return bool(_refusal(url))


def _refusal(url: str) -> str:
    from pymongo.errors import PyMongoError
    from pymongo.uri_parser import parse_uri

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `connect` has the driver say it
        try:
            parse_uri(url, warn=False)
        except (PyMongoError, ValueError, TypeError, OSError) as problem:
            return " ".join(str(problem).split()) or type(problem).__name__
    return ""
