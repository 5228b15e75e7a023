"""What every layer with a rule does to units, measured by calling it, beside what the rule says.

Nothing here walks a network: each layer is called by itself, on one unit after the other. Options
and classes of Keras that no probe knows make a test fail by their names.
"""

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import graph_from_weights
from nn_clustering.networks.structure import walk_network
from nn_clustering.networks.structure._layer_kinds import (
    ACTIVATION_KINDS,
    INNER_LAYER_KINDS,
    LAYER_KINDS,
)
from nn_clustering.networks.structure.rules.lookup import embedding
from tests.networks.sample_networks import block
from tests.networks.structure.layer_probes import (
    BOTH_WAYS,
    MERGES,
    NOT_IN_NETWORKS,
    OF_IMAGES,
    PROBES,
    RECURRENT,
    REFUSED,
)

PUBLIC = {
    kind: name
    for name in dir(layers)
    if isinstance(kind := getattr(layers, name), type)
    and issubclass(kind, keras.Layer)
    and kind is not keras.Layer
}
# What says how weights begin, what is paid for them, how they are drawn or stored.
HARMLESS = {
    *("self", "args", "kwargs", "name", "dtype", "seed", "trainable", "quantization_config"),
    *("gptq_unpacked_column_size", "activity_regularizer"),
}
ALL_PROBES = (*PROBES, *MERGES, *RECURRENT, *BOTH_WAYS)
HARMLESS_ENDS = ("_initializer", "_regularizer", "_constraint")


def listed(kind):
    """What the table says of a class, found by name alone."""
    for base in kind.__mro__:
        known = LAYER_KINDS.get(PUBLIC.get(base, "")) or LAYER_KINDS.get(base.__name__)
        known = known or INNER_LAYER_KINDS.get(base.__name__)
        if known is not None:
            return known
    return None


def test_every_layer_of_keras_is_in_the_table():
    assert [name for kind, name in PUBLIC.items() if listed(kind) is None] == []


def test_every_layer_with_a_rule_is_probed():
    probed = {probe.layer for probe in ALL_PROBES}
    ruled = {
        kind
        for kind in PUBLIC
        if (found := listed(kind)).wraps != "code"
        and found.rule is not embedding
        and (found.rule or found.wraps)
    }
    assert {kind.__name__ for kind in ruled - probed} == set(NOT_IN_NETWORKS)
    assert set(INNER_LAYER_KINDS) <= {base.__name__ for kind in probed for base in kind.__mro__}


def test_every_option_of_a_layer_with_a_rule_is_probed():
    """An option that a new version of Keras brings shows here."""
    missing = {}
    for kind in {probe.layer for probe in ALL_PROBES}:
        given = {name for probe in ALL_PROBES if probe.layer is kind for name in probe.options}
        options = {
            name
            for name in inspect.signature(kind.__init__).parameters
            if name not in HARMLESS and not name.endswith(HARMLESS_ENDS)
        }
        # of those that change images any option but the data format is as good as another
        if not issubclass(kind, OF_IMAGES) and options - given:
            missing[kind.__name__] = sorted(options - given)
    assert missing == {}


@pytest.mark.parametrize("name", NOT_IN_NETWORKS)
def test_keras_cannot_put_it_into_a_network(name):
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(ValueError, match="cycle"):
        keras.Model(inputs, getattr(layers, name)()(inputs))


def randomise(variables, random, positive):
    for variable in variables:
        if "float" not in variable.dtype or "count" in variable.path:
            continue
        values = random.uniform(0.5, 2, variable.shape)
        is_positive = positive or "variance" in variable.path or "stddev" in variable.path
        signs = 1 if is_positive else random.choice([-1, 1], variable.shape)
        variable.assign(values * signs)
        if variable.path.endswith("bias"):  # so large that a ReLU lets all through
            variable.assign(np.full(variable.shape, 100.0))


