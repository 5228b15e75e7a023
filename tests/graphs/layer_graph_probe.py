"""The edges of a Keras network's graph by a second way: weights carried along Keras' own graph.

Along the layers of a functional network go, for every weight layer behind, the weights from what
that layer reads to the channels of the tensor at hand; what a layer does to channels is measured by
calling it. Neither the library's walk nor its rules nor its tracing have a part in it.
"""

from collections import defaultdict
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers

KEEPS_CHANNELS = (
    layers.Activation, layers.ReLU, layers.MaxPooling2D, layers.AveragePooling2D,
    layers.GlobalAveragePooling2D, layers.ZeroPadding2D, layers.Dropout, layers.Flatten,
    layers.Permute, layers.PReLU,
)  # fmt: skip


@dataclass
class Share:
    """Channels start to stop of a tensor: which origin's, and what multiplied them on the way."""

    origin: str
    start: int
    stop: int
    factors: dict[str, np.ndarray]

    @property
    def channels(self):
        return slice(self.start, self.stop)


@dataclass
class Carried:
    """What is known of a tensor.

    Attributes:
        weights: By weight layer those from what it reads, (its inputs, channels).
        shares: Where its channels arise.
    """

    weights: dict[str, np.ndarray]
    shares: list[Share]

    @property
    def width(self):
        return self.shares[-1].stop

    def scaled(self, name, factors):
        shares = [
            Share(one.origin, one.start, one.stop, {**one.factors, name: factors[one.channels]})
            for one in self.shares
        ]
        return Carried({layer: w * factors for layer, w in self.weights.items()}, shares)


NORMS = {
    "l1": lambda kernel: np.abs(kernel).sum(axis=(0, 1)),
    "max_column_sum": lambda kernel: np.abs(kernel).sum(axis=0).max(axis=0),
}


def norms_of(kernel, norm):
    kernel = np.asarray(kernel, float)
    return np.abs(kernel) if kernel.ndim == 2 else NORMS[norm](kernel)


def side_by_side(read):
    starts = np.cumsum([0, *(one.width for one in read)])
    weights = {}
    for start, one in zip(starts, read, strict=False):
        for layer, w in one.weights.items():
            wide = weights.setdefault(layer, np.zeros((len(w), starts[-1])))
            wide[:, start : start + one.width] += w
    shares = [
        Share(share.origin, share.start + start, share.stop + start, share.factors)
        for start, one in zip(starts, read, strict=False)
        for share in one.shares
    ]
    return Carried(weights, shares)


def added_up(read):
    weights = defaultdict(float)
    for one in read:
        for layer, w in one.weights.items():
            weights[layer] = weights[layer] + w
    return dict(weights)


