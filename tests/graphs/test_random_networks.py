"""Random networks of several readers, sums, gates and wrappers, beside what their layers compute.

A network is kept as a recipe: which layer made which tensor of which others. What units do is
measured by calling the layers one after the other, with 1 for one unit and 0 for all else, without
Keras' graph and without the library's walk. All weights are positive, so that nothing cancels.
"""

from collections import Counter
from dataclasses import dataclass

import keras
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from keras import layers
from keras.src.applications.convnext import LayerScale
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from nn_clustering.graphs import graph_from_weights

WEIGHTED = {
    "conv": lambda: layers.Conv2D(2, 1, use_bias=False),
    "dense": lambda: layers.Dense(3, use_bias=False),
    "separable": lambda: layers.SeparableConv2D(2, 1, use_bias=False),
    "separable of two": lambda: layers.SeparableConv2D(2, 1, depth_multiplier=2, use_bias=False),
    "timed": lambda: layers.TimeDistributed(layers.Conv1D(2, 1, use_bias=False)),
    "spectral": lambda: layers.SpectralNormalization(layers.Dense(2, use_bias=False)),
    "einsum": lambda: layers.EinsumDense("abcx,xy->abcy", (1, 2, 3)),
}
SCALING = {
    "norm": lambda width: layers.BatchNormalization(epsilon=0),
    "depthwise": lambda width: layers.DepthwiseConv2D(1, use_bias=False),
    "depthwise of two": lambda width: layers.DepthwiseConv2D(1, depth_multiplier=2, use_bias=False),
    "layer scale": lambda width: LayerScale(1.0, width),
    "half": lambda width: layers.Rescaling(0.5),
    "timed norm": lambda width: layers.TimeDistributed(layers.BatchNormalization(epsilon=0)),
}
MERGING = {
    "add": layers.Add,
    "average": layers.Average,
    "scaled sum": lambda: CustomScaleLayer(0.25),
}
KINDS = [*WEIGHTED, *SCALING, *MERGING, "norm", "concatenate"]
STEPS = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=9
)


@dataclass
class Made:
    """A tensor of the recipe: the layer that made it, and of which tensors by their numbers."""

    layer: keras.Layer | None
    reads: tuple[int, ...]
    kind: str
    tensor: keras.KerasTensor

    @property
    def width(self):
        return self.tensor.shape[-1]

    @property
    def is_origin(self):
        return self.kind in ("input", "weighted", "merge")

    def call(self, values):
        if self.kind == "concatenate":
            return np.concatenate(values, axis=-1)
        tensors = [keras.ops.convert_to_tensor(value.astype("float32")) for value in values]
        return np.asarray(self.layer(tensors if len(tensors) > 1 else tensors[0]))


def recipe_of(steps, seed):
    inputs = keras.Input((1, 2, 2))
    recipe = [Made(None, (), "input", inputs)]

    def add(layer, kind, *reads):
        tensors = [recipe[number].tensor for number in reads]
        recipe.append(Made(layer, reads, kind, layer(tensors if len(reads) > 1 else tensors[0])))

    for name, *numbers in steps:
        one, other = (number % len(recipe) for number in numbers)
        width, widths = recipe[one].width, {recipe[one].width, recipe[other].width}
        if name in MERGING:
            # a gate's one channel goes with each
            if recipe[one].width == max(widths) and (len(widths) == 1 or 1 in widths):
                add(MERGING[name](), "merge", one, other)
        elif name == "concatenate":
            if recipe[one].width + recipe[other].width <= 6:
                add(layers.Concatenate(), "concatenate", one, other)
        elif name in SCALING:
            if width <= 3 or name != "depthwise of two":
                add(SCALING[name](width), "scaling", one)
        else:
            add(WEIGHTED[name](), "weighted", one)
    add(layers.Dense(2, use_bias=False, name="last"), "weighted", len(recipe) - 1)
    network = keras.Model(inputs, recipe[-1].tensor)
    needed = needed_for(recipe, len(recipe) - 1)
    random = np.random.default_rng(seed)
    for variable in network.weights:
        if not variable.path.endswith(("beta", "moving_mean")) and "float" in variable.dtype:
            variable.assign(random.uniform(0.5, 2, variable.shape))
    return network, recipe, needed


