"""How many images of each class a network still gets right when units are silenced."""

import inspect
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer, WeightLayer, chain_of_layers, find_weight_layers
from nn_clustering.lesions._checks import check_silencing

# Floats of the widest layer's activations in one batch (32 MB): large batches keep the matrix
# products large, and the activations of a few still fit into memory many times over.
_BATCH_FLOATS = 8_000_000
_LEAST_BATCH = 64


class LesionEngine:
    """Counts correct answers of a network under many lesions of one layer at a time.

    What comes before the lesioned layer is computed once for every batch of images, and all
    lesions of the layer go through the rest of the network in one compiled function.
    """

    def __init__(
        self,
        network: keras.Model,
        x: NDArray[np.float32],
        y: NDArray[np.int32],
        *,
        silence: str = "output",
        batch_size: int | None = None,
    ) -> None:
        """Prepare a network and the images to test it on.

        Args:
            network: A chain of layers from images to class probabilities.
            x: Images, shape (images, height, width, channels).
            y: Their classes, shape (images,).
            silence: One of :data:`SILENCINGS`.
            batch_size: Images computed at a time; by default chosen by the widest layer.

        Raises:
            InvalidInputError: If the network is not such a chain or does not fit the images, or a
                value is out of range.
        """
        check_silencing(silence)
        self._chain = chain_of_layers(network)
        self._layers = {layer.name: layer for layer in find_weight_layers(network)}
        n_outputs = network.output_shape[-1]
        if tuple(network.input_shape[1:]) != x.shape[1:]:
            raise InvalidInputError(
                f"network {network.name!r} takes inputs of shape {network.input_shape[1:]}, the "
                f"data set's images are {x.shape[1:]}: choose the data set that it was trained on"
            )
        if y.shape != (len(x),) or not len(y):
            raise InvalidInputError(
                f"{len(x)} test images but labels of shape {y.shape}; expected one label an image, "
                "and at least one"
            )
        if network.output_shape != (None, n_outputs) or y.min() < 0 or y.max() >= n_outputs:
            raise InvalidInputError(
                f"network {network.name!r} has outputs of shape {network.output_shape[1:]}, the "
                f"data set has classes {y.min()} to {y.max()}: expected one output a class"
            )
        self._x, self._y = x, y
        self._silence = silence
        self._batch_size = batch_size
        self.n_classes = int(n_outputs)
        self.class_sizes = np.bincount(y, minlength=self.n_classes)
        if (self.class_sizes > 0).sum() < 2:
            raise InvalidInputError(
                "the test images are all of one class; expected two classes at least"
            )

    def n_units(self, layer: str) -> int:
        """Return the number of units of a layer of the network.

        Raises:
            InvalidInputError: If the network has no such layer of units.
        """
        if layer not in self._layers:
            raise InvalidInputError(
                f"the network has no layer of units {layer!r}; expected one of "
                f"{', '.join(self._layers)}: the partition belongs to another network"
            )
        return self._layers[layer].n_units

    def intact(self) -> NDArray[np.int64]:
        """Return how many images of each class the intact network gets right, shape (classes,)."""
        layer = next(reversed(self._layers))
        return self.lesioned(layer, np.ones((1, self.n_units(layer)), np.float32))[0]

    def lesioned(
        self,
        layer: str,
        keep: NDArray[np.float32],
        *,
        on_progress: Callable[[int], object] = lambda n_answers: None,
    ) -> NDArray[np.int64]:
        """Return how many images of each class are right under each lesion.

        Args:
            layer: Name of the lesioned layer.
            keep: One row a lesion: 1 for a unit that works, 0 for a silenced one; shape
                (lesions, units).
            on_progress: Called with the number of answers (images times lesions) computed since
                the last call.

        Returns:
            Counts of shape (lesions, classes).

        Raises:
            InvalidInputError: If the network has no such layer, or the lesions do not fit it.
        """
        if keep.ndim != 2 or keep.shape[1] != self.n_units(layer):
            raise InvalidInputError(
                f"lesions of shape {keep.shape} for layer {layer!r}; expected (lesions, "
                f"{self.n_units(layer)})"
            )
        run_batch = self._compile(self._layers[layer])
        masks = tf.constant(keep)
        counts = np.zeros((len(keep), self.n_classes), np.int64)
        width = max(int(np.prod(chained.output.shape[1:])) for chained in self._chain)
        size = self._batch_size or max(_BATCH_FLOATS // width, _LEAST_BATCH)
        for start in range(0, len(self._y), size):
            x, y = self._x[start : start + size], self._y[start : start + size]
            counts += run_batch(tf.constant(x), tf.constant(y), masks).numpy()
            on_progress(len(y) * len(keep))
        return counts

    def _compile(self, lesioned: WeightLayer) -> Callable[..., tf.Tensor]:
        """Compile the pass of some images through the network under many lesions of a layer."""
        by_weights = self._silence == "weights"
        split = lesioned.position if by_weights else lesioned.last_unitwise + 1
        lesioned_layer = self._chain[lesioned.position]
        rest = self._chain[split + 1 :] if by_weights else self._chain[split:]

        def answers(x: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
            if by_weights:
                x = _call_all(rest, _without_weights(lesioned_layer, x, keep))
            elif rest and isinstance(rest[0], keras.layers.Dense):
                x = _call_all(rest[1:], _without_inputs(rest[0], x, keep))
            else:
                x = _call_all(rest, x * keep)
            return tf.argmax(x, axis=-1, output_type=tf.int32)

        def run_batch(x: tf.Tensor, y: tf.Tensor, masks: tf.Tensor) -> tf.Tensor:
            before = _call_all(self._chain[:split], x)

            def count(keep: tf.Tensor) -> tf.Tensor:
                correct = tf.cast(answers(before, keep) == y, tf.int32)
                return tf.math.unsorted_segment_sum(correct, y, self.n_classes)

            return tf.map_fn(count, masks, fn_output_signature=tf.int32)

        return tf.function(run_batch).get_concrete_function(
            tf.TensorSpec((None, *self._x.shape[1:]), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, lesioned.n_units), tf.float32),
        )


def lesionable_layers(layers: Sequence[Layer], network: keras.Model) -> tuple[str, ...]:
    """Return the hidden layers among a partition's layers: not the inputs, not the output.

    Raises:
        InvalidInputError: If a layer is not the network's, or has another number of units there.
    """
    weight_layers = {layer.name: layer for layer in find_weight_layers(network)}
    output = list(weight_layers)[-1] if weight_layers else None
    hidden = []
    for layer in layers:
        if layer.name == "input":
            continue
        found = weight_layers.get(layer.name)
        if found is None or found.n_units != layer.n_units:
            raise InvalidInputError(
                f"the partition has a layer {layer.name!r} of {layer.n_units} units, network "
                f"{network.name!r} has {found.n_units if found else 'no such layer'}: the "
                "partition belongs to another network"
            )
        if layer.name != output:
            hidden.append(layer.name)
    return tuple(hidden)


def _call_all(layers: Sequence[keras.Layer], x: tf.Tensor) -> tf.Tensor:
    for layer in layers:
        takes_training = "training" in inspect.signature(layer.call).parameters
        x = layer(x, training=False) if takes_training else layer(x)
    return x


def _without_inputs(layer: keras.layers.Dense, x: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Apply a dense layer to activations of which some units are silenced.

    The kernel's rows are silenced instead, which gives the same products and is the smaller array.
    """
    x = x @ (layer.kernel.value * keep[:, None])
    if layer.bias is not None:
        x = tf.nn.bias_add(x, layer.bias.value)
    return layer.activation(x)


def _without_weights(layer: keras.Layer, x: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Apply a layer with the kernels and biases of some units set to zero."""
    kernel = layer.kernel.value * keep
    if isinstance(layer, keras.layers.Dense):
        x = x @ kernel
    else:
        x = keras.ops.conv(
            x,
            kernel,
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
    if layer.bias is not None:
        x += layer.bias.value * keep
    return layer.activation(x)
