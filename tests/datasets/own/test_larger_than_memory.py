"""More data than the memory that a process may have."""

import os

import numpy as np

from tests.programs import environment, run_python

IMAGES = (1500, 224, 224, 3)  # 226 MB
PROGRAM = """
import re, resource, sys
from pathlib import Path
import numpy as np
from nn_clustering.datasets import load_dataset

load_dataset("few.npz")  # whatever is imported for it
used = 1024 * int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
resource.setrlimit(resource.RLIMIT_DATA, (used + 150 * 2**20,) * 2)
x = load_dataset("many.npz", image_size=56).x_test
total = 0.0
for start in range(0, len(x), 100):
    total += float(x[start : start + 100].sum(dtype=np.float64))
print(total)
try:
    np.load("many.npz")["x_test"]
except MemoryError:
    print("not at once")
"""


def test_images_that_do_not_fit_are_read_piece_by_piece(tmp_path, home):
    y = np.arange(IMAGES[0]) % 10
    np.savez(tmp_path / "few.npz", x_test=np.full((2, *IMAGES[1:]), 7, np.uint8), y_test=y[:2])
    # of one value, which costs the test itself no memory
    np.savez(tmp_path / "many.npz", x_test=np.broadcast_to(np.uint8(7), IMAGES), y_test=y)
    environ = environment(home, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    finished = run_python(["-c", PROGRAM], environ, cwd=tmp_path)
    os.remove(tmp_path / "many.npz")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split("\n")[:2] == [str(7.0 * IMAGES[0] * 56 * 56 * 3), "not at once"]
