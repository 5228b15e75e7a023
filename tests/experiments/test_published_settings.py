"""The settings of the studies as docs/methods.md states them, whatever file sets them."""

import pytest
from sacred.utils import iterate_flattened

from experiments import cluster, lesion, random_init, shuffle_test, train


def settings(stage, *named):
    """Every key of a stage's run with these named configs, dotted, with its value."""
    return dict(iterate_flattened(stage.experiment.full_config(named)))


def test_pruning_and_penalties_of_the_studies():
    """Methods A9, A11."""
    given = settings(train, "pruned", "l1", "l2")
    assert given["pruning.initial_sparsity"] == 0.5
    assert given["pruning.final_sparsity"] == 0.9
    assert given["pruning.every_n_steps"] == 10
    assert (given["penalty.l1_rate"], given["penalty.l2_rate"]) == (5e-5, 5e-5)
    assert settings(train, "vgg", "l2")["penalty.l2_rate"] == 5e-4
    assert given["training.learning_rate"] == 0.001  # Keras' own of Adam
    assert given["training.shuffle"]


@pytest.mark.parametrize(
    ("network", "epochs", "batch_size", "pruning_epochs"),
    [
        ("mlp", 20, 128, 20),
        ("regression_mlp", 20, 128, 20),
        ("small_mlp", 10, 128, 10),
        ("cnn", 10, 64, 10),
        ("vgg", 200, 128, 50),
    ],
)
def test_epochs_and_batches_of_the_studies(network, epochs, batch_size, pruning_epochs):
    """Methods A7."""
    given = settings(train, network)
    assert given["training.epochs"] == epochs
    assert given["training.batch_size"] == batch_size
    assert given["pruning.epochs"] == pruning_epochs


def test_augmentation_and_modular_initialisation_of_the_studies():
    """Methods A12, A15."""
    given = settings(train, "augmented", "modular_init")
    assert given["augmentation.rotation"] == 15
    assert given["augmentation.shift"] == 0.1
    assert given["augmentation.flip"]
    assert given["modular_init.n_modules"] == 10
    assert not given["modular_init.all_layers"]


@pytest.mark.parametrize("stage", [cluster, random_init])
def test_clustering_of_the_studies(stage):
    """Methods C4, C6: largest column sums, without batch norm, 25 starts by inertia."""
    given = settings(stage, "published")
    assert given["graph.kernel_norm"] == "max_column_sum"
    assert not given["graph.fold_normalisation"]
    assert (given["kmeans.n_init"], given["kmeans.select"]) == (25, "inertia")


def test_imagenet_networks_of_the_studies():
    """Methods C4, C6, D3, F3, G1, G3, G6: copied streams, 100 starts, lesions for one reader."""
    given = settings(cluster, "published_imagenet")
    assert (given["graph.residual"], given["graph.kernel_norm"]) == ("copied", "max_column_sum")
    assert given["graph.fold_normalisation"]
    assert given["graph.dense_layers"] is None
    assert (given["n_clusters"], given["partition.volume_constant"]) == (12, 1e-8)
    assert (given["kmeans.n_init"], given["kmeans.select"]) == (100, "inertia")
    local = settings(cluster, "published_imagenet_local")
    assert (local["partition.local_clusters"], local["partition.local_ends"]) == (32, "own")
    shuffled = settings(shuffle_test, "published_imagenet")
    assert (shuffled["n_shuffles"], shuffled["method"]) == (100, "layer")
    lesioned = settings(lesion, "published_imagenet")
    assert (lesioned["silence"], lesioned["n_shuffles"]) == ("output", 24)
    assert (lesioned["sizes.min_units"], lesioned["sizes.max_share"]) == (5, 0.8)


def test_tests_of_the_studies():
    shuffled, lesioned = settings(shuffle_test, "published"), settings(lesion, "published")
    assert shuffled["method"] == "layer"
    assert shuffled["n_shuffles"] == 50
    assert not shuffled["count_ties"]
    assert lesioned["silence"] == "weights"
    assert (lesioned["draws"], lesioned["tail"]) == ("afresh", "left")
    assert not lesioned["count_ties"]
