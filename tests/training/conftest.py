"""A data set small enough to train on in a blink."""

import pytest

from nn_clustering.datasets import Dataset, load_dataset


@pytest.fixture(scope="session")
def digits():
    """The first 200 and 90 of scikit-learn's digits."""
    full = load_dataset("digits")
    return Dataset(
        "digits200",
        full.x_train[:200],
        full.y_train[:200],
        full.x_test[:90],
        full.y_test[:90],
        full.class_names,
    )
