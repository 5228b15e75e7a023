"""What tests of several folders share: a real MongoDB server in a temporary home."""

import pytest

from nn_clustering.tracking import resolve_server, stop_embedded
from tests.programs import environment


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    """A folder with a space in its name, as home folders may have."""
    folder = tmp_path_factory.mktemp("home of runs")
    yield folder
    stop_embedded(folder)


@pytest.fixture(scope="session")
def embedded_server(home):
    return resolve_server(environment(home))
