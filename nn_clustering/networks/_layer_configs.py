"""A network's config as Keras is to rebuild it: no code, nothing that inference never uses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from nn_clustering.errors import InvalidInputError

# Where Keras 3 has the classes of networks.
NETWORKS = {
    "Functional": "keras.src.models.functional",
    "Model": "keras.src.models.functional",
    "Sequential": "keras",
}
# Layers that hold code, or read it from elsewhere; those of Keras 2 that stand for an operation.
OF_CODE = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
_OF_OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
# Where Keras has the classes and functions of which networks are made.
_MODELLING = (
    *("keras.layers", "keras.models", "keras.activations", "keras.ops", "keras.dtype_policies"),
    *("keras.initializers", "keras.regularizers", "keras.constraints"),
    *("keras.src.layers", "keras.src.models", "keras.src.activations", "keras.src.ops"),
    *("keras.src.applications", "keras.src.dtype_policies"),
)
# Ends of the names of settings that no inference uses.
ONLY_IN_TRAINING = ("_initializer", "_regularizer", "_constraint")
_PLAIN = ("__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__")


@dataclass(frozen=True)
class Reference:
    """A class or function that a config names and Keras does not have.

    Attributes:
        name: Of the class or function.
        registered_name: What Keras has registered it under, PACKAGE>NAME, if its author has.
        layer: Name of the layer that needs it, if it has one.
    """

    name: str
    registered_name: str
    layer: str | None

    def __str__(self) -> str:
        """How to speak of it."""
        registered = self.registered_name if self.registered_name != self.name else ""
        where = f" of its layer {self.layer!r}" if self.layer else ""
        return f"{self.name}{f' ({registered})' if registered else ''}{where}"


class Cleaning:
    """Takes out of a config what a network is read without, and notes what it needs besides Keras.

    Regularisers and constraints go, initialisers are replaced: the weights are in the file.

    Attributes:
        foreign: What Keras does not have.
    """

    def __init__(self, source: str, initialiser: Mapping[str, Any]) -> None:
        """Begin.

        Args:
            source: Where the network comes from, for messages.
            initialiser: The entry that stands in the place of all initialisers.
        """
        self._source = source
        self._initialiser = initialiser
        self.foreign: list[Reference] = []

    def cleaned(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the config of a network without what it is read without.

        Raises:
            InvalidInputError: If it holds code.
        """
        made: dict[str, Any] = self._value(config, None)
        return made

    def _value(self, value: Any, layer: str | None) -> Any:
        if isinstance(value, list):
            return [self._value(inner, layer) for inner in value]
        if not isinstance(value, Mapping):
            return value
        if "class_name" in value and "config" in value:
            return self._entry(value, layer)
        return {key: self._value(inner, layer) for key, inner in value.items()}

    def _entry(self, entry: Mapping[str, Any], layer: str | None) -> dict[str, Any]:
        entry = _with_module(entry)
        name, config = str(entry["class_name"]), entry["config"]
        own_name = config.get("name") if isinstance(config, Mapping) else None
        layer = own_name if isinstance(own_name, str) else layer
        if name in _PLAIN:
            return dict(entry)
        self._check_no_code(name, config, layer)
        if name == "function":
            if self._is_foreign_function(entry):
                self._note_function(str(config), layer)
            return dict(entry)
        is_foreign = _class_of_keras(entry) is None
        if is_foreign:
            self._note(name, entry.get("registered_name"), layer)
        kept = {key: value for key, value in entry.items() if key != "compile_config"}
        if isinstance(config, Mapping):
            clean = self._foreign_settings if is_foreign else self._settings
            kept["config"] = clean(config, layer)
        return {
            key: value if key == "config" else self._value(value, layer)
            for key, value in kept.items()
        }

    def _settings(self, config: Mapping[str, Any], layer: str | None) -> dict[str, Any]:
        """Return the settings of a layer of Keras."""
        made = {}
        for key, value in config.items():
            if key.endswith(ONLY_IN_TRAINING):
                is_initialiser = key.endswith("_initializer") and value is not None
                made[key] = self._initialiser if is_initialiser else None
            else:
                names_function = key.endswith("activation") and isinstance(value, str)
                if names_function and not hasattr(keras.activations, value):
                    self._note_function(value, layer)
                made[key] = self._value(value, layer)
        return made

    def _foreign_settings(self, config: Mapping[str, Any], layer: str | None) -> dict[str, Any]:
        """Return the settings of a layer of its author's, whose code may need them all."""
        return {key: self._value(value, layer) for key, value in config.items()}

    def _check_no_code(self, name: str, config: Any, layer: str | None) -> None:
        if name in (*OF_CODE, "__lambda__", "__typespec__"):
            what = "Lambda" if name == "__lambda__" else name
            raise InvalidInputError(
                f"{self._source} has a layer {layer!r} that is a {what}, which is code: a network "
                "is read without running any. Rebuild it from Keras' layers, such as "
                "Rescaling(1/255) for x / 255"
            )
        if name in _OF_OPERATIONS:
            function = config.get("function") if isinstance(config, Mapping) else None
            raise InvalidInputError(
                f"{self._source} was written by Keras 2, and its layer {layer!r} is an operation "
                f"of TensorFlow ({function or name}), which Keras 3 does not have: rebuild it from "
                "Keras' layers, such as Add for a sum or Rescaling for x / 255"
            )

    def _is_foreign_function(self, entry: Mapping[str, Any]) -> bool:
        name, module = str(entry["config"]), entry.get("module")
        if module == "builtins":
            return not hasattr(keras.activations, name)
        if not _is_of_keras(module):
            return True
        if not str(module).startswith(_MODELLING):
            raise InvalidInputError(
                f"{self._source} names the function {module}.{name}, which is no part of a "
                "network: it is none that Keras has written"
            )
        return False

    def _note_function(self, registered_name: str, layer: str | None) -> None:
        self._note(registered_name.rpartition(">")[2], registered_name, layer)

    def _note(self, name: str, registered_name: object, layer: str | None) -> None:
        self.foreign.append(Reference(name, str(registered_name or name), layer))


def home_of(name: str) -> str | None:
    """Return the module in which Keras has a class of this name; None if it has none."""
    if name in NETWORKS:
        return NETWORKS[name]
    homes = ("keras.layers", "keras.initializers", "keras.regularizers", "keras.constraints")
    found = (home for home in homes if hasattr(getattr(keras, home[6:]), name))
    return next(found, "keras" if name == "DTypePolicy" else None)


def _with_module(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an entry that says where its class is, as those in HDF5 files do not."""
    if "module" in entry:
        return entry
    package, _, name = str(entry["class_name"]).rpartition(">")
    if name == "function":
        return {**entry, "module": "builtins"}
    module = None if package else home_of(name)
    registered = None if module else entry["class_name"]
    return {**entry, "class_name": name, "module": module, "registered_name": registered}


def _is_of_keras(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0] == "keras"


def _class_of_keras(entry: Mapping[str, Any]) -> str | None:
    """Return the place of a class that Keras has; None if it is someone else's."""
    module, name = entry.get("module"), entry["class_name"]
    if not _is_of_keras(module):
        return None
    if module == "keras" or str(module).startswith(_MODELLING):
        return f"{module}.{name}"
    return None


def restore_initialisers(network: keras.Model, initialiser: type) -> None:
    """Put Keras' own initialiser into the places where the one of :class:`Cleaning` stood."""
    for layer in network._flatten_layers():
        for key, value in list(vars(layer).items()):
            if isinstance(value, initialiser):
                setattr(layer, key, keras.initializers.Zeros())
