"""Test whether a network is more clusterable than its shuffles, or than fresh networks.

python experiments/shuffle_test.py with cluster_run=latest n_shuffles=200
python experiments/shuffle_test.py with cluster_run=12 layer_nonzero
python experiments/shuffle_test.py with cluster_run=12 against_run=13
python experiments/shuffle_test.py with cluster_run=12 fresh_initialisation
python experiments/shuffle_test.py with resume=14
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments import PROJECT, configure
from experiments._chosen_null_model import (
    NullModelInputs,
    build_null_model,
    check_clustering_fits,
    check_network_fits,
    is_fresh,
    needs_network,
    shuffled_graph,
)
from experiments._networks import clustered_network, model_code_of, residual_rule
from experiments._partitions import (
    clustering_config,
    clustering_with_starts,
    volume_constant,
)
from experiments._phase_settings import check_settings_act
from experiments._titles import title_on
from experiments._undefined import none_if_nan
from nn_clustering import reports, significance
from nn_clustering.errors import InvalidInputError, RunNotFoundError
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nn_clustering.significance import ShuffleTest
    from nn_clustering.tracking import Run, RunId, StageRun

METRIC = "shuffled_ncut"
# By the k-means start of the lowest n-cut, where another one can be kept.
LOWEST = "shuffled_lowest_ncut"

# What a verdict says of a network beside its shuffles.
_IN_WORDS = {"more": "more clusterable", "neither": "no different", "less": "less clusterable"}

experiment = StageExperiment("shuffle_test", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("method",))


def check_settings(config: Mapping[str, Any], typed: Iterable[str] = ()) -> None:
    """Check what the config, and the keys that the user has typed, alone tell."""
    significance.check_shuffle_test(
        n_shuffles=config["n_shuffles"],
        method=config["method"],
        n_workers=_n_workers(config),
        kernels=config["kernels"],
        stop_at=_stop_at(config),
    )
    check_settings_act(config, typed)
    moves_no_weight = (*significance.VALUE_PERMUTATIONS, "fresh_initialisation")
    if "reconnect_last_layer" in typed and config["method"] in moves_no_weight:
        raise InvalidInputError(
            f"reconnect_last_layer={config['reconnect_last_layer']} changes nothing while "
            f"method={config['method']}, which moves no weight to another unit of the last layer; "
            "leave it out, or take method=layer"
        )


@dataclass(frozen=True, eq=False)
class OtherNull:
    """Another null model, and the n-cuts of its shuffles."""

    method: str
    ncuts: NDArray[np.float64]


@dataclass(frozen=True)
class Inputs(NullModelInputs):
    """What a test rests on; ``against`` is another one's null model."""

    against: Input[OtherNull] | None
    unfinished: Input[Run] | None


def inputs(run: StageRun) -> Inputs:
    """Read the clustered graph, the network where it is needed, and shuffles that there are."""
    unfinished = _unfinished(run)
    config = run.config
    check_settings(config, run.typed_keys())
    clustered = run.read_run("cluster_run", "cluster")
    rule = residual_rule(clustered)
    check_clustering_fits(
        clustered.config, config, f"cluster_run={clustered.id}: run {clustered.id} has ", rule=rule
    )
    network = null_model = code = None
    if needs_network(config, rule):
        file = clustered_network(run, clustered)
        check_network_fits(file, config)
        code = model_code_of(file, clustered)
        network = Input.of_bytes(file.content, file)
    elif config["model_code"] is not None:
        raise InvalidInputError(
            f"model_code={config['model_code']!r} changes nothing while kernels="
            f"{config['kernels']} method={config['method']}, which reads no network; leave it out"
        )
    else:
        null_model = shuffled_graph(clustered, config)
    return Inputs(
        cluster_run=Input(clustered, clustered.id),
        network=network,
        model_code=code,
        null_model=null_model,
        against=None if config["against_run"] is None else _other_null(run, clustered),
        unfinished=None if unfinished is None else Input(unfinished, unfinished.id),
    )


def summary(run: StageRun[Inputs], result: Mapping[str, Any]) -> None:
    """Print the network's n-cut beside those of its shuffles."""
    what, clustered = _what(run), run.inputs.cluster_run.value
    print(
        f"\nn-cut {result['ncut']:.4f}, {what} {result['shuffled_mean']:.4f} "
        f"(std {result['shuffled_std']:.4f}): {in_words(result)} of {result['n_shuffles']} {what}"
        + (
            f", stopped early of {run.config['n_shuffles']}: {run.config['stop_early']['stop_at']} "
            "reached the network's n-cut"
            if result["stopped_early"]
            else ""
        )
    )
    smallest = 1 / (run.config["n_shuffles"] + 1)
    if smallest > significance.SIGNIFICANT:
        print(
            f"no p-value can be below {smallest:.2g}, whatever the network; choose "
            "n_shuffles=19 or more"
        )
    for line in fragility_in_words(result, clustered.id):
        print(line)
    if "cohens_d" in result:
        print(f"Cohen's d {_shown(result['cohens_d'])} = {result['cohens_d_of']}")
    if clustered.config["partition"]["method"] in ("leiden", "louvain"):
        print("each has its own number of clusters, and more clusters have a larger n-cut")
    if is_fresh(run.config) and clustered.info.get("phase") == "pruned":
        print("the network is pruned, the fresh ones are not: sparsity alone can make a difference")


