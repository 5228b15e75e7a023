"""A study's process, for tests that end it: computes cells that do all the same.

    python -m tests.studies.drive FOLDER ACT N_CELLS N_WORKERS_OR_SCHEDULER

The process ids of its workers come into the file `workers` of the folder.
"""

import os
import sys
from pathlib import Path

from nn_clustering.studies import Patience, carry_out, workplace
from tests.studies.cheap_cells import compute, make_cell, orders


def main():
    folder, act, n_cells, where = sys.argv[1:]
    place = {"n_workers": int(where)} if where.isdecimal() else {"scheduler": where}
    cells = [make_cell(f"cell {n}") for n in range(int(n_cells))]
    with workplace(**place) as client:
        Path(folder, "workers").write_text(" ".join(map(str, client.run(os.getpid).values())))
        order_of = orders(folder, {cell.name: act for cell in cells})
        carry_out(client, cells, order_of, run=compute, patience=Patience(look=0.1))


if __name__ == "__main__":
    main()
elif __name__ == "__mp_main__":  # in a worker, which multiprocessing has import it
    Path(sys.argv[1], "imported by a worker").touch()
