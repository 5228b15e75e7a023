"""Workers that Slurm starts: the script, and a real Slurm of one node where it is installed."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import dask
import pytest
from distributed import Client, LocalCluster, get_worker

from nn_clustering.studies.__main__ import main
from nn_clustering.studies._walltime import remaining_seconds, whole_seconds
from tests.programs import PROJECT
from tests.studies.one_node_slurm import OneNodeSlurm, is_there

PASSWORD = "pa55word"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current folder, of a name that wants quotes, with all that a script needs."""
    folder = tmp_path / "ann's $HOME; rm"
    for name in ("home", "journals", "samples"):
        (folder / name).mkdir(parents=True)
    url = folder / "the url"
    url.touch(mode=0o600)
    url.write_text(f"mongodb://ann:{PASSWORD}@lab/")
    for name in [name for name in os.environ if name.startswith(("MONGO_", "NN_CLUSTERING_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MONGO_URL_FILE", "the url")
    monkeypatch.setenv("MONGO_DB", "runs")
    monkeypatch.setenv("NN_CLUSTERING_HOME", "home")
    monkeypatch.setenv("NN_CLUSTERING_JOURNAL", "journals")
    monkeypatch.setenv("NN_CLUSTERING_DATASETS", "samples:/data")
    monkeypatch.setenv("SECRET_TOKEN", PASSWORD)
    return folder


def write(*arguments):
    assert main(["slurm", *arguments]) == 0
    with open("workers.sbatch") as file:
        return file.read()


def options(script):
    lines = [line for line in script.splitlines() if line.startswith("#SBATCH ")]
    return dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines)


def test_script_is_what_bash_reads(place):
    """Run with a worker that only says how it was started."""
    script = write(
        *("--workers", "3", "--time", "01:00:00", "--gpus", "1", "--memory", "8G", "--cpus", "4")
    )
    assert script.startswith("#!/bin/bash -l\n")  # as the user's own shells
    activate = Path(sys.executable).with_name("activate")
    assert (f". {activate}\n" in script) == activate.is_file()
    assert "\nexport MONGO_DB=runs\n" in script
    journals = shlex.quote(f"{place}/journals")
    assert f"\nexport NN_CLUSTERING_JOURNAL={journals}\n" in script
    # What comes before is Slurm's and the environment's.
    start = script.index("\ncd ")
    stand_in = 'show() { printf "%s\\n" "$@" "$PWD" "$MONGO_URL_FILE" "$NN_CLUSTERING_DATASETS"; }'
    code = f"{stand_in}{script[start:].replace('exec ', 'show ', 1)}"
    environ = {"SLURM_JOB_ID": "12", "PATH": os.environ["PATH"], "TMPDIR": "/scratch"}
    said = subprocess.run(
        ["bash", "-euc", code], env=environ, cwd="/", capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert said[1:4] == ["-m", "dask", "worker"]
    assert said[-3:] == [str(place), str(place / "the url"), f"{place}/samples:/data"]
    words = dict(pairwise(said))
    assert said[0] == sys.executable
    assert (words["--nthreads"], words["--death-timeout"]) == ("1", "300s")
    assert words["--preload"] == "nn_clustering.studies.preload"
    assert {"--no-nanny", "--no-dashboard"} < set(said)
    assert words["--scheduler-file"] == str(place / "dask-scheduler.json")
    assert words["--name"] == "12.0"
    assert 3600 - 120 - 5 <= int(words["--lifetime"].rstrip("s")) <= 3600 - 120
    assert words["--local-directory"] == "/scratch"
    assert words["--resources"] == f"GPU=1 MEMORY={8 * 2**30}"
    assert subprocess.run(["bash", "-n", "workers.sbatch"], check=True).returncode == 0


def test_what_slurm_is_asked_for(place):
    asked = options(
        write(
            *("--workers", "8", "--at-once", "2", "--time", "1-02:03:04", "--cpus", "4"),
            *("--gpus", "2", "--memory", "1500", "--partition", "gpu", "--sbatch=--account=lab"),
        )
    )
    assert asked["array"] == "1-8%2"
    assert asked["time"] == "1-02:03:04"
    assert (asked["cpus-per-task"], asked["mem"], asked["gres"]) == ("4", "1500M", "gpu:2")
    assert (asked["partition"], asked["account"]) == ("gpu", "lab")
    assert (asked["requeue"], asked["open-mode"]) == ("", "append")  # a job may begin anew
    assert asked["signal"] == "B:TERM@60"  # after the worker's own end
    assert not asked.keys() & options(write()).keys() >= {"gres", "mem", "partition"}


def test_no_password_is_in_it_or_goes_with_it(place):
    script = write("--setup", "module load cuda")
    assert PASSWORD not in script
    assert "SECRET_TOKEN" not in options(script)["export"].split(",")
    assert "ALL" not in options(script)["export"].split(",")
    assert script.index("module load cuda") < script.index("exec ")


def test_says_what_to_type_next(place, capsys):
    write()
    said = capsys.readouterr().out
    lines = said.replace("\\\n", "").splitlines()
    scheduler, submit, study = (shlex.split(line) for line in lines if line.startswith("  "))
    assert scheduler[1:4] == ["-m", "dask", "scheduler"]
    assert str(place / "dask-scheduler.json") in scheduler
    assert submit == ["sbatch", str(place / "workers.sbatch")]
    assert study[-1] == f"scheduler_file={place}/dask-scheduler.json"
    assert "--protocol" not in scheduler
    assert "Whoever reaches its port can run programs as you" in said
    with dask.config.set({"distributed.comm.require-encryption": True}):
        write()
    said = capsys.readouterr().out
    assert "--protocol tls" in said
    assert "Whoever" not in said


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 1800),
        ("30:30", 1830),
        ("5", 300),
        ("2:00:00", 7200),
        ("1-1", 90_000),
        ("1-1:1", 90_060),
    ],
)
def test_times_as_slurm_reads_them(place, text, seconds):
    lifetime = write("--time", text).partition("--lifetime")[2]
    assert f"$(({seconds - 120} - SECONDS))s" in lifetime


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--workers 0", "--workers: 0: expected 1 to"),
        ("--workers two", "'two': expected a whole number"),
        ("--workers 2 --at-once 3", "--at-once 3 says nothing"),
        ("--time soon", "'soon': expected HH:MM:SS"),
        ("--time 4", "--time 00:04:00 is too short; expected 00:05:00"),
        ("--memory 8X", "'8X': expected a number of MB"),
        ("--memory 0", "'0': expected a number of MB"),
        ("--partition 'a b'", "'a b': expected a name"),
        ("--sbatch account=lab", "expected as --sbatch=--account=lab"),
        ("--sbatch=--signal=INT", "expected none that the script has itself"),
        ("--setup 'a\nb'", "expected a line of bash"),
        ("--to nowhere/x", "'nowhere/x': expected a file in a folder that is there"),
        ("--to 'the url'", "there is another file"),
        ("--scheduler-file home", "expected a file in a folder"),
        ("--partitions x", "--partitions is no option of this command (did you mean --partition?)"),
    ],
)
def test_wrong_values_are_refused_in_one_line(place, capsys, arguments, said):
    try:
        status = main(["slurm", *shlex.split(arguments)])
    except SystemExit as end:
        status = end.code
    assert status in (1, 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (place / "workers.sbatch").exists()


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("MONGO_URL_FILE", "", "the MongoDB of this machine alone is out of reach"),
        ("MONGO_URL_FILE", "nowhere", "MONGO_URL_FILE='nowhere' is no file of yours alone"),
        ("NN_CLUSTERING_JOURNAL", "nowhere", "NN_CLUSTERING_JOURNAL='nowhere' is no folder"),
    ],
)
def test_store_out_of_reach_is_refused(place, monkeypatch, capsys, variable, value, said):
    monkeypatch.setenv(variable, value)
    assert main(["slurm"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(said)


def test_password_is_refused_and_not_repeated(place, monkeypatch, capsys):
    monkeypatch.delenv("MONGO_URL_FILE")
    monkeypatch.setenv("MONGO_URL", f"mongodb://ann:{PASSWORD}@lab/")
    assert main(["slurm"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("MONGO_URL would be a password in the script")
    assert PASSWORD not in error
    os.chmod("the url", 0o644)
    monkeypatch.setenv("MONGO_URL_FILE", "the url")
    assert main(["slurm"]) == 1
    assert "chmod 600" in capsys.readouterr().err


@pytest.fixture
def slurm():
    if not is_there():
        pytest.skip("needs Slurm and munge (apt-get install slurm-wlm munge), and root")
    where = {"prefix": "slurm-", "dir": "/var/tmp", "ignore_cleanup_errors": True}
    with tempfile.TemporaryDirectory(**where) as folder:
        slurm = OneNodeSlurm(folder)
        try:
            slurm.start()
            yield slurm
        finally:
            slurm.stop()


def times(dask_worker):
    return remaining_seconds(dask_worker, os.environ), whole_seconds(dask_worker, os.environ)


def go_on_until_told(folder):
    """What a cell does: it ends when its worker closes, and says where it came to."""
    worker = get_worker()
    with open(f"{folder}/{os.environ['SLURM_JOB_ID']}", "w"):
        while worker.status.value == "running":
            time.sleep(0.05)
    return os.environ["SLURM_JOB_ID"], os.environ.get("SECRET_TOKEN")


def test_workers_of_a_real_slurm(slurm, place, monkeypatch):
    """One at once of two: the second goes on where a signal ends the first."""
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    (place / "begun").mkdir()
    here = {"n_workers": 0, "processes": False, "dashboard_address": "127.0.0.1:0"}
    with (
        LocalCluster(**here, protocol="tcp://", host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        address = {"address": cluster.scheduler_address}
        (place / "dask-scheduler.json").write_text(json.dumps(address))
        write("--workers", "2", "--at-once", "1", "--time", "10", "--memory", "500M")
        array = slurm.submit(place / "workers.sbatch", place)
        job, other = f"{array}_1", f"{array}_2"
        slurm.wait_for(lambda: client.scheduler_info()["workers"], "a worker joins")
        assert slurm.jobs() == {job: "RUNNING", other: "PENDING"}
        ((remaining, whole),) = client.run(times).values()
        assert 300 < remaining <= whole
        assert 420 < whole <= 480
        for _ in range(2):
            future = client.submit(go_on_until_told, str(place / "begun"), pure=False)
            number = len(list((place / "begun").iterdir()))
            slurm.wait_for(lambda n=number: len(list((place / "begun").iterdir())) > n, "it begins")
            slurm.tell(job)
            assert future.result(timeout=60)[1] is None  # no variable but those of the script
            future.release()
            job = other
        slurm.wait_for(lambda: not slurm.jobs(), "all jobs have ended")
        assert len(list((place / "begun").iterdir())) == 2  # of two jobs
        output = (place / f"nn_clustering-{array}_1.out").read_text()
        assert "Traceback" not in output
