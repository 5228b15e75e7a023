"""Networks in and out of files, without pickle and without running what a file holds."""

import math
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from nn_clustering.errors import InvalidInputError, in_one_line
from nn_clustering.networks._author_code import author_objects
from nn_clustering.networks._keras2_configs import as_in_keras_3
from nn_clustering.networks._layer_configs import Cleaning, restore_initialisers
from nn_clustering.networks._read_file import read_file
from nn_clustering.networks._stored_network import StoredNetwork, stored_network

# The initialiser that stands in the place of all others while a network is rebuilt.
_NAME = "WithinBudget"
_INITIALISER: dict[str, Any] = {
    "module": None,
    "class_name": _NAME,
    "config": {},
    "registered_name": _NAME,
}
# Of what no file holds, as the state of random generators.
_MORE_NUMBERS = 2**20


def read_network(path: Path | str, model_code: str | None = None) -> keras.Model:
    """Read a network from a file of Keras 2 or 3: ``.keras``, ``.h5`` or ``.hdf5``.

    Args:
        path: The file.
        model_code: See :func:`network_from_bytes`.

    Raises:
        InvalidInputError: If there is no such file, or it holds no network that can be read.
    """
    return network_from_bytes(read_file(path), str(path), model_code)


def network_from_bytes(content: bytes, source: str, model_code: str | None = None) -> keras.Model:
    """Read a network from the content of a file of Keras 2 or 3.

    Regularisers, initialisers and constraints are left out: no inference uses them.

    Args:
        content: The content.
        source: Where it comes from, for the message.
        model_code: The module, by its dotted name or its file, that defines the layers and
            activations that are not Keras' own. It alone is imported; None for none.

    Raises:
        InvalidInputError: If it holds no network that can be read, code, classes that nobody
            defines, or weights that are not finite.
    """
    stored = stored_network(content, source)
    config: Any = stored.config
    try:
        if stored.is_of_keras_2:
            config = as_in_keras_3(config, source)
        cleaning = Cleaning(source, _INITIALISER)
        config = cleaning.cleaned(config)
    except InvalidInputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise _not_rebuilt(stored, source, error) from error
    objects = author_objects(model_code, cleaning.foreign, source)
    network = _rebuilt(stored, config, objects, source)
    _load_weights(network, stored, source)
    check_finite(network, source)
    return network


def _zeros_within(n_numbers: int, source: str) -> type[keras.initializers.Initializer]:
    """Return an initialiser: zeros, for no more weights than a file holds.

    Whatever its layers say of their sizes.
    """
    n_left = n_numbers + _MORE_NUMBERS

    class WithinBudget(keras.initializers.Initializer):  # type: ignore[misc]
        def __call__(self, shape: Any, dtype: Any = None) -> Any:
            nonlocal n_left
            n_left -= math.prod(int(size) for size in shape)
            if n_left < 0:
                raise InvalidInputError(
                    f"{source} has layers of more weights than the {n_numbers:,} that it holds: "
                    "it is no network that Keras has written"
                )
            return keras.ops.zeros(shape, dtype)

        def get_config(self) -> dict[str, Any]:
            return {}

    return WithinBudget


def _rebuilt(
    stored: StoredNetwork, config: dict[str, Any], objects: dict[str, Any], source: str
) -> keras.Model:
    initialiser = _zeros_within(stored.n_numbers, source)
    try:
        # by that name layers ask for some weights of which their config says nothing
        with keras.saving.CustomObjectScope({**objects, _NAME: initialiser, "zeros": initialiser}):
            network = keras.saving.deserialize_keras_object(config, safe_mode=True)
    except InvalidInputError:
        raise
    except Exception as error:  # Keras raises whatever its layers, or their authors' code, raise
        raise _not_rebuilt(stored, source, error) from error
    if not isinstance(network, keras.Model):
        raise InvalidInputError(
            f"{source} holds a {type(network).__name__}; expected a network, as "
            "model.save('NAME.keras') writes it"
        )
    restore_initialisers(network, initialiser)
    return network


def _not_rebuilt(stored: StoredNetwork, source: str, error: Exception) -> InvalidInputError:
    return InvalidInputError(
        f"{source} was written by Keras {stored.version}, and Keras {keras.__version__} cannot "
        f"rebuild its layers ({in_one_line(error)}): build them anew with this version, "
        "model.set_weights with those of the old one, and write it with model.save('NAME.keras')"
    )


def _load_weights(network: keras.Model, stored: StoredNetwork, source: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.h5" if stored.is_hdf5 else "network.weights.h5")
        path.write_bytes(stored.weights)
        try:
            network.load_weights(path)
        except Exception as error:  # whatever h5py or a layer raises
            reason = in_one_line(error).replace(str(path), "it")
            raise InvalidInputError(
                f"{source} is damaged: its weights do not fit its layers ({reason}); write it "
                "again where it was made, from the network itself"
            ) from error


def check_finite(network: keras.Model, source: str) -> None:
    """Check that all weights are numbers.

    Raises:
        InvalidInputError: If one is NaN or infinite.
    """
    for weights in network.weights:
        values = keras.ops.convert_to_numpy(weights)
        if values.dtype.kind in "iub":
            continue
        n_wrong = int(values.size - np.isfinite(values.astype(np.float32)).sum())
        if n_wrong:
            raise InvalidInputError(
                f"{source}: {n_wrong} of {values.size} weights of {weights.path} are NaN or "
                "infinite, so it puts out nothing; take the network as it was before its training "
                "went wrong"
            )


class StoredRun(Protocol):
    """A run that artifacts are stored with, as `nn_clustering.tracking.Run`."""

    @property
    def id(self) -> int:
        """The run's number."""

    @property
    def artifacts(self) -> Collection[str]:
        """The names of its artifacts."""

    def artifact(self, name: str) -> bytes:
        """Return the content of an artifact."""


def network_of_run(run: StoredRun, name: str, model_code: str | None = None) -> keras.Model:
    """Read a network that a run has stored.

    Args:
        run: From the run store.
        name: Name of the artifact, with or without ``.keras``.
        model_code: See :func:`network_from_bytes`.

    Raises:
        RunNotFoundError: If the run has no such artifact.
        DamagedArtifactError: If the content is not what was stored.
        InvalidInputError: If the artifact is no network.
    """
    file_name = name if name in run.artifacts or name.endswith(".keras") else f"{name}.keras"
    content, source = run.artifact(file_name), f"{file_name} of run {run.id}"
    return network_from_bytes(content, source, model_code)


def network_bytes(network: keras.Model) -> bytes:
    """Return the content of the network's ``.keras`` file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        network.save(path)
        return path.read_bytes()
