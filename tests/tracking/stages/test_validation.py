"""What mistakes are told in: the keys as a command line sets them."""

import pytest

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.stages.folders import check_writable
from nn_clustering.tracking.stages.validation import (
    check_paths,
    check_types,
    with_keys_of_part,
    with_whole_keys,
    with_yaml_words,
)

DEFAULTS = {
    "seed": 0,
    "n_init": 1,
    "oven": {"heat": 200.0, "fan": False},
    "dough": {"rest": {"hours": 2}, "n_init": 3},
}


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("heat=-1; expected more", "oven.heat=-1; expected more"),
        ("hours=0 with fan=True", "dough.rest.hours=0 with oven.fan=True"),
        ("rest.hours=0", "dough.rest.hours=0"),
        ("oven.heat=-1", "oven.heat=-1"),
        ("n_init=0", "n_init=0"),  # a key of its own
        ("mongodb://host/?heat=1", "mongodb://host/?heat=1"),
        ("MONGO_DB=a b, sugar=1", "MONGO_DB=a b, sugar=1"),
    ],
)
def test_names_of_a_library_become_keys(message, expected):
    assert with_whole_keys(message, DEFAULTS) == expected


def test_a_key_that_was_typed_is_told_as_it_was_typed():
    assert with_whole_keys("heat=-1 with hours=0", DEFAULTS, {"heat": -1}) == (
        "heat=-1 with dough.rest.hours=0"
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("heat=-1; expected more", "bake.oven.heat=-1; expected more"),
        ("seed=1 sugar=2", "bake.seed=1 sugar=2"),
        ("too cold", "bake: too cold"),
    ],
)
def test_keys_of_a_part_are_those_of_the_whole(message, expected):
    assert with_keys_of_part(message, "bake", DEFAULTS) == expected


def test_words_of_yaml_are_what_yaml_means_by_them():
    defaults = {"salt": None, "oven": {"fan": True, "kind": "gas"}, "tags": []}
    updates = {"salt": "null", "oven": {"fan": "false", "kind": "null"}, "tags": "true"}
    meant = {"salt": None, "oven": {"fan": False, "kind": "null"}, "tags": "true"}
    assert with_yaml_words(updates, defaults) == meant
    assert with_yaml_words({"oven.fan": "true", "salt": "sea"}, defaults) == {
        "oven.fan": True,
        "salt": "sea",
    }


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, [1, [2**64]], [{"hours": 2**64}]], ids=str)
def test_integers_that_mongodb_cannot_hold_are_refused(value):
    with pytest.raises(InvalidInputError, match="cannot be stored"):
        check_types({"any": value}, {"any": None}, "default.yaml")


@pytest.mark.parametrize("words", [["oven=1", "oven.heat=2"], ["oven.heat=2", "oven=1"]])
def test_key_that_is_a_group_too_is_refused(words):
    with pytest.raises(InvalidInputError, match=r"oven=1 with oven\.heat=.*one of the two"):
        check_paths(["bake.py", "with", *words])
    check_paths(["bake.py", "with", "oven.heat=2", "oven.fan=True", "hot"])


def test_folder_is_tried_out_without_a_trace(tmp_path):
    check_writable(tmp_path / "new" / "folder", "folder=new/folder")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "in it"):
        with pytest.raises(InvalidInputError, match=r"^folder=it: .* cannot be written to"):
            check_writable(place, "folder=it")
