"""Inputs optimised in batches against one at a time, and what share of the processor that uses."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks._timing import operations_of
from nn_clustering.visualisation import Ascent, Bounds, InputOptimiser

_N_IMAGES, _N_STEPS = 200, 100
_LEARNING_RATE = 0.05


@dataclass
class _Way:
    """A way to optimise images: what makes so many of them, and its seconds for all, run by run."""

    name: str
    n_images: int
    work: Callable[[], object]
    wall: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Do the work, and note the seconds that all images would take."""
        for kind, seconds in zip((self.wall, self.processor), _spent(self.work), strict=True):
            kind.append(seconds * _N_IMAGES / self.n_images)

    def line(self, ours: "_Way") -> str:
        """Return seconds, steps a second, and how many times as long as ours it takes."""
        wall, processor = statistics.median(self.wall), statistics.median(self.processor)
        text = (
            f"  {wall:8.2f} s, {processor:8.2f} s of processor time, "
            f"{_N_IMAGES * _N_STEPS / wall:9,.0f} steps a second: {self.name}"
        )
        if self is ours:
            return text
        times, by_processor = (
            statistics.median(theirs / here for theirs, here in zip(*pair, strict=True))
            for pair in ((self.wall, ours.wall), (self.processor, ours.processor))
        )
        return text + f"; {times:.1f} times as long, {by_processor:.1f} by processor time"


def benchmark_visualisation(
    network: keras.Model, name: str, layer: str, *, runs: int, n_images: int, n_alone: int
) -> str:
    """Compare 200 images x 100 steps for random quarters of a layer, by three ways in turn.

    ``n_images`` are made at once, and ``n_alone`` by each of the other ways; the seconds of all are
    reckoned from these.
    """
    optimiser = InputOptimiser(
        network,
        network.input_shape[1:],
        bounds=Bounds(0, 1),
        ascent=Ascent(_N_STEPS, _LEARNING_RATE),
    )
    masks = _quarters(optimiser.layers[layer])
    one, graphs = _OneByOne(network, layer), _GraphByGraph(network, layer)
    ways = ours, alone, by_graph = (
        _Way(
            f"many at once, here (timed with {n_images})",
            n_images,
            lambda: _in_batches(optimiser, layer, masks[:n_images]),
        ),
        _Way(
            f"one at a time, by a function compiled once (timed with {n_alone})",
            n_alone,
            lambda: [one.optimised(mask) for mask in masks[:n_alone]],
        ),
        _Way(
            f"one at a time, as with Lucid, a graph and a session for each (timed with {n_alone})",
            n_alone,
            lambda: [graphs.optimised(mask) for mask in masks[:n_alone]],
        ),
    )
    compiling = _spent(ours.work)[0] - _spent(ours.work)[0]
    one.optimised(masks[0])
    peaks = []
    for _ in range(runs):
        for way in ways:
            way.run()
        peaks.append(_peak_rate())
    per_step = 2 * _multiply_adds(network, layer)  # forward, and back to the image
    rate = 2 * per_step * _N_IMAGES * _N_STEPS / statistics.median(ours.processor)
    peak = statistics.median(peaks)
    lines = (
        f"{_N_IMAGES} images x {_N_STEPS} steps for units of {layer!r} of {name}",
        *(way.line(ours) for way in (ours, alone, by_graph)),
        f"  the first time {compiling:.1f} s more; {per_step / 1e6:.2f} million multiply-adds a "
        f"step of an image: {rate / 1e9:.0f} Gflop in a second of processor time, "
        f"{rate / peak:.0%} of the {peak / 1e9:.0f} of a large product",
    )
    return "\n".join(lines)


def _quarters(n_units: int) -> np.ndarray:
    random = np.random.default_rng(0)
    ranks = random.permuted(np.tile(np.arange(n_units), (_N_IMAGES, 1)), axis=1)
    masks: np.ndarray = ranks < n_units // 4
    return masks


def _in_batches(optimiser: InputOptimiser, layer: str, masks: np.ndarray) -> None:
    size = optimiser.batch_size(layer)
    for start in range(0, len(masks), size):
        batch = masks[start : start + size]
        seeds = list(range(start, start + len(batch)))
        optimiser.optimise(layer, batch, seeds, on_progress=lambda n_steps: None)


