"""The kinds of transformers whose tensors are known by name, each a table; needs no Keras."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nn_clustering.errors import InvalidInputError, did_you_mean
from nn_clustering.networks.hugging_face._architecture import (
    ACTIVATIONS,
    Architecture,
    BlockNames,
    Head,
    Names,
    Patches,
    Rotation,
)
from nn_clustering.networks.hugging_face._settings import Settings

_ALL = frozenset({"query", "key", "value", "attention_output", "mlp_in", "mlp_out", "gate"})


def architecture_of(config: Mapping[str, Any], source: str) -> Architecture:
    """Return what a folder's config.json says of its network.

    Raises:
        InvalidInputError: If it is of no kind that is known, needs code of its author's, holds
            whole numbers in the place of weights, or lacks a setting.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in KINDS:
        raise InvalidInputError(
            f"{source} has model_type={kind!r}{did_you_mean(str(kind), KINDS)}; expected one of "
            f"{', '.join(KINDS)}, or a network rebuilt in Keras and saved as .keras"
        )
    for key, meaning in {
        "auto_map": "code of its author's, which is not run",
        "quantization_config": "whole numbers in the place of weights",
    }.items():
        if config.get(key) is not None:
            raise InvalidInputError(
                f"{source} has {key}, {meaning}; expected a network of the kind {kind} as it is"
            )
    settings = Settings(config, source)
    found = KINDS[kind](settings)
    if found.n_channels % found.n_heads and "head_dim" not in config:
        raise InvalidInputError(
            f"{source} has {found.n_heads} heads of {found.n_channels} channels together; expected "
            "the same number in each"
        )
    if found.n_heads % found.n_key_heads:
        raise InvalidInputError(
            f"{source} has {found.n_key_heads} heads of keys and {found.n_heads} of queries; "
            "expected as many of these for each of those"
        )
    return replace(found, kind=kind, graph_only=settings.graph_only)


def _activation(settings: Settings, name: str, default: str) -> str:
    found = settings.value(name, default)
    if found not in ACTIVATIONS:
        settings.only_graph(f"its activation {name}={found!r} is none of {', '.join(ACTIVATIONS)}")
        return "relu"
    return ACTIVATIONS[found]


def _gpt2(settings: Settings) -> Architecture:
    width, n_heads = settings.count("n_embd"), settings.count("n_head")
    vocabulary = settings.count("vocab_size")
    if not settings.flag("scale_attn_weights", default=True):
        settings.only_graph("scale_attn_weights=false: its attention is not scaled")
    if settings.flag("scale_attn_by_inverse_layer_idx", default=False):
        settings.only_graph("scale_attn_by_inverse_layer_idx=true: each block scales its own way")
    return Architecture(
        kind="gpt2",
        names=Names(
            prefix="transformer.",
            block="h.{}.",
            of_block=BlockNames(
                "ln_1", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj", fused="attn.c_attn"
            ),
            token="wte",
            position="wpe",
            final_norm="ln_f",
            buffers=(".attn.bias", ".attn.masked_bias"),
        ),
        n_blocks=settings.count("n_layer"),
        n_channels=width,
        n_heads=n_heads,
        n_key_heads=n_heads,
        head_size=width // n_heads,
        n_hidden=settings.count("n_inner", 4 * width),
        activation=_activation(settings, "activation_function", "gelu_new"),
        epsilon=settings.number("layer_norm_epsilon", 1e-5),
        order="before",
        norm="layer",
        biases=_ALL,
        is_causal=True,
        stores_transposed=False,
        vocabulary=vocabulary,
        n_positions=settings.count("n_positions"),
        head=_of_tokens(settings, vocabulary, "lm_head", tied_by_default=True),
    )


def _of_tokens(
    settings: Settings, vocabulary: int, decoder: str, *, tied_by_default: bool
) -> Head | None:
    """Return the head that puts out a number for each token, without a bias."""
    if settings.task != "tokens":
        return None
    is_tied = settings.flag("tie_word_embeddings", tied_by_default)
    return Head(vocabulary, of_first=False, decoder=None if is_tied else decoder, bias=None)


