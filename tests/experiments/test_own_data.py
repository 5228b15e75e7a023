"""Data of one's own, in every form that it comes in, from the command line to a lesion table."""

import io
import json
from pathlib import Path

import keras
import numpy as np
import pandas
import pytest
from keras import layers
from PIL import Image
from sklearn.datasets import load_digits

from experiments._datasets import outputs_in_words
from nn_clustering.datasets import load_dataset
from tests.datasets.test_tfds import write_tfds

CLASSES = ("one", "three", "zero")
DIGITS = load_digits(n_class=4)
CHOSEN = np.flatnonzero(DIGITS.target != 2)[:120]
# 0, 1 and 3 in the order of their names
LABELS = np.array([2, 0, -1, 1])[DIGITS.target[CHOSEN]]
PIXELS = np.minimum(DIGITS.images[CHOSEN] * 16, 255).astype(np.uint8)[..., np.newaxis]
FUNCTION = """
import numpy as np
import tensorflow as tf

def stream(seed):
    with np.load("data.npz") as data:
        pairs = data["x_test"], data["y_test"]
    return tf.data.Dataset.from_tensor_slices(pairs).batch(50)
"""


def write_folder(path):
    for index, (image, label) in enumerate(zip(PIXELS[..., 0], LABELS, strict=True)):
        place = path / CLASSES[label] / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)


