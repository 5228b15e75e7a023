"""Configs of Keras 2, as Keras 3 has them; what Keras 3 computes otherwise is refused."""

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import keras

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks._layer_configs import NETWORKS, OF_CODE, ONLY_IN_TRAINING, home_of

# Names of layers that Keras 3 has under another.
_RENAMED = {
    "Model": "Functional",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
}
# Settings that Keras 3 has not, with the values that change nothing; None for any value.
_GONE: Mapping[str, tuple[Any, ...] | None] = {
    "groups": (1,),
    "implementation": None,  # how, not what, a recurrent layer computes
    "input_length": None,  # of an embedding: what it will read
    "trainable": None,
    "rng_type": None,
    "vectorized": None,
    "fused": None,
}
# Packages that Keras 2 has been in.
_KERAS_2 = ("keras", "tf_keras")
# Activations that Keras 3 has under the same name, and computes otherwise.
_OTHERWISE = {"hard_sigmoid": "0.2 x + 0.5 in Keras 2, x / 6 + 0.5 in Keras 3, between 0 and 1"}
# Layers that Keras 3 has not, or that make something else there.
_NO_LONGER = (
    *("LocallyConnected1D", "LocallyConnected2D", "RandomHeight", "RandomWidth", "RandomCrop"),
    *("CuDNNLSTM", "CuDNNGRU", "DenseFeatures", "RandomFourierFeatures"),
)


