"""Every layer of Keras that has a rule comes back out of both kinds of files as it went in."""

import keras
import numpy as np
import pytest

from nn_clustering.networks import read_network
from tests.networks.structure.layer_probes import MERGES, PROBES
from tests.networks.structure.test_layer_probes import randomise

# What Keras cannot write into HDF5, or not read out of it: classes of its own networks.
NOT_IN_HDF5 = {
    *("RandomBrightness", "RandomColorDegeneration", "RandomPosterization", "RandomSaturation"),
    *("RandomSharpness", "Solarization", "LayerScale", "StochasticDepth", "CustomScaleLayer"),
}


def first_of_each_class():
    classes = {}
    for probe in (*PROBES, *MERGES):
        classes.setdefault(probe.layer, probe)
    return classes.values()


def network_of(probe, random):
    inputs = [keras.Input(shape) for shape in (probe.shape, *probe.others)]
    network = keras.Model(inputs, probe.build()(inputs if len(inputs) > 1 else inputs[0]))
    randomise(network.variables, random, probe.positive)
    return network


CASES = [
    pytest.param(probe, suffix, id=f"{probe} {suffix}")
    for probe in first_of_each_class()
    for suffix in ("keras", "h5")
    if suffix == "keras" or probe.layer.__name__ not in NOT_IN_HDF5
]


@pytest.mark.parametrize(("probe", "suffix"), CASES)
def test_same_predictions(probe, suffix, tmp_path):
    random = np.random.default_rng(0)
    network = network_of(probe, random)
    x = [
        random.uniform(size=(2, *shape)).astype(np.float32)
        for shape in (probe.shape, *probe.others)
    ]
    path = tmp_path / f"network.{suffix}"
    network.save(path)
    read = read_network(path)
    assert [type(layer) for layer in read.layers] == [type(layer) for layer in network.layers]
    np.testing.assert_allclose(
        read(x, training=False), network(x, training=False), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "probe",
    [probe for probe in first_of_each_class() if probe.layer.__name__ in NOT_IN_HDF5],
    ids=str,
)
def test_keras_itself_cannot(probe, tmp_path):
    path = tmp_path / "network.h5"
    network = network_of(probe, np.random.default_rng(0))

    def there_and_back():
        network.save(path)
        keras.models.load_model(path, compile=False)

    with pytest.raises((TypeError, ValueError)):
        there_and_back()
