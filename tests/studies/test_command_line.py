"""Config keys on a command line are read as what they were."""

import pytest
from hypothesis import example, given, strategies as st
from sacred.arg_parser import get_config_updates

from nn_clustering.errors import InvalidInputError
from nn_clustering.studies._command_line import settings_of

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
# A mapping with a key that Sacred would make an object of is refused.
KEYS = st.text(max_size=4).filter(lambda key: not key.startswith("py/"))
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-z_][a-z_0-9]{0,5}", fullmatch=True)


@given(updates=st.dictionaries(NAMES, VALUES, max_size=4))
@example(updates={"a": {"b": {"c": 1e-300}}, "text": " 'None' \ud800 = with\n"})
@example(updates={"empty": {}, "list": [{}, [], ""], "inf": [float("inf"), float("-inf")]})
@example(updates={"a": {"b=c": 1, "d.e": 2, " f": 3}, "number": "1", "word": "True"})
def test_sacred_reads_what_was_given(updates):
    words = settings_of(updates)
    assert all(word.isascii() and word.isprintable() for word in words)
    read, named_configs = get_config_updates(words)
    assert named_configs == []
    assert repr(read) == repr(updates)  # an integer is no float, and -0.0 is not 0.0


def test_groups_are_set_key_by_key():
    assert settings_of({"training": {"epochs": 5}, "tags": ["a"]}) == [
        "training.epochs=5",
        "tags=['a']",
    ]


@pytest.mark.parametrize(
    "updates",
    [
        {"a": float("nan")},
        {"a": [{1: 2}]},
        {"a": object()},
        {"a.b": 1},
        {"a": {"py/object": "os.system"}},
        {"a": {"json://1": 2}},
        {"": 1},
    ],
)
def test_what_no_command_line_can_hold_is_refused(updates):
    with pytest.raises(InvalidInputError, match=r"config key|cannot be set on a command line"):
        settings_of(updates)
