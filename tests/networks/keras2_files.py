"""Files as Keras 2 has written them, made by hand: configs, and two ways to store weights."""

import io
import json
import zipfile

import h5py
import numpy as np


def layer(class_name, name, inbound=(), *, module=None, **settings):
    """A layer as configs of Keras 2 have it; `inbound` are the names of those that it reads."""
    config = {"name": name, "trainable": True, "dtype": "float32", **settings}
    entry = {"class_name": class_name, "config": config}
    if module is not None:  # in .keras files alone
        entry |= {"module": module, "registered_name": None}
    calls = [source if isinstance(source, tuple) else (source, 0) for source in inbound]
    nodes = [[[source, number, 0, {}] for source, number in calls]] if calls else []
    return {**entry, "name": name, "inbound_nodes": nodes}


def functional(layers, inputs, outputs, name="network"):
    """A functional network as configs of Keras 2 have it."""
    return {
        "class_name": "Functional",
        "config": {
            "name": name,
            "layers": layers,
            "input_layers": [[one, 0, 0] for one in inputs],
            "output_layers": [
                [*one, 0] if isinstance(one, tuple) else [one, 0, 0] for one in outputs
            ],
        },
    }


def hdf5(config, weights, version="2.15.0"):
    """The file of `model.save('NAME.h5')`.

    Args:
        config: Of the network.
        weights: By the name of each layer its arrays, in their order.
        version: Of the Keras that seems to have written it.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = version
        file.attrs["training_config"] = json.dumps({"loss": "somebody>loss"})
        of_layers = file.create_group("model_weights")
        of_layers.attrs["layer_names"] = [name.encode() for name in weights]
        of_layers.attrs["backend"] = b"tensorflow"
        of_layers.attrs["keras_version"] = version.encode()
        for name, arrays in weights.items():
            group = of_layers.create_group(name)
            group.attrs["weight_names"] = [f"{name}/{i}:0".encode() for i in range(len(arrays))]
            for i, array in enumerate(arrays):
                group[f"{name}/{i}:0"] = array
    return content.getvalue()


def archive(config, weights, version="2.15.0"):
    """The file of `model.save('NAME.keras')`; weights go by class, as `conv2d_1`."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, arrays in weights.items():
            group = file.create_group(f"layers/{name}/vars")
            for i, array in enumerate(arrays):
                group[str(i)] = array
    return zipped(
        {
            "metadata.json": json.dumps({"keras_version": version}),
            "config.json": json.dumps({"module": "keras.src.engine.functional", **config}),
            "model.weights.h5": content.getvalue(),
        }
    )


def zipped(members, compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as file:
        for name, member in members.items():
            file.writestr(name, member)
    return content.getvalue()


def arrays(*shapes, seed=0):
    random = np.random.default_rng(seed)
    return [random.uniform(0.5, 1.5, shape).astype(np.float32) for shape in shapes]
