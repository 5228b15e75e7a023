"""Lesion runs out of the run store, and which of them are networks of one condition."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import PUBLISHED_VOLUME_CONSTANT, Partition

if TYPE_CHECKING:
    import pandas

    from nn_clustering.tracking import Run, RunId, RunStore

MEASURES = ("importance", "coherence")
# Names of what says how well the intact network does, one in each result.
SCORES = ("accuracy", "mean_squared_error")

# Config keys, or groups of them, that do not make another condition: seeds and links to other
# runs; how a stage runs rather than what it does; and what it does besides.
_HOW = ("seed", "reuse", "tags", "resume", "n_repeats", "n_workers", "memory_mb")
# What is done to pixels, which any of three stages may say, counts as what the network reads.
_LEFT_OUT = {
    "train": (*_HOW, "training.checkpoint_every"),
    "import_network": (*_HOW, "dataset", "preprocessing"),
    "cluster": (*_HOW, "train_run", "model", "phase", "stability", "preprocessing"),
    "lesion": (*_HOW, "cluster_run", "dataset", "double", "single_units", "preprocessing"),
}
# What is done to data where no stage says otherwise.
_OF_DATA = {"damaged": "refuse", "resize": "straight"}
# What networks read where no stage says otherwise.
_UNIT = "unit"
# The stages whose runs hold the network that is clustered.
_WITH_NETWORK = ("train", "import_network")
# What runs did before there was a key for it.
_BEFORE: dict[str, dict[str, Any]] = {
    "train": {"clusterability_gradient.norm_by_threshold": False},
    "import_network": {},
    "cluster": {
        "graph.isolated_below": 0.0,
        "partition.volume_constant": PUBLISHED_VOLUME_CONSTANT,
    },
    "lesion": {},
}


@dataclass(frozen=True, eq=False)
class LesionedNetwork:
    """The single lesions of one network, as a run has stored them.

    Attributes:
        run: The run's id.
        settings: All that makes its condition, by dotted key that begins with the stage's name.
        network: Tells the networks of a condition apart, in words.
        scores: Of the intact network: ``accuracy``, or ``mean_squared_error`` of a regression.
        summaries: Of importance and of coherence; see :meth:`Measure.summary`.
        sub_clusters: One row a sub-cluster; see :meth:`LesionTest.table`.
        random_effects: One row a draw; see :meth:`LesionTest.random_effects`.
    """

    run: RunId
    settings: Mapping[str, Any]
    network: str
    scores: Mapping[str, float]
    summaries: Mapping[str, Mapping[str, Any]] = field(repr=False)
    sub_clusters: pandas.DataFrame = field(repr=False)
    random_effects: pandas.DataFrame = field(repr=False)


def lesioned_network(store: RunStore, run: Run) -> LesionedNetwork:
    """Read the network of a lesion run, with the runs that it rests on.

    Raises:
        InvalidInputError: If the run's result or its table lacks something.
        RunNotFoundError: If a run that it rests on, or an artifact, is not there any more.
    """
    clustered = store.run(run.lineage["cluster_run"], experiment="cluster")
    train_run = clustered.lineage.get("train_run")
    trained = None if train_run is None else store.run(train_run, experiment=_WITH_NETWORK)
    settings = {
        **({} if trained is None else _settings(trained.experiment, trained)),
        **_settings("cluster", clustered),
        **_settings("lesion", run),
        **_dataset(trained, run),
        "preprocessing": _preprocessing(trained, clustered, run),
    }
    if trained is None:
        settings["network.layers"] = _layer_sizes(clustered)
        network = f"file {str(clustered.info['inputs']['network'])[:12]}"
    elif trained.experiment == "train":
        settings["train.phase"] = clustered.info["phase"]
        network = f"training seed {trained.config['seed']}"
    else:
        network = _imported(trained)
    result = run.result if isinstance(run.result, Mapping) else {}
    scores = {name: result[name] for name in SCORES if result.get(name) is not None}
    summaries = {measure: result.get(measure) or {} for measure in MEASURES}
    for measure, found in summaries.items():
        if "joint_p_smallest" not in found:
            missing = f"result has no {measure}.joint_p_smallest"
            raise InvalidInputError(_of_older_code(run.id, missing))
    sub_clusters, random_effects = _sub_clusters(run), _table(run, "random_effects")
    return LesionedNetwork(
        run.id, settings, network, scores, summaries, sub_clusters, random_effects
    )


def conditions(networks: Sequence[LesionedNetwork]) -> Iterator[tuple[str, list[LesionedNetwork]]]:
    """Yield the name of each condition and its networks, in the order of the first of each.

    A condition is named by data set and architecture, and by the settings that not all share.

    Raises:
        InvalidInputError: If a network is twice in one condition: there it would count as two.
    """
    differing = _differing_keys(networks)
    # Of a network from a file nothing is known of the training: that tells no names apart.
    stages = [{key.split(".")[0] for key in network.settings} for network in networks]
    told = [key for key in differing if all(key.split(".")[0] in known for known in stages)]
    groups: dict[str, list[LesionedNetwork]] = {}
    for network in networks:
        key = repr([network.settings.get(name) for name in differing])
        groups.setdefault(key, []).append(network)
    for group in groups.values():
        seen: dict[str, RunId] = {}
        for network in group:
            if network.network in seen:
                raise InvalidInputError(
                    f"runs {seen[network.network]} and {network.run} lesion one network "
                    f"({network.network}) in one condition, where it would count as two; leave out "
                    "one of them"
                )
            seen[network.network] = network.run
        yield _name(group[0].settings, told), group


def _settings(stage: str, run: Run) -> dict[str, Any]:
    left_out = _LEFT_OUT[stage]
    return {
        f"{stage}.{key}": value
        for key, value in {**_BEFORE[stage], **dict(_leaves(run.config))}.items()
        if not any(key == name or key.startswith(f"{name}.") for name in left_out)
    }


def _dataset(trained: Run | None, lesioned: Run) -> dict[str, Any]:
    """Return what the lesions are measured on: as they say, else as the network's own run does."""
    own = {} if trained is None else dict(trained.config["dataset"])
    asked = dict(lesioned.config.get("dataset") or {})
    return {
        f"lesion.dataset.{key}": next(
            (value for value in (asked.get(key), own.get(key)) if value is not None),
            _OF_DATA.get(key),
        )
        for key in {**asked, "name": None}
    }


