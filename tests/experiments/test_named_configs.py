"""The whole effect of every named config, beside the values of the studies in docs/methods.md.

All values are typed here, none is read from a file: a config that drifts fails, and so does a new
one without a row, or a new key without a default.
"""

import numpy as np
import pytest
from sacred.utils import iterate_flattened

from experiments import (
    agreement,
    choose_k,
    cluster,
    import_network,
    lesion,
    lesion_table,
    pipeline,
    random_init,
    report,
    shuffle_test,
    study,
    train,
    visualisation_table,
    visualise,
)
from experiments._phase_settings import training_phases, without_switch
from nn_clustering import networks, training
from tests.programs import PROJECT

CONFIGS = PROJECT / "configs"
EXPERIMENTS = {
    stage.experiment.path: stage.experiment
    for stage in (
        agreement, choose_k, cluster, import_network, lesion, lesion_table, pipeline, random_init,
        report, shuffle_test, study, train, visualisation_table, visualise,
    )
}  # fmt: skip

MLP = [256, 256, 256, 256]
VGG = [[64, 64], [128, 128], [256, 256, 256], [512, 512, 512], [512, 512, 512]]
HOW = {"seed": 0, "reuse": True, "tags": []}
COMPUTES = {**HOW, "n_threads": None}
MODULAR = {
    "modular_init.enabled": False,
    "modular_init.n_modules": 10,  # A15
    "modular_init.down": None,
    "modular_init.all_layers": False,  # quirk 4
}
OF_WEIGHTS = {
    "graph.kernel_norm": "l1",  # quirk 1
    "graph.gate_norm": "l1",
    "graph.fold_normalisation": True,  # quirk 2
    "graph.inputs": None,
    "graph.outputs": None,
    "graph.dense_layers": None,
    "graph.residual": None,  # C4
    "graph.normalise_units": False,  # C10
    "graph.commute_time": False,  # C9
    "graph.isolated_below": 1e-8,  # C5, quirk 26
}
# As in the training, or as the data are.
OF_DATASET = {
    f"dataset.{key}": None
    for key in (
        *("n_test", "per_class", "image_size", "resize", "class_names", "targets", "damaged"),
        *("prime", "length", "train_share"),
    )
}
OF_TRANSFORMERS = {
    "network.n_blocks": 2,
    "network.n_channels": 64,
    "network.n_heads": 4,
    "network.n_neurons": [256],
    "network.gated": False,
    "network.patch_size": 4,
}
KMEANS = {"kmeans.n_init": None, "kmeans.select": "ncut"}
OF_NETWORK_TABLE = {
    **HOW,
    "query.tags": [],
    "query.since": None,
    "query.config": [],
    "query.result": [],
    "query.limit": None,
    "level": 0.05,  # G8
    "n_resamples": 9999,
}

