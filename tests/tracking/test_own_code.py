"""Which files are a program's own, found by following imports."""

import hashlib
import importlib
import sys
from pathlib import Path

import pytest
from sacred import Experiment, Ingredient

from nn_clustering.tracking import InvalidInputError
from nn_clustering.tracking.own_code import (
    add_own_code,
    can_change_numbers,
    named_code,
    own_code,
    python_files,
)
from tests.tracking.foreign_project import OWN_MODULES, write_project


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A program's folder, where Python looks for its modules; what it loads is forgotten."""
    folder = tmp_path / "workshop"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder, **files):
    """Writes modules; two underscores in a name stand for a folder."""
    for name, content in files.items():
        path = folder.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder / "program.py"


def names(code, folder):
    return {str(path.relative_to(folder.resolve())) for path in code.files}


def test_imports_are_followed_wherever_they_stand(folder):
    program = write(
        folder,
        program="import first_tool\nif False:\n    import second_tool as tool",
        first_tool="def work():\n    from third_tool import anything",
        second_tool="try:\n    import missing_tool\nexcept ImportError:\n    pass",
        third_tool="import first_tool  # and round again",
        fourth_tool="",
    )
    found = own_code(program, folder)
    expected = {"program.py", "first_tool.py", "second_tool.py", "third_tool.py"}
    assert names(found, folder) == expected
    assert not any(name.endswith("_tool") for name in sys.modules)


def test_packages_are_run_on_the_way_to_their_modules(folder):
    program = write(folder, program="from workbench.upper import vice", workbench__upper__vice="")
    (folder / "workbench" / "__init__.py").write_text("from . import drawer")
    (folder / "workbench" / "upper" / "__init__.py").write_text("")
    (folder / "workbench" / "drawer.py").write_text("from .upper.lamp import light")
    (folder / "workbench" / "upper" / "lamp.py").write_text("from ..drawer import x\nlight = 1")
    expected = {
        "program.py",
        "workbench/__init__.py",
        "workbench/drawer.py",
        "workbench/upper/__init__.py",
        "workbench/upper/lamp.py",
        "workbench/upper/vice.py",
    }
    assert names(own_code(program, folder), folder) == expected


def test_packages_that_a_program_lies_in_are_its_own(folder):
    write(folder, workbench__upper__program="from ..drawer import x", workbench__drawer="x = 1")
    for place in (folder / "workbench", folder / "workbench" / "upper"):
        (place / "__init__.py").write_text("")
    found = own_code(folder / "workbench" / "upper" / "program.py", folder)
    assert names(found, folder) == {
        "workbench/__init__.py",
        "workbench/drawer.py",
        "workbench/upper/__init__.py",
        "workbench/upper/program.py",
    }


def test_module_that_is_missing_beside_it_is_not_the_package_of_that_name(folder):
    write(folder, loose__program="try:\n    from .numpy import x\nexcept ImportError:\n    pass")
    assert own_code(folder / "loose" / "program.py", folder).packages == frozenset()


def test_names_that_a_package_hands_out_by_its_stub_are_followed(folder):
    program = write(folder, program="from shelf import Board", shelf__timber="class Board: ...")
    (folder / "shelf" / "__init__.py").write_text(LAZY)
    (folder / "shelf" / "__init__.pyi").write_text("from .timber import Board as Board")
    expected = {"program.py", "shelf/__init__.py", "shelf/timber.py"}
    assert names(own_code(program, folder), folder) == expected


