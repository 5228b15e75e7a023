"""Reading configs out of folders, later ones on top."""

import pytest

from nn_clustering.tracking import InvalidInputError
from nn_clustering.tracking.stages.configs import read_stage_configs

DEFAULT = "{seed: 0, oven: {heat: 200.0, fan: false}, dough: rye}"


@pytest.fixture
def write(tmp_path):
    """Writes YAML files by their path from the folders `given`, `own` and `last`."""

    def write(files):
        for name, content in files.items():
            path = tmp_path / f"{name}.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return [tmp_path / name for name in ("given", "own", "not there", "last")]

    return write


def test_named_configs_of_later_folders_replace_and_add(write):
    folders = write(
        {
            "given/bake/default": DEFAULT,
            "given/bake/hot": "oven: {heat: 250.0, fan: true}",
            "given/bake/breads/wheat": "dough: wheat",
            "own/bake/hot": "oven: {heat: 240.0}",
            "own/bake/mine/cold": "oven: {heat: 90.0}",
        }
    )
    found = read_stage_configs(folders, "bake", {})
    assert found.named == {
        "hot": {"oven": {"heat": 240.0}},
        "wheat": {"dough": "wheat"},
        "cold": {"oven": {"heat": 90.0}},
    }
    assert [file.path for file in found.files["hot"]] == [folders[1] / "bake" / "hot.yaml"]
    assert found.defaults["oven"] == {"heat": 200.0, "fan": False}


def test_comment_is_what_the_file_begins_with(write):
    folders = write(
        {
            "given/bake/default": DEFAULT,
            "given/bake/hot": "# Bread\n# for the hasty.\n\n# Degrees.\noven: {heat: 250.0}",
            "given/bake/cold": "oven: {heat: 90.0}  # slow",
        }
    )
    found = read_stage_configs(folders, "bake", {})
    assert found.comment("hot") == "Bread for the hasty."
    assert found.comment("cold") == ""


def test_default_on_top_changes_defaults_and_is_kept_beside(write):
    folders = write({"given/bake/default": DEFAULT, "own/bake/default": "oven: {fan: true}"})
    found = read_stage_configs(folders, "bake", {})
    assert found.defaults == {"seed": 0, "oven": {"heat": 200.0, "fan": True}, "dough": "rye"}
    artifacts = [file.artifact for file in found.files["default"]]
    assert artifacts == ["config.bake.default.yaml", "config.bake.1.default.yaml"]


def test_each_default_on_top_changes_what_those_before_it_set(write):
    folders = write(
        {
            "given/bake/default": DEFAULT,
            "own/bake/default": "{dough: wheat, oven: {fan: true, heat: 210.0}}",
            "last/bake/default": "oven: {heat: 220.0}",
        }
    )
    found = read_stage_configs(folders, "bake", {})
    assert found.defaults == {"seed": 0, "oven": {"heat": 220.0, "fan": True}, "dough": "wheat"}
    assert [file.path.parents[1].name for file in found.files["default"]] == [
        "given", "own", "last",
    ]  # fmt: skip
    assert len({file.artifact for file in found.files["default"]}) == 3
    # Every key is in the first of them.
    assert found.documentation == str(folders[0] / "bake" / "default.yaml")


@pytest.mark.parametrize("name", ["hot", "default"])
def test_two_files_of_one_name_are_refused(write, name):
    files = {"given/bake/default": DEFAULT, "given/bake/breads/hot": "dough: wheat"}
    folders = write({**files, f"given/bake/mine/{name}": "dough: rye"})
    with pytest.raises(InvalidInputError, match=rf"has a {name}\.yaml too; expected one file"):
        read_stage_configs(folders, "bake", {})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("oven: {heet: 3.0}", "oven.heet=3.0: bake has no such key (did you mean oven.heat"),
        ("oven: 3", "oven=3: oven is a group of keys; set one of them, oven.fan, oven.heat"),
        ("oven: {heat: warm}", "oven.heat='warm': expected a number"),
        ("seed: -1", "seed=-1; expected an integer from 0"),
        ("oven: {on: true}", "the key True is a bool; expected names as keys"),
    ],
)
def test_default_on_top_sets_known_keys_only(write, content, expected):
    folders = write({"given/bake/default": DEFAULT, "own/bake/default": content})
    with pytest.raises(InvalidInputError) as refused:
        read_stage_configs(folders, "bake", {})
    message = str(refused.value)
    assert message.startswith(f"{folders[1]}/bake/default.yaml: {expected}")
    assert "\n" not in message


def test_first_folder_must_have_the_stage(write):
    folders = write({"own/bake/default": DEFAULT})
    with pytest.raises(InvalidInputError, match=r"given/bake/default\.yaml is not there"):
        read_stage_configs(folders, "bake", {})


def test_a_stage_has_the_keys_of_another_as_its_own(write):
    folders = write(
        {
            "given/taste/default": "{seed: 7, spoons: 1}",
            "given/bake/default": DEFAULT,
            "given/bake/hot": "oven: {heat: 250.0}",
            "own/bake/default": "dough: wheat",
            "own/taste/default": "spoons: 2",
        }
    )
    found = read_stage_configs(folders, "taste", {}, "bake")
    of_bake = read_stage_configs(folders, "bake", {})
    assert found.defaults == {**of_bake.defaults, "seed": 7, "spoons": 2}
    assert found.named == {"hot": {"oven": {"heat": 250.0}}}
    artifacts = [file.artifact for file in found.files["default"]]
    assert artifacts == [
        *("config.taste.default.yaml", "config.taste.1.default.yaml"),
        *("config.bake.default.yaml", "config.bake.1.default.yaml"),
    ]
    assert found.documentation.endswith("taste/default.yaml")


def test_parts_have_their_layers_too(write):
    folders = write(
        {
            "given/meal/default": "{seed: 0, guests: 4}",
            # How to run is said by the whole.
            "given/bake/default": f"{DEFAULT[:-1]}, n_repeats: 1, reuse: true, tags: []}}",
            "given/bake/hot": "oven: {heat: 250.0}",
            "own/bake/default": "dough: wheat",
            "own/bake/hot": "oven: {heat: 240.0}",
            "own/meal/hot": "guests: 2",
        }
    )
    found = read_stage_configs(folders, "meal", {"bake": ("seed",)})
    assert found.defaults == {
        "seed": 0,
        "guests": 4,
        "bake": {"oven": {"heat": 200.0, "fan": False}, "dough": "wheat"},
    }
    assert found.named == {"hot": {"guests": 2, "bake": {"oven": {"heat": 240.0}}}}
    assert {file.artifact for file in found.files["hot"]} == {
        "config.meal.hot.yaml",
        "config.bake.hot.yaml",
    }


def test_documentation_is_named_as_it_is_typed(write, monkeypatch, tmp_path):
    folders = write({"given/bake/default": DEFAULT})
    found = read_stage_configs(folders, "bake", {})
    assert found.documentation == str(folders[0] / "bake" / "default.yaml")
    monkeypatch.chdir(tmp_path)
    assert found.documentation == "given/bake/default.yaml"
