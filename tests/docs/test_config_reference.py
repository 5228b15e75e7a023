"""The configuration reference: every key of every stage, with what its comment says."""

import importlib.util
import sys

import pytest
import yaml

from tests.programs import PROJECT

CONFIGS, PROGRAMS = PROJECT / "configs", PROJECT / "experiments"


@pytest.fixture(scope="module")
def reference():
    path = PROJECT / "docs" / "hooks" / "config_reference.py"
    spec = importlib.util.spec_from_file_location("config_reference", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


STAGES = sorted(path.parent.name for path in CONFIGS.glob("*/default.yaml"))


def flattened(config, above=""):
    for key, value in config.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def test_every_stage_has_a_page(reference):
    assert sorted(reference.STAGES) == STAGES
    nav = (PROJECT / "mkdocs.yml").read_text()
    assert all(f"configuration/{stage}.md" in nav for stage in STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_every_key_is_described(reference, stage):
    path = CONFIGS / stage / "default.yaml"
    described = {key.name: key for key in reference.read_keys(path) if key.default is not None}
    values = dict(flattened(yaml.safe_load(path.read_text())))
    assert list(described) == list(values)
    assert [name for name, key in described.items() if not key.description.strip()] == []
    assert {name: yaml.safe_load(key.default) for name, key in described.items()} == values
    page = reference.page(stage, CONFIGS, PROGRAMS)
    assert all(f"`{name}` = `" in page for name in values)


@pytest.mark.parametrize("stage", STAGES)
def test_every_named_config_is_described(reference, stage):
    named = reference.read_named_configs(CONFIGS / stage)
    files = {path.stem for path in (CONFIGS / stage).rglob("*.yaml")} - {"default"}
    assert {config.name for config in named} == files
    assert [config.name for config in named if not config.description] == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_named_config_is_on_the_page(reference, stage):
    page = reference.page(stage, CONFIGS, PROGRAMS)
    names = {path.stem for path in (CONFIGS / stage).rglob("*.yaml")} - {"default"}
    assert {name for name in names if page.count(f'id="named-{name}"') != 1} == set()


def test_comments_are_plain_text(reference, tmp_path):
    (tmp_path / "bake").mkdir()
    (tmp_path / "bake" / "default.yaml").write_text("# At <10 of *all* `a_b` and a_c.\na: 1\n")
    (tmp_path / "bake.py").write_text('"""Bake."""')
    page = reference.page("bake", tmp_path, tmp_path)
    assert r"At \<10 of \*all\* `a_b` and a\_c." in page


def test_a_key_without_a_comment_has_no_description(reference, tmp_path):
    path = tmp_path / "default.yaml"
    path.write_text(
        "# The file.\n\n# Said.\na: 1\nb: [1, 2]\n\n# Of c.\nc:\n  # One of:\n  # - x: one;\n"
        "  # - y: two.\n  d: null\n  e: {}\n"
    )
    keys = {key.name: (key.description, key.default) for key in reference.read_keys(path)}
    assert keys == {
        "a": ("Said.", "1"),
        "b": ("", "[1, 2]"),
        "c": ("Of c.", None),
        "c.d": ("One of:\n- x: one;\n- y: two.", "null"),
        "c.e": ("", "{}"),
    }
