"""What the networks of folders compute, in numpy, as their papers define them."""

import math

import numpy as np

erf = np.vectorize(math.erf)


def gelu(x):
    return x * (1 + erf(x / math.sqrt(2))) / 2


def gelu_tanh(x):
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def linear(tensors, module, x):
    """A matrix of (outputs, inputs), and a bias where there is one."""
    return x @ tensors[f"{module}.weight"].T + tensors.get(f"{module}.bias", 0)


def layer_norm(tensors, module, x, epsilon):
    centred = x - x.mean(-1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)
    return normed * tensors[f"{module}.weight"] + tensors[f"{module}.bias"]


def rms_norm(tensors, module, x, epsilon):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + epsilon) * tensors[f"{module}.weight"]


def attended(query, key, value, *, causal, window=None):
    """Heads side by side, of what is of shape (positions, heads, channels)."""
    n_heads, size = query.shape[1:]
    n_each = n_heads // key.shape[1]
    positions = np.arange(len(query))
    back = positions[:, None] - positions
    hidden = back < 0 if causal else np.zeros_like(back, bool)
    if window is not None:
        hidden |= back >= window
    made = []
    for head in range(n_heads):
        scores = query[:, head] @ key[:, head // n_each].T / math.sqrt(size)
        scores[hidden] = -np.inf
        made.append(softmax(scores) @ value[:, head // n_each])
    return np.concatenate(made, -1)


def turned(heads, base, n_turned):
    """Rotary positions: a plane is channel c and channel c + half of them."""
    made, half = heads.copy(), n_turned // 2
    for position in range(len(heads)):
        for plane in range(half):
            angle = position * base ** (-2 * plane / n_turned)
            first, second = heads[position, :, plane], heads[position, :, plane + half]
            made[position, :, plane] = first * math.cos(angle) - second * math.sin(angle)
            made[position, :, plane + half] = second * math.cos(angle) + first * math.sin(angle)
    return made


def gpt2(config, t, tokens):
    x = t["wte.weight"][tokens] + t["wpe.weight"][: len(tokens)]
    for block in (f"h.{number}." for number in range(config["n_layer"])):
        read = layer_norm(t, f"{block}ln_1", x, 1e-5)
        together = read @ t[f"{block}attn.c_attn.weight"] + t[f"{block}attn.c_attn.bias"]
        parts = [part.reshape(len(x), config["n_head"], -1) for part in np.split(together, 3, -1)]
        mixed = attended(*parts, causal=True)
        x = x + mixed @ t[f"{block}attn.c_proj.weight"] + t[f"{block}attn.c_proj.bias"]
        read = layer_norm(t, f"{block}ln_2", x, 1e-5)
        hidden = gelu_tanh(read @ t[f"{block}mlp.c_fc.weight"] + t[f"{block}mlp.c_fc.bias"])
        x = x + hidden @ t[f"{block}mlp.c_proj.weight"] + t[f"{block}mlp.c_proj.bias"]
    return layer_norm(t, "ln_f", x, 1e-5) @ t["wte.weight"].T


def bert(config, t, tokens):
    kind, n_heads = config["model_type"], config["num_attention_heads"]
    first = 2 if kind == "roberta" else 0
    at = f"{kind}.embeddings."
    positions = t[f"{at}position_embeddings.weight"][first : first + len(tokens)]
    x = t[f"{at}word_embeddings.weight"][tokens] + positions
    x = layer_norm(t, f"{at}LayerNorm", x + t[f"{at}token_type_embeddings.weight"][0], 1e-12)
    for block in (f"{kind}.encoder.layer.{n}." for n in range(config["num_hidden_layers"])):
        parts = [
            linear(t, f"{block}attention.self.{role}", x).reshape(len(x), n_heads, -1)
            for role in ("query", "key", "value")
        ]
        mixed = linear(t, f"{block}attention.output.dense", attended(*parts, causal=False))
        x = layer_norm(t, f"{block}attention.output.LayerNorm", x + mixed, 1e-12)
        hidden = gelu(linear(t, f"{block}intermediate.dense", x))
        x = x + linear(t, f"{block}output.dense", hidden)
        x = layer_norm(t, f"{block}output.LayerNorm", x, 1e-12)
    if config["architectures"] == ["BertForSequenceClassification"]:
        return linear(t, "classifier", np.tanh(linear(t, "bert.pooler.dense", x[0])))
    if config["architectures"] == ["RobertaForSequenceClassification"]:
        return linear(t, "classifier.out_proj", np.tanh(linear(t, "classifier.dense", x[0])))
    hidden, norm, bias = {
        "bert": (*(f"cls.predictions.{n}" for n in ("transform.dense", "transform.LayerNorm")),
                 "cls.predictions.bias"),
        "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    }[kind]  # fmt: skip
    x = layer_norm(t, norm, gelu(linear(t, hidden, x)), 1e-12)
    return x @ t[f"{at}word_embeddings.weight"].T + t[bias]


def distilbert(config, t, tokens):
    x = t["distilbert.embeddings.word_embeddings.weight"][tokens]
    x = x + t["distilbert.embeddings.position_embeddings.weight"][: len(tokens)]
    x = layer_norm(t, "distilbert.embeddings.LayerNorm", x, 1e-12)
    for block in (f"distilbert.transformer.layer.{n}." for n in range(config["n_layers"])):
        parts = [
            linear(t, f"{block}attention.{role}_lin", x).reshape(len(x), config["n_heads"], -1)
            for role in "qkv"
        ]
        mixed = linear(t, f"{block}attention.out_lin", attended(*parts, causal=False))
        x = layer_norm(t, f"{block}sa_layer_norm", x + mixed, 1e-12)
        hidden = linear(t, f"{block}ffn.lin2", gelu(linear(t, f"{block}ffn.lin1", x)))
        x = layer_norm(t, f"{block}output_layer_norm", x + hidden, 1e-12)
    return linear(t, "classifier", np.maximum(linear(t, "pre_classifier", x[0]), 0))


def vit(config, t, image):
    size, n_heads = config["patch_size"], config["num_attention_heads"]
    kernel = t["vit.embeddings.patch_embeddings.projection.weight"]
    places = range(0, config["image_size"], size)
    squares = [image[r : r + size, c : c + size] for r in places for c in places]
    x = np.stack([np.einsum("okrc,rck->o", kernel, square) for square in squares])
    x = x + t["vit.embeddings.patch_embeddings.projection.bias"]
    x = np.concatenate([t["vit.embeddings.cls_token"][0], x])
    x = x + t["vit.embeddings.position_embeddings"][0]
    for block in (f"vit.encoder.layer.{n}." for n in range(config["num_hidden_layers"])):
        read = layer_norm(t, f"{block}layernorm_before", x, 1e-12)
        parts = [
            linear(t, f"{block}attention.attention.{role}", read).reshape(len(x), n_heads, -1)
            for role in ("query", "key", "value")
        ]
        x = x + linear(t, f"{block}attention.output.dense", attended(*parts, causal=False))
        read = layer_norm(t, f"{block}layernorm_after", x, 1e-12)
        hidden = gelu(linear(t, f"{block}intermediate.dense", read))
        x = x + linear(t, f"{block}output.dense", hidden)
    return linear(t, "classifier", layer_norm(t, "vit.layernorm", x, 1e-12)[0])


def llama(config, t, tokens):
    x, size = t["model.embed_tokens.weight"][tokens], config["head_dim"]
    for block in (f"model.layers.{n}." for n in range(config["num_hidden_layers"])):
        read = rms_norm(t, f"{block}input_layernorm", x, 1e-6)
        query, key, value = (
            linear(t, f"{block}self_attn.{role}_proj", read).reshape(len(x), -1, size)
            for role in "qkv"
        )
        query, key = (turned(heads, config["rope_theta"], size) for heads in (query, key))
        mixed = attended(query, key, value, causal=True, window=config.get("sliding_window"))
        x = x + linear(t, f"{block}self_attn.o_proj", mixed)
        read = rms_norm(t, f"{block}post_attention_layernorm", x, 1e-6)
        gate = silu(linear(t, f"{block}mlp.gate_proj", read))
        hidden = gate * linear(t, f"{block}mlp.up_proj", read)
        x = x + linear(t, f"{block}mlp.down_proj", hidden)
    return linear(t, "lm_head", rms_norm(t, "model.norm", x, 1e-6))


def gpt_neox(config, t, tokens):
    x, n_heads = t["gpt_neox.embed_in.weight"][tokens], config["num_attention_heads"]
    size = config["hidden_size"] // n_heads
    for block in (f"gpt_neox.layers.{n}." for n in range(config["num_hidden_layers"])):
        read = layer_norm(t, f"{block}input_layernorm", x, 1e-5)
        # each head has its query, key and value side by side
        together = linear(t, f"{block}attention.query_key_value", read)
        together = together.reshape(len(x), n_heads, 3 * size)
        query, key, value = np.split(together, 3, -1)
        n_turned = int(size * config["rotary_pct"])
        query, key = (turned(heads, config["rotary_emb_base"], n_turned) for heads in (query, key))
        mixed = linear(t, f"{block}attention.dense", attended(query, key, value, causal=True))
        read = layer_norm(t, f"{block}post_attention_layernorm", x, 1e-5)
        hidden = gelu(linear(t, f"{block}mlp.dense_h_to_4h", read))
        x = x + mixed + linear(t, f"{block}mlp.dense_4h_to_h", hidden)
    return linear(t, "embed_out", layer_norm(t, "gpt_neox.final_layer_norm", x, 1e-5))