@pytest.fixture
def shelf(folder):
    """A package that hands out names of its modules when they are asked for."""
    modules = {"timber": "class Board: ...", "metal": "class Nail: ...", "glass": "PANE = 1"}
    write(folder, **{f"shelf__{name}": text for name, text in modules.items()})
    (folder / "shelf" / "__init__.py").write_text(LAZY)
    (folder / "shelf" / "__init__.pyi").write_text(
        "from .timber import Board as Board\nfrom .metal import Nail as Nail\n"
    )
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from shelf import Board", "timber"),
        ("from shelf import Board as Plank, Nail", "timber metal"),
        ("import shelf\nshelf.Board()", "timber"),
        ("import shelf as rack\ndef f():\n    return rack.Nail.head.size", "metal"),
        ("from shelf import glass", "glass"),
        ("import shelf.glass\nshelf.Nail", "glass metal"),
        ("import shelf", ""),
        # Nobody can tell what is read of it.
        ("import shelf\nprint(shelf)", "timber metal"),
        ("import shelf\ngetattr(shelf, 'Nail')", "timber metal"),
        ("from shelf import *", "timber metal"),
        ("import importlib\nimportlib.import_module('shelf')", "timber metal"),
        ("import importlib\nimportlib.import_module('shelf.glass')", "glass"),
        ("from importlib import import_module as load\nload('shelf.glass')", "glass"),
        ("import importlib\nimportlib.import_module('.glass', 'shelf')", "glass"),
        ("import importlib\nimportlib.import_module('..glass', package='shelf.metal')", "glass"),
        # The text names no module.
        ("import importlib\nimportlib.import_module('no name')", None),
        ("import importlib, sys\nimportlib.import_module(sys.argv[1])", None),
        # By way of another module.
        ("from room import shelf\nshelf.Board", "timber"),
        ("import room\nroom.shelf.Nail", "metal"),
        ("from hall import Plank", "timber"),
        ("from room import *\nshelf.Board", "timber metal"),
        # Only type checkers see it.
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from shelf import Nail", None),
        (
            "import typing\nif typing.TYPE_CHECKING:\n    import shelf\nelse:\n"
            "    from shelf import Nail",
            "metal",
        ),
    ],
)
def test_only_the_module_counts_that_has_a_name(shelf, text, expected):
    write(shelf, room="import shelf", hall="from shelf import Board as Plank")
    program = write(shelf, program=text)
    found = names(own_code(program, shelf), shelf) - {"program.py", "room.py", "hall.py"}
    loaded = set() if expected is None else {"shelf/__init__.py"}
    assert found == loaded | {f"shelf/{name}.py" for name in (expected or "").split()}


@pytest.mark.parametrize(
    "name", ["f'drawer.{number}'", "'drawer.' + number", "'drawer.n%s' % number", "f'{number}.x'"]
)
def test_all_modules_count_that_a_text_may_name(folder, name):
    program = write(
        folder,
        program=f"import importlib\ndef take(number):\n    importlib.import_module({name})",
        drawer__nuts="",
        drawer__nails="import hammer",
        hammer="",
    )
    expected = {"program.py"}
    if "drawer" in name:
        expected |= {"drawer/nuts.py", "drawer/nails.py", "hammer.py"}
    assert names(own_code(program, folder), folder) == expected


def test_module_beside_a_file_is_imported_by_a_text(folder):
    program = write(
        folder,
        program="import cellar.room",
        cellar__room="from importlib import import_module\nimport_module('.wine', __package__)",
        cellar__wine="from . import glass",
        cellar__glass="",
    )
    expected = {f"cellar/{name}.py" for name in ("room", "wine", "glass")}
    assert names(own_code(program, folder), folder) == {"program.py", *expected}


def test_names_of_a_stub_count_that_are_read(shelf):
    program = write(shelf, program="from shelf import Board, Nail")
    stub = shelf / "shelf" / "__init__.pyi"
    before = own_code(program, shelf).digest(shelf)
    text = stub.read_text()
    stub.write_text(f"from .glass import PANE as PANE\n{text}")
    assert own_code(program, shelf).digest(shelf) == before
    # The same modules, but not for the same names.
    swapped = "from .metal import Board as Board\nfrom .timber import Nail as Nail\n"
    stub.write_text(swapped)
    assert own_code(program, shelf).digest(shelf) != before


def test_stub_is_stored_although_it_does_not_count(shelf):
    experiment = made(write(shelf, program=PROGRAM, helper_of_it="from shelf import Nail"))
    add_own_code(experiment)
    stored = {Path(source.filename).name for source in experiment.sources}
    assert {"__init__.pyi", "metal.py"} <= stored
    assert not can_change_numbers(shelf / "shelf" / "__init__.pyi")


def test_all_modules_count_of_a_package_that_finds_names_in_its_own_way(folder):
    program = write(folder, program="from shelf import Board", shelf__timber="", shelf__metal="")
    (folder / "shelf" / "__init__.py").write_text("def __getattr__(name):\n    return find(name)")
    expected = {"program.py", "shelf/__init__.py", "shelf/timber.py", "shelf/metal.py"}
    assert names(own_code(program, folder), folder) == expected


def test_tracking_is_no_code_of_a_program(folder):
    program = write(
        folder,
        program="from nn_clustering.tracking import track\nimport nn_clustering.tracking.errors",
    )
    assert own_code(program, folder).packages == frozenset()
    program = write(folder, program="from nn_clustering import tracking, seeds\ntracking.track")
    assert own_code(program, folder).packages == {"nn_clustering"}