def in_words(result: Mapping[str, Any]) -> str:
    """Return z and p of a result."""
    return f"z = {_shown(result['z_score'])}, p = {result['p_value']:.3g}"


def fragility_in_words(result: Mapping[str, Any], cluster_run: RunId) -> Iterator[str]:
    """Yield what a result says of the network clustered with other seeds, or by another start."""
    yield _over_seeds_in_words(result, cluster_run)
    lowest = result["of_lowest_starts"]
    if lowest is not None:
        yield (
            "had the k-means start of the lowest n-cut been kept, here and in the shuffles: n-cut "
            f"{lowest['ncut']:.4f}, {in_words(lowest)}"
            + (
                ": FRAGILE, it rests on the start that is kept (kmeans.select) whether the network "
                f"is {_alternatives(result['verdict'], lowest['verdict'])}"
                if lowest["rests_on_start"]
                else ""
            )
        )


def _over_seeds_in_words(result: Mapping[str, Any], cluster_run: RunId) -> str:
    found = result["over_seeds"]
    if found is None:
        return (
            "whether that rests on the clustering's seed cannot be told: cluster run "
            f"{cluster_run} has no clusterings with other seeds; stability.n_seeds=5 makes five"
        )
    return (
        f"{found['n_seeds']} other clustering seeds: z = {_z_in_words(found)}, "
        f"p = {found['p_smallest']:.3g} to {found['p_largest']:.3g}: "
        f"{_over_seeds_verdict(result['verdict'], found)}"
    )


def _over_seeds_verdict(own: str, found: Mapping[str, Any]) -> str:
    if found["rests_on_seed"]:
        return (
            "FRAGILE, it rests on the seed whether the network is "
            f"{_alternatives(own, *found['verdicts'])}"
        )
    if "undecided" in (own, *found["verdicts"]):
        return "19 shuffles or more, not stopped early, tell whether the verdict rests on the seed"
    return f"{_IN_WORDS[own]} with every seed"


def _alternatives(*verdicts: str) -> str:
    return " or ".join(words for one, words in _IN_WORDS.items() if one in verdicts)


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.2f}"


def _z_in_words(found: Mapping[str, Any]) -> str:
    smallest, largest = found["z_smallest"], found["z_largest"]
    # both are undefined where all shuffles have one n-cut
    return "undefined" if smallest is None else f"{smallest:.2f} to {largest:.2f}"


@experiment.stage(
    check=lambda run: check_settings(run.config, run.typed_keys()),
    inputs=inputs,
    prepare=build_null_model,
    summary=summary,
)
def shuffle_test(run: StageRun[Inputs]) -> dict[str, Any]:
    """Cluster shuffled networks; the result holds n-cut, null mean and std, z, p, over seeds."""
    from joblib import delayed

    config = run.config
    clustered = run.inputs.cluster_run.value
    n_workers = _n_workers(config)
    known = _known_shuffles(run, METRIC)
    if run.inputs.unfinished is not None:
        print(
            f"going on with run {run.inputs.unfinished.value.id} after {len(known)} of "
            f"{config['n_shuffles']} shuffles"
        )
    with run.uncaptured():
        list(significance.worker_pool(n_workers)(delayed(abs)(index) for index in range(n_workers)))
    with run.progress(config["n_shuffles"], "shuffles") as bar:

        def log(index: int, value: float, lowest: float) -> None:
            # first, so that a test that is interrupted has no shuffle without it
            if not np.isnan(lowest):
                run.log(LOWEST, lowest, index)
            run.log(METRIC, value, index)
            bar.update()

        test = significance.shuffle_test(
            run.prepared,
            clustering_with_starts(clustering_config(clustered)),
            clustered.result["ncut"],
            n_shuffles=config["n_shuffles"],
            seed=run.seed,
            n_workers=n_workers,
            count_ties=config["count_ties"],
            stop_at=_stop_at(config),
            volume_constant=volume_constant(clustered.config),
            known=known,
            known_lowest=_known_shuffles(run, LOWEST),
            on_shuffle=log,
        )
    test = replace(test, population_std=config["population_std"])
    result = {
        **_figures(test),
        "over_seeds": _over_seeds(test, clustered),
        "of_lowest_starts": _of_lowest_starts(test, clustered),
        **_two_null_models(run, test),
    }
    run.add_figure("null_distribution", _figure(run, test, result))
    return result


def _figures(test: ShuffleTest) -> dict[str, Any]:
    return {
        "ncut": test.ncut,
        "shuffled_mean": test.mean,
        "shuffled_std": test.std,
        "z_score": none_if_nan(test.z_score),
        "p_value": test.p_value,
        "verdict": test.verdict,
        "n_shuffles": test.n_shuffles,
        "stopped_early": test.stopped_early,
    }


