"""Stages of a small project, as programs: what is run again, what is used again, what is said."""

import os
import signal

import pytest

from nn_clustering.tracking import InvalidInputError, StageExperiment, TrackingError
from nn_clustering.tracking.stages.validation import checked_tags
from tests.programs import environment, run_python
from tests.tracking.stage_programs import assert_refused, started, wait_for

USING = "using measure run 1: same config, inputs and code (reuse=False runs it again)"


def n_runs(database):
    return database["runs"].count_documents({})


def test_same_command_again_uses_the_run(succeed, database):
    first = succeed("measure", "with", "scale.factor=1.7")
    again = succeed("measure", "with", "scale.factor=1.7")
    assert n_runs(database) == 1
    assert "measuring" in first.stdout
    assert "measuring" not in again.stdout
    assert again.stdout.splitlines()[0] == USING
    # The summary and what to do next are those of the run that is used.
    assert again.stdout.splitlines()[1:] == first.stdout.splitlines()[-2:]
    assert "measure_run=1" in again.stdout
    assert again.stderr == ""


def test_run_again_on_request_gives_the_same_numbers(succeed, store):
    succeed("measure", "with", "scale.factor=1.7")
    again = succeed("measure", "with", "scale.factor=1.7", "reuse=False")
    assert "measuring" in again.stdout
    runs = [store.run(number) for number in (1, 2)]
    assert runs[0].result == runs[1].result
    assert runs[0].artifact("numbers.txt") == runs[1].artifact("numbers.txt")
    # Both would do now; the newest is used.
    assert "using measure run 2:" in succeed("measure", "with", "scale.factor=1.7").stdout


def test_what_is_written_about_a_run_does_not_make_it_another(succeed, database):
    succeed("measure")
    again = succeed("measure", "-c", "once more", "-l", "warning", "with", "tags=again")
    assert USING in again.stdout
    assert n_runs(database) == 1


def test_tags_and_comment_are_given_to_the_run_that_is_used(succeed, store):
    succeed("measure", "-c", "fig 2 of the paper", "with", "tags=first")
    command = ["measure", "-c", "fig 2", "with", "tags=['first','second look']"]
    again = succeed(*command).stdout.splitlines()
    assert again[:2] == [USING, "added to measure run 1: tags second look, note 'fig 2'"]
    assert store.run(1).tags == ("first", "second look")
    assert store.run(1).notes == "fig 2 of the paper\nfig 2"
    assert store.run(1).config["tags"] == ["first"]
    # What it has already is not added once more.
    assert "added" not in succeed(*command).stdout
    assert store.run(1).notes == "fig 2 of the paper\nfig 2"


def test_tags_and_comment_are_given_to_the_parts_that_are_used(succeed, store):
    succeed("both")
    whole = succeed("both", "--comment", "a note", "with", "tags=late")
    assert whole.stdout.count("tags late, note 'a note'") == 2
    for run in store.find(tags=["late"]):
        assert (run.tags, run.notes) == (("late",), "a note")
    assert len(store.find(tags=["late"])) == 3


@pytest.mark.parametrize("update", ["seed=1", "scale.factor=2.0", "double"])
def test_other_config_runs(succeed, database, update):
    succeed("measure")
    assert "measuring" in succeed("measure", "with", update).stdout
    assert n_runs(database) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("numbers.txt", "1\n2\n4"),
        ("experiments/constants.py", "OFFSET = 0.25\n"),
        ("experiments/added.py", ""),
    ],
)
def test_other_input_or_source_runs_and_the_old_one_is_used_again(
    succeed, project, database, name, content
):
    succeed("measure")
    path = project / name
    before = path.read_bytes() if path.exists() else None
    path.write_text(content)
    assert "measuring" in succeed("measure").stdout
    if before is None:
        path.unlink()
    else:
        path.write_bytes(before)
    assert USING in succeed("measure").stdout
    assert n_runs(database) == 2


