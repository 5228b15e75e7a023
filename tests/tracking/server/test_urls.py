"""URLs as people write them: options that others know, a database in the path, slips."""

import traceback

import pytest

from nn_clustering.errors import InvalidInputError, ServerUnavailableError
from nn_clustering.tracking import connect, resolve_server
from nn_clustering.tracking.server.urls import (
    database_of,
    option,
    split_url,
    unknown_options,
    with_database,
    without_options,
)
from tests.programs import environment, run_python

PASSWORD = "Tr0ub4dor"


def with_options(server, options):
    return f"{server.url}&{options}"


@pytest.mark.parametrize(
    "options",
    ["ssl_cert_reqs=CERT_NONE", "useNewUrlParser=true&useUnifiedTopology=true", "Nonsense=p@h"],
)
def test_unknown_options_are_named_and_left_out(embedded_server, options, caplog):
    names = [part.partition("=")[0] for part in options.split("&")]
    if "@" in options:  # no option that is known: rather a password with a '?'
        with pytest.raises(ServerUnavailableError, match="percent-encoded"):
            resolve_server({"MONGO_URL": with_options(embedded_server, options)})
        return
    server = resolve_server({"MONGO_URL": with_options(embedded_server, options)})
    connect(server).client.close()
    (message,) = caplog.messages
    assert all(name in message for name in names)
    assert "CERT_NONE" not in message


def test_command_warns_of_an_unknown_option_in_one_line(embedded_server, tmp_path):
    url = with_options(embedded_server, "useNewUrlParser=true")
    ended = run_python(
        ["-m", "nn_clustering.tracking", "status"], environment(tmp_path, MONGO_URL=url)
    )
    assert ended.returncode == 0
    assert "useNewUrlParser" in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ("authMechanism=SCRAM-SHA-1?authSource=admin", "authMechanism"),
        ("w=1&readPreference=Tr0ub4dor", "readPreference"),
        ("tls=maybe&w=1", "tls"),
        ("maxPoolSize=many;w=1", "maxPoolSize"),
        ("authMechanism=Tr0ub4dor", "authMechanism"),
    ],
)
def test_wrong_value_names_its_option_alone(options, named):
    with pytest.raises(ServerUnavailableError) as refused:
        resolve_server({"MONGO_URL": f"mongodb://user:{PASSWORD}@host/db?{options}"})
    message = str(refused.value)
    assert f"option {named} in MONGO_URL has a wrong value" in message
    assert PASSWORD not in "".join(traceback.format_exception(refused.value))
    assert "authSource" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("options", "reason"),
    [("tls=true&ssl=false", "contradict each other"), ("w=1&secret", "has no value")],
)
def test_options_that_make_no_sense_are_refused(options, reason):
    with pytest.raises(ServerUnavailableError, match=reason) as refused:
        resolve_server({"MONGO_URL": f"mongodb://user:{PASSWORD}@host/?{options}"})
    assert PASSWORD not in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("environ", "database"),
    [
        ({"MONGO_URL": "mongodb://h"}, "nn_clustering"),
        ({"MONGO_URL": "mongodb://h/lab"}, "lab"),
        ({"MONGO_URL": "mongodb://u:p@h/lab?w=1"}, "lab"),
        ({"MONGO_URL": "mongodb://h/lab", "MONGO_DB": "runs"}, "runs"),
        ({"MONGO_URL": "mongodb://h/lab", "MONGO_DB": " "}, "lab"),
        # Where users are kept, runs are not.
        ({"MONGO_URL": "mongodb://u:p@h/admin"}, "nn_clustering"),
        ({"MONGO_URL": "mongodb+srv://u:p@h.example.org/lab"}, "lab"),
        ({"MONGO_URL": "mongodb+srv://h.example.org/lab?srvServiceName=runs"}, "lab"),
        ({"MONGO_URL": "mongodb://h/the%5Flab"}, "the_lab"),
    ],
)
def test_path_is_the_database_where_no_other_is_named(environ, database):
    assert resolve_server(environ).database == database


def test_path_that_is_no_database_is_refused_without_showing_it():
    with pytest.raises(InvalidInputError, match="the path of MONGO_URL") as refused:
        resolve_server({"MONGO_URL": f"mongodb://h/{PASSWORD}%C3%A9"})
    assert PASSWORD not in str(refused.value)


def test_parts_of_a_url():
    url = "mongodb://ann:p%40/w@a:1,b/lab?w=1;READPREFERENCE=nearest&w=2"
    assert split_url(url) == (
        "mongodb://", "ann:p%40/w", "a:1,b", "lab", "w=1;READPREFERENCE=nearest&w=2",
    )  # fmt: skip
    assert database_of(url) == "lab"
    assert option(url, "readpreference") == "nearest"
    assert option(url, "replicaSet") is None
    assert without_options(url, ["W"]).endswith("/lab?READPREFERENCE=nearest")
    assert unknown_options(url) == []
    assert with_database(url, "runs").endswith(
        "/runs?w=1;READPREFERENCE=nearest&w=2&authSource=lab"
    )
