"""What a stage reads, and its digests."""

import hashlib
from dataclasses import dataclass

import pytest

from nn_clustering.tracking import Input, digests_of


@dataclass(frozen=True)
class Flour:
    rye: Input
    wheat: Input | None = None


def test_digest_is_that_of_the_content_whatever_is_made_of_it():
    digest = hashlib.sha256(b"12").hexdigest()
    assert Input.of_bytes(b"12") == Input(b"12", digest)
    assert Input.of_bytes(b"12", 12) == Input(12, digest)


def test_digests_by_name_without_what_is_not_there():
    rye, wheat = Input.of_bytes(b"r"), Input("w", 3)
    assert digests_of(Flour(rye)) == {"rye": rye.digest}
    assert digests_of(Flour(rye, wheat)) == {"rye": rye.digest, "wheat": 3}
    assert digests_of({"rye": rye, "wheat": None}) == {"rye": rye.digest}
    assert digests_of(None) == {}


@pytest.mark.parametrize("inputs", [b"rye", {"rye": b"rye"}, Flour(b"rye")])
def test_what_has_no_digest_is_no_input(inputs):
    with pytest.raises(TypeError, match="expected"):
        digests_of(inputs)
