"""Small networks of which inputs are optimised, for the tests of visualisation."""

import keras
import numpy as np
from keras import layers


def mlp(shape=(7, 6, 1)):
    return _varied(
        keras.Sequential(
            [
                keras.Input(shape),
                layers.Flatten(),
                layers.Dense(12, "relu", name="dense_1"),
                layers.Dense(10, "relu", name="dense_2"),
                layers.Dense(4, "softmax", name="output"),
            ]
        )
    )


def cnn(shape=(9, 8, 1)):
    """Batch norm before and behind a nonlinearity, pooling of both kinds, a dense layer."""
    inputs = keras.Input(shape)
    x = layers.Conv2D(6, 3, padding="same", name="conv_1")(inputs)
    x = layers.BatchNormalization(name="norm_1")(x)
    x = layers.ReLU(name="relu_1")(x)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(8, (3, 2), activation="relu", name="conv_2")(x)
    x = layers.BatchNormalization(name="norm_2")(x)
    x = layers.AveragePooling2D(2, strides=1)(x)
    x = layers.Dense(7, "relu", name="dense_1")(layers.Flatten()(x))
    return _varied(keras.Model(inputs, layers.Dense(5, "softmax", name="output")(x)))


def residual(shape=(6, 6, 3)):
    """Two blocks that add to one stream, each behind its own norm and nonlinearity."""
    inputs = keras.Input(shape)
    stream = layers.Conv2D(6, 3, padding="same", name="conv_0")(inputs)
    for block in (1, 2):
        x = layers.ReLU(name=f"relu_{block}")(
            layers.BatchNormalization(name=f"norm_{block}")(stream)
        )
        x = layers.Conv2D(8, 3, padding="same", activation="relu", name=f"conv_{block}a")(x)
        x = layers.Conv2D(6, 3, padding="same", name=f"conv_{block}b")(x)
        stream = layers.Add(name=f"sum_{block}")([stream, x])
    x = layers.GlobalAveragePooling2D()(layers.ReLU(name="last_relu")(stream))
    return _varied(keras.Model(inputs, layers.Dense(5, name="output")(x)))


def _varied(network, seed=0):
    """Give biases, norms and kernels values of their own."""
    random = np.random.default_rng(seed)
    for variable in network.variables:
        drawn = random.normal(0, 1, variable.shape)
        if variable.path.endswith("kernel"):
            drawn /= np.sqrt(np.prod(variable.shape[:-1]) / 2)
        elif variable.path.endswith(("gamma", "variance")):
            drawn = np.exp(drawn / 3)
        else:
            drawn *= 0.2
        variable.assign(drawn)
    return network
