"""Every key of every stage's default.yaml, set to another value, reaches the library.

The stages run, on runs that were stored by hand, up to the call that a key has to reach: with the
key and without it. A key that nobody reads fails, and so does a new one without a case here.
"""

import io
import uuid
from itertools import product

import keras
import numpy as np
import pytest
from PIL import Image
from sacred.utils import convert_to_nested_dict, iterate_flattened

from experiments import (
    _lesion_steps,
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
from experiments._networks import NetworkFile, model_code_of
from nn_clustering import (
    datasets,
    graphs,
    lesions,
    networks,
    partitions,
    reports,
    significance,
    training,
    visualisation,
)
from nn_clustering.networks import hugging_face
from nn_clustering.seeds import integer_seed
from nn_clustering.tracking import RunStore, Server, StageExperiment, StageRun, connect
from nn_clustering.tracking.stages import execution
from nn_clustering.tracking.stages.context import StageContext
from nn_clustering.tracking.stages.reuse import find_reusable, may_reuse
from nn_clustering.tracking.stages.threads import Threads
from tests.experiments.seam import (
    TO_THE_END,
    UNSET,
    Calls,
    Case,
    ReachedError,
    Stage,
    StoredRuns,
    arrives,
    run_of,
)
from tests.networks.hugging_face import folders

HIDDEN = [12, 10]
NULL = [3.0, 2.5]
# Keys of all stages that act in nn_clustering.tracking; tested for every stage at the end.
OF_TRACKING = {"n_threads", "reuse", "tags"}


def small_network(seed, *, pruned=False):
    network = networks.build_network(
        "mlp", (8, 8, 1), 10, hidden_units=HIDDEN, conv_filters=[], seed=seed
    )
    if pruned:
        for layer in network.layers:
            if layer.weights:
                kernel, bias = layer.get_weights()
                layer.set_weights([np.where(np.abs(kernel) > 0.15, kernel, 0), bias])
        kernel, bias = network.layers[-1].get_weights()
        kernel[:, 9] = 0  # an output without edges
        network.layers[-1].set_weights([kernel, bias])
    return network


def clustering_of(network, n_clusters=3):
    graph = graphs.graph_from_weights(network)
    partition = partitions.make_partition(graph, "spectral", n_clusters, seed=0)
    files = {"graph.npz": graph.to_npz(), "partition.npz": partition.to_npz()}
    result = {"ncut": partitions.ncut(graph, partition.labels), "stability": None, "starts": None}
    return files, {**result, "n_clusters": n_clusters, "n_init": 5}


def own_data(folder):
    """A folder of images by class, and a table."""
    for split, name in product(("train", "test"), "ab"):
        of_class = folder / "photos" / split / name
        of_class.mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (9, 9), (40 * number, 0, 0)).save(of_class / f"{number}.png")
    (folder / "names.json").write_text('["a", "b"]')
    table = folder / "table.csv"
    table.write_text("width,height,target\n1,2,3\n3,4,5\n")
    return folder / "photos", table


@pytest.fixture(scope="module")
def runs(embedded_server, home, tmp_path_factory):
    """Two trainings, two clusterings and tests of them, some cut short; a database of their own."""
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    stored = StoredRuns(database)
    first, second = small_network(0, pruned=True), small_network(1)
    content = networks.network_bytes
    of_training = {
        "dataset.name": "digits",
        "network.hidden_units": HIDDEN,
        "pruning.enabled": True,
        "modular_init.enabled": True,
        "modular_init.down": 0.25,
    }
    phases = {
        "unpruned.keras": content(small_network(0)),
        "unpruned.epoch_1.keras": content(small_network(2)),
        "pruned.epoch_1.keras": content(small_network(3)),
        "pruned.keras": content(first),
    }
    for name, files in (
        ("trained", phases),
        ("other_trained", {"unpruned.keras": content(second)}),
    ):
        stored.add(name, train.experiment, of_training, files=files)
    for name, network, trained, phase in (
        ("clustered", first, "trained", "pruned"),
        ("other_clustered", second, "other_trained", "unpruned"),
    ):
        files, result = clustering_of(network)
        stored.add(
            name,
            cluster.experiment,
            {"train_run": stored.ids[trained], "n_clusters": 3},
            files=files,
            result=result,
            lineage={"train_run": stored.ids[trained]},
            info={"phase": phase, "network": f"{phase}.keras"},
        )
    clustered = {"cluster_run": stored.ids["clustered"]}
    for name, status in (("tested", "COMPLETED"), ("cut_short", "FAILED")):
        stored.add(
            name, shuffle_test.experiment, clustered, status=status, lineage=clustered,
            metrics={"shuffled_ncut": NULL},
        )  # fmt: skip
    checkpoint = training.Checkpoint(
        "unpruned", 1, (training.EpochResult(1, 1.0, 0.5, 1.0, 0.5),), {"weights": np.zeros(2)}
    )
    files = {
        "unpruned.epoch_1.keras": content(first),
        "unpruned.epoch_1.checkpoint.npz": checkpoint.to_npz(),
    }
    config = {"dataset.n_train": 128, "dataset.n_test": 32, "network.hidden_units": [2]}
    stored.add("half_trained", train.experiment, config, files=files, status="FAILED")
    scores = np.full((20, 11), 7)
    content = _arrays_file({"0": scores})
    stored.add(
        "half_lesioned", lesion.experiment, clustered, status="FAILED", lineage=clustered,
        files={"single_scores_0.npz": content},
    )  # fmt: skip
    arrays = dict.fromkeys(("scores", "dispersions", "inputs"), np.zeros(1))
    stored.add(
        "half_visualised", visualise.experiment, clustered, status="FAILED", lineage=clustered,
        files={
            "optimised_0.npz": _arrays_file({f"0.{name}": of for name, of in arrays.items()}),
        },
    )  # fmt: skip
    for name in ("lesioned", "other_lesioned"):
        stored.add(name, lesion.experiment, clustered, lineage=clustered, result={"accuracy": 0.5})
    stored.add("visualised", visualise.experiment, clustered, lineage=clustered, result={})
    folder = tmp_path_factory.mktemp("files")
    stored.model, stored.partition = folder / "network.keras", folder / "partition.npz"
    second.save(stored.model)
    stored.data = own_data(folder)
    stored.text = folder / "my.txt"
    stored.text.write_text("three blind mice, see how they run; " * 600)
    config, shapes = folders.gpt2()
    stored.folder = folders.save_folder(folder / "gpt2", config, folders.random_tensors(shapes))
    stored.partition.write_bytes(stored.files["clustered"]["partition.npz"])
    stored.grouped = folder / "grouped.npz"
    of_tasks = {"groups_test": np.arange(20) % 2, "group_names": ["even", "odd"]}
    np.savez(stored.grouped, x_test=np.zeros((20, 8, 8, 1)), y_test=np.arange(20) % 10, **of_tasks)
    stored.graph = folder / "graph.npz"
    stored.graph.write_bytes(stored.files["clustered"]["graph.npz"])
    add_own_network(stored, folder)
    yield stored
    database.client.drop_database(database.name)
    database.client.close()


AUTHOR = """
import keras

@keras.saving.register_keras_serializable("keys_act")
def doubled(x):
    return 2 * x
"""


