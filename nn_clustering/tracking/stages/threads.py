"""The number of threads that a run computes with, for the time of the run.

It fixes the order in which libraries add numbers up, and so the last digits of what they give.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.execution_keys import N_THREADS

# Read by what is loaded later, and by processes that are started: OpenMP's and the linear algebra's
# libraries, TensorFlow, and joblib, which counts processors by the last.
VARIABLES = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS", "LOKY_MAX_CPU_COUNT",
)  # fmt: skip


def most_workers() -> int:
    """How many processes side by side this machine can make use of, with much to spare."""
    return max(64, 4 * (os.cpu_count() or 1))


def check_threads(config: Mapping[str, Any]) -> None:
    """Check the number of threads, where a config has one.

    Raises:
        InvalidInputError: It is no positive integer, or more than any machine like this one needs.
    """
    n_threads, most = config.get(N_THREADS), most_workers()
    if n_threads is None:
        return
    if type(n_threads) is not int or not 1 <= n_threads <= most:
        raise InvalidInputError(
            f"{N_THREADS}={n_threads!r}: expected an integer from 1 to {most} "
            f"({os.cpu_count()} processors are here), or None"
        )


class Threads:
    """The threads of this process, which are set within a block and back at its end.

    What is loaded within the block keeps its number.
    """

    def __init__(self) -> None:
        """Leave all as it is."""
        self._n_threads: int | None = None
        self._former = ExitStack()

    def use(self, n_threads: int | None) -> None:
        """Compute with so many, in this process and those that it starts; None for as it is."""
        if n_threads is None or n_threads == self._n_threads:
            return
        from threadpoolctl import threadpool_limits

        self._former.close()
        self._former.callback(_restore, {name: os.environ.get(name) for name in VARIABLES})
        os.environ.update(dict.fromkeys(VARIABLES, str(n_threads)))
        # Libraries that are loaded already have read their variable.
        self._former.enter_context(threadpool_limits(n_threads))
        self._n_threads = n_threads

    def __enter__(self) -> Threads:
        return self

    def __exit__(self, *error: object) -> None:
        self._former.close()
        self._n_threads = None


def _restore(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
