"""How many sets of units a stream is that several layers read (methods C4)."""

from dataclasses import replace

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks.structure import NetworkWeights, with_copies

RESIDUAL_RULES = ("one_set", "copied", "units", "contracted")


def check_residual(residual: str | None) -> None:
    """Check the name of a rule.

    Raises:
        InvalidInputError: If it is none of :data:`RESIDUAL_RULES`, nor None.
    """
    if residual is not None and residual not in RESIDUAL_RULES:
        raise InvalidInputError(
            f"residual={residual!r}; expected one of {', '.join(RESIDUAL_RULES)}, or None "
            "(contracted in a network with attention, else one_set)"
        )


def resolved_residual(network: NetworkWeights, residual: str | None) -> str:
    """Return the rule for a network: of None the one of networks of its kind.

    Raises:
        InvalidInputError: If the rule is unknown.
    """
    check_residual(residual)
    if residual is None:
        return "contracted" if network.has_attention else "one_set"
    return residual


def by_residual_rule(network: NetworkWeights, residual: str | None) -> NetworkWeights:
    """Return a network whose weight layers read the sets of units that a rule says.

    Args:
        network: The weights.
        residual: One of :data:`RESIDUAL_RULES`: ``one_set`` where a stream arises, for all that
            read it; ``copied``, one for every layer that reads it; ``units``, one for all sums that
            read one another without weights between; ``contracted``, none where all is linear: what
            leads into it is joined with what leads out. None: ``contracted`` in a network with
            attention, else ``one_set``.

    Raises:
        InvalidInputError: If the rule is unknown, or ``contracted`` for a network with recurrent
            layers, whose gates have no product with other weights.
    """
    rule = resolved_residual(network, residual)
    if rule == "contracted" and network.has_recurrence:
        raise InvalidInputError(
            f"residual='contracted' for network {network.name!r} with recurrent layers, whose "
            "weights for each gate have no product with others; expected residual='one_set' or "
            "'units'"
        )
    return with_copies(network) if rule == "copied" else replace(network, residual=rule)