def add_own_network(stored, folder):
    """A network with a function of its author's, and a clustering of it."""
    stored.code, stored.own = folder / "keys_act_layers.py", folder / "own.keras"
    stored.code.write_text(AUTHOR)
    namespace = {}
    exec(AUTHOR, namespace)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(12, namespace["doubled"]),
            keras.layers.Dense(10),
        ]
    )
    network.save(stored.own)
    file = NetworkFile(stored.own.read_bytes(), "it", model_code=str(stored.code))
    files, result = clustering_of(network)
    stored.add(
        "own_clustered",
        cluster.experiment,
        {"model": str(stored.own), "model_code": str(stored.code), "n_clusters": 3},
        files={**files, "network.keras": stored.own.read_bytes()},
        result=result,
        info={"inputs": {"model_code": model_code_of(file).digest}},
    )


OF_OWN_NETWORK = {"cluster_run": run_of("own_clustered")}


def is_the_authors_code(found, runs):
    return found == str(runs.code)


def _arrays_file(arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


@pytest.fixture(autouse=True)
def own_database(runs, home, monkeypatch):
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", runs.database.name)


def is_file_of(run, name):
    """That of the networks in a run's files this one is read."""
    return lambda found, runs: found == runs.files[run][name]


def same_labels_as(run):
    def check(found, runs):
        labels = partitions.Partition.from_npz(runs.files[run]["partition.npz"]).labels
        return np.array_equal(found, labels)

    return check


def of_length(size):
    return lambda found, runs: found is not None and len(found) == size


def is_the_training_split(found, runs):
    return np.array_equal(found, datasets.load_dataset("digits").x_train)


# What load_dataset is told of data of one's own.
OF_OWN_DATA = {
    "per_class": 2,
    "image_size": 9,
    "resize": "crop",
    "class_names": lambda runs: str(runs.data[0].parent / "names.json"),
    "targets": ["height"],
    "damaged": "skip",
}
# The same of tokens.
OF_TOKENS = {"prime": 31, "length": 9, "train_share": 0.5}


# train

PRUNED = {
    "pruning.enabled": True,
    "pruning.epochs": 3,
    "pruning.initial_sparsity": 0.25,
    "pruning.final_sparsity": 0.75,
    "pruning.every_n_steps": 7,
}
PENALTY = "phase.penalty"
# So that the graph has the eigenvalues that are asked for.
ENOUGH_UNITS = {"network.hidden_units": [8]}

ON_SUMS = {
    "dataset.name": "modular_addition",
    "dataset.n_train": None,
    "dataset.n_test": None,
    "network.kind": "transformer",
    "network.hidden_units": UNSET,
}
OF_TRANSFORMERS = {
    "n_blocks": 1,
    "n_channels": 8,
    "n_heads": 2,
    "n_neurons": [5, 6],
    "norm": "rms",
    "norm_first": False,
    "gated": True,
}
TRAIN = Stage(
    train.experiment,
    {
        "load_dataset": datasets,
        "build_network": networks,
        "modular_initialisation": networks,
        "train": training,
        "evaluate": training,
        "repeat_command": execution,
    },
    lambda runs: {"dataset.n_train": 128, "dataset.n_test": 32, "network.hidden_units": [2]},
    {
        "seed": [
            Case(7, "build_network", "seed"),
            Case(7, "modular_initialisation", "seed", given={"modular_init.enabled": True}),
            Case(7, "train", "seed"),
        ],
        "dataset.name": Case("lines", "load_dataset", "name"),
        "dataset.seed": Case(43, "load_dataset", "seed"),
        "dataset.channels": Case(3, "load_dataset", "channels"),
        "dataset.n_train": Case(129, "load_dataset", "n_train"),
        "dataset.n_test": Case(33, "load_dataset", "n_test"),
        **{
            f"dataset.{key}": Case(
                value,
                "load_dataset",
                key,
                given={
                    "dataset.name": lambda runs, key=key: str(runs.data[key == "targets"]),
                    "dataset.n_train": None,
                    "dataset.n_test": None,
                },
            )
            for key, value in OF_OWN_DATA.items()
        },
        **{
            f"dataset.{key}": Case(
                value,
                "load_dataset",
                key,
                given={
                    **ON_SUMS,
                    **({"dataset.name": lambda runs: str(runs.text)} if key == "length" else {}),
                },
            )
            for key, value in OF_TOKENS.items()
        },
        **{
            f"network.{key}": Case(value, "build_network", key, given=ON_SUMS)
            for key, value in OF_TRANSFORMERS.items()
        },
        "network.patch_size": Case(
            2,
            "build_network",
            "patch_size",
            given={"network.kind": "vit", "network.hidden_units": UNSET},
        ),
        "network.kind": Case("cnn", "build_network", "kind"),
        "network.hidden_units": Case([3, 4], "build_network", "hidden_units"),
        "network.conv_filters": Case(
            [2, 3], "build_network", "conv_filters", given={"network.kind": "cnn"}
        ),
        "network.activation": Case("tanh", "build_network", "activation"),
        "network.dropout": Case(True, "build_network", "dropout"),
        "network.dropout_rate": Case(
            0.3, "build_network", "dropout_rate", given={"network.dropout": True}
        ),
        "network.precision": Case("mixed_bfloat16", "build_network", "precision"),
        "modular_init.enabled": Case(True, "modular_initialisation", stop="train"),
        **{
            f"modular_init.{key}": Case(
                value, "modular_initialisation", key, given={"modular_init.enabled": True}
            )
            for key, value in (("n_modules", 4), ("down", 0.5), ("all_layers", True))
        },
        "training.enabled": Case(False, "evaluate", stop="train"),
        "training.epochs": Case(3, "train", "phase.epochs"),
        "training.batch_size": Case(16, "train", "phase.batch_size"),
        "training.full_batch": Case(
            True, "train", "phase.batch_size", 129, given={"dataset.n_train": 129}
        ),
        "training.weight_decay": Case(0.5, "train", "phase.weight_decay"),
        "training.learning_rate": Case(0.25, "train", "phase.learning_rate"),
        "training.shuffle": Case(False, "train", "phase.shuffle"),
        "training.checkpoint_every": Case(2, "train", "checkpoint_every"),
        "penalty.l1": Case(True, "train", f"{PENALTY}.l1", 5e-5),
        "penalty.l2": Case(True, "train", f"{PENALTY}.l2", 5e-5),
        "penalty.l1_rate": Case(0.5, "train", f"{PENALTY}.l1", given={"penalty.l1": True}),
        "penalty.l2_rate": Case(0.5, "train", f"{PENALTY}.l2", given={"penalty.l2": True}),
        "penalty.first_layer_l1": Case(
            True, "train", f"{PENALTY}.first_layer_l1", given={"penalty.l2": True}
        ),
        "augmentation.enabled": Case(True, "train", "phase.augmentation.rotation", 15.0),
        **{
            f"augmentation.{key}": Case(
                value, "train", f"phase.augmentation.{key}", given={"augmentation.enabled": True}
            )
            for key, value in (("rotation", 5.0), ("shift", 0.25), ("flip", False))
        },
        "clusterability_gradient.enabled": Case(
            True, "train", "phase.clusterability.weight", 0.1, given=ENOUGH_UNITS
        ),
        **{
            f"clusterability_gradient.{key}": Case(
                value,
                "train",
                f"phase.clusterability.{key}",
                given={"clusterability_gradient.enabled": True, **ENOUGH_UNITS},
            )
            for key, value in (("weight", 0.5), ("n_eigenvalues", 2), ("norm_by_threshold", True))
        },
        "resume": Case(run_of("half_trained"), "train", "start.epoch", 1),
        "n_repeats": Case(3, "repeat_command", "run.config.n_repeats", needed=True),
        "n_workers": Case(5, "repeat_command", "n_workers", given={"n_repeats": 2}),
        # in the second phase, see test_pruning_reaches_the_second_phase
        **dict.fromkeys(PRUNED, ()),
    },
)


@pytest.fixture(scope="module")
def second_phase(runs, home):
    """What the second phase is trained with where all keys of pruning are set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NN_CLUSTERING_HOME", str(home))
        calls = Calls(patch)
        calls.watch(training, "train")
        config = {**TRAIN.base(runs), **PRUNED, "training.epochs": 1, "training.batch_size": 32}
        train.experiment.run(config_updates=convert_to_nested_dict(config))
    return calls.of["train"]


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("pruning.enabled", None),
        ("pruning.epochs", "epochs"),
        ("pruning.initial_sparsity", "pruning.initial_sparsity"),
        ("pruning.final_sparsity", "pruning.final_sparsity"),
        ("pruning.every_n_steps", "pruning.every_n_steps"),
    ],
)
def test_pruning_reaches_the_second_phase(second_phase, key, path):
    first, second = (call["phase"] for call in second_phase)
    assert first.pruning is None
    assert first.epochs == 1
    assert second.pruning.n_steps == 12  # 3 epochs of ceil(128 / 32) steps
    assert (second.batch_size, second.name) == (32, "pruned")
    if path is not None:
        found = second
        for name in path.split("."):
            found = getattr(found, name)
        assert found == PRUNED[key]


# cluster


ACTIVE = {"graph.source": "activations", "stability.n_seeds": 0}
LEIDEN = {"partition.method": "leiden"}
LOCAL = {"partition.local": True}
CLUSTER = Stage(
    cluster.experiment,
    {
        "network_from_bytes": networks,
        "preprocessing": networks,
        "load_dataset": datasets,
        "graph_from_weights": graphs,
        "graph_from_activations": graphs,
        "graph_from_gradients": graphs,
        "gather_activations": graphs,
        "graph_from_file": graphs,
        "normalise_units": graphs,
        "commute_time_graph": graphs,
        "spectral_clustering": partitions,
        "make_partition": partitions,
        "local_partition": partitions,
        "partition_stability": partitions,
        "read_partition": partitions,
        "modularity": partitions,
        "ncut": partitions,
    },
    lambda runs: {"train_run": runs.ids["trained"], "n_clusters": 3},
    {
        "seed": [
            Case(7, "spectral_clustering", "seed"),
            Case(7, "make_partition", "seed", given=LEIDEN),
            Case(7, "local_partition", "seed", given=LOCAL),
            Case(7, "partition_stability", "seed"),
        ],
        "train_run": Case(
            run_of("other_trained"), "network_from_bytes", "content",
            is_file_of("other_trained", "unpruned.keras"),
        ),
        "model": Case(
            lambda runs: str(runs.model), "network_from_bytes", "content",
            lambda found, runs: found == runs.model.read_bytes(),
            given={"train_run": None}, needed=True,
        ),
        "model_code": Case(
            lambda runs: str(runs.code), "network_from_bytes", "model_code", is_the_authors_code,
            given={"train_run": None, "model": lambda runs: str(runs.own)}, needed=True,
        ),
        "preprocessing": Case(
            "tf", "preprocessing", "name", stop="gather_activations",
            given={
                "train_run": None, "model": lambda runs: str(runs.model),
                "dataset.name": "digits", **ACTIVE,
            },
        ),
        "phase": Case(
            "unpruned", "network_from_bytes", "content", is_file_of("trained", "unpruned.keras")
        ),
        "checkpoint": Case(
            1, "network_from_bytes", "content", is_file_of("trained", "pruned.epoch_1.keras")
        ),
        "n_clusters": [
            Case(4, "spectral_clustering", "n_clusters"),
            Case(4, "make_partition", "n_clusters", given={"partition.method": "random"}),
            Case(4, "partition_stability", "n_clusters"),
        ],
        "graph.source": [
            Case("activations", "graph_from_activations", stop="spectral_clustering"),
            Case("gradients", "graph_from_gradients", stop="spectral_clustering"),
        ],
        "graph.file": Case(
            lambda runs: str(runs.graph), "graph_from_file", "content",
            lambda found, runs: found == runs.graph.read_bytes(),
            given={"train_run": None, "graph.source": "file"}, needed=True,
        ),
        "graph.kernel_norm": Case("frobenius", "graph_from_weights", "kernel_norm"),
        "graph.gate_norm": Case("l2", "graph_from_weights", "gate_norm"),
        "graph.fold_normalisation": Case(False, "graph_from_weights", "fold_normalisation"),
        "graph.residual": [
            *(
                Case(rule, "graph_from_weights", "residual")
                for rule in ("one_set", "copied", "units", "contracted")
            ),
            Case("contracted", "gather_activations", "residual", given=ACTIVE),
            Case(
                "contracted", "graph_from_gradients", "residual",
                given={"graph.source": "gradients"},
            ),
        ],
        **{
            f"graph.{key}": [
                Case(value, "graph_from_weights", key),
                Case(value, "graph_from_gradients", key, given={"graph.source": "gradients"}),
            ]
            for key, value in (("inputs", False), ("outputs", False), ("dense_layers", True))
        },
        "graph.isolated_below": [
            Case(1e-3, "graph_from_weights", "isolated_below"),
            Case(
                1e-3, "graph_from_gradients", "isolated_below",
                given={"graph.source": "gradients"},
            ),
            Case(1e-3, "graph_from_activations", "isolated_below", given=ACTIVE),
            Case(
                1e-3, "graph_from_file", "isolated_below",
                given={
                    "train_run": None, "graph.source": "file",
                    "graph.file": lambda runs: str(runs.graph),
                },
            ),
        ],
        "graph.normalise_units": Case(True, "normalise_units", stop="spectral_clustering"),
        "graph.commute_time": Case(True, "commute_time_graph", stop="spectral_clustering"),
        "dataset.name": Case("lines", "load_dataset", "name", given=ACTIVE),
        **{
            f"dataset.{key}": Case(value, "load_dataset", key, given=ACTIVE)
            for key, value in {**OF_OWN_DATA, **OF_TOKENS, "n_train": 129, "n_test": 33}.items()
        },
        "activations.split": [
            Case("train", "gather_activations", "x", is_the_training_split, given=ACTIVE),
            Case(
                "train", "graph_from_gradients", "x", is_the_training_split,
                given={"graph.source": "gradients"},
            ),
        ],
        "activations.n_samples": Case(9, "gather_activations", "x", of_length(9), given=ACTIVE),
        "activations.position": Case("pre", "gather_activations", "position", given=ACTIVE),
        "activations.map_norm": Case("frobenius", "gather_activations", "map_norm", given=ACTIVE),
        "activations.correlation": [
            Case("pearson", function, "correlation", given=ACTIVE)
            for function in ("gather_activations", "graph_from_activations")
        ],
        "activations.memory_mb": Case(2, "gather_activations", "memory_mb", given=ACTIVE),
        "partition.method": [
            Case("louvain", "make_partition", "method", stop="partition_stability"),
            Case("louvain", "partition_stability", "method"),
        ],
        "partition.local": Case(True, "local_partition", stop=TO_THE_END),
        "partition.local_clusters": Case(
            2, "local_partition", "n_clusters_of_layer", given=LOCAL
        ),
        "partition.local_ends": Case("own", "local_partition", "ends", given=LOCAL),
        "partition.assign_labels": [
            Case("cluster_qr", "spectral_clustering", "assign_labels"),
            Case("cluster_qr", "local_partition", "assign_labels", given=LOCAL),
            Case("cluster_qr", "partition_stability", "assign_labels"),
        ],
        "partition.resolution": [
            Case(2.5, "make_partition", "resolution", given=LEIDEN),
            Case(2.5, "partition_stability", "resolution", given=LEIDEN),
            Case(2.5, "modularity", "resolution"),
        ],
        "partition.volume_constant": [
            Case(0.5, "spectral_clustering", "volume_constant"),
            Case(0.5, "make_partition", "volume_constant", given=LEIDEN),
            Case(0.5, "local_partition", "volume_constant", given=LOCAL),
            Case(0.5, "partition_stability", "volume_constant"),
            Case(0.5, "ncut", "volume_constant"),
        ],
        "partition.file": Case(
            lambda runs: str(runs.partition), "read_partition", "name",
            lambda found, runs: found == str(runs.partition),
            given={"partition.method": "file"}, needed=True,
        ),
        **{
            f"kmeans.{key}": [
                Case(value, "spectral_clustering", key),
                Case(value, "make_partition", key, given=LEIDEN),
                Case(value, "local_partition", key, given=LOCAL),
                Case(value, "partition_stability", key),
            ]
            for key, value in (("n_init", 3), ("select", "inertia"))
        },
        "stability.n_seeds": Case(3, "partition_stability", "n_seeds"),
    },
)  # fmt: skip


# shuffle_test

KERNELS = {"kernels": "weights"}
SHUFFLE_TEST = Stage(
    shuffle_test.experiment,
    {
        "network_from_bytes": networks,
        "preprocessing": networks,
        "shuffle_test": significance,
        "worker_pool": significance,
        "shuffled_edges": significance,
        "shuffled_kernels": significance,
        "permuted_values": significance,
        "FreshNetworks": significance,
        "figure_of_null_distribution": reports,
        "cohens_d": significance,
    },
    lambda runs: {"cluster_run": runs.ids["clustered"], "n_workers": 1},
    {
        "seed": Case(7, "shuffle_test", "seed"),
        "cluster_run": [
            Case(
                run_of("other_clustered"), "shuffled_edges", "graph.edges.0.weights",
                lambda found, runs: np.array_equal(
                    found, _graph_of(runs, "other_clustered").edges[0].weights
                ),
            ),
            Case(
                run_of("other_clustered"), "shuffle_test", "own_ncut",
                lambda found, runs: found == _result(runs, "other_clustered")["ncut"],
            ),
        ],
        "model_code": Case(
            lambda runs: str(runs.code), "network_from_bytes", "model_code", is_the_authors_code,
            given={**OF_OWN_NETWORK, **KERNELS}, needed=True,
        ),
        "n_shuffles": Case(6, "shuffle_test", "n_shuffles"),
        "method": [
            Case("layer_nonzero", "shuffled_edges", "method"),
            Case("layer_nonzero", "shuffled_kernels", "method", given=KERNELS),
            Case("heads", "permuted_values", "method"),
            Case("fresh_initialisation", "FreshNetworks", stop="shuffle_test"),
        ],
        "kernels": Case("weights", "shuffled_kernels", stop="shuffle_test"),
        "n_workers": [
            Case(2, "worker_pool", "n_workers"),
            Case(2, "shuffle_test", "n_workers"),
        ],
        "count_ties": Case(False, "shuffle_test", "count_ties"),
        "population_std": Case(
            True, "figure_of_null_distribution", "test.population_std", given={"n_shuffles": 2}
        ),
        "reconnect_last_layer": [
            Case(True, "shuffled_edges", "reconnect_last_layer"),
            Case(True, "shuffled_kernels", "reconnect_last_layer", given=KERNELS),
        ],
        "stop_early.enabled": Case(True, "shuffle_test", "stop_at", 10),
        "stop_early.stop_at": Case(
            7, "shuffle_test", "stop_at", given={"stop_early.enabled": True}
        ),
        "against_run": [
            Case(
                run_of("tested"), "figure_of_null_distribution", "against",
                lambda found, runs: (
                    found is not None and found[0] == "shuffles (layer), again"
                    and found[1].tolist() == NULL
                ),
                given={"n_shuffles": 2},
            ),
            Case(
                run_of("tested"), "cohens_d", given={"n_shuffles": 2}, stop=TO_THE_END,
            ),
        ],
        "resume": Case(
            run_of("cut_short"), "shuffle_test", "known", {0: NULL[0], 1: NULL[1]},
            given={"cluster_run": run_of("clustered")},
        ),
    },
)  # fmt: skip


def _graph_of(runs, name):
    return graphs.UnitGraph.from_npz(runs.files[name]["graph.npz"])


def _result(runs, name):
    return runs.database["runs"].find_one({"_id": runs.ids[name]})["result"]


def clustered_otherwise(runs, **changes):
    """A clustering run of the same network with other settings, by dotted key."""
    files, result = clustering_of(small_network(0, pruned=True))
    config = {"train_run": runs.ids["trained"], "n_clusters": 3, **changes}
    files["untransformed_graph.npz"] = files["graph.npz"]
    return runs.add(
        uuid.uuid4().hex, cluster.experiment, config, files=files, result=result,
        lineage={"train_run": runs.ids["trained"]},
        info={"phase": "pruned", "network": "pruned.keras"},
    )  # fmt: skip


OF_CLUSTERING = {
    "n_clusters": 4,
    "kmeans.n_init": 3,
    "kmeans.select": "inertia",
    "partition.assign_labels": "cluster_qr",
    "partition.resolution": 2.5,
    "partition.volume_constant": 0.5,
}
OF_GRAPH = {
    "kernel_norm": "frobenius",
    "gate_norm": "max",
    "fold_normalisation": False,
    "inputs": True,
    "outputs": True,
    "dense_layers": True,
    "residual": "copied",
    "isolated_below": 1e-3,
}


def test_shuffles_are_clustered_as_the_network_was(runs, monkeypatch):
    """All that a clustering run says of its method."""
    run_id = clustered_otherwise(runs, **OF_CLUSTERING)
    calls = Calls(monkeypatch)
    calls.watch(significance, "shuffle_test", last=True)
    with pytest.raises(ReachedError):
        shuffle_test.experiment.run(config_updates={"cluster_run": run_id, "n_workers": 1})
    (call,) = calls.of["shuffle_test"]
    assert call["cluster"].keywords == {
        "method": "spectral", "assign_labels": "cluster_qr", "resolution": 2.5, "n_clusters": 4,
        "n_init": 3, "select": "inertia", "volume_constant": 0.5,
    }  # fmt: skip
    assert call["volume_constant"] == 0.5


def test_shuffles_of_inertia_are_clustered_as_the_network_was(runs, monkeypatch):
    """With the n-cuts of all starts, of which the kept one need not be the lowest."""
    changes = {**OF_CLUSTERING, "partition.assign_labels": "kmeans"}
    calls = Calls(monkeypatch)
    calls.watch(significance, "shuffle_test", last=True)
    run_id = clustered_otherwise(runs, **changes)
    with pytest.raises(ReachedError):
        shuffle_test.experiment.run(config_updates={"cluster_run": run_id, "n_workers": 1})
    (call,) = calls.of["shuffle_test"]
    assert call["cluster"].func.__name__ == "spectral_clustering"
    assert call["cluster"].keywords == {
        "n_clusters": 4, "n_init": 3, "select": "inertia", "volume_constant": 0.5,
    }  # fmt: skip


def test_kernels_are_shuffled_in_the_graph_that_was_clustered(runs, monkeypatch):
    run_id = clustered_otherwise(runs, **{f"graph.{key}": value for key, value in OF_GRAPH.items()})
    calls = Calls(monkeypatch)
    calls.watch(significance, "shuffled_kernels", last=True)
    with pytest.raises(ReachedError):
        shuffle_test.experiment.run(
            config_updates={"cluster_run": run_id, "n_workers": 1, "kernels": "weights"}
        )
    (call,) = calls.of["shuffled_kernels"]
    assert call["graph_settings"] == OF_GRAPH


@pytest.mark.parametrize("key", ["normalise_units", "commute_time"])
@pytest.mark.parametrize("kernels", ["norms", "weights"])
def test_shuffles_are_transformed_as_the_graph_was(runs, monkeypatch, key, kernels):
    run_id = clustered_otherwise(runs, **{f"graph.{key}": True})
    calls = Calls(monkeypatch)
    calls.watch(significance, "Transformed")
    calls.watch(significance, "shuffle_test", last=True)
    config = {"cluster_run": run_id, "n_workers": 1, "kernels": kernels}
    with pytest.raises(ReachedError):
        shuffle_test.experiment.run(config_updates=config)
    (made,) = calls.of["Transformed"]
    both = {"normalise_units": False, "commute_time": False}
    assert list(made.values())[1].keywords == {"settings": {**both, key: True}}


def test_fresh_networks_are_those_of_the_training(runs, monkeypatch):
    """Shape, settings and modular initialisation of the training run, graph of the clustering's."""
    run_id = clustered_otherwise(runs, **{f"graph.{key}": value for key, value in OF_GRAPH.items()})
    calls = Calls(monkeypatch)
    calls.watch(networks, "build_network")
    calls.watch(networks, "modular_initialisation")
    calls.watch(graphs, "graph_from_weights", last=True)
    config = {"cluster_run": run_id, "method": "fresh_initialisation", "n_workers": 1}
    with pytest.raises(ReachedError):
        shuffle_test.experiment.run(config_updates=config)
    built, scaled = calls.of["build_network"][-1], calls.of["modular_initialisation"][-1]
    assert (built["input_shape"], built["n_outputs"]) == ((8, 8, 1), 10)
    assert (built["kind"], built["hidden_units"]) == ("mlp", HIDDEN)
    assert {key: scaled[key] for key in ("n_modules", "down", "all_layers")} == {
        "n_modules": 10, "down": 0.25, "all_layers": False,
    }  # fmt: skip
    assert scaled["seed"] == built["seed"]
    made = calls.of["graph_from_weights"][-1]
    assert {key: made[key] for key in OF_GRAPH} == OF_GRAPH


@pytest.mark.parametrize(("changes", "rule"), [({}, "copied"), (ACTIVE, "contracted")])
def test_lesions_are_of_the_sets_that_were_clustered(runs, monkeypatch, changes, rule):
    run_id = clustered_otherwise(runs, **{"graph.residual": rule, **changes})
    calls = Calls(monkeypatch)
    calls.watch(lesions, "LesionEngine", last=True)
    with pytest.raises(ReachedError):
        lesion.experiment.run(config_updates={"cluster_run": run_id})
    (call,) = calls.of["LesionEngine"]
    assert call["residual"] == rule


# lesion

DOUBLE = {"double.enabled": True, "double.sub_clusters": "all", "n_shuffles": 2}
LESION = Stage(
    lesion.experiment,
    {
        "load_dataset": datasets,
        "network_from_bytes": networks,
        "preprocessing": networks,
        "LesionEngine": lesions,
        "classes_of": lesions,
        "lesion_test": lesions,
        "double_lesion_test": lesions,
        "single_unit_lesions": lesions,
        "partition_into_heads": lesions,
    },
    lambda runs: {"cluster_run": runs.ids["clustered"]},
    {
        "seed": [
            Case(7, "lesion_test", "seed"),
            Case(7, "double_lesion_test", "seed", given=DOUBLE),
        ],
        "cluster_run": Case(
            run_of("other_clustered"), "lesion_test", "partition.labels",
            same_labels_as("other_clustered"),
        ),
        "model_code": Case(
            lambda runs: str(runs.code), "network_from_bytes", "model_code", is_the_authors_code,
            given={**OF_OWN_NETWORK, "dataset.name": "digits"}, needed=True,
        ),
        "preprocessing": Case(
            "tf", "preprocessing", "name", stop="LesionEngine",
            given={
                "cluster_run": run_of("own_clustered"),
                "model_code": lambda runs: str(runs.code), "dataset.name": "digits",
            },
        ),
        "output": Case(0, "LesionEngine", "output"),
        "dataset.name": Case("lines", "load_dataset", "name"),
        **{
            f"dataset.{key}": Case(value, "load_dataset", key)
            for key, value in {**OF_OWN_DATA, **OF_TOKENS, "n_test": 33}.items()
        },
        "n_shuffles": Case(6, "lesion_test", "n_shuffles"),
        "silence": Case("mean", "LesionEngine", "silence"),
        "draws": Case("afresh", "lesion_test", "draws"),
        "sizes.min_units": Case(2, "lesion_test", "sizes.min_units"),
        "sizes.max_share": Case(0.75, "lesion_test", "sizes.max_share"),
        "count_ties": [
            Case(False, "lesion_test", "count_ties"),
            Case(False, "double_lesion_test", "count_ties", given=DOUBLE),
        ],
        "tail": [
            Case("right", "classes_of", "tail"),
            Case("right", "lesion_test", "groups.tail"),
        ],
        "double.enabled": Case(
            True, "double_lesion_test", given={"n_shuffles": 2}, stop=TO_THE_END
        ),
        "double.n_shuffles": Case(3, "double_lesion_test", "n_shuffles", given=DOUBLE),
        "double.sub_clusters": Case(
            "all", "double_lesion_test", "sub_clusters",
            lambda found, runs: len(found) > 1, given={"double.enabled": True, "n_shuffles": 2},
        ),
        "double.overlap": Case(True, "double_lesion_test", "overlap", given=DOUBLE),
        "single_units": Case(
            True, "single_unit_lesions", given={"n_shuffles": 2}, stop=TO_THE_END
        ),
        # null takes the groups that the data set has
        "measure_by": Case(
            "class", "LesionEngine", "groups", None,
            given={"dataset.name": lambda runs: str(runs.grouped)},
        ),
        "heads": Case(True, "partition_into_heads", given={"n_shuffles": 2}),
        "memory_mb": Case(99, "LesionEngine", "memory_mb"),
        "resume": Case(
            run_of("half_lesioned"), "lesion_test", "known", lambda found, runs: list(found) == [0]
        ),
    },
)  # fmt: skip


@pytest.mark.parametrize("tail", ["left", "right", None])
@pytest.mark.parametrize("names", ["polynomials", "targets"])
def test_tail_reaches_the_groups_of_a_regression(monkeypatch, tail, names):
    """By monomial where the targets are the polynomials, else target by target."""
    calls = Calls(monkeypatch)
    calls.watch(lesions, "targets_in_groups")
    own = datasets.polynomial_names() if names == "polynomials" else ("a", "b")
    x, y = np.zeros((2, 3), np.float32), np.zeros((2, len(own)), np.float32)
    dataset = datasets.Dataset("own", x, y, x, y, class_names=own, task="regression")
    found = _lesion_steps.groups_of(dataset, None, tail=tail, measure_by=None)
    (call,) = calls.of["targets_in_groups"]
    assert call["tail"] == tail
    assert found.tail == (tail or "right")
    assert len(found.names) == (9 if names == "polynomials" else 2)


# visualise

QUICK = {"ascent.n_steps": 1, "n_shuffles": 2}
VISUALISE = Stage(
    visualise.experiment,
    {
        "load_dataset": datasets,
        "network_from_bytes": networks,
        "channel_map": networks,
        "InputOptimiser": visualisation,
        "visualisation_test": visualisation,
        "top_samples": visualisation,
    },
    lambda runs: {"cluster_run": runs.ids["clustered"]},
    {
        "seed": [
            Case(7, "visualisation_test", "seed"),
            Case(7, "top_samples", "seed", given=QUICK),
        ],
        "cluster_run": Case(
            run_of("other_clustered"), "visualisation_test", "partition.labels",
            same_labels_as("other_clustered"),
        ),
        "model_code": Case(
            lambda runs: str(runs.code), "network_from_bytes", "model_code", is_the_authors_code,
            given={**OF_OWN_NETWORK, "dataset.name": "digits"}, needed=True,
        ),
        "preprocessing": Case(
            "none", "channel_map", "name",
            given={
                "cluster_run": run_of("own_clustered"),
                "model_code": lambda runs: str(runs.code), "dataset.name": "digits",
            },
        ),
        "output": Case(0, "InputOptimiser", "output"),
        "dataset.name": Case("lines", "load_dataset", "name"),
        **{
            f"dataset.{key}": Case(value, "load_dataset", key)
            for key, value in {**OF_OWN_DATA, **OF_TOKENS, "n_test": 33}.items()
        },
        **{
            key: Case(value, "InputOptimiser", key)
            for key, value in (("objective.reduction", "mean"), ("objective.position", "pre"))
        },
        "image.basis": Case("pixels", "InputOptimiser", "parametrisation.basis"),
        "image.decorrelate": Case(False, "InputOptimiser", "parametrisation.decorrelate"),
        **{
            key: Case(value, "InputOptimiser", key)
            for key, value in (
                ("ascent.n_steps", 3), ("ascent.learning_rate", 0.5),
                ("ascent.redirect_relu", False),
                ("transformations.jitter", 1.0), ("transformations.scaling", 0.2),
                ("transformations.rotation", 3.0),
            )
        },
        "n_shuffles": Case(6, "visualisation_test", "n_shuffles"),
        "draws": Case("afresh", "visualisation_test", "draws"),
        "sizes.min_units": Case(2, "visualisation_test", "sizes.min_units"),
        "sizes.max_share": Case(0.75, "visualisation_test", "sizes.max_share"),
        "count_ties": Case(False, "visualisation_test", "count_ties"),
        "entropy": Case(False, "InputOptimiser", "entropy"),
        "top_samples": Case(3, "top_samples", "n_top", given=QUICK),
        "random_inputs": Case(2, "visualisation_test", "n_kept"),
        "memory_mb": Case(99, "InputOptimiser", "memory_mb"),
        "resume": Case(
            run_of("half_visualised"), "visualisation_test", "known",
            lambda found, runs: list(found) == [0],
        ),
    },
)  # fmt: skip


# random_init

INITIAL = {"n_networks": 2, "network.hidden_units": HIDDEN, "n_clusters": 3}
RANDOM_INIT = Stage(
    random_init.experiment,
    {
        "build_network": networks,
        "modular_initialisation": networks,
        "graph_from_weights": graphs,
        "normalise_units": graphs,
        "commute_time_graph": graphs,
        "spectral_partition": partitions,
        "figure_of_random_networks": reports,
    },
    lambda runs: {**INITIAL, "input_shape": [8, 8, 1]},
    {
        "seed": [
            Case(7, "build_network", "seed", integer_seed(7, "network", 0)),
            Case(7, "spectral_partition", "seed", integer_seed(7, "network", 0)),
        ],
        "n_networks": Case(3, "figure_of_random_networks", "ncuts", of_length(3)),
        "input_shape": Case([6, 5, 1], "build_network", "input_shape"),
        "n_outputs": Case(7, "build_network", "n_outputs"),
        "n_tokens": Case(
            7, "build_network", "tokens.n_tokens",
            given={
                "input_shape": [5], "network.kind": "transformer", "network.hidden_units": UNSET,
            },
            needed=True,
        ),
        **{
            f"network.{key}": Case(
                value, "build_network", key,
                given={"network.kind": "vit", "network.hidden_units": UNSET},
            )
            for key, value in {**OF_TRANSFORMERS, "patch_size": 2}.items()
            if not key.startswith("norm")
        },
        "network.kind": Case("cnn", "build_network", "kind"),
        "network.hidden_units": Case([5], "build_network", "hidden_units"),
        "network.conv_filters": Case(
            [2, 3], "build_network", "conv_filters", given={"network.kind": "cnn"}
        ),
        "modular_init.enabled": Case(True, "modular_initialisation", stop="spectral_partition"),
        **{
            f"modular_init.{key}": Case(
                value, "modular_initialisation", key, given={"modular_init.enabled": True}
            )
            for key, value in (("n_modules", 4), ("down", 0.5), ("all_layers", True))
        },
        "n_clusters": Case(4, "spectral_partition", "n_clusters"),
        **{
            f"graph.{key}": Case(value, "graph_from_weights", key)
            for key, value in (
                ("kernel_norm", "frobenius"), ("gate_norm", "l2"), ("fold_normalisation", False),
                ("inputs", False), ("outputs", False), ("dense_layers", True),
                ("isolated_below", 1e-3), ("residual", "copied"),
            )
        },
        "graph.normalise_units": Case(True, "normalise_units", stop="spectral_partition"),
        "graph.commute_time": Case(True, "commute_time_graph", stop="spectral_partition"),
        "kmeans.n_init": Case(3, "spectral_partition", "n_init"),
        "kmeans.select": Case("inertia", "spectral_partition", "select"),
    },
)  # fmt: skip


# choose_k

CHOOSE_K = Stage(
    choose_k.experiment,
    {"cluster_numbers": partitions},
    lambda runs: {"cluster_run": runs.ids["clustered"]},
    {
        "seed": Case(7, "cluster_numbers", "seed"),
        "cluster_run": Case(
            run_of("other_clustered"), "cluster_numbers", "graph.edges.0.weights",
            lambda found, runs: np.array_equal(
                found, _graph_of(runs, "other_clustered").edges[0].weights
            ),
        ),
        "k_min": Case(4, "cluster_numbers", "ks.0"),
        "k_max": Case(9, "cluster_numbers", "ks.-1"),
    },
)  # fmt: skip


def test_numbers_of_clusters_are_tried_as_the_graph_was_clustered(runs, monkeypatch):
    run_id = clustered_otherwise(runs, **OF_CLUSTERING)
    calls = Calls(monkeypatch)
    calls.watch(partitions, "cluster_numbers", last=True)
    with pytest.raises(ReachedError):
        choose_k.experiment.run(config_updates={"cluster_run": run_id})
    (call,) = calls.of["cluster_numbers"]
    found = {key: call[key] for key in ("n_init", "select", "assign_labels", "volume_constant")}
    assert found == {
        "n_init": 3, "select": "inertia", "assign_labels": "cluster_qr", "volume_constant": 0.5,
    }  # fmt: skip


# agreement

AGREEMENT = Stage(
    agreement.experiment,
    {"common_units": partitions, "agreement_test": significance, "profile_test": significance},
    lambda runs: {"cluster_run": runs.ids["clustered"], "other_run": runs.ids["other_clustered"]},
    {
        "seed": [
            Case(7, "profile_test", "seed"),
            Case(7, "agreement_test", "seed"),
        ],
        "cluster_run": Case(
            lambda runs: runs.again, "profile_test", "first.labels",
            lambda found, runs: runs.ids and np.array_equal(found, _labels(runs, runs.again)),
        ),
        "other_run": Case(
            lambda runs: runs.again, "profile_test", "second.labels",
            lambda found, runs: np.array_equal(found, _labels(runs, runs.again)),
        ),
        "layers": Case(["dense_1"], "common_units", "layers", stop="agreement_test"),
        "n_permutations": [
            Case(9, "profile_test", "n_permutations"),
            Case(9, "agreement_test", "n_permutations"),
        ],
    },
)  # fmt: skip


def _labels(runs, run_id):
    name = next(name for name, known in runs.ids.items() if known == run_id)
    return partitions.Partition.from_npz(runs.files[name]["partition.npz"]).labels


@pytest.fixture(autouse=True)
def third_clustering(runs):
    """Another partition of the first network, once."""
    if not hasattr(runs, "again"):
        files, result = clustering_of(small_network(0, pruned=True), n_clusters=5)
        runs.again = runs.add(
            "again", cluster.experiment, {"train_run": runs.ids["trained"], "n_clusters": 5},
            files=files, result=result, lineage={"train_run": runs.ids["trained"]},
            info={"phase": "pruned", "network": "pruned.keras"},
        )  # fmt: skip


# tables of several networks

QUERY = {"query.config": ["n_shuffles=19"]}


def network_table(module, key, name):
    """What a table of the runs of a stage does with its keys.

    Args:
        module: Of the table.
        key: What names the runs.
        name: Of a run that is named.
    """
    return Stage(
        module.experiment,
        {"studied_network": reports, "table_of_networks": reports, "find": RunStore},
        lambda runs: {},
        {
            key: Case(
                lambda runs: [runs.ids[name]], "studied_network", "run.id",
                lambda found, runs: found == runs.ids[name], needed=True,
            ),
            "query.tags": Case(["study"], "find", "tags", given=QUERY),
            "query.since": Case("2d", "find", "since", given=QUERY),
            "query.config": Case(
                ["n_shuffles>=9"], "find", "config.n_shuffles", (">=", 9),
                given={"query.result": ["accuracy>0.1"]},
            ),
            "query.result": Case(
                ["accuracy>0.25"], "find", "result.accuracy", (">", 0.25), given=QUERY
            ),
            "query.limit": Case(1, "find", "limit", given=QUERY),
            # with a table of networks, see test_what_is_made_of_the_runs
            "seed": (), "level": (), "n_resamples": (),
        },
    )  # fmt: skip


LESION_TABLE = network_table(lesion_table, "lesion_runs", "other_lesioned")
VISUALISATION_TABLE = network_table(visualisation_table, "visualise_runs", "visualised")


@pytest.mark.parametrize(("key", "value"), [("seed", 7), ("level", 0.25), ("n_resamples", 33)])
@pytest.mark.parametrize(
    ("table", "named", "name"),
    [
        (lesion_table, "lesion_runs", "lesioned"),
        (visualisation_table, "visualise_runs", "visualised"),
    ],
)
def test_what_is_made_of_the_runs(runs, monkeypatch, table, named, name, key, value):
    """The runs here have no tables: what they would be read as is left out."""
    monkeypatch.setattr(reports, "studied_network", lambda store, run, test: (run.id, test.stage))
    calls = Calls(monkeypatch)
    calls.watch(reports, "table_of_networks", last=True)
    for more in ({}, {key: value}):
        with pytest.raises(ReachedError):
            table.experiment.run(config_updates={named: [runs.ids[name]], **more})
    without, with_key = calls.of["table_of_networks"]
    assert with_key["networks"] == [(runs.ids[name], named.removesuffix("_runs"))]
    assert with_key[key] == value != without[key]


# import_network

IMPORT_NETWORK = Stage(
    import_network.experiment,
    {
        "build_imagenet_network": networks,
        "check_preprocessing": networks,
        "network_from_bytes": networks,
        "network_of_folder": hugging_face,
        "weight_file": datasets,
        "given_file": datasets,
        "outline_of_own": datasets,
    },
    lambda runs: {"network.name": "resnet18", "network.n_outputs": 10, "weights": "random"},
    {
        "seed": Case(7, "build_imagenet_network", "seed"),
        "network.name": Case("seresnet18", "build_imagenet_network", "name"),
        "network.input_size": [
            Case(
                given, "build_imagenet_network", "input_size",
                lambda found, runs, size=size: found == size,
            )
            for given, size in (([40, 50], (40, 50)), (44, (44, 44)))
        ],
        "network.n_outputs": Case(7, "build_imagenet_network", "n_outputs"),
        "weights": [
            Case(
                "imagenet", "weight_file", "name", "resnet18_imagenet_1000.h5",
                given={"network.n_outputs": 1000}, needed=True,
            ),
            Case(
                lambda runs: str(runs.model), "given_file", "name", stop="build_imagenet_network"
            ),
        ],
        "model": [
            Case(
                lambda runs: str(runs.model), "network_from_bytes", "content",
                lambda found, runs: found == runs.model.read_bytes(),
                given={"network.name": None}, needed=True,
            ),
            Case(
                lambda runs: str(runs.folder), "network_of_folder", "folder",
                lambda found, runs: found.path == runs.folder,
                given={"network.name": None}, needed=True,
            ),
        ],
        "model_code": Case(
            lambda runs: str(runs.code), "network_from_bytes", "model_code", is_the_authors_code,
            given={"network.name": None, "model": lambda runs: str(runs.own)}, needed=True,
        ),
        "preprocessing": Case(
            "tf", "check_preprocessing", "name", stop="build_imagenet_network"
        ),
        "dataset.name": Case("digits", "outline_of_own", "name", stop="build_imagenet_network"),
    },
)  # fmt: skip
# They act in the stages that use the network.
OF_IMPORTED_DATASET = {
    "name": lambda runs: str(runs.data[0]), "seed": 7, "channels": 3, "n_train": 129, "n_test": 33,
    **OF_OWN_DATA, **OF_TOKENS,
}  # fmt: skip


@pytest.fixture(scope="module")
def used_network():
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Flatten(), keras.layers.Dense(4, "relu")]
    network = keras.Sequential([keras.Input((28, 28, 3)), *hidden, keras.layers.Dense(10)])
    return networks.network_bytes(network)


