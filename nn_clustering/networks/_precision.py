"""Networks that compute in lower precision, brought back to float32."""

from typing import Any

import keras


def in_float32(network: keras.Model) -> keras.Model:
    """Return an equal network whose layers all compute in float32.

    The weights are the same: in mixed precision too they are float32.

    Args:
        network: The network; one that has no mixed precision is returned itself.
    """
    config = network.get_config()
    in_full = _in_full(config)
    if in_full == config:
        return network
    copy = type(network).from_config(in_full)
    for original, copied in zip(network.variables, copy.variables, strict=True):
        copied.assign(original)
    return copy


def _in_full(config: Any) -> Any:
    """Return a Keras config with float32 in the place of every policy of mixed precision."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {**config["config"], "name": "float32"}}
        return {key: _in_full(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(_in_full(value) for value in config)
    return config