def called(layer, *values):
    """What a layer makes in inference."""
    tensors = [keras.ops.convert_to_tensor(value.astype("float32")) for value in values]
    given = tensors if len(tensors) > 1 else tensors[0]
    takes_training = "training" in inspect.signature(layer.call).parameters
    made = layer(given, training=False) if takes_training else layer(given)
    return keras.ops.convert_to_numpy(made).astype(np.float64)


def measured(probe, layer, random):
    """What each unit makes of each channel, (units, channels), for each tensor that is read."""
    shapes = (probe.shape, *probe.others)
    base = [random.uniform(0.2, 0.8, (1, *shape)) for shape in shapes]
    ways = {"pixels": pixel, "maps": whole_map, "touched": any_place, "proportions": None}
    if probe.how == "proportions":
        return [np.diag(proportions(probe, layer, random))]
    found = []
    for number, shape in enumerate(shapes):
        rows = []
        for unit in range(shape[-1]):
            changed = [one.copy() for one in base]
            totals = 0
            for change in ways[probe.how](shape, random, probe.stride):
                changed[number] = base[number].copy()
                changed[number][0, ..., unit] += change
                difference = np.abs(called(layer, *changed) - called(layer, *base))
                difference[difference < 1e-4 * difference.max()] = 0  # of single precision
                positions = tuple(range(difference.ndim - 1))
                # a map changes all places, of which some see padding too
                added = (
                    difference.max(positions)
                    if probe.how != "pixels"
                    else difference.sum(positions)
                )
                totals = totals + added
            rows.append(totals)
        matrix = np.array(rows)
        found.append((matrix > 0).astype(float) if probe.how == "touched" else matrix)
    return found


def pixel(shape, random, stride):
    """One place after the other, in a block that a stride steps over once."""
    positions = shape[:-1]
    block_shape = [stride if size >= 8 else 1 for size in positions]
    for offset in np.ndindex(*block_shape):
        change = np.zeros(positions)
        change[tuple(4 + o if n >= 8 else o for o, n in zip(offset, positions, strict=True))] = 1
        yield change


def whole_map(shape, random, stride):
    yield np.ones(shape[:-1])


def any_place(shape, random, stride):
    """Enough to change what is rounded, and which of two is the larger."""
    yield random.uniform(50, 60, shape[:-1])
    yield random.uniform(-60, -50, shape[:-1])


