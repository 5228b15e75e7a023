"""Runs that test sub-clusters out of the run store, and which are networks of one condition."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nn_clustering.errors import InvalidInputError
from nn_clustering.partitions import PUBLISHED_VOLUME_CONSTANT, Partition

if TYPE_CHECKING:
    import pandas

    from nn_clustering.tracking import Run, RunId, RunStore

# Config keys, or groups of them, that do not make another condition: seeds and links to other
# runs; how a stage runs rather than what it does; and what it does besides.
_HOW = ("seed", "reuse", "tags", "resume", "n_repeats", "n_workers", "n_threads", "memory_mb")
# What is done to pixels, which any of three stages may say, counts as what the network reads.
_LEFT_OUT = {
    "train": (*_HOW, "training.checkpoint_every"),
    "import_network": (*_HOW, "dataset", "preprocessing"),
    "cluster": (*_HOW, "train_run", "model", "phase", "stability", "preprocessing"),
}
_LEFT_OUT_OF_TEST = (*_HOW, "cluster_run", "dataset", "preprocessing")
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
}


@dataclass(frozen=True)
class NetworkTest:
    """A stage that tests the sub-clusters of a network, and what its runs store.

    The result of a run holds each measure's :meth:`Measure.summary`; its ``sub_clusters.csv`` has
    a column ``combined`` and each measure's :meth:`Measure.columns`, its ``random_effects.csv``
    :meth:`Measure.columns_of_draws`.

    Attributes:
        stage: The stage's name, which says what it does to a network.
        measures: Names of the measures.
        optional: Those that a run may be without, None in its result.
        corrected: Those whose p-values are corrected together for their number.
        scores: Names of what a result may say of the network at large.
        further_effects: Names of effects that each measure has besides ``effect`` and ``ratio``.
        besides: Config keys, or groups of them, of what the stage does besides.
    """

    stage: str
    measures: tuple[str, ...]
    corrected: tuple[str, ...]
    optional: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    further_effects: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()

    @property
    def effects(self) -> Mapping[str, str]:
        """Ends of the columns that hold a measure's effects, by their names in a table."""
        further = {name: name for name in self.further_effects}
        return {"effect": "effect", "effect_ratio": "ratio", **further}


@dataclass(frozen=True, eq=False)
class StudiedNetwork:
    """What a run has found out about the sub-clusters of one network.

    Attributes:
        test: What the run did.
        run: The run's id.
        settings: All that makes its condition, by dotted key that begins with the stage's name.
        network: Tells the networks of a condition apart, in words.
        scores: Of the network at large, by name.
        summaries: Of every measure that the run has; see :meth:`Measure.summary`.
        sub_clusters: One row a sub-cluster; see :class:`NetworkTest`.
        random_effects: One row a draw; see there.
    """

    test: NetworkTest
    run: RunId
    settings: Mapping[str, Any]
    network: str
    scores: Mapping[str, float]
    summaries: Mapping[str, Mapping[str, Any]] = field(repr=False)
    sub_clusters: pandas.DataFrame = field(repr=False)
    random_effects: pandas.DataFrame = field(repr=False)


def studied_network(store: RunStore, run: Run, test: NetworkTest) -> StudiedNetwork:
    """Read the network of a run that tests sub-clusters, with the runs that it rests on.

    Raises:
        InvalidInputError: If the run's result or its table lacks something.
        RunNotFoundError: If a run that it rests on, or an artifact, is not there any more.
    """
    clustered = store.run(run.lineage["cluster_run"], experiment="cluster")
    train_run = clustered.lineage.get("train_run")
    trained = None if train_run is None else store.run(train_run, experiment=_WITH_NETWORK)
    settings = {
        **_of_network(trained, clustered),
        **_settings(clustered, _LEFT_OUT["cluster"]),
        **_settings(run, (*_LEFT_OUT_OF_TEST, *test.besides)),
        **_dataset(trained, run),
        "preprocessing": _preprocessing(trained, clustered, run),
    }
    result = run.result if isinstance(run.result, Mapping) else {}
    summaries = _summaries(run, result, test)
    return StudiedNetwork(
        test,
        run.id,
        settings,
        _network_in_words(trained, clustered),
        {name: result[name] for name in test.scores if result.get(name) is not None},
        summaries,
        _sub_clusters(run, test, summaries),
        _table(run, "random_effects"),
    )


def conditions(
    networks: Sequence[StudiedNetwork], names: Sequence[str] | None = None
) -> Iterator[tuple[str, list[StudiedNetwork]]]:
    """Yield the name of each condition and its networks, in the order of the first of each.

    A condition is named by data set and architecture, and by the settings that not all share.

    Args:
        networks: All of them.
        names: Of each network's condition, where settings are not to tell it.

    Raises:
        InvalidInputError: If a network is twice in one condition: there it would count as two.
    """
    if names is None:
        yield from _by_settings(networks)
        return
    for name in dict.fromkeys(names):
        group = [network for network, own in zip(networks, names, strict=True) if own == name]
        _check_distinct(group)
        yield name, group


