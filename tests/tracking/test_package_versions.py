"""Which installed packages can change a program's numbers."""

import pytest

from nn_clustering.tracking.package_versions import counted_versions, distributions_of

DISTRIBUTIONS = {
    # name and version, what it requires, its modules
    "Learn_It-1.2": (["numpy>=1", "certs", "grids", "charts; extra == 'plots'"], "learnit/core.py"),
    "certs-2026.1": ([], "certs.py"),
    "grids-3.0": (["numbers-of-it"], "grids/__init__.py"),
    "numbers_of_it-4.0": (["numpy"], "numbers_of_it/__init__.py"),
    "charts-5.0": (["numpy"], "charts.py"),
    "circle_a-1.0": (["circle_b"], "circle_a.py"),
    "circle_b-1.0": (["circle-a"], "circle_b.py"),
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    for name, (required, module) in DISTRIBUTIONS.items():
        folder = tmp_path / f"{name}.dist-info"
        folder.mkdir()
        title, version = name.split("-")
        lines = "".join(f"Requires-Dist: {other}\n" for other in required)
        head = f"Metadata-Version: 2.1\nName: {title}\nVersion: {version}\n{lines}\n"
        (folder / "METADATA").write_text(f"{head}Requires-Dist: scipy\nVersion: 99\n")
        (folder / "RECORD").write_text(f"{name}.dist-info/METADATA,,\n{module},,\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def versions(*modules):
    found = counted_versions(modules)
    assert found.pop("numpy", "1")
    return found


def test_what_is_imported_counts_and_what_it_computes_with(site):
    """Certificates change every month, and no number with them; extras nobody has asked for."""
    expected = {"learn-it": "1.2", "grids": "3.0", "numbers-of-it": "4.0"}
    assert versions("learnit") == expected
    assert versions("certs") == {"certs": "2026.1"}
    assert versions("circle_a") == {"circle-a": "1.0"}


@pytest.mark.parametrize("module", ["sacred", "pymongo", "bson", "tqdm", "matplotlib", "json"])
def test_what_shows_or_stores_does_not(module):
    assert counted_versions([module]) == {}


def test_back_ends_count_for_what_computes_by_them():
    counted = counted_versions(["keras"])
    assert {"keras", "numpy", "h5py"} <= set(counted)
    assert "tensorflow" in counted
    assert set(counted).isdisjoint({"rich", "tensorboard", "requests", "certifi"})


@pytest.mark.parametrize(
    ("module", "distribution"),
    [("sklearn", "scikit-learn"), ("PIL", "pillow"), ("yaml", "pyyaml"), ("numpy", "numpy")],
)
def test_distribution_of_a_module_is_found(module, distribution):
    assert distributions_of(module) == [distribution]


def test_module_that_nobody_holds_has_none(site):
    assert distributions_of("no_such_module") == []
    assert distributions_of("learnit") == ["learn-it"]
