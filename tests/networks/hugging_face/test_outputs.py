"""Networks of folders compute what their papers define."""

import numpy as np
import pytest

from nn_clustering.networks import network_bytes, network_from_bytes
from nn_clustering.networks.hugging_face import network_of_folder, read_hugging_face_folder
from tests.networks.hugging_face import folders, forward_passes

TOKENS = np.array([3, 1, 12, 0, 7])
CASES = {
    "gpt2": (folders.gpt2, forward_passes.gpt2),
    "bert": (folders.bert, forward_passes.bert),
    "bert classes": (
        lambda: folders.bert(head="BertForSequenceClassification"), forward_passes.bert,
    ),
    "roberta": (lambda: folders.bert("roberta", "RobertaForMaskedLM"), forward_passes.bert),
    "roberta classes": (
        lambda: folders.bert("roberta", "RobertaForSequenceClassification"), forward_passes.bert,
    ),
    "distilbert": (folders.distilbert, forward_passes.distilbert),
    "vit": (folders.vit, forward_passes.vit),
    "llama": (folders.llama, forward_passes.llama),
    "mistral": (lambda: folders.llama("mistral"), forward_passes.llama),
    "qwen2": (lambda: folders.llama("qwen2"), forward_passes.llama),
    "gpt_neox": (folders.gpt_neox, forward_passes.gpt_neox),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_outputs_are_those_of_the_definition(case, tmp_path):
    make, forward = CASES[case]
    config, shapes = make()
    tensors = folders.random_tensors(shapes)
    folder = read_hugging_face_folder(folders.save_folder(tmp_path, config, tensors))
    network = network_of_folder(folder)
    is_image = case == "vit"
    x = np.random.default_rng(1).normal(size=(4, 4, 3)) if is_image else TOKENS
    expected = forward(config, {name: array.astype(float) for name, array in tensors.items()}, x)
    found = network(np.asarray(x)[None]).numpy()[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    if case in ("bert classes", "vit", "mistral"):  # each way to attend and to read the first place
        read = network_from_bytes(network_bytes(network), "it")
        np.testing.assert_array_equal(read(np.asarray(x)[None]).numpy()[0], found)
