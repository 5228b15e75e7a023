"""Folders are checked before any weight is read: a wrong one is refused in one line."""

import json
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors import TensorSpec, serialize_file
from safetensors.numpy import save_file

from nn_clustering import machine
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import read_file
from nn_clustering.networks.hugging_face import (
    _folder,
    network_of_folder,
    read_hugging_face_folder,
)
from tests.networks.hugging_face import folders

INDEX = "model.safetensors.index.json"


@pytest.fixture
def gpt2(tmp_path):
    config, shapes = folders.gpt2()
    return folders.save_folder(tmp_path / "own", config, folders.random_tensors(shapes))


def refused(folder):
    with pytest.raises(InvalidInputError) as error:
        read_hugging_face_folder(folder)
    assert "\n" not in str(error.value)
    assert str(folder) in str(error.value)
    return str(error.value)


def change(folder, config=(), tensors=(), without=()):
    """Write a folder anew with other settings and tensors; None takes a setting away."""
    settings, shapes = folders.gpt2()
    settings = {
        key: value for key, value in {**settings, **dict(config)}.items() if value is not None
    }
    kept = {**folders.random_tensors(shapes), **dict(tensors)}
    return folders.save_folder(
        folder, settings, {name: kept[name] for name in kept if name not in without}
    )


