"""Every command, snippet and notebook of README and docs does what it says.

All in one file, so that one process types the tutorial, once.
"""

import ast
import json
import re
import sys

import nbformat
import pytest

from nn_clustering.tracking.command_line.main import main
from tests.docs.conftest import DATABASE, copy_project, shell_in, write_block
from tests.docs.snippets import (
    blocks_of,
    experiment_commands,
    inline_commands,
    missing_lines,
    pages,
)
from tests.programs import PROJECT, environment, run_python, run_warm

README, TUTORIAL = "README.md", "docs/tutorial.md"
HOW_TO = [page for page in pages() if page.startswith("docs/how-to/")]
# What a newcomer types after the tutorial, in any order.
OTHERS = [
    page
    for page in pages()
    if page not in (README, TUTORIAL, *HOW_TO) and any(block.language for block in blocks_of(page))
]
# Where the how-tos write files.
WRITTEN = ("nn_clustering", "experiments", "tests/datasets", "tests/networks", "tests/significance")
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
TARGETS |= {f"study-{path.stem}" for path in (PROJECT / "configs" / "study").glob("*.yaml")}

NOTEBOOKS = sorted((PROJECT / "docs" / "notebooks").glob("*.ipynb"))
# In a process of its own: a kernel's threads and sockets are not the tests'.
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=None).execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_the_readme_gives_what_it_says(readme, database):
    found = database["runs"].distinct("experiment.name")
    assert {"train", "cluster", "shuffle_test", "lesion"} <= set(found)


def test_the_tutorial_gives_what_it_says(after_the_tutorial, database):
    assert "choose_k" in database["runs"].distinct("experiment.name")


@pytest.mark.parametrize("page", OTHERS)
def test_a_page_works_after_the_tutorial(page, after_the_tutorial):
    after_the_tutorial().type_page(page)


@pytest.mark.parametrize("page", HOW_TO)
def test_a_how_to_works_in_a_checkout_of_its_own(page, tmp_path, home, after_the_tutorial):
    shell_in(copy_project(tmp_path), home, MONGO_DB=DATABASE).type_page(page)
    for task in (["check"], ["format", "--check"]):  # as `make lint` would
        found = run_python(["-m", "ruff", *task, *WRITTEN], environment(home), cwd=tmp_path)
        assert found.returncode == 0, found.stdout


@pytest.mark.slow
def test_every_command_of_a_stage_is_valid_up_to_computing(tmp_path, home):
    commands = list(dict.fromkeys(_typed_commands()))
    assert len(commands) > 30
    for block in blocks_of("docs/how-to/studies.md"):  # the study of one's own that they name
        if block.title:
            write_block(block, tmp_path)
    file = tmp_path / "commands.json"
    file.write_text(json.dumps(commands))
    program = PROJECT / "tests" / "docs" / "check_configs.py"
    finished = run_warm([program, file], environment(home), cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout.splitlines()[-1]) == []


def _typed_commands():
    """The commands of the pages, but of how-tos, which run what they make, and of docstrings."""
    for page in set(pages()) - set(HOW_TO):
        yield from _experiment_commands(
            [block.text for block in blocks_of(page) if block.marker != "fails"]
            + [text for text in inline_commands(page) if text.startswith("python experiments/")]
        )
    for path in (PROJECT / "experiments").glob("[a-z]*.py"):
        lines = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
        yield from _experiment_commands([line for line in lines if line.startswith("python ")])


def _experiment_commands(texts):
    for text in texts:
        for stage, arguments in experiment_commands(text):
            yield stage, tuple(arguments)


@pytest.mark.parametrize("page", pages())
def test_commands_within_the_text_exist(page, capsys):
    for text in inline_commands(page):
        if text.startswith("make ") and "=" not in text:
            assert text.split()[1] in TARGETS, text
        command = text.removeprefix("python -m nn_clustering.tracking ").split()[0]
        if command != text.split()[0] and command.islower():
            with pytest.raises(SystemExit) as ended:
                main([command, "--help"])
            assert ended.value.code == 0, text


def test_no_block_is_empty():
    assert [block for page in pages() for block in blocks_of(page) if not block.text.strip()] == []


def test_the_reasons_for_not_running_are_given():
    marked = [block for page in pages() for block in blocks_of(page) if block.marker == "not run"]
    assert 0 < len(marked) < 40


def test_a_wrong_output_is_noticed():
    printed = 'INFO - Started run with ID "3"\nn-cut 5.70, p = 0.02 of 50 shuffles\n'
    assert missing_lines("n-cut 5.71, p = 1e-09 of 50 shuffles", printed) == []
    assert missing_lines("n-cut 5.71, ... of 50 shuffles", printed) == []
    assert missing_lines("n-cut 5.71, z = 2 of 50 shuffles", printed) != []
    in_wrong_order = 'n-cut 5.70, p = 0.02 of 50 shuffles\nINFO - Started run with ID "3"'
    assert missing_lines(in_wrong_order, printed) != []


def test_python_runs_this_interpreter(after_the_tutorial):
    from tests.docs.snippets import Block

    block = Block("here", 1, "bash", "", "python -c 'import sys; print(sys.prefix)'")
    assert after_the_tutorial().type(block).stdout.strip() == sys.prefix


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, after_the_tutorial, home, tmp_path):
    folders = {
        name: str(tmp_path / name)
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR")
    }
    environ = environment(home, MONGO_DB=DATABASE, JUPYTER_PLATFORM_DIRS="1", **folders)
    finished = run_python(
        ["-c", EXECUTE, path, tmp_path / "executed.ipynb"], environ, cwd=tmp_path, timeout=900
    )
    assert finished.returncode == 0, finished.stderr
    executed = nbformat.read(tmp_path / "executed.ipynb", as_version=4)
    outputs = [output for cell in executed.cells for output in cell.get("outputs", ())]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) == 2
    assert not [output for output in outputs if output.output_type == "stream"], "warnings"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
