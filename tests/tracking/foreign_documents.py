"""Documents as others may have left them in the collections of runs: any BSON, in any place."""

import bson
from hypothesis import strategies as st

# What steers terminals, ends lines, means something to MongoDB, to pandas or to file systems.
ODD_TEXTS = [
    "", "\x1b[2J", "a\nb", "a\u202eb", "nan", "latest", "12", "true", "../../x", "/etc/x", "a\0b",
    "$where", "a.b", "é", "RUNNING", "COMPLETED", "2021-04-18T10:00:00.123456", "2021-13-40", "{}",
    "9999-12-31T23:59:59-12:00", "x" * 500, "=1+1", '"', "…", "-x", "--json", " ",
]  # fmt: skip
TEXTS = st.one_of(st.sampled_from(ODD_TEXTS), st.text(max_size=8))
KEYS = st.one_of(
    st.sampled_from(["a", "a.b", "$a", "", "name", "lineage", "tags", "\x1b", "config", "seed"]),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
)
INTEGERS = st.one_of(st.integers(-3, 12), st.integers(-(2**63), 2**63 - 1))
PLAIN = st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(), TEXTS)
OBJECT_IDS = st.binary(min_size=12, max_size=12).map(bson.ObjectId)
DATES = st.one_of(st.datetimes(), st.integers(-(2**63), 2**63 - 1).map(bson.DatetimeMS))
SPECIAL = st.one_of(
    st.binary(max_size=6),
    st.builds(bson.Binary, st.binary(max_size=6), st.sampled_from([0, 4, 5, 9, 128])),
    DATES,
    OBJECT_IDS,
    st.sampled_from(["NaN", "Infinity", "-0", "1.50", "12", "1E+6000"]).map(bson.Decimal128),
    st.builds(bson.Timestamp, st.integers(0, 2**32 - 1), st.integers(0, 9)),
    st.sampled_from(
        [bson.MinKey(), bson.MaxKey(), bson.Code("x"), bson.Code("x", {"a": 1}), bson.DBRef("a", 1)]
    ),
    st.just(bson.Regex("[", "i")),
)
SCALARS = st.one_of(PLAIN, SPECIAL)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


def shaped(**fields):
    """Mappings with some of these fields, each as it should be or of any kind; or no mapping."""
    parts = {name: st.one_of(field, TREES) for name, field in fields.items()}
    return st.one_of(st.fixed_dictionaries({}, optional=parts), TREES)


TIMES = st.one_of(DATES, TEXTS)
FILE_IDS = st.one_of(st.sampled_from(["file", 7, {"a": 1}]), OBJECT_IDS, SCALARS)
ARTIFACTS = st.lists(
    st.one_of(
        *(TEXTS, OBJECT_IDS, st.tuples(TEXTS, OBJECT_IDS).map(list)),
        shaped(name=TEXTS, file_id=FILE_IDS),
    ),
    max_size=3,
)  # fmt: skip
FIELDS = {
    "experiment": shaped(name=TEXTS),
    "status": TEXTS,
    "config": st.one_of(shaped(seed=INTEGERS, tags=st.lists(TEXTS, max_size=2)), TREES),
    "result": TREES,
    "info": shaped(
        lineage=st.dictionaries(KEYS, st.one_of(INTEGERS, TEXTS, OBJECT_IDS), max_size=2)
    ),
    "start_time": TIMES,
    "stop_time": TIMES,
    "heartbeat": TIMES,
    "tracking": shaped(last_seen=TIMES, token=TEXTS),
    "host": shaped(hostname=TEXTS),
    "meta": shaped(comment=TEXTS),
    "omniboard": shaped(tags=st.lists(TEXTS, max_size=2), notes=TEXTS),
    "artifacts": ARTIFACTS,
    "captured_out": TEXTS,
    "fail_trace": st.lists(TEXTS, max_size=2),
    "resources": TREES,
}
BODIES = st.fixed_dictionaries(
    {}, optional={name: st.one_of(field, TREES) for name, field in FIELDS.items()}
)
# MongoDB takes neither lists nor patterns for ids, and no keys that begin with `$`.
IDS = st.one_of(
    *(INTEGERS, TEXTS, OBJECT_IDS, DATES, SCALARS),
    st.dictionaries(st.sampled_from("ab"), PLAIN, max_size=2),
).filter(lambda value: not isinstance(value, bson.Regex | bson.DBRef))  # fmt: skip
METRICS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(st.just("loss"), TREES),
        "values": st.one_of(st.lists(st.floats(), max_size=3), TREES),
        "steps": st.one_of(st.lists(INTEGERS, max_size=3), TREES),
        "timestamps": st.one_of(st.lists(TIMES, max_size=3), TREES),
        "part": st.one_of(INTEGERS, TREES),
    },
)
FILES = st.fixed_dictionaries(
    {},
    optional={
        "length": st.one_of(INTEGERS, TREES),
        "chunkSize": st.one_of(INTEGERS, TREES),
        "metadata": shaped(sha256=TEXTS),
        "contentType": TREES,
        "filename": TREES,
    },
)