def test_only_completed_runs_are_used(run, succeed, project, database):
    (project / "numbers.txt").write_text("13\n")
    for _ in range(2):
        failed = run("measure")
        assert failed.returncode == 1
        assert "an unlucky number" in failed.stderr
    assert [found["status"] for found in database["runs"].find()] == ["FAILED", "FAILED"]
    (project / "numbers.txt").write_text("1\n")
    succeed("measure")
    database["runs"].update_one({"_id": 3}, {"$set": {"status": "DIED"}})
    assert "measuring" in succeed("measure").stdout


def test_run_whose_file_is_gone_is_not_used(succeed, database):
    succeed("measure")
    artifacts = database["runs"].find_one({"_id": 1})["artifacts"]
    found = next(entry for entry in artifacts if entry["name"] == "numbers.txt")
    database["fs.files"].delete_one({"_id": found["file_id"]})
    assert "measuring" in succeed("measure").stdout


def test_run_whose_file_is_shortened_is_not_used(succeed, database):
    succeed("measure")
    artifacts = database["runs"].find_one({"_id": 1})["artifacts"]
    found = next(entry for entry in artifacts if entry["name"] == "numbers.txt")
    chunk = {"files_id": found["file_id"]}
    database["fs.chunks"].update_one(chunk, {"$set": {"data": b""}})
    assert "measuring" in succeed("measure").stdout


def test_deleted_run_is_not_used(succeed, database):
    succeed("measure")
    database["runs"].delete_one({"_id": 1})
    assert "measuring" in succeed("measure").stdout


def test_untracked_run_neither_uses_nor_is_used(succeed, database):
    assert "measuring" in succeed("measure", "-u").stdout
    assert n_runs(database) == 0
    assert "measuring" in succeed("measure").stdout
    assert "measuring" in succeed("measure", "-u").stdout
    assert "total 2.3" in succeed("total", "-u", "with", "measure_run=latest").stdout
    assert n_runs(database) == 1


def test_run_under_another_name_is_another_run(succeed, database):
    succeed("measure")
    assert "measuring" in succeed("measure", "-n", "mine").stdout
    assert n_runs(database) == 2


def test_run_for_another_observer_runs(succeed, project, database):
    succeed("measure")
    assert "measuring" in succeed("measure", "-F", "folder").stdout
    assert (project / "folder" / "2" / "config.json").exists()
    assert n_runs(database) == 2


def test_latest_is_settled_before_the_run(succeed, store):
    succeed("measure")
    succeed("total", "with", "measure_run=1")
    assert "using total run 2" in succeed("total", "with", "measure_run=latest").stdout
    succeed("measure", "with", "double")
    succeed("total", "with", "measure_run=latest")
    total = store.run("latest", experiment="total")
    assert total.config["measure_run"] == 3
    assert total.info["lineage"] == {"measure_run": 3}
    assert total.result == {"total": sum(store.run(3).result["numbers"])}


def test_equal_numbers_of_another_run_are_another_input(succeed, database):
    succeed("measure")
    succeed("total", "with", "measure_run=1")
    succeed("measure", "with", "reuse=False")
    succeed("total", "with", "measure_run=3")
    assert n_runs(database) == 4


def test_run_as_a_part_is_the_run_by_itself(succeed, store):
    succeed("measure", "with", "double")
    whole = succeed("both", "with", "double")
    assert USING in whole.stdout
    assert store.run("latest", experiment="both").result["runs"] == [1, 3]
    assert "using total run 3" in succeed("total", "with", "measure_run=1").stdout
    # The whole always runs, its parts only once.
    again = succeed("both", "with", "double")
    assert again.stdout.count("using ") == 2
    assert "next:" not in again.stdout
    assert [run.id for run in store.find(experiment="both")] == [4, 2]
    succeed("both", "with", "double", "reuse=False")
    assert store.run("latest", experiment="both").result["runs"] == [6, 7]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_interrupted_whole_goes_on_where_it_stopped(
    project, home, succeed, database, tmp_path, number
):
    sign = tmp_path / "started"
    environ = environment(home, MONGO_DB=database.name, SAMPLE_STARTED=str(sign))
    with started(project, "both", environ=environ) as process:
        wait_for(sign.exists)
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == 130
    statuses = {found["experiment"]["name"]: found["status"] for found in database["runs"].find()}
    assert statuses == {"both": "INTERRUPTED", "measure": "COMPLETED", "total": "INTERRUPTED"}

    finished = succeed("both")
    assert "using measure run 2:" in finished.stdout
    assert "measuring" not in finished.stdout
    whole = database["runs"].find_one({"_id": 4})
    assert whole["result"]["runs"] == [2, 5]
    assert whole["status"] == "COMPLETED"


