"""A stage in a folder that is not this project's: tracked, reused, and run again when its code is
another."""

import pytest

from tests.programs import environment, run_python
from tests.tracking.foreign_project import OWN_MODULES, write_project
from tests.tracking.stage_programs import assert_refused

REUSED = "using brew run {}: same config, inputs and code (reuse=False runs it again)"


@pytest.fixture
def brewery(tmp_path):
    folder = tmp_path / "a brewery"
    write_project(folder)
    return folder


@pytest.fixture
def run_program(brewery, home, database):
    """Runs one of its programs, or what an option of Python's says, from where they lie; returns
    the finished process."""

    def run(name, *arguments):
        environ = environment(home, MONGO_DB=database.name, PYTHONDONTWRITEBYTECODE="1")
        program = [name] if name.startswith("-") else [f"{name}.py"]
        return run_python([*program, *arguments], environ, cwd=brewery)

    return run


@pytest.fixture
def brew(run_program):
    def brew(*arguments):
        finished = run_program("brew", *arguments)
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return brew


def sources(database, run_id):
    document = database["runs"].find_one({"_id": run_id})
    return dict(document["experiment"]["sources"])


def test_change_in_the_deepest_module_makes_a_run_anew(brew, brewery, store, database):
    assert "brewing" in brew()
    assert store.run(1).result == {"beer": "barley of 7"}
    assert REUSED.format(1) in brew()

    salts = brewery / "kettle" / "deep" / "salts.py"
    salts.write_text("HARDNESS = 9")
    assert "brewing" in brew()
    assert store.run(2).result == {"beer": "barley of 9"}
    changed = sources(database, 2).items() - sources(database, 1).items()
    assert {name for name, _ in changed} == {"kettle/deep/salts.py"}

    salts.write_text("HARDNESS = 7")
    assert REUSED.format(1) in brew()


def test_change_in_what_is_not_its_code_does_not(brew, brewery, database):
    (brewery.parent / "elsewhere.py").write_text("A = 1")
    brew()
    (brewery.parent / "elsewhere.py").write_text("A = 2")
    (brewery / "kettle" / "cellar.py").write_text("DEPTH = 4")
    (brewery / "recipes" / "brew" / "light.yaml").write_text("wort: {gravity: 1.03}")
    assert REUSED.format(1) in brew()
    assert database["runs"].count_documents({}) == 1


def test_change_in_what_lies_beside_the_folder_of_a_script_makes_a_run_anew(
    run_program, brewery, database
):
    (brewery / "scripts").mkdir()
    text = (brewery / "brew.py").read_text().replace(").parent", ").parents[1]")
    (brewery / "scripts" / "brew.py").write_text(text)
    for n_runs, hardness in ((1, 7), (1, 7), (2, 9)):
        (brewery / "kettle" / "deep" / "salts.py").write_text(f"HARDNESS = {hardness}")
        assert run_program("-m", "scripts.brew").returncode == 0
        assert database["runs"].count_documents({}) == n_runs
    assert set(sources(database, 1)) == {"brew.py", *(f"../{name}" for name in OWN_MODULES)}


def test_stage_without_a_file_is_never_taken_for_the_same(run_program, database):
    cell = """
from nn_clustering.tracking import StageExperiment

experiment = StageExperiment("taste", interactive=True, save_git_info=False)


@experiment.stage(inputs=lambda run: None)
def taste(run):
    return {"taste": TASTE}


experiment.run_commandline(["taste"])
"""
    for taste in (1, 2):
        assert run_program("-c", cell.replace("TASTE", str(taste))).returncode == 0
    results = [run["result"] for run in database["runs"].find().sort("_id")]
    assert results == [{"taste": 1}, {"taste": 2}]


def test_all_of_its_code_is_stored_under_its_own_names(brew, brewery, database):
    brew()
    experiment = database["runs"].find_one()["experiment"]
    assert experiment["base_dir"] == str(brewery)
    assert experiment["mainfile"] == "brew.py"
    stored = sources(database, 1)
    assert set(stored) == {"brew.py", *OWN_MODULES}
    files = {file["_id"]: file["filename"] for file in database["fs.files"].find()}
    assert files[stored["kettle/deep/salts.py"]] == str(brewery / "kettle/deep/salts.py")


def test_all_code_of_a_plain_sacred_experiment_is_stored(run_program, brewery, database):
    for hardness in (7, 9):
        (brewery / "kettle" / "deep" / "salts.py").write_text(f"HARDNESS = {hardness}")
        assert run_program("distil").returncode == 0
    first, second = (sources(database, run_id) for run_id in (1, 2))
    assert set(first) == set(second) == {"distil.py", *OWN_MODULES}
    assert {name for name in first if first[name] != second[name]} == {"kettle/deep/salts.py"}
    assert [run["result"] for run in database["runs"].find()] == ["rye of 7", "rye of 9"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["with", "malts=rye"], ["malts='rye': brew has no such key", "did you mean malt?"]),
        (["with", "wort.gravity=high"], ["wort.gravity='high': expected a number"]),
    ],
)
def test_messages_name_its_own_files(run_program, arguments, expected):
    refused = run_program("brew", *arguments)
    assert_refused(refused, *expected, "recipes/brew/default.yaml")
    for ours in ("experiments", "configs/", "nn_clustering"):
        assert ours not in refused.stderr


def test_missing_and_unknown_configs_are_named_as_they_are(run_program, brewery):
    assert_refused(run_program("brew", "with", "bok"), "'bok' is no named config of brew", "bock")
    (brewery / "recipes" / "brew" / "default.yaml").unlink()
    assert_refused(run_program("brew"), f"{brewery}/recipes/brew/default.yaml is not there")