def use_import(runs, config, content):
    """Cluster an imported network by activations, up to a call."""
    whole = {"network.name": "resnet18", **config}
    run_id = runs.add(
        "imported", import_network.experiment, whole, files={"network.keras": content},
        info={"preprocessing": "tf"},
    )  # fmt: skip
    updates = convert_to_nested_dict({**ACTIVE, "train_run": run_id, "n_clusters": 2})
    with pytest.raises(ReachedError):
        cluster.experiment.run(config_updates=updates)


def test_imported_network_is_used_with_its_data_set(runs, monkeypatch, used_network):
    settings = {
        key: value(runs) if callable(value) else value for key, value in OF_IMPORTED_DATASET.items()
    }
    calls = Calls(monkeypatch)
    calls.watch(datasets, "load_dataset", last=True)
    config = {f"dataset.{key}": value for key, value in settings.items()}
    use_import(runs, config, used_network)
    (loaded,) = calls.of["load_dataset"]
    assert {key: loaded[key] for key in settings} == settings


def test_imported_network_is_used_with_its_preprocessing(runs, monkeypatch, used_network):
    calls = Calls(monkeypatch)
    calls.watch(networks, "preprocessing")
    calls.watch(graphs, "gather_activations", last=True)
    config = {"dataset.name": "circles", "dataset.channels": 3, "dataset.n_test": 10}
    use_import(runs, config, used_network)
    assert calls.of["preprocessing"][-1]["name"] == "tf"


