"""Which runs are found, against the same question asked in plain Python."""

import datetime
import math

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking import RunStore
from nn_clustering.tracking.indexes import ensure_indexes
from nn_clustering.tracking.store.query import parse_since

UTC = datetime.timezone.utc
NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=UTC)

KEYS = st.sampled_from(["a", "b", "a.b", "b.a", "a.b.a"])
NUMBERS = st.one_of(st.integers(-2, 2), st.sampled_from([0.5, 1.0, math.inf, math.nan]))
TEXTS = st.sampled_from(["", "a", "b", "$a", "1"])
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
LISTS = st.lists(st.one_of(SCALARS, st.lists(SCALARS, max_size=1)), max_size=2)
VALUES = st.one_of(SCALARS, LISTS)
# Mappings in lists too: a key is no way into a list.
TREES = st.recursive(
    st.one_of(VALUES, st.lists(st.fixed_dictionaries({"a": SCALARS}), max_size=2)),
    lambda inner: st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
CONFIGS = st.dictionaries(st.sampled_from("ab"), TREES, max_size=2)
CONDITIONS = st.one_of(
    VALUES,
    st.tuples(st.sampled_from(["==", "!="]), VALUES),
    st.tuples(st.sampled_from(["<", "<=", ">", ">="]), st.one_of(NUMBERS, TEXTS)),
    st.tuples(st.just(">"), NUMBERS, st.just("<="), NUMBERS),
)


def look_up(tree, key):
    for part in key.split("."):
        if not isinstance(tree, dict) or part not in tree:
            raise KeyError(key)
        tree = tree[part]
    return tree


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def are_equal(first, second):
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(are_equal, first, second))
    if is_number(first) and is_number(second):
        return first == second or (math.isnan(first) and math.isnan(second))
    return type(first) is type(second) and first == second


def holds(value, operator, wanted):
    if operator == "!=":
        return not are_equal(value, wanted)
    are_comparable = (is_number(value) and is_number(wanted)) or (
        isinstance(value, str) and isinstance(wanted, str)
    )
    is_equal = are_equal(value, wanted)
    if operator == "==":
        return is_equal
    if not are_comparable:
        return False
    return {
        "<": lambda: value < wanted,
        "<=": lambda: value <= wanted or is_equal,
        ">": lambda: value > wanted,
        ">=": lambda: value >= wanted or is_equal,
    }[operator]()


