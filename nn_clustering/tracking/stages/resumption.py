"""Going on with a run that did not come to its end, with the config that it had."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sacred.utils import iterate_flattened, set_by_dotted_path

from nn_clustering.tracking.errors import InvalidInputError
from nn_clustering.tracking.execution_keys import own_keys

if TYPE_CHECKING:
    from nn_clustering.tracking.store.run import Run


def adopt_config(
    config: dict[str, Any],
    defaults: Mapping[str, Any],
    given: Mapping[str, str],
    stored: Run,
    key: str,
    keep: Collection[str],
) -> None:
    """Give a config, in place, the values of a stored run's.

    Args:
        config: The config, nested.
        defaults: The defaults of all its keys, nested.
        given: What the user typed to set a key, by dotted key.
        stored: The run.
        key: The config key that names it.
        keep: Keys, or groups of keys, that stay as they are.

    Raises:
        InvalidInputError: The user has set a key to another value.
    """
    left_alone = {key, *keep, *own_keys(defaults)}
    # Sacred's config shares its inner dictionaries with the defaults of all runs to come
    config.update(copy.deepcopy(config))
    values, stored_values = (dict(iterate_flattened(of)) for of in (config, dict(stored.config)))
    for path, default in iterate_flattened(dict(defaults)):
        parts = path.split(".")
        if left_alone & {".".join(parts[:end]) for end in range(1, len(parts) + 1)}:
            continue
        if path not in stored_values or stored_values[path] == values[path]:
            continue
        value, stored_value = values[path], stored_values[path]
        if path in given or value != default:
            setting = f"{path}={value}"
            typed = given.get(path, setting)
            raise InvalidInputError(
                f"{key}={stored.id} goes on with the config of run {stored.id}, where {path} is "
                f"{stored_value}; leave out {typed}"
                f"{'' if typed == setting else f', which sets {setting}'} (or start a new run "
                f"without {key})"
            )
        set_by_dotted_path(config, path, stored_value)
