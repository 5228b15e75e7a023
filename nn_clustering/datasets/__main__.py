"""Run as `python -m nn_clustering.datasets COMMAND`: the data sets, their files and images."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nn_clustering.errors import InvalidInputError, NnClusteringError

if TYPE_CHECKING:
    from nn_clustering.datasets._data_files import DataFile

# As shells report programs that SIGINT and SIGPIPE ended.
INTERRUPTED, PIPE_CLOSED = 130, 141


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    try:
        parsed = build_parser().parse_args(arguments)
        parsed.function(parsed)
        sys.stdout.flush()
        return 0
    except NnClusteringError as problem:
        print(problem, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python would complain once more when it closes the standard output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `function`."""
    parser = argparse.ArgumentParser(
        prog="python -m nn_clustering.datasets",
        description="The data sets that networks can be trained on, and their files.",
        epilog="Files are looked for in the folders that the variable NN_CLUSTERING_DATASETS "
        "names, then in datasets/, to which what is missing is downloaded. `COMMAND --help` says "
        "more about each.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    explanation = "show all data sets, and whether their files are there"
    listing = commands.add_parser("list", help=explanation, description=f"{explanation}.")
    listing.set_defaults(function=list_datasets)

    explanation = "make sure that data sets can be used: download, check and make them"
    prepare = commands.add_parser(
        "prepare",
        help=explanation,
        description=f"{explanation}. Prints their shapes, digests and files.",
    )
    prepare.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="data sets, as `list` shows them, or folders and files of one's own",
    )
    _add_settings(prepare)
    prepare.set_defaults(function=prepare_datasets)

    explanation = "write a picture of a data set: ten images of every class, or some of its tokens"
    show = commands.add_parser(
        "show",
        help=explanation,
        description=f"{explanation}; of a regression, heat maps of twelve targets.",
    )
    show.add_argument(
        "name",
        metavar="NAME",
        help="a data set, as `list` shows them, or a folder or file of one's own",
    )
    show.add_argument(
        "--to", metavar="FILE", help="where to write it, .png or .pdf; figures/NAME.png by default"
    )
    _add_settings(show)
    show.set_defaults(function=show_dataset)
    return parser


def list_datasets(arguments: argparse.Namespace) -> None:
    """Print a line a data set, and where the files are."""
    from nn_clustering.datasets._catalogue import listed_entries

    entries = listed_entries()
    titles = ("name", "inputs", "outputs", "train", "test", "file", "what it holds")
    rows: list[tuple[str, ...]] = [titles]
    for entry in entries:
        outputs = f"{entry.n_outputs} {'classes' if entry.task == 'classification' else 'targets'}"
        rows.append(
            (
                entry.name,
                (" x ".join(map(str, entry.input_shape)) or "any size")
                + (" tokens" if entry.rule is not None else ""),
                outputs,
                *map(str, entry.sizes),
                " ".join(file.name for file in entry.files)
                or (entry.own.file if entry.own else "-"),
                entry.about,
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    print(
        "\nMixtures exist the other way round, too. Sizes are those of the usual files, of "
        "separated mixtures about.\n"
    )
    for file in {file.name: file for entry in entries for file in entry.files}.values():
        print(f"{file.name + ':':<19}{_location(file)}")
    for entry in entries:
        if entry.own is not None:
            print(f"{entry.name + ':':<19}{_place_by_hand(entry.own.file)}")


def prepare_datasets(arguments: argparse.Namespace) -> None:
    """Download, check and make data sets; print what they are."""
    from nn_clustering.datasets import load_dataset

    # a slip of the keyboard is told first
    files = {name: _files(name) for name in arguments.names}
    for name in arguments.names:
        dataset = load_dataset(name, seed=arguments.seed, image_size=arguments.image_size)
        print(name)
        for what, value in (
            ("train", f"inputs {dataset.x_train.shape}, outputs {dataset.y_train.shape}"),
            ("test", f"inputs {dataset.x_test.shape}, outputs {dataset.y_test.shape}"),
            ("digest", dataset.digest()),
            *(("file", _location(file)) for file in files[name]),
            *(("note", note) for note in dataset.notes),
        ):
            print(f"  {what + ':':<8}{value}", flush=True)


def _files(name: str) -> tuple[DataFile, ...]:
    """Return the files that a data set of the catalogue is made of."""
    from nn_clustering.datasets import is_own
    from nn_clustering.datasets._catalogue import find_entry

    return () if is_own(name) else find_entry(name).files


def show_dataset(arguments: argparse.Namespace) -> None:
    """Write a contact sheet, and print where it is."""
    from nn_clustering.datasets import load_dataset
    from nn_clustering.datasets._contact_sheet import contact_sheet

    path = _path_of_sheet(arguments)
    dataset = load_dataset(arguments.name, seed=arguments.seed, image_size=arguments.image_size)
    figure = contact_sheet(dataset)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, format=path.suffix[1:].lower(), bbox_inches="tight")
    except OSError as error:
        raise InvalidInputError(
            f"{path} cannot be written ({error.strerror}); name another file with --to"
        ) from error
    print(path)


def _path_of_sheet(arguments: argparse.Namespace) -> Path:
    if arguments.to is None:
        return Path("figures") / f"{Path(arguments.name).name}.png"
    path = Path(arguments.to)
    if path.suffix.lower() not in (".png", ".pdf"):
        raise InvalidInputError(f"--to {path}: expected the name of a .png or .pdf file")
    return path


def _add_settings(parser: argparse.ArgumentParser) -> None:
    from nn_clustering.datasets._settings import SEED

    parser.add_argument(
        "--seed",
        type=int,
        default=SEED,
        metavar="N",
        help=f"seed of composed and made data sets ({SEED})",
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="N",
        help="height and width that images of imagenet2012, or of one's own data, become",
    )


def _place_by_hand(name: str) -> str:
    from nn_clustering.datasets._data_files import dataset_folders, find_file

    folders = dataset_folders()
    found = find_file(name, folders)
    return str(found) if found else f"not there; to be put by hand as {folders[-1] / name}"


def _location(file: DataFile) -> str:
    from nn_clustering.datasets._data_files import dataset_folders, find_file, locate

    folders = dataset_folders()
    found = locate(file, folders)
    if found is not None:
        return str(found)
    parts = [find_file(part.name, folders) for part in file.distributed]
    if all(parts):
        return f"made at first use of {', '.join(map(str, parts))}"
    host = file.distributed[0].url.split("/")[2]
    return f"not there yet, downloaded at first use from {host} to {folders[-1]}"


if __name__ == "__main__":
    sys.exit(main())
