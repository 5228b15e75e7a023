"""The house: imports go down only, none goes round, and tracking stands alone."""

import ast
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

from tests.programs import PROJECT

# From the ground up; what stands on one floor does not import each other.
FLOORS = (
    ("nn_clustering.errors",),
    (
        *("nn_clustering.machine", "nn_clustering.seeds", "nn_clustering.threads"),
        "nn_clustering.user_functions",
    ),
    ("nn_clustering.datasets", "nn_clustering.networks"),
    ("nn_clustering.graphs",),
    # the clusterability gradient is of a graph
    ("nn_clustering.training", "nn_clustering.partitions"),
    ("nn_clustering.significance",),
    ("nn_clustering.lesions", "nn_clustering.visualisation"),
    ("nn_clustering.studies",),
    ("nn_clustering.reports",),
    ("experiments",),
)
T = "nn_clustering.tracking"
TRACKING_FLOORS = (
    tuple(
        f"{T}.{name}"
        for name in (
            *("errors", "names", "atomic_files", "encoding", "passwords", "gridfs", "indexes"),
            *("printing", "execution_keys", "imports", "own_code", "package_versions", "run_ids"),
            *("extended_json", "run_keys"),
        )
    ),
    (f"{T}.server",),
    (f"{T}.writing", f"{T}.omniboard"),
    (f"{T}.store",),
    (f"{T}.stages", f"{T}.command_line"),
    (f"{T}.__main__",),
)
# The family of errors begins there; studies and reports read the store; stages are its experiments.
MAY_IMPORT_TRACKING = (
    *("nn_clustering.errors", "nn_clustering.studies", "nn_clustering.reports"),
    "experiments",
)


def modules():
    """Every module of library and experiments, by its dotted name."""
    paths = [path for name in ("nn_clustering", "experiments") for path in _python_files(name)]
    return {_dotted(path): path for path in paths}


def _python_files(package):
    return sorted((PROJECT / package).rglob("*.py"))


def _dotted(path):
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def handed_out(package):
    """Where the names come from that a package's stub lists."""
    stub = Path(PROJECT, *package.split("."), "__init__.pyi")
    tree = ast.parse(stub.read_text()) if stub.exists() else ast.Module([], [])
    return {
        alias.name: f"{package}.{node.module}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def imports_of(path, known):
    """The project's modules that a file imports anywhere in it, if only for its types."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            for alias in node.names:
                module = f"{node.module}.{alias.name}"
                yield (
                    module
                    if module in known
                    else handed_out(node.module).get(alias.name, node.module)
                )


@pytest.fixture(scope="module")
def imports():
    """Who imports whom, a graph of modules."""
    known = modules()
    graph = nx.DiGraph()
    graph.add_nodes_from(known)
    for name, path in known.items():
        graph.add_edges_from((name, imported) for imported in imports_of(path, known))
    return graph


def floor_of(module, floors):
    return next(
        (
            number
            for number, rooms in enumerate(floors)
            for room in rooms
            if module == room or module.startswith(f"{room}.")
        ),
        None,
    )


def room_of(module, floors):
    rooms = (room for rooms in floors for room in rooms)
    return next(room for room in rooms if module == room or module.startswith(f"{room}."))


def upward(imports, floors):
    """The imports that do not go down."""
    for importer, imported in imports.edges:
        floor, below = floor_of(importer, floors), floor_of(imported, floors)
        if floor is None or below is None:
            continue
        if below > floor or (
            below == floor and room_of(importer, floors) != room_of(imported, floors)
        ):
            yield f"{importer} imports {imported}"


def test_no_module_imports_itself_by_way_of_others(imports):
    assert list(nx.simple_cycles(imports)) == []


def test_imports_go_down_only(imports):
    assert list(upward(imports, FLOORS)) == []


def test_imports_within_tracking_go_down_only(imports):
    # errors may say how they are listed, and so on: the ground is one floor
    ground = set(TRACKING_FLOORS[0])
    found = [text for text in upward(imports, TRACKING_FLOORS) if not set(text.split()) & ground]
    assert found == []


def test_tracking_knows_nothing_of_the_project(imports):
    foreign = [
        (importer, imported)
        for importer, imported in imports.edges
        if importer.startswith(T) and not imported.startswith(T)
    ]
    assert foreign == []


def test_only_errors_reports_and_experiments_know_of_tracking(imports):
    importers = {
        importer
        for importer, imported in imports.edges
        if imported.startswith(T) and not importer.startswith(T)
    }
    assert {name for name in importers if not name.startswith(MAY_IMPORT_TRACKING)} == set()


def test_every_module_has_a_floor(imports):
    homeless = [
        name
        for name in imports
        if name not in ("nn_clustering", T)
        and floor_of(name, FLOORS) is None
        and floor_of(name, TRACKING_FLOORS) is None
        and not _is_room(name)
    ]
    assert homeless == []


def _is_room(name):
    return any(name == room for rooms in TRACKING_FLOORS for room in rooms)


def test_sacred_is_imported_by_tracking_alone():
    importers = [
        name
        for name, path in modules().items()
        if not name.startswith(T)
        and any(
            (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sacred"))
            or (isinstance(node, ast.Import) and node.names[0].name.startswith("sacred"))
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]
    assert importers == []
