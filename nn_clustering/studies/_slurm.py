"""The script by which Slurm starts workers for studies: an array of jobs, one worker each.

No password is in it, and none of the variables of whoever submits it go with it but those that it
names.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nn_clustering.errors import InvalidInputError
from nn_clustering.studies._local_workers import GPU, MEMORY
from nn_clustering.studies._walltime import INTERRUPT_BEFORE_SECONDS, LEAST_SECONDS
from nn_clustering.tracking.server.ownership import is_private
from nn_clustering.tracking.writing.journal_place import (
    PLACE_VARIABLE,
    journals_folder,
    require_locks,
)

MARK = "# Workers for studies, by `python -m nn_clustering.studies slurm`."
# A worker ends so long before its job: Slurm is exact to a minute.
RESERVE_SECONDS = 120
# It has gone by, mostly, before a worker has begun.
STARTING_SECONDS = 60
# What of the environment a worker needs to find runs, samples and code; paths and names alone.
PATHS = ("MONGO_URL_FILE", "NN_CLUSTERING_HOME", PLACE_VARIABLE, "DASK_CONFIG")
PATH_LISTS = ("NN_CLUSTERING_DATASETS", "PYTHONPATH")
NAMES = ("MONGO_DB", "NN_CLUSTERING_JOURNAL_MB")
# What a shell of the user has, and a job shall have.
SHELL = "HOME,USER,LOGNAME,SHELL,PATH,LANG"


@dataclass(frozen=True)
class WorkerJobs:
    """Jobs of Slurm, each with one worker.

    Attributes:
        n_workers: How many there are in all.
        at_once: How many of them may run side by side; None for all.
        seconds: For how long each may run.
        n_threads: Processors of each, the study's `n_threads`.
        n_gpus: GPUs of each.
        memory_mb: Memory of each, in MB (2^20 bytes); None for what the partition gives.
        partition: That they run in; None for the cluster's own choice.
        options: Further options of sbatch, `--account=lab`.
        setup: Lines of bash before the worker is started, `module load cuda`.
        scheduler_file: The file in which the scheduler writes its address.
        reserve_seconds: How long before its job a worker ends.
    """

    scheduler_file: Path
    n_workers: int = 4
    at_once: int | None = None
    seconds: int = 4 * 3600
    n_threads: int = 1
    n_gpus: int = 0
    memory_mb: int | None = None
    partition: str | None = None
    options: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()
    reserve_seconds: int = RESERVE_SECONDS

    def __post_init__(self) -> None:
        """Refuse a time in which nothing could be computed, and what contradicts itself.

        Raises:
            InvalidInputError: One of them.
        """
        least = self.reserve_seconds + INTERRUPT_BEFORE_SECONDS + LEAST_SECONDS + STARTING_SECONDS
        if self.seconds < least:
            raise InvalidInputError(
                f"--time {duration(self.seconds)} is too short; expected {duration(round(least))} "
                "or more, of which a worker keeps the last "
                f"{self.reserve_seconds + INTERRUPT_BEFORE_SECONDS:.0f} s to end well"
            )
        if self.at_once is not None and self.at_once > self.n_workers:
            raise InvalidInputError(
                f"--at-once {self.at_once} says nothing for --workers {self.n_workers}; expected "
                "fewer"
            )


def passed_on(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that workers shall have, with whole paths.

    Args:
        environ: Where they come from.

    Raises:
        InvalidInputError: The store of runs is none that other machines can reach without a
            password in the script, or journals cannot lie where they shall.
        ServerUnavailableError: The folder of journals is another user's.
    """
    _check_store(environ)
    given = {name: environ[name] for name in (*PATHS, *NAMES) if environ.get(name, "").strip()}
    found = {name: os.path.abspath(given[name]) if name in PATHS else given[name] for name in given}
    journals = journals_folder(environ)
    journals.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_locks(journals)
    found[PLACE_VARIABLE] = str(journals)
    for name in PATH_LISTS:
        paths = [path for path in environ.get(name, "").split(os.pathsep) if path]
        if paths:
            found[name] = os.pathsep.join(map(os.path.abspath, paths))
    return found


def _check_store(environ: Mapping[str, str]) -> None:
    file = environ.get("MONGO_URL_FILE", "").strip()
    if not file:
        reason = (
            "MONGO_URL would be a password in the script"
            if environ.get("MONGO_URL", "").strip()
            else "the MongoDB of this machine alone is out of reach for others"
        )
        raise InvalidInputError(
            f"{reason}; expected MONGO_URL_FILE to name a file, for you alone (chmod 600), that "
            "holds the URL of a server which the workers reach"
        )
    if not is_private(Path(file)):
        raise InvalidInputError(
            f"MONGO_URL_FILE={file!r} is no file of yours alone; expected one that nobody else may "
            "read (chmod 600)"
        )