DEFAULTS = {
    "train": {
        **COMPUTES,
        **MODULAR,
        "dataset.name": "digits",
        "dataset.seed": 42,  # B
        "dataset.channels": None,
        "dataset.n_train": None,
        "dataset.n_test": None,
        "dataset.per_class": None,
        "dataset.image_size": None,
        "dataset.resize": "straight",
        "dataset.class_names": None,
        "dataset.targets": None,
        "dataset.damaged": "refuse",
        "dataset.prime": None,
        "dataset.length": None,
        "dataset.train_share": None,
        "network.kind": "mlp",
        "network.hidden_units": MLP,  # A1
        "network.conv_filters": [64, 64, 64],  # A2
        "network.activation": "relu",
        **OF_TRANSFORMERS,
        "network.norm": "layer",
        "network.norm_first": True,
        "network.dropout": False,
        "network.dropout_rate": None,
        "network.precision": "float32",
        "training.enabled": True,
        "training.epochs": 20,  # A7
        "training.batch_size": 128,
        "training.full_batch": False,
        "training.learning_rate": 1e-3,  # A6
        "training.weight_decay": 0.0,
        "training.shuffle": True,
        "training.checkpoint_every": None,
        "pruning.enabled": False,
        "pruning.epochs": 20,
        "pruning.initial_sparsity": 0.5,  # A9
        "pruning.final_sparsity": 0.9,
        "pruning.every_n_steps": 10,
        "penalty.l1": False,
        "penalty.l2": False,
        "penalty.l1_rate": 5e-5,  # A11
        "penalty.l2_rate": 5e-5,
        "penalty.first_layer_l1": False,  # quirk 3
        "augmentation.enabled": False,
        "augmentation.rotation": 15.0,  # A12
        "augmentation.shift": 0.1,
        "augmentation.flip": True,
        "clusterability_gradient.enabled": False,
        "clusterability_gradient.weight": 0.1,  # I1
        "clusterability_gradient.n_eigenvalues": 3,
        "clusterability_gradient.norm_by_threshold": False,  # I3
        "resume": None,
        "n_repeats": 1,
        "n_workers": None,
    },
    "import_network": {
        **COMPUTES,
        "network.name": None,
        "network.input_size": None,
        "network.n_outputs": 1000,
        "weights": "imagenet",
        "model": None,
        "model_code": None,
        "preprocessing": None,
        "dataset.name": None,
        "dataset.seed": 42,
        "dataset.channels": None,
        "dataset.n_train": None,
        "dataset.n_test": None,
        "dataset.per_class": None,
        "dataset.image_size": None,
        "dataset.resize": "straight",
        "dataset.class_names": None,
        "dataset.targets": None,
        "dataset.damaged": "refuse",
        "dataset.prime": None,
        "dataset.length": None,
        "dataset.train_share": None,
    },
    "cluster": {
        **COMPUTES,
        **OF_WEIGHTS,
        **KMEANS,
        "train_run": None,
        "model": None,
        "model_code": None,
        "preprocessing": None,
        "phase": None,
        "checkpoint": None,
        "n_clusters": 16,  # C8
        "graph.source": "weights",
        "graph.file": None,
        "dataset.name": None,
        "dataset.n_train": None,
        **OF_DATASET,
        "activations.split": "test",  # E2
        "activations.n_samples": None,
        "activations.position": "post",
        "activations.map_norm": "spectral",
        "activations.correlation": "spearman",  # E1
        "activations.memory_mb": 1024,
        "partition.method": "spectral",
        "partition.local": False,
        "partition.local_clusters": None,
        "partition.local_ends": "neighbour",  # F1
        "partition.assign_labels": "kmeans",  # C6
        "partition.resolution": 1.0,
        "partition.volume_constant": 0.0,  # C7, quirk 26
        "partition.file": None,
        "stability.n_seeds": 5,
    },
    "shuffle_test": {
        **COMPUTES,
        "cluster_run": None,
        "model_code": None,
        "n_shuffles": 50,  # D3
        "method": "layer",  # D1
        "kernels": None,  # D2
        "n_workers": None,
        "count_ties": True,
        "reconnect_last_layer": False,  # quirk 11
        "population_std": False,  # D4
        "stop_early.enabled": False,
        "stop_early.stop_at": 10,
        "against_run": None,
        "resume": None,
    },
    "lesion": {
        **COMPUTES,
        "cluster_run": None,
        "model_code": None,
        "preprocessing": None,
        "output": None,
        "dataset.name": None,
        **OF_DATASET,
        "n_shuffles": 99,  # G6
        "silence": "output",  # quirk 14
        "draws": "joint",
        "sizes.min_units": 1,  # G3
        "sizes.max_share": 1.0,
        "count_ties": True,
        "tail": None,  # quirk 8
        "measure_by": None,
        "double.enabled": False,
        "double.n_shuffles": 50,  # G11
        "double.sub_clusters": "important",
        "double.overlap": False,  # quirk 12
        "single_units": False,
        "heads": False,
        "memory_mb": None,
        "resume": None,
    },
    "lesion_table": {**OF_NETWORK_TABLE, "lesion_runs": None},
    "visualisation_table": {**OF_NETWORK_TABLE, "visualise_runs": None},
    "visualise": {
        **COMPUTES,
        "cluster_run": None,
        "model_code": None,
        "preprocessing": None,
        "output": None,
        "dataset.name": None,
        **OF_DATASET,
        "objective.reduction": "sum",  # H2
        "objective.position": "post",
        "image.basis": None,  # H1
        "image.decorrelate": None,
        "ascent.n_steps": 256,  # H2
        "ascent.learning_rate": 0.05,  # H1
        "ascent.redirect_relu": True,
        "transformations.jitter": 0.0,  # H1
        "transformations.scaling": 0.0,
        "transformations.rotation": 0.0,
        "n_shuffles": 19,  # H2
        "draws": "joint",
        "sizes.min_units": 1,
        "sizes.max_share": 1.0,
        "count_ties": True,
        "entropy": None,  # H4
        "top_samples": 9,
        "random_inputs": 1,
        "memory_mb": None,
        "resume": None,
    },
    "agreement": {
        **COMPUTES,
        "cluster_run": None,
        "other_run": None,
        "layers": None,
        "n_permutations": 1000,
    },
    "choose_k": {**COMPUTES, "cluster_run": None, "k_min": 2, "k_max": 20},
    "random_init": {
        **COMPUTES,
        **MODULAR,
        **OF_WEIGHTS,
        **KMEANS,
        "n_networks": 100,  # D6
        "input_shape": [28, 28, 1],
        "n_outputs": 10,
        "n_tokens": None,
        "network.kind": "mlp",
        "network.hidden_units": MLP,
        "network.conv_filters": [64, 64, 64],
        **OF_TRANSFORMERS,
        "n_clusters": 12,  # D6
    },
    "study": {
        **HOW,
        "title": None,
        "steps": [],
        "quick": [],
        "variant": "full",
        "published": [],
        "n_threads": 1,
        "gpu": None,
        "checkpoint_every": 5,
        "max_attempts": 3,
        "dry_run": False,
        "n_workers": None,
        "scheduler": None,
        "scheduler_file": None,
    },
}
DEFAULTS["report"] = {
    **DEFAULTS["study"],
    "folder": "reports",
    "any_code": True,
    "level": 0.05,  # G8
    "n_resamples": 9999,
    "page_images_mb": 20,
}
# The pipeline's own keys, and those of the parts that it does not set itself.
SET_BY_PIPELINE = {
    "train": {*COMPUTES, "resume", "n_repeats", "n_workers"},
    "import_network": {*COMPUTES},
    "cluster": {
        *COMPUTES,
        "train_run",
        "model",
        "model_code",
        "preprocessing",
        "checkpoint",
    },
    "shuffle_test": {*COMPUTES, "cluster_run", "model_code", "resume", "against_run"},
    "lesion": {*COMPUTES, "cluster_run", "model_code", "preprocessing", "output", "resume"},
    "visualise": {*COMPUTES, "cluster_run", "model_code", "preprocessing", "output", "resume"},
}