def _preprocessing(trained: Run | None, clustered: Run, lesioned: Run) -> str:
    """Return what is done to pixels before the network reads them."""
    if trained is not None:
        return trained.info.get("preprocessing") or _UNIT
    asked = (run.config.get("preprocessing") for run in (lesioned, clustered))
    return next((str(name) for name in asked if name is not None), _UNIT)


def _imported(run: Run) -> str:
    digests = run.info.get("inputs", {})
    digest = digests.get("weights", digests.get("model"))
    return f"seed {run.config['seed']}" if digest is None else f"file {str(digest)[:12]}"


def _leaves(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _layer_sizes(clustered: Run) -> str:
    partition = Partition.from_npz(clustered.artifact("partition.npz"))
    return "-".join(str(layer.n_units) for layer in partition.layers)


def _table(run: Run, name: str) -> pandas.DataFrame:
    import pandas

    return pandas.read_csv(io.BytesIO(run.artifact(f"{name}.csv")))


def _sub_clusters(run: Run) -> pandas.DataFrame:
    table = _table(run, "sub_clusters")
    wanted = ["combined", *(f"{m}_{value}" for m in MEASURES for value in ("effect", "ratio"))]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise InvalidInputError(
            _of_older_code(run.id, f"sub_clusters.csv has no column {', '.join(missing)}")
        )
    return table


def _of_older_code(run: RunId, what: str) -> str:
    return f"run {run}: its {what}; expected what the lesion stage stores now: run it again"


def _differing_keys(networks: Sequence[LesionedNetwork]) -> list[str]:
    keys = dict.fromkeys(key for network in networks for key in network.settings)
    return [
        key for key in keys if len({repr(network.settings.get(key)) for network in networks}) > 1
    ]


def _name(settings: Mapping[str, Any], differing: Sequence[str]) -> str:
    always = (
        *("lesion.dataset.name", "train.network.kind", "import_network.network.name"),
        *("import_network.model", "network.layers"),
    )
    known = [" ".join(str(settings[key]) for key in always if settings.get(key) is not None)]
    # the data set is that of the training, unless another was asked for
    known.extend(
        f"{_short(key, differing)}={settings.get(key, 'unset')}"
        for key in differing
        if key not in (*always, "train.dataset.name")
    )
    return ", ".join(known)


def _short(key: str, keys: Sequence[str]) -> str:
    """Return the end of a dotted key, as much of it as tells it apart from the others."""
    parts = key.split(".")
    for start in range(len(parts) - 1, 0, -1):
        end = ".".join(parts[start:])
        if sum(other.endswith(f".{end}") for other in keys) == 1:
            return end
    return key
