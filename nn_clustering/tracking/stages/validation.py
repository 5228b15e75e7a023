"""A user's mistakes on the command line of an experiment: found before anything runs."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sacred.utils import SacredError, iterate_flattened

from nn_clustering.tracking.errors import InvalidInputError, did_you_mean
from nn_clustering.tracking.stages.folders import check_writable

_TYPE_NAMES = {
    int: "an integer",
    float: "a number",
    bool: "True or False",
    str: "a word",
    list: "a list",
}
# Files of config keys.
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
# MongoDB stores no larger ones.
_LARGEST_INTEGER = 2**63 - 1
# A config key, as messages have it: followed by its value, and no part of a longer name or a URL.
_KEY = re.compile(r"(?<![\w.?&;/])[a-z_]\w*(?:\.\w+)*(?==)")


class Error(SacredError):  # type: ignore[misc]  # Sacred has no types
    """A user's mistake, as Sacred prints it: one line without a traceback."""

    # Python leaves out the module of a class of __main__ when it prints an exception.
    __module__ = "__main__"

    def __init__(self, message: str) -> None:
        super().__init__(message, print_traceback=False, filter_traceback="never")


def checked_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return Sacred's command line options, the log level in Sacred's spelling.

    Raises:
        InvalidInputError: If one of them would fail with a traceback or lose a run.
    """
    given = dict(options)
    if given.get("--mongo_db"):
        raise InvalidInputError(
            f"-m {given['--mongo_db']}: runs go to the server that MONGO_URL names, else to "
            "the embedded one; leave out -m"
        )
    if given.get("--id"):
        raise InvalidInputError(f"-i {given['--id']}: the database numbers the runs; leave out -i")
    if given.get("--queue") or given.get("--priority"):
        raise InvalidInputError(
            "-q and -P are for queued runs, which nothing would ever start; leave them out to "
            "start the run now"
        )
    beat_interval = given.get("--beat-interval")
    if beat_interval is not None and not _is_positive(beat_interval):
        raise InvalidInputError(
            f"-b {beat_interval}: expected seconds above 0; without heartbeats neither metrics "
            "nor output would be stored"
        )
    capture = given.get("--capture")
    if capture not in (None, "no", "sys", "fd"):
        raise InvalidInputError(f"-C {capture}: expected no, sys or fd (the default)")
    if given.get("--file_storage"):
        check_writable(Path(given["--file_storage"]), f"-F {given['--file_storage']}")
    if given.get("--loglevel") is not None:
        given["--loglevel"] = _log_level(given["--loglevel"])
    return given


def _is_positive(number: str) -> bool:
    try:
        return 0 < float(number) < math.inf
    except ValueError:
        return False


def _log_level(level: str) -> str:
    names = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    if level.isdecimal() or level.upper() in names:
        return level.upper()
    raise InvalidInputError(f"-l {level}: expected {', '.join(names)} or a number from 0 to 50")


def checked_tags(value: Any) -> list[str]:
    """Return tags as a list; a single word is a list of one.

    Raises:
        InvalidInputError: If the value is neither.
    """
    if isinstance(value, str) and value and not set(value) & set("[]()\"', \t\n"):
        return [value]
    if isinstance(value, list | tuple) and all(
        isinstance(tag, str) and tag.strip() for tag in value
    ):
        return list(dict.fromkeys(value))
    raise InvalidInputError(
        f"tags={value!r}: expected a word, tags=first, or a list of words in quotes, "
        "tags=\"['first','second']\""
    )


def check_updates(
    updates: Mapping[str, Any], defaults: Mapping[str, Any], stage: str, documentation: str
) -> None:
    """Check keys and values that the command line sets against the defaults.

    Args:
        updates: What it sets, nested.
        defaults: Every key with its default, nested.
        stage: Name of the stage.
        documentation: The file in which a reader finds every key.

    Raises:
        InvalidInputError: If a key is unknown or a group of keys, or a value cannot be.
    """
    check_known_keys(updates, defaults, stage, documentation)
    check_types(updates, defaults, documentation)
    seed = updates.get("seed", 0)
    if "seed" in defaults and not 0 <= seed < 2**32:
        raise InvalidInputError(f"seed={seed}; expected an integer from 0 to 4294967295")


# What YAML calls them, in which the keys are documented: a command line would take them as words.
_OF_YAML = {"null": None, "true": True, "false": False}


def with_yaml_words(updates: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return updates with null, true and false as what YAML means by them.

    Args:
        updates: What a command sets, nested or by dotted key.
        defaults: Every key with its default, nested. Only keys whose default is None or a truth
            value are changed: elsewhere such a word is one.
    """
    flat = dict(iterate_flattened(dict(defaults)))

    def meant(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: meant(f"{key}.{name}", below) for name, below in value.items()}
        takes_them = key in flat and isinstance(flat[key], bool | None)
        is_one = isinstance(value, str) and value in _OF_YAML
        return _OF_YAML[value] if takes_them and is_one else value

    return {key: meant(key, value) for key, value in updates.items()}


