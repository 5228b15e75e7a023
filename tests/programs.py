"""Running the project's programs as a user does: as processes."""

import os
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def environment(home, **more):
    """The environment of a command whose runs go to the embedded server of `home`."""
    # The size of the terminal that the tests are seen on, or of one made up for them, is not
    # that of the command's.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MONGO_") and name not in ("COLUMNS", "LINES")
    }
    path = os.pathsep.join(filter(None, [str(PROJECT), kept.get("PYTHONPATH")]))
    return {**kept, "PYTHONPATH": path, "NN_CLUSTERING_HOME": str(home), **more}


def run_python(arguments, environ, **options):
    """Run Python to its end; returns the finished process with its output."""
    options = {"timeout": 300, "cwd": PROJECT, **options}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
