"""Linear algebra with one thread, also where several Python threads ask for it."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import scipy.linalg  # noqa: F401  # its library, or the fixture would not find it
from threadpoolctl import threadpool_info, threadpool_limits

from nn_clustering.threads import one_thread


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        yield


def n_threads():
    (n,) = {
        library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"
    }
    return n


def test_threads_are_given_back():
    with one_thread():
        assert n_threads() == 1
        with one_thread():
            assert n_threads() == 1
        assert n_threads() == 1
    assert n_threads() == 2


def test_threads_are_given_back_after_an_error():
    with pytest.raises(ZeroDivisionError), one_thread():
        1 / 0  # noqa: B018
    assert n_threads() == 2


def test_another_python_thread_may_ask_while_the_first_holds_a_limit():
    def inside():
        with one_thread():
            return n_threads()

    with ThreadPoolExecutor(1) as another:
        assert another.submit(inside).result() == 1
    assert n_threads() == 2


def test_the_last_block_that_ends_gives_threads_back():
    """Of two Python threads the one that begins first ends first, and stays alive."""
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        blocks = ExitStack(), ExitStack()
        first.submit(blocks[0].enter_context, one_thread()).result()
        second.submit(blocks[1].enter_context, one_thread()).result()
        first.submit(blocks[0].close).result()
        assert n_threads() == 1
        second.submit(blocks[1].close).result()
        assert n_threads() == 2