def of_part(part, effect):
    """What a part's keys are called in the pipeline, as far as it has them."""
    return {
        f"{part}.{key}": value for key, value in effect.items() if key not in SET_BY_PIPELINE[part]
    }


DEFAULTS["pipeline"] = {
    **COMPUTES,
    "figures_folder": "figures",
    "leave_out": [],
    **{
        key: value
        for part in SET_BY_PIPELINE
        for key, value in of_part(part, DEFAULTS[part]).items()
    },
}

PUBLISHED_GRAPH = {  # quirks 1 and 2, C6
    "graph.kernel_norm": "max_column_sum",
    "graph.fold_normalisation": False,
    "graph.isolated_below": 0.0,  # quirk 26
    "kmeans.n_init": 25,
    "kmeans.select": "inertia",
}
IMAGENET = {  # quirk 1, C4, C6, quirk 26; E2
    "graph.kernel_norm": "max_column_sum",
    "graph.residual": "copied",
    "graph.isolated_below": 0.0,
    "kmeans.n_init": 100,
    "kmeans.select": "inertia",
    "partition.volume_constant": 1e-8,
    "dataset.per_class": 2,
    "activations.position": "pre",
    "activations.map_norm": "max_column_sum",
}
# The two studies' inputs; sizes are strict: above 5 units and below 80% of the layer.
INPUTS = {
    "n_shuffles": 9,
    "draws": "afresh",
    "sizes.min_units": 6,
    "sizes.max_share": 0.7999999,
    "count_ties": False,
}
LOCAL_INPUTS = {
    "objective.reduction": "absolute",
    "objective.position": "pre",
    "ascent.n_steps": 64,
    "draws": "afresh",
    "sizes.min_units": 3,
    "sizes.max_share": 0.9899999,
    "count_ties": False,
}
IMAGENET_LESIONS = {"draws": "afresh", "count_ties": False, "double.overlap": True}


def network(kind, epochs, batch_size, pruning_epochs, **more):
    """The keys that a network's config sets, epochs and batches with it (A7)."""
    return {
        "network.kind": kind,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "pruning.epochs": pruning_epochs,
        **more,
    }


def cnn(filters, **more):
    return network(
        "cnn", 10, 64, 10,
        **{"network.conv_filters": filters, "network.hidden_units": [128], **more},
    )  # fmt: skip


# What they are is in test_shipped_studies.py.
STUDIES = (
    *("clusterability_mlp", "clusterability_cnn", "clusterability_vgg", "clusterability_gradient"),
    *("lesions", "lesions_vgg", "visualisation", "visualisation_vgg", "k_stability", "random_init"),
    *("imagenet", "imagenet_lesions", "imagenet_visualisation", "older_conditions", "grokking"),
    "fast",
)


