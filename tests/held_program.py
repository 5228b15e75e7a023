"""Run a program that stops in the middle, at an event of its run, for a test to kill it there.

``python held_program.py KIND NAME COUNT SIGN SCRIPT ARGUMENT...``: after the event of that number
of the kind (``artifact`` or ``point``) whose name matches the pattern, the file SIGN is made, and
the program goes on no more. What it has logged is still delivered.
"""

import itertools
import re
import runpy
import sys
import time
from pathlib import Path

from nn_clustering.tracking import TrackingObserver

METHODS = {"artifact": "artifact_event", "point": "log_point"}


def hold_after(kind, pattern, count, sign):
    """Let the program stop after that many events."""
    original = getattr(TrackingObserver, METHODS[kind])
    numbers = itertools.count(1)

    def log_and_hold(observer, name, *arguments, **options):
        original(observer, name, *arguments, **options)
        if re.search(pattern, name) and next(numbers) == count:
            Path(sign).touch()
            while True:
                time.sleep(60)

    setattr(TrackingObserver, METHODS[kind], log_and_hold)


if __name__ == "__main__":
    _, kind, pattern, count, sign, *command = sys.argv
    hold_after(kind, pattern, int(count), sign)
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent)
    runpy.run_path(command[0], run_name="__main__")