def _by_settings(
    networks: Sequence[StudiedNetwork],
) -> Iterator[tuple[str, list[StudiedNetwork]]]:
    differing = _differing_keys(networks)
    # Of a network from a file nothing is known of the training: that tells no names apart.
    stages = [{key.split(".")[0] for key in network.settings} for network in networks]
    told = [key for key in differing if all(key.split(".")[0] in known for known in stages)]
    groups: dict[str, list[StudiedNetwork]] = {}
    for network in networks:
        key = repr([network.settings.get(name) for name in differing])
        groups.setdefault(key, []).append(network)
    for group in groups.values():
        _check_distinct(group)
        yield _name(group[0], told), group


def _check_distinct(group: Sequence[StudiedNetwork]) -> None:
    seen: dict[str, RunId] = {}
    for network in group:
        if network.network in seen:
            raise InvalidInputError(
                f"runs {seen[network.network]} and {network.run} {network.test.stage} one "
                f"network ({network.network}) in one condition, where it would count as two; "
                "leave out one of them"
            )
        seen[network.network] = network.run


def _of_network(trained: Run | None, clustered: Run) -> dict[str, Any]:
    """Return what made the network, or of one from a file what is known of it."""
    if trained is None:
        return {"network.layers": _layer_sizes(clustered)}
    phase = {"train.phase": clustered.info["phase"]} if trained.experiment == "train" else {}
    return {**_settings(trained, _LEFT_OUT[trained.experiment]), **phase}


def _network_in_words(trained: Run | None, clustered: Run) -> str:
    """Return what tells the networks of a condition apart."""
    if trained is None:
        return f"file {str(clustered.info['inputs']['network'])[:12]}"
    if trained.experiment == "train":
        return f"training seed {trained.config['seed']}"
    digests = trained.info.get("inputs", {})
    digest = digests.get("weights", digests.get("model"))
    return f"seed {trained.config['seed']}" if digest is None else f"file {str(digest)[:12]}"


def _settings(run: Run, left_out: Sequence[str]) -> dict[str, Any]:
    stage = run.experiment
    return {
        f"{stage}.{key}": value
        for key, value in {**_BEFORE.get(stage, {}), **dict(_leaves(run.config))}.items()
        if not any(key == name or key.startswith(f"{name}.") for name in left_out)
    }


def _dataset(trained: Run | None, run: Run) -> dict[str, Any]:
    """Return what a run measures on: as it says, else as the network's own run does."""
    own = {} if trained is None else dict(trained.config["dataset"])
    asked = dict(run.config.get("dataset") or {})
    return {
        f"{run.experiment}.dataset.{key}": next(
            (value for value in (asked.get(key), own.get(key)) if value is not None),
            _OF_DATA.get(key),
        )
        for key in {**asked, "name": None}
    }


def _preprocessing(trained: Run | None, clustered: Run, tested: Run) -> str:
    """Return what is done to pixels before the network reads them."""
    if trained is not None:
        return trained.info.get("preprocessing") or _UNIT
    asked = (run.config.get("preprocessing") for run in (tested, clustered))
    return next((str(name) for name in asked if name is not None), _UNIT)


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


def _summaries(
    run: Run, result: Mapping[str, Any], test: NetworkTest
) -> dict[str, Mapping[str, Any]]:
    given = {name: result.get(name) for name in test.measures}
    found = {
        name: summary or {}
        for name, summary in given.items()
        if summary is not None or name not in test.optional
    }
    for name, summary in found.items():
        if "joint_p_smallest" not in summary:
            raise InvalidInputError(_of_older_code(run, f"result has no {name}.joint_p_smallest"))
    return found


def _sub_clusters(run: Run, test: NetworkTest, measures: Iterable[str]) -> pandas.DataFrame:
    table = _table(run, "sub_clusters")
    wanted = ["combined", *(f"{m}_{column}" for m in measures for column in test.effects.values())]
    missing = [name for name in wanted if name not in table.columns]
    if missing:
        raise InvalidInputError(
            _of_older_code(run, f"sub_clusters.csv has no column {', '.join(missing)}")
        )
    return table


def _of_older_code(run: Run, what: str) -> str:
    return (
        f"run {run.id}: its {what}; expected what the {run.experiment} stage stores now: run it "
        "again"
    )


def _differing_keys(networks: Sequence[StudiedNetwork]) -> list[str]:
    keys = dict.fromkeys(key for network in networks for key in network.settings)
    return [
        key for key in keys if len({repr(network.settings.get(key)) for network in networks}) > 1
    ]


def _name(network: StudiedNetwork, differing: Sequence[str]) -> str:
    settings = network.settings
    always = (
        *(f"{network.test.stage}.dataset.name", "train.network.kind"),
        *("import_network.network.name", "import_network.model", "network.layers"),
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
