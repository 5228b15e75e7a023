"""Run as `python -m nn_clustering.studies slurm`: workers for studies on a cluster."""

from __future__ import annotations

import argparse
import re
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from nn_clustering.errors import InvalidInputError, NnClusteringError
from nn_clustering.studies._schedulers import import_distributed
from nn_clustering.studies._slurm import MARK, WorkerJobs, next_steps, passed_on, sbatch_script
from nn_clustering.tracking.command_line.parser import CommandParser, parse, whole_number
from nn_clustering.tracking.printing import printable

SCHEDULER_FILE, SCRIPT = "dask-scheduler.json", "workers.sbatch"
MOST = 100_000
_TIME = re.compile(r"(?:(?P<days>\d{1,3})-)?(?P<clock>\d{1,4}(?::\d{1,2}){0,2})", re.ASCII)
_MEMORY = re.compile(r"(\d{1,9})([KMGT]?)B?", re.ASCII | re.IGNORECASE)
_NAME = re.compile(r"[\w.,+-]{1,200}", re.ASCII)
_OPTION = re.compile(r"--[a-z][a-z-]*(=[^\x00-\x1f\x7f]*)?", re.ASCII)
# That would contradict what the script rests on.
_OWN = ("array", "export", "signal", "time", "ntasks", "nodes", "cpus-per-task", "mem", "wrap")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parsed = parse(build_parser(), arguments)
    try:
        return int(parsed.function(parsed))
    except NnClusteringError as problem:
        print(printable(str(problem)), file=sys.stderr)
        return 1


def build_parser() -> CommandParser:
    """The parser of all commands."""
    parser = CommandParser(
        prog="python -m nn_clustering.studies",
        description="Workers for studies (experiments/study.py) on other machines.",
        epilog="`COMMAND --help` says more about each.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    slurm = commands.add_parser(
        "slurm",
        help="write a script by which Slurm starts workers",
        description="Write a script by which Slurm starts workers, and say what to type next. "
        "MONGO_URL_FILE and NN_CLUSTERING_JOURNAL (the journals' folder, which the nodes share) "
        "are taken from the environment.",
    )
    slurm.set_defaults(function=write_script, parser=slurm)
    _add_options(slurm)
    return parser


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--workers", type=_number(1), default=4, metavar="N", help="jobs, a worker each (4)")
    add("--at-once", type=_number(1), metavar="N", help="of these, how many run side by side (all)")
    add("--time", type=_seconds, default=4 * 3600, metavar="HH:MM:SS",
        help="for how long each may run, also D-HH:MM:SS (04:00:00)")  # fmt: skip
    add("--cpus", type=_number(1), default=1, metavar="N",
        help="processors of each, the study's n_threads (1)")  # fmt: skip
    add("--gpus", type=_number(0), default=0, metavar="N", help="GPUs of each (0)")
    add("--memory", type=_megabytes, metavar="M", help="memory of each, as 8G (the partition's)")
    add("--partition", type=_name, metavar="P", help="that they run in (the cluster's choice)")
    add("--sbatch", type=_option, action="append", default=[], metavar="OPTION",
        help="another option of sbatch, as --sbatch=--account=lab; may be repeated")  # fmt: skip
    add("--setup", type=_line, action="append", default=[], metavar="LINE",
        help="a line of bash before a worker starts, as 'module load cuda'; may be repeated"
        )  # fmt: skip
    add("--scheduler-file", type=_file, default=SCHEDULER_FILE, metavar="PATH",
        help=f"where the scheduler writes its address; the nodes share it ({SCHEDULER_FILE})"
        )  # fmt: skip
    add("--to", type=_file, default=SCRIPT, metavar="FILE", help=f"the script ({SCRIPT})")


def write_script(parsed: argparse.Namespace) -> int:
    """Write the script, and say what to type next; returns the exit status.

    Raises:
        InvalidInputError: It cannot be written, or would not do; Dask Distributed is not installed.
    """
    import_distributed()
    jobs = WorkerJobs(
        scheduler_file=parsed.scheduler_file,
        n_workers=parsed.workers,
        at_once=parsed.at_once,
        seconds=parsed.time,
        n_threads=parsed.cpus,
        n_gpus=parsed.gpus,
        memory_mb=parsed.memory,
        partition=parsed.partition,
        options=tuple(parsed.sbatch),
        setup=tuple(parsed.setup),
    )
    _write(parsed.to, sbatch_script(jobs, passed_on()))
    print(f"{parsed.to}: {jobs.n_workers} {'worker' if jobs.n_workers == 1 else 'workers'}")
    host = socket.gethostname()
    print(next_steps(jobs, parsed.to, host, asks_for_certificates=_asks_for_certificates()))
    return 0


def _asks_for_certificates() -> bool:
    import dask.config

    return bool(dask.config.get("distributed.comm.require-encryption", default=False))


def _write(path: Path, script: str) -> None:
    try:
        if path.exists() and MARK not in path.read_text(errors="replace").splitlines()[:2]:
            raise InvalidInputError(
                f"--to {path}: there is another file; expected a new one, or one that this wrote"
            )
        path.write_text(script)
    except OSError as problem:
        raise InvalidInputError(
            f"--to {path}: cannot be written ({problem.strerror}); expected a file that you may "
            "write"
        ) from None


def _number(least: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = whole_number(text)
        if not least <= number <= MOST:
            raise argparse.ArgumentTypeError(f"{text}: expected {least} to {MOST}")
        return number

    return read


def _seconds(text: str) -> int:
    """The seconds that a time of Slurm says: MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM, D-HH:MM:SS."""
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r}: expected HH:MM:SS, or D-HH:MM:SS")
    parts = [int(part) for part in found["clock"].split(":")]
    if found["days"] is not None:
        hours, minutes, seconds = (*parts, 0, 0)[:3]
        return ((int(found["days"]) * 24 + hours) * 60 + minutes) * 60 + seconds
    if len(parts) == 1:
        return 60 * parts[0]
    hours, minutes, seconds = (0, *parts)[-3:]
    return (hours * 60 + minutes) * 60 + seconds


def _megabytes(text: str) -> int:
    found = _MEMORY.fullmatch(text.strip())
    kilobytes = {"K": 1, "": 2**10, "M": 2**10, "G": 2**20, "T": 2**30}
    megabytes = 0 if found is None else int(found[1]) * kilobytes[found[2].upper()] // 2**10
    if megabytes < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of MB, or as 8G")
    return megabytes


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a name")
    return text


def _option(text: str) -> str:
    name = text.partition("=")[0].lstrip("-")
    if not _OPTION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r}: expected as --sbatch=--account=lab")
    if name in _OWN:
        raise argparse.ArgumentTypeError(f"{text!r}: expected none that the script has itself")
    return text


def _line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a line of bash")
    return text


def _file(text: str) -> Path:
    path = Path(text).absolute()
    if not text.strip() or not text.isprintable() or not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a file in a folder that is there")
    return path


if __name__ == "__main__":
    sys.exit(main())
