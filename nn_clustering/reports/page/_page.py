"""The page of a study, from what its stored runs say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError
from nn_clustering.reports._palette import cluster_colours
from nn_clustering.reports._study_report import mixed_code
from nn_clustering.reports.page._data_tables import CODE_DIGITS, networks_table, runs_table
from nn_clustering.reports.page._html import plain, rendered
from nn_clustering.reports.page._lineage import lineage, step_summaries
from nn_clustering.reports.page._ncut_figure import ncut_figure
from nn_clustering.reports.page._parallel import parallel_coordinates
from nn_clustering.reports.page._pictures import RunImage, names_in_order, pictures
from nn_clustering.reports.page._summaries import summary
from nn_clustering.significance import SMALLEST_SHOWN
from nn_clustering.tracking import RUN_PAGE

if TYPE_CHECKING:
    import pandas

    from nn_clustering.reports._study_results import StudyResults
    from nn_clustering.reports._study_table import StudyTable

OMNIBOARD = "http://127.0.0.1:9000"
# The ends and middle of a scale of colours: low values are blue.
_RAMP = ((17, 122, 255), (150, 150, 150), (253, 78, 0))
_MIB = 2**20


def study_page(
    results: StudyResults,
    *,
    tables: Sequence[StudyTable] = (),
    images: Iterable[RunImage] = (),
    omniboard: str | None = None,
    failures: Mapping[str, str] | None = None,
    made: datetime | None = None,
    max_image_mb: float = 20.0,
) -> bytes:
    """Return one HTML file that shows a study, and works without network wherever it is opened.

    It loads nothing, and its policy lets the browser ask nobody for anything; names that come from
    the database stay text. Runs are linked to Omniboard, whose address a reader can change in the
    page.

    Args:
        results: What the stored runs say.
        tables: By condition, shown in their order.
        images: Of the study's runs, the most wanted first; see :func:`images_of`.
        omniboard: Its address; by default where it runs on a reader's own machine.
        failures: Why cells of ``results.missing`` have no run, by their names.
        made: When the page was made (UTC), to be shown.
        max_image_mb: What images may take together; further ones are left out, and counted.

    Raises:
        InvalidInputError: If Omniboard's address is none of the web, or the bound is negative.
    """
    address = OMNIBOARD if omniboard is None else omniboard.rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise InvalidInputError(f"omniboard={omniboard}; expected an address such as {OMNIBOARD}")
    if max_image_mb < 0:
        raise InvalidInputError(f"max_image_mb={max_image_mb}; expected 0 or more")
    shown, n_left_out = pictures(results, images, int(max_image_mb * _MIB))
    failures = failures or {}
    data = _data(results, address)
    return rendered(
        results=results,
        facts=_facts(results, made),
        steps=step_summaries(results),
        n_failed=sum(name in failures for name in results.missing),
        warnings=list(mixed_code(results)),
        missing=[(name, failures.get(name, "")) for name in results.missing],
        summaries=[summary(table, results) for table in tables],
        pictures=shown,
        picture_names=names_in_order(shown),
        n_left_out=n_left_out,
        max_image_mb=max_image_mb,
        lineage=lineage(results),
        data=data,
    )


def _data(results: StudyResults, omniboard: str) -> dict[str, Any]:
    """Return what the page's script reads."""
    cells = results.cells
    statuses = (
        {
            str(plain(run)): status
            for run, status in zip(cells["run"], cells["status"], strict=True)
            if status != "COMPLETED"
        }
        if len(cells)
        else {}
    )
    tables = {}
    if len(results.networks):
        tables["networks"] = networks_table(results)
    if len(cells):
        tables["runs"] = runs_table(results)
    return {
        "omniboard": omniboard,
        "run_page": RUN_PAGE,
        "statuses": statuses,
        "smallest_p": SMALLEST_SHOWN,
        "palette": [_hex(colour) for colour in cluster_colours(8)],
        "ramp": _RAMP,
        "tables": tables,
        "parallel": parallel_coordinates(results),
        "figure": ncut_figure(results),
    }


def _hex(colour: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * part):02x}" for part in colour[:3])


def _facts(results: StudyResults, made: datetime | None) -> list[tuple[str, str]]:
    """Return what is said of the study at its top, as titles and texts."""
    cells = results.cells
    quick = ", the quick variant" if results.variant == "quick" else ""
    facts = [("Study", f"{results.name}{quick}")]
    if len(cells):
        starts = [time for time in cells["start_time"] if plain(time) is not None]
        if starts:
            first, last = min(starts), max(starts)
            facts.append(("Runs started", f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"))
        facts += [("Code", _code(cells)), ("Machines", _counted(cells["host"]))]
    if made is not None:
        facts.append(("Page made", f"{made:%Y-%m-%d %H:%M} UTC"))
    return facts


def _code(cells: pandas.DataFrame) -> str:
    """Return the code of each step's runs; it differs from step to step."""
    found = (
        (step, sorted({str(plain(code) or "unknown")[:CODE_DIGITS] for code in of_step["code"]}))
        for step, of_step in cells.groupby("step", sort=False)
    )
    return ", ".join(f"{step} {' and '.join(codes)}" for step, codes in found)


def _counted(values: Iterable[Any]) -> str:
    """Return what there is, the most frequent first; with their numbers where it is not one."""
    counts = Counter("unknown" if plain(value) in (None, "") else str(value) for value in values)
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{value} ({count} runs)" for value, count in counts.most_common())
