"""Run stores of their own for tests of reports."""

import contextlib
import uuid

import pytest

from nn_clustering.tracking import RunStore, Server, connect


@contextlib.contextmanager
def database_on(server):
    found = connect(Server(server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    yield found
    found.client.drop_database(found.name)
    found.client.close()


@pytest.fixture(scope="module")
def database(embedded_server):
    with database_on(embedded_server) as found:
        yield found


@pytest.fixture
def store(database, home):
    """Without runs."""
    for name in database.list_collection_names():
        database[name].drop()
    return RunStore(database, home)


@pytest.fixture(scope="module")
def shared_store(embedded_server, home):
    """Without runs at first: the tests of a module fill it once."""
    with database_on(embedded_server) as found:
        yield RunStore(found, home)
