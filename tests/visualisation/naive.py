"""The plain way to optimise inputs: one at a time in float64, with NumPy's FFT and Adam by hand.

The network is a copy in float64 in which every ReLU is a layer of its own, so that what it reads
and what it makes have names, and its gradient can be changed.
"""

import functools
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

# Of photographs, as the studies' library has it: a row a colour, a column what is optimised.
COLOURS = np.array([[0.26, 0.09, 0.02], [0.27, 0, -0.05], [0.27, -0.09, 0.03]])
MEAN = np.array([123.68, 116.779, 103.939])
# A row a channel of a pixel, a column one that is read.
MIXTURE, SHIFT = np.array([[1, 2, 0], [0, 1, -1], [0.5, 0, 3]]), np.array([0.1, -0.2, 0])
# What networks read of pixels from 0 to 1.
STYLES = {
    None: lambda x: x,
    "none": lambda x: 255 * x,
    "unit": lambda x: x,
    "mixture": lambda x: tf.linalg.matvec(MIXTURE.T, x) + SHIFT,
    "caffe": lambda x: tf.reverse(255 * x - MEAN, [-1]),
    "torch": lambda x: (x - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225],
}
REDUCTIONS = {
    "sum": tf.reduce_sum,
    "absolute": lambda values: tf.reduce_sum(tf.abs(values)),
    "mean": tf.reduce_mean,
}
N_REDIRECTED = 16


class Rectifier(keras.layers.Layer):
    """ReLU; while it redirects, a gradient none of which passes goes where it raises a unit."""

    redirects = False

    def call(self, x):
        @tf.custom_gradient
        def rectified(x):
            def of_loss(gradient):
                gradient, read = gradient.numpy(), x.numpy()
                passed = gradient * (read > 0)
                if self.redirects and not passed.any():
                    lowers = (read < 0) & (gradient > 0)
                    passed = np.where(lowers, 0, gradient)
                return tf.constant(passed, x.dtype)

            return tf.nn.relu(x), of_loss

        return rectified(x) if tf.executing_eagerly() else tf.nn.relu(x)


@dataclass
class Answer:
    """How a network answers one input."""

    score: float
    entropy: float
    dispersion: float
    input: np.ndarray = field(repr=False)


class Naive:
    """A network of which inputs are optimised.

    ``places`` names for every layer of units the layers whose outputs its units are before and
    behind their nonlinearity; by default those of a layer with an activation of its own.
    """

    def __init__(self, network, sample_shape, places=None, *, style=None, bounds=(0, 1)):
        self._tensors, self._rectifiers, self._fused = {}, [], set()
        functional = keras.Model(network.inputs, network.outputs)
        self._network = keras.models.clone_model(
            functional,
            [keras.Input(network.input_shape[1:], dtype="float64")],
            clone_function=self._copied,
            call_function=self._called,
        )
        for layer in functional.layers:
            if layer.weights:
                self._network.get_layer(layer.name).set_weights(layer.get_weights())
        self._sample_shape, self._style, self._bounds = sample_shape, STYLES[style], bounds
        self._places, self._models = places or {}, {}

    def _copied(self, layer):
        config = {**layer.get_config(), "dtype": "float64"}
        is_relu = isinstance(layer, keras.layers.ReLU) or config.get("activation") == "relu"
        if is_relu and not layer.weights:
            return self._rectifier(layer.name)
        if is_relu:
            self._fused.add(layer.name)
            config["activation"] = "linear"
        return type(layer).from_config(config)

    def _rectifier(self, name):
        self._rectifiers.append(Rectifier(name=name, dtype="float64"))
        return self._rectifiers[-1]

    def _called(self, layer, *values, **settings):
        made = layer(*values, **settings)
        self._tensors["before", layer.name] = self._tensors["behind", layer.name] = made
        if layer.name in self._fused:
            made = self._rectifier(f"{layer.name}_rectified")(made)
            self._tensors["behind", layer.name] = made
        return made

    def optimise(
        self,
        layer,
        units,
        start,
        *,
        n_steps,
        learning_rate=0.05,
        reduction="sum",
        position="post",
        decorrelate=False,
        redirect=True,
        moved=lambda step, pixels: pixels,
    ):
        """Return the :class:`Answer` to what is made of a start.

        ``start`` is complex, of shape (height, width // 2 + 1, channels), for waves, or real and of
        the sample's shape for pixels. ``moved`` makes of pixels those that are seen in a step, the
        first of which is 0.
        """
        objective = {"reduction": reduction, "position": position, "units": units}
        at = start.copy()
        first, second = np.zeros_like(at), np.zeros_like(at)
        for step in range(1, n_steps + 1):
            for rectifier in self._rectifiers:
                rectifier.redirects = redirect and step <= N_REDIRECTED
            seen = functools.partial(moved, step - 1)
            gradient = self._gradient(layer, at, decorrelate, objective, seen)
            # real and imaginary parts are numbers of their own
            squared = parts(gradient, np.square)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * squared
            rate = learning_rate * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            at = at + rate * quotient(first, parts(second, np.sqrt), 1e-8)
        found = self._input(at, decorrelate)
        return self.measured(layer, found, units, reduction=reduction, position=position)

    def measured(self, layer, found, units, *, reduction="sum", position="post"):
        """Return the :class:`Answer` to a given input."""
        before, behind, output = self._run(layer, tf.constant(found, tf.float64))
        values = means(behind if position == "post" else before)
        of_units = means(behind).numpy()[units]
        output = output.numpy().ravel().astype(float)
        if not np.isclose(output.sum(), 1) or (output < 0).any():
            output = np.exp(output - output.max())
            output = output / output.sum()
        entropy = -sum(share * np.log(share) for share in output if share > 0)
        spread = np.sqrt(np.mean([(value - of_units.mean()) ** 2 for value in of_units]))
        score = REDUCTIONS[reduction](tf.gather(values, units)).numpy()
        return Answer(float(score), float(entropy), float(spread), np.asarray(found))

    def profile(self, layer, found, position="post"):
        """Return the mean of every unit's map on an input."""
        before, behind, _ = self._run(layer, tf.constant(found, tf.float64))
        return means(behind if position == "post" else before).numpy()

    def _run(self, layer, pixels):
        if layer not in self._models:
            self._models[layer] = self._model(layer)
        read = tf.reshape(self._style(pixels), [1, *self._network.input_shape[1:]])
        return self._models[layer](read)

    def _model(self, layer):
        before, behind = self._places.get(layer, (layer, layer))
        outputs = [self._tensors["before", before], self._tensors["behind", behind]]
        return keras.Model(self._network.inputs, [*outputs, *self._network.outputs])

    def _gradient(self, layer, at, decorrelate, objective, seen):
        raw = tf.constant(self._raw(at, decorrelate))
        with tf.GradientTape() as tape:
            tape.watch(raw)
            low, high = self._bounds
            pixels = low + (high - low) * tf.sigmoid(raw)
            before, behind, _ = self._run(layer, seen(pixels))
            values = means(behind if objective["position"] == "post" else before)
            chosen = tf.gather(values, objective["units"])
            loss = -REDUCTIONS[objective["reduction"]](chosen)
        gradient = -tape.gradient(loss, raw).numpy()
        if decorrelate:
            gradient = gradient @ colours()
        return waves_gradient(gradient) if np.iscomplexobj(at) else gradient

    def _raw(self, at, decorrelate):
        raw = image_of_waves(at, self._sample_shape) if np.iscomplexobj(at) else at
        return raw @ colours().T if decorrelate else raw

    def _input(self, at, decorrelate):
        low, high = self._bounds
        return low + (high - low) / (1 + np.exp(-self._raw(at, decorrelate)))


