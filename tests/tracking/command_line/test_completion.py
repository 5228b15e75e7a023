"""What the shell completes, asked of bash itself."""

import shutil
import subprocess

import pytest

from tests.programs import environment, run_python

COMMAND = ["-m", "nn_clustering.tracking"]
# What bash does when TAB is typed after these words: it calls the function that the script gave it.
ASK = """
eval "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_LINE="$*"
COMP_POINT=${#COMP_LINE}
complete=$(complete -p nn-clustering)
[[ $complete =~ -F\\ ([^ ]+) ]] && ${BASH_REMATCH[1]} nn-clustering "${@: -1}" "${@: -2:1}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    ended = run_python(
        [*COMMAND, "completion", "bash"], environment(tmp_path_factory.mktemp("home"))
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def completed(script, tmp_path):
    """What bash makes of words, in a folder with a file and a folder."""
    (tmp_path / "columns.yaml").touch()
    (tmp_path / "collected").mkdir()

    def completed(*words):
        asked = subprocess.run(
            ["bash", "--norc", "-c", ASK, "bash", "nn-clustering", *words],
            env={"SCRIPT": script, "PATH": "/usr/bin:/bin"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert asked.stderr == ""
        return {word.rstrip("/ ") for word in asked.stdout.split("\n") if word}

    return completed


def test_commands_are_completed(completed):
    assert completed("l") == {"list", "lineage"}
    assert {"show", "compare", "up", "completion"} <= completed("")


def test_options_of_a_command_are_completed(completed):
    assert completed("list", "--s") == {"--status", "--since", "--sort"}
    assert completed("show", "--s") == set()


def test_files_and_folders_are_completed(completed):
    assert completed("up", "--columns", "co") == {"columns.yaml", "collected"}
    assert completed("export", "--to", "co") == {"collected"}
    assert completed("completion", "z") == {"zsh"}


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")
def test_script_for_zsh_is_one(tmp_path):
    ended = run_python([*COMMAND, "completion", "zsh"], environment(tmp_path))
    assert ended.stdout.startswith("#compdef nn-clustering")
    subprocess.run(["zsh", "-n"], input=ended.stdout, text=True, check=True)


def test_other_shells_are_refused(tmp_path):
    ended = run_python([*COMMAND, "completion", "cmd"], environment(tmp_path))
    assert ended.returncode == 2
    assert "one of bash, zsh" in ended.stderr
