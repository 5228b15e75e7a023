"""Several runs by one command: real processes, each with a seed of its own."""

import os
import random
import signal
import statistics

import pytest

from nn_clustering.tracking import RunStore
from nn_clustering.tracking.stages.program import SERVER_AWAY
from tests.programs import environment, run_python
from tests.tracking.stage_programs import assert_refused, started, wait_for


@pytest.fixture
def meeting(tmp_path):
    """A folder where runs wait for each other; it is told of how many."""
    folder = tmp_path / "meeting"
    folder.mkdir()

    def call(n_runs):
        (folder / "n_runs").write_text(str(n_runs))
        return folder

    return call


def here(folder):
    """The processes that have come to a meeting."""
    return {int(path.stem) for path in folder.glob("*.here")}


def numbers(seed):
    source = random.Random(seed)
    return [source.randrange(100) for _ in range(2)]


def by_seed(store):
    return {run.config["seed"]: run for run in store.find()}


def table(text):
    """The cells of the table at the end of an output, by the first one of each line."""
    lines = text.partition("\nseed  ")[2].splitlines()[1:]
    return {line.split()[0]: line.split()[1:] for line in lines}


def test_each_run_is_the_one_that_would_be_typed_alone(succeed, store):
    finished = succeed("draw", "with", "n_repeats=3", "seed=5", "n_workers=1")
    runs = by_seed(store)
    assert sorted(runs) == [5, 6, 7]
    for seed, run in runs.items():
        assert (run.experiment, run.status) == ("draw", "COMPLETED")
        assert run.result["both"] == numbers(seed)
        assert (run.config["n_repeats"], run.config["n_workers"]) == (1, None)
        assert f"drew {numbers(seed)[0]} and {numbers(seed)[1]}" in finished.stdout
        alone = succeed("draw", "with", f"seed={seed}")
        assert f"using draw run {run.id}:" in alone.stdout
    assert len(store.find()) == 3
    # One after the other, each with its output in one piece.
    order = [
        finished.stdout.index(f"seed {seed}: done, run {runs[seed].id}\n") for seed in (5, 6, 7)
    ]
    assert order == sorted(order)


def test_completed_runs_are_used_and_the_others_made(succeed, store):
    succeed("draw", "with", "seed=1")
    finished = succeed("draw", "-c", "all", "with", "n_repeats=2", "tags=several")
    assert "using draw run 1:" in finished.stdout
    assert len(store.find()) == 2
    for run in store.find():
        assert (run.tags, run.notes) == (("several",), "all")
    assert table(finished.stdout)["1"][0] == "1"


def test_table_has_the_numbers_and_their_means(succeed, store):
    rows = table(succeed("draw", "with", "n_repeats=3").stdout)
    runs = by_seed(store)
    first = [numbers(seed)[0] for seed in range(3)]
    for seed in range(3):
        mean = statistics.mean(numbers(seed))
        assert rows[str(seed)][:3] == [str(runs[seed].id), str(first[seed]), f"{mean:.4g}"]
    assert rows["mean"][0] == f"{statistics.mean(first):.4g}"
    assert rows["std"][0] == f"{statistics.stdev(first):.4g}"
    # The numbers of the result, without truth values, texts and what is nested: six at most.
    assert len(rows["0"]) == 1 + 6


def test_single_completed_run_has_no_standard_deviation(run):
    finished = run("draw", "with", "n_repeats=2", "unlucky_seeds=[1]")
    rows = table(finished.stdout)
    assert rows["std"] == []
    assert rows["mean"][0] == str(numbers(0)[0])


def test_runs_go_side_by_side_as_the_stage_wants(succeed, store, meeting):
    folder = meeting(3)
    succeed("draw", "with", "n_repeats=3", "side_by_side=3", SAMPLE_MEETING=str(folder))
    assert len(here(folder)) == 3
    assert len(store.find(status="COMPLETED")) == 3


def test_number_of_workers_can_be_set(succeed, meeting):
    succeed("draw", "with", "n_repeats=2", "n_workers=9", SAMPLE_MEETING=str(meeting(2)))


@pytest.mark.parametrize("n_workers", [1, 2])
def test_every_run_has_the_threads_of_a_run_alone(succeed, store, n_workers):
    """On their number depend the last bits of results."""
    alone = succeed("draw", "with", "seed=9", TF_NUM_INTRAOP_THREADS="5")
    assert alone.returncode == 0
    arguments = ("with", "n_repeats=2", f"n_workers={n_workers}")
    succeed("draw", *arguments, TF_NUM_INTRAOP_THREADS="5")
    (first, second, third) = (run.result["threads"] for run in store.find())
    assert first == second == third
    assert first["TF_NUM_INTRAOP_THREADS"] == "5"