def needed_for(recipe, number):
    found, pending = set(), [number]
    while pending:
        one = pending.pop()
        if one not in found:
            found.add(one)
            pending.extend(recipe[one].reads)
    return found


def values_from(recipe, given):
    """All values of which some are given, in the order of the recipe."""
    values = []
    for number, made in enumerate(recipe):
        known = given.get(number)
        values.append(made.call([values[n] for n in made.reads]) if known is None else known)
    return values


def ways_to(recipe, source, number):
    """Yield, for every way from a set to a tensor, the rows of its units and factors by layer."""
    made = recipe[number]
    if number == source:
        yield np.arange(made.width), ()
    if made.is_origin:
        return
    start = 0
    for read in made.reads:
        for rows, factors in ways_to(recipe, source, read):
            if made.kind == "concatenate":
                yield rows + start, factors
                continue
            ones = np.ones((1, 1, 2, recipe[read].width))
            row_factors = made.call([ones])[0, 0, 0]
            copies = made.width // recipe[read].width
            if copies == 1:
                yield rows, (*factors, (number, row_factors[rows]))
            else:  # of every copy its own, so shared by none
                for copy in range(copies):
                    yield rows * copies + copy, factors
        start += recipe[read].width


def shared_by_all(recipe, source, readers):
    """The product of the factors of a layer that are on every way to what reads a set."""
    shared, arrays = None, {}
    for reader in readers:
        (read,) = recipe[reader].reads
        of_reader = ()
        for rows, factors in ways_to(recipe, source, read):
            layer = recipe[reader].layer
            if isinstance(layer, layers.SeparableConv2D) and layer.depth_multiplier == 1:
                own = np.asarray(layer.depthwise_kernel).reshape(-1)
                of_reader = ((reader, own[rows]),)
            counts = Counter()
            for made_by, factor in (*factors, *of_reader):
                key = (made_by, *np.round(factor.astype(float), 5))
                counts[key] += 1
                arrays[key] = factor
            shared = counts if shared is None else shared & counts
    product = np.ones(recipe[source].width)
    for key, n in (shared or {}).items():
        product *= arrays[key].astype(float) ** n
    return product


def expected_blocks(recipe, needed):
    """The weights between sets by the numbers of the two."""
    n_all = len(recipe)
    origins = [n for n in sorted(needed) if recipe[n].is_origin]
    weighted = [n for n in origins if recipe[n].kind == "weighted"]
    readers = {
        source: [
            layer
            for layer in weighted
            if any(True for _ in ways_to(recipe, source, recipe[layer].reads[0]))
        ]
        for source in origins
    }
    sets = [n for n in origins if readers[n] or n == n_all - 1]
    shared = {n: shared_by_all(recipe, n, readers[n]) for n in sets}
    blocks = {}
    for source in sets:
        n_units = recipe[source].width
        zeros = {n: np.zeros((n_units, 1, 2, recipe[n].width)) for n in range(n_all)}
        impulses = np.zeros((n_units, 1, 2, n_units)) + np.eye(n_units)[:, None, None]
        # what the layers read, with nothing from other sets
        cut = {n: zeros[n] for n in range(n_all) if recipe[n].is_origin}
        read = values_from(recipe, {**cut, source: impulses})
        # what they make of it, and what sums make of that
        made = {n: zeros[n] for n in range(n_all) if recipe[n].kind in ("input", "weighted")}
        for layer in weighted:
            made[layer] = recipe[layer].call([read[recipe[layer].reads[0]]])
        reached = values_from(recipe, made)
        for target in sets:
            block = reached[target][:, 0, 0].astype(float)
            if block.any() and recipe[target].kind != "input":
                blocks[source, target] = block * shared[target] / shared[source][:, None]
    return blocks


