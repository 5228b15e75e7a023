"""The partition that a config of ``cluster`` asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nn_clustering import partitions
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import structure

if TYPE_CHECKING:
    import keras

    from nn_clustering.graphs import UnitGraph
    from nn_clustering.partitions import Partition, SpectralClustering
    from nn_clustering.tracking import Run

# k-means starts where none are asked for: those of networks with residual sums have more noise.
_STARTS, _STARTS_OF_SUMS = 5, 25
# The method of a partition that is read from a file.
FROM_FILE = "file"
# The methods that settings act on, where that is not all of them.
_ACTS_ON = {
    "n_clusters": partitions.WITH_N_CLUSTERS,
    "partition.assign_labels": ("spectral",),
    "kmeans.n_init": ("spectral", "leiden", "louvain"),
    "kmeans.select": ("spectral",),
    "stability.n_seeds": ("spectral", "leiden", "louvain", "random"),
}
_OF_STARTS = ("kmeans.n_init", "kmeans.select")


def with_starts(config: Mapping[str, Any], network: keras.Model | None = None) -> Mapping[str, Any]:
    """Return a config with the number of k-means starts that is meant where it says null.

    Args:
        config: With a section `kmeans`.
        network: The network whose units are clustered; None for a graph of no known network.
    """
    if config["kmeans"]["n_init"] is not None:
        return config
    has_sums = network is not None and structure.read_weights(network).has_sums
    n_init = _STARTS_OF_SUMS if has_sums else _STARTS
    return {**config, "kmeans": {**config["kmeans"], "n_init": n_init}}


def clustering_config(clustered: Run) -> Mapping[str, Any]:
    """Return the config of a clustering run, with the number of k-means starts that it had."""
    if clustered.config["kmeans"]["n_init"] is not None:
        return clustered.config
    starts = {**clustered.config["kmeans"], "n_init": clustered.result["n_init"]}
    return {**clustered.config, "kmeans": starts}


def check_partition_config(config: Mapping[str, Any]) -> None:
    """Check the sections `partition`, `kmeans` and `stability` and the number of clusters.

    Raises:
        InvalidInputError: If a value is unknown or out of range, or two do not go together.
    """
    config = with_starts(config)
    settings = config["partition"]
    methods = (*partitions.PARTITION_METHODS, FROM_FILE)
    if settings["method"] not in methods:
        raise InvalidInputError(
            f"partition.method={settings['method']!r}; expected one of {', '.join(methods)}"
        )
    if (settings["method"] == FROM_FILE) != (settings["file"] is not None):
        raise InvalidInputError(
            f"partition.method={settings['method']} partition.file={settings['file']}: expected "
            "partition.method=file with partition.file=FILE (.npz or .csv), or neither"
        )
    partitions.check_volume_constant(settings["volume_constant"])
    if settings["method"] != FROM_FILE:
        partitions.check_partition_settings(**_method(config))
    if settings["local"] and settings["method"] != "spectral":
        raise InvalidInputError(
            f"partition.local=True partition.method={settings['method']}: layers are clustered on "
            "their own by spectral clustering only; expected partition.method=spectral"
        )
    n_local = settings["local_clusters"]
    is_number = isinstance(n_local, int) and not isinstance(n_local, bool) and n_local >= 2
    if n_local is not None and not (settings["local"] and is_number):
        raise InvalidInputError(
            f"partition.local_clusters={n_local!r} partition.local={settings['local']}: expected "
            "an integer of 2 or more, with partition.local=True"
        )
    if settings["local_ends"] not in partitions.ENDS:
        raise InvalidInputError(
            f"partition.local_ends={settings['local_ends']!r}; expected one of "
            f"{', '.join(partitions.ENDS)}"
        )
    n_seeds = config["stability"]["n_seeds"]
    if n_seeds < 0 or n_seeds == 1:
        raise InvalidInputError(
            f"stability.n_seeds={n_seeds}; expected 2 or more, of which there is a spread, or 0 "
            "for none"
        )
    if n_seeds:
        partitions.check_n_seeds(n_seeds)


def check_partition_settings_act(config: Mapping[str, Any], typed: Iterable[str]) -> None:
    """Check that no setting was typed that the method has no use for.

    Args:
        config: The whole config of ``cluster``.
        typed: Dotted keys that the user has set one by one, not through a named config.

    Raises:
        InvalidInputError: If one was; it would change nothing, and be believed to.
    """
    settings = config["partition"]
    for key in typed:
        group, _, name = key.rpartition(".")
        given = f"{key}={(config[group] if group else config)[name]} changes nothing while"
        acts_on = _ACTS_ON.get(key)
        if acts_on is not None and settings["method"] not in acts_on:
            raise InvalidInputError(
                f"{given} partition.method={settings['method']}: it acts on {', '.join(acts_on)} "
                f"only; leave it out, or take partition.method={acts_on[0]}"
            )
        if group == "kmeans" and settings["assign_labels"] == "cluster_qr" and key in _OF_STARTS:
            raise InvalidInputError(
                f"{given} partition.assign_labels=cluster_qr, which has no starts; leave it out, "
                "or take partition.assign_labels=kmeans"
            )
        if key == "partition.local_ends" and not settings["local"]:
            raise InvalidInputError(
                f"{given} partition.local=False; leave it out, or take partition.local=True"
            )
        if key == "stability.n_seeds" and settings["local"] and config["stability"]["n_seeds"]:
            raise InvalidInputError(
                f"{given} partition.local=True: clusterings with other seeds are of the whole "
                "graph; leave it out, or take partition.local=False"
            )


def partition_file(name: str) -> bytes:
    """Return the content of the file with a partition.

    Raises:
        InvalidInputError: If there is none of that name.
    """
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"partition.file={name} cannot be read ({error.strerror}); expected a partition.npz, "
            "or a CSV file with the columns layer, unit, label"
        ) from error


def clustered_graph(
    graph: UnitGraph, config: Mapping[str, Any], seed: int
) -> tuple[Partition, dict[str, float | None] | None]:
    """Partition a graph as a config asks for, not from a file.

    Returns:
        The partition, as :func:`clustering_method` makes it, and the spread of n-cuts over the
        k-means starts (no standard deviation of one), None where there are none.
    """
    settings = config["partition"]
    if settings["method"] != "spectral":
        return clustering_method(config)(graph, seed=seed), None
    found = partitions.spectral_clustering(
        graph,
        config["n_clusters"],
        seed=seed,
        assign_labels=settings["assign_labels"],
        volume_constant=volume_constant(config),
        **config["kmeans"],
    )
    starts = found.start_ncuts
    spread = {
        "ncut_mean": float(starts.mean()),
        "ncut_std": float(starts.std(ddof=1)) if starts.size > 1 else None,
        "ncut_min": float(starts.min()),
        "ncut_max": float(starts.max()),
    }
    return found.partition, spread


def clustering_method(config: Mapping[str, Any]) -> Callable[..., Partition]:
    """Return the function ``cluster(graph, seed=...)`` that a config asks for, not from a file."""
    return partial(partitions.make_partition, **_method(config))


def clustering_with_starts(
    config: Mapping[str, Any],
) -> Callable[..., Partition | SpectralClustering]:
    """Return what :func:`clustering_method` does, and the n-cuts of the starts where that matters.

    It does where the start of the lowest inertia is kept, which need not be that of the lowest
    n-cut.
    """
    settings = config["partition"]
    by_inertia = config["kmeans"]["select"] == "inertia"
    if settings["method"] != "spectral" or settings["assign_labels"] != "kmeans" or not by_inertia:
        return clustering_method(config)
    return partial(
        partitions.spectral_clustering,
        n_clusters=config["n_clusters"],
        volume_constant=volume_constant(config),
        **config["kmeans"],
    )


def volume_constant(config: Mapping[str, Any]) -> float:
    """Return what is added to volumes in n-cuts of a clustering (methods C7).

    Args:
        config: Of a clustering, also of a former version, whose constant was the studies'.
    """
    constant: float = config["partition"].get(
        "volume_constant", partitions.PUBLISHED_VOLUME_CONSTANT
    )
    return constant


def stability_summary(
    graph: UnitGraph, config: Mapping[str, Any], seed: int
) -> dict[str, Any] | None:
    """Return the spread of n-cuts and labels over other seeds; None if not asked for."""
    n_seeds, settings = config["stability"]["n_seeds"], config["partition"]
    if n_seeds == 0 or settings["local"] or settings["method"] in (FROM_FILE, "per_layer"):
        return None
    return partitions.partition_stability(
        graph, **_method(config), seed=seed, n_seeds=n_seeds
    ).summary()


def local_clustering(
    graph: UnitGraph, whole: Partition, config: Mapping[str, Any], seed: int
) -> tuple[Partition, dict[str, float | None]]:
    """Cluster every layer on its own (methods F); returns figures of their graphs too."""
    found = partitions.local_partition(
        graph,
        whole,
        seed=seed,
        n_clusters_of_layer=config["partition"]["local_clusters"],
        ends=config["partition"]["local_ends"],
        assign_labels=config["partition"]["assign_labels"],
        volume_constant=volume_constant(config),
        **config["kmeans"],
    )
    constant = volume_constant(config)
    exact = {"ncut_without_constant": found.mean_ncut_without_constant} if constant else {}
    figures = {"ncut": found.mean_ncut, "in_out_ratio": None, "modularity": None, **exact}
    return found.partition, figures


def _method(config: Mapping[str, Any]) -> dict[str, Any]:
    chosen = {key: config["partition"][key] for key in ("method", "assign_labels", "resolution")}
    return {
        **chosen,
        "n_clusters": config["n_clusters"],
        "volume_constant": volume_constant(config),
        **config["kmeans"],
    }