def test_tags_and_comment_reach_the_parts(succeed, database):
    succeed("both", "--comment", "a note", "with", "tags=['first','second look']")
    documents = list(database["runs"].find())
    assert len(documents) == 3
    assert [found["config"]["tags"] for found in documents] == [["first", "second look"]] * 3
    assert [found["meta"]["comment"] for found in documents] == ["a note"] * 3


@pytest.mark.parametrize("update", ["tags=word", "tagged"])
def test_single_word_is_one_tag(succeed, store, update):
    succeed("measure", "with", update)
    expected = {"tags=word": ["word"], "tagged": ["from_a_file"]}[update]
    assert store.run(1).config["tags"] == expected


@pytest.mark.parametrize("value", ["", "two words", "[a,b]", "a,b", 3, True, None, [1], [""], {}])
def test_other_tags_are_refused(value):
    with pytest.raises(ValueError, match="tags="):
        checked_tags(value)


def test_config_files_are_stored_with_the_run(succeed, store, project):
    (project / "mine.yaml").write_text("measure:\n  file: few.txt  # not many\n")
    succeed("both", "with", "double", "quick", "mine.yaml")
    configs = project / "configs"
    expected = {
        "config.both.default.yaml": configs / "both" / "default.yaml",
        "config.both.quick.yaml": configs / "both" / "quick.yaml",
        "config.measure.default.yaml": configs / "measure" / "default.yaml",
        "config.measure.double.yaml": configs / "measure" / "double.yaml",
        "config.mine.yaml": project / "mine.yaml",
        "config.total.default.yaml": configs / "total" / "default.yaml",
    }
    whole = store.run("latest", experiment="both")
    assert set(whole.artifacts) == set(expected)
    for name, path in expected.items():
        assert whole.artifact(name) == path.read_bytes()
    part = store.run("latest", experiment="measure")
    assert set(part.artifacts) == {
        "config.measure.default.yaml",
        "config.measure.double.yaml",
        "numbers.txt",
    }
    assert part.config["file"] == "few.txt"


def test_whole_result_is_stored_but_not_printed(succeed, store):
    finished = succeed("measure")
    assert "Result: " not in finished.stderr + finished.stdout
    assert "Completed after" in finished.stderr
    assert store.run(1).result == {"numbers": [1 / 3, 2 / 3, 4 / 3]}
    assert "largest 1.3" in store.database["runs"].find_one({"_id": 1})["captured_out"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-l", "foo"], ["-l foo", "DEBUG", "CRITICAL"]),
        (["-C", "some"], ["-C some", "no, sys or fd"]),
        (["-b", "nan"], ["-b nan", "above 0"]),
        (["-i", "mine"], ["leave out -i"]),
        (["-q"], ["-q", "start the run now"]),
        (["-P", "high"], ["-P", "start the run now"]),
        (["-e"], ["-e", "no git checkout"]),
        (["with", "reuse=maybe"], ["reuse='maybe'", "True or False"]),
        (["with", "tags=3"], ["tags=3", "tags=first"]),
        (["with", "tags=[a,b]"], ["tags='[a,b]'", "tags=\"['first','second']\""]),
        (["with", "file=none.txt"], ["file=none.txt", "a file that is there"]),
        (["with", "quick"], ["'quick' is no named config of measure", "double"]),
        (["with", "broken.yaml"], ["broken.yaml cannot be read as YAML"]),
        (["with", "list.yaml"], ["list.yaml holds a list", "KEY: VALUE"]),
        (["with", "config.pickle"], ["config.pickle", "YAML or JSON"]),
        (["with", "unknown.yaml"], ["nothing_of_that_name"]),
    ],
)
def test_mistake_is_refused_before_the_run(run, project, database, arguments, expected):
    (project / "broken.yaml").write_text("a: [1\nb: 2\n")
    (project / "list.yaml").write_text("- a\n")
    (project / "config.pickle").write_bytes(b"")
    (project / "unknown.yaml").write_text("nothing_of_that_name: 1\n")
    assert_refused(run("measure", *arguments), *expected)
    assert n_runs(database) == 0