def top_samples(naive, layer, units, samples, labels, n_top, **objective):
    """Return the samples that move units most, best first, their scores and class entropy."""
    scores = [naive.measured(layer, x, units, **objective).score for x in samples]
    best = sorted(range(len(samples)), key=lambda index: -scores[index])[:n_top]
    counts = {}
    for index in best:
        counts[labels[index]] = counts.get(labels[index], 0) + 1
    entropy = -sum(n / n_top * np.log(n / n_top) for n in counts.values())
    return best, [scores[index] for index in best], entropy


def colours():
    """The colours, the longest column of length 1."""
    longest = max(np.sqrt((COLOURS[:, column] ** 2).sum()) for column in range(3))
    return COLOURS / longest


def means(maps):
    """The mean over positions of every unit's map, of one input."""
    return tf.reduce_mean(tf.reshape(maps, [-1, maps.shape[-1]]), axis=0)


def frequencies(height, width):
    """Cycles in a pixel of every wave, shape (height, width // 2 + 1, 1)."""
    down = np.array([min(row, height - row) / height for row in range(height)])
    across = np.arange(width // 2 + 1) / width
    return np.sqrt(down[:, None] ** 2 + across**2)[..., None]


def scales(height, width):
    smallest = 1 / max(height, width)
    return np.sqrt(height * width) / np.maximum(frequencies(height, width), smallest) / 4


def image_of_waves(waves, shape):
    height, width, channels = shape
    scaled = waves * scales(height, width)
    return np.stack(
        [np.fft.irfft2(scaled[..., c], s=(height, width)) for c in range(channels)], axis=-1
    )


def waves_gradient(gradient):
    """Derivatives by the real and the imaginary parts of waves, from those by the pixels."""
    height, width, _ = gradient.shape
    # each wave stands for itself and its mirror image, but those that are their own
    times = np.full(width // 2 + 1, 2.0)
    times[0] = 1
    if width % 2 == 0:
        times[-1] = 1
    spectrum = np.fft.rfft2(gradient, axes=(0, 1)) / (height * width)
    return spectrum * times[:, None] * scales(height, width)


def parts(values, function):
    if np.iscomplexobj(values):
        return function(values.real) + 1j * function(values.imag)
    return function(values)


def quotient(values, by, epsilon):
    if np.iscomplexobj(values):
        return values.real / (by.real + epsilon) + 1j * values.imag / (by.imag + epsilon)
    return values / (by + epsilon)