SOMETHING = np.zeros((2, 2), np.float32)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"config": {"model_type": None}}, "model_type=None; expected one of gpt2, bert"),
        ({"config": {"model_type": "gpt3"}}, "did you mean gpt2"),
        ({"config": {"auto_map": {"AutoModel": "own.Net"}}}, "auto_map, code of its author's"),
        ({"config": {"quantization_config": {"bits": 4}}}, "whole numbers in the place of weights"),
        ({"config": {"n_layer": "two"}}, "n_layer='two'; expected 1 or more"),
        ({"config": {"n_embd": None}}, "n_embd=None"),
        ({"config": {"n_head": 3}}, "3 heads of 8 channels together"),
        ({"config": {"layer_norm_epsilon": -1}}, "a positive number"),
        ({"config": {"scale_attn_weights": 1}}, "true or false"),
        ({"config": {"n_layer": 10**9}}, "1,000,000,000 blocks"),
        ({"config": {"n_layer": 3}}, "lacks the tensors h.2.ln_1.weight, h.2.ln_1.bias, "),
        ({"config": {"n_layer": 1}}, "has the tensors h.1.attn.c_attn.bias, "),
        ({"config": {"vocab_size": 10**12}}, "its config.json asks for (1000000000000, 8)"),
        (
            {"config": {"n_positions": 10**12}, "without": ["wpe.weight"]},
            "lacks wpe.weight, of the shape (1000000000000, 8)",
        ),
        ({"without": ["wpe.weight"]}, "lacks wpe.weight; expected all tensors of a gpt2"),
        ({"tensors": {"h.0.lora_A": SOMETHING}}, "h.0.lora_A beside what a gpt2 of 2 blocks has"),
        ({"tensors": {"ln_f.bias": np.zeros(8, np.int8)}}, "ln_f.bias holds I8"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(gpt2, changes, expected):
    assert expected in refused(change(gpt2, **changes))


def test_files_that_are_no_weights_are_refused(gpt2):
    file, config = gpt2 / "model.safetensors", (gpt2 / "config.json").read_text()
    content = file.read_bytes()
    file.write_bytes(content[:-5])
    assert "no whole safetensors file" in refused(gpt2)
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n")
    assert "Git LFS" in refused(gpt2)
    file.unlink()
    assert "has a config.json and no weights" in refused(gpt2)
    (gpt2 / "pytorch_model.bin").write_bytes(pickle.dumps({}))
    assert "safe_serialization=True" in refused(gpt2)
    for broken in ("{", "[]", "[" * 100_000):
        (gpt2 / "config.json").write_text(broken)
        refused(gpt2)
    (gpt2 / "config.json").write_text(config)


def test_what_is_no_number_is_refused(gpt2):
    folder = change(gpt2, tensors={"ln_f.bias": np.full(8, np.nan, np.float32)})
    with pytest.raises(InvalidInputError, match=r"8 of 8 weights of final_norm/beta are NaN"):
        network_of_folder(read_hugging_face_folder(folder))


def test_more_than_the_memory_holds_is_refused(gpt2, monkeypatch):
    monkeypatch.setattr(_folder, "memory_bytes", lambda: 10_000)
    assert "and there are 10 kB" in refused(gpt2)
    assert machine.memory_bytes() > 10_000


def test_weights_in_several_files_are_read(gpt2):
    whole = network_of_folder(read_hugging_face_folder(gpt2))
    tensors = folders.random_tensors(folders.gpt2()[1])
    names = sorted(tensors)
    (gpt2 / "model.safetensors").unlink()
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, some in parts.items():
        save_file({name: tensors[name] for name in some}, gpt2 / file)
    index = {name: file for file, some in parts.items() for name in some}
    (gpt2 / INDEX).write_text(json.dumps({"weight_map": index}))
    folder = read_hugging_face_folder(gpt2)
    assert set(folder.checksums) == {"config.json", INDEX, *parts}
    read = network_of_folder(folder)
    assert all(map(np.array_equal, read.get_weights(), whole.get_weights()))

    save_file(dict.fromkeys(names[:1], SOMETHING), gpt2 / "model-2.safetensors")
    assert "twice" in refused(gpt2)
    (gpt2 / "model-2.safetensors").unlink()
    assert "has no model-2.safetensors, one of 2 files" in refused(gpt2)
    for wrong in ({"a": "../own/model-1.safetensors"}, {"a": "model.bin"}):
        (gpt2 / INDEX).write_text(json.dumps({"weight_map": wrong}))
        assert "names the file" in refused(gpt2)
    (gpt2 / INDEX).write_text("{}")
    assert "names no files" in refused(gpt2)


def test_names_of_older_folders_are_read(tmp_path):
    config, shapes = folders.bert()
    tensors = folders.random_tensors(shapes)
    older = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array
        for name, array in tensors.items()
    }
    assert older.keys() != tensors.keys()
    networks = [
        network_of_folder(
            read_hugging_face_folder(folders.save_folder(tmp_path / str(place), config, given))
        )
        for place, given in enumerate((tensors, older))
    ]
    assert all(map(np.array_equal, *(network.get_weights() for network in networks)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_read_in_single(gpt2, dtype):
    import ml_dtypes  # noqa: F401  numpy knows bfloat16 by it

    tensors = {
        name: array.astype(dtype)
        for name, array in folders.random_tensors(folders.gpt2()[1]).items()
    }
    described = {
        name: TensorSpec(
            dtype=dtype, shape=array.shape, data_ptr=array.ctypes.data, data_len=array.nbytes
        )
        for name, array in tensors.items()
    }
    serialize_file(described, gpt2 / "model.safetensors")
    network = network_of_folder(read_hugging_face_folder(gpt2))
    read = network.get_layer("token_embedding").get_weights()[0]
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, tensors["wte.weight"].astype(np.float32))


def test_head_is_left_out_where_the_folder_names_none(gpt2):
    folder = read_hugging_face_folder(change(gpt2, {"architectures": ["GPT2Model"]}))
    assert network_of_folder(folder).output_shape == (None, None, folders.WIDTH)
    with_score = change(
        gpt2, {"architectures": ["GPT2ForTokenClassification"]}, {"score.weight": SOMETHING}
    )
    assert read_hugging_face_folder(with_score).unread == ("score.weight",)


@pytest.mark.parametrize(
    ("make", "settings", "reason"),
    [
        (folders.gpt2, {"activation_function": "quick_gelu"}, "'quick_gelu' is none of gelu"),
        (folders.gpt2, {"scale_attn_by_inverse_layer_idx": True}, "each block scales"),
        (folders.llama, {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "turn by 'yarn'"),
        (folders.bert, {"position_embedding_type": "relative_key"}, "reads distances"),
        (folders.gpt2, {}, None),
    ],
)
def test_what_is_not_computed_is_for_graphs_alone(tmp_path, make, settings, reason):
    config, shapes = make()
    folder = folders.save_folder(tmp_path, {**config, **settings}, folders.random_tensors(shapes))
    found = read_hugging_face_folder(folder).architecture.graph_only
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, "tf"),
        ({"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}, "torch"),
        ({"image_mean": [0.1] * 3, "image_std": [0.5] * 3}, None),
        ({}, None),
    ],
)
def test_pixels_are_read_as_the_folder_says(tmp_path, said, expected):
    config, shapes = folders.vit()
    folder = folders.save_folder(tmp_path, config, folders.random_tensors(shapes))
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    assert read_hugging_face_folder(folder).preprocessing == expected


def test_other_stages_say_how_a_folder_is_read(gpt2):
    with pytest.raises(InvalidInputError, match=r"import it first, .* model=.* train_run=ID"):
        read_file(gpt2)


def test_no_code_of_the_folder_is_run(gpt2, monkeypatch):
    Path(gpt2, "modeling_gpt2.py").write_text("raise SystemExit('run')")
    monkeypatch.syspath_prepend(str(gpt2))
    network_of_folder(read_hugging_face_folder(gpt2))
    assert "modeling_gpt2" not in sys.modules
