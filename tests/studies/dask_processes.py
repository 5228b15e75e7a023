"""A scheduler of Dask and workers as a lab has them: processes of their own, on a known port."""

import contextlib
import socket
import subprocess
import sys

from tests.programs import PROJECT

PATIENCE = 60.0


class Lab:
    """A scheduler and workers, to be started, killed and started again.

    Attributes:
        address: Of the scheduler, also of the next one.
        file: In which the scheduler says it.
    """

    def __init__(self, folder):
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"
        self.file = folder / "scheduler.json"
        self._folder = folder
        self._processes = []

    def start_scheduler(self):
        """Returns when it listens."""
        options = ["--host", "127.0.0.1", "--port", str(self._port), "--no-dashboard"]
        started = self._start("scheduler", *options, "--scheduler-file", str(self.file))
        while True:
            assert started.poll() is None
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
                return started

    def start_worker(self, *options):
        """Returns at once."""
        options = ["--nthreads", "1", "--no-dashboard", "--no-nanny", *options]
        return self._start("worker", self.address, *options)

    def kill(self, *processes):
        """Kill processes, and wait until they are gone; without any named, all."""
        for process in processes or self._processes:
            process.kill()
            process.wait()

    def _start(self, what, *arguments):
        with (self._folder / f"{what}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *arguments],
                cwd=PROJECT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process