def check_types(config: Mapping[str, Any], defaults: Mapping[str, Any], documentation: str) -> None:
    """Check that values have the type of the defaults; a default of None takes anything.

    Raises:
        InvalidInputError: If one has another type, naming key, value and where it is documented.
    """
    expected_by_key = dict(iterate_flattened(dict(defaults)))
    for key, value in iterate_flattened(dict(config)):
        if any(abs(number) > _LARGEST_INTEGER for number in _integers(value)):
            raise InvalidInputError(
                f"{key}={value!r}: an integer beyond {_LARGEST_INTEGER} cannot be stored; expected "
                f"smaller ones ({documentation} documents every key)"
            )
        expected = type(expected_by_key.get(key))
        if key not in expected_by_key or expected is type(None) or type(value) is expected:
            continue
        if expected is float and type(value) is int:
            continue
        if expected is list and isinstance(value, list | tuple):
            continue
        raise InvalidInputError(
            f"{key}={value!r}: expected {_TYPE_NAMES.get(expected, expected.__name__)} "
            f"({documentation} documents every key)"
        )


def _integers(value: Any) -> Iterator[int]:
    """The integers of a value, those in lists and groups too."""
    if isinstance(value, int):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _integers(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _integers(entry)


def keys_of(message: str) -> list[str]:
    """The config keys that a message speaks of with their values, in order."""
    return _KEY.findall(message)


def with_whole_keys(message: str, defaults: Mapping[str, Any], typed: Collection[str] = ()) -> str:
    """Return a message in which config keys stand as a command line sets them.

    A library speaks of its arguments, ``n_init=0``; the key may be ``kmeans.n_init``.

    Args:
        message: What is wrong. Names that are no key, or could be several, stay as they are.
        defaults: Every key with its default, nested.
        typed: Dotted keys as the user has set them, which stay: ``n_init=0`` may be a key that
            there is not, and is to be found again in the command.
    """
    known = [key for key, _ in iterate_flattened(dict(defaults))]

    def whole(match: re.Match[str]) -> str:
        name = match[0]
        if name in typed:
            return name
        longer = [key for key in known if key.endswith(f".{name}")]
        return longer[0] if name not in known and len(longer) == 1 else name

    return _KEY.sub(whole, message)


def with_keys_of_part(message: str, part: str, defaults: Mapping[str, Any]) -> str:
    """Return a message of a part of a stage, its keys as those of the whole.

    Args:
        message: What is wrong with the part, in its own keys.
        part: Its name.
        defaults: Every key of the part with its default, nested.
    """
    known = {key for key, _ in iterate_flattened(dict(defaults))}

    def whole(match: re.Match[str]) -> str:
        return f"{part}.{match[0]}" if match[0] in known else match[0]

    told = _KEY.sub(whole, with_whole_keys(message, defaults))
    return told if f"{part}." in told else f"{part}: {told}"


def check_exclusive(given: Mapping[str, Mapping[str, Any]], exclusive_keys: Sequence[str]) -> None:
    """Check that no two named configs give one of these keys two values.

    Args:
        given: What each named config, or config file, of the command line sets, by dotted key.
        exclusive_keys: Dotted keys.

    Raises:
        InvalidInputError: Two do, of which the later one would silently undo the first.
    """
    for key in exclusive_keys:
        values = {name: config[key] for name, config in given.items() if key in config}
        if any(value != next(iter(values.values())) for value in values.values()):
            *others, last = values
            raise InvalidInputError(
                f"{', '.join(others)} and {last} {'all' if others[1:] else 'both'} set {key}"
                f"{_listed(values.values())}; name one of them"
            )


def _listed(values: Collection[Any]) -> str:
    """What is short enough to be told, in brackets."""
    is_short = all(isinstance(value, str | int | float | None) for value in values)
    return f" ({', '.join(map(str, values))})" if is_short else ""


def unknown_command(name: str, commands: Collection[str], configs: Collection[str]) -> str:
    """The message for a command that is not there."""
    if name in configs or "=" in name:
        return f"{name} is no command; expected a `with` before it: with {name}"
    return (
        f"{name} is no command{did_you_mean(name, commands)}; there are: {', '.join(commands)}; "
        "named configs and KEY=VALUE stand behind `with`"
    )


def unknown_named_config(name: str, stage: str, known: Collection[str]) -> str:
    """The message for a named config, or a config file, that is not there."""
    path = Path(name)
    if path.suffix in CONFIG_SUFFIXES and path.name != path.suffix:
        return (
            f"{name!r} is no named config of {stage}, and there is no such file; expected a YAML "
            "or JSON file that is there, or a named config (print_named_configs lists them)"
        )
    files = [f"{name}{suffix}" for suffix in CONFIG_SUFFIXES if Path(f"{name}{suffix}").is_file()]
    if files:
        return f"{name!r} is no named config of {stage}; did you mean the file {files[0]}?"
    return (
        f"{name!r} is no named config of {stage}{did_you_mean(name, known)}; there are: "
        f"{', '.join(sorted(known)) or 'none'}; a single key is set as key=value"
    )


def check_paths(argv: Sequence[Any]) -> None:
    """Check that the keys of a command can be told apart, before Sacred sorts them by their dots.

    Raises:
        InvalidInputError: If one is set as a key and as a group of keys, or has a dot too many.
    """
    updates = [str(word) for word in argv[argv.index("with") + 1 :]] if "with" in argv else []
    keys = [update.partition("=")[0].strip() for update in updates if "=" in update]
    for key, update in zip(keys, [update for update in updates if "=" in update], strict=True):
        if key and not all(key.split(".")):
            raise InvalidInputError(
                f"{update}: {key} has a dot too many; expected KEY=VALUE, the key of a group as "
                "GROUP.KEY"
            )
        below = next((longer for longer in keys if longer.startswith(f"{key}.")), None)
        if below is not None:
            raise InvalidInputError(
                f"{update} with {below}=...: {key} cannot be a value and a group of keys; expected "
                "one of the two"
            )


def check_names(config: Mapping[Any, Any]) -> None:
    """Check that all keys of a config, and of its groups, are names.

    Raises:
        InvalidInputError: If one is something else.
    """
    for key, value in config.items():
        if not isinstance(key, str):
            raise InvalidInputError(
                f"the config key {key!r} is a {type(key).__name__}; expected the names of keys, "
                "as in {'seed': 1}"
            )
        if isinstance(value, Mapping):
            check_names(value)


def check_known_keys(
    config: Mapping[str, Any], defaults: Mapping[str, Any], stage: str, documentation: str
) -> None:
    """Check that there are all keys that a config sets; for the arguments see `check_updates`.

    Raises:
        InvalidInputError: If a key is unknown or a group of keys.
    """
    check_names(config)
    known = dict(iterate_flattened(dict(defaults)))
    groups = {
        key[:position] for key in known for position, letter in enumerate(key) if letter == "."
    }
    for key, value in iterate_flattened(dict(config)):
        if key in groups:
            raise InvalidInputError(
                f"{key}={value!r}: {key} is a group of keys; set one of them, "
                f"{', '.join(name for name in known if name.startswith(f'{key}.'))}"
            )
        if key not in known:
            raise InvalidInputError(
                f"{key}={value!r}: {stage} has no such key{did_you_mean(key, known)}; expected one "
                f"of those that {documentation} documents"
            )
