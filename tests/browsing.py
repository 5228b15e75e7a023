"""Pages as a user sees them: in a real browser, with clicks between looks."""

import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
VISIT = Path(__file__).with_name("visit.js")


def require(is_there, what):
    if is_there:
        return
    if os.environ.get("NN_CLUSTERING_REQUIRE_BROWSER") == "1":
        pytest.fail(f"{what} is missing, and NN_CLUSTERING_REQUIRE_BROWSER=1")
    pytest.skip(f"{what} is missing")


def look_at(address, *expressions, folder):
    """What each expression gave in the page, one after the other, as soon as it gave something.

    Args:
        address: Of the page.
        expressions: JavaScript; PROBLEMS and REQUESTS are what `visit.js` says.
        folder: For the browser's profile.
    """
    profile = folder / f"profile {uuid.uuid4().hex}"
    program = ["node", "--experimental-websocket", VISIT, BROWSER, profile, address]
    found = subprocess.run(
        [*map(str, program), *expressions],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    # texts may hold what Python takes for further ends of lines
    return [json.loads(line) for line in found.stdout.split("\n") if line]