def as_in_keras_3(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the config of a network of Keras 2 as Keras 3 has it.

    Raises:
        InvalidInputError: If a setting is not in Keras 3, or computes otherwise there.
    """
    return _Translation(source).entry(config)


class _Translation:
    """Translates the entries (class and config) of which a config is made."""

    def __init__(self, source: str) -> None:
        self._source = source

    def entry(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        package, _, name = entry["class_name"].rpartition(">")
        name = _RENAMED.get(name.rpartition(".")[2], name.rpartition(".")[2])
        inner = entry.get("config") or {}
        if package:  # of a class that its author has registered
            made = {"module": None, "registered_name": entry["class_name"], "class_name": name}
            return {**made, "config": self._values(inner)}
        if "Policy" in name and isinstance(inner, Mapping):
            return {
                "module": "keras",
                "class_name": "DTypePolicy",
                "config": {"name": inner["name"]},
                "registered_name": None,
            }
        if name == "function":
            return {**entry, "module": "builtins", "registered_name": "function"}
        if name in NETWORKS:
            return self._network(name, inner)
        if name in _NO_LONGER:
            raise self._refusal(inner, name, "no counterpart in Keras 3 that computes the same")
        if name == "ThresholdedReLU":
            name, inner = "ReLU", {**_of_every_layer(inner), "threshold": inner["theta"]}
        is_authors = str(entry.get("module", "keras")).partition(".")[0] not in _KERAS_2
        module = None if is_authors else home_of(name)
        if module == "keras.layers" and name not in OF_CODE:
            inner = self._layer(name, inner)
        return {
            "module": module,
            "class_name": name,
            "config": self._values(inner),
            "registered_name": None if module else name,
        }

    def _values(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            if "class_name" in value and "config" in value:
                return self.entry(value)
            return {key: self._values(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._values(inner) for inner in value]
        return value

    def _layer(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        known = set(_settings_of(getattr(keras.layers, name)))
        translated = dict(config)
        if "batch_input_shape" in translated:
            shape = translated.pop("batch_input_shape")
            if name == "InputLayer":
                translated["batch_shape"] = shape
        if name == "BatchNormalization" and isinstance(translated.get("axis"), list):
            (translated["axis"],) = translated["axis"]
        if name == "LeakyReLU" and "alpha" in translated:
            translated["negative_slope"] = translated.pop("alpha")
        for key in [key for key in translated if key not in known]:
            self._check_gone(name, key, translated.pop(key), config)
        for key, value in translated.items():
            if key.endswith("activation") and isinstance(value, str) and value in _OTHERWISE:
                raise self._refusal(
                    config, name, f"{key}={value}, which is another one now ({_OTHERWISE[value]})"
                )
        return translated

    def _check_gone(self, name: str, key: str, value: Any, config: Mapping[str, Any]) -> None:
        harmless = _GONE.get(key, ())
        if key.endswith(ONLY_IN_TRAINING):
            return
        if value not in (None, False) and harmless is not None and value not in harmless:
            raise self._refusal(config, name, f"{key}={value!r}, which Keras 3 does not have")

    def _refusal(self, config: Mapping[str, Any], name: str, what: str) -> InvalidInputError:
        return InvalidInputError(
            f"{self._source} was written by Keras 2, and its layer {config.get('name')!r} "
            f"({name}) has {what}: rebuild the network of layers that Keras 3 has"
        )

    def _network(self, name: str, config: Any) -> dict[str, Any]:
        if name == "Sequential":
            given = {"layers": config} if isinstance(config, list) else dict(config)
            made = {
                key: given[key]
                for key in ("name", "trainable", "build_input_shape")
                if key in given
            }
            made.setdefault("name", "sequential")  # in the first years it was a bare list
            made["layers"] = list(self._in_turn(given["layers"]))
        else:
            name = "Functional"
            kinds = {
                entry["name"]: _RENAMED.get(entry["class_name"], entry["class_name"])
                for entry in config["layers"]
            }
            made = {key: config[key] for key in ("name", "trainable") if key in config}
            made["layers"] = [self._called(entry, kinds) for entry in config["layers"]]
            made["input_layers"] = _alone(config["input_layers"])
            made["output_layers"] = _outputs(_alone(config["output_layers"]), kinds)
        return {
            "module": NETWORKS[name],
            "class_name": name,
            "config": made,
            "registered_name": name,
        }

    def _in_turn(self, layers: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the layers of a sequential network, with its input first where that is known."""
        shape = layers[0]["config"].get("batch_input_shape") if layers else None
        if shape is not None and layers[0]["class_name"] != "InputLayer":
            yield {
                "module": "keras.layers",
                "class_name": "InputLayer",
                "config": {"batch_shape": shape},
                "registered_name": None,
            }
        yield from (self.entry(layer) for layer in layers)

    def _called(self, entry: Mapping[str, Any], kinds: Mapping[str, str]) -> dict[str, Any]:
        """Return a layer of a functional network with its calls."""
        calls = [
            [
                [name, _call_number(number, kinds.get(name)), *rest]
                for name, number, *rest in (call if isinstance(call[0], list) else [call])
            ]
            for call in entry["inbound_nodes"]
        ]
        return {**self.entry(entry), "name": entry["name"], "inbound_nodes": calls}


def _call_number(number: int, kind: str | None) -> int:
    """Return the number of a call; networks in networks had a first one that was none."""
    return number - 1 if kind in NETWORKS else number


def _outputs(outputs: Any, kinds: Mapping[str, str]) -> Any:
    """Return where outputs come from; of functional networks Keras 3 counts calls as Keras 2."""
    if isinstance(outputs, Mapping):
        return {key: _outputs(value, kinds) for key, value in outputs.items()}
    name, number, *rest = outputs
    if isinstance(name, str):
        return [name, number - 1 if kinds.get(name) == "Sequential" else number, *rest]
    return [_outputs(output, kinds) for output in outputs]


def _alone(tensors: Any) -> Any:
    """Return the only one of a list of tensors by itself, as Keras 2 understands it."""
    is_list = isinstance(tensors, list) and isinstance(tensors[0], list)
    return tensors[0] if is_list and len(tensors) == 1 else tensors


def _settings_of(layer: type) -> Iterator[str]:
    """Yield the names of the settings that a layer of Keras 3 takes."""
    own = inspect.signature(layer).parameters
    yield from own
    if any(one.kind is one.VAR_KEYWORD for one in own.values()):
        yield from inspect.signature(keras.Layer.__init__).parameters


def _of_every_layer(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: config[key] for key in ("name", "trainable", "dtype") if key in config}
