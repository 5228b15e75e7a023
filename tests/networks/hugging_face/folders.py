"""Small folders of random networks, as Hugging Face's libraries write them, by kind."""

import json

import numpy as np
from safetensors.numpy import save_file

VOCABULARY, WIDTH, HEADS, HIDDEN, BLOCKS, POSITIONS = 13, 8, 2, 12, 2, 6


def _linear(shapes, module, n_inputs, n_outputs, *, bias=True):
    shapes[f"{module}.weight"] = (n_outputs, n_inputs)
    if bias:
        shapes[f"{module}.bias"] = (n_outputs,)


def _norm(shapes, module, *, bias=True):
    shapes[f"{module}.weight"] = (WIDTH,)
    if bias:
        shapes[f"{module}.bias"] = (WIDTH,)


def gpt2():
    shapes = {"wte.weight": (VOCABULARY, WIDTH), "wpe.weight": (POSITIONS, WIDTH)}
    for block in (f"h.{number}." for number in range(BLOCKS)):
        for norm in ("ln_1", "ln_2"):
            _norm(shapes, block + norm)
        for module, n_inputs, n_outputs in (
            ("attn.c_attn", WIDTH, 3 * WIDTH), ("attn.c_proj", WIDTH, WIDTH),
            ("mlp.c_fc", WIDTH, HIDDEN), ("mlp.c_proj", HIDDEN, WIDTH),
        ):  # fmt: skip
            shapes[f"{block}{module}.weight"] = (n_inputs, n_outputs)
            shapes[f"{block}{module}.bias"] = (n_outputs,)
        shapes[f"{block}attn.bias"] = (1, 1, POSITIONS, POSITIONS)
    _norm(shapes, "ln_f")
    config = {
        "model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": VOCABULARY,
        "n_positions": POSITIONS, "n_embd": WIDTH, "n_layer": BLOCKS, "n_head": HEADS,
        "n_inner": HIDDEN, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5,
    }  # fmt: skip
    return config, shapes


def bert(kind="bert", head="BertForMaskedLM"):
    n_positions = POSITIONS + 2 * (kind == "roberta")
    shapes = {}
    at = f"{kind}.embeddings."
    shapes[f"{at}word_embeddings.weight"] = (VOCABULARY, WIDTH)
    shapes[f"{at}position_embeddings.weight"] = (n_positions, WIDTH)
    shapes[f"{at}token_type_embeddings.weight"] = (2, WIDTH)
    _norm(shapes, f"{at}LayerNorm")
    for block in (f"{kind}.encoder.layer.{number}." for number in range(BLOCKS)):
        for role in ("query", "key", "value"):
            _linear(shapes, f"{block}attention.self.{role}", WIDTH, WIDTH)
        _linear(shapes, f"{block}attention.output.dense", WIDTH, WIDTH)
        _norm(shapes, f"{block}attention.output.LayerNorm")
        _linear(shapes, f"{block}intermediate.dense", WIDTH, HIDDEN)
        _linear(shapes, f"{block}output.dense", HIDDEN, WIDTH)
        _norm(shapes, f"{block}output.LayerNorm")
    if head.endswith("ForSequenceClassification"):
        hidden, last = {
            "bert": ("bert.pooler.dense", "classifier"),
            "roberta": ("classifier.dense", "classifier.out_proj"),
        }[kind]
        _linear(shapes, hidden, WIDTH, WIDTH)
        _linear(shapes, last, WIDTH, 3)
    elif kind == "bert":
        _linear(shapes, "cls.predictions.transform.dense", WIDTH, WIDTH)
        _norm(shapes, "cls.predictions.transform.LayerNorm")
        shapes["cls.predictions.bias"] = (VOCABULARY,)
        _linear(shapes, "cls.seq_relationship", WIDTH, 2)
    else:
        _linear(shapes, "lm_head.dense", WIDTH, WIDTH)
        _norm(shapes, "lm_head.layer_norm")
        shapes["lm_head.bias"] = (VOCABULARY,)
    config = {
        "model_type": kind, "architectures": [head], "vocab_size": VOCABULARY,
        "hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
        "max_position_embeddings": n_positions, "type_vocab_size": 2, "pad_token_id": 1,
        "id2label": {"0": "a", "1": "b", "2": "c"},
    }  # fmt: skip
    return config, shapes


def distilbert():
    """DistilBERT's names for what is a BERT without kinds of tokens; its head first a ReLU."""
    shapes = {
        "distilbert.embeddings.word_embeddings.weight": (VOCABULARY, WIDTH),
        "distilbert.embeddings.position_embeddings.weight": (POSITIONS, WIDTH),
    }
    _norm(shapes, "distilbert.embeddings.LayerNorm")
    for block in (f"distilbert.transformer.layer.{number}." for number in range(BLOCKS)):
        for role in ("q", "k", "v", "out"):
            _linear(shapes, f"{block}attention.{role}_lin", WIDTH, WIDTH)
        _norm(shapes, f"{block}sa_layer_norm")
        _linear(shapes, f"{block}ffn.lin1", WIDTH, HIDDEN)
        _linear(shapes, f"{block}ffn.lin2", HIDDEN, WIDTH)
        _norm(shapes, f"{block}output_layer_norm")
    _linear(shapes, "pre_classifier", WIDTH, WIDTH)
    _linear(shapes, "classifier", WIDTH, 3)
    config = {
        "model_type": "distilbert", "architectures": ["DistilBertForSequenceClassification"],
        "vocab_size": VOCABULARY, "dim": WIDTH, "n_layers": BLOCKS, "n_heads": HEADS,
        "hidden_dim": HIDDEN, "activation": "gelu", "max_position_embeddings": POSITIONS,
        "id2label": {"0": "a", "1": "b", "2": "c"},
    }  # fmt: skip
    return config, shapes


