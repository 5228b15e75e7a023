"""A training epoch of the MLP against Keras' ``fit`` with its defaults."""

import keras

from benchmarks._timing import Comparison, compare
from nn_clustering.datasets import Dataset
from nn_clustering.networks import build_network
from nn_clustering.training import train

# Epochs timed at once, so that what happens once (compiling) is the smaller part it is in use.
EPOCHS = 10


def benchmark_training(dataset: Dataset, runs: int) -> Comparison:
    """Compare whole training runs, compilation included on both sides."""

    def network() -> keras.Model:
        return build_network(
            "mlp",
            dataset.input_shape,
            dataset.n_classes,
            hidden_units=[256] * 4,
            conv_filters=[],
            dropout=False,
            seed=0,
        )

    def ours() -> None:
        train(network(), dataset, epochs=EPOCHS, batch_size=128, learning_rate=0.001, seed=0)

    def theirs() -> None:
        model = network()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(
            dataset.x_train,
            dataset.y_train,
            batch_size=128,
            epochs=EPOCHS,
            validation_data=(dataset.x_test, dataset.y_test),
            verbose=0,
        )

    return compare(
        f"training: {EPOCHS} epochs of the MLP on {dataset.name}, test figures each epoch",
        "Keras' fit with its defaults, same batch size",
        ours,
        theirs,
        runs=runs,
        warm_up=False,
    )
