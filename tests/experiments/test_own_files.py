"""Networks from files of other people, through the stages: what they read, and what is refused."""

import io

import keras
import numpy as np
import pandas
import pytest
from keras import layers

from nn_clustering.partitions import Partition
from tests.experiments.in_process import refusal
from tests.networks import keras2_files


@pytest.fixture
def tracked(run_experiment, store, here):
    def run(stage, *arguments):
        finished = run_experiment(stage, "with", *arguments)
        assert finished.returncode == 0, finished.stderr
        return store.run(finished.run_id), finished.stdout

    return run


def clustering(tracked, model, *arguments):
    return tracked("cluster", "fast", f"model={model}", "n_clusters=3", *arguments)[0]


def test_flat_network_is_lesioned_and_clustered_on_images(tracked, here):
    """What everybody's first MLP takes is an image's 64 values."""
    keras.utils.set_random_seed(0)
    flat = [layers.Dense(24, "relu"), layers.Dense(16, "relu"), layers.Dense(10, "softmax")]
    keras.Sequential([keras.Input((64,)), *flat]).save(here / "flat.keras")
    images = keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), *flat])
    images.save(here / "images.keras")
    scores = []
    for name in ("flat", "images"):
        clustered = clustering(tracked, here / f"{name}.keras")
        lesioned, printed = tracked(
            "lesion", "fast", f"cluster_run={clustered.id}", "dataset.name=digits"
        )
        told = "samples of shape (8, 8, 1) are read as (64,)"
        assert (told in printed) == (name == "flat")
        scores.append(table_of(lesioned))
    pandas.testing.assert_frame_equal(*scores)
    for source in ("activations", "gradients"):
        more = (f"graph.source={source}", "dataset.name=digits")
        one, other = (clustering(tracked, here / f"{n}.keras", *more) for n in ("flat", "images"))
        assert one.result["ncut"] == pytest.approx(other.result["ncut"], rel=1e-5)


def table_of(run):
    table = pandas.read_csv(io.BytesIO(run.artifact("sub_clusters.csv")))
    return table.drop(columns=[name for name in table.columns if table[name].dtype == object])


@pytest.fixture(scope="module")
def two_headed(tmp_path_factory):
    """Two heads, each with a hidden layer of its own behind a common one."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 1))
    common = layers.Dense(12, "relu", name="common")(layers.Flatten()(inputs))
    heads = {}
    for name, size, last in (("digit", 10, "softmax"), ("odd", 1, "sigmoid")):
        own = layers.Dense(8, "relu", name=f"{name}_hidden")(common)
        heads[name] = layers.Dense(size, last, name=name)(own)
    path = tmp_path_factory.mktemp("heads") / "heads.keras"
    keras.Model(inputs, heads).save(path)
    return path


def test_one_output_of_two_is_lesioned(tracked, store, two_headed):
    clustered = clustering(tracked, two_headed, "partition.method=random")
    partition = Partition.from_npz(clustered.artifact("partition.npz"))
    assert {"common", "digit_hidden", "odd_hidden"} <= {layer.name for layer in partition.layers}
    common = (f"cluster_run={clustered.id}", "dataset.name=digits", "fast")
    by_name, printed = tracked("lesion", *common, "output=digit")
    assert "left out, since output digit does not hang on them: odd_hidden" in printed
    by_index, _ = tracked("lesion", *common, "output=0")
    pandas.testing.assert_frame_equal(table_of(by_name), table_of(by_index))
    table = pandas.read_csv(io.BytesIO(by_name.artifact("sub_clusters.csv")))
    assert set(table["layer"]) == {"common", "digit_hidden"}

    newest = store.find(limit=1)[0].id
    told = refusal("lesion", *common)
    assert "has 2 outputs, digit (0), odd (1): say which is meant" in told
    told = refusal("lesion", *common, "output=odd")
    assert "has the output odd of shape (1,), the data set digits has 10 classes" in told
    assert "no such output" in refusal("lesion", *common, "output=even")
    assert store.find(limit=1)[0].id == newest


def test_keras_2_and_hdf5_through_the_stages(tracked, here):
    """The file that was read is kept as it is, and lesions read it again."""
    dense = {"activation": "relu", "use_bias": True}
    config = {
        "class_name": "Sequential",
        "config": {
            "name": "old",
            "layers": [
                keras2_files.layer(
                    "Dense", "first", units=12, batch_input_shape=[None, 64], **dense
                ),
                keras2_files.layer("Dense", "second", units=9, **dense),
                keras2_files.layer("Dense", "last", units=10, **dense),
            ],
        },
    }
    sizes = {"first": (64, 12), "second": (12, 9), "last": (9, 10)}
    weights = {
        name: keras2_files.arrays(shape, shape[1:], seed=seed)
        for seed, (name, shape) in enumerate(sizes.items())
    }
    content = keras2_files.hdf5(config, weights)
    (here / "old.h5").write_bytes(content)
    clustered = clustering(tracked, here / "old.h5")
    assert clustered.artifact("network.h5") == content
    lesioned, _ = tracked("lesion", "fast", f"cluster_run={clustered.id}", "dataset.name=digits")
    assert lesioned.result["n_subclusters"]
    tested, _ = tracked(
        "shuffle_test", "fast", f"cluster_run={clustered.id}", "kernels=weights", "n_workers=1"
    )
    assert tested.result["ncut"] == clustered.result["ncut"]


AUTHOR = """
import keras
from {name}_blocks import FACTOR

