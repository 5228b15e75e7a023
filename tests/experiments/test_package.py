"""Where the stages' package finds itself, in a checkout and installed."""

import shutil
from importlib.util import module_from_spec, spec_from_file_location

import experiments
from tests.programs import PROJECT


def installed(folder):
    """The package's module as it is in a folder of installed packages."""
    path = folder / "experiments" / "__init__.py"
    path.parent.mkdir(parents=True)
    shutil.copy(experiments.__file__, path)
    spec = spec_from_file_location("installed_experiments", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_in_a_checkout_configs_are_at_its_top(monkeypatch):
    monkeypatch.chdir(PROJECT)
    assert experiments.config_folders() == [PROJECT / "configs"]
    assert experiments.program("train") == "python experiments/train.py"


def test_folder_of_another_package_named_configs_makes_no_checkout(tmp_path, monkeypatch):
    site = tmp_path / "site-packages"
    (site / "configs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    module = installed(site)
    (site / "experiments" / "configs").mkdir()  # as a wheel has them
    own, on_top = module.config_folders()
    assert own == site.resolve() / "experiments" / "configs"
    assert on_top == tmp_path / "configs"
    assert module.program("train") == "python -m experiments.train"
