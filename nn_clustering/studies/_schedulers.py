"""Schedulers of Dask Distributed: whether one answers, and which versions it has."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError, NnClusteringError, in_one_line

if TYPE_CHECKING:
    from distributed import Client, Security

# A scheduler that has not answered by then will not.
ANSWER_SECONDS = 5.0
INSTALL = 'pip install "nn_clustering[cluster]"'
CLIENT_NAME = "nn_clustering"
_ADDRESS = re.compile(r"((tcp|tls|wss?|ucxx?)://)?([^\s/:\[\]]+|\[[^\s/]+\]):\d{1,5}")
# Their logs tell of what a study says in a line, or of what is meant to happen.
_TALKATIVE = ("distributed", "tornado", "bokeh", "asyncio")


class SchedulerUnavailableError(NnClusteringError):
    """No scheduler of Dask answers."""


def import_distributed() -> Any:
    """Return the package distributed, which comes with an extra.

    Raises:
        InvalidInputError: If it is not installed.
    """
    try:
        import distributed
    except ImportError as error:
        raise InvalidInputError(
            f"a study needs Dask Distributed ({in_one_line(error)}); install it with {INSTALL}"
        ) from error
    return distributed


def new_keys() -> Security:
    """Return keys for a scheduler and its workers, which are kept in memory alone.

    Raises:
        InvalidInputError: If what makes them is not installed.
    """
    try:
        return import_distributed().Security.temporary()
    except ImportError as error:
        raise InvalidInputError(
            f"a study's workers need keys ({in_one_line(error)}); install what makes them with "
            f"{INSTALL}"
        ) from error


def check_address(scheduler: Any) -> None:
    """Raise InvalidInputError if an address is none that a scheduler can have."""
    if not isinstance(scheduler, str) or _ADDRESS.fullmatch(scheduler) is None:
        raise InvalidInputError(
            f"scheduler={scheduler!r} is no address; expected one like tcp://host:8786"
        )


def connect_client(
    scheduler: str | None,
    scheduler_file: str | os.PathLike[str] | None = None,
    seconds: float = ANSWER_SECONDS,
) -> Client:
    """Connect to a scheduler that is there already.

    Args:
        scheduler: Its address.
        scheduler_file: Or the file that says it.
        seconds: For how long to wait for an answer.

    Raises:
        InvalidInputError: If the address is none, distributed is not installed, or the versions
            there are others.
        SchedulerUnavailableError: If none answers.
    """
    client_class = import_distributed().Client
    address, named = scheduler, {}
    if scheduler_file is not None:
        address = _written_address(Path(scheduler_file))
        named = {"scheduler_file": os.fspath(scheduler_file)}  # which the client remembers
    _check_keys(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions, which are looked at below
            client: Client = client_class(
                None if named else address,
                timeout=seconds,
                set_as_default=False,
                name=CLIENT_NAME,
                **named,
            )
    except (OSError, TimeoutError) as error:
        raise SchedulerUnavailableError(
            f"no scheduler answers at {address}; expected one there, as by `dask scheduler`"
        ) from error
    except (ValueError, TypeError, RuntimeError, ImportError) as error:
        raise InvalidInputError(
            f"scheduler={address!r} is no address; expected one like tcp://host:8786 "
            f"({in_one_line(error)})"
        ) from error
    try:
        _check_versions(client)
    except BaseException:
        close_client(client)
        raise
    return client


def close_client(client: Client) -> None:
    """Leave a scheduler, which may be gone."""
    with contextlib.suppress(Exception):
        client.close(timeout=1)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Within the block, Dask's logs stay off the terminal.

    Raises:
        InvalidInputError: If distributed is not installed.
    """
    import_distributed()  # which sets the levels
    before = {
        name: logger.level
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger) and name.split(".")[0] in _TALKATIVE
    }
    for name in before:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def own_versions() -> dict[str, str]:
    """Return the versions that have to be the same wherever a study runs."""
    return {
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "distributed": str(import_distributed().__version__),
    }


def different_versions(theirs: Mapping[str, str]) -> str:
    """Return what differs from here, in words; empty where nothing does.

    Args:
        theirs: `own_versions` of another process.
    """
    return ", ".join(
        f"{name} {theirs[name]} (here {version})"
        for name, version in own_versions().items()
        if theirs.get(name, version) != version
    )


def _check_keys(address: str | None) -> None:
    """Raise InvalidInputError if a scheduler wants keys, and Dask's configuration has none."""
    keys = import_distributed().Security().get_connection_args("client")
    if str(address).startswith("tls://") and keys.get("ssl_context") is None:
        raise InvalidInputError(
            f"the scheduler {address} wants keys; expected them in Dask's configuration, under "
            "distributed.comm.tls"
        )


def _check_versions(client: Client) -> None:
    found: Any = client.sync(client.scheduler.versions)
    theirs = {
        "Python": ".".join(str(found["host"]["python"]).split(".")[:2]),
        "distributed": str(found["packages"]["distributed"]),
    }
    differences = different_versions(theirs)
    if differences:
        raise InvalidInputError(
            f"the scheduler {client.scheduler.address} has {differences}; expected the same as here"
        )


def _written_address(path: Path) -> str:
    try:
        address: str = json.loads(path.read_text())["address"]
    except FileNotFoundError:
        raise SchedulerUnavailableError(
            f"scheduler_file={os.fspath(path)!r}: no such file; expected that of "
            "`dask scheduler --scheduler-file`, which it writes when it starts"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            f"scheduler_file={os.fspath(path)!r} says no address ({in_one_line(error)}); expected "
            "that of `dask scheduler --scheduler-file`"
        ) from error
    return address