class _OneByOne:
    """One image at a time by Keras' Adam, in a function that is compiled once for all of them."""

    def __init__(self, network: keras.Model, layer: str) -> None:
        self._shape = network.input_shape[1:]
        self._scales = _scales(*self._shape[:2])
        self._waves = tf.Variable(self._start())
        self._adam = keras.optimizers.Adam(_LEARNING_RATE, epsilon=1e-8)
        self._adam.build([self._waves])
        units = keras.Model(network.inputs, network.get_layer(layer).output)

        @tf.function  # type: ignore[untyped-decorator]
        def step(mask: tf.Tensor) -> None:
            with tf.GradientTape() as tape:
                image = _image(self._waves, self._scales, self._shape)
                values = units(image, training=False)
                loss = -_objective(values, mask)
            self._adam.apply_gradients([(tape.gradient(loss, self._waves), self._waves)])

        self._step = step

    def optimised(self, mask: np.ndarray) -> np.ndarray:
        """Return an image for some units."""
        self._waves.assign(self._start())
        for variable in self._adam.variables:
            if variable is not self._adam.learning_rate:
                variable.assign(np.zeros(variable.shape))
        as_numbers = tf.constant(mask, tf.float32)
        for _ in range(_N_STEPS):
            self._step(as_numbers)
        image: np.ndarray = _image(self._waves, self._scales, self._shape).numpy()
        return image

    def _start(self) -> np.ndarray:
        return _random_waves(self._shape)


class _GraphByGraph:
    """As users of Lucid do: each image has a graph of its own, and a session that runs each step.

    The network is frozen and imported into every graph, as a model of Lucid's is.
    """

    def __init__(self, network: keras.Model, layer: str) -> None:
        from tensorflow.python.framework.convert_to_constants import (
            convert_variables_to_constants_v2,
        )

        self._shape = network.input_shape[1:]
        self._scales = _scales(*self._shape[:2])
        units = keras.Model(network.inputs, network.get_layer(layer).output)
        function = tf.function(lambda x: units(x, training=False)).get_concrete_function(
            tf.TensorSpec((1, *self._shape), tf.float32)
        )
        frozen = convert_variables_to_constants_v2(function)
        self._network = frozen.graph.as_graph_def()
        self._read, self._made = frozen.inputs[0].name, frozen.outputs[0].name

    def optimised(self, mask: np.ndarray) -> np.ndarray:
        """Return an image for some units."""
        v1 = tf.compat.v1
        with tf.Graph().as_default(), v1.Session() as session:
            waves: Any = v1.Variable(_random_waves(self._shape), use_resource=False)
            image = _image(waves, self._scales, self._shape)
            (values,) = tf.graph_util.import_graph_def(
                self._network, {self._read: image}, [self._made], name="network"
            )
            loss = -_objective(values, tf.constant(mask, tf.float32))
            step = v1.train.AdamOptimizer(_LEARNING_RATE).minimize(loss)
            session.run(v1.global_variables_initializer())
            for _ in range(_N_STEPS):
                session.run([loss, step])
            found: np.ndarray = session.run(image)
        return found


def _random_waves(shape: tuple[int, ...]) -> np.ndarray:
    height, width, channels = shape
    random = np.random.default_rng(0)
    waves: np.ndarray = random.normal(0, 0.01, (2, channels, height, width // 2 + 1))
    return waves.astype(np.float32)


def _scales(height: int, width: int) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    scales = np.sqrt(height * width) / np.maximum(frequency, 1 / max(height, width)) / 4
    return scales.astype(np.complex64)


def _image(waves: tf.Tensor, scales: np.ndarray, shape: tuple[int, ...]) -> tf.Tensor:
    spectrum = tf.complex(waves[0], waves[1]) * scales
    image = tf.signal.irfft2d(spectrum, shape[:2])
    return tf.sigmoid(tf.transpose(image, (1, 2, 0)))[tf.newaxis]


def _objective(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    means = tf.reduce_mean(tf.reshape(values, (-1, values.shape[-1])), axis=0)
    return tf.reduce_sum(means * mask)


def _multiply_adds(network: keras.Model, last: str) -> float:
    """Return those of an image's pass up to a layer."""
    total = 0.0
    for layer in network.layers:
        total += operations_of(layer) if hasattr(layer, "kernel") else 0
        if layer.name == last:
            break
    return total


def _peak_rate(size: int = 4096) -> float:
    """Return the operations of a large matrix product in a second of processor time."""
    matrix = tf.random.stateless_normal((size, size), (0, 0))
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    product()
    return 2 * size**3 / min(_spent(lambda: product().numpy())[1] for _ in range(3))


def _spent(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that work takes, and those of processor time."""
    start = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start[0], time.process_time() - start[1]
