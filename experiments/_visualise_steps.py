"""The inputs that the stage ``visualise`` optimises, with what it logs and keeps of them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from experiments._forecast import Forecast, ForecastBar
from experiments._kept_arrays import KeptArrays
from experiments._network_samples import RawSamples, preprocessed
from experiments._networks import residual_rule
from experiments._result_tables import add_long_table, add_table
from experiments._sub_cluster_tests import named
from experiments._titles import title_on
from nn_clustering import networks, partitions, reports, visualisation
from nn_clustering.errors import InvalidInputError

if TYPE_CHECKING:
    import pandas

    from experiments._networks import NetworkFile
    from experiments._sub_cluster_tests import Inputs
    from nn_clustering.datasets import Dataset, Samples
    from nn_clustering.networks import ChannelMap
    from nn_clustering.partitions import Partition
    from nn_clustering.tracking import StageRun
    from nn_clustering.visualisation import (
        Bounds,
        InputOptimiser,
        Optimised,
        TopSamples,
        VisualisationTest,
    )

# What the values of samples that are read at a time take, in bytes.
_BLOCK_BYTES = 2**26


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an input is optimised for, what it is made of and how.

    Raises:
        InvalidInputError: If a word is unknown, or a number out of its range.
    """
    with named("objective"):
        objective = visualisation.Objective(**config["objective"])
    with named("image"):
        parametrisation = visualisation.Parametrisation(**config["image"])
    with named("transformations"):
        transformations = visualisation.Transformations(**config["transformations"])
    with named("ascent"):
        ascent = visualisation.Ascent(**config["ascent"])
    return {
        "objective": objective,
        "parametrisation": parametrisation,
        "transformations": transformations,
        "ascent": ascent,
    }


def make_optimiser(config: Mapping[str, Any], given: Inputs) -> InputOptimiser:
    """Return what optimises inputs for the network.

    Raises:
        InvalidInputError: If what is asked for cannot be had of this network on these samples.
    """
    dataset, file = given.dataset.value, given.network.value
    raw = RawSamples.of_tests(dataset)
    raw.for_network(file)[:1]  # samples that do not fit are refused
    return visualisation.InputOptimiser(
        file.network,
        dataset.input_shape,
        bounds=bounds_of(raw, file.preprocessing),
        channel_map=channel_map_of(raw, file),
        **settings_of(config),
        entropy=config["entropy"],
        output=config["output"],
        residual=residual_rule(given.cluster_run.value),
        task=dataset.task,
        memory_mb=config["memory_mb"],
    )


def channel_map_of(raw: RawSamples, file: NetworkFile) -> ChannelMap | None:
    """Return what the network reads of an image's pixels, None where inputs are no such images.

    Those are optimised as the network reads them, in values of no known scale.

    Raises:
        InvalidInputError: If it is no affine function of the channels of each pixel.
    """
    if not raw.are_images:
        return None
    return networks.channel_map(file.preprocessing, tuple(raw.x.shape[1:]))


def bounds_of(raw: RawSamples, preprocessing: str | None) -> Bounds:
    """Return between what an input stays: 0 and 1 for pixels, else what there is in the samples.

    Of vectors every feature has ends of its own, of maps every channel. The samples are read once,
    some at a time.

    Args:
        raw: The test samples.
        preprocessing: What is done to them before the network reads them.
    """
    if raw.are_images:
        return visualisation.Bounds(0.0, 1.0)
    samples = preprocessed(raw, preprocessing)
    ends = [
        (values.min(axis=axes), values.max(axis=axes))
        for values in _blocks(samples)
        for axes in [tuple(range(values.ndim - 1))]
    ]
    low, high = (np.array(side, np.float32) for side in zip(*ends, strict=True))
    least, largest = low.min(axis=0), high.max(axis=0)
    # what never varies stays as it is, but for the last digit
    return visualisation.Bounds(least, np.maximum(largest, np.nextafter(least, np.float32(np.inf))))


