"""The edges of a transformer's graph against a probe that shares no code with the library."""

import numpy as np
import pytest

from nn_clustering.graphs import graph_from_weights
from tests.graphs.plain_transformer import DESIGNS, N_BLOCKS, WIDTH, PlainTransformer, build

TOKENS = np.array([3, 0, 6, 2, 3])


@pytest.fixture(scope="module", params=DESIGNS, ids=lambda design: design.name)
def transformer(request):
    """A network, and its pass in NumPy."""
    network = build(request.param)
    return network, PlainTransformer(network, request.param)


def edges(graph, outputs):
    """The weights between sets by their names, with ``tokens`` for the input's."""
    names = ["tokens", *(layer.name for layer in graph.layers[1:])]
    names[-1] = outputs
    return {(names[block.source], names[block.target]): block.weights for block in graph.edges}


def test_the_probe_computes_what_the_network_does(transformer):
    network, probe = transformer
    found = network(TOKENS[None])[0]
    np.testing.assert_allclose(probe.run(TOKENS).logits, found, rtol=0, atol=1e-5)


def test_contracted_edges_are_derivatives(transformer):
    """Of every sum by every earlier unit's output, without what norms divide by."""
    network, probe = transformer
    graph = graph_from_weights(network, residual="contracted", inputs=True, outputs=True)
    found = edges(graph, "output")
    derivatives = probe.derivatives(TOKENS, divides=False)
    assert found.keys() == derivatives.keys()
    for pair, sums in derivatives.items():
        for by_position in sums:
            assert np.ptp(by_position, axis=1).max() < 1e-12
        expected = sum(np.abs(of_sum[:, 0]) for of_sum in sums)
        np.testing.assert_allclose(found[pair], expected, rtol=1e-4, atol=1e-5, err_msg=str(pair))


def test_norms_scale_the_edges_of_a_position_alike(transformer):
    """What they divide by makes of the edges between two sets a multiple at each position."""
    probe = transformer[1]
    divided, plain = (probe.derivatives(TOKENS, divides=divides) for divides in (True, False))
    assert divided.keys() == plain.keys()
    for pair, sums in divided.items():
        for with_divisors, without in zip(sums, plain[pair], strict=True):
            ratio = with_divisors / without
            assert (ratio > 0).all()
            np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:1, :, :1], ratio.shape))


def test_edges_with_the_stream_are_weights(transformer):
    """With a stream of units: what reads it, times the norm's scale, and what writes to it."""
    network, probe = transformer
    graph = graph_from_weights(network, residual="units", inputs=True, outputs=True)
    found = {frozenset(pair): block for pair, block in edges(graph, "output").items()}
    assert len(found) == len(graph.edges) == 2 + 2 * N_BLOCKS
    (stream,) = {name for pair in found for name in pair if "tokens" in pair} - {"tokens"}
    gamma = np.ones(WIDTH)

    def check(units, reading, writing):
        block = found[frozenset((stream, units))]
        expected = sum(np.abs(gamma[:, None] * kernel) for kernel in reading)
        expected = expected + (0 if writing is None else np.abs(writing).T)
        np.testing.assert_allclose(block, expected, rtol=1e-5, err_msg=units)

    np.testing.assert_allclose(
        found[frozenset(("tokens", stream))], np.abs(probe.weights("token_embedding")[0]), rtol=1e-5
    )
    for block in range(N_BLOCKS):
        name, pre = f"block_{block}", probe.design.is_pre_norm
        gamma = probe.weights(f"{name}_norm_1")[0] if pre else gamma
        into, out_of = probe.values(block)
        check(f"{name}_attention/value", [into], np.abs(out_of).sum(1).reshape(-1, WIDTH))
        gamma = probe.weights(f"{name}_norm_{2 if pre else 1}")[0]
        neurons, read_by = f"{name}_mlp_in", [probe.weights(f"{name}_mlp_in")[0]]
        if probe.design.is_gated:
            neurons, read_by = (
                f"{name}_mlp_product",
                [*read_by, probe.weights(f"{name}_mlp_gate")[0]],
            )
        check(neurons, read_by, probe.weights(f"{name}_mlp_out")[0])
        gamma = gamma if pre else probe.weights(f"{name}_norm_2")[0]
    gamma = probe.weights("last_norm")[0] if probe.design.is_pre_norm else gamma
    if probe.design.is_tied:
        check("output", [probe.weights("token_embedding")[0].T], None)
    else:
        check("output", [probe.weights("output")[0]], None)
