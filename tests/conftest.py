"""What tests of several folders share: a real MongoDB server in a temporary home."""

import shutil
import signal

import pytest
from hypothesis import settings

from nn_clustering.tracking import resolve_server, stop_embedded
from tests.browsing import require
from tests.programs import environment

# A loaded machine can take longer over one example than hypothesis' 200 ms.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# A shell lets what it starts in the background ignore Ctrl-C, and all that this starts in turn.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

MARKS = {
    "server": {"embedded_server", "own_home"},
    "browser": {"browser", "node"},
}
# What takes longest of the tests that need neither.
SLOW = (
    "tests/test_install.py",
    "tests/test_programs.py",
    "tests/test_wheel.py",
    "tests/datasets/test_command_line.py",
    "tests/experiments/",
    "tests/lesions/test_calibration.py",
    "tests/docs/",
    "tests/lesions/test_engine",
    "tests/lesions/test_planted.py",
    "tests/networks/test_user_networks.py",
    "tests/partitions/test_embedding.py",
    "tests/training/test_checkpoints.py",
    "tests/training/test_clusterability.py",
    "tests/training/test_epochs.py",
    "tests/training/test_own_networks.py",
    "tests/training/test_penalties.py",
    "tests/training/test_precision.py",
)


def pytest_collection_modifyitems(items):
    """Mark the tests that need a server or a browser by what they ask for, and the slow ones."""
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
        for mark, fixtures in MARKS.items():
            if fixtures & set(getattr(item, "fixturenames", ())):
                item.add_marker(mark)


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with a space in its name, as home folders may have."""
    folder = tmp_path_factory.mktemp("home of runs")
    yield folder
    stop_embedded(folder)


@pytest.fixture(scope="session")
def node():
    require(shutil.which("node") and shutil.which("npm"), "Node.js with npm")


@pytest.fixture(scope="session")
def embedded_server(home):
    return resolve_server(environment(home))