_BERT_BLOCK = BlockNames(
    norm_1="attention.output.LayerNorm",
    attention_output="attention.output.dense",
    norm_2="output.LayerNorm",
    mlp_in="intermediate.dense",
    mlp_out="output.dense",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
)


def _bert_like(
    settings: Settings, prefix: str, *, n_skipped: int, head: Head | None
) -> Architecture:
    width, n_heads = settings.count("hidden_size"), settings.count("num_attention_heads")
    if settings.value("position_embedding_type", "absolute") != "absolute":
        settings.only_graph("position_embedding_type is not absolute: attention reads distances")
    if settings.flag("is_decoder", default=False):
        settings.only_graph("is_decoder=true: it can read another network's stream")
    return Architecture(
        kind="bert",
        names=Names(
            prefix=prefix,
            block="encoder.layer.{}.",
            of_block=_BERT_BLOCK,
            token="embeddings.word_embeddings",
            position="embeddings.position_embeddings",
            token_type="embeddings.token_type_embeddings",
            embedding_norm="embeddings.LayerNorm",
            buffers=("embeddings.position_ids", "embeddings.token_type_ids"),
        ),
        n_blocks=settings.count("num_hidden_layers"),
        n_channels=width,
        n_heads=n_heads,
        n_key_heads=n_heads,
        head_size=width // n_heads,
        n_hidden=settings.count("intermediate_size"),
        activation=_activation(settings, "hidden_act", "gelu"),
        epsilon=settings.number("layer_norm_eps", 1e-12),
        order="after",
        norm="layer",
        biases=_ALL,
        is_causal=False,
        vocabulary=settings.count("vocab_size"),
        n_positions=settings.count("max_position_embeddings") - n_skipped,
        n_skipped_positions=n_skipped,
        n_token_types=settings.count("type_vocab_size"),
        head=head,
    )


def _bert(settings: Settings) -> Architecture:
    heads = {
        "tokens": Head(
            settings.count("vocab_size"),
            of_first=False,
            decoder=_untied(settings, "cls.predictions.decoder"),
            bias="cls.predictions.bias",
            hidden="cls.predictions.transform.dense",
            activation=_activation(settings, "hidden_act", "gelu"),
            norm="cls.predictions.transform.LayerNorm",
        ),
        "classes": _of_classes(settings, "pooler.dense", "classifier", "tanh"),
    }
    return _bert_like(settings, "bert.", n_skipped=0, head=heads.get(settings.task))


def _roberta(settings: Settings) -> Architecture:
    heads = {
        "tokens": Head(
            settings.count("vocab_size"),
            of_first=False,
            decoder=_untied(settings, "lm_head.decoder"),
            bias="lm_head.bias",
            hidden="lm_head.dense",
            activation="gelu",
            norm="lm_head.layer_norm",
        ),
        "classes": _of_classes(settings, "classifier.dense", "classifier.out_proj", "tanh"),
    }
    # positions begin behind the number of the padding token
    n_skipped = int(settings.value("pad_token_id", 1)) + 1
    return _bert_like(settings, "roberta.", n_skipped=n_skipped, head=heads.get(settings.task))


def _untied(settings: Settings, decoder: str) -> str | None:
    return None if settings.flag("tie_word_embeddings", default=True) else decoder


def _of_classes(settings: Settings, hidden: str, decoder: str, activation: str) -> Head:
    return Head(
        settings.n_labels,
        of_first=True,
        decoder=decoder,
        bias=f"{decoder}.bias",
        hidden=hidden,
        activation=activation,
    )


