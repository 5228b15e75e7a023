"""Dropping artifacts by the command."""

import json

import pytest

from nn_clustering.tracking import InvalidInputError
from nn_clustering.tracking.command_line.drop_command import parse_size
from nn_clustering.tracking.command_line.filters import number_runs
from tests.tracking.command_line.test_commands import environ, on_terminal, type_in  # noqa: F401
from tests.tracking.stored_files import store_file


@pytest.fixture
def two_runs(database, add_run):
    shared = store_file(database, "network.keras", b"x" * 40_000)
    add_run(1, artifacts=[shared, store_file(database, "scores.npz", b"y" * 20_000)])
    add_run(2, experiment="cluster", artifacts=[shared])


def test_what_is_said_before(two_runs, type_in, database):  # noqa: F811
    said = type_in("drop", "1", "--larger", "10kB", "--dry-run")
    assert said.returncode == 0, said.stderr
    lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
    assert lines == [
        "run artifact size frees kept by",
        "1 network.keras 40.0 kB 0 B 2",
        "1 scores.npz 20.0 kB 20.0 kB",
        "2 artifacts of 1 run; to drop them frees 20.0 kB",
    ]
    assert database["fs.files"].count_documents({}) == 2
    unasked = type_in("drop", "1", "--artifacts", "*")
    assert unasked.returncode == 1
    assert "expected a confirmation: add --yes" in unasked.stderr
    assert database["fs.files"].count_documents({}) == 2


def test_dropped_with_yes_and_shown(two_runs, type_in, database):  # noqa: F811
    dropped = type_in("drop", "--experiment", "train", "--artifacts", "*.npz", "--yes")
    assert dropped.stdout.splitlines()[-1] == "dropped 1"
    assert database["fs.files"].count_documents({}) == 1
    shown = type_in("show", "1").stdout
    assert "dropped artifacts\n  scores.npz  20.0 kB  dropped 2" in shown
    facts = json.loads(type_in("show", "1", "--json").stdout)
    assert facts["dropped_artifacts"][0]["name"] == "scores.npz"


def test_conditions_leave_out_runs_that_have_not_ended(
    two_runs,
    add_run,
    type_in,  # noqa: F811
    database,
):
    add_run(3, status="QUEUED", artifacts=[store_file(database, "scores.npz", b"z")])
    dropped = type_in("drop", "--experiment", "train", "--artifacts", "*.npz", "--yes")
    assert dropped.stdout.splitlines()[-1] == "dropped 1", dropped.stderr
    assert database["fs.files"].count_documents({}) == 2


def test_run_that_is_named_twice_is_meant_once(two_runs, store):
    assert number_runs(store, ["2", "1", "latest", "2"]) == [2, 1]


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 2), ("\x04", 2)])
def test_asked_on_a_terminal(two_runs, on_terminal, database, answer, left):  # noqa: F811
    status, shown = on_terminal("drop", "1", "2", "--artifacts", "*", answer=answer)
    assert "Drop 3 artifacts for good? [y/N]" in shown
    assert status == (0 if left == 0 else 1)
    assert database["fs.files"].count_documents({}) == left


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--artifacts", "*"], "expected either the ids of runs or conditions"),
        (["1", "--experiment", "train", "--artifacts", "*"], "expected either the ids of runs"),
        (["1"], "expected names of artifacts"),
        (["1", "--larger", "much"], "--larger much: expected a size, like 10MB"),
        (
            ["1", "--artifacts", "*.png"],
            "no artifact of 1 run matches; nothing was dropped; there are network",
        ),
        (["7", "--artifacts", "*"], "there is no run 7"),
    ],
)
def test_what_is_refused(two_runs, type_in, arguments, message):  # noqa: F811
    refused = type_in("drop", *arguments)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10MB", 10_000_000),
        ("500 kB", 500_000),
        ("1.5gb", 1_500_000_000),
        ("7", 7),
        ("1KiB", 1024),
        ("3k", 3000),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MB", "-1", "1e9", "1PB", "1 2", "0x10"])
def test_texts_that_are_no_size(text):
    with pytest.raises(InvalidInputError, match="expected a size"):
        parse_size(text)
