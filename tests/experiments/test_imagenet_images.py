"""ImageNet's validation images, of a generated tar, under a network with its 1,000 classes."""

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.datasets.own import _imagenet
from tests.datasets.own.test_imagenet import N, keep_checksum, write_tar


@pytest.fixture
def here(tmp_path):
    """A folder with a tar of a few images and a network."""
    write_tar(tmp_path / _imagenet.TAR, range(1, N + 1))
    keep_checksum(tmp_path / _imagenet.TAR)
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1000, "softmax"),
        ]
    )
    network.save(tmp_path / "own.keras")
    return tmp_path


def test_from_the_tar_to_lesions(here, run_experiment, store):
    given = (
        "fast", "import_network.model=own.keras", "import_network.preprocessing=caffe",
        "import_network.dataset.name=imagenet2012", "cluster.n_clusters=2",
        f"lesion.dataset.n_test={N - 1}",
    )  # fmt: skip
    done = run_experiment(
        "pipeline", "with", *given, in_folder=here, NN_CLUSTERING_DATASETS=str(here)
    )
    assert done.returncode == 0, done.stderr
    assert "are resized to 12 x 12 (straight)" in done.stdout
    lesioned = store.run(store.run(done.run_id).result["runs"]["lesion"])
    assert lesioned.about["dataset"]["name"] == "imagenet2012"
    assert lesioned.info["dataset"]["input_shape"] == [12, 12, 3]  # what the network takes
    assert lesioned.info["dataset"]["n_test"] == N - 1
    assert lesioned.info["dataset"]["n_outputs"] == 1000
    # of one image each class is right or wrong
    assert lesioned.result["accuracy"] in np.arange(N) / (N - 1)