DATASETS = {
    "B1": ("mnist", "fashion", "cifar10", "cifar10_grey", "small_mnist", "digits"),
    "B2": ("halves_mnist", "halves_fashion", "halves_cifar10_grey"),
    "B3": ("halves_same_mnist", "halves_same_fashion", "halves_same_cifar10_grey"),
    "B4": (
        "stacked_mnist", "stacked_fashion", "stacked_cifar10_grey", "stacked_same_mnist",
        "stacked_same_fashion", "stacked_same_cifar10_grey",
    ),
    "B5": (
        "mixed_mnist_cifar10_grey", "mixed_mnist_fashion", "mixed_fashion_cifar10_grey",
        "mixed_lines_mnist", "mixed_lines_cifar10_grey", "separated_mnist_cifar10_grey",
        "separated_mnist_fashion", "separated_fashion_cifar10_grey", "separated_lines_mnist",
        "separated_lines_cifar10_grey",
    ),
    "B6": ("lines", "circles", "random", "random_labels"),
    "B7": ("poly",),
    "": ("modular_addition",),
}  # fmt: skip
NETWORKS = {
    "A1": {"mlp": network("mlp", 20, 128, 20, **{"network.hidden_units": MLP})},
    "A2": {"cnn": cnn([64, 64, 64]), "older_cnn": cnn([32, 32])},
    "A3": {
        "vgg": network(
            "vgg", 200, 128, 50,
            **{
                "network.conv_filters": VGG,
                "network.hidden_units": [512, 512],
                "training.checkpoint_every": 20,
                "penalty.l2_rate": 5e-4,  # A11
            },
        )
    },
    "A4": {
        "regression_mlp": network(
            "mlp", 20, 128, 20, **{"network.hidden_units": MLP, "dataset.name": "poly"}
        )
    },
    "A5": {"small_mlp": network("mlp", 10, 128, 10, **{"network.hidden_units": [64, 64, 64]})},
    "A7": {
        "visualisation_mlp": network(
            "mlp", 30, 128, 20, **{"network.hidden_units": MLP, "dataset.channels": 3}
        ),
        "visualisation_cnn": cnn([64, 64, 64], **{"dataset.channels": 3}),
    },
    "A8": {
        "older_cifar10_grey": network("mlp", 20, 128, 40, **{"dataset.name": "cifar10_grey"}),
        "older_cifar10_grey_dropout": network(
            "mlp", 100, 128, 40,
            **{
                "dataset.name": "cifar10_grey",
                "network.dropout": True,
                "network.dropout_rate": 0.2,
            },
        ),
        "older_mixture": network("mlp", 30, 128, 40),
        "older_mixture_dropout": network(
            "mlp", 30, 128, 40, **{"network.dropout": True, "network.dropout_rate": 0.2}
        ),
        "overfitting": {
            "dataset.name": "random",
            "dataset.n_train": 3000,
            "training.epochs": 100,
            "training.shuffle": False,
            "pruning.epochs": 100,
        },
    },
    "quirk 4": {"cnn_128": cnn([128, 128, 128])},
    "": {
        "transformer": {
            "network.kind": "transformer",
            "network.n_blocks": 1,
            "network.n_channels": 128,
            "network.n_neurons": [512],
            "network.norm": "none",
            "training.epochs": 300,
            "training.batch_size": 512,
            "training.learning_rate": 3e-3,
            "training.weight_decay": 1.0,
        },
        "character_transformer": {
            "network.kind": "transformer",
            "network.activation": "gelu",
            "training.epochs": 10,
            "training.batch_size": 32,
            "training.learning_rate": 2e-3,
            "training.weight_decay": 0.1,
        },
        "vit": {
            "network.kind": "vit",
            "network.activation": "gelu",
            "training.epochs": 5,
            "training.weight_decay": 0.1,
        },
        "vit_mnist": {
            "network.kind": "vit",
            "network.activation": "gelu",
            "network.n_channels": 32,
            "network.n_neurons": [128],
            "network.patch_size": 7,
            "training.epochs": 10,
            "training.learning_rate": 2e-3,
            "training.weight_decay": 0.1,
        },
    },
}  # fmt: skip
# Those of image-classifiers, and those of Keras.
IMAGE_CLASSIFIERS = """
resnet18 resnet34 resnet50 resnet101 resnet152 resnet50v2 resnet101v2 resnet152v2
resnext50 resnext101 seresnet18 seresnet34 seresnet50 seresnet101 seresnet152
seresnext50 seresnext101 senet154 vgg16 vgg19 densenet121 densenet169 densenet201
inceptionv3 inceptionresnetv2 xception nasnetlarge nasnetmobile mobilenet mobilenetv2
"""
KERAS = """
resnet50 resnet101 resnet152 resnet50v2 resnet101v2 resnet152v2 vgg16 vgg19
densenet121 densenet169 densenet201 inceptionv3 inceptionresnetv2 xception
nasnetlarge nasnetmobile mobilenet mobilenetv2 mobilenetv3small mobilenetv3large
convnexttiny convnextsmall convnextbase convnextlarge convnextxlarge
efficientnetb0 efficientnetb1 efficientnetb2 efficientnetb3 efficientnetb4 efficientnetb5
efficientnetb6 efficientnetb7 efficientnetv2b0 efficientnetv2b1 efficientnetv2b2
efficientnetv2b3 efficientnetv2s efficientnetv2m efficientnetv2l
"""
IMPORTED = [*IMAGE_CLASSIFIERS.split(), *(f"keras_{name}" for name in KERAS.split())]
# By stage and name of config: the method number, and every key whose value is another.
EFFECTS = {
    "train": {
        **{
            name: (number, {"dataset.name": name})
            for number, names in DATASETS.items()
            for name in names
        },
        **{
            name: (number, effect)
            for number, effects in NETWORKS.items()
            for name, effect in effects.items()
        },
        "pruned": ("A9", {"pruning.enabled": True}),
        "dropout": ("A10", {"network.dropout": True}),
        "l1": ("A11", {"penalty.l1": True}),
        "l2": ("A11", {"penalty.l2": True}),
        "augmented": ("A12", {"augmentation.enabled": True}),
        "modular_init": ("A15", {"modular_init.enabled": True}),
        "three_channels": ("B8", {"dataset.channels": 3}),
        "clusterability_gradient": ("I1", {"clusterability_gradient.enabled": True}),
        "published": (
            "quirks 3 and 5",
            {
                "penalty.first_layer_l1": True,
                "clusterability_gradient.weight": 0.05,
                "clusterability_gradient.norm_by_threshold": True,
            },
        ),
        "tanh": ("", {"network.activation": "tanh"}),
        "untrained": ("D6", {"training.enabled": False}),
        "checkpoints": ("", {"training.checkpoint_every": 1}),
        "fast": (
            "",
            {
                "network.hidden_units": [32, 32],
                "network.conv_filters": [8, 8],
                "network.n_blocks": 1,
                "network.n_channels": 16,
                "network.n_heads": 2,
                "network.n_neurons": [32],
                "training.epochs": 2,
                "training.batch_size": 64,
                "pruning.epochs": 2,
            },
        ),
    },
    "import_network": {
        **{
            name: ("", {"network.name": name, "dataset.name": "imagenet2012"})
            for name in IMPORTED
        },
        "fast": (
            "",
            {
                "network.input_size": [32, 32],
                "network.n_outputs": 10,
                "weights": "random",
            },
        ),
    },
    "cluster": {
        "published": (
            "quirks 1, 2 and 26, C6, E2",
            {
                **PUBLISHED_GRAPH,
                "partition.volume_constant": 1e-8,
                "activations.n_samples": 9984,
            },
        ),
        "published_local": (
            "quirks 1, 2 and 26, C6, C8, E2",
            {
                **PUBLISHED_GRAPH,
                "partition.volume_constant": 1e-8,
                "activations.split": "train",
                "activations.n_samples": 4992,
                "activations.position": "pre",
                "activations.map_norm": "max_column_sum",
            },
        ),
        "published_imagenet": ("C4, C6, C8, E2", {**IMAGENET, "n_clusters": 12}),
        "published_imagenet_local": (
            "C8, F3",
            {
                **IMAGENET,
                "n_clusters": 32,
                "partition.local": True,
                "partition.local_clusters": 32,
                "partition.local_ends": "own",
            },
        ),
        "commute_time": ("C9", {"graph.commute_time": True}),
        "normalised_units": ("C10", {"graph.normalise_units": True}),
        "activations": ("E1", {"graph.source": "activations"}),
        "local": ("F1", {"partition.local": True}),
        "gradients": ("", {"graph.source": "gradients"}),
        "dense_layers": ("C2", {"graph.dense_layers": True}),
        "cluster_qr": ("", {"partition.assign_labels": "cluster_qr"}),
        "leiden": ("", {"partition.method": "leiden"}),
        "louvain": ("", {"partition.method": "louvain"}),
        "random_partition": ("", {"partition.method": "random"}),
        "per_layer": ("", {"partition.method": "per_layer"}),
        "fast": ("", {"n_clusters": 4}),
    },
    "shuffle_test": {
        "published": (
            "D4, quirk 11",
            {"count_ties": False, "reconnect_last_layer": True, "population_std": True},
        ),
        "published_imagenet": (
            "D3, D4, quirk 11",
            {
                "n_shuffles": 100,
                "count_ties": False,
                "reconnect_last_layer": True,
                "population_std": True,
            },
        ),
        "layer_strength": ("", {"method": "layer_strength"}),
        "layer_nonzero": ("D1", {"method": "layer_nonzero"}),
        "layer_nonzero_distribution": ("D1", {"method": "layer_nonzero_distribution"}),
        "layer_all_distribution": ("D1", {"method": "layer_all_distribution"}),
        "kernels": ("D2", {"kernels": "weights"}),
        "all_edges": ("E3", {"method": "all_edges"}),
        "heads": ("", {"method": "heads"}),
        "channels": ("", {"method": "channels"}),
        "rewiring": ("", {"method": "rewiring"}),
        "fresh_initialisation": ("D6", {"method": "fresh_initialisation"}),
        "stop_early": ("", {"n_shuffles": 1000, "stop_early.enabled": True}),
        "fast": ("", {"n_shuffles": 5}),
    },
    "lesion": {
        "published_imagenet": (
            "G1, G2, G3, G4, G6, quirk 12",
            {
                **IMAGENET_LESIONS,
                "dataset.per_class": 10,
                "n_shuffles": 24,
                "sizes.min_units": 5,
                "sizes.max_share": 0.8,
            },
        ),
        "published_imagenet_local": (
            "G1, G2, G3, G4, G6, quirk 12",
            {
                **IMAGENET_LESIONS,
                "dataset.per_class": 8,
                "n_shuffles": 19,
                "sizes.min_units": 2,
                "sizes.max_share": 0.99,
            },
        ),
        "published": (
            "G1, G2, G6, quirks 8, 12 and 14",
            {
                "n_shuffles": 19,
                "silence": "weights",
                "draws": "afresh",
                "count_ties": False,
                "tail": "left",
                "double.overlap": True,
            },
        ),
        "double": ("G11", {"double.enabled": True}),
        "mean": ("", {"silence": "mean"}),
        "single_units": ("", {"single_units": True}),
        "whole_heads": ("", {"heads": True}),
        "fast": ("", {"n_shuffles": 4, "double.n_shuffles": 4}),
    },
    "visualise": {
        "published": ("H1, H2, H3", INPUTS),
        "published_local": ("H1, H2, H3", LOCAL_INPUTS),
        "published_imagenet": (
            "H1, H2, H3", {**INPUTS, "sizes.min_units": 4, "dataset.per_class": 10},
        ),
        "published_imagenet_local": ("H1, H2, H3", {**LOCAL_INPUTS, "dataset.per_class": 8}),
        "pixels": (
            "",
            {
                "image.basis": "pixels",
                "image.decorrelate": False,
                "ascent.learning_rate": 0.2,
            },
        ),
        "transformed": (
            "",
            {
                "transformations.jitter": 2,
                "transformations.scaling": 0.1,
                "transformations.rotation": 5,
            },
        ),
        "fast": ("", {"n_shuffles": 4, "ascent.n_steps": 8}),
    },
    "lesion_table": {"fast": ("", {"n_resamples": 99})},
    "visualisation_table": {"fast": ("", {"n_resamples": 99})},
    "agreement": {"fast": ("", {"n_permutations": 9})},
    "choose_k": {"fast": ("", {"k_max": 5})},
    "random_init": {
        "mlp": ("A1", {}),
        "cnn": ("A2", {"network.kind": "cnn", "network.hidden_units": [128]}),
        "cnn_128": (
            "quirk 4",
            {
                "network.kind": "cnn",
                "network.conv_filters": [128, 128, 128],
                "network.hidden_units": [128],
            },
        ),
        "vgg": (
            "A3",
            {
                "network.kind": "vgg",
                "network.conv_filters": VGG,
                "network.hidden_units": [512, 512],
                "input_shape": [32, 32, 3],
            },
        ),
        "modular_init": ("A15", {"modular_init.enabled": True}),
        "published": ("quirks 1, 2 and 26, C6", PUBLISHED_GRAPH),
        "fast": (
            "",
            {
                "n_networks": 5,
                "network.hidden_units": [32, 32],
                "network.conv_filters": [8, 8, 8],
                "n_clusters": 4,
            },
        ),
    },
    "report": {},  # those of study
    "study": {"quick": ("", {"variant": "quick"}), **dict.fromkeys(STUDIES, ("", {}))},
    "pipeline": {
        "demo": (
            "",
            {
                "train.training.epochs": 40,
                "train.training.batch_size": 32,
                "train.pruning.enabled": True,
                "train.pruning.epochs": 40,
            },
        )
    },
}  # fmt: skip
CASES = [
    pytest.param(stage, name, effect, id=" ".join(filter(None, [f"{stage} {name}", number])))
    for stage, effects in EFFECTS.items()
    for name, (number, effect) in effects.items()
    if name not in IMPORTED  # which come all at once
    and (stage, name) not in {("study", study) for study in STUDIES}
]


