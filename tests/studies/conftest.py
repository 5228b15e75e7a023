"""A database for each test."""

import uuid

import pytest

from nn_clustering.tracking import Server, connect


@pytest.fixture
def server(embedded_server):
    return Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True)


@pytest.fixture
def database(server):
    database = connect(server)
    yield database
    database.client.drop_database(database.name)
    database.client.close()
