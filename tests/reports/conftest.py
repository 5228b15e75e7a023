"""A run store of their own for tests of reports."""

import uuid

import pytest

from nn_clustering.tracking import RunStore, Server, connect


@pytest.fixture(scope="module")
def database(embedded_server):
    found = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    yield found
    found.client.drop_database(found.name)
    found.client.close()


@pytest.fixture
def store(database, home):
    for name in database.list_collection_names():
        database[name].drop()
    return RunStore(database, home)
