"""Samples and activations that are larger than memory: what is read, kept, and made of it."""

import gc
import os
import tracemalloc
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import (
    UnitActivations,
    UnitMoments,
    _activations,
    _correlation_blocks,
    _tables,
    count_active_units,
    gather_activations,
    graph_from_activations,
    graph_from_gradients,
    unit_activations,
)
from tests.generated_samples import GeneratedSamples

CORRELATIONS = ("spearman", "pearson", "kendall")
NOTHING = 1e-9  # of memory, in MB


def mlp(n_inputs, *n_units):
    keras.utils.set_random_seed(0)
    hidden = [layers.Dense(n, "relu", name=f"dense_{index}") for index, n in enumerate(n_units, 1)]
    return keras.Sequential(
        [keras.Input(n_inputs), layers.Flatten(), *hidden, layers.Dense(2, name="output")]
    )


def gathered(network, x, correlation, memory_mb):
    found = gather_activations(network, x, correlation=correlation, memory_mb=memory_mb)
    return found, graph_from_activations(found, correlation=correlation, isolated_below=0)


@pytest.fixture
def in_small_pieces(monkeypatch):
    """Batches, columns, rows and units that are taken at once are few."""
    monkeypatch.setattr(_activations, "_LARGEST_BATCH", 7)
    monkeypatch.setattr(_tables, "_VALUES_OF_COLUMNS", 150)
    monkeypatch.setattr(_correlation_blocks, "_VALUES_AT_ONCE", 500)
    monkeypatch.setattr(_correlation_blocks, "_UNITS_AT_ONCE", 4)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_same_graph_from_memory_and_from_disk(correlation, in_small_pieces, monkeypatch):
    network, x = mlp((6,), 20, 11), GeneratedSamples(50, 6)
    in_memory, expected = gathered(network, x, correlation, 1)
    monkeypatch.setattr(_activations, "_bytes_of_products", lambda sizes: np.inf)
    on_disk, graph = gathered(network, x, correlation, NOTHING)
    assert isinstance(on_disk.values[0], _tables.DiskTable)
    assert on_disk.values[1][3:20, 2:9].tolist() == in_memory.values[1][3:20, 2:9].tolist()
    for one, other in zip(graph.edges, expected.edges, strict=True):
        assert np.array_equal(one.weights, other.weights)
    assert on_disk.silent(0.5).tolist() == in_memory.silent(0.5).tolist()


def test_pearson_of_moments(in_small_pieces):
    """Beside numpy, of units that are constant, far from 0, large, and ordered by the samples."""
    network = mlp((6,), 20, 11)
    kernel, bias = network.get_layer("dense_1").get_weights()
    kernel[:, 0], bias[1] = 0, 1000
    kernel[:, 2] *= 1e15
    network.get_layer("dense_1").set_weights([kernel, bias])
    x = GeneratedSamples(200, 6).in_memory
    x = x[np.argsort(x[:, 0])]
    everything = unit_activations(network, x)
    moments, graph = gathered(network, x, "pearson", 0.01)
    assert isinstance(moments, UnitMoments)
    assert moments.n_samples == 200
    for one, other in zip(moments.spreads, everything.spreads, strict=True):
        assert one == pytest.approx(other, rel=1e-6)
        assert np.array_equal(one == 0, other == 0)
    with np.errstate(invalid="ignore"):
        values = np.concatenate(everything.values, axis=1).astype(np.float64)
        expected = np.nan_to_num(np.corrcoef(values.T)) ** 2
    np.fill_diagonal(expected, 0)
    assert graph.adjacency().toarray() == pytest.approx(expected, abs=1e-6)
    assert graph.isolated[0]


def test_what_is_kept():
    """What fits, and the least of it."""
    network, x = mlp((6,), 20, 11), GeneratedSamples(200, 6)
    table, products = 8 * 200 * 31 / 2**20, 8 * (20 * 20 + 20 * 11 + 11 * 11) / 2**20

    def kinds(memory_mb):
        found = [
            gather_activations(network, x, correlation=c, memory_mb=memory_mb) for c in CORRELATIONS
        ]
        return [
            type(one.values[0]) if isinstance(one, UnitActivations) else type(one) for one in found
        ]

    disk = _tables.DiskTable
    assert kinds(table) == [np.ndarray] * 3
    assert kinds(table - 1e-6) == kinds(products) == [disk, UnitMoments, disk]
    assert kinds(products - 1e-6) == [disk] * 3