def matches(config, conditions):
    for key, condition in conditions.items():
        pairs = condition if isinstance(condition, tuple) else ("==", condition)
        try:
            value = look_up(config, key)
        except KeyError:
            return False
        if not all(map(holds, [value] * (len(pairs) // 2), pairs[::2], pairs[1::2])):
            return False
    return True


@pytest.fixture(params=["with indexes", "without indexes"])
def emptied(request, database):
    if request.param == "with indexes":
        ensure_indexes(database)
    return RunStore(database)


@settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    configs=st.lists(CONFIGS, min_size=1, max_size=6),
    conditions=st.dictionaries(KEYS, CONDITIONS, min_size=1, max_size=2),
    field=st.sampled_from(["config", "result"]),
)
def test_find_is_the_filter_that_plain_python_makes(emptied, configs, conditions, field):
    emptied.database["runs"].delete_many({})
    emptied.database["runs"].insert_many(
        {"_id": number, field: config} for number, config in enumerate(configs)
    )
    found = emptied.find(**{field: conditions})
    expected = [n for n, config in enumerate(configs) if matches(config, conditions)]
    assert sorted(found.ids) == expected
    assert emptied.count(**{field: conditions}) == len(expected)


def test_list_is_a_value_of_its_own(store, add_run):
    add_run(1, config={"layers": [1, 2]})
    add_run(2, config={"layers": 1})
    assert store.find(config={"layers": 1}).ids == [2]
    assert store.find(config={"layers": ("!=", 1)}).ids == [1]
    assert store.find(config={"layers": [1, 2]}).ids == [1]
    assert store.find(config={"layers": ("!=", [1, 2])}).ids == [2]
    assert store.find(config={"layers": [2, 1]}).ids == store.find(config={"layers": [1]}).ids == []
    assert store.find(config={"layers": (">=", 1)}).ids == [2]


def test_result_that_is_a_list_has_no_keys(store, add_run):
    add_run(1, result=[{"ncut": 3}])
    add_run(2, result={"ncut": 3})
    assert store.find(result={"ncut": 3}).ids == [2]


def test_nested_config_means_its_keys(store, add_run):
    add_run(1, config={"dataset": {"name": "mnist", "size": 3}})
    add_run(2, config={"dataset": {"name": "digits", "size": 3}})
    assert store.find(config={"dataset": {"name": "mnist"}}).ids == [1]
    assert store.find(config={"dataset": {}}).ids == []


def test_value_is_never_an_operator(store, add_run):
    add_run(1, config={"a": {"$gt": 0}})
    add_run(2, config={"a": 5})
    add_run(3, config={"a": "$b", "b": "$b"})
    with pytest.raises(InvalidInputError, match="leading"):
        store.find(config={"a": {"$gt": 0}})
    assert store.find(config={"a": "$b"}).ids == [3]
    add_run(4, config={"a": ["COMPLETED"]})
    assert store.find(config={"a": ["$status"]}).ids == []
    assert store.find(config={"a": ["COMPLETED"]}).ids == [4]
    assert store.find(experiment="$ne").ids == []


def test_what_a_config_cannot_hold_is_compared_as_it_is_stored(store, add_run):
    import numpy as np

    add_run(1, config={"seed": 3, "entropy": str(2**70), "address": "mongodb://***@host/"})
    assert store.find(config={"seed": np.int64(3)}).ids == [1]
    assert store.find(config={"entropy": 2**70}).ids == [1]
    assert store.find(config={"address": "mongodb://me:secret@host/"}).ids == [1]
    assert store.find(config={"seed": ("<", 2**70)}).ids == [1]


def test_tags_of_config_and_users(store, add_run):
    add_run(1, config={"tags": ["a", "b"]})
    add_run(2, config={"tags": ["a"]}, omniboard={"tags": ["a", "b"]})
    add_run(3, omniboard={"tags": ["b"]})
    assert store.find(tags=["b"]).ids == [3, 2, 1]
    assert store.find(tags=["a", "b"]).ids == [2, 1]
    assert store.find(tags=["c"]).ids == []


def test_status_of_an_experiments_own(store, add_run):
    add_run(1, status="ABORTED")
    assert store.find(status="ABORTED").ids == [1]
    with pytest.raises(InvalidInputError, match=r"status=.LOST.: no run has it.*ABORTED"):
        store.find(status="LOST")


def test_since(store, add_run):
    now = datetime.datetime.now(UTC)
    for number, hours in ((1, 72), (2, 30), (3, 2)):
        add_run(number, start_time=now - datetime.timedelta(hours=hours))
    assert store.find(since="3h").ids == [3]
    assert store.find(since="2d").ids == [3, 2]
    assert store.find(since=now - datetime.timedelta(hours=40)).ids == [3, 2]
    assert store.find(since=(now - datetime.timedelta(days=5)).date()).ids == [3, 2, 1]


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("90s", NOW - datetime.timedelta(seconds=90)),
        ("30m", NOW - datetime.timedelta(minutes=30)),
        ("3h", NOW - datetime.timedelta(hours=3)),
        ("2d", NOW - datetime.timedelta(days=2)),
        ("1w", NOW - datetime.timedelta(weeks=1)),
        ("2026-11-01", datetime.datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T10:30", datetime.datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
        ("2026-11-01T10:30:00Z", datetime.datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
        ("2026-11-01T10:30:00+02:00", datetime.datetime(2026, 11, 1, 8, 30, tzinfo=UTC)),
        (datetime.datetime(2026, 11, 1, 5), datetime.datetime(2026, 11, 1, 5, tzinfo=UTC)),
        (datetime.date(2026, 11, 1), datetime.datetime(2026, 11, 1, tzinfo=UTC)),
    ],
)
def test_points_in_time(since, expected):
    assert parse_since(since, NOW) == expected


@pytest.mark.parametrize(
    "since", ["yesterday", "", "2", "2y", "-3h", "99999999999d", "2026-13-01", 5, None, "9" * 5000]
)
def test_what_is_no_point_in_time(since):
    with pytest.raises(InvalidInputError, match="expected a date like") as refused:
        parse_since(since, NOW)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "condition",
    [
        ("~", 3), (3,), (), ("<",), ("<", 3, ">"), ("<", None), ("<", True), ("<=", [1]),
        (">", {"a": 1}), ("!=", {"a": 1}), object(), {1, object()}, b"bytes", (["<"], 3),
        ("$gt", 3),
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["config", "result"])
def test_what_is_no_condition(store, field, condition):
    with pytest.raises(InvalidInputError, match=f"{field} 'a'.*expected") as refused:
        store.find(**{field: {"a": condition}})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "key", ["", ".", "a.", ".a", "a..b", "$where", "a.$gt", "a\0", "\ud800", 3]
)
def test_what_is_no_key(store, key):
    with pytest.raises(InvalidInputError, match="is no key: expected names joined by dots"):
        store.find(config={key: 1})


@pytest.mark.parametrize(
    "query",
    [
        {"experiment": {"$ne": ""}}, {"experiment": ""}, {"status": {"$ne": ""}}, {"tags": "a"},
        {"tags": [{"$ne": 1}]}, {"tags": [""]}, {"config": [1]}, {"limit": -1}, {"limit": True},
    ],
)  # fmt: skip
def test_malformed_arguments(store, query):
    with pytest.raises(InvalidInputError, match="expected"):
        store.find(**query)
