"""Graphs of networks of folders: their edges are the folders' matrices."""

import numpy as np

from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks.hugging_face import network_of_folder, read_hugging_face_folder
from tests.networks.hugging_face import folders


def graph_and_tensors(folder, config, shapes):
    tensors = folders.random_tensors(shapes)
    found = read_hugging_face_folder(folders.save_folder(folder, config, tensors))
    network = network_of_folder(found)
    graph = graph_from_weights(
        network, residual="one_set", fold_normalisation=False, inputs=True, outputs=True
    )
    names = [layer.name for layer in graph.layers]
    edges = {(names[one.source], names[one.target]): one.weights for one in graph.edges}
    return found, edges, {name: np.abs(tensor) for name, tensor in tensors.items()}


def test_network_for_graphs_alone_has_the_edges_of_its_matrices(tmp_path):
    config, shapes = folders.llama()
    config["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0}
    folder, edges, tensors = graph_and_tensors(tmp_path, config, shapes)
    assert "turn by 'llama3'" in folder.architecture.graph_only
    inside = "model.layers.1."
    # two heads of queries read each head of values
    read = tensors[f"{inside}self_attn.o_proj.weight"].T.reshape(2, 2, 4, 8).sum(1).reshape(8, 8)
    neurons = [tensors[f"{inside}mlp.{role}_proj.weight"].T for role in ("gate", "up", "down")]
    expected = {
        ("input", "token_embedding"): tensors["model.embed_tokens.weight"],
        ("block_0_add_2", "block_1_attention_value"):
            tensors[f"{inside}self_attn.v_proj.weight"].T,
        ("block_1_attention_value", "block_1_add_1"): read,
        ("block_1_add_1", "block_1_mlp_gated"): neurons[0] + neurons[1],
        ("block_1_mlp_gated", "block_1_add_2"): neurons[2],
        ("block_1_add_2", "output"): tensors["lm_head.weight"].T,
    }  # fmt: skip
    for pair, weights in expected.items():
        np.testing.assert_allclose(edges[pair], weights, rtol=1e-6, err_msg=str(pair))


def test_values_are_found_in_the_fused_matrices(tmp_path):
    _, edges, tensors = graph_and_tensors(tmp_path / "gpt2", *folders.gpt2())
    values = tensors["h.1.attn.c_attn.weight"][:, -folders.WIDTH :]
    found = edges["block_0_add_2", "block_1_attention/value"]
    np.testing.assert_allclose(found, values, rtol=1e-6)

    _, edges, tensors = graph_and_tensors(tmp_path / "gpt_neox", *folders.gpt_neox())
    together = tensors["gpt_neox.layers.1.attention.query_key_value.weight"]
    by_head = np.split(together, folders.HEADS)
    values = np.concatenate([np.split(head, 3)[2] for head in by_head]).T
    found = edges["block_0_add_1", "block_1_attention_value"]
    np.testing.assert_allclose(found, values, rtol=1e-6)


def test_contracted_edges_are_products_of_the_matrices(tmp_path):
    config, shapes = folders.gpt2()
    t = folders.random_tensors(shapes)
    network = network_of_folder(read_hugging_face_folder(folders.save_folder(tmp_path, config, t)))
    graph = graph_from_weights(network, residual="contracted")
    names = [layer.name for layer in graph.layers]
    edges = {(names[one.source], names[one.target]): one.weights for one in graph.edges}
    gamma = {norm: np.diag(t[f"h.1.{norm}.weight"]) for norm in ("ln_1", "ln_2")}
    values = t["h.1.attn.c_attn.weight"][:, -folders.WIDTH :]
    expected = {
        ("block_0_mlp_in", "block_1_mlp_in"):
            t["h.0.mlp.c_proj.weight"] @ gamma["ln_2"] @ t["h.1.mlp.c_fc.weight"],
        ("block_0_attention/value", "block_1_attention/value"):
            t["h.0.attn.c_proj.weight"] @ gamma["ln_1"] @ values,
    }  # fmt: skip
    for pair, product in expected.items():
        np.testing.assert_allclose(edges[pair], np.abs(product), rtol=1e-4, err_msg=str(pair))