def test_mistake_in_a_named_config_is_told_in_one_line(run, project):
    (project / "configs" / "measure" / "new.yaml").write_text("a: [1\n")
    assert_refused(run("measure"), "new.yaml cannot be read as YAML")
    assert_refused(run("both"), "new.yaml cannot be read as YAML")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["double", "halve"],
            "double and halve both set scale.factor (2.0, 0.5); name one of them",
        ),
        (["double", "mine.yaml"], "double and mine.yaml both set scale.factor (2.0, 0.25)"),
        (
            ["twice", "halve", "double"],
            "twice, halve and double all set scale.factor (2.0, 0.5, 2.0)",
        ),
    ],
)
@pytest.mark.parametrize("stage", ["measure", "both"])
def test_named_configs_that_undo_each_other_are_refused(
    run, project, database, stage, arguments, expected
):
    group = "measure: {scale: {factor: 0.25}}" if stage == "both" else "scale: {factor: 0.25}"
    (project / "mine.yaml").write_text(group)
    if stage == "both":
        expected = expected.replace("scale.factor", "measure.scale.factor")
    assert_refused(run(stage, "with", *arguments), expected)
    assert n_runs(database) == 0


@pytest.mark.parametrize(
    ("arguments", "factor"),
    [
        (["double", "twice"], 2.0),
        (["double", "scale.factor=3.0"], 3.0),
        (["double", "double"], 2.0),
        (["quarter.yaml"], 0.25),
    ],
)
def test_a_key_is_set_twice_where_it_undoes_nothing(succeed, project, store, arguments, factor):
    (project / "quarter.yaml").write_text("scale: {factor: 0.25}")
    succeed("measure", "with", *arguments)
    assert store.run(1).config["scale"]["factor"] == factor


def test_named_configs_leave_no_trace_in_each_other(project):
    configs = project / "configs" / "measure"
    (configs / "default.yaml").write_text("{seed: 0, scale: {factor: 1.0, power: 1, shift: 0.0}}")
    (configs / "square.yaml").write_text("scale: {power: 2}")
    (configs / "shifted.yaml").write_text("scale: {shift: 0.5}")
    experiment = StageExperiment("measure", base_dir=project, save_git_info=False)
    experiment.configure(project / "configs")
    for named in (["double", "square", "shifted"], ["halve", "shifted"], ["shifted"], ["square"]):
        run = experiment.run("print_config", named_configs=named)
        scale = {
            "factor": 2.0 if "double" in named else 0.5 if "halve" in named else 1.0,
            "power": 2 if "square" in named else 1,
            "shift": 0.5 if "shifted" in named else 0.0,
        }
        assert run.config["scale"] == scale, named


