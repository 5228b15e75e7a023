"""The engine on random small networks, against a run of the same layers one by one."""

import keras
import numpy as np
from hypothesis import HealthCheck, assume, given, settings, strategies as st
from keras import layers

from nn_clustering.lesions import LesionEngine

WIDTH = 4


def convolution(kind, name):
    return kind(WIDTH, 2, padding="same", name=name, bias_initializer="random_normal")


class Program:
    """Steps that can be run to build a network, or on images with units silenced.

    Of every tensor it knows, place by place on the last axis, which unit of which set is there, and
    which columns of which weight layers lead there.
    """

    def __init__(self, choices):
        self.steps, self.units, self.columns = [], [None], [[set()]]
        self._add_weights(convolution(layers.Conv2D, "weights_0"), 0)
        for kind, first, second in choices:
            a, b = 1 + first % (len(self.units) - 1), 1 + second % (len(self.units) - 1)
            name = f"{kind}_{len(self.steps)}"
            if kind == "weights":
                self._add_weights(convolution(layers.Conv2D, name), a)
            elif kind == "separable":
                self._add_weights(convolution(layers.SeparableConv2D, name), a)
            elif kind == "sum":
                if len(self.units[a]) == len(self.units[b]):
                    columns = [x | y for x, y in zip(self.columns[a], self.columns[b], strict=True)]
                    units = [(name, place) for place in range(len(columns))]
                    self._add(layers.Add(name=name), [a, b], units, columns)
            elif kind == "joined":
                units, columns = self.units[a] + self.units[b], self.columns[a] + self.columns[b]
                self._add(layers.Concatenate(name=name), [a, b], units, columns)
            elif kind == "relu":
                self._add(layers.ReLU(name=name), [a], self.units[a], self.columns[a])
            elif kind == "norm":
                norm = layers.BatchNormalization(name=name, beta_initializer="random_normal")
                self._add(norm, [a], self.units[a], self.columns[a])
        last = len(self.units) - 1
        self._add(
            layers.GlobalAveragePooling2D(name="pool"), [last], self.units[last], self.columns[last]
        )
        output = layers.Dense(3, name="output", kernel_initializer="random_normal")
        self._add_weights(output, last + 1)

    def _add_weights(self, layer, read):
        width = 3 if layer.name == "output" else WIDTH
        named = [(layer.name, place) for place in range(width)]
        self._add(layer, [read], named, [{place} for place in named])

    def _add(self, layer, reads, units, columns):
        self.steps.append((layer, reads))
        self.units.append(list(units))
        self.columns.append(list(columns))

    def run(self, x, silent=(), silence="output"):
        """Run all steps on a symbolic tensor, or on images."""
        silent_columns = set()
        for units, columns in zip(self.units[1:], self.columns[1:], strict=True):
            for unit, leading in zip(units, columns, strict=True):
                if unit in silent:
                    silent_columns |= leading
        values = [x]
        for number, (layer, reads) in enumerate(self.steps):
            read = [values[tensor] for tensor in reads]
            has_weights = layer.name.startswith(("weights", "separable", "output"))
            if silent and has_weights and silence == "output" and number:
                keep = [unit not in silent for unit in self.units[reads[0]]]
                read = [read[0] * np.array(keep, np.float32)]
            made = layer(read if len(read) > 1 else read[0])
            if silent and has_weights and silence == "weights":
                keep = [column not in silent_columns for column in self.units[number + 1]]
                made = made * np.array(keep, np.float32)
            values.append(made)
        return values[-1]


KINDS = ("weights", "weights", "separable", "sum", "joined", "relu", "norm")
CHOICES = st.lists(
    st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=7
)


@settings(deadline=None, max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(choices=CHOICES, silence=st.sampled_from(["output", "weights"]), seed=st.integers(0, 99))
def test_random_networks(choices, silence, seed):
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    program = Program(choices)
    inputs = keras.Input((3, 3, 1))
    network = keras.Model(inputs, program.run(inputs))
    x = random.normal(size=(60, 3, 3, 1)).astype(np.float32)
    y = random.integers(0, 3, len(x))
    sizes = {}
    for units in program.units[1:]:
        for layer, unit in units:
            sizes[layer] = max(sizes.get(layer, 0), unit + 1)
    names = list(LesionEngine(network, x, y).layers)
    assume(names)
    layer = names[seed % len(names)]
    silenced = random.random((3, sizes[layer])) < np.array([[0], [0.3], [0.6]])
    outputs = [
        np.asarray(program.run(x, {(layer, unit) for unit in np.flatnonzero(row)}, silence))
        for row in silenced
    ]
    # what rounding can decide is left out
    clear = np.full(len(x), True)
    for output in outputs:
        ordered = np.sort(output, axis=1)
        clear &= ordered[:, -1] - ordered[:, -2] > 1e-4 * np.abs(output).max(axis=1)
    assume(len(np.unique(y[clear])) > 1)
    engine = LesionEngine(network, x[clear], y[clear], silence=silence)
    for row, output in zip(engine.lesioned({layer: silenced}), outputs, strict=True):
        right = y[clear][output[clear].argmax(axis=1) == y[clear]]
        assert row.tolist() == np.bincount(right, minlength=3).tolist()