def test_own_packages_are_followed_where_they_are_installed(folder, monkeypatch):
    """As this project's stages are, of a wheel."""
    site = folder / "lib" / "site-packages"
    write(site, stages__program="import library.deep, other", library__deep="", other="")
    for package in ("stages", "library"):
        (site / package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(site))
    found = own_code(site / "stages" / "program.py", site, ["stages", "library"])
    expected = ("stages/__init__", "stages/program", "library/__init__", "library/deep")
    assert names(found, site) == {f"{name}.py" for name in expected}
    assert found.packages == {"other"}


def test_code_behind_a_name_is_that_of_the_folder_first(folder, tmp_path):
    here = tmp_path / "here"
    for place, width in ((folder, 1), (here, 2)):
        write(place, my_nets="from my_blocks import WIDTH", my_blocks=f"WIDTH = {width}")
    found = named_code("my_nets.wide", here)
    assert found.files == {here / "my_nets.py", here / "my_blocks.py"}
    assert named_code("my_nets", here) == found
    for name in ("no_such_module.f", "numpy.linalg.norm", "", "a b", "json.loads"):
        assert named_code(name, here).files == frozenset()


def test_digest_of_code_tells_its_content_and_not_its_place(tmp_path):
    digests = []
    for place, width in (("one", 1), ("two", 1), ("three", 2)):
        write(tmp_path / place, my_nets="import my_blocks", my_blocks=f"WIDTH = {width}")
        digests.append(named_code("my_nets.wide", tmp_path / place).digest(tmp_path / place))
    assert digests[0] == digests[1] != digests[2]
    # A module by itself has the digest of its content.
    (tmp_path / "alone.py").write_text("A = 1")
    alone = named_code("alone.f", tmp_path).digest(tmp_path)
    assert alone == hashlib.sha256(b"A = 1").hexdigest()


@pytest.mark.parametrize("place", ["site-packages", "dist-packages"])
def test_what_is_installed_is_no_code_of_its_own(folder, monkeypatch, place):
    program = write(folder, program="import json, numpy, glued_in, nn_clustering")
    installed = folder / "env" / "lib" / place
    installed.mkdir(parents=True)
    (installed / "glued_in.py").write_text("")
    monkeypatch.syspath_prepend(str(installed))
    found = own_code(program, folder)
    assert names(found, folder) == {"program.py"}
    assert found.packages == {"numpy", "glued_in", "nn_clustering"}


def test_what_lies_elsewhere_and_is_not_installed_is_its_own(folder, monkeypatch):
    program = write(folder, program="import json, borrowed")
    elsewhere = folder.parent / "other"
    write(elsewhere, borrowed="from lent import thing", lent="")
    monkeypatch.syspath_prepend(str(elsewhere))
    found = own_code(program, folder)
    assert found.files == {program, elsewhere / "borrowed.py", elsewhere / "lent.py"}
    assert found.packages == frozenset()


def test_modules_beside_the_folder_of_a_script_are_its_own(folder):
    program = (
        write(
            folder,
            scripts__program="from ..shelf import plank\nimport plain",
            shelf__plank="",
            plain="",
        ).with_name("scripts")
        / "program.py"
    )
    for package in (folder, folder / "scripts", folder / "shelf"):
        (package / "__init__.py").write_text("")
    assert names(own_code(program, folder / "scripts"), folder) == {
        *("__init__.py", "plain.py", "scripts/__init__.py", "scripts/program.py"),
        *("shelf/__init__.py", "shelf/plank.py"),
    }


def test_all_modules_may_be_meant_by_a_star(folder):
    program = write(folder, program="from shelf import *", shelf__plank="", shelf__box__lid="")
    for package in ("shelf", "shelf/box"):
        (folder / package / "__init__.py").write_text("__all__ = ['plank', 'box']")
    expected = {"program.py", "shelf/__init__.py", "shelf/plank.py", "shelf/box/__init__.py"}
    assert names(own_code(program, folder), folder) == expected


def test_packages_without_init_are_followed(folder, monkeypatch):
    program = write(folder, program="import shelf.upper.plank", shelf__upper__plank="")
    other = folder / "more"
    write(other, shelf__lower="")
    monkeypatch.syspath_prepend(str(other))
    (folder / "second.py").write_text("from shelf import lower")
    assert names(own_code(program, folder), folder) == {"program.py", "shelf/upper/plank.py"}
    expected = {"second.py", "more/shelf/lower.py"}
    assert names(own_code(folder / "second.py", folder), folder) == expected


