"""What can be checked of a lesion test before its network is there; needs no Keras."""

from nn_clustering.errors import InvalidInputError

# What a lesion sets to zero: the unit's output as the next layer reads it, after batch norm and
# pooling; or its incoming weights and bias, after which batch norm may still put out a constant
# (methods G1, quirk 14).
SILENCINGS = ("output", "weights")


def check_lesion_test(*, n_shuffles: int, silence: str) -> None:
    """Check the settings of a lesion test.

    Raises:
        InvalidInputError: If a value is out of range.
    """
    check_n_shuffles(n_shuffles)
    check_silencing(silence)


def check_n_shuffles(n_shuffles: int) -> None:
    """Raise InvalidInputError unless the number of random sub-clusters is 1 or more."""
    if isinstance(n_shuffles, bool) or not isinstance(n_shuffles, int) or n_shuffles < 1:
        raise InvalidInputError(f"n_shuffles={n_shuffles!r}; expected an integer of 1 or more")


def check_silencing(silence: str) -> None:
    """Raise InvalidInputError unless ``silence`` is one of :data:`SILENCINGS`."""
    if silence not in SILENCINGS:
        raise InvalidInputError(f"silence={silence!r}; expected one of {', '.join(SILENCINGS)}")
