"""No text holds a password, however odd it is and wherever it stands; other text stays."""

import json

import pytest
from hypothesis import assume, example, given, strategies as st

from nn_clustering.errors import InvalidInputError
from nn_clustering.tracking.encoding import to_plain, without_passwords
from nn_clustering.tracking.passwords import mask_logins, mask_passwords
from nn_clustering.tracking.printing import printable, to_json

# What a password has that nobody percent-encoded, and what looks like the rest of a URL.
ODD = st.text(st.sampled_from("/'\"@: ?#%&=\\,;a1é-`{}()[]<>\t"), max_size=12)
# Each of the words tells whether some of the password is left.
WORDS = ("Tr0ub", "4dor", "St4ple")
passwords = st.tuples(*[ODD] * (len(WORDS) + 1)).map(
    lambda odd: odd[0] + "".join(map("".join, zip(WORDS, odd[1:], strict=True)))
)
urls = st.builds(
    "{0}://{1}:{2}@{3}".format,
    st.sampled_from(["mongodb", "https", "git+ssh", "redis"]),
    st.sampled_from(["ann", "", "ann@lab.example"]),
    passwords,
    st.sampled_from(["h/db", "db.example.org:27017/lab?w=1", "[::1]:5", "a,b/x"]),
)


def has_no_password(text):
    return not any(word in text for word in WORDS)


def host_of(url):
    return url.rpartition("@")[2]


@given(urls)
@example("mongodb://ann:Tr0ub/'\"4dor@ St4ple@h/db")
def test_password_of_a_value_is_masked(url):
    for text in (url, f"  {url}", f"url={url}", f"url: {url}", f"first line\n{url}\nlast line"):
        masked = without_passwords(text)
        assert has_no_password(masked)
        assert masked == text.replace(url, f"{url.partition('://')[0]}://***@{host_of(url)}")
        assert without_passwords(masked) == masked


@given(urls)
def test_password_in_quotes_is_masked_and_what_follows_stays(url):
    beside = {"mail": "bob@example.org"}
    for value in ([url, beside], {"url": url, **beside}):
        for text in (
            repr(value),
            json.dumps(value),
            json.dumps(json.dumps(value)),
            repr(repr(value)),
        ):
            masked = without_passwords(f"took {text}, as bob@example.org said")
            assert has_no_password(masked)
            assert masked.count("bob@example.org") == 2


@given(urls)
def test_password_in_a_sentence_is_masked(url):
    before, _, _ = url.rpartition("@")
    # Where a blank comes after an '@', nobody can tell what that ends.
    assume("@" not in before.partition("://")[2] or len(url.split()) == 1)
    assume(
        not url.partition("://")[2]
        .partition(":")[2]
        .lstrip("1")
        .startswith(tuple("/?# '\"`,;)]}>\t"))
    )
    masked = without_passwords(f"cannot reach {url} now, as bob@example.org said")
    assert has_no_password(masked)
    assert masked.endswith(f"***@{host_of(url)} now, as bob@example.org said")


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:x",
        "see http://a/b and mail ann@b.c",
        "http://a/b and mail ann@b.c",
        "see http://localhost:8080/x and mail ann@b.c",
        "{'url': 'http://h:8080', 'mail': 'ann@b.c'}",
        "['mongodb://h:27017','ann@b.c']",
        "(see https://x.org/a), ann@b.c",
        "see https://x.org/a\nann@b.c",
        "artifact://runs/3/network.keras",
        "sqlite:///runs.db, ann@b.c",
        "expected mongodb://[user:password@]host[:port][/database][?options], ann@b.c",
        "3 @ 4",
        "://",
        "",
    ],
)
def test_other_text_stays(text):
    assert without_passwords(text) == text
    assert without_passwords(text * 3) == text * 3 or "://" in text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("mongodb://ann:se@cret2@h/db", "mongodb://***@h/db"),
        ("https://ann:to/ken5@git.example.org/x", "https://***@git.example.org/x"),
        ("https://token@git.example.org/x", "https://***@git.example.org/x"),
        ("https://to/ken@git.example.org/x", "https://***@git.example.org/x"),
        # A user who is an address, whose password begins as a port would.
        ("mongodb://ann@lab.example:1/ Tr0ub@h/db", "mongodb://***@h/db"),
        # An address with an '@' in its path looks the same, and loses what is before it.
        ("see https://example.org/@ann/page", "see https://***@ann/page"),
        ("from http://a:b@c to http://d:e@f", "from http://***@c to http://***@f"),
        (
            "mongodb://h/?tls=true&tlsCertificateKeyFilePassword=pw/d&w=1",
            "mongodb://h/?tls=true&tlsCertificateKeyFilePassword=***&w=1",
        ),
    ],
)
def test_what_is_masked(text, masked):
    assert without_passwords(text) == masked