def test_python_within_the_folder_is_no_code_of_its_own(folder):
    program = write(folder, program="import json, numpy, a_tool", a_tool="")
    found = own_code(program, Path("/"))
    assert names(found, Path("/")) == names(own_code(program, folder), Path("/"))
    assert found.packages == {"numpy"}


def test_module_that_was_loaded_from_elsewhere_is_the_one_that_counts(folder, monkeypatch):
    program = write(folder, program="import lent_tool", tools__lent_tool="")
    with monkeypatch.context() as while_loading:
        while_loading.syspath_prepend(str(folder / "tools"))
        importlib.import_module("lent_tool")
    assert names(own_code(program, folder), folder) == {"program.py", "tools/lent_tool.py"}


def test_module_that_hides_one_of_python_is_its_own(folder):
    program = write(folder, program="import json, sched, trace", sched="")
    found = own_code(program, folder)
    assert names(found, folder) == {"program.py", "sched.py"}
    assert found.packages == frozenset()


def test_file_that_is_no_python_counts_but_leads_nowhere(folder):
    program = write(folder, program="import broken_tool", broken_tool="import json as\n")
    assert names(own_code(program, folder), folder) == {"program.py", "broken_tool.py"}


def test_versions_of_what_helpers_import_are_noted(folder):
    write(folder, program=PROGRAM, helper_of_it="import scipy, networkx, sklearn.cluster")
    experiment = made(folder / "program.py")
    assert "scipy" not in {package.name for package in experiment.dependencies}
    add_own_code(experiment)
    versions = {package.name: package.version for package in experiment.dependencies}
    assert all(versions[name] for name in ("scipy", "networkx", "scikit-learn"))


def test_digests_stay_those_of_the_first_look(folder):
    write(folder, program=PROGRAM, helper_of_it="A = 1")
    experiment = made(folder / "program.py")
    digests = []
    for content in ("A = 1", "A = 2"):
        (folder / "helper_of_it.py").write_text(content)
        add_own_code(experiment)
        digests.append(dict(experiment.get_experiment_info()["sources"]))
    assert set(digests[0]) == {"program.py", "helper_of_it.py"}
    assert digests[0] == digests[1]


def test_code_of_a_stage_is_what_it_was_when_it_was_declared(folder):
    write(folder, program=STAGE, helper_of_it="A = 1")
    experiment = made(folder / "program.py")
    (folder / "helper_of_it.py").write_text("A = 2")
    digests = dict(experiment.get_experiment_info()["sources"])
    assert digests["helper_of_it.py"] == hashlib.md5(b"A = 1").hexdigest()


def test_code_of_an_ingredient_is_that_of_its_own_folder(folder, tmp_path):
    write(folder, program=PROGRAM, helper_of_it="")
    spice = tmp_path / "market" / "spice.py"
    write(spice.parent, spice="def grind():\n    from . import mill", mill="")
    experiment = made(folder / "program.py")
    namespace = {"__file__": str(spice), "__name__": "spice", "Ingredient": Ingredient}
    making = compile("pepper = Ingredient('pepper', save_git_info=False)", spice, "exec")
    exec(making, namespace)
    experiment.ingredients.append(namespace["pepper"])
    add_own_code(experiment)
    files = {Path(source.filename).name for source in namespace["pepper"].sources}
    assert files == {"spice.py", "mill.py"}


def test_python_files_of_folders_and_files(tmp_path):
    write_project(tmp_path)
    (tmp_path / "kettle" / "notes.txt").write_text("")
    (tmp_path / "kettle" / "heat.pyi").write_text("")
    found = python_files([tmp_path / "kettle", tmp_path / "brew.py"])
    named = {str(path.relative_to(tmp_path)) for path in found}
    assert named == {*OWN_MODULES, "kettle/cellar.py", "kettle/heat.pyi", "brew.py"}


def test_sources_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(InvalidInputError, match=r"sources: .*/kettle is not there"):
        list(python_files([tmp_path / "kettle"]))


LAZY = """
import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
"""
PROGRAM = """
from sacred import Experiment

ex = Experiment("workshop", save_git_info=False)


@ex.main
def work():
    import helper_of_it
"""
STAGE = """
from nn_clustering.tracking import StageExperiment

ex = StageExperiment("workshop", save_git_info=False)


@ex.stage
def work(run):
    import helper_of_it
"""


def made(program):
    """The experiment that a program makes."""
    namespace = {"__file__": str(program), "__name__": "program"}
    exec(compile(program.read_text(), program, "exec"), namespace)
    experiment = namespace["ex"]
    assert isinstance(experiment, Experiment)
    return experiment
