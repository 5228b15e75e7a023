"""What tests of several folders share: a real MongoDB server in a temporary home."""

import pytest
from hypothesis import settings

from nn_clustering.tracking import resolve_server, stop_embedded
from tests.programs import environment

# A loaded machine can take longer over one example than hypothesis' 200 ms.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with a space in its name, as home folders may have."""
    folder = tmp_path_factory.mktemp("home of runs")
    yield folder
    stop_embedded(folder)


@pytest.fixture(scope="session")
def embedded_server(home):
    return resolve_server(environment(home))
