"""Import a network that was trained elsewhere, with its preprocessing and its data set.

python experiments/import_network.py with resnet18
python experiments/import_network.py with vgg16 weights=random seed=1
python experiments/import_network.py with model=my_network.keras dataset.name=mnist
python experiments/import_network.py with model=folder_of_gpt2
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import PROJECT, configure, program
from experiments._keras import import_keras
from experiments._network_samples import scale_in_words
from experiments._networks import MODEL_CODE, NetworkFile, model_code_of
from nn_clustering import datasets, graphs, networks
from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import hugging_face, structure
from nn_clustering.tracking import Input, StageExperiment

if TYPE_CHECKING:
    import keras

    from nn_clustering.datasets import WeightFile
    from nn_clustering.networks import ImageNetNetwork
    from nn_clustering.networks.hugging_face import HuggingFaceFolder
    from nn_clustering.tracking import StageRun

# What `weights` can be besides a file.
IMAGENET, RANDOM = "imagenet", "random"
# The key that says a size of images, and what it says if nothing is said.
_INPUT_SIZE = ("network.input_size", "the size that the network was made for")
_DEFAULTS = {"network.input_size": None, "network.n_outputs": 1000, "weights": IMAGENET}

experiment = StageExperiment("import_network", base_dir=PROJECT, save_git_info=False)
configure(experiment, exclusive_keys=("network.name",))


def check_settings(config: Mapping[str, Any], typed: Iterable[str] = ()) -> None:
    """Check what the config, and the keys that the user has typed, alone tell."""
    name, model = config["network"]["name"], config["model"]
    if (name is None) == (model is None):
        raise InvalidInputError(
            f"network.name={name} model={model}: expected one of the two, a network of ImageNet "
            "(its named config: resnet18), or a file or a folder of Hugging Face's "
            "(model=FILE.keras, model=FOLDER)"
        )
    if name is None:
        _check_file_settings(config, typed)
    else:
        _check_imagenet_settings(config)
    if config["preprocessing"] is not None:
        networks.check_preprocessing(config["preprocessing"])
    asked = _asked(config)
    if "name" in asked:  # there is what is asked, if only where it is used
        datasets.outline_of_own(**asked)


def _asked(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is said of the data set."""
    return {key: value for key, value in config["dataset"].items() if value is not None}


def _check_file_settings(config: Mapping[str, Any], typed: Iterable[str]) -> None:
    model = config["model"]
    if not isinstance(model, str) or not model:
        raise InvalidInputError(
            f"model={model!r}; expected the name of a file, .keras, .h5 or .hdf5, or of a folder "
            "with a config.json"
        )
    is_folder = hugging_face.is_hugging_face_folder(model)
    if is_folder and config["model_code"] is not None:
        raise InvalidInputError(
            f"model_code={config['model_code']!r} changes nothing with model={model}, a folder of "
            "which no code is run; leave it out"
        )
    for key in typed:
        if key in _DEFAULTS:
            raise InvalidInputError(
                f"{key} changes nothing with model={model}, which has layers and weights; "
                "leave it out"
            )


def _check_imagenet_settings(config: Mapping[str, Any]) -> None:
    settings, weights = config["network"], config["weights"]
    networks.imagenet_network(settings["name"])
    if config["model_code"] is not None:
        raise InvalidInputError(
            f"model_code={config['model_code']!r} changes nothing with "
            f"network.name={settings['name']}, which is of Keras' own layers; leave it out"
        )
    size, n_outputs = settings["input_size"], settings["n_outputs"]
    if size is not None:
        datasets.checked_size(size, *_INPUT_SIZE)
    if isinstance(n_outputs, bool) or not isinstance(n_outputs, int) or n_outputs < 2:
        raise InvalidInputError(f"network.n_outputs={n_outputs!r}; expected 2 or more")
    if not isinstance(weights, str) or not weights:
        raise InvalidInputError(
            f"weights={weights!r}; expected {IMAGENET}, {RANDOM}, or a file of weights"
        )
    if weights == IMAGENET and n_outputs != networks.N_CLASSES:
        raise InvalidInputError(
            f"network.n_outputs={n_outputs} with weights={IMAGENET}, which are those of "
            f"{networks.N_CLASSES:,} classes; leave it out, or take weights={RANDOM}"
        )