def resolved(stage, *named):
    """Every key of a run with these named configs as Sacred settles them, dotted."""
    run = EXPERIMENTS[stage].run("print_config", named_configs=named)
    config = dict(iterate_flattened(run.config))
    assert config == dict(iterate_flattened(EXPERIMENTS[stage].full_config(named)))
    return config


def test_every_file_has_its_row():
    files = {
        path.parent.name: {found.stem for found in path.parent.rglob("*.yaml")} - {"default"}
        for path in CONFIGS.glob("*/default.yaml")
    }
    assert {stage: set(effects) for stage, effects in EFFECTS.items()} == files
    assert set(EXPERIMENTS) == set(DEFAULTS) == set(files)


@pytest.mark.parametrize("stage", DEFAULTS)
def test_defaults(stage):
    assert resolved(stage) == DEFAULTS[stage]


@pytest.mark.parametrize(("stage", "name", "effect"), CASES)
def test_named_config(stage, name, effect):
    """It has this effect, and no other."""
    assert resolved(stage, name) == {**DEFAULTS[stage], **effect}


def test_named_configs_of_a_report_are_those_of_its_study():
    assert set(report.experiment.named_configs) == set(study.experiment.named_configs)
    effect = {"variant": "quick"}
    assert resolved("report", "quick") == {**DEFAULTS["report"], **effect}


