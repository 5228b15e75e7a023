"""Tags and notes that users give to runs, where Omniboard shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from nn_clustering.tracking.encoding import without_passwords
from nn_clustering.tracking.errors import InvalidInputError, RunNotFoundError, TrackingError
from nn_clustering.tracking.run_ids import RunId, by_id, id_text
from nn_clustering.tracking.store.documents import read_document
from nn_clustering.tracking.store.query import check_tags
from nn_clustering.tracking.store.run import read_notes, read_tags

if TYPE_CHECKING:
    from pymongo.database import Database

ATTEMPTS = 1000  # as many others may change the same run at the same time
_FIELDS = {"config.tags": 1, "meta.comment": 1, "omniboard": 1}


def add_tags(database: Database, run_id: RunId, tags: tuple[str, ...]) -> None:
    """Give tags to a run; those that it has already stay as they are.

    Raises:
        InvalidInputError: There is no tag, or it is no text.
        RunNotFoundError: There is no such run.
    """
    added = _some_tags(tags)
    _edit(
        database, run_id, "tags",
        lambda document: list(dict.fromkeys([*read_tags(document), *added])),
    )  # fmt: skip


def remove_tags(database: Database, run_id: RunId, tags: tuple[str, ...]) -> None:
    """Take tags from a run; to take one that it has not does nothing.

    Raises:
        InvalidInputError: There is no tag, or the run's config holds it.
        RunNotFoundError: There is no such run.
    """
    removed = _some_tags(tags)

    def without(document: Mapping[str, Any]) -> list[str]:
        fixed = [tag for tag in removed if tag in read_tags({**document, "omniboard": {}})]
        if fixed:
            raise InvalidInputError(
                f"tag {fixed[0]!r} of run {id_text(run_id)} is in the run's config, which "
                "stays as it was; expected a tag that was given later"
            )
        return [tag for tag in read_tags(document) if tag not in removed]

    _edit(database, run_id, "tags", without)


def add_note(database: Database, run_id: RunId, text: str) -> None:
    """Append a line to the notes of a run.

    Raises:
        InvalidInputError: The text is empty.
        RunNotFoundError: There is no such run.
    """
    if not isinstance(text, str) or not text.strip():
        raise InvalidInputError(f"note {text!r}: expected a text of at least one letter")
    line = without_passwords(text.strip())
    _edit(
        database, run_id, "notes", lambda document: f"{read_notes(document)}\n{line}".strip()
    )  # fmt: skip


def _some_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    checked = tuple(map(without_passwords, check_tags(tags)))
    if not checked:
        raise InvalidInputError("no tag was given; expected at least one")
    return checked


def _edit(
    database: Database, run_id: RunId, key: str, change: Callable[[Mapping[str, Any]], Any]
) -> None:
    """Replace what Omniboard's own field holds, unless somebody else did meanwhile: then again.

    Omniboard shows this field instead of the config's tags and the comment of the start, not
    beside them: so it gets those as well.
    """
    runs = database["runs"]
    field = f"omniboard.{key}"
    for _ in range(ATTEMPTS):
        document = read_document(runs, by_id(run_id), _FIELDS)
        if document is None:
            raise RunNotFoundError(
                f"there is no run {id_text(run_id)} in database {database.name!r}; expected "
                "the number of a stored run: see `python -m nn_clustering.tracking list`"
            )
        noted = document.get("omniboard")
        if not isinstance(noted, Mapping | None):
            break
        as_it_was = {"$eq": noted[key]} if noted and key in noted else {"$exists": False}
        changed = change(document)
        # A field that is null takes none within it.
        is_null = "omniboard" in document and noted is None
        update = {"$set": {"omniboard": {key: changed}} if is_null else {field: changed}}
        if runs.update_one({**by_id(run_id), field: as_it_was}, update).matched_count:
            return
    raise TrackingError(
        f"the {key} of run {id_text(run_id)} cannot be changed: its document holds something under "
        "'omniboard' that Omniboard did not write; expected a run of Sacred"
    )