def write_table(path):
    columns = {f"pixel {index}": values for index, values in enumerate(PIXELS.reshape(120, -1).T)}
    table = pandas.DataFrame(columns).astype(np.float32) / np.float32(255)
    table.assign(label=np.array(CLASSES)[LABELS]).to_parquet(path)


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder with a network, and the same images in every form."""
    folder = tmp_path_factory.mktemp("own")
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Flatten(),
            layers.Dense(12, "relu"),
            layers.Dense(8, "relu"),
            layers.Dense(3, "softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(PIXELS / 255, LABELS, epochs=30, verbose=0)
    network.save(folder / "net.keras")
    np.savez(folder / "data.npz", x_test=PIXELS, y_test=LABELS)
    write_folder(folder / "images")
    write_table(folder / "data.parquet")
    arrays = {"x_train": PIXELS[:3], "y_train": LABELS[:3], "x_test": PIXELS, "y_test": LABELS}
    write_tfds(folder, "prepared", "1.0.0", arrays, CLASSES)
    (folder / "own_stream.py").write_text(FUNCTION)
    (folder / "names.json").write_text(json.dumps(CLASSES))
    return folder


@pytest.fixture(scope="module")
def run_here(run_experiment, store, here):
    def run(stage, *arguments):
        finished = run_experiment(stage, "with", *arguments, in_folder=here)
        assert finished.returncode == 0, finished.stderr
        return store.run(finished.run_id), finished.stdout

    return run


@pytest.fixture(scope="module")
def clustered(run_here, here):
    return run_here("cluster", f"model={here / 'net.keras'}", "n_clusters=3", "fast")[0]


WAYS = {
    "images": [],
    "data.npz": ["dataset.class_names=names.json"],
    "prepared": [],
    "data.parquet": [],
    "own_stream.stream": ["dataset.class_names=names.json"],
}


@pytest.fixture(scope="module")
def lesioned(run_here, clustered):
    """Runs, and what they printed, by the data that they read."""
    return {
        name: run_here(
            "lesion", f"cluster_run={clustered.id}", "fast", f"dataset.name={name}", *more
        )
        for name, more in WAYS.items()
    }


def table_of(run):
    table = pandas.read_csv(io.BytesIO(run.artifact("sub_clusters.csv")))
    return table.drop(columns=[name for name in table.columns if table[name].dtype == object])


def test_same_images_in_five_forms_give_the_same_lesions(lesioned, store):
    expected, printed = lesioned["images"]
    assert expected.result["accuracy"] > 0.8
    assert "class names by their outputs: 0 one, 1 three, 2 zero\n" in printed
    assert "120 images of (8, 8, 1); pixels: 0 to 1 (preprocessing=unit)\n" in printed
    for name, (run, told) in lesioned.items():
        pandas.testing.assert_frame_equal(table_of(run), table_of(expected))
        assert run.config["dataset"]["name"] == name
        assert "0 one, 1 three, 2 zero\n" in told
    assert "120 samples of (64,); values: as they are in the data\n" in lesioned["data.parquet"][1]
    function = store.database["runs"].find_one({"_id": lesioned["own_stream.stream"][0].id})
    sources = [Path(name).name for name, _ in function["experiment"]["sources"]]
    assert "own_stream.py" in sources
    digests = {run.info["inputs"]["dataset"] for run, _ in lesioned.values()}
    assert len(digests) == len(WAYS)


def test_lesion_table_of_all_five(run_here, lesioned):
    ids = [run.id for run, _ in lesioned.values()]
    table = run_here("lesion_table", f"lesion_runs={ids}", "fast")[0]
    rows = pandas.read_csv(io.BytesIO(table.artifact("lesion_table.csv")))
    assert [words.split()[0] for words in rows["condition"]] == list(WAYS)
    assert rows["runs"].tolist() == ids


def test_outputs_without_images_are_in_no_figure(run_here, run_experiment, here, clustered):
    of_two = LABELS < 2
    np.savez(here / "two.npz", x_test=PIXELS[of_two], y_test=np.array(CLASSES)[LABELS[of_two]])
    (here / "open.json").write_text('{"one": 0, "three": 1}')
    (here / "closed.json").write_text('["one", "three"]')
    (here / "gap.json").write_text('{"one": 0, "three": 2}')
    (here / "beyond.json").write_text('{"one": 0, "three": 3}')
    common = (f"cluster_run={clustered.id}", "fast", "dataset.name=two.npz")
    run, printed = run_here("lesion", *common, "dataset.class_names=open.json")
    assert "class names by their outputs: 0 one, 1 three\n" in printed
    whole, printed = run_here("lesion", *common, "dataset.class_names=names.json")
    assert "2 zero; without test samples, and in no figure: zero\n" in printed
    pandas.testing.assert_frame_equal(table_of(run), table_of(whole))
    changes = pandas.read_csv(io.BytesIO(run.artifact("class_changes.csv")))
    assert set(changes["class"]) == {"one", "three"}
    assert run.result["coherence"]["n_combined"] == run.result["n_subclusters"]

    gap = load_dataset(str(here / "two.npz"), class_names=str(here / "gap.json"))
    assert outputs_in_words(gap) == "class names by their outputs: 0 one, 2 three"

    def refused(names):
        finished = run_experiment(
            "lesion", "with", *common, f"dataset.class_names={names}", in_folder=here
        )
        assert finished.returncode == 1
        return finished.stderr

    assert "'three' is at 3" in (message := refused("beyond.json"))
    assert "the 3 outputs 0 to 2 in dense" in message
    message = refused("closed.json")
    assert "of shape (3,), the data set two.npz has 2 classes, one to three" in message
    assert '["cat", "dog"], or {"cat": 3} of some' in message


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("preprocessing=own_stream.stream", "failed on pixels of shape (1, 8, 8, 1)"),
        ("n_shuffles=5000", "of no sub-cluster are there more than"),
    ],
)
def test_what_cannot_be_lesioned_is_told_before_a_run(
    run_experiment, here, clustered, store, option, expected
):
    newest = store.find(limit=1)[0].id
    options = (f"cluster_run={clustered.id}", "dataset.name=data.npz", option)
    finished = run_experiment("lesion", "with", *options, in_folder=here)
    assert expected in finished.stderr
    assert store.find(limit=1)[0].id == newest


def test_table_of_a_regression(run_here, here):
    keras.utils.set_random_seed(0)
    dense = [layers.Dense(10, "relu"), layers.Dense(6, "relu"), layers.Dense(2)]
    keras.Sequential([keras.Input((3,)), *dense]).save(here / "real.keras")
    draw = np.random.default_rng(0)
    table = pandas.DataFrame(draw.normal(size=(40, 5)), columns=list("abcde"))
    table.loc[3, "b"] = np.nan
    table.to_csv(here / "real.csv", index=False)
    clustered = run_here("cluster", f"model={here / 'real.keras'}", "n_clusters=2", "fast")[0]
    run, printed = run_here(
        "lesion", f"cluster_run={clustered.id}", "fast", "dataset.name=real.csv",
        "dataset.targets=[d,e]", "dataset.damaged=skip",
    )  # fmt: skip
    assert "real.csv: 1 skipped that cannot be read (row 4 " in printed
    assert "targets by their outputs: 0 d, 1 e\n" in printed
    network = keras.models.load_model(here / "real.keras")
    kept = table.drop(3).to_numpy(np.float32)
    error = np.square(network(kept[:, :3]).numpy() - kept[:, 3:]).mean()
    assert run.result["mean_squared_error"] == pytest.approx(error, rel=1e-4)