def test_networks_of_imagenet():
    assert sorted(IMPORTED) == sorted(networks.imagenet_network_names())
    for name in IMPORTED:
        found = dict(iterate_flattened(import_network.experiment.full_config([name])))
        effect = EFFECTS["import_network"][name][1]
        assert found == {**DEFAULTS["import_network"], **effect}
        stored = import_network.experiment.named_configs[name]
        known = networks.imagenet_network(name)
        assert f"for images of {known.size} x {known.size} pixels" in stored.__doc__


def test_studies_say_what_is_done_and_not_how():
    for name in STUDIES:
        found = study.experiment.full_config([name])
        own = {key for key, value in found.items() if value != study.experiment.defaults[key]}
        assert {"steps", "quick"} <= own <= {"title", "steps", "quick", "published"}, name


def test_named_configs_of_the_pipeline_are_those_of_its_parts():
    for name in sorted({name for part in SET_BY_PIPELINE for name in EFFECTS[part]}):
        effects = {
            key: value
            for part in SET_BY_PIPELINE
            for key, value in of_part(part, EFFECTS[part].get(name, ("", {}))[1]).items()
        }
        found = dict(iterate_flattened(pipeline.experiment.full_config([name])))
        assert found == {**DEFAULTS["pipeline"], **effects}, name
    every = {name for stage in (*SET_BY_PIPELINE, "pipeline") for name in EFFECTS[stage]}
    assert set(pipeline.experiment.named_configs) == every


def test_one_of_several_configs_wins_over_an_earlier_one():
    assert resolved("train", "vgg", "l2")["penalty.l2_rate"] == 5e-4
    assert resolved("train", "l2", "vgg")["penalty.l2_rate"] == 5e-4
    assert resolved("train", "small_mlp", "fast")["training.epochs"] == 2
    assert resolved("cluster", "published", "published_local")["activations.n_samples"] == 4992
    with_l2 = resolved("train", "mlp", "l2", "published")
    assert (with_l2["penalty.l2"], with_l2["penalty.first_layer_l1"]) == (True, True)
    assert (
        resolved("train", "clusterability_gradient", "published")["clusterability_gradient.weight"]
        == 0.05
    )


# What the library makes of them: one word a layer, `dense 256 relu` or `dropout 0.5`.

HIDDEN = ["dense 256 relu"] * 4
DROPPED = ["dense 256 relu", "dropout 0.5"] * 4
FILTERS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
POOLED = {2, 4, 7, 10, 13}  # the VGG's convolutions before a pooling, counted from 1
# Dropout after each of them (A10).
VGG_RATES = {1: 0.3, 3: 0.4, 5: 0.4, 6: 0.4, 8: 0.4, 9: 0.4, 11: 0.4, 12: 0.4, 13: 0.5}


