"""The commands that change runs: tag, note, add, delete, sync."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from nn_clustering.tracking.command_line.command import RunCommand, complete_files
from nn_clustering.tracking.command_line.filters import add_run, number_runs
from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.printing import count_of_runs, printable
from nn_clustering.tracking.run_ids import RunId, by_id, id_text
from nn_clustering.tracking.store.documents import read_document
from nn_clustering.tracking.store.fields import EXPERIMENT, as_text, name_of_experiment

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run_store import RunStore


def _tag_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("tags", nargs="+", metavar="TAG", help="the tags")
    parser.add_argument("--remove", action="store_true", help="take the tags away")


def tag_run(store: RunStore, arguments: argparse.Namespace) -> int:
    """Give tags to a run, or take them away."""
    (run_id,) = number_runs(store, [arguments.run])
    if arguments.remove:
        store.untag(run_id, *arguments.tags)
    else:
        store.tag(run_id, *arguments.tags)
    tags = store.run(run_id, status=None).tags
    print(
        printable(
            f"run {id_text(run_id)} has the tags {', '.join(tags)}"
            if tags
            else f"run {id_text(run_id)} has no tags"
        )
    )
    return 0


def _note_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("text", nargs="+", metavar="TEXT", help="the line")


def note_run(store: RunStore, arguments: argparse.Namespace) -> int:
    """Append a line to a run's notes."""
    (run_id,) = number_runs(store, [arguments.run])
    store.note(run_id, " ".join(arguments.text))
    print(f"noted with run {id_text(run_id)}")
    return 0


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    complete_files(parser.add_argument("file", metavar="FILE", help="the file"))
    parser.add_argument(
        "--name", metavar="NAME", help="name of the artifact; the file's by default"
    )


def add_file(store: RunStore, arguments: argparse.Namespace) -> int:
    """Store a file with a run."""
    if not arguments.file.strip():
        raise InvalidInputError(f"add {arguments.file!r}: expected a file to store")
    (run_id,) = number_runs(store, [arguments.run])
    store.add_artifact(run_id, arguments.file, arguments.name)
    print(printable(f"{arguments.file} is stored with run {id_text(run_id)}"))
    return 0


def _delete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="ID", help="the runs")
    parser.add_argument(
        "--with-dependents", action="store_true", help="and all runs that rest on them"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")


def delete_runs(store: RunStore, arguments: argparse.Namespace) -> int:
    """Delete runs, once the user has confirmed it."""
    run_ids = number_runs(store, arguments.runs)
    to_delete = store.plan_deletion(run_ids, with_dependents=arguments.with_dependents)
    for run_id in to_delete:
        print(f"{id_text(run_id)} {_described(store, run_id)}")
    counted = count_of_runs(len(to_delete))
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise InvalidInputError(
                f"{counted} would be deleted for good, with metrics and artifacts; "
                "expected a confirmation: add --yes"
            )
        question = f"Delete {counted} for good, with metrics and artifacts? [y/N] "
        try:
            answer = input(question)
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes"):
            print("nothing was deleted")
            return 1
    store.delete(run_ids, with_dependents=arguments.with_dependents)
    print(f"deleted {counted}")
    return 0


def sync_journals(store: RunStore, arguments: argparse.Namespace) -> int:
    """Deliver what runs on this machine could not."""
    from nn_clustering.tracking.writing.journal_reading import damaged_journals
    from nn_clustering.tracking.writing.sync import SyncReport, sync_journals as deliver

    report = deliver(store.database.client, store.journal_root)
    if report.running:
        print(f"running, and delivering themselves: {', '.join(map(str, report.running))}")
    if report == SyncReport((), (), ()):
        print("nothing waits to be delivered")
    kept = damaged_journals(store.journal_root)
    if kept and not report.incomplete:
        print(f"{len(kept)} damaged {'journals are' if len(kept) > 1 else 'journal is'} kept in "
              f"{kept[0].parent}; delete what is of no use any more")  # fmt: skip
    return 1 if report.left or report.incomplete else 0


def _described(store: RunStore, run_id: RunId) -> str:
    fields = {**EXPERIMENT, "status": 1}
    document = read_document(store.database["runs"], by_id(run_id), fields)
    if document is None:
        return "(the rest of what was deleted before)"
    return printable(f"{name_of_experiment(document)} {as_text(document.get('status'))}")


COMMANDS = (
    RunCommand("tag", tag_run, "give tags to a run, or take them away", _tag_arguments),
    RunCommand("note", note_run, "append a line to the notes of a run", _note_arguments),
    RunCommand("add", add_file, "store a file with a run", _add_arguments),
    RunCommand(
        "delete", delete_runs, "delete runs with their metrics and artifacts", _delete_arguments,
        "Artifacts that other runs have too are kept, sources and resources always. A run that "
        "others rest on is not deleted without those.",
    ),
    RunCommand(
        "sync", sync_journals, "deliver what runs on this machine could not",
        details="For runs whose server was away at their end, or that were killed.",
    ),
)  # fmt: skip