class LayerGraph:
    """A functional network of distinct layers, with what every weight layer reads.

    Attributes:
        reads: What each weight layer reads, in the order of the network.
        kernels: Its weights, (inputs, units).
        counting: Which of them are convolutions.
        into: For each origin the weights that lead there, by weight layer.
        put_out: What the network puts out.
    """

    def __init__(self, network, norm):
        self.reads, self.kernels, self.into, self.counting = {}, {}, {}, []
        self._norm = norm
        found = {}
        for layer in network.operations:
            node = layer._inbound_nodes[0]
            read = [found[id(tensor)] for tensor in node.input_tensors]
            (made,) = node.outputs
            found[id(made)] = self._made(layer, read, made.shape[-1])
        self.put_out = [found[id(tensor)] for tensor in network.outputs]

    def _made(self, layer, read, width):
        match layer:
            case layers.DepthwiseConv2D():
                made = read[0].scaled(layer.name, norms_of(layer.kernel, self._norm)[:, 0])
            case layers.SeparableConv2D():
                depthwise = norms_of(layer.depthwise_kernel, self._norm)[:, 0]
                read = read[0].scaled(layer.name, depthwise)
                made = self._reading(layer, read, layer.pointwise_kernel)
            case layers.Conv2D() | layers.Dense():
                made = self._reading(layer, read[0], layer.kernel)
            case layers.Concatenate():
                made = side_by_side(read)
            case layers.Add() | layers.Multiply():
                made = self._arising(layer.name, added_up(read), width)
            case layers.BatchNormalization():
                one, zero = np.ones((1, 1, 1, width)), np.zeros((1, 1, 1, width))
                factors = np.abs(np.asarray(layer(one)) - np.asarray(layer(zero)))
                made = read[0].scaled(layer.name, factors.ravel().astype(float))
            case layers.InputLayer():
                made = self._arising("input", {}, width)
            case _:
                assert isinstance(layer, KEEPS_CHANNELS), layer
                (made,) = read
        return made

    def _reading(self, layer, read, kernel):
        self.reads[layer.name] = read
        self.kernels[layer.name] = norms_of(kernel, self._norm)
        if len(kernel.shape) == 4:
            self.counting.append(layer.name)
        weights = {layer.name: self.kernels[layer.name]}
        return self._arising(layer.name, weights, kernel.shape[-1])

    def _arising(self, name, weights, width):
        self.into[name] = weights
        return Carried(weights, [Share(name, 0, width, {})])

    def copied(self):
        """The blocks between sets of every layer's inputs, image left out, by their names."""
        sets = {
            reader: [(self._name(reader, share), share) for share in self._hidden(reader)]
            for reader in self.reads
        }
        ends = [(reader, name, share, self.reads[reader].weights)
                for reader, shares in sets.items() for name, share in shares]  # fmt: skip
        read = {share.origin for _, _, share, _ in ends}
        ends += [
            ("", share.origin, share, put_out.weights)
            for put_out in self.put_out
            for share in put_out.shares
            if share.origin not in read
        ]
        blocks = {}
        for _, target, there, weights in ends:
            for layer in self.counting:
                if layer not in weights or not weights[layer][:, there.channels].any():
                    continue
                for source, here in sets[layer]:
                    block = weights[layer][here.channels, there.channels]
                    blocks[source, target] = blocks.get((source, target), 0) + block
        return blocks

    def _hidden(self, reader):
        return [share for share in self.reads[reader].shares if self.into[share.origin]]

    def _name(self, reader, share):
        one_of_several = len(self.reads[reader].shares) > 1
        return f"{reader}/inputs" + (f"/{share.origin}" if one_of_several else "")

    def one_set(self):
        """The blocks between the sets where units arise, image left out, by their names."""
        by_origin = defaultdict(lambda: ([], []))
        for reader in self.reads:
            for share in self._hidden(reader):
                by_origin[share.origin][reader not in self.counting].append(share)
        for put_out in self.put_out:
            for share in put_out.shares:
                by_origin[share.origin][1].append(share)
        shared = {
            origin: product_of_common(counting or others)
            for origin, (counting, others) in by_origin.items()
        }
        blocks = {}
        for target, (scale, _) in shared.items():
            for layer in self.counting:
                if layer not in self.into[target]:
                    continue
                for share in self._hidden(layer):
                    block = self.into[target][layer][share.channels] * scale
                    common = shared[share.origin][1]
                    for name, factors in share.factors.items():
                        if name not in common:
                            block = block * factors[:, None]
                    pair = share.origin, target
                    blocks[pair] = blocks.get(pair, 0) + block
        return blocks


def product_of_common(shares):
    common = set.intersection(*(set(share.factors) for share in shares))
    product = np.ones(shares[0].stop - shares[0].start)
    for name in common:
        product = product * shares[0].factors[name]
    return product, common


def at_random(network, seed):
    """Give a network weights of both signs, batch norm's factors among them."""
    random = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            width = layer.moving_variance.shape
            if layer.scale:
                layer.gamma.assign(random.uniform(-2, 2, width))
            layer.moving_variance.assign(random.uniform(0.1, 2, width))
    return network


def built(name):
    """A network whose graph the studies made, at the smallest image that it takes."""
    keras.utils.set_random_seed(1)
    applications = keras.applications
    if name == "resnet18":
        import classification_models.tfkeras as image_classifiers

        build, _ = image_classifiers.Classifiers.get(name)
        return build(input_shape=(32, 32, 3), weights=None, classes=10)
    build, size, more = {
        "inceptionv3": (applications.InceptionV3, 75, {}),
        "mobilenetv2": (applications.MobileNetV2, 32, {"alpha": 0.35}),
        "densenet121": (applications.DenseNet121, 32, {}),
    }[name]
    return build(weights=None, input_shape=(size, size, 3), classes=10, **more)
