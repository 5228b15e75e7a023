"""Run a program, then write to a file which modules it has loaded, for a test to look at.

``python loaded_program.py FILE SCRIPT ARGUMENT...``: the paths of the modules' files, as JSON.
"""

import json
import runpy
import sys
from pathlib import Path

if __name__ == "__main__":
    _, file, *command = sys.argv
    sys.argv = command
    sys.path[0] = str(Path(command[0]).parent)
    try:
        runpy.run_path(command[0], run_name="__main__")
    finally:
        files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
        Path(file).write_text(json.dumps(sorted({file for file in files if file})))