def _two_null_models(run: StageRun[Inputs], test: ShuffleTest) -> dict[str, Any]:
    """Return Cohen's d of this test's shuffles and another one's, and which minus which it is."""
    if run.inputs.against is None:
        return {}
    other = run.inputs.against.value
    return {
        "cohens_d": none_if_nan(significance.cohens_d(test.shuffled_ncuts, other.ncuts)),
        "cohens_d_of": (
            f"(mean of {run.config['method']}, this run - mean of {other.method}, run "
            f"{_against(run)}) / pooled std"
        ),
    }


def _over_seeds(test: ShuffleTest, clustered: Run) -> dict[str, Any] | None:
    """Return what other clustering seeds make of a test; None where the run has tried none."""
    ncuts = _ncuts_of_other_seeds(clustered)
    if ncuts is None:
        return None
    found = significance.other_seeds(test, ncuts).summary()
    return {**found, "n_seeds": clustered.result["stability"]["n_seeds"]}


def _of_lowest_starts(test: ShuffleTest, clustered: Run) -> dict[str, Any] | None:
    """Return the test by the lowest of all k-means starts; None where that one is always kept."""
    starts = clustered.result.get("starts")  # a run of an earlier version can have none
    if starts is None:
        return None
    found = test.of_lowest_starts(starts["ncut_min"])
    if found is None:
        return None
    return {
        "ncut": found.ncut,
        "shuffled_mean": found.mean,
        "z_score": none_if_nan(found.z_score),
        "p_value": found.p_value,
        "verdict": found.verdict,
        "rests_on_start": not test.stopped_early and found.verdict != test.verdict,
    }


def _figure(run: StageRun[Inputs], test: ShuffleTest, result: Mapping[str, Any]) -> Figure:
    clustered, other = run.inputs.cluster_run.value, run.inputs.against
    lowest, name = result["of_lowest_starts"], _null_name(run.config)
    return reports.figure_of_null_distribution(
        test,
        title_on(run, clustered),
        name=name,
        against=None if other is None else (_other_name(name, other.value), other.value.ncuts),
        of_other_seeds=_ncuts_of_other_seeds(clustered),
        cohens_d=result.get("cohens_d"),
        lowest_starts_p=lowest["p_value"] if lowest and lowest["rests_on_start"] else None,
    )


def _null_name(config: Mapping[str, Any]) -> str:
    """Return what a figure calls the null distribution that a config asks for."""
    if is_fresh(config):
        return "fresh networks"
    return f"shuffles ({config['method'].replace('_', ' ')})"


def _other_name(own: str, other: OtherNull) -> str:
    name = _null_name({"method": other.method})
    return name if name != own else f"{name}, again"


def _ncuts_of_other_seeds(clustered: Run) -> NDArray[np.float64] | None:
    """Return the n-cuts of a clustering run's stability, in order; None if it has none.

    A run of an earlier version has kept the smallest and the largest alone, of which the extremes
    of p and z are.
    """
    stability = clustered.result.get("stability")
    if stability is None:
        return None
    extremes = [stability["ncut_min"], stability["ncut_max"]]
    return np.array(stability.get("ncuts", extremes), float)


def _what(run: StageRun) -> str:
    return "fresh networks" if is_fresh(run.config) else "shuffles"


def _other_null(run: StageRun, clustered: Run) -> Input[OtherNull]:
    """Return the n-cuts of another test of the same clustering."""
    other = run.read_run("against_run", "shuffle_test")
    if other.config["cluster_run"] != clustered.id:
        raise InvalidInputError(
            f"against_run={other.id}: run {other.id} tests cluster run "
            f"{other.config['cluster_run']}; expected another null model of run {clustered.id}"
        )
    ncuts = np.array(list(_stored_shuffles(other).values()))
    return Input(OtherNull(other.config["method"], ncuts), other.id)


def _unfinished(run: StageRun) -> Run | None:
    """Return the test to go on with, after its config became this run's."""
    if run.config["resume"] is None:
        return None
    stored = run.unfinished_run("resume", "shuffle_test")
    run.adopt_config(stored, keep=("n_workers",))
    return stored


def _known_shuffles(run: StageRun[Inputs], metric: str) -> dict[int, float]:
    unfinished = run.inputs.unfinished
    return {} if unfinished is None else _stored_shuffles(unfinished.value, metric)


def _stored_shuffles(stored: Run, metric: str = METRIC) -> dict[int, float]:
    """Return the n-cuts of a run's shuffles, by index; none where it was cut short before any."""
    try:
        points = stored.metric(metric)
    except RunNotFoundError:
        return {}
    return dict(zip(points["step"].tolist(), points["value"].tolist(), strict=True))


def _against(run: StageRun) -> str:
    return str(run.config["against_run"])


def _stop_at(config: Mapping[str, Any]) -> int | None:
    return config["stop_early"]["stop_at"] if config["stop_early"]["enabled"] else None


def _n_workers(config: Mapping[str, Any]) -> int:
    return config["n_workers"] if config["n_workers"] is not None else os.cpu_count() or 1


if __name__ == "__main__":
    experiment.run_commandline()
