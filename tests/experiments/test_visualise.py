"""Inputs as a user has them optimised: what a run holds, its numbers by other ways, resuming."""

import io

import keras
import numpy as np
import pandas
import pytest

from experiments import _visualise_steps
from experiments._network_samples import RawSamples
from nn_clustering import datasets
from nn_clustering.networks import network_from_bytes
from nn_clustering.partitions import Partition, random_units
from tests.experiments.conftest import identity_of
from tests.experiments.in_process import refusal

N_RANDOM = 4  # of `fast`


def finished_run(run_experiment, store, stage, *arguments):
    finished = run_experiment(stage, "with", *arguments)
    assert finished.returncode == 0, finished.stderr
    assert "Warning" not in finished.stderr
    return store.run(finished.run_id, experiment=stage), finished.stdout


def table_of(run, name):
    """A table as Parquet has it, which its CSV file has too."""
    parquet = pandas.read_parquet(io.BytesIO(run.artifact(f"{name}.parquet")))
    table = pandas.read_csv(io.BytesIO(run.artifact(f"{name}.csv")), dtype={"class_name": str})
    pandas.testing.assert_frame_equal(table, parquet, check_dtype=False, rtol=1e-12)
    return parquet


def inputs_of(run):
    with np.load(io.BytesIO(run.artifact("inputs.npz")), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    arrays["units"] = np.split(arrays["units"], np.cumsum(arrays.pop("n_units"))[:-1])
    return arrays


@pytest.fixture(scope="module")
def network(runs):
    return network_from_bytes(runs["train"].artifact("pruned.keras"), "pruned")


@pytest.fixture(scope="module")
def activations(network):
    """What the units of a layer answer to images, each by a model that ends there."""

    def of(layer, images):
        ended = keras.Model(network.inputs, network.get_layer(layer).output)
        return ended.predict(images, verbose=0).astype(np.float64)

    return of


def test_inputs_are_kept_with_the_units_that_they_are_for(runs):
    kept = inputs_of(runs["visualise"])
    table = table_of(runs["visualise"], "sub_clusters")
    assert kept["draw"].tolist() == [0, 1] * len(table)
    assert kept["layer"][::2].tolist() == table["layer"].tolist()
    assert kept["label"][::2].tolist() == table["label"].tolist()
    assert kept["inputs"].shape == (2 * len(table), 8, 8, 1)
    assert kept["inputs"].dtype == np.float32
    assert (kept["inputs"] >= 0).all()
    assert (kept["inputs"] <= 1).all()
    partition = Partition.from_npz(runs["cluster"].artifact("partition.npz"))
    labels = {layer.name: of_layer for layer, of_layer in partition.by_layer()}
    places = zip(kept["layer"], kept["label"], kept["draw"], kept["units"], strict=True)
    subs = {(sub.layer, sub.label): sub for sub in partition.sub_clusters()}
    for layer, label, draw, units in places:
        sub = subs[layer, label]
        expected = sub.units if draw == 0 else random_units(
            labels[layer], sub, shuffle=0, seed=3, draws="joint"
        )  # fmt: skip
        assert units.tolist() == expected.tolist()


def test_numbers_are_what_the_network_answers_to_the_inputs(runs, network, activations):
    """Computed from what is stored alone, by Keras and NumPy."""
    kept = inputs_of(runs["visualise"])
    scores = table_of(runs["visualise"], "scores").set_index(["layer", "label", "draw"])
    outputs = network.predict(kept["inputs"], verbose=0).astype(np.float64)
    entropies = -(outputs * np.log(np.maximum(outputs, 1e-300))).sum(axis=1)
    for index, units in enumerate(kept["units"]):
        place = tuple(kept[name][index] for name in ("layer", "label", "draw"))
        answers = activations(place[0], kept["inputs"][index : index + 1])[0, units]
        found = scores.loc[place]
        assert found["score"] == pytest.approx(answers.sum(), rel=1e-4, abs=1e-5)
        assert found["dispersion"] == pytest.approx(answers.std(), rel=1e-4, abs=1e-5)
        assert found["entropy"] == pytest.approx(entropies[index], rel=1e-3, abs=1e-4)


def test_p_values_and_effects_are_of_the_scores(runs):
    run = runs["visualise"]
    table, scores = table_of(run, "sub_clusters"), table_of(run, "scores")
    by_draw = scores.set_index(["layer", "label", "draw"])
    for name, sign in (("score", 1), ("entropy", -1), ("dispersion", -1)):
        values = by_draw[name].unstack("draw", sort=False).to_numpy()
        assert values.shape == (len(table), 1 + N_RANDOM)
        assert values[:, 0].tolist() == table[name].tolist()
        true, random = values[:, :1], values[:, 1:]
        p = (1 + (sign * random >= sign * true).sum(axis=1)) / (1 + N_RANDOM)
        assert table[f"{name}_p"].tolist() == p.tolist()
        np.testing.assert_allclose(table[f"random_{name}"], random.mean(axis=1))
        with np.errstate(invalid="ignore"):  # a single unit has no dispersion, 0 of 0
            each = (2 * true / (true + random)).mean(axis=1)
        np.testing.assert_allclose(table[f"{name}_effect_each"], each, rtol=1e-9)
        for logged in (name, f"{name}_p"):
            assert run.metric(logged)["value"].tolist() == table[logged].tolist()
        of_draws = table_of(run, "random_effects")[f"{name}_effect"]
        assert len(of_draws) == N_RANDOM
        assert run.result[name]["effect_null"] == pytest.approx(of_draws.mean())
        assert run.result[name]["n_null"] == N_RANDOM
        assert run.result[name]["joint_p"] >= run.result[name]["joint_p_smallest"]


def test_top_samples_move_the_sub_clusters_most(runs, activations):
    run, dataset = runs["visualise"], datasets.load_dataset("digits")
    tops = table_of(run, "top_samples")
    kept = inputs_of(run)
    rows = {(layer, label): rows for (layer, label), rows in tops.groupby(["layer", "label"])}
    for index in range(0, len(kept["units"]), 2):
        layer, units = kept["layer"][index], kept["units"][index]
        found = rows[layer, kept["label"][index]]
        objectives = activations(layer, dataset.x_test)[:, units].sum(axis=1)
        assert found["rank"].tolist() == list(range(1, 10))
        np.testing.assert_allclose(
            found["objective"], np.sort(objectives)[::-1][:9], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            objectives[found["sample"]], found["objective"], rtol=1e-4, atol=1e-5
        )
        assert found["class"].tolist() == dataset.y_test[found["sample"]].tolist()
        assert found["class_name"].astype(int).tolist() == found["class"].tolist()
    table = table_of(run, "sub_clusters")
    for name in ("top_share", "score_quantile", "profile_correlation"):
        assert run.result[name] == pytest.approx(table[name].median())


def test_pictures_are_stored(runs):
    run, table = runs["visualise"], table_of(runs["visualise"], "sub_clusters")
    layers = dict.fromkeys(table["layer"])
    figures = ["score_nulls", *(f"contact_sheet_{layer}" for layer in layers)]
    for name in figures:
        assert run.artifact(f"{name}.png").startswith(b"\x89PNG")
        assert run.artifact(f"{name}.pdf").startswith(b"%PDF")
    inputs = {f"input_{layer}_{label}.png" for layer, label in table[["layer", "label"]].values}
    assert inputs == {name for name in run.artifacts if name.startswith("input_")}


def test_killed_run_goes_on_to_the_same_end(run_experiment, runs, store, killed_run, here):
    """The same bits, from the batches that were kept."""
    arguments = [
        f"cluster_run={runs['cluster'].id}", "fast", "n_shuffles=9", "memory_mb=0.25", "seed=9",
    ]  # fmt: skip
    whole, _ = finished_run(run_experiment, store, "visualise", *arguments)
    killed = killed_run("visualise", *arguments, "reuse=False", after=("artifact", "optimised", 1))
    options = [f"resume={killed.id}", "reuse=False"]
    resumed, printed = finished_run(run_experiment, store, "visualise", *options)
    assert f"going on with run {killed.id} after 1 of " in printed
    assert "1 of 1 " not in printed
    assert resumed.result == whole.result
    assert identity_of(store, resumed) == identity_of(store, whole)
    for name in ("sub_clusters.csv", "scores.csv", "top_samples.csv", "inputs.npz"):
        assert resumed.artifact(name) == whole.artifact(name)
    refused = refusal("visualise", f"resume={killed.id}", "memory_mb=0.5")
    assert "memory_mb is 0.25; leave out memory_mb=0.5" in refused


def test_summary_says_what_was_found(run_experiment, store, runs):
    run, printed = finished_run(
        run_experiment, store, "visualise", "fast", f"cluster_run={runs['cluster'].id}", "seed=3"
    )
    assert run.id == runs["visualise"].id
    result = run.result
    for text in (
        f"{result['n_subclusters']} sub-clusters visualised",
        f"score: joint p = {result['score']['joint_p']:.2g}",
        f"place of the partition have {result['entropy']['effect_null']:.3f} (",
        "dispersion: joint p",
        "classes of top samples: joint p",
        "the 9 test samples that move a sub-cluster most move it",
        "p-value can be below 0.2,",
        "make up",
    ):
        assert text in printed


def test_bounds_of_tables_are_those_of_their_columns(monkeypatch):
    """Read some at a time; pixels have 0 and 1."""
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    monkeypatch.setattr(_visualise_steps, "_BLOCK_BYTES", 7 * 4 * 3)
    read = []

    class Streamed:
        shape, dtype = x.shape, x.dtype

        def __len__(self):
            return len(x)

        def __getitem__(self, rows):
            read.append(x[rows])
            return x[rows]

    found = _visualise_steps.bounds_of(RawSamples(Streamed(), None), None)
    np.testing.assert_array_equal(found.low, x.min(axis=0))
    np.testing.assert_array_equal(found.high, x.max(axis=0))
    assert max(map(len, read)) == 7
    maps = x[:48].reshape(4, 3, 4, 3)
    of_maps = _visualise_steps.bounds_of(RawSamples(maps, None), None)
    np.testing.assert_array_equal(of_maps.low, maps.min(axis=(0, 1, 2)))
    pixels = _visualise_steps.bounds_of(RawSamples(maps, 255), None)
    assert (pixels.low, pixels.high) == (0, 1)


def test_names_of_layers_in_names_of_files():
    layers = ["dense", "block/conv", "block_conv", "dense", "a b"]
    assert _visualise_steps.file_names(layers) == {
        "dense": "dense", "block/conv": "block_conv", "block_conv": "block_conv_", "a b": "a_b",
    }  # fmt: skip