def test_failed_run_stops_no_other(run, store):
    arguments = ("with", "n_repeats=4", "unlucky_seeds=[0,2]")
    finished = run("draw", *arguments)
    assert_refused(finished, "2 of 4 runs failed, with seed 0, 2")
    statuses = {seed: stored.status for seed, stored in by_seed(store).items()}
    assert statuses == {0: "FAILED", 1: "COMPLETED", 2: "FAILED", 3: "COMPLETED"}
    assert "seed 2 is unlucky" in finished.stdout
    failed = by_seed(store)[2].id
    assert f"seed 2: failed (exit status 1), run {failed}" in finished.stdout
    rows = table(finished.stdout)
    assert {"1", "3"} < set(rows)
    assert not {"0", "2"} & set(rows)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_all_runs_and_starts_no_other(project, home, database, meeting, number):
    folder = meeting(100)
    environ = environment(home, MONGO_DB=database.name, SAMPLE_MEETING=str(folder))
    arguments = ("with", "n_repeats=3", "n_workers=2")
    with started(project, "draw", *arguments, environ=environ) as process:
        wait_for(lambda: len(here(folder)) == 2)
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 130
    assert errors == "interrupted\n"
    assert output.count(": interrupted, run ") == 2
    # All have said how they ended, for their processes were waited for.
    stored = RunStore(database, home).find()
    assert [run.status for run in stored] == ["INTERRUPTED", "INTERRUPTED"]
    for pid in here(folder):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_keyboard_interrupt_of_a_terminal_reaches_each_run_once(project, home, database, meeting):
    """A second one would end the waiting for the server."""
    folder = meeting(100)
    environ = environment(home, MONGO_DB=database.name, SAMPLE_MEETING=str(folder))
    with started(project, "draw", "with", "n_repeats=2", environ=environ) as process:
        wait_for(lambda: here(folder))
        (child,) = here(folder)
        # A terminal sends it to the group of the command.
        assert os.getpgid(child) != os.getpgid(process.pid)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["with", "n_repeats=0"], ["n_repeats=0", "an integer from 1"]),
        (["with", "n_repeats=2.5"], ["n_repeats=2.5", "an integer"]),
        (["with", "n_repeats=True"], ["n_repeats=True", "an integer"]),
        (["with", "n_repeats=2", "n_workers=0"], ["n_workers=0", "from 1, or None"]),
        (["with", "n_workers=some"], ["n_workers='some'", "from 1, or None"]),
        (["with", "n_repeats=2", "seed=4294967295"], ["the last seed is 4294967296"]),
        (["with", "n_repeats=2", "below=word"], ["below='word'"]),
        (["with", "n_repeats=2", "bellow=3"], ["did you mean below"]),
        (["with", "n_repeats=2", "below=0"], ["below=0; expected 1 or more"]),
        (["with", "n_repeats=2", "quick"], ["'quick' is no named config"]),
        (["-q", "with", "n_repeats=2"], ["start the run now"]),
    ],
)
def test_mistakes_are_told_once_before_any_run(run, database, arguments, expected):
    finished = run("draw", *arguments)
    assert_refused(finished, *expected)
    assert "seed 0" not in finished.stdout
    assert database["runs"].count_documents({}) == 0


def test_server_out_of_reach_is_told_once(run):
    finished = run("draw", "with", "n_repeats=2", MONGO_URL="mongodb://127.0.0.1:1")
    assert_refused(finished, "no usable MongoDB at 127.0.0.1:1", status=SERVER_AWAY)
    assert "seed 0" not in finished.stdout


def test_untracked_runs_are_shown_without_a_table(succeed, database):
    finished = succeed("draw", "-u", "with", "n_repeats=2")
    assert "seed 1: done\n" in finished.stdout
    assert f"drew {numbers(1)[0]} and" in finished.stdout
    assert table(finished.stdout) == {}
    assert database["runs"].count_documents({}) == 0


def test_command_without_settings_gets_them(succeed, project, store):
    path = project / "configs" / "draw" / "default.yaml"
    path.write_text(path.read_text().replace("n_repeats: 1", "n_repeats: 2"))
    succeed("draw")
    assert {run.config["seed"] for run in store.find()} == {0, 1}


def test_other_options_and_files_reach_every_run(succeed, project, store):
    (project / "mine.yaml").write_text("below: 1\nn_repeats: 2\nseed: 7\n")
    succeed("draw", "-F", "folder", "-n", "mine", "with", "mine.yaml", "--comment", "noted")
    for run in store.find():
        assert (run.experiment, run.notes, run.result["first"]) == ("mine", "noted", 0)
        assert run.artifact("config.mine.yaml") == (project / "mine.yaml").read_bytes()
        assert (project / "folder" / str(run.id) / "config.json").exists()
    assert {run.config["seed"] for run in store.find()} == {7, 8}


def test_other_commands_run_once(succeed, database):
    finished = succeed("draw", "print_config", "with", "n_repeats=3")
    assert finished.stdout.count("n_repeats = 3") == 1
    assert database["runs"].count_documents({}) == 0


def test_part_runs_once(run, succeed, project, database):
    assert_refused(run("both", "with", "measure.n_repeats=2"), "has no such key")
    path = project / "experiments" / "both.py"
    path.write_text(
        path.read_text().replace(
            '"seed": run.seed}\n    measured', ('"seed": run.seed, "n_repeats": 2}\n    measured')
        )
    )
    refused = run("both")
    assert refused.returncode == 1
    assert "n_repeats=2: measure runs as a part of another program, once" in refused.stderr
    assert database["runs"].count_documents({"experiment.name": "measure"}) == 0


def test_program_started_as_a_module_starts_modules(project, home, database, store):
    """Its own command is repeated, whatever it was."""
    environ = environment(home, MONGO_DB=database.name)
    arguments = ["-X", "utf8", "-m", "experiments.draw", "with", "n_repeats=2"]
    finished = run_python(arguments, environ, cwd=project)
    assert finished.returncode == 0, finished.stderr
    assert len(store.find()) == 2


def test_processes_of_a_run_do_not_pass_for_it(project, home, database, succeed):
    """The file for the run's id is the run's own, and no process of it sees the variable."""
    path = project / "experiments" / "draw.py"
    path.write_text(
        path.read_text().replace(
            "    return {\n",
            '    assert "NN_CLUSTERING_RUN_ID_FILE" not in os.environ\n    return {\n',
        )
    )
    succeed("draw", "with", "n_repeats=2")
