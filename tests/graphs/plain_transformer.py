"""Small transformers of plain Keras layers, and their pass in NumPy with much of it frozen.

The pass reads the network's weights by its layers' names; the library's walk, rules and tracing
have no part in it. With the attention's patterns, the norms' means and divisors and every unit's
output frozen at what they are, what is left is linear: what is added to a unit's output at all
positions changes others by the product of the weights between, on ways that no other unit lies on.
"""

from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers, ops

N_TOKENS, LENGTH, WIDTH, N_BLOCKS = 7, 5, 6, 2
N_HEADS, HEAD, N_NEURONS = 4, 3, 8


@dataclass(frozen=True)
class Design:
    """How a transformer is built: norms before what reads the stream, or behind each sum."""

    name: str
    is_pre_norm: bool = True
    norm: type = layers.LayerNormalization
    is_gated: bool = False
    n_value_heads: int = N_HEADS
    is_tied: bool = False
    is_causal: bool = False


DESIGNS = (
    Design("pre-norm, tied, causal", is_tied=True, is_causal=True),
    Design("post-norm", is_pre_norm=False),
    Design("RMS norm, gated, grouped queries", norm=layers.RMSNormalization, is_gated=True,
           n_value_heads=2),
)  # fmt: skip


def build(design, seed=0):
    """Return a network with all its weights drawn at random, scales of either sign among them."""
    tokens = keras.Input((LENGTH,), dtype="int32", name="tokens")
    if design.is_tied:
        embedding = layers.ReversibleEmbedding(N_TOKENS, WIDTH, name="token_embedding")
    else:
        embedding = layers.Embedding(N_TOKENS, WIDTH, name="token_embedding")
    places = ops.cumsum(ops.ones_like(tokens), axis=1) - 1
    positions = layers.Embedding(LENGTH, WIDTH, name="position_embedding")(places)
    stream = layers.Add(name="embedded")([embedding(tokens), positions])
    for block in range(N_BLOCKS):
        stream = _block(stream, f"block_{block}", design)
    if design.is_pre_norm:
        stream = design.norm(name="last_norm")(stream)
    if design.is_tied:
        logits = embedding(stream, reverse=True)
    else:
        logits = layers.Dense(N_TOKENS, name="output")(stream)
    network = keras.Model(tokens, logits, name="transformer")
    random = np.random.default_rng(seed)
    network.set_weights([random.normal(0, 0.7, w.shape) for w in network.get_weights()])
    return network


def _block(stream, name, design):
    read = _normed(stream, f"{name}_norm_1", design, before=True)
    if design.n_value_heads == N_HEADS:
        attention = layers.MultiHeadAttention(N_HEADS, HEAD, name=f"{name}_attention")
    else:
        attention = layers.GroupQueryAttention(
            HEAD, N_HEADS, design.n_value_heads, name=f"{name}_attention"
        )
    attended = attention(read, read, use_causal_mask=design.is_causal)
    stream = layers.Add(name=f"{name}_add_1")([stream, attended])
    stream = _normed(stream, f"{name}_norm_1", design, before=False)
    read = _normed(stream, f"{name}_norm_2", design, before=True)
    if design.is_gated:
        gate = layers.Dense(N_NEURONS, activation="silu", name=f"{name}_mlp_gate")(read)
        up = layers.Dense(N_NEURONS, name=f"{name}_mlp_in")(read)
        neurons = layers.Multiply(name=f"{name}_mlp_product")([gate, up])
    else:
        neurons = layers.Dense(N_NEURONS, activation="relu", name=f"{name}_mlp_in")(read)
    written = layers.Dense(WIDTH, name=f"{name}_mlp_out")(neurons)
    stream = layers.Add(name=f"{name}_add_2")([stream, written])
    return _normed(stream, f"{name}_norm_2", design, before=False)


def _normed(stream, name, design, *, before):
    return design.norm(name=name)(stream) if before == design.is_pre_norm else stream


@dataclass
class Pass:
    """What a forward pass has met.

    Attributes:
        logits: What the network puts out, (..., positions, tokens).
        read: By name of a set of units, each sum that is made for them before their nonlinearity.
        frozen: Outputs of units, patterns, means and divisors, by name.
    """

    logits: np.ndarray | None = None
    read: dict[str, list[np.ndarray]] = field(default_factory=dict)
    frozen: dict[str, object] = field(default_factory=dict)


