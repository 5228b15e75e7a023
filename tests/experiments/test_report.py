"""The report of a study as a user makes it, over runs that are put into a database by hand."""

import uuid

import pandas
import pytest
import yaml

from nn_clustering.tracking import RunStore, Server, connect
from tests.programs import PROJECT, environment, run_warm
from tests.reports.stored_study import (
    CLUSTERINGS,
    LESIONS,
    NETWORKS,
    PUBLISHED,
    SHUFFLES,
    StoredCells,
)

STUDY = (NETWORKS, CLUSTERINGS, SHUFFLES, LESIONS)


@pytest.fixture(scope="module")
def made(embedded_server):
    """A study that lacks one shuffle test, and whose second training is of other code."""
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    cells = StoredCells(database, *STUDY, title="A small study", published=[PUBLISHED])
    missing = next(cell for cell in cells.cells if cell.stage == "shuffle_test")
    cells.add_all(but=[missing.name])
    database["runs"].update_one({"_id": 2}, {"$set": {"info.code": "0123456789abcdef"}})
    yield cells
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def report(made, home, tmp_path):
    """Makes a report in a folder with the study's file; returns the finished process."""
    (tmp_path / "my_study.yaml").write_text(yaml.safe_dump(made.config))

    def run(*arguments):
        environ = environment(home, MONGO_DB=made.stored.database.name)
        command = [PROJECT / "experiments" / "report.py", *arguments]
        return run_warm(command, environ, computes=True, cwd=tmp_path)

    return run


def test_a_report_as_a_user_makes_it(made, report, home, tmp_path):
    finished = report("with", "my_study.yaml", f"folder={tmp_path}", "n_resamples=99")
    assert finished.returncode == 0, finished.stderr
    print(finished.stdout)
    raise AssertionError
