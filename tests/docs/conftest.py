"""A copy of the project to type the documentation's commands in, with runs in a real MongoDB."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from nn_clustering.tracking import Server, connect
from tests.docs.snippets import blocks_of, missing_lines
from tests.programs import PROJECT, environment, run_warm

DATABASE = "tutorial"  # that the tutorial chooses
COPIED = (
    "nn_clustering",
    "experiments",
    "configs",
    "datasets/README.md",
    "tests",
    "pyproject.toml",
)


class Shell:
    """Types blocks of code in a folder, one after the other; what they export stays."""

    def __init__(self, folder, environ):
        self.folder = folder
        self.environ = environ

    def type(self, block):
        """Do what a block says; returns the finished process, None where it is not run."""
        if block.title:
            write_block(block, self.folder)
            return None
        if block.language not in ("bash", "python") or block.marker in (
            "not run",
            "config checked",
        ):
            return None
        finished = self._run(block)
        told = f"{block}\n{block.text}\n{finished.stdout}"
        if block.marker == "fails":
            assert finished.returncode != 0, told
        else:
            assert finished.returncode == 0, told
        return finished

    def type_page(self, page):
        """Type all blocks of a page, and compare what is printed with what the page says."""
        before = None
        for block in blocks_of(page):
            if block.language == "text" and before is not None and not block.title:
                missing = missing_lines(block.text, before.stdout)
                assert not missing, f"{block}: not printed: {missing}; printed:\n{before.stdout}"
            before = self.type(block)

    def _run(self, block):
        if block.language == "python":
            return self._python(["-c", block.text])
        printed, status = "", 0
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words and status == 0:
                is_python = words[0] == "python"
                finished = self._python(words[1:]) if is_python else self._bash(line)
                printed, status = printed + finished.stdout, finished.returncode
        return subprocess.CompletedProcess(block.text, status, printed)

    def _python(self, arguments):
        options = {"cwd": self.folder, "timeout": 900}
        finished = run_warm(arguments, self.environ, computes=True, **options)
        finished.stdout += finished.stderr
        return finished

    def _bash(self, line):
        """Run a line of bash; what it exports stays."""
        exported = self.folder / ".exported"
        finished = subprocess.run(
            ["bash", "-ec", f"{line}\nenv -0 > '{exported}'"], cwd=self.folder, env=self.environ,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if exported.exists():
            pairs = (entry.partition("=") for entry in exported.read_text().split("\0") if entry)
            self.environ = {name: value for name, _, value in pairs}
            exported.unlink()
        return finished


def write_block(block, folder):
    """Write the file that a block shows, or make the changes to it that a diff shows."""
    path = folder / block.title
    path.parent.mkdir(parents=True, exist_ok=True)
    if block.language == "diff":
        path.write_text(_changed(path.read_text(), block))
    else:
        path.write_text(block.text + "\n")


def _changed(text, block):
    """A text with the lines of a diff put in the place of those that it shows as they were."""
    lines = [line or " " for line in block.text.splitlines()]
    old = "".join(f"{line[1:]}\n" for line in lines if line[0] in " -")
    new = "".join(f"{line[1:]}\n" for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"{block}: {block.title} does not have these lines once:\n{old}"
    return text.replace(old, new)


def copy_project(folder):
    """A copy of what a user's checkout holds, to be changed and run in."""
    for name in COPIED:
        source, target = PROJECT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    activate = folder / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.touch()
    return folder


def shell_in(folder, home, **more):
    """A shell in a copy of the project, whose runs go to the embedded server of `home`."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environ = environment(home, PATH=path, TF_CPP_MIN_LOG_LEVEL="2", COLUMNS="160", **more)
    return Shell(folder, {**environ, "PYTHONPATH": str(folder)})


@pytest.fixture(scope="session")
def database(home, embedded_server):
    """The tutorial's database."""
    found = connect(Server(embedded_server.url, DATABASE, embedded=True))
    yield found
    found.client.drop_database(DATABASE)
    found.client.close()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of the project."""
    return copy_project(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="session")
def readme(database, checkout, home):
    """What a newcomer does first, in an empty database: README's commands were typed."""
    shell_in(checkout, home, MONGO_DB=DATABASE).type_page("README.md")


@pytest.fixture(scope="session")
def after_the_tutorial(readme, checkout, home, database):
    """Makes a shell where README and tutorial were gone through; the same runs for all pages."""
    shell_in(checkout, home).type_page("docs/tutorial.md")
    # now, before another page leaves runs of its own
    assert database["runs"].count_documents({"status": {"$ne": "COMPLETED"}}) == 0
    return lambda: shell_in(checkout, home, MONGO_DB=DATABASE)
