"""Networks of keras-hub, where it is installed: they are made of layers with code of their own."""

import keras
import numpy as np
import pytest
from keras import ops

from nn_clustering.networks.structure import read_weights, walk_network

models = pytest.importorskip("keras_hub").models

SIZES = {"vocabulary_size": 20, "num_layers": 2, "hidden_dim": 8, "intermediate_dim": 12}
BACKBONES = {
    "GPT-2": lambda: models.GPT2Backbone(num_heads=2, max_sequence_length=16, **SIZES),
    "BERT": lambda: models.BertBackbone(num_heads=2, max_sequence_length=16, **SIZES),
    "DistilBERT": lambda: models.DistilBertBackbone(num_heads=2, max_sequence_length=16, **SIZES),
    "Llama": lambda: models.LlamaBackbone(num_query_heads=4, num_key_value_heads=2, **SIZES),
    "ViT": lambda: models.ViTBackbone(
        image_shape=(16, 16, 3), patch_size=4, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=12
    ),
}


def given(tensor):
    shape = [3, *(size or 6 for size in tensor.shape[1:])]
    random = np.random.default_rng(0)
    if "float" in tensor.dtype:
        return ops.convert_to_tensor(random.normal(size=shape), tensor.dtype)
    values = np.ones(shape) if "mask" in tensor.name else random.integers(0, 2, shape)
    return ops.convert_to_tensor(values, tensor.dtype)


@pytest.mark.parametrize("build", BACKBONES.values(), ids=BACKBONES)
def test_backbone_is_followed_to_its_neurons_and_values(build):
    network = build()
    shape = (16, 16, 3) if len(network.inputs[0].shape) == 4 else (6,)
    walk = walk_network(network, shape)
    values = {tensor.name: given(tensor) for tensor in network.inputs}
    one = next(iter(values.values()))
    made = keras.tree.flatten(network(values if len(values) > 1 else one))
    found = walk.run(dict(zip(walk.inputs, values.values(), strict=True)), walk.outputs)
    for number, expected in zip(walk.outputs, made, strict=True):
        np.testing.assert_allclose(found[number], expected, rtol=1e-5, atol=1e-6)
    weights = read_weights(network)
    heads = [layer.n_heads for layer in weights.weight_layers.values() if layer.n_heads]
    assert heads == [2, 2]
    assert [kernel.shape for kernel in weights.kernels].count((8, 12)) >= 2