def _blocks(samples: Samples) -> Iterator[NDArray[Any]]:
    n_rows = max(1, _BLOCK_BYTES // max(1, 4 * int(np.prod(samples.shape[1:]))))
    for start in range(0, len(samples), n_rows):
        yield samples[start : start + n_rows]


def note_batches(run: StageRun[Inputs], sizes: Mapping[str, int]) -> None:
    """Record how many inputs are optimised at a time: what is gone on with has as many.

    Args:
        run: The run.
        sizes: By layer; of one network and config they hang on the memory there is.

    Raises:
        InvalidInputError: If the run that this one goes on with had others.
    """
    unfinished = run.inputs.unfinished
    before = dict(sizes) if unfinished is None else unfinished.value.info.get("batches", sizes)
    if before != dict(sizes):
        layer = next(layer for layer, size in sizes.items() if before.get(layer) != size)
        raise InvalidInputError(
            f"resume={run.config['resume']}: that run optimised {before.get(layer)} inputs of "
            f"layer {layer} at a time, and by the memory there is here it would be "
            f"{sizes[layer]}: go on where it ran, or start a new run without resume"
        )
    run.sacred_run.info["batches"] = dict(sizes)


def optimised_inputs(
    run: StageRun[Inputs], optimiser: InputOptimiser, layers: Sequence[str]
) -> VisualisationTest:
    """Optimise inputs for all sub-clusters and random ones; batches that are done are kept."""
    config, partition = run.config, run.inputs.partition.value
    sizes = partitions.SizeFilter(**config["sizes"])
    n_shuffles = config["n_shuffles"]
    n_batches = visualisation.n_batches(
        optimiser, partition, layers, n_shuffles=n_shuffles, sizes=sizes
    )
    n_sub_clusters = len(partitions.select_sub_clusters(partition, layers, sizes)[0])
    n_inputs, n_steps = n_sub_clusters * (1 + n_shuffles), config["ascent"]["n_steps"]
    forecast = Forecast(n_inputs * n_steps, f"{n_inputs:,} inputs", n_shuffles)
    with KeptArrays(run, "optimised", n_batches) as kept:
        kept.tell("batches of inputs")
        known = {index: _unpacked(arrays) for index, arrays in kept.known.items()}
        with run.progress(n_inputs * n_steps, "steps of inputs") as shown:
            bar = ForecastBar(shown, forecast)
            bar.skip(n_steps * sum(len(batch.scores) for batch in known.values()))
            return visualisation.visualisation_test(
                optimiser,
                partition,
                layers,
                n_shuffles=n_shuffles,
                seed=run.seed,
                sizes=sizes,
                draws=config["draws"],
                count_ties=config["count_ties"],
                n_kept=config["random_inputs"],
                known=known,
                on_batch=lambda index, batch: (
                    None if index in known else kept.add(index, _packed(batch))
                ),
                on_progress=bar.update,
            )


def _packed(batch: Optimised) -> dict[str, NDArray[Any]]:
    arrays = {
        "scores": batch.scores,
        "entropies": batch.entropies,
        "dispersions": batch.dispersions,
        "inputs": batch.inputs,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def _unpacked(arrays: Mapping[str, NDArray[Any]]) -> Optimised:
    return visualisation.Optimised(
        scores=arrays["scores"],
        entropies=arrays.get("entropies"),
        dispersions=arrays["dispersions"],
        inputs=arrays["inputs"],
    )


def find_top_samples(
    run: StageRun[Inputs], optimiser: InputOptimiser, test: VisualisationTest
) -> TopSamples | None:
    """Find the test samples that move the sub-clusters most; None where none are asked for."""
    if not run.config["top_samples"]:
        return None
    given = run.inputs
    dataset, has_classes = given.dataset.value, given.dataset.value.task == "classification"
    with run.progress(len(dataset.x_test), "test samples") as bar:
        return visualisation.top_samples(
            optimiser,
            test,
            given.partition.value,
            RawSamples.of_tests(dataset).for_network(given.network.value),
            dataset.y_test if has_classes else None,
            n_classes=dataset.n_outputs if has_classes else None,
            n_top=run.config["top_samples"],
            seed=run.seed,
            on_progress=bar.update,
        )


def log_measures(run: StageRun, test: VisualisationTest) -> None:
    """Log what each sub-cluster's input gave, and how it stands to random ones."""
    for name, values, measure in (
        ("score", test.scores, test.score),
        ("entropy", test.entropies, test.entropy),
        ("dispersion", test.dispersions, test.dispersion),
    ):
        if values is None or measure is None:
            continue
        for index, (value, p) in enumerate(
            zip(values[:, 0].tolist(), measure.p_values.tolist(), strict=True)
        ):
            run.log(name, value, index)
            run.log(f"{name}_p", p, index)


def add_files(run: StageRun[Inputs], test: VisualisationTest, tops: TopSamples | None) -> None:
    """Store tables, arrays, single inputs and figures with the run."""
    add_table(run, "sub_clusters", test.table(tops))
    add_table(run, "random_effects", test.random_effects(tops))
    add_long_table(run, "scores", [scores_table(test)], test.scores.size)
    run.add_artifact("inputs.npz", inputs_file(test, run.inputs.partition.value, run.seed))
    if tops is not None:
        add_table(run, "top_samples", _with_class_names(tops, run.inputs.dataset.value))
    title = title_on(run, run.inputs.cluster_run.value)
    names = file_names(sub.layer for sub in test.sub_clusters)
    samples = None if tops is None else run.inputs.dataset.value
    for layer, figure in reports.contact_sheets(test, tops, samples, title).items():
        run.add_figure(f"contact_sheet_{names[layer]}", figure)
    run.add_figure("score_nulls", reports.figure_of_visualisation_nulls(test, title))
    for sub, inputs in zip(test.sub_clusters, test.inputs, strict=True):
        name = f"input_{names[sub.layer]}_{sub.label}.png"
        run.add_artifact(name, reports.input_png(inputs[0]))


def scores_table(test: VisualisationTest) -> pandas.DataFrame:
    """Return one row for each sub-cluster and each of its random ones (draw 0 is itself)."""
    import pandas

    n_sub_clusters, n_columns = test.scores.shape
    places = {name: np.repeat(column, n_columns) for name, column in test.places().items()}
    measured = {
        "score": test.scores,
        "entropy": test.entropies,
        "dispersion": test.dispersions,
    }
    return pandas.DataFrame(
        {
            **places,
            "draw": np.tile(np.arange(n_columns), n_sub_clusters),
            **{name: values.ravel() for name, values in measured.items() if values is not None},
        }
    )


def inputs_file(test: VisualisationTest, partition: Partition, seed: int) -> bytes:
    """Return a NumPy file of the inputs that are kept, with the units that each is for.

    Its arrays have a row for each input: ``inputs``, ``layer``, ``label``, ``draw`` (0 of the
    sub-cluster itself, from 1 on of random ones) and ``n_units``. The units of all of them stand
    one behind the other in ``units``.
    """
    labels = {layer.name: of_layer for layer, of_layer in partition.by_layer()}
    units = [
        some
        for sub in test.sub_clusters
        for some in partitions.units_beside_random(
            labels[sub.layer], sub, n_shuffles=test.n_kept, seed=seed, draws=test.draws
        )
    ]
    n_kept = 1 + test.n_kept
    content = io.BytesIO()
    np.savez_compressed(
        content,
        inputs=test.inputs.reshape(-1, *test.inputs.shape[2:]),
        layer=np.repeat([sub.layer for sub in test.sub_clusters], n_kept),
        label=np.repeat([sub.label for sub in test.sub_clusters], n_kept),
        draw=np.tile(np.arange(n_kept), len(test.sub_clusters)),
        n_units=np.array([len(some) for some in units]),
        units=np.concatenate(units),
    )
    return content.getvalue()


def file_names(layers: Iterable[str]) -> dict[str, str]:
    """Return what stands for each layer in names of files, where not all letters may stand."""
    found: dict[str, str] = {}
    for layer in dict.fromkeys(layers):
        name = re.sub(r"[^\w.-]", "_", layer)
        while name in found.values():
            name += "_"
        found[layer] = name
    return found


def _with_class_names(tops: TopSamples, dataset: Dataset) -> pandas.DataFrame:
    table = tops.table()
    if tops.classes is not None:
        table["class_name"] = [dataset.class_names[index] for index in tops.classes.ravel()]
    return table


def result_of(test: VisualisationTest, tops: TopSamples | None, seed: int) -> dict[str, Any]:
    """Return what all sub-clusters say together; None of what is not measured."""
    return {
        "n_subclusters": len(test.sub_clusters),
        "n_left_out": test.n_left_out,
        "n_few_draws": test.n_few_draws,
        **test.summaries(seed=seed),
        "top_entropy": None if tops is None or tops.entropy is None else tops.entropy.summary(seed),
        **({} if tops is None else tops.agreement()),
    }


def tops_in_words(result: Mapping[str, Any], n_top: int) -> Iterator[str]:
    """Return how far optimised inputs and the test samples that move sub-clusters most agree."""
    if result.get("top_share") is not None:
        yield (
            f"the {n_top} test samples that move a sub-cluster most move it "
            f"{result['top_share']:.1%} as far as its input does (median)"
        )
    if result.get("profile_correlation") is not None:
        yield (
            "its layer answers the input and these samples with a correlation of "
            f"{result['profile_correlation']:.2f}"
        )
