"""What a run's code is before there is a run, and a program that refuses to run other code."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.names import listed
from nn_clustering.tracking.run_keys import digest_of
from nn_clustering.tracking.stages.identity import (
    code_facts,
    code_of_names,
    names_in_config,
    with_sources,
)

if TYPE_CHECKING:
    from nn_clustering.tracking.own_code import OwnCode
    from nn_clustering.tracking.stages.definition import StageCode

# By which whoever started the program sees that it refused for its code.
NOT_EXPECTED = "is not the one expected here"


@dataclass(frozen=True)
class NotedCode:
    """A stage's code, from which that of its runs is told.

    Attributes:
        experiment_info: Sacred's.
        code: The stage's own.
        settings: What of a config names code besides.
    """

    experiment_info: Mapping[str, Any]
    code: OwnCode
    settings: StageCode
    # By the current folder, and the names in a config, which most configs have in common.
    _told: dict[tuple[str, frozenset[str]], _Told] = field(default_factory=dict)

    def digest(self, config: Mapping[str, Any]) -> str:
        """The digest of a run's code, for a run with this config."""
        return self._of(config).digest

    def in_words(self, config: Mapping[str, Any]) -> str:
        """The code of a run in a line, from which another process can tell its own."""
        return self._of(config).words

    def named(self, config: Mapping[str, Any]) -> OwnCode:
        """The code of those modules of the user's own that a config names."""
        return self._of(config).named

    def _of(self, config: Mapping[str, Any]) -> _Told:
        names = names_in_config(config, self.settings.keys)
        key = os.getcwd(), names
        if key not in self._told:
            named = code_of_names(names, self.settings.own_packages)
            info = dict(self.experiment_info)
            info["sources"] = with_sources(info, named)
            facts = code_facts(info, self.code | named)
            self._told[key] = _Told(named, digest_of(facts), _in_words(facts))
        return self._told[key]


@dataclass(frozen=True)
class _Told:
    """The code of runs, as it was when it was first asked for: files may be edited later.

    Attributes:
        named: That of the modules that their configs name.
        digest: Of all of it.
        words: What tells it to another process.
    """

    named: OwnCode
    digest: str
    words: str


def check_expected(expected: str, facts: Mapping[str, Any], stage: str) -> None:
    """Refuse code that is not the one expected.

    Args:
        expected: From `NotedCode.in_words`, or the digest of the code alone.
        facts: Of the code, from `code_facts`.
        stage: Whose code it is.

    Raises:
        InvalidInputError: It is another; with what differs, as far as that can be told.
    """
    then = _read(expected)
    if then["code"] == digest_of(facts):
        return
    differing = list(_differing(then, facts)) or ["which of them differs cannot be told"]
    raise InvalidInputError(
        f"the code of {stage} (sources, packages and Python) {NOT_EXPECTED}: {'; '.join(differing)}"
    )


def _in_words(facts: Mapping[str, Any]) -> str:
    plain = {key: facts[key] for key in ("packages", "python")}
    return json.dumps({"code": digest_of(facts), "sources": _of_sources(facts), **plain})


def _read(expected: str) -> dict[str, Any]:
    try:
        found = json.loads(expected)
    except ValueError:
        found = None
    return found if isinstance(found, dict) and "code" in found else {"code": expected}


def _differing(then: Mapping[str, Any], facts: Mapping[str, Any]) -> Iterator[str]:
    now = json.loads(_in_words(facts))
    if then.get("python", now["python"]) != now["python"]:
        is_now, was = (".".join(map(str, of["python"])) for of in (now, then))
        yield f"Python {is_now} instead of {was}"
    installed, expected = now["packages"], then.get("packages", now["packages"])
    changed = [
        f"{name} {installed.get(name, 'missing')} instead of {expected.get(name, 'none')}"
        for name in sorted({*installed, *expected})
        if installed.get(name) != expected.get(name)
    ]
    if changed:
        yield listed(changed)
    if then.get("sources", now["sources"]) != now["sources"]:
        yield "sources"


def _of_sources(facts: Mapping[str, Any]) -> str:
    return digest_of({key: facts[key] for key in ("sources", "names")})