STAGES = {
    "train": TRAIN,
    "import_network": IMPORT_NETWORK,
    "cluster": CLUSTER,
    "shuffle_test": SHUFFLE_TEST,
    "lesion": LESION,
    "visualise": VISUALISE,
    "random_init": RANDOM_INIT,
    "choose_k": CHOOSE_K,
    "agreement": AGREEMENT,
    "lesion_table": LESION_TABLE,
    "visualisation_table": VISUALISATION_TABLE,
}
CASES = [
    pytest.param(stage, key, case, id=f"{name} {key} {case.call}")
    for name, stage in STAGES.items()
    for key in stage.cases
    for case in stage.cases_of(key)
]


@pytest.mark.parametrize(("stage", "key", "case"), CASES)
def test_key_arrives(stage, key, case, monkeypatch, runs, capsys):
    arrives(stage, key, case, monkeypatch, runs)


@pytest.mark.parametrize("name", STAGES)
def test_every_key_has_a_case(name):
    elsewhere = {f"dataset.{key}" for key in OF_IMPORTED_DATASET if name == "import_network"}
    assert set(STAGES[name].cases) | elsewhere == STAGES[name].keys() - OF_TRACKING


# pipeline and study, which run other stages as their parts


def another(value):
    """A value of the same type that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return [*value, 7] if isinstance(value, list) else f"not {value}"


def pipeline_run(updates, named=()):
    """A run of the pipeline that has been configured, and not started."""
    sacred_run = pipeline.experiment.run(
        "print_config", config_updates=convert_to_nested_dict(updates), named_configs=named
    )
    return StageRun(StageContext(), sacred_run, None)


@pytest.mark.parametrize("stage", pipeline.STAGES)
def test_every_key_of_a_part_reaches_it(monkeypatch, stage):
    """All at once, each with another value, and the seed and the links that the pipeline sets."""
    defaults = dict(iterate_flattened(dict(pipeline.experiment.defaults[stage])))
    changed = {f"{stage}.{key}": another(value) for key, value in defaults.items()}
    calls = Calls(monkeypatch)
    calls.watch(StageRun, "run_part", last=True)
    with pytest.raises(ReachedError):
        pipeline.run_stage(pipeline_run({**changed, "seed": 7}, ["fast"]), stage, train_run=12)
    (call,) = calls.of["run_part"]
    assert call["experiment"] is pipeline.EXPERIMENTS[stage]
    assert call["named"] == ("fast",)
    updates = dict(iterate_flattened(dict(call["updates"])))
    expected = {f"{stage}.{key}": value for key, value in updates.items() if key in defaults}
    assert expected == changed
    assert {key: value for key, value in updates.items() if key not in defaults} == {
        "seed": 7, "train_run": 12,
    }  # fmt: skip


@pytest.mark.parametrize("stage", pipeline.STAGES)
def test_the_pipeline_has_the_keys_of_its_parts(stage):
    """All but those that it sets itself, of which a stage gets its own."""
    of_stage = STAGES[stage].keys() - OF_TRACKING - {"n_repeats"}
    own = of_stage - {"n_workers"} if stage == "train" else of_stage
    here = dict(iterate_flattened(dict(pipeline.experiment.defaults[stage])))
    assert set(here) == own - set(pipeline.STAGES[stage])


def test_the_pipelines_own_keys():
    own = {key for key in pipeline.experiment.defaults if key not in pipeline.STAGES}
    assert own == {"seed", "figures_folder", "leave_out"} | OF_TRACKING


@pytest.mark.parametrize("left_out", [[], ["lesion"], ["shuffle_test", "visualise"]])
def test_stages_are_left_out(left_out):
    stages = pipeline.stages_of(pipeline_run({"leave_out": left_out}).config)
    every = ["train", "cluster", "shuffle_test", "lesion", "visualise"]
    assert stages == [stage for stage in every if stage not in left_out]


def test_figures_go_into_the_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(pipeline, "project_root", lambda: tmp_path)
    made = pipeline._figures_folder(pipeline_run({"figures_folder": "pictures"}))
    assert made == tmp_path / "pictures" / "run_None"
    assert made.is_dir()


def test_keys_of_a_study():
    """Each acts in test_study.py."""
    assert set(study.experiment.defaults) == OF_TRACKING | {
        "seed", "title", "steps", "quick", "variant", "published", "checkpoint_every",
        "gpu", "max_attempts", "dry_run", "n_workers", "scheduler", "scheduler_file",
    }  # fmt: skip


def test_keys_of_a_report():
    """Each acts in test_report.py; the others are those of a study."""
    assert set(report.experiment.defaults) == set(study.experiment.defaults) | {
        "folder", "any_code", "level", "n_resamples", "page_images_mb",
    }  # fmt: skip
    assert set(report.OF_STUDY) < set(study.experiment.defaults)


# n_threads, reuse and tags, of all stages

EXPERIMENTS = [*(stage.experiment for stage in STAGES.values()), pipeline.experiment]
EXPERIMENTS += [study.experiment, report.experiment]
TABLES = ("lesion_table", "visualisation_table")  # which compute too little
COMPUTING = [experiment for experiment in EXPERIMENTS if experiment.path not in TABLES]


@pytest.mark.parametrize("experiment", COMPUTING, ids=lambda experiment: experiment.path)
def test_threads_are_set_before_anything_else(monkeypatch, experiment):
    calls = Calls(monkeypatch)
    calls.watch(Threads, "use", last=True)
    with pytest.raises(ReachedError):
        experiment.run(config_updates={"n_threads": 3})
    assert calls.of["use"][0]["n_threads"] == 3


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.path)
def test_reuse_and_tags(runs, home, experiment):
    """A run like a stored one is that one, which gets its tags, unless it is not wanted."""
    name = uuid.uuid4().hex
    run_id = runs.add(name, experiment, {}, result={}, tracking={"identity": name})
    store = RunStore(runs.database, home)
    for reuse, tags in ((False, "first"), (True, "second")):
        updates = {"reuse": reuse, "tags": tags}
        run = experiment.run("print_config", config_updates=updates)
        assert run.config["tags"] == [tags]
        found = find_reusable(store, run, name) if may_reuse(run) else None
        assert (None if found is None else found.id) == (run_id if reuse else None)
    assert list(store.run(run_id).tags) == ["second"]


@pytest.mark.parametrize("part", ["train", "cluster", "shuffle_test", "lesion", "visualise"])
def test_parts_have_threads_reuse_and_tags_of_the_whole(monkeypatch, part):
    run = pipeline_run({"reuse": False, "tags": ["all"], "n_threads": 3})
    calls = Calls(monkeypatch)
    calls.watch(StageExperiment, "run", last=True)
    with pytest.raises(ReachedError):
        pipeline.run_stage(run, part)
    (call,) = calls.of["run"]
    updates = call["config_updates"]
    assert (updates["reuse"], updates["tags"], updates["n_threads"]) == (False, ["all"], 3)