PASSWORD = "p@ss w/0rd"


@pytest.mark.parametrize("name", ["MONGO_URL", "MONGO_READER_URL", "IMPORT_MONGO_URL"])
@pytest.mark.parametrize("is_file", [False, True])
def test_password_that_is_known_is_masked_anywhere(name, is_file, tmp_path):
    url = "mongodb://ann:p%40ss%20w%2F0rd@h/db"
    environ = {name: url}
    if is_file:
        (tmp_path / "url").write_text(f"{url}\n")
        environ = {f"{name}_FILE": str(tmp_path / "url")}
    text = f"it is {PASSWORD}, p%40ss%20w%2F0rd or p%40ss+w%2F0rd"
    assert mask_passwords(text, environ) == "it is ***, *** or ***"
    assert mask_passwords(text, {}) == text


@pytest.mark.parametrize(
    ("written", "shown"),
    [("8letter!", "8letter!"), ("two+w0rds", "two w0rds"), ("two%20w0rds", "two w0rds")],
)
def test_password_is_known_as_the_driver_reads_it(written, shown):
    environ = {"MONGO_URL": f"mongodb://ann:{written}@h/db"}
    assert mask_passwords(f"it is {shown}", environ) == "it is ***"


def test_password_that_begins_as_another_is_masked_to_its_end():
    environ = {
        "MONGO_URL": "mongodb://ann:Tr0ub4dor@h/db",
        "MONGO_READER_URL": "mongodb://reader:Tr0ub4dor-r@h/db",
    }
    assert mask_passwords("Tr0ub4dor-r, Tr0ub4dor", environ) == "***, ***"


@pytest.mark.parametrize("password", ["", "short1!", "password", "12345678"])
def test_words_that_a_text_may_well_hold_stay(password):
    environ = {"MONGO_URL": f"mongodb://ann:{password}@h/db"}
    text = f"accuracy 12345678, short1! password {password}"
    assert mask_passwords(text, environ) == text


def test_keys_that_become_alike_are_kept_apart():
    stored = to_plain({"mongodb://a:x@h": 1, "mongodb://b:y@h": 2, 3: 3, "mongodb://c:z@h": 4})
    assert stored == {
        "mongodb://***@h": 1, "mongodb://***@h (2)": 2, "3": 3, "mongodb://***@h (3)": 4,
    }  # fmt: skip


def test_messages_and_output_hold_no_password():
    url = "mongodb://ann:it's 4@h/db"
    assert str(InvalidInputError(f"url={url!r}: expected none")) == (
        'url="mongodb://***@h/db": expected none'
    )
    # Of a run that others have stored.
    assert printable(url) == mask_logins(url) == "mongodb://***@h/db"
    assert to_json({url: [url, 1]}) == {"mongodb://***@h/db": ["mongodb://***@h/db", 1]}


def test_long_text_takes_no_longer_by_its_square():
    line = "see http://h:80/x " * 50_000
    assert without_passwords(f"{line}@") == f"{line}@"