class PlainTransformer:
    """A transformer that :func:`build` made, in NumPy and double precision."""

    def __init__(self, network, design):
        self.design = design
        self._weights = {
            layer.name: [np.asarray(w, float) for w in layer.get_weights()]
            for layer in network.layers
        }

    def weights(self, name):
        return self._weights[name]

    def values(self, block):
        """The kernels into and out of value channels, (width, channels) and (channels, width).

        A value head that several query heads read has the rows of them all, summed.
        """
        of_attention = self.weights(f"block_{block}_attention")
        into, out_of = of_attention[4], of_attention[6]
        n_readers = N_HEADS // self.design.n_value_heads
        out_of = out_of.reshape(self.design.n_value_heads, n_readers, HEAD, WIDTH)
        return into.reshape(WIDTH, -1), out_of

    def run(self, tokens, added=None, at=None, *, divides=True):
        """Pass tokens through, or what is added to units through the frozen network.

        Args:
            tokens: Of shape (positions,).
            added: By name of a set of units, and for which of the heads that read a value alike,
                what is added to their outputs at all positions, of shape (samples, 1, units).
            at: The pass that is frozen; None for one with nothing frozen.
            divides: Whether the norms of a frozen network divide.
        """
        self._added, self._at, self._divides = added or {}, at, divides
        self._pass = Pass()
        one_hot = self._output("tokens", np.eye(N_TOKENS)[tokens], is_linear=True)
        embedding = self.weights("token_embedding")[0]
        stream = one_hot @ embedding + self.weights("position_embedding")[0]
        for block in range(N_BLOCKS):
            stream = self._block(stream, f"block_{block}")
        if self.design.is_pre_norm:
            stream = self._norm(stream, "last_norm")
        if self.design.is_tied:
            self._pass.logits = stream @ embedding.T
        else:
            self._pass.logits = self._dense(stream, "output")
        self._pass.read["output"] = [self._pass.logits]
        return self._pass

    def _block(self, stream, name):
        pre = self.design.is_pre_norm
        read = self._norm(stream, f"{name}_norm_1") if pre else stream
        stream = stream + self._attention(read, f"{name}_attention")
        stream = stream if pre else self._norm(stream, f"{name}_norm_1")
        read = self._norm(stream, f"{name}_norm_2") if pre else stream
        stream = stream + self._neurons(read, name)
        return stream if pre else self._norm(stream, f"{name}_norm_2")

    def _neurons(self, read, name):
        up = self._dense(read, f"{name}_mlp_in")
        if self.design.is_gated:
            gate = self._dense(read, f"{name}_mlp_gate")
            units, sums, value = f"{name}_mlp_product", [gate, up], gate / (1 + np.exp(-gate)) * up
        else:
            units, sums, value = f"{name}_mlp_in", [up], np.maximum(up, 0)
        self._pass.read[units] = sums
        return self._dense(self._output(units, value), f"{name}_mlp_out")

    def _attention(self, read, name):
        query_kernel, query_bias, key_kernel, key_bias = self.weights(name)[:4]
        value_kernel, value_bias, out_kernel, out_bias = self.weights(name)[4:]
        values = np.einsum("...td,dhc->...thc", read, value_kernel) + value_bias
        flat = values.reshape(*values.shape[:-2], -1)
        self._pass.read[f"{name}/value"] = [flat]
        n_readers = N_HEADS // self.design.n_value_heads
        copies = [self._output(f"{name}/value", flat, reader) for reader in range(n_readers)]
        copies = np.stack(np.broadcast_arrays(*copies), axis=-2)
        copies = copies.reshape(*copies.shape[:-1], self.design.n_value_heads, HEAD)
        values = np.swapaxes(copies, -2, -3).reshape(*copies.shape[:-3], N_HEADS, HEAD)
        if self._at is None:
            query = np.einsum("td,dhc->thc", read, query_kernel) + query_bias
            key = np.einsum("td,dhc->thc", read, key_kernel) + key_bias
            scores = np.einsum("thc,shc->hts", query, key.repeat(n_readers, 1)) / np.sqrt(HEAD)
            if self.design.is_causal:
                scores = np.where(np.tri(len(read), dtype=bool), scores, -np.inf)
            scores = np.exp(scores - scores.max(-1, keepdims=True))
            pattern = scores / scores.sum(-1, keepdims=True)
        else:
            pattern = self._at.frozen[name]
        self._pass.frozen[name] = pattern
        mixed = np.einsum("hts,...shc->...thc", pattern, values)
        return np.einsum("...thc,hcd->...td", mixed, out_kernel) + out_bias

    def _norm(self, stream, name):
        is_rms = self.design.norm is layers.RMSNormalization
        gamma, *beta = self.weights(name)
        if self._at is None:
            mean = 0.0 if is_rms else stream.mean(-1, keepdims=True)
            epsilon = 1e-6 if is_rms else 1e-3
            divisor = np.sqrt(((stream - mean) ** 2).mean(-1, keepdims=True) + epsilon)
        else:
            mean, divisor = self._at.frozen[name]
        self._pass.frozen[name] = mean, divisor
        divides = self._at is None or self._divides
        return gamma * (stream - mean) / (divisor if divides else 1.0) + sum(beta)

    def _dense(self, read, name):
        kernel, bias = self.weights(name)
        return read @ kernel + bias

    def _output(self, units, value, reader=0, *, is_linear=False):
        """What a set of units puts out: frozen, and what is added to it."""
        value = value if self._at is None or is_linear else self._at.frozen[units]
        self._pass.frozen[units] = value
        return value + self._added.get((units, reader), 0.0)

    def derivatives(self, tokens, *, divides):
        """By names of two sets of units, derivatives of the second's sums by the first's output.

        Each is a list, one of shape (units of the first, positions, units of the second) for each
        sum of the second, and for each of the heads that read the same value, by a pattern of its
        own; where nothing leads from one to the other it is left out.
        """
        at = self.run(tokens)
        without = self.run(tokens, {}, at, divides=divides)
        found = {}
        for source in ("tokens", *at.read):
            n_readers = N_HEADS // self.design.n_value_heads if "value" in source else 1
            for reader in range(n_readers if source != "output" else 0):
                n_units = at.frozen[source].shape[-1]
                added = {(source, reader): np.eye(n_units)[:, None]}
                moved = self.run(tokens, added, at, divides=divides)
                for target, sums in moved.read.items():
                    for one, other in zip(sums, without.read[target], strict=True):
                        change = np.broadcast_to(one - other, (n_units, *one.shape[-2:]))
                        if np.abs(change).max() > 1e-9:
                            found.setdefault((source, target), []).append(change)
        return found
