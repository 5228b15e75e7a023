"""How many sets of units a stream is that several layers read (methods C4)."""

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import NetworkWeights, with_copies

RESIDUAL_RULES = ("one_set", "copied")


def check_residual(residual: str) -> None:
    """Check the name of a rule.

    Raises:
        InvalidInputError: If it is none of :data:`RESIDUAL_RULES`.
    """
    if residual not in RESIDUAL_RULES:
        raise InvalidInputError(
            f"residual={residual!r}; expected one of {', '.join(RESIDUAL_RULES)}"
        )


def by_residual_rule(network: NetworkWeights, residual: str) -> NetworkWeights:
    """Return a network whose weight layers read the sets of units that a rule says.

    Args:
        network: The weights.
        residual: One of :data:`RESIDUAL_RULES`: ``one_set`` where a stream arises, for all that
            read it, or ``copied``, one for every layer that reads it.

    Raises:
        InvalidInputError: If the rule is unknown.
    """
    check_residual(residual)
    return with_copies(network) if residual == "copied" else network
