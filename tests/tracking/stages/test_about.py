"""A stage's run says what it is about, and inherits that from the runs that it reads."""

import pytest

from nn_clustering.tracking import RunStore

DECLARED = "    about={'measure': lambda config, info: {'scale': config['scale']}},\n"


@pytest.fixture
def declared(project):
    """The sample project, whose measurements say by which factor they scale."""
    for stage in ("measure", "total"):
        path = project / "experiments" / f"{stage}.py"
        text = path.read_text()
        assert text.count('sources=[PROJECT / "experiments"]') == 1
        listed = 'sources=[PROJECT / "experiments"]'
        path.write_text(text.replace(listed, f"{listed},\n{DECLARED.strip().rstrip(',')}"))
    return project


def test_a_run_says_what_those_are_about_that_it_reads(declared, succeed, database):
    succeed("measure", "with", "scale.factor=3.0")
    succeed("total", "with", "measure_run=latest")
    store = RunStore(database)
    measured, added = store.run(1), store.run(2)
    assert measured.about["scale"] == measured.config["scale"]
    assert added.about == measured.about
    assert store.find(experiment="total", config={"scale.factor": 3.0}).ids == [2]


def test_a_run_is_about_what_it_reads_only_while_it_works(declared, succeed, database):
    """As a study's, which names the runs of its stages when they are done."""
    path = declared / "experiments" / "both.py"
    text, end = path.read_text(), '    return {"runs"'
    assert text.count(end) == 1
    noted = 'run.sacred_run.info["lineage"] = {"measure_run": measured._id}'
    path.write_text(text.replace(end, f"    {noted}\n{end}"))
    succeed("both", "with", "measure.scale.factor=3.0")
    assert RunStore(database).run("latest", experiment="both").about["scale"]["factor"] == 3.0


def test_what_is_about_does_not_decide_on_reuse(declared, succeed, database):
    succeed("measure")
    succeed("total", "with", "measure_run=latest")
    assert "using total run 2" in succeed("total", "with", "measure_run=1").stdout


def test_the_first_run_of_a_project_that_declares_it_gives_it_to_the_former(
    project, succeed, database, request
):
    succeed("measure", "with", "scale.factor=3.0")
    succeed("total", "with", "measure_run=latest")
    store = RunStore(database)
    assert store.run(1).about == store.run(2).about == {}
    request.getfixturevalue("declared")
    succeed("total", "with", "measure_run=1")
    assert store.run(1).about["scale"]["factor"] == 3.0
    assert store.run(3).about == store.run(1).about