def sbatch_script(
    jobs: WorkerJobs,
    variables: Mapping[str, str],
    folder: Path | None = None,
    python: str = sys.executable,
) -> str:
    """Return the script for `sbatch`.

    Args:
        jobs: What it shall start.
        variables: What workers find in their environment, from `passed_on`.
        folder: That they are started in; default the current one.
        python: The interpreter, which has the packages; of a virtual environment, its own.
    """
    activate = Path(python).with_name("activate")
    lines = [
        "#!/bin/bash -l",
        MARK,
        *(f"#SBATCH {option}" for option in _options(jobs)),
        "",
        "set -e",
        *jobs.setup,
        *([f". {shlex.quote(str(activate))}"] if activate.is_file() else []),
        f"cd {shlex.quote(str((folder or Path.cwd()).resolve()))}",
        *(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())),
        "",
        "# In the place of the shell, so that Slurm's signal reaches it.",
        f"exec {_worker_command(jobs, python)}",
    ]
    return "\n".join(lines) + "\n"


def _options(jobs: WorkerJobs) -> list[str]:
    at_once = "" if jobs.at_once is None else f"%{jobs.at_once}"
    return [
        "--job-name=nn_clustering",
        f"--array=1-{jobs.n_workers}{at_once}",
        "--nodes=1",
        "--ntasks=1",
        f"--cpus-per-task={jobs.n_threads}",
        f"--time={duration(jobs.seconds)}",
        *([] if jobs.memory_mb is None else [f"--mem={jobs.memory_mb}M"]),
        *([f"--gres=gpu:{jobs.n_gpus}"] if jobs.n_gpus else []),
        *([] if jobs.partition is None else [f"--partition={jobs.partition}"]),
        f"--signal=B:TERM@{max(1, jobs.reserve_seconds // 2)}",
        "--requeue",
        f"--export={SHELL}",
        "--open-mode=append",
        "--output=nn_clustering-%A_%a.out",
        *jobs.options,
    ]


def _worker_command(jobs: WorkerJobs, python: str) -> str:
    memory = [] if jobs.memory_mb is None else [f"{MEMORY}={jobs.memory_mb * 2**20}"]
    lifetime = jobs.seconds - jobs.reserve_seconds
    words = [
        f"{shlex.quote(os.path.abspath(python))} -m dask worker",
        f"--scheduler-file {shlex.quote(str(jobs.scheduler_file))}",
        "--preload nn_clustering.studies.preload",
        "--nthreads 1 --no-nanny --no-dashboard",
        f'--lifetime "$(({lifetime} - SECONDS))s" --lifetime-stagger 0s --death-timeout 300s',
        '--name "$SLURM_JOB_ID.${SLURM_RESTART_COUNT:-0}"',
        '--local-directory "${TMPDIR:-/tmp}"',
        f"--resources {shlex.quote(' '.join([f'{GPU}={jobs.n_gpus}', *memory]))}",
    ]
    return " \\\n  ".join(words)


def next_steps(
    jobs: WorkerJobs,
    script: Path,
    host: str,
    python: str = sys.executable,
    *,
    asks_for_certificates: bool = False,
) -> str:
    """Return what to type once the script is written, in lines.

    Args:
        jobs: Those of the script.
        script: Where it is.
        host: Name of a machine that the workers reach.
        python: The interpreter.
        asks_for_certificates: Whether Dask is configured to (`DASK_CONFIG`).
    """
    file = shlex.quote(str(jobs.scheduler_file))
    protocol = " --protocol tls" if asks_for_certificates else ""
    warning = [
        "Whoever reaches its port can run programs as you, unless it asks for certificates: see",
        "docs/how-to/studies-on-many-machines.md.",
    ]
    return "\n".join(
        [
            f"On {host}, or another machine that the nodes reach, and as long as the study lasts:",
            f"  {shlex.quote(python)} -m dask scheduler --scheduler-file {file} \\",
            f"    --host {shlex.quote(host)} --dashboard-address 127.0.0.1:8787{protocol}",
            *([] if asks_for_certificates else warning),
            "Then:",
            f"  sbatch {shlex.quote(str(script))}",
            f"  python experiments/study.py with NAME scheduler_file={file}",
        ]
    )


def duration(seconds: int) -> str:
    """Return seconds as Slurm writes them: hours, minutes and seconds, days before them."""
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    clock = f"{hour:02}:{minute:02}:{second:02}"
    return f"{days}-{clock}" if days else clock
