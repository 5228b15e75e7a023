"""A Slurm of this machine alone, started by hand: munged, slurmctld and slurmd, as root."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
PATIENCE = 60.0
CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
MailProg=/bin/true
KillWait=10
NodeName={host} NodeAddr=127.0.0.1 CPUs={n_cpus} RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def is_there():
    return os.geteuid() == 0 and all(shutil.which(name) for name in PROGRAMS)


class OneNodeSlurm:
    """Runs from `start` to `stop`.

    Its folder is to have a short path, for a socket, which nobody else may write on the way to.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.environ = {**os.environ, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self):
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        self.folder.chmod(0o755)
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        self._run(
            *("munged", f"--key-file={key}", f"--socket={self.folder}/munge.socket"),
            *(f"--pid-file={self.folder}/munged.pid", f"--log-file={self.folder}/munged.log"),
            f"--seed-file={self.folder}/munged.seed",
        )
        host = socket.gethostname().partition(".")[0]
        Path(self.environ["SLURM_CONF"]).write_text(
            CONFIG.format(
                folder=self.folder, host=host, ports=_free_ports(2), n_cpus=os.cpu_count()
            )
        )
        self._run("slurmctld")
        self._run("slurmd")

    def stop(self):
        """End all jobs, then the daemons."""
        if self.jobs():
            self._run("scancel", "--user=root")
            self.wait_for(lambda: not self.jobs(), "its jobs end")
        for name in ("slurmd", "slurmctld", "munged"):
            file = self.folder / f"{name}.pid"
            if file.exists():
                os.kill(int(file.read_text()), signal.SIGKILL)  # to end well takes it seconds

    def submit(self, script, folder):
        """Submit a script; returns the job's number."""
        said = self._run("sbatch", "--parsable", str(script), cwd=folder)
        return said.strip()

    def jobs(self):
        """State of each job, by its number or, in an array, that with the task's."""
        said = self._run("squeue", "--noheader", "--array", "--format=%i %T")
        return dict(line.split() for line in said.splitlines())

    def tell(self, job):
        """Send a job's script what it gets when its time is nearly over."""
        self._run("scancel", "--signal=TERM", "--batch", job)

    def wait_for(self, condition, what):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}\n{self._logs()}"
            time.sleep(0.1)

    def _run(self, *command, cwd=None):
        ended = subprocess.run(
            command, env=self.environ, capture_output=True, text=True, cwd=cwd, check=False
        )
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr, self._logs())
        return ended.stdout

    def _logs(self):
        return "\n".join(path.read_text()[-2000:] for path in sorted(self.folder.glob("*.log")))


def _free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