@given(steps=STEPS, seed=st.integers(0, 2**16))
@settings(max_examples=30)
def test_beside_what_layers_compute(steps, seed):
    network, recipe, needed = recipe_of(steps, seed)
    graph = graph_from_weights(network, inputs=True, dense_layers=True)
    numbers = {"input": 0, **{made.layer.name: n for n, made in enumerate(recipe) if n}}
    names = [numbers[layer.name] for layer in graph.layers]
    found = {(names[edges.source], names[edges.target]): edges.weights for edges in graph.edges}
    expected = expected_blocks(recipe, needed)
    assert found.keys() == expected.keys()
    for pair, block in expected.items():
        assert found[pair] == pytest.approx(block, rel=1e-4)


def widths_of_parts(recipe, number):
    """Numbers of channels of a tensor, one for each part that has an origin of its own."""
    made = recipe[number]
    if made.is_origin:
        return [made.width]
    if made.kind == "concatenate":
        return [width for read in made.reads for width in widths_of_parts(recipe, read)]
    (read,) = made.reads
    return [width * made.width // recipe[read].width for width in widths_of_parts(recipe, read)]


def expected_copies(recipe, needed):
    """What each layer, or the output (None), reads of what another makes of impulses."""
    weighted = [n for n in sorted(needed) if recipe[n].kind == "weighted"]
    read_by = {**{n: recipe[n].reads[0] for n in weighted}, None: len(recipe) - 1}
    blocks = {}
    for source in weighted:
        width = recipe[read_by[source]].width
        made = {
            n: np.zeros((width, 1, 2, one.width))
            for n, one in enumerate(recipe)
            if one.kind in ("input", "weighted")
        }
        impulses = np.zeros((width, 1, 2, width)) + np.eye(width)[:, None, None]
        made[source] = recipe[source].call([impulses])
        reached = values_from(recipe, made)
        for reader, tensor in read_by.items():
            block = reached[tensor][:, 0, 0].astype(float)
            if block.any():
                # a separable layer's own depthwise kernel multiplies what leads into its set
                own_of_source, own = own_factors(recipe, source), own_factors(recipe, reader)
                blocks[source, reader] = block / own_of_source[:, None] * own
    return blocks


def own_factors(recipe, number):
    layer = None if number is None else recipe[number].layer
    if isinstance(layer, layers.SeparableConv2D) and layer.depth_multiplier == 1:
        return np.asarray(layer.depthwise_kernel, float).reshape(-1)
    return np.ones(1)


@given(steps=STEPS, seed=st.integers(0, 2**16))
@settings(max_examples=30)
def test_copied_sets_beside_what_layers_compute(steps, seed):
    network, recipe, needed = recipe_of(steps, seed)
    graph = graph_from_weights(network, residual="copied", inputs=True, dense_layers=True)
    numbers = {made.layer.name: n for n, made in enumerate(recipe) if n}
    places = []  # of each set: its reader, and which of what that reads it holds
    widths = {}
    for layer in graph.layers:
        reader = numbers[layer.name.partition("/")[0]] if "/inputs" in layer.name else None
        start = sum(widths.setdefault(reader, []))
        widths[reader].append(layer.n_units)
        places.append((reader, slice(start, start + layer.n_units)))
    for reader in set(widths) - {None}:
        assert widths[reader] == widths_of_parts(recipe, recipe[reader].reads[0])
    found = {}
    for edges in graph.edges:
        (source, rows), (target, columns) = places[edges.source], places[edges.target]
        whole = np.zeros((sum(widths[source]), sum(widths[target])))
        found.setdefault((source, target), whole)[rows, columns] = edges.weights
    expected = expected_copies(recipe, needed)
    assert found.keys() == expected.keys()
    for pair, block in expected.items():
        assert found[pair] == pytest.approx(block, rel=1e-4)
