"""Report a study from its stored runs: tables, figures, and one HTML page.

What describes the study describes its report; runs that are missing are named, and not waited for.

python experiments/report.py with clusterability_mlp
python experiments/report.py with clusterability_mlp quick
python experiments/report.py with my_study.yaml any_code=False
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import PROJECT, configure, page_command
from experiments._network_tables import check_resamples
from experiments.study import OF_STUDY, same_study, stages_of, study_of
from nn_clustering import reports, studies
from nn_clustering.errors import InvalidInputError
from nn_clustering.reports import page
from nn_clustering.tracking import (
    StageExperiment,
    check_writable,
    omniboard_address,
    project_root,
)

if TYPE_CHECKING:
    from nn_clustering.reports import StudyResults, StudyTable
    from nn_clustering.tracking import StageRun

OWN = ("seed", "folder", "any_code", "level", "n_resamples", "page_images_mb", "tags")
# Names of missing runs that are printed; all of them are in the report.
_MOST_NAMED = 5

experiment = StageExperiment("report", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("steps",), keys_of="study")


def check(run: StageRun) -> None:
    """Check what the config alone tells."""
    config = run.config
    for key in run.typed_keys():
        if key.split(".")[0] not in (*OF_STUDY, *OWN):
            raise InvalidInputError(
                f"{key}={config[key]} changes nothing: a report is of stored runs, however they "
                "were computed; leave it out"
            )
    check_resamples(config["n_resamples"])
    if not 0 < config["level"] < 1:
        raise InvalidInputError(f"level={config['level']!r}; expected a number between 0 and 1")
    if config["page_images_mb"] < 0:
        raise InvalidInputError(
            f"page_images_mb={config['page_images_mb']}; expected 0 or more: 0 for no image"
        )
    studies.cells_of(study_of(config, run.named_configs), stages_of(config))
    check_writable(_folder(run), f"folder={config['folder']}")


@dataclass(frozen=True, eq=False)
class Report:
    """What a report is made of.

    Attributes:
        results: What the stored runs say.
        tables: By condition.
    """

    results: StudyResults
    tables: tuple[StudyTable, ...]


def prepare(run: StageRun) -> StudyResults:
    """Read the stored runs; without any there is nothing to report."""
    config, stages = run.config, stages_of(run.config)
    study = study_of(config, run.named_configs)
    cells = studies.cells_of(study, stages)
    found = studies.find_completed(run.store.database, cells, stages, any_code=config["any_code"])
    if not found:
        raise InvalidInputError(
            f"none of the {len(cells)} runs of {study.name} is stored"
            f"{'' if config['any_code'] else ' that is of the code as it is'}; compute them: "
            f"{same_study('study', run)}"
        )
    results = reports.read_results(run.store, study, cells, found)
    run.sacred_run.info["lineage"] = {
        f"{reports.file_word(row['step'])}_run_{place}": row["run"]
        for place, row in enumerate(results.cells.to_dict("records"))
    }
    return results


def summary(run: StageRun, result: Mapping[str, Any]) -> None:
    """Print the tables, what is missing, and where everything is."""
    results: StudyResults = run.prepared
    print("\n".join(["", *_missing_in_words(run, results), *reports.mixed_code(results)]))
    folder = _folder(run)
    print(f"\n  report     {folder / 'report.html'}\n  tables     {folder}/*.md, *.tex, *.csv")
    print(f"  Omniboard  {page_command()}\n")
    if results.missing:
        run.suggest(same_study("study", run))


@experiment.stage(check=check, prepare=prepare, summary=summary)
def report(run: StageRun) -> dict[str, Any]:
    """Write the report of a study; the result holds its main numbers and counts."""
    results: StudyResults = run.prepared
    folder = _folder(run)
    folder.mkdir(parents=True, exist_ok=True)
    tables = reports.study_tables(
        results,
        run.store,
        level=run.config["level"],
        seed=run.seed,
        n_resamples=run.config["n_resamples"],
    )
    for table in tables:
        print(f"\n{table.caption}\n\n{table.markdown()}")
    figures = []
    for name, figure in reports.study_figures(results, run.store):
        run.add_figure(name, figure, folder)
        figures.append(name)
    for name, text in _texts(results, tables, figures):
        _add(run, folder, name, text.encode())
    _add(run, folder, "report.html", _page(run, results, tables))
    return _result(results, tables)


def _texts(
    results: StudyResults, tables: Sequence[StudyTable], figures: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Yield the report's text files, by name."""
    for table in tables:
        yield f"{table.name}.csv", table.csv()
        yield f"{table.name}.md", table.markdown()
        yield f"{table.name}.tex", table.latex()
    yield "cells.csv", results.cells.to_csv(index=False, lineterminator="\n")
    yield "networks.csv", results.networks.to_csv(index=False, lineterminator="\n")
    yield "report.md", reports.study_markdown(results, tables, figures)


def _page(run: StageRun, results: StudyResults, tables: Sequence[StudyTable]) -> bytes:
    most = run.config["page_images_mb"]
    return page.study_page(
        results,
        tables=tables,
        images=page.images_of(results) if most else (),
        omniboard=omniboard_address(),
        made=datetime.now(timezone.utc),
        max_image_mb=most,
    )


def _add(run: StageRun, folder: Path, name: str, content: bytes) -> None:
    run.add_artifact(name, content)
    (folder / name).write_bytes(content)


def _result(results: StudyResults, tables: Sequence[StudyTable]) -> dict[str, Any]:
    networks = results.networks
    found = next((table.rows for table in tables if table.name == "clusterability"), None)
    return {
        "n_cells": results.n_cells,
        "n_stored": len(results.cells),
        "n_missing": len(results.missing),
        "n_networks": int(networks["network"].nunique()),
        "n_clusterings": int(networks["cluster_run"].nunique()),
        "n_fragile": int(networks["fragile"].eq(True).sum()),
        "n_mixed_code": len(list(reports.mixed_code(results))),
        "conditions": [] if found is None else list(_conditions(results, found)),
    }


def _conditions(results: StudyResults, table: Any) -> Iterator[dict[str, Any]]:
    """Yield what the table of clusterability has of each condition, which it names in words."""
    for row in table.astype(object).where(table.notna(), None).to_dict("records"):
        labels = {name: row.pop(name) for name in results.labels if row.get(name, None) is not None}
        numbers = {key: value for key, value in row.items() if key not in results.labels}
        yield {"condition": reports.condition_in_words(labels) or results.title, **numbers}


def _missing_in_words(run: StageRun, results: StudyResults) -> Iterator[str]:
    yield results.in_words()
    if not results.missing:
        return
    yield from (f"  missing: {name}" for name in results.missing[:_MOST_NAMED])
    if len(results.missing) > _MOST_NAMED:
        yield f"  and {len(results.missing) - _MOST_NAMED:,} more, which report.md names"


def _folder(run: StageRun) -> Path:
    study = study_of(run.config, run.named_configs)
    quick = "_quick" if study.variant == "quick" else ""
    folder: Path = project_root() / run.config["folder"] / f"{reports.file_word(study.name)}{quick}"
    return folder


if __name__ == "__main__":
    experiment.run_commandline()
