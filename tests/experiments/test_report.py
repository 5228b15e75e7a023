"""The report of a study as a user makes it, over runs that are put into a database by hand."""

import uuid

import pandas
import pytest
import yaml

from experiments import report
from nn_clustering import reports
from nn_clustering.errors import NnClusteringError
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
MISSING = "shuffle_test: train=MLP, phase=unpruned, seed=0"
CODE = "0123456789abcdef"


@pytest.fixture(scope="module")
def made(embedded_server):
    """A study that lacks a shuffle test, and of which one training says what code it is of."""
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    cells = StoredCells(database, *STUDY, title="A small study", published=[PUBLISHED])
    cells.add_all(but=[MISSING])
    database["runs"].update_one({"_id": 2}, {"$set": {"info.code": CODE}})
    yield cells
    database.client.drop_database(database.name)
    database.client.close()


@pytest.fixture
def here(made, home, tmp_path, monkeypatch):
    """The current folder, with the study's file, and runs of this process in its database."""
    (tmp_path / "my_study.yaml").write_text(yaml.safe_dump(made.config))
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", made.stored.database.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def in_process(*named, **updates):
    return report.experiment.run(config_updates=updates, named_configs=named)


def test_a_report_as_a_user_makes_it(made, here, home):
    environ = environment(home, MONGO_DB=made.stored.database.name)
    command = [PROJECT / "experiments" / "report.py", "with", "my_study.yaml", f"folder={here}"]
    finished = run_warm(command, environ, computes=True, cwd=here)
    assert finished.returncode == 0, finished.stderr
    said = finished.stdout
    assert f"my_study: 27 of 28 runs are stored\n  missing: {MISSING}\n" in said
    assert (
        "train: its runs are of 2 versions of the code (3 that do not say, 1 of 01234567)" in said
    )
    assert f"report     {here}/my_study/report.html" in said
    assert "next: python experiments/study.py with my_study.yaml\n" in said
    assert "| MLP | unpruned | 2 | 0.9650 ± 0.0071 (0.98) | 10.250 ± 0.354 (10.024) |" in said

    run = RunStore(made.stored.database, home).run("latest", experiment="report")
    assert set(run.lineage.values()) == set(made.runs.values())
    assert run.result["conditions"][0]["condition"] == "MLP, unpruned"
    assert run.result["conditions"][0]["n_tested"] == 1
    counts = {key: run.result[key] for key in ("n_cells", "n_stored", "n_missing", "n_fragile")}
    assert counts == {"n_cells": 28, "n_stored": 27, "n_missing": 1, "n_fragile": 2}
    assert (run.result["n_networks"], run.result["n_mixed_code"]) == (4, 1)

    files = {path.name: path.read_bytes() for path in (here / "my_study").iterdir()}
    tables = {f"{name}.{end}" for name in ("clusterability", "lesions") for end in TABLE_ENDS}
    figures = {f"{name}.{end}" for name in FIGURES for end in ("png", "pdf")}
    assert set(files) == tables | figures | {"cells.csv", "networks.csv"} | {
        "report.md", "report.html",
    }  # fmt: skip
    for name, content in files.items():
        assert run.artifact(name) == content
    assert files["report.md"].decode().endswith(f"## Without a completed run\n\n- {MISSING}\n")
    assert len(pandas.read_csv(here / "my_study" / "cells.csv")) == 27
    assert b"small study" in files["report.html"]


TABLE_ENDS = ("csv", "md", "tex")
FIGURES = ("ncuts", "learning_curves", "p_values", "networks")


def test_only_runs_of_the_code_as_it_is(made, here):
    with pytest.raises(NnClusteringError, match=r"none of the 28 runs of my_study is stored that"):
        in_process("my_study.yaml", any_code=False)
    stages = report.stages_of(report.experiment.defaults)
    now = stages["train"].code_digest(made.stored_config(1))
    # the trainings are of it once they say so
    query = {"_id": {"$in": [1, 2]}}
    made.stored.database["runs"].update_many(query, {"$set": {"info.code": now}})
    run = in_process("my_study.yaml", any_code=False, folder=str(here))
    assert (run.result["n_stored"], run.result["n_mixed_code"]) == (2, 0)
    assert not (here / "my_study" / "ncuts.png").exists()


def test_keys_of_the_tables_and_the_page(made, here, monkeypatch):
    few = {"folder": str(here), "n_threads": 1}
    steps = [{**NETWORKS, "seeds": [0], "cases": NETWORKS["cases"][:1]}, CLUSTERINGS, LESIONS]
    config = {**few, "steps": steps, "title": "Few"}
    asked, tables = [], reports.study_tables
    monkeypatch.setattr(
        reports, "study_tables", lambda *given, **keys: asked.append(keys) or tables(*given, **keys)
    )
    run = in_process(**config, level=0.9, n_resamples=9, page_images_mb=0)
    assert asked == [{"level": 0.9, "seed": 0, "n_resamples": 9}]
    assert run.result["n_cells"] == 5
    rate = (here / "study" / "lesions.md").read_text()
    page = (here / "study" / "report.html").read_bytes()
    low = pandas.read_csv(here / "study" / "lesions.csv")["importance_effect_low"]
    assert "a false discovery rate of 0.9 over 4 tests" in rate
    again = in_process(**config, seed=1, n_resamples=9, variant="full")
    assert again.result == run.result
    assert (
        "a false discovery rate of 0.05 over 4 tests" in (here / "study" / "lesions.md").read_text()
    )
    assert len((here / "study" / "report.html").read_bytes()) > len(page)
    assert (pandas.read_csv(here / "study" / "lesions.csv")["importance_effect_low"] != low).any()
