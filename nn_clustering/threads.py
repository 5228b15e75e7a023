"""Linear algebra with one thread, so that no digit depends on how many cores there are."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

_LOCK = Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let numpy and scipy compute with one thread inside the block, in this process.

    The number of threads belongs to the whole process. Blocks may overlap in several Python
    threads: the number is set back when the last of them ends.
    """
    with _LOCK:
        limit = _limit()
        limit.enter()
    try:
        yield
    finally:
        with _LOCK:
            limit.leave()


class _Limit:
    """Counts the blocks that are running."""

    def __init__(self) -> None:
        # Loads the linear algebra library of scipy, which is not the one of numpy: libraries that
        # are loaded later would not be found.
        import scipy.linalg  # noqa: F401
        from threadpoolctl import ThreadpoolController

        # Looking for the libraries takes longer than clustering a small graph.
        self._libraries = ThreadpoolController().select(user_api="blas")
        self._n_blocks = 0
        self._limiter: Any = None

    def enter(self) -> None:
        if self._n_blocks == 0:
            _let_this_thread_decide()
            self._limiter = self._libraries.limit(limits=1)
        self._n_blocks += 1

    def leave(self) -> None:
        from threadpoolctl import OpenBLASController

        self._n_blocks -= 1
        if self._n_blocks == 0:
            _let_this_thread_decide()
            self._limiter.restore_original_limits()
            OpenBLASController.clear_controlling_thread()


def _let_this_thread_decide() -> None:
    from threadpoolctl import OpenBLASController

    # threadpoolctl lets only the first Python thread that asks set the number of OpenBLAS, and
    # ignores the others silently until that one is done. Here blocks are counted instead.
    OpenBLASController.clear_controlling_thread(force=True)


@cache
def _limit() -> _Limit:
    return _Limit()
