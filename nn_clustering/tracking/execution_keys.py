"""The keys of a config that say how to run rather than what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

OWN_KEYS = ("reuse", "tags")
# The number of threads that a run computes with, which changes what it gives: its last digits.
N_THREADS = "n_threads"
# A stage that runs as a part of another has those of the whole.
KEYS_OF_THE_WHOLE = (*OWN_KEYS, N_THREADS)
# Of a stage that can be run several times by one command, which has the first of them.
REPEAT_KEYS = ("n_repeats", "n_workers")
# Names the unfinished run that a stage goes on with, where it can.
RESUME = "resume"
# The variable of a process whose stages shall all run, whether they have the key `reuse` or not.
NO_REUSE = "NN_CLUSTERING_NO_REUSE"
# The variable of a program that shall refuse to run other code than this: a stage's `code_digest`,
# or its `expected_code`, from which it is told what differs.
EXPECTED_CODE = "NN_CLUSTERING_EXPECTED_CODE"


def own_keys(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The keys of a stage's config that say how to run rather than what."""
    return (*OWN_KEYS, *REPEAT_KEYS) if REPEAT_KEYS[0] in config else OWN_KEYS
