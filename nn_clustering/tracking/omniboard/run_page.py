"""Where a browser finds a single run in Omniboard."""

from __future__ import annotations

from urllib.parse import quote

from nn_clustering.tracking.run_ids import RunId, id_text

# Below Omniboard's address: its table of runs, which opens with the details of that one. It does
# not look up the run's status, and wants it told.
RUN_PAGE = "/sacred?showDrillDownRunModal=true&runIdToExpand={run}&runIdStatus={status}"


def run_address(address: str, run: RunId, status: str = "COMPLETED") -> str:
    """Return the address of a run's details in Omniboard.

    Args:
        address: Omniboard's, as `start_omniboard` returns it.
        run: The run's id.
        status: The run's.
    """
    where = RUN_PAGE.format(run=quote(id_text(run), safe=""), status=quote(status, safe=""))
    return f"{address.rstrip('/')}{where}"