def proportions(probe, layer, random):
    """What each unit makes where all that the layer divides by stays as it is.

    The values of a group of units change places, so that their sums and squares are the same.
    """
    groups = probe.options.get("groups", 1)
    n_units = probe.shape[-1]
    values = np.tile(random.uniform(-1, 1, n_units // groups), groups)

    def turned(by):
        return np.roll(values.reshape(groups, -1), by, axis=1).ravel()

    n_positions = int(np.prod(probe.shape[:-1]))
    one, other = (
        np.array([turned(place + by) for place in range(n_positions)]).reshape(1, *probe.shape)
        for by in (0, 1)
    )
    made = called(layer, other) - called(layer, one)
    ratios = np.abs(made / (other - one)).reshape(-1, n_units)[0]
    return ratios / ratios.max()


def network_of(probe, random):
    """Dense layers before and behind a layer, as a network and as they are."""
    shapes = (probe.shape, *probe.others)
    inputs = [keras.Input((*shape[:-1], 2), name=f"input_{n}") for n, shape in enumerate(shapes)]
    firsts = [layers.Dense(shape[-1], name=f"first_{n}") for n, shape in enumerate(shapes)]
    maps = [first(one) for first, one in zip(firsts, inputs, strict=True)]
    layer = probe.build()
    layer.name = "probed"
    last = layers.Dense(2, name="last")
    outputs = last(layer(maps if len(maps) > 1 else maps[0]))
    network = keras.Model(inputs if len(maps) > 1 else inputs[0], outputs, name="net")
    randomise(network.weights, random, probe.positive)
    return network, firsts, layer, last


def weights_of(layer):
    return np.abs(keras.ops.convert_to_numpy(layer.kernel).astype(np.float64))


def graph_of(network):
    return graph_from_weights(network, inputs=True, dense_layers=True)


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")  # it has a rule all the same
@pytest.mark.parametrize("probe", PROBES, ids=str)
def test_edges_are_what_the_layer_does(probe):
    random = np.random.default_rng(0)
    network, (first,), layer, last = network_of(probe, random)
    (made,) = measured(probe, layer, random)
    graph = graph_of(network)
    into, out_of = weights_of(first), weights_of(last)
    found = block(graph, "input", "first_0")
    if probe.is_weighted:
        (name,) = {each.name for each in graph.layers} - {"input", "first_0", "last"}
        after = block(graph, "first_0", name)
        np.testing.assert_allclose(block(graph, name, "last"), out_of, rtol=1e-5)
        # a separable convolution's own depthwise kernels are weighed where its set arises
        np.testing.assert_allclose(
            found[:, :, None] * after, into[:, :, None] * made, rtol=2e-3, atol=1e-6
        )
        if not hasattr(layer, "depthwise_kernel"):
            np.testing.assert_allclose(found, into, rtol=1e-5)
        return
    after = block(graph, "first_0", "last")
    if made.shape[0] == made.shape[1]:  # one factor for each unit, of all that read it
        assert np.count_nonzero(made - np.diag(np.diag(made))) == 0
        factors = np.diag(made)
        if probe.how == "proportions":
            found, into = found / found.max(), into * factors / (into * factors).max()
        else:
            into = into * factors
        np.testing.assert_allclose(found, into, rtol=2e-3)
        np.testing.assert_allclose(after, out_of, rtol=1e-5)
    else:
        np.testing.assert_allclose(found, into, rtol=1e-5)
        np.testing.assert_allclose(after, made @ out_of, rtol=2e-3)


@pytest.mark.parametrize("probe", MERGES, ids=lambda probe: f"{probe}-{probe.others}")
def test_edges_into_a_merge_are_what_it_does(probe):
    random = np.random.default_rng(0)
    network, firsts, layer, last = network_of(probe, random)
    graph = graph_of(network)
    made = measured(probe, layer, random)
    out_of = weights_of(last)
    if probe.layer is layers.Concatenate:
        for n, (first, one) in enumerate(zip(firsts, made, strict=True)):
            np.testing.assert_allclose(block(graph, f"input_{n}", first.name), weights_of(first))
            np.testing.assert_allclose(block(graph, first.name, "last"), one @ out_of, rtol=1e-3)
        return
    for n, (first, one) in enumerate(zip(firsts, made, strict=True)):
        found = block(graph, f"input_{n}", "probed")
        np.testing.assert_allclose(found, weights_of(first) @ one, rtol=1e-3)
    np.testing.assert_allclose(block(graph, "probed", "last"), out_of, rtol=1e-5)


def resets_before(layer):
    """Whether a reset gate acts on what others read of its unit, not on the unit itself."""
    return not getattr(layer, "reset_after", True)


def with_few_weights(layer, random):
    """Give a recurrent layer's kernels weights between some pairs of units, by some gates each."""
    share = 1 if resets_before(layer) else 0.7
    for kernel in (layer.cell.kernel, layer.cell.recurrent_kernel):
        n_gates = kernel.shape[1] // layer.units
        weights = random.uniform(0.3, 1, kernel.shape) * random.choice([-1, 1], kernel.shape)
        weights *= random.random(kernel.shape) < share
        joined = random.random((kernel.shape[0], layer.units)) < 0.4
        kernel.assign(weights * np.tile(joined, n_gates))


def reached(layer, shape, random, *, by_state):
    """Which units a channel that is read, or a state, changes at the time when it is read."""
    n_read = layer.units if by_state else shape[-1]
    n_states = len(layer.cell.get_initial_state(1))
    base = random.normal(size=(1, 1, shape[-1])).astype("float32")
    begin = random.normal(size=(n_states, 1, layer.units)).astype("float32")
    begin[0] *= not resets_before(layer)

    def made(x, states):
        output, *_ = layer.cell(x[:, 0], list(states))
        return np.asarray(output)

    found = np.zeros((n_read, layer.units), bool)
    for unit in range(n_read):
        x, states = base.copy(), begin.copy()
        (states[0] if by_state else x)[..., unit] += 1
        found[unit] = np.abs(made(x, states) - made(base, begin)) > 1e-7
    return found


@pytest.mark.parametrize("probe", RECURRENT, ids=str)
def test_edges_of_a_recurrent_layer_are_where_a_cell_hands_values_on(probe):
    random = np.random.default_rng(0)
    layer = probe.build()
    layer.name = "probed"
    network = keras.Sequential([keras.Input(probe.shape), layer, layers.Dense(2, name="last")])
    with_few_weights(layer, random)
    graph = graph_from_weights(network)
    by_input = reached(layer, probe.shape, random, by_state=False)
    by_state = reached(layer, probe.shape, random, by_state=True)
    assert 0 < by_input.mean() < 1
    assert 0 < by_state.mean() < 1
    np.testing.assert_array_equal(block(graph, "input", "probed") > 0, by_input)
    either = by_state | by_state.T
    np.fill_diagonal(either, val=False)
    np.testing.assert_array_equal(block(graph, "probed", "probed") > 0, either)
    np.testing.assert_allclose(block(graph, "probed", "last"), weights_of(network.layers[-1]))


@pytest.mark.parametrize("probe", BOTH_WAYS, ids=str)
def test_both_ways_of_a_bidirectional_layer_are_walked_as_it_computes(probe):
    layer = probe.build()
    network = keras.Sequential([keras.Input(probe.shape), layer, layers.Dense(2)])
    random = np.random.default_rng(0)
    randomise(network.trainable_variables, random, positive=False)
    walk = walk_network(network)
    x = random.normal(size=(2, *probe.shape)).astype("float32")
    (found,) = walk.run({walk.inputs[0]: x}, walk.outputs).values()
    np.testing.assert_array_equal(found, network(x))
    names = [each.name for each in graph_from_weights(network).layers]
    ways = [way.name for way in (layer.forward_layer, layer.backward_layer)]
    assert [name for name in names if name.split("/")[-1] in ways] == names[1:3]


@pytest.mark.parametrize("one", REFUSED, ids=lambda one: str(one.probe))
def test_options_without_a_rule_are_refused_by_layer_and_option(one):
    network = keras.Sequential([keras.Input(one.probe.shape)], name="net")
    network.add(layers.Dense(one.probe.shape[-1]))
    layer = one.probe.build()
    layer.name = "odd"
    network.add(layer)
    with pytest.raises(InvalidInputError, match=rf"layer 'odd[/'].*{one.reason}"):
        graph_from_weights(network)


ACTIVATIONS = [
    name
    for name in dir(keras.activations)
    if inspect.isfunction(getattr(keras.activations, name))
    and name not in ("deserialize", "get", "serialize", "threshold")  # the last needs a number
]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_keeps_units_apart_or_is_known_not_to(name):
    function = getattr(keras.activations, name)
    values = np.linspace(-0.2, 0.2, 6, dtype=np.float32)[None]
    changed = values.copy()
    changed[0, 2] += 0.05
    one, other = (
        keras.ops.convert_to_numpy(function(keras.ops.convert_to_tensor(v)))
        for v in (values, changed)
    )
    known = ACTIVATION_KINDS.get(name)
    if one.shape != values.shape:
        assert known.refusal is not None
    else:
        mixes = np.flatnonzero(one != other).tolist() not in ([2], [])
        assert (known is not None and known.joins_units) == mixes