@pytest.fixture
def measuring(project):
    """The stage `measure` in this process."""
    experiment = StageExperiment("measure", base_dir=project, save_git_info=False)
    experiment.configure(project / "configs")

    @experiment.stage
    def measure(run):
        if run.config["scale"]["factor"] == 0.0:
            raise TrackingError("nothing to measure")
        return {"factor": run.config["scale"]["factor"]}

    return experiment


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"config_updates": {"nothing": 1}}, InvalidInputError, "measure has no such key"),
        ({"config_updates": {1: 2}}, InvalidInputError, "the config key 1 is a int; expected"),
        ({"config_updates": {"scale": {2: 3}}}, InvalidInputError, "the config key 2 is a int"),
        ({"config_updates": {"factor": 1}}, InvalidInputError, "factor=1: measure has no such"),
        ({"named_configs": ["nothing"]}, InvalidInputError, "'nothing' is no named config"),
        ({"command_name": "nothing"}, InvalidInputError, "nothing is no command; there are"),
        ({"config_updates": {"n_repeats": 2}}, InvalidInputError, "n_repeats=2"),
        ({"config_updates": {"scale": {"factor": 0.0}}}, TrackingError, "nothing to measure"),
    ],
)
def test_mistake_is_raised_as_it_is_in_python(measuring, given, error, message):
    with pytest.raises(error, match=message) as raised:
        measuring.run(**given)
    assert type(raised.value) is error


def test_mistake_of_a_program_is_one_line_and_of_python_after_it_an_error(measuring, capfd):
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            measuring.run_commandline(["measure.py", "with", "nothing=1"])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert ended.value.code == 1
    lines = capfd.readouterr().err.strip().splitlines()
    assert [line for line in lines if line.startswith("Error: nothing=1: measure has no such key")]
    with pytest.raises(InvalidInputError):
        measuring.run(config_updates={"nothing": 1})


def test_what_is_prepared_is_made_before_the_run_starts_and_let_go_after(project):
    experiment = StageExperiment("measure", base_dir=project, save_git_info=False)
    experiment.configure(project / "configs")
    statuses = []

    def prepare(run):
        statuses.append(run.sacred_run.status)
        if run.config["scale"]["factor"] == 0.0:
            raise InvalidInputError("factor=0.0: nothing to measure")
        return [run.config["scale"]["factor"]]

    @experiment.stage(prepare=prepare)
    def measure(run):
        statuses.append(run.sacred_run.status)
        return {"factor": run.prepared[0]}

    assert experiment.run(config_updates={"scale": {"factor": 2.0}}).result == {"factor": 2.0}
    assert statuses == [None, "RUNNING"]
    assert experiment._execution.stage_run.prepared is None
    with pytest.raises(InvalidInputError, match=r"^scale\.factor=0\.0: nothing to measure$"):
        experiment.run(config_updates={"scale": {"factor": 0.0}})
    assert statuses == [None, "RUNNING", None]


def test_decorated_functions_stay_what_they_are(project):
    experiment = StageExperiment("measure", base_dir=project, save_git_info=False)
    experiment.configure(project / "configs")

    def measure(run):
        """Measure."""
        return {}

    assert experiment.stage(measure) is measure
    assert experiment.stage(inputs=lambda run: {})(measure) is measure


def test_config_in_sacreds_own_ways_is_sacreds_to_check(project):
    experiment = StageExperiment("weigh", base_dir=project, save_git_info=False)
    experiment.add_config(grams=3, seed=0)

    @experiment.stage
    def weigh(run):
        return {"grams": run.config["grams"]}

    assert experiment.run(config_updates={"grams": 5}).result == {"grams": 5}
    with pytest.raises(InvalidInputError, match="pounds"):
        experiment.run(config_updates={"pounds": 1})
    with pytest.raises(InvalidInputError, match="'stones' is no named config of weigh; there are"):
        experiment.run(named_configs=["stones"])


def test_what_only_a_tracked_run_needs_is_not_imported_before():
    code = (
        "import sys; from nn_clustering.tracking import Input, StageExperiment, StageRun; "
        "print({'pymongo', 'bson', 'git', 'tqdm', 'matplotlib', 'networkx'} & set(sys.modules))"
    )
    assert run_python(["-c", code], dict(os.environ)).stdout.strip() == "set()"