def vit():
    shapes = {
        "vit.embeddings.cls_token": (1, 1, WIDTH),
        "vit.embeddings.position_embeddings": (1, 5, WIDTH),
        "vit.embeddings.patch_embeddings.projection.weight": (WIDTH, 3, 2, 2),
        "vit.embeddings.patch_embeddings.projection.bias": (WIDTH,),
    }
    for block in (f"vit.encoder.layer.{number}." for number in range(BLOCKS)):
        for role in ("query", "key", "value"):
            _linear(shapes, f"{block}attention.attention.{role}", WIDTH, WIDTH)
        _linear(shapes, f"{block}attention.output.dense", WIDTH, WIDTH)
        _linear(shapes, f"{block}intermediate.dense", WIDTH, HIDDEN)
        _linear(shapes, f"{block}output.dense", HIDDEN, WIDTH)
        for norm in ("layernorm_before", "layernorm_after"):
            _norm(shapes, block + norm)
    _norm(shapes, "vit.layernorm")
    _linear(shapes, "classifier", WIDTH, 3)
    config = {
        "model_type": "vit", "architectures": ["ViTForImageClassification"], "image_size": 4,
        "patch_size": 2, "num_channels": 3, "hidden_size": WIDTH, "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS, "intermediate_size": HIDDEN, "hidden_act": "gelu",
        "layer_norm_eps": 1e-12, "qkv_bias": True, "id2label": {"0": "a", "1": "b", "2": "c"},
    }  # fmt: skip
    return config, shapes


def llama(kind="llama"):
    """Four heads of queries on two of keys and values, of four channels each."""
    bias = kind == "qwen2"
    shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH)}
    for block in (f"model.layers.{number}." for number in range(BLOCKS)):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            _norm(shapes, block + norm, bias=False)
        for role, n_outputs in (("q", 16), ("k", 8), ("v", 8)):
            _linear(shapes, f"{block}self_attn.{role}_proj", WIDTH, n_outputs, bias=bias)
        _linear(shapes, f"{block}self_attn.o_proj", 16, WIDTH, bias=False)
        for role in ("gate", "up"):
            _linear(shapes, f"{block}mlp.{role}_proj", WIDTH, HIDDEN, bias=False)
        _linear(shapes, f"{block}mlp.down_proj", HIDDEN, WIDTH, bias=False)
    _norm(shapes, "model.norm", bias=False)
    shapes["lm_head.weight"] = (VOCABULARY, WIDTH)
    name = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}[kind]
    config = {
        "model_type": kind, "architectures": [f"{name}ForCausalLM"], "vocab_size": VOCABULARY,
        "hidden_size": WIDTH, "num_hidden_layers": BLOCKS, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 4, "intermediate_size": HIDDEN, "hidden_act": "silu",
        "rms_norm_eps": 1e-6, "rope_theta": 100.0, "tie_word_embeddings": False,
        **({"sliding_window": 2} if kind == "mistral" else {}),
    }  # fmt: skip
    return config, shapes


def gpt_neox():
    """Heads of eight channels, of which two are turned."""
    width = 16
    shapes = {"gpt_neox.embed_in.weight": (VOCABULARY, width)}
    for block in (f"gpt_neox.layers.{number}." for number in range(BLOCKS)):
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{block}{norm}.weight"] = shapes[f"{block}{norm}.bias"] = (width,)
        _linear(shapes, f"{block}attention.query_key_value", width, 3 * width)
        _linear(shapes, f"{block}attention.dense", width, width)
        _linear(shapes, f"{block}mlp.dense_h_to_4h", width, HIDDEN)
        _linear(shapes, f"{block}mlp.dense_4h_to_h", HIDDEN, width)
    shapes["gpt_neox.final_layer_norm.weight"] = (width,)
    shapes["gpt_neox.final_layer_norm.bias"] = (width,)
    shapes["embed_out.weight"] = (VOCABULARY, width)
    config = {
        "model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"],
        "vocab_size": VOCABULARY, "hidden_size": width, "num_hidden_layers": BLOCKS,
        "num_attention_heads": HEADS, "intermediate_size": HIDDEN, "hidden_act": "gelu",
        "rotary_pct": 0.25, "rotary_emb_base": 100, "layer_norm_eps": 1e-5,
        "use_parallel_residual": True,
    }  # fmt: skip
    return config, shapes


def random_tensors(shapes, seed=0):
    random = np.random.default_rng(seed)
    return {name: random.normal(0, 0.5, shape).astype("f4") for name, shape in shapes.items()}


def save_folder(folder, config, tensors):
    """Write a folder of one file of weights; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.joinpath("config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return folder
