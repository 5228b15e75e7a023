"""The indexes that make the questions of the run store quick."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pymongo

if TYPE_CHECKING:
    from pymongo.database import Database

# The store gives numbers in their order; clocks of machines differ.
NEWEST_FIRST = [("_id", -1)]


def ensure_indexes(database: Database) -> None:
    """Make those indexes that are not there yet; for a user who may write.

    Raises:
        PyMongoError: The server cannot be reached, or does not let us write.
    """
    for collection, indexes in _INDEXES.items():
        database[collection].create_indexes(indexes)


_INDEXES = {
    "runs": [
        pymongo.IndexModel([("experiment.name", 1), ("status", 1), *NEWEST_FIRST]),
        pymongo.IndexModel([("status", 1), *NEWEST_FIRST]),
        pymongo.IndexModel([("start_time", -1), *NEWEST_FIRST]),
        pymongo.IndexModel([("config.$**", 1)]),
        pymongo.IndexModel([("result.$**", 1)]),
        pymongo.IndexModel([("info.about.$**", 1)]),
        pymongo.IndexModel([("info.about", 1)]),  # finds those that have none
        pymongo.IndexModel([("omniboard.tags", 1)], sparse=True),
        pymongo.IndexModel([("tracking.token", 1)], sparse=True),
        pymongo.IndexModel([("tracking.identity", 1), ("status", 1)]),
        pymongo.IndexModel([("artifacts.file_id", 1)]),
        # Who read whom, answered from the index alone.
        pymongo.IndexModel(
            [("info.lineage", 1), ("_id", 1)],
            partialFilterExpression={"info.lineage": {"$exists": True}},
        ),
    ],
    # What nobody took over from a process that was killed.
    "leases": [pymongo.IndexModel([("expires_at", 1)], expireAfterSeconds=3600)],
    "metrics": [pymongo.IndexModel([("run_id", 1), ("name", 1)])],
}