def _distilbert(settings: Settings) -> Architecture:
    width, n_heads = settings.count("dim"), settings.count("n_heads")
    vocabulary = settings.count("vocab_size")
    activation = _activation(settings, "activation", "gelu")
    heads = {
        "tokens": Head(
            vocabulary,
            of_first=False,
            decoder=_untied(settings, "vocab_projector"),
            bias="vocab_projector.bias",
            hidden="vocab_transform",
            activation=activation,
            norm="vocab_layer_norm",
        ),
        "classes": _of_classes(settings, "pre_classifier", "classifier", "relu"),
    }
    return Architecture(
        kind="distilbert",
        names=Names(
            prefix="distilbert.",
            block="transformer.layer.{}.",
            of_block=BlockNames(
                norm_1="sa_layer_norm",
                attention_output="attention.out_lin",
                norm_2="output_layer_norm",
                mlp_in="ffn.lin1",
                mlp_out="ffn.lin2",
                query="attention.q_lin",
                key="attention.k_lin",
                value="attention.v_lin",
            ),
            token="embeddings.word_embeddings",
            position="embeddings.position_embeddings",
            embedding_norm="embeddings.LayerNorm",
            buffers=("embeddings.position_ids",),
        ),
        n_blocks=settings.count("n_layers"),
        n_channels=width,
        n_heads=n_heads,
        n_key_heads=n_heads,
        head_size=width // n_heads,
        n_hidden=settings.count("hidden_dim"),
        activation=activation,
        epsilon=1e-12,
        order="after",
        norm="layer",
        biases=_ALL,
        is_causal=False,
        vocabulary=vocabulary,
        n_positions=settings.count("max_position_embeddings"),
        head=heads.get(settings.task),
    )


def _vit(settings: Settings) -> Architecture:
    width, n_heads = settings.count("hidden_size"), settings.count("num_attention_heads")
    size, patch = settings.count("image_size", 224), settings.count("patch_size", 16)
    if size % patch:
        raise settings.refusal("patch_size", patch, f"a divisor of image_size={size}")
    has_bias = settings.flag("qkv_bias", default=True)
    patches = Patches((size, size, settings.count("num_channels", 3)), patch)
    head = Head(settings.n_labels, of_first=True, decoder="classifier", bias="classifier.bias")
    return Architecture(
        kind="vit",
        names=Names(
            prefix="vit.",
            block="encoder.layer.{}.",
            of_block=BlockNames(
                norm_1="layernorm_before",
                attention_output="attention.output.dense",
                norm_2="layernorm_after",
                mlp_in="intermediate.dense",
                mlp_out="output.dense",
                query="attention.attention.query",
                key="attention.attention.key",
                value="attention.attention.value",
            ),
            final_norm="layernorm",
        ),
        n_blocks=settings.count("num_hidden_layers"),
        n_channels=width,
        n_heads=n_heads,
        n_key_heads=n_heads,
        head_size=width // n_heads,
        n_hidden=settings.count("intermediate_size"),
        activation=_activation(settings, "hidden_act", "gelu"),
        epsilon=settings.number("layer_norm_eps", 1e-12),
        order="before",
        norm="layer",
        biases=_ALL if has_bias else _ALL - {"query", "key", "value"},
        is_causal=False,
        n_positions=patches.n + 1,
        patches=patches,
        head=head if settings.task == "classes" else None,
    )


