"""The embedded server takes no compressed message: in one a stranger could read its memory."""

import socket
import struct
import zlib

import bson
import pytest

from nn_clustering.tracking import Server, connect, find_server, resolve_server, stop_embedded
from nn_clustering.tracking.server import embedded
from tests.programs import environment

OP_MSG, OP_COMPRESSED, ZLIB = 2013, 2012, 2
HELLO = {"hello": 1, "compression": ["zlib", "snappy", "zstd"], "$db": "admin"}


def port_of(server):
    return int(server.address.rpartition(":")[2])


def message(code, body):
    return struct.pack("<iiii", 16 + len(body), 7, 0, code) + body


def exchange(port, sent):
    """What the server answers to the bytes, empty where it closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as stream:
        stream.sendall(sent)
        reply = b""
        while len(reply) < 4 or len(reply) < struct.unpack_from("<i", reply)[0]:
            try:
                part = stream.recv(65536)
            except ConnectionResetError:
                return b""
            if not part:
                return b""
            reply += part
        return reply


def hello(port):
    """The server's own answer to a client that can compress in any way."""
    reply = exchange(port, message(OP_MSG, struct.pack("<IB", 0, 0) + bson.encode(HELLO)))
    return bson.decode(reply[21:])


def compressed_ping():
    """A message as CVE-2025-14847 takes it, but that its size is right."""
    body = struct.pack("<IB", 0, 0) + bson.encode({"hello": 1, "$db": "admin"})
    return message(
        OP_COMPRESSED, struct.pack("<iiB", OP_MSG, len(body), ZLIB) + zlib.compress(body)
    )


@pytest.fixture
def former_server(own_home, monkeypatch):
    """A server as the former version started it: with passwords, and open to compression."""
    with monkeypatch.context() as former:
        # mongod's own default
        option = ("--networkMessageCompressors", "snappy,zstd,zlib")
        former.setattr(embedded, "NO_COMPRESSION", option)
        resolve_server(environment(own_home))
    return find_server(environment(own_home))


def test_handshake_offers_no_compression(embedded_server):
    answer = hello(port_of(embedded_server))
    assert answer["ok"] == 1
    assert "compression" not in answer
    assert exchange(port_of(embedded_server), compressed_ping()) == b""


def test_client_that_asks_for_compression_is_served(embedded_server):
    url = f"{embedded_server.url}&compressors=zlib"
    database = connect(Server(url, "nn_clustering", embedded=True))
    assert database.client.options.pool_options._compression_settings.compressors == ["zlib"]
    assert database["runs"].find_one({"_id": "nobody's"}) is None
    database.client.close()


def test_server_of_a_former_version_is_started_anew(own_home, former_server, caplog):
    assert hello(port_of(former_server))["compression"] == HELLO["compression"]
    assert exchange(port_of(former_server), compressed_ping())  # so the others above can fail
    database = connect(former_server)
    database["runs"].insert_one({"_id": 7})
    database.client.close()
    server = resolve_server(environment(own_home))
    assert "is started anew" in caplog.text
    assert "compression" not in hello(port_of(server))
    database = connect(server)
    assert database["runs"].find_one() == {"_id": 7}
    database.client.close()


def test_server_of_a_former_version_can_be_stopped(own_home, former_server):
    assert find_server(environment(own_home)) == former_server  # `status` says that it runs
    assert stop_embedded(own_home)
