"""The networks of the package image-classifiers, built of Keras 3's own layers.

The package was written for Keras 2: what Keras 3 does not take of it is put right here, layer by
layer as it asks for them, so that its function, and the order of its weights, are as they were.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import keras


def image_classifier(name: str, input_shape: tuple[int, int, int], n_outputs: int) -> keras.Model:
    """Build a network of image-classifiers with the random weights that its layers begin with.

    Args:
        name: Its name there: ``resnet18``.
        input_shape: (height, width, 3).
        n_outputs: Number of classes.
    """
    from classification_models.models_factory import ModelsFactory

    build = ModelsFactory._models[name][0]
    network: keras.Model = build(
        input_shape=input_shape, classes=n_outputs, weights=None, **_modules()
    )
    return network


def _modules() -> dict[str, Any]:
    """Return what the package takes for the modules of Keras."""
    backend = SimpleNamespace(
        backend=keras.backend.backend,
        image_data_format=lambda: "channels_last",
        int_shape=lambda tensor: tuple(tensor.shape),
        is_keras_tensor=keras.utils.is_keras_tensor,
        name_scope=lambda name: nullcontext(),
    )
    return {
        "backend": backend,
        "layers": _Layers(),
        "models": keras.models,
        "utils": keras.utils,
    }


class _Layers:
    """Stands for ``keras.layers``."""

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        made = getattr(keras.layers, kind)

        def make(*arguments: Any, **settings: Any) -> Any:
            if isinstance(settings.get("name"), str):
                # no name of a layer has a slash in Keras 3
                settings["name"] = settings["name"].replace("/", "_")
            return made(*arguments, **settings)

        return make

    def SeparableConv2D(self, *arguments: Any, **settings: Any) -> Any:  # noqa: N802
        """Keras 2 took an argument of that name and had no use for it: Glorot's was used."""
        settings.pop("kernel_initializer", None)
        return self.__getattr__("SeparableConv2D")(*arguments, **settings)

    def Lambda(  # noqa: N802
        self, function: Callable[..., Any], *, arguments: dict[str, Any], **settings: Any
    ) -> Any:
        """There are three: axes added to a vector, a scaled sum, and some of the channels."""
        if function.__name__ == "expand_dims":
            return lambda vector: keras.layers.Reshape((1, 1, vector.shape[-1]))(vector)
        if "scale" in arguments:
            scaled, total = keras.layers.Rescaling(arguments["scale"]), keras.layers.Add
            return lambda pair: total(name=settings["name"])([pair[0], scaled(pair[1])])
        return lambda tensor: _Slice(tensor, arguments["start"], arguments["stop"])

    def Conv2D(self, *arguments: Any, **settings: Any) -> Any:  # noqa: N802
        """One of a slice waits for its neighbours: together they are a convolution in groups."""

        def apply(tensor: Any) -> Any:
            if isinstance(tensor, _Slice):
                return _OfSlice(tensor, arguments, settings)
            return self.__getattr__("Conv2D")(*arguments, **settings)(tensor)

        return apply

    def Concatenate(self, *arguments: Any, **settings: Any) -> Any:  # noqa: N802
        """Of the convolutions of all slices of a tensor, the convolution in groups."""

        def apply(tensors: Sequence[Any]) -> Any:
            if all(isinstance(tensor, _OfSlice) for tensor in tensors):
                return _in_groups(tensors)
            return self.__getattr__("Concatenate")(*arguments, **settings)(tensors)

        return apply


@dataclass(frozen=True)
class _Slice:
    """Channels of a tensor, from ``start`` to before ``stop``."""

    tensor: Any
    start: int
    stop: int


@dataclass(frozen=True)
class _OfSlice:
    """A convolution that reads a slice only, as it was asked for."""

    read: _Slice
    arguments: tuple[Any, ...]
    settings: dict[str, Any]


def _in_groups(parts: Sequence[_OfSlice]) -> Any:
    first, tensor = parts[0], parts[0].read.tensor
    width = tensor.shape[-1] // len(parts)
    places = [(part.read.start, part.read.stop) for part in parts]
    assert places == [(width * index, width * (index + 1)) for index in range(len(parts))]
    filters, *others = first.arguments
    return keras.layers.Conv2D(filters * len(parts), *others, groups=len(parts), **first.settings)(
        tensor
    )