def _llama_like(
    settings: Settings, *, query_bias: bool, output_bias: bool, window: int | None
) -> Architecture:
    width, n_heads = settings.count("hidden_size"), settings.count("num_attention_heads")
    head_size = settings.count("head_dim", width // n_heads)
    vocabulary = settings.count("vocab_size")
    biases = {"query", "key", "value"} if query_bias else set()
    biases |= {"attention_output"} if output_bias else set()
    biases |= {"mlp_in", "mlp_out", "gate"} if settings.flag("mlp_bias", default=False) else set()
    return Architecture(
        kind="llama",
        names=Names(
            prefix="model.",
            block="layers.{}.",
            of_block=BlockNames(
                norm_1="input_layernorm",
                attention_output="self_attn.o_proj",
                norm_2="post_attention_layernorm",
                mlp_in="mlp.up_proj",
                mlp_out="mlp.down_proj",
                query="self_attn.q_proj",
                key="self_attn.k_proj",
                value="self_attn.v_proj",
                gate="mlp.gate_proj",
            ),
            token="embed_tokens",
            final_norm="norm",
            buffers=("rotary_emb.inv_freq",),
        ),
        n_blocks=settings.count("num_hidden_layers"),
        n_channels=width,
        n_heads=n_heads,
        n_key_heads=settings.count("num_key_value_heads", n_heads),
        head_size=head_size,
        n_hidden=settings.count("intermediate_size"),
        activation=_activation(settings, "hidden_act", "silu"),
        epsilon=settings.number("rms_norm_eps", 1e-6),
        order="before",
        norm="rms",
        biases=frozenset(biases),
        is_causal=True,
        vocabulary=vocabulary,
        rotation=_rotation(settings, "rope_theta", head_size),
        window=window,
        head=_of_tokens(settings, vocabulary, "lm_head", tied_by_default=False),
    )


def _rotation(settings: Settings, name: str, n_channels: int) -> Rotation:
    """Return how positions turn; newer folders say it in ``rope_parameters``."""
    told = settings.value("rope_parameters", settings.value("rope_scaling", {}))
    told = told if isinstance(told, Mapping) else {}
    kind = told.get("rope_type", told.get("type", "default"))
    if kind != "default":
        settings.only_graph(f"its positions turn by {kind!r}, another rule than the default one")
    own = Settings(told, f"{settings.source}, its rope_parameters")
    base = own.number("rope_theta", settings.number(name, 10_000.0))
    return Rotation(base, n_channels)


def _llama(settings: Settings) -> Architecture:
    has_bias = settings.flag("attention_bias", default=False)
    return _llama_like(settings, query_bias=has_bias, output_bias=has_bias, window=None)


def _window(settings: Settings) -> int | None:
    is_none = settings.value("sliding_window") is None
    return None if is_none else settings.count("sliding_window")


def _mistral(settings: Settings) -> Architecture:
    window = _window(settings)
    return _llama_like(settings, query_bias=False, output_bias=False, window=window)


def _qwen2(settings: Settings) -> Architecture:
    if settings.flag("use_sliding_window", default=False):
        settings.only_graph("use_sliding_window=true: some of its blocks read but the near past")
    return _llama_like(settings, query_bias=True, output_bias=False, window=None)


def _gpt_neox(settings: Settings) -> Architecture:
    width, n_heads = settings.count("hidden_size"), settings.count("num_attention_heads")
    vocabulary, head_size = settings.count("vocab_size"), width // n_heads
    has_bias = settings.flag("attention_bias", default=True)
    told = settings.value("rope_parameters", {})
    share = told.get("partial_rotary_factor") if isinstance(told, Mapping) else None
    n_turned = int(head_size * (share or settings.number("rotary_pct", 0.25)))
    return Architecture(
        kind="gpt_neox",
        names=Names(
            prefix="gpt_neox.",
            block="layers.{}.",
            of_block=BlockNames(
                norm_1="input_layernorm",
                attention_output="attention.dense",
                norm_2="post_attention_layernorm",
                mlp_in="mlp.dense_h_to_4h",
                mlp_out="mlp.dense_4h_to_h",
                fused="attention.query_key_value",
            ),
            token="embed_in",
            final_norm="final_layer_norm",
            buffers=(
                *("attention.bias", "attention.masked_bias", "rotary_emb.inv_freq"),
                "attention.rotary_emb.inv_freq",
            ),
        ),
        n_blocks=settings.count("num_hidden_layers"),
        n_channels=width,
        n_heads=n_heads,
        n_key_heads=n_heads,
        head_size=head_size,
        n_hidden=settings.count("intermediate_size"),
        activation=_activation(settings, "hidden_act", "gelu"),
        epsilon=settings.number("layer_norm_eps", 1e-5),
        order="parallel" if settings.flag("use_parallel_residual", default=True) else "before",
        norm="layer",
        biases=_ALL if has_bias else _ALL - {"query", "key", "value", "attention_output"},
        is_causal=True,
        vocabulary=vocabulary,
        rotation=_rotation(settings, "rotary_emb_base", n_turned),
        head=_of_tokens(settings, vocabulary, "embed_out", tied_by_default=False),
    )


KINDS: Mapping[str, Callable[[Settings], Architecture]] = {
    "gpt2": _gpt2,
    "bert": _bert,
    "roberta": _roberta,
    "distilbert": _distilbert,
    "vit": _vit,
    "llama": _llama,
    "mistral": _mistral,
    "qwen2": _qwen2,
    "gpt_neox": _gpt_neox,
}
