"""Ask stages for their configs, many in one process: with `print_config`.

Reads a file of lists of a stage's name and its arguments, and prints those that are refused.
"""

import contextlib
import importlib
import io
import json
import sys
from pathlib import Path


def check(stage, arguments):
    """What a stage says of a command's arguments; empty where it takes them."""
    experiment = importlib.import_module(f"experiments.{stage}").experiment
    words = [word for word in arguments if not word.startswith("print_")]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            experiment.run_commandline([f"experiments/{stage}.py", "print_config", *words])
        except SystemExit as ended:
            return f"{said.getvalue()}{ended.code}" if ended.code else ""
    return ""


if __name__ == "__main__":
    refused = [
        {"command": command, "said": said} for command in json.loads(Path(sys.argv[1]).read_text())
        if (said := check(*command))
    ]  # fmt: skip
    print("\n" + json.dumps(refused))
