"""What the machine has to compute with."""

import os
import subprocess
import sys

import pytest

from nn_clustering.machine import in_units, memory_bytes, most_workers


def test_memory_is_that_of_the_machine_or_of_its_container():
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 2**26 < memory_bytes() <= machine


def test_memory_is_no_more_than_the_container_may_take(tmp_path, monkeypatch):
    machine = memory_bytes()
    for name, content in {"limited": "123456789\n", "unlimited": "max\n"}.items():
        (tmp_path / name).write_text(content)
    for names, expected in ((["unlimited", "missing", "limited"], 123456789), (["unlimited"], 0)):
        places = tuple(str(tmp_path / name) for name in names)
        monkeypatch.setattr("nn_clustering.machine._LIMITS", places)
        assert memory_bytes() == expected if expected else memory_bytes() >= machine


def test_memory_is_no_more_than_a_process_may_take():
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_DATA, (2 * 10**9,) * 2)\n"
        "from nn_clustering.machine import memory_bytes; print(memory_bytes())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 2 * 10**9


def test_more_workers_than_processors_are_let_through():
    assert most_workers() >= max(64, 4 * os.cpu_count())


@pytest.mark.parametrize(
    ("n_bytes", "expected"),
    [(12, "12 bytes"), (1500, "1.5 kB"), (25.3e9, "25.3 GB"), (4.1e15, "4.1 PB")],
)
def test_numbers_of_bytes_in_words(n_bytes, expected):
    assert in_units(n_bytes) == expected