@dataclass(frozen=True)
class Inputs:
    """What an import rests on.

    Attributes:
        weights: Those of a network of ImageNet that are not random.
        model: The file of a network of one's own, or the folder.
        model_code: The module with the layers of its author, where it is named.
    """

    weights: Input[WeightFile] | None
    model: Input[NetworkFile | HuggingFaceFolder] | None
    model_code: Input[bytes] | None

    @property
    def file(self) -> NetworkFile | None:
        """The file of a network of one's own."""
        found = None if self.model is None else self.model.value
        return found if isinstance(found, NetworkFile) else None

    @property
    def folder(self) -> HuggingFaceFolder | None:
        """The folder of a network of one's own."""
        found = None if self.model is None else self.model.value
        return None if isinstance(found, NetworkFile) else found


def inputs(run: StageRun) -> Inputs:
    """Find the weights, downloaded where they are not there, or read the file."""
    config = run.config
    if config["model"] is None:
        return Inputs(_weights(config), None, None)
    if hugging_face.is_hugging_face_folder(config["model"]):
        folder = hugging_face.read_hugging_face_folder(config["model"])
        return Inputs(None, Input(folder, folder.digest), None)
    content = networks.read_file(config["model"])
    file = NetworkFile(content, config["model"], model_code=config["model_code"])
    return Inputs(None, Input.of_bytes(content, file), model_code_of(file))


def _weights(config: Mapping[str, Any]) -> Input[WeightFile] | None:
    known = networks.imagenet_network(config["network"]["name"])
    if config["weights"] == RANDOM:
        return None
    if config["weights"] == IMAGENET:
        found = datasets.weight_file(known.weights_file, known.weights_url, known.checksum)
    else:
        found = datasets.given_file(config["weights"], known.checksum)
    return Input(found, found.sha256)


def summary(run: StageRun[Inputs], result: Mapping[str, Any]) -> None:
    """Print what was imported."""
    print(
        f"\n{result['n_parameters']:,} parameters in {result['n_layers']} layers, inputs of "
        f"{_shape_in_words(result['input_shape'])}, {_outputs_in_words(result['outputs'])}"
    )
    if result["n_units"] is not None:
        print(f"{result['n_units']:,} units in the graph of its weights")
    folder = run.inputs.folder
    if folder is not None and folder.unread:
        print(f"left out, as no part of what is put out: {', '.join(folder.unread)}")
    if folder is not None and folder.architecture.graph_only is not None:
        print(f"for graphs of its weights alone: {folder.architecture.graph_only}")
    if len(result["input_shape"]) == 3:
        print(scale_in_words(_preprocessing(run)))
    run.suggest(f"{program('cluster')} with train_run={run.id}")


def _shape_in_words(shape: Sequence[int | None]) -> str:
    return " x ".join("any length" if size is None else str(size) for size in shape)


def _outputs_in_words(outputs: Sequence[Mapping[str, Any]]) -> str:
    """Return how many numbers a network puts out; of several outputs, under which names."""
    shown = [_shape_in_words(output["shape"]) for output in outputs]
    if len(outputs) == 1:
        return f"{shown[0]} outputs"
    named = [f"{output['name']} ({size})" for output, size in zip(outputs, shown, strict=True)]
    return f"the outputs {', '.join(named)}: lesions want one, output={outputs[0]['name']}"


def prepare(run: StageRun[Inputs]) -> keras.Model:
    """Build the network with its weights, or read it; check what belongs to it."""
    import_keras()
    network = _built(run)
    _check_images(network, run.config, _preprocessing(run))
    return network