@keras.saving.register_keras_serializable("{name}")
def scaled(x):
    return FACTOR * x
"""


@pytest.fixture
def author(here):
    """A module with an activation, another that it imports, and a network of it."""
    name = "author_" + here.name
    (here / f"{name}.py").write_text(AUTHOR.format(name=name))
    (here / f"{name}_blocks.py").write_text("FACTOR = 2\n")

    @keras.saving.register_keras_serializable(name)
    def scaled(x):
        return 2 * x

    flat = [keras.Input((8, 8, 1)), layers.Flatten()]
    network = keras.Sequential([*flat, layers.Dense(12, scaled, name="own"), layers.Dense(10)])
    network.save(here / "own.keras")
    keras.saving.get_custom_objects().pop(f"{name}>scaled")
    return here, name


def test_authors_code_is_named_by_whoever_runs_it(author, tracked, store):
    folder, name = author
    code = f"model_code={folder / name}.py"
    newest = store.find(limit=1)
    told = refusal("cluster", f"model={folder / 'own.keras'}")
    assert f"needs scaled ({name}>scaled) of its layer 'own'" in told
    assert store.find(limit=1) == newest

    clustered = clustering(tracked, folder / "own.keras", code)
    assert clustered.artifact("model_code.py") == (folder / f"{name}.py").read_bytes()
    again = clustering(tracked, folder / "own.keras", code)
    assert again.id == clustered.id
    common = ("fast", f"cluster_run={clustered.id}", "dataset.name=digits")
    lesioned, _ = tracked("lesion", *common, code)
    assert lesioned.result["n_subclusters"]
    told = refusal("lesion", *common)
    assert "no code is run that you have not named: add model_code=" in told
    told = refusal("shuffle_test", *common[:2], "kernels=weights")
    assert "add model_code=" in told

    # what the module imports counts too
    (folder / f"{name}_blocks.py").write_text("FACTOR = 3\n")
    assert clustering(tracked, folder / "own.keras", code).id != clustered.id
    told = refusal("lesion", *common, code)
    assert f"is not what it was in run {clustered.id}" in told


@pytest.mark.parametrize(
    ("stage", "arguments", "expected"),
    [
        ("cluster", ["train_run={train}", "model_code=json"], "model_code='json' changes nothing"),
        ("lesion", ["cluster_run={cluster}", "model_code=json"], "model_code='json' changes not"),
        (
            "shuffle_test",
            ["cluster_run={cluster}", "model_code=json"],
            "kernels=None method=layer",
        ),
        ("lesion", ["cluster_run={cluster}", "output=3"], "output=3: network"),
        ("cluster", ["model=own.keras", "model_code=3"], "model_code=3; expected the name of a"),
    ],
)
def test_settings_that_do_not_go_together(here, runs, stage, arguments, expected):
    keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)]).save("own.keras")
    ids = {"train": runs["train"].id, "cluster": runs["cluster"].id}
    assert expected in refusal(stage, *(one.format(**ids) for one in arguments))


def unsupported(path):
    inputs = keras.Input((8, 8))
    keras.Model(inputs, layers.Dense(10)(layers.RNN(layers.LSTMCell(4))(inputs))).save(path)


def without_units(path):
    keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten()]).save(path)


def of_other_images(path):
    keras.Sequential(
        [keras.Input((7, 7, 1)), layers.Flatten(), layers.Dense(9), layers.Dense(10)]
    ).save(path)


def of_nan(path):
    network = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(2)])
    network.layers[0].bias.assign(np.full(3, np.nan))
    network.save(path)


def with_lambda(path):
    keras.Sequential([keras.Input((4,)), layers.Lambda(lambda x: x / 255), layers.Dense(2)]).save(
        path
    )


def damaged(path):
    of_other_images(path)
    path.write_bytes(path.read_bytes()[:-500])


@pytest.mark.parametrize(
    ("write", "arguments", "expected"),
    [
        (unsupported, [], "recurrent"),
        (without_units, [], "has no weights between units"),
        (of_nan, [], "3 of 3 weights of"),
        (with_lambda, [], "that is a Lambda"),
        (damaged, [], "is damaged"),
        (
            of_other_images,
            ["activations", "dataset.name=digits"],
            "takes inputs of shape (7, 7, 1)",
        ),
    ],
)
def test_refused_before_a_run_begins(here, store, write, arguments, expected):
    path = here / "it.keras"
    write(path)
    newest = store.find(limit=1)
    assert expected in refusal("cluster", f"model={path}", *arguments)
    assert store.find(limit=1) == newest


def test_lesion_of_other_images_is_refused_before_a_run_begins(here, store, tracked):
    of_other_images(here / "it.keras")
    clustered = clustering(tracked, here / "it.keras")
    newest = store.find(limit=1)
    told = refusal("lesion", f"cluster_run={clustered.id}", "dataset.name=digits")
    assert "takes inputs of shape (7, 7, 1), the data set's images are (8, 8, 1)" in told
    assert store.find(limit=1) == newest
