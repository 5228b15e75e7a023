"""Lesions of a ResNet-18 at 224 x 224, in float32, in bfloat16 and by prediction again."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from keras import layers

from nn_clustering.lesions import LesionEngine
from nn_clustering.lesions._reduced_steps import has_fast_bfloat16

# The lesioned layer, the layer that reads it, and how many lesions make the time measurable.
_POSITIONS = (
    ("early", "stage1_unit1_conv1", "stage1_unit1_conv2", 8),
    ("middle", "stage3_unit1_conv1", "stage3_unit1_conv2", 16),
    ("late", "stage4_unit2_conv1", "stage4_unit2_conv2", 64),
)


def resnet18(x: np.ndarray) -> keras.Model:
    """Return a ResNet-18 of random kernels, with statistics and a last layer of these images.

    It answers image i with class i, by a margin like that of trained networks; the margins between
    classes of a network that is random throughout are far smaller.
    """

    def normed(x: keras.KerasTensor) -> keras.KerasTensor:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.0)(x))

    def convolution(
        x: keras.KerasTensor, filters: int, size: int, strides: int, name: str
    ) -> keras.KerasTensor:
        x = layers.ZeroPadding2D(size // 2)(x)
        return layers.Conv2D(
            filters, size, strides, use_bias=False, name=name, kernel_initializer="he_normal"
        )(x)

    inputs = keras.Input(x.shape[1:])
    hidden = normed(convolution(inputs, 64, 7, 2, "conv0"))
    hidden = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(hidden))
    for stage, filters in enumerate((64, 128, 256, 512), 1):
        for unit in (1, 2):
            name, strides = f"stage{stage}_unit{unit}", 2 if stage > 1 and unit == 1 else 1
            read = normed(hidden)
            branch = normed(convolution(read, filters, 3, strides, f"{name}_conv1"))
            branch = convolution(branch, filters, 3, 1, f"{name}_conv2")
            if unit == 1:
                hidden = convolution(read, filters, 1, strides, f"{name}_shortcut")
            hidden = layers.Add()([branch, hidden])
    features = layers.GlobalAveragePooling2D()(normed(hidden))
    output = layers.Dense(1000, activation="softmax", name="output")
    network = keras.Model(inputs, output(features), name="resnet18")
    network(x, training=True)  # the norms take the statistics of these images
    found = keras.Model(inputs, features)(x).numpy()
    centred = found - found.mean(axis=0)
    kernel = output.kernel.numpy()
    kernel *= 2 / (centred @ kernel).std()
    kernel[:, : len(x)] = 15 * (centred / (centred**2).sum(axis=1, keepdims=True)).T
    output.kernel.assign(kernel)
    output.bias.assign(-found.mean(axis=0) @ kernel)
    return network


@dataclass(frozen=True)
class Position:
    """Processor seconds of an image under a lesion, run by run."""

    name: str
    ours: tuple[float, ...]
    in_float32: tuple[float, ...]
    predicted: tuple[float, ...]
    n_different: int

    def __str__(self) -> str:
        """One line."""
        medians = [
            1000 * statistics.median(s) for s in (self.ours, self.in_float32, self.predicted)
        ]
        ratios = [
            statistics.median(other / ours for ours, other in zip(self.ours, others, strict=True))
            for others in (self.in_float32, self.predicted)
        ]
        return (
            f"  {self.name:8s}{medians[0]:7.2f} ms, in float32 {medians[1]:6.2f} ({ratios[0]:.2f} "
            f"times as long), predicted {medians[2]:6.2f} ({ratios[1]:.0f} times); "
            f"{self.n_different} class counts differ"
        )


def benchmark_image_lesions(*, runs: int, n_images: int = 22) -> str:
    """Compare class counts of lesions of an eighth of a layer, early, middle and late."""
    random = np.random.default_rng(0)
    x = random.uniform(size=(n_images, 14, 14, 3)).repeat(16, axis=1).repeat(16, axis=2)
    x = (x + random.normal(0, 0.1, x.shape)).astype(np.float32)
    network, y = resnet18(x), np.arange(n_images)
    engines = [LesionEngine(network, x, y, precision=name) for name in ("auto", "float32")]
    lines = [
        f"lesions of ResNet-18, 224 x 224, {n_images} images: processor time of an image under a "
        f"lesion; bfloat16 is {'there' if has_fast_bfloat16() else 'not there'}"
    ]
    for name, layer, reader, n_lesions in _POSITIONS:
        n_units = engines[0].layers[layer]
        ranks = random.permuted(np.tile(np.arange(n_units), (n_lesions, 1)), axis=1)
        lesions = {layer: ranks < n_units // 8}
        ours, in_float32 = (engine.lesioned(lesions) for engine in engines)  # compiled here
        seconds: tuple[list[float], ...] = ([], [], [])
        for _ in range(runs):
            for measured, engine in zip(seconds, engines, strict=False):
                spent = _processor_seconds(partial(engine.lesioned, lesions))
                measured.append(spent / n_images / n_lesions)
            predict = _prediction(network, reader, lesions[layer][0], x)
            seconds[2].append(_processor_seconds(predict) / n_images)
        different = int((ours != in_float32).sum())
        lines.append(str(Position(name, *map(tuple, seconds), different)))  # type: ignore[arg-type]
    return "\n".join(lines)


def _prediction(
    network: keras.Model, reader: str, units: np.ndarray, x: np.ndarray
) -> Callable[[], object]:
    """Return what silences units in the layer that reads them and predicts again."""

    def predict() -> None:
        layer = network.get_layer(reader)
        (intact,) = layer.get_weights()
        kernel = intact.copy()
        kernel[:, :, units] = 0
        layer.set_weights([kernel])
        network.predict(x, verbose=0)
        layer.set_weights([intact])

    return predict


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