def _check_images(network: keras.Model, config: Mapping[str, Any], name: str | None) -> None:
    """Check that a network, its preprocessing and its data set go together.

    Raises:
        InvalidInputError: If they do not.
    """
    shape = tuple(network.inputs[0].shape[1:])
    is_of_images = len(shape) == 3
    asked = _asked(config)
    if "name" in asked:
        fitted = datasets.fitted_settings(asked["name"], shape) if len(shape) in (1, 3) else {}
        outline = datasets.outline_of_own(**{**fitted, **asked})
        if outline is not None and outline.input_shape is not None:
            networks.fitted_shape(network, outline.input_shape)
            if outline.n_tokens is not None:
                networks.check_tokens(network, outline.input_shape[0], outline.n_tokens)
    if name is not None and is_of_images and None not in shape:
        networks.preprocessing(name, shape)(np.zeros((1, *shape), np.float32))


def _built(run: StageRun[Inputs]) -> keras.Model:
    settings, given = run.config["network"], run.inputs
    if given.folder is not None:
        return hugging_face.network_of_folder(given.folder)
    if given.file is not None:
        return given.file.network
    size = settings["input_size"]
    return networks.build_imagenet_network(
        settings["name"],
        input_size=None if size is None else datasets.checked_size(size, *_INPUT_SIZE),
        n_outputs=settings["n_outputs"],
        seed=run.seed,
        weights=None if given.weights is None else given.weights.value.path,
        is_published=given.weights is not None and given.weights.value.is_published,
    )


@experiment.stage(
    check=lambda run: check_settings(run.config, run.typed_keys()),
    inputs=inputs,
    prepare=prepare,
    summary=summary,
)
def import_network(run: StageRun[Inputs]) -> dict[str, Any]:
    """Store a network with what belongs to it; the result holds its sizes."""
    network: keras.Model = run.prepared
    given = run.inputs
    run.sacred_run.info.update(source=_source(run), preprocessing=_preprocessing(run))
    if given.folder is not None:
        run.sacred_run.info["graph_only"] = given.folder.architecture.graph_only
    if given.file is None:
        run.add_artifact("network.keras", networks.network_bytes(network))
    else:
        run.add_artifact(given.file.artifact, given.file.content)
    if given.model_code is not None:
        run.add_artifact(MODEL_CODE, given.model_code.value)
    return {
        "n_parameters": int(network.count_params()),
        "n_layers": len(network.layers),
        "input_shape": list(network.inputs[0].shape[1:]),
        "outputs": [
            {"name": name, "shape": list(output.shape[1:])}
            for name, output in zip(networks.output_names(network), network.outputs, strict=True)
        ],
        "n_units": _count_units(network),
    }


def _source(run: StageRun[Inputs]) -> dict[str, Any]:
    """Return where the network comes from."""
    given = run.inputs
    if given.folder is not None:
        return {
            "folder": run.config["model"],
            "sha256": given.folder.digest,
            "kind": given.folder.architecture.kind,
            "files": given.folder.checksums,
            "left_out": list(given.folder.unread),
        }
    if given.model is not None:
        return {"file": run.config["model"], "sha256": given.model.digest}
    known: ImageNetNetwork = networks.imagenet_network(run.config["network"]["name"])
    weights = (
        {"weights": RANDOM, "seed": run.seed}
        if given.weights is None
        else {"weights": given.weights.value.path.name, "sha256": given.weights.digest}
    )
    return {
        "package": known.package,
        "version": version(known.package),
        **weights,
    }


def _preprocessing(run: StageRun[Inputs]) -> str | None:
    """Return what is done to pixels before the network reads them, None for 0 to 1."""
    config, folder = run.config, run.inputs.folder
    name, asked = config["network"]["name"], config["preprocessing"]
    if asked is None and name is not None:
        return networks.imagenet_network(name).preprocessing
    if asked is None and folder is not None:
        return folder.preprocessing
    return None if asked is None else str(asked)


def _count_units(network: keras.Model) -> int | None:
    """Return how many units the graph of its weights has; None, and why, where it has none.

    The graph itself, which can be larger than the memory, is not made.
    """
    try:
        weights = graphs.by_residual_rule(structure.read_weights(network), None)
        return sum(units.n_units for units in graphs.unit_sets(weights))
    except InvalidInputError as error:
        print(f"there is no graph of its weights: {error}")
        return None


if __name__ == "__main__":
    experiment.run_commandline()