def vgg_layers(*, dropout):
    """A3: convolution, pooling, batch norm, dropout in this order."""
    found = []
    for number, filters in enumerate(FILTERS, start=1):
        found.append(f"conv {filters} relu")
        found += ["pool"] if number in POOLED else []
        found.append("batch norm")
        found += [f"dropout {VGG_RATES[number]}"] if dropout and number in VGG_RATES else []
    found += ["flatten", "dense 512 relu", "batch norm"]
    found += ["dropout 0.5"] if dropout else []
    return [*found, "dense 512 relu", "dense 10 softmax"]


CNN = ["conv 64 relu", "conv 64 relu", "pool", "conv 64 relu", "pool", "flatten"]
CNN_DROPPED = [
    "conv 64 relu", "dropout 0.25", "conv 64 relu", "pool", "dropout 0.25", "conv 64 relu", "pool",
    "dropout 0.25", "flatten", "dense 128 relu", "dropout 0.5", "dense 10 softmax",
]  # fmt: skip
GREY = (28, 28, 1)
LAYERS = [
    ("A1", "mlp", GREY, ["flatten", *HIDDEN, "dense 10 softmax"]),
    ("A10", "mlp dropout", GREY, ["flatten", *DROPPED, "dense 10 softmax"]),
    ("A2", "cnn", GREY, [*CNN, "dense 128 relu", "dense 10 softmax"]),
    ("A10", "cnn dropout", GREY, CNN_DROPPED),
    (
        "quirk 4", "cnn_128", GREY,
        [layer.replace("conv 64", "conv 128") for layer in CNN]
        + ["dense 128 relu", "dense 10 softmax"],
    ),
    (
        "A2", "older_cnn", GREY,
        ["conv 32 relu", "conv 32 relu", "pool", "flatten", "dense 128 relu", "dense 10 softmax"],
    ),
    ("A3", "vgg", (32, 32, 3), vgg_layers(dropout=False)),
    ("A10", "vgg dropout", (32, 32, 3), vgg_layers(dropout=True)),
    ("A4", "regression_mlp", (2,), [*HIDDEN, "dense 512 linear"]),
    ("A5", "small_mlp", (7, 7, 1), ["flatten", *["dense 64 relu"] * 3, "dense 10 softmax"]),
    (
        "A8", "older_mixture_dropout", GREY,
        ["flatten", *["dense 256 relu", "dropout 0.2"] * 4, "dense 10 softmax"],
    ),
    ("", "mlp tanh", GREY, ["flatten", *["dense 256 tanh"] * 4, "dense 10 softmax"]),
]  # fmt: skip


def word_for(layer):
    kind = type(layer).__name__
    if kind == "Conv2D":
        assert (layer.kernel_size, layer.strides, layer.padding) == ((3, 3), (1, 1), "same")
        return f"conv {layer.filters} {layer.activation.__name__}"
    if kind == "MaxPooling2D":
        assert (layer.pool_size, layer.strides, layer.padding) == ((2, 2), (2, 2), "valid")
        return "pool"
    if kind == "Dense":
        return f"dense {layer.units} {layer.activation.__name__}"
    if kind == "Dropout":
        return f"dropout {layer.rate}"
    return {"Flatten": "flatten", "BatchNormalization": "batch norm"}[kind]


@pytest.mark.parametrize(
    ("named", "shape", "expected"),
    [pytest.param(*case[1:], id=" ".join(case[:2])) for case in LAYERS],
)
def test_layers(named, shape, expected):
    config = train.experiment.full_config(named.split())
    is_regression = config["dataset"]["name"] == "poly"
    built = networks.build_network(
        input_shape=shape,
        n_outputs=512 if is_regression else 10,
        task="regression" if is_regression else "classification",
        seed=0,
        **config["network"],
    )
    assert [word_for(layer) for layer in built.layers] == expected
    limits = []
    for layer in built.layers:
        for weights in layer.get_weights():
            if type(layer).__name__ == "BatchNormalization":
                continue
            if weights.ndim == 1:
                assert not weights.any()  # the biases
                continue
            *field, n_in, n_out = weights.shape
            limits.append(np.abs(weights).max() / np.sqrt(6 / (np.prod(field) * (n_in + n_out))))
    assert min(limits) > 0.9  # Glorot's uniform distribution: up to its limit
    assert max(limits) <= 1


def phases_of(named, n_train=60_000):
    return training_phases(train.experiment.full_config(named.split()), n_train)


