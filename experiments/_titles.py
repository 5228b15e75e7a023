"""What figures are titled with: data set, network, conditions, phase, graph, number of clusters.

Numbers of runs mean nothing outside the store, so they are no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from experiments._phase_settings import PHASES

if TYPE_CHECKING:
    from nn_clustering.tracking import Run, StageRun

# Where a clustering's graph is not of the weights.
_GRAPHS = {"activations": "graph of activations", "gradients": "graph of gradients"}
_WEIGHTS = {"imagenet": "ImageNet weights", "random": "random weights"}
# In which two clusterings can differ without being about something else.
_OF_SEEDS = {"training_seed": "training seed", "seed": "clustering seed"}


def training_title(run: StageRun) -> str:
    """Return the title of a figure of a training, or of networks that are not trained."""
    return _joined(_about_in_words(run.sacred_run.info.get("about", {})))


def clustering_title(run: StageRun, n_clusters: int) -> str:
    """Return the title of a figure of a clustering, in its own run.

    Args:
        run: That of the stage ``cluster``.
        n_clusters: How many clusters there are.
    """
    info = run.sacred_run.info
    return _joined(_clustering_in_words(info.get("about", {}), info, run.config, n_clusters))


def title_on(run: StageRun, clustered: Run, *, of_clusters: bool = True) -> str:
    """Return the title of a figure of what a stage found out about a clustering.

    Args:
        run: That of the stage.
        clustered: The clustering that it has read.
        of_clusters: Whether the figure is of that clustering's number of clusters.
    """
    # An untracked run has what the clustering is about not from the store.
    about = {**clustered.about, **run.sacred_run.info.get("about", {})}
    n_clusters = _n_clusters(clustered) if of_clusters else None
    return _joined(_clustering_in_words(about, clustered.info, clustered.config, n_clusters))


def titles_apart(first: Run, second: Run) -> tuple[str, tuple[str, str]]:
    """Return what two clusterings have in common, and what to call each beside the other.

    They are called by what they differ in, together with the seeds of their trainings if these
    differ; by their numbers of clusters or their seeds alone, if by nothing else.
    """
    both = [
        _clustering_in_words(run.about, run.info, run.config, _n_clusters(run))
        for run in (first, second)
    ]
    if both[0].get("graph") != both[1].get("graph"):
        for words in both:
            words["graph"] = f"the {words.get('graph', 'graph of weights')}"
    title = _joined({part: text for part, text in both[0].items() if both[1].get(part) == text})
    counts = [words.pop("n_clusters", "") for words in both]
    names = [
        _joined({part: text for part, text in own.items() if other.get(part) != text})
        for own, other in (both, both[::-1])
    ]
    seeds = _names_by_seeds(first, second)
    for apart in (names, counts):
        if all(apart) and apart[0] != apart[1]:
            if not seeds[0].startswith(_OF_SEEDS["training_seed"]):
                return title, (apart[0], apart[1])
            # else they would seem to be of one training
            return title, (f"{apart[0]}, {seeds[0]}", f"{apart[1]}, {seeds[1]}")
    if all(seeds):
        return title, (seeds[0], seeds[1])
    return title, ("the first", "the second")


def _names_by_seeds(first: Run, second: Run) -> list[str]:
    for key, name in _OF_SEEDS.items():
        seeds = [run.about.get(key, run.config.get(key)) for run in (first, second)]
        if seeds[0] != seeds[1] and None not in seeds:
            return [f"{name} {seed}" for seed in seeds]
    return ["", ""]


def _clustering_in_words(
    about: Mapping[str, Any],
    info: Mapping[str, Any],
    config: Mapping[str, Any],
    n_clusters: int | None,
) -> dict[str, str]:
    """Return what there is to say of a clustering, by what it is said of."""
    phase, checkpoint = info.get("phase"), config.get("checkpoint")
    words = _about_in_words(about, phase if phase in PHASES else None)
    if checkpoint is not None:
        words["checkpoint"] = f"epoch {checkpoint}"
    graph = config.get("graph")
    if isinstance(graph, Mapping) and graph.get("source") in _GRAPHS:
        words["graph"] = _GRAPHS[graph["source"]]
    if n_clusters is not None:
        words["n_clusters"] = f"{n_clusters} cluster{'' if n_clusters == 1 else 's'}"
    return words


def _about_in_words(about: Mapping[str, Any], phase: str | None = None) -> dict[str, str]:
    """Return data set, network and conditions; a phase that is known stands for those of phases."""
    network = _section(about, "network")
    conditions = [name for name in str(about.get("conditions") or "").split(", ") if name]
    if phase is not None:
        conditions = [*(name for name in conditions if name not in PHASES), phase]
    weights = network.get("weights")
    words = {
        "dataset": _short(_section(about, "dataset").get("name")),
        "network": _short(network.get("kind")),
        "weights": _WEIGHTS.get(str(weights), f"weights of {_short(weights)}") if weights else "",
        "conditions": ", ".join(name.replace("_", " ") for name in conditions),
    }
    return {part: text for part, text in words.items() if text}


def _section(about: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = about.get(name)
    return found if isinstance(found, Mapping) else {}


def _short(name: Any) -> str:
    """Return a name, of a file or folder without those that it lies in."""
    return "" if name is None else PurePath(str(name)).name


def _n_clusters(clustered: Run) -> int | None:
    found = clustered.result.get("n_clusters")
    return None if found is None else int(found)


def _joined(words: Mapping[str, str]) -> str:
    return ", ".join(words.values())