def test_ranks_need_more_than_moments():
    moments = gather_activations(
        mlp((6,), 3), GeneratedSamples(99, 6), correlation="pearson", memory_mb=0.001
    )
    with pytest.raises(InvalidInputError, match="'spearman' of moments, of which no sample is kep"):
        graph_from_activations(moments, correlation="spearman")


def open_temporary_files():
    files = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return [file for file in files if "/activations-" in file]


def test_files_have_no_name_and_go_with_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    network, x = mlp((6,), 20, 11), GeneratedSamples(50, 6)
    found = gather_activations(network, x, correlation="spearman", memory_mb=NOTHING)
    assert list(tmp_path.iterdir()) == []
    assert len(open_temporary_files()) == 2
    del found
    gc.collect()
    assert open_temporary_files() == []


@pytest.mark.parametrize(
    ("correlation", "n_samples", "message"),
    [
        ("spearman", 10**12, r"answer takes 24000.0 GB on disk, and .* left; .* set TMPDIR"),
        ("kendall", 10**12, "expected units times samples of at most"),
        ("r2", 9, "correlation='r2'"),
    ],
)
def test_refused_before_anything_is_read(correlation, n_samples, message):
    x = GeneratedSamples(n_samples, 6)
    for take in (count_active_units, gather_activations):
        with pytest.raises(InvalidInputError, match=message):
            take(mlp((6,), 3), x, correlation=correlation)
    assert x.read == []


@pytest.mark.parametrize("make", [unit_activations, graph_from_gradients])
def test_nan_in_a_later_batch(make, monkeypatch):
    monkeypatch.setattr(_activations, "_LARGEST_BATCH", 7)
    x = GeneratedSamples(20, 6).in_memory
    x[15, 3] = np.nan
    done = []
    with pytest.raises(InvalidInputError, match="the samples hold NaN or infinite values"):
        make(mlp((6,), 3), x, on_progress=done.append)
    assert done == [7, 7]


@pytest.mark.parametrize("n_at_once", [7, 512])
@pytest.mark.parametrize("make", [unit_activations, graph_from_gradients])
def test_samples_are_read_once_in_batches(make, n_at_once, monkeypatch):
    monkeypatch.setattr(_activations, "_LARGEST_BATCH", n_at_once)
    network, x = mlp((6,), 9), GeneratedSamples(600, 6, at_once=n_at_once)
    found = make(network, x)
    assert np.concatenate(x.read).tolist() == list(range(600))
    expected = make(network, x.in_memory)
    if make is unit_activations:
        assert np.array_equal(found.values[0], expected.values[0])
    else:
        assert np.array_equal(found.edges[0].weights, expected.edges[0].weights)


def test_bytes_are_samples_too():
    """Of which a data set may be, before anything is made of them."""
    x = np.random.default_rng(0).integers(0, 256, (9, 6)).astype(np.uint8)
    network = mlp((6,), 5)
    (found,) = unit_activations(network, x).values
    assert np.array_equal(found, unit_activations(network, x.astype(np.float32)).values[0])


def peak_of_process():
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
@pytest.mark.parametrize("source", ["spearman", "pearson", "gradients"])
def test_images_larger_than_the_memory_that_is_taken(source):
    """Half a gigabyte of images."""

    def run(x):
        if source == "gradients":
            graph_from_gradients(network, x)
        else:
            gathered(network, x, source, 1)

    network = mlp((128, 128, 1), 2, 3)
    run(GeneratedSamples(600, 128, 128, 1))  # libraries and threads take memory once
    x = GeneratedSamples(8000, 128, 128, 1)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak from now on
    before = peak_of_process()
    run(x)
    assert sum(map(len, x.read)) * 128 * 128 * 4 > 0.5e9
    assert peak_of_process() - before < 0.2e9


def test_activations_larger_than_the_memory_that_is_taken(monkeypatch):
    """Of 32 MB, with their ranks; arrays of numpy are counted one by one."""
    monkeypatch.setattr(_correlation_blocks, "_VALUES_AT_ONCE", 2**18)
    monkeypatch.setattr(_tables, "_VALUES_OF_COLUMNS", 2**15)
    network, x = mlp((4,), 400), GeneratedSamples(10_000, 4)
    tracemalloc.start()
    try:
        gathered(network, x, "spearman", 8)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert taken < 8e6