@pytest.mark.parametrize(
    ("named", "n_train", "epochs", "batch_size", "pruning_epochs", "n_steps"),
    [
        # ceil(n / batch) * pruning epochs (A9)
        pytest.param("mlp", 60_000, 20, 128, 20, 9380, id="A7 mlp"),
        pytest.param("cnn", 60_000, 10, 64, 10, 9380, id="A7 cnn"),
        pytest.param("vgg", 50_000, 200, 128, 50, 19_550, id="A7 vgg"),
        pytest.param("regression_mlp", 60_000, 20, 128, 20, 9380, id="A7 regression_mlp"),
        pytest.param("small_mlp", 60_000, 10, 128, 10, 4690, id="A7 small_mlp"),
        pytest.param("visualisation_mlp", 60_000, 30, 128, 20, 9380, id="A7 visualisation_mlp"),
        pytest.param("visualisation_cnn", 60_000, 10, 64, 10, 9380, id="A7 visualisation_cnn"),
        pytest.param("older_cifar10_grey", 50_000, 20, 128, 40, 15_640, id="A8 cifar10_grey"),
        pytest.param(
            "older_cifar10_grey_dropout", 50_000, 100, 128, 40, 15_640, id="A8 with dropout"
        ),
        pytest.param("older_mixture", 110_000, 30, 128, 40, 34_400, id="A8 mixture"),
        pytest.param("mlp overfitting", 3000, 100, 128, 100, 2400, id="A8 overfitting"),
    ],
)
def test_phases(named, n_train, epochs, batch_size, pruning_epochs, n_steps):
    unpruned, pruned = phases_of(f"{named} pruned", n_train)
    assert (unpruned.name, pruned.name) == ("unpruned", "pruned")
    assert (unpruned.epochs, pruned.epochs) == (epochs, pruning_epochs)
    for phase in (unpruned, pruned):
        assert (phase.batch_size, phase.learning_rate) == (batch_size, 1e-3)
        assert phase.shuffle == ("overfitting" not in named)
        assert phase.penalty is phase.augmentation is phase.clusterability is None
    assert unpruned.pruning is None
    schedule = pruned.pruning
    assert schedule == training.PruningSchedule(0.5, 0.9, n_steps, every_n_steps=10, power=3)
    wanted = [float(schedule.sparsity(share * n_steps)) for share in (0, 0.25, 0.5, 1)]
    # 0.9 - 0.4 (1 - t)^3
    assert wanted == pytest.approx([0.5, 0.73125, 0.85, 0.9])


def test_untrained_has_no_phase():
    assert phases_of("mlp untrained") == []


@pytest.mark.parametrize(
    ("named", "l1", "l2", "first_layer_l1"),
    [
        pytest.param("mlp l1", 5e-5, 0, False, id="A11 mlp l1"),
        pytest.param("mlp l2", 0, 5e-5, False, id="A11 mlp l2"),
        pytest.param("cnn l1", 5e-5, 0, False, id="A11 cnn l1"),
        pytest.param("cnn l2", 0, 5e-5, False, id="A11 cnn l2"),
        pytest.param("vgg l1", 5e-5, 0, False, id="A11 vgg l1"),
        pytest.param("vgg l2", 0, 5e-4, False, id="A11 vgg l2"),
        pytest.param("mlp l1 l2", 5e-5, 5e-5, False, id="A11 both"),
        pytest.param("mlp l2 published", 0, 5e-5, True, id="quirk 3 mlp"),
        pytest.param("cnn l2 published", 0, 5e-5, False, id="quirk 3 mlps only: cnn"),
        pytest.param("vgg l2 published", 0, 5e-4, False, id="quirk 3 mlps only: vgg"),
    ],
)
def test_penalties_of_both_phases(named, l1, l2, first_layer_l1):
    for phase in phases_of(f"{named} pruned"):
        assert phase.penalty == training.Penalty(l1, l2, first_layer_l1)


def test_augmentation_and_clusterability_of_both_phases():
    for phase in phases_of("vgg augmented pruned"):
        assert phase.augmentation == training.Augmentation(rotation=15, shift=0.1, flip=True)
    for named, weight, by_threshold in (("", 0.1, False), (" published", 0.05, True)):
        for phase in phases_of(f"small_mlp clusterability_gradient pruned{named}"):
            assert phase.clusterability == training.ClusterabilityGradient(
                weight, 3, "l1", by_threshold
            )


@pytest.mark.parametrize(
    ("named", "scaled", "down", "up"),
    [
        pytest.param("mlp", [False, True, True], 0.6, 4.6, id="A15 mlp"),
        pytest.param("cnn", [False, True, True, False, False], 0.8, 2.8, id="A15 cnn"),
    ],
)
def test_modular_initialisation(named, scaled, down, up):
    """The first weights and a CNN's dense ones are left alone; the factors are down or up."""
    config = train.experiment.full_config([named, "modular_init"])
    sizes = {"hidden_units": [40, 30] if named == "mlp" else [20], "conv_filters": [20, 30, 20]}
    before, after = (
        networks.build_network(
            input_shape=(8, 8, 1), n_outputs=10, seed=0, **{**config["network"], **sizes}
        )
        for _ in range(2)
    )
    networks.modular_initialisation(after, seed=0, **without_switch(config["modular_init"]))
    shares = []
    for old, new, is_scaled in zip(
        [weights for weights in before.get_weights() if weights.ndim > 1],
        [weights for weights in after.get_weights() if weights.ndim > 1],
        scaled,
        strict=True,
    ):
        factors = np.unique((new / old).round(4))
        assert factors.tolist() == pytest.approx([down, up] if is_scaled else [1])
        if is_scaled:
            shares.append(((new / old) > 1).mean())
    assert np.mean(shares) == pytest.approx(0.1, abs=0.03)  # of ten modules


def test_published_augments_and_prunes_as_by_default():
    """Nothing else of a training depends on it (A9, A12)."""
    named = "vgg augmented dropout pruned"
    assert phases_of(named, 50_000) == phases_of(f"{named} published", 50_000)
