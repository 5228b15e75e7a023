"""Data sets by name: which there are, and what is said of names and numbers that make no sense."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from nn_clustering.datasets import Dataset, dataset_names, load_dataset, require_dataset
from nn_clustering.datasets._catalogue import find_entry
from nn_clustering.errors import InvalidInputError

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "train"
SOURCES = ("mnist", "fashion", "cifar10", "cifar10_grey", "small_mnist", "digits")
# Read as data of one's own are.
STREAMED = ("imagenet2012",)
GREY = [name for name in SOURCES if name != "cifar10"]
PAIRS = [
    ("mnist", "cifar10_grey"),
    ("mnist", "fashion"),
    ("fashion", "cifar10_grey"),
    ("lines", "mnist"),
    ("lines", "cifar10_grey"),
    ("lines", "fashion"),
]


def test_all_names_are_there():
    wanted = {*SOURCES, "lines", "circles", "random", "random_labels", "poly", "modular_addition"}
    for prefix in ("halves", "halves_same", "random_labels"):
        wanted |= {f"{prefix}_{source}" for source in SOURCES}
    for prefix in ("stacked", "stacked_same"):
        wanted |= {f"{prefix}_{source}" for source in GREY}
    for prefix in ("mixed", "separated"):
        wanted |= {f"{prefix}_{a}_{b}" for a, b in PAIRS}
    names = dataset_names()
    assert len(names) == len(set(names))
    assert set(names) == {*wanted, *STREAMED}


@pytest.mark.parametrize("name", [name for name in dataset_names() if name not in STREAMED])
def test_every_name_makes_what_the_table_says(tiny_files, name):
    entry = find_entry(name)
    require_dataset(name)
    dataset = load_dataset(name, n_train=5, n_test=3)
    assert isinstance(dataset, Dataset)
    assert dataset.name == name
    assert dataset.input_shape == entry.input_shape
    assert dataset.n_outputs == entry.n_outputs
    assert dataset.task == entry.task
    assert (len(dataset.x_train), len(dataset.y_test)) == (5, 3)
    if entry.input_shape[-1] == 1:
        assert load_dataset(name, n_train=5, n_test=3, channels=3).input_shape[-1] == 3


@pytest.mark.parametrize(
    "name", ["lines", "circles", "random", "digits", "halves_digits", "poly", "modular_addition"]
)
def test_sizes_where_they_do_not_depend_on_files(name):
    dataset = load_dataset(name)
    assert (len(dataset.x_train), len(dataset.x_test)) == find_entry(name).sizes


def test_sizes_of_compositions(tiny_files):
    """Pairs are as many as the source's images, mixtures as both parts' together."""
    assert len(load_dataset("halves_cifar10").x_train) == 40
    assert len(load_dataset("stacked_same_fashion").x_test) == 20
    mixed = load_dataset("mixed_mnist_cifar10_grey")
    assert (len(mixed.x_train), len(mixed.x_test)) == (80, 40)
    separated = load_dataset("separated_mnist_fashion")
    assert (len(separated.x_train), len(separated.x_test)) == (40, 20)


def test_mixtures_both_ways_round(tiny_files):
    one, other = load_dataset("separated_mnist_fashion"), load_dataset("separated_fashion_mnist")
    assert one.class_names[0] == "0"
    assert other.class_names[0] == "T-shirt/top"
    assert "separated_fashion_mnist" not in dataset_names()


def test_random_labels_are_those_of_mnist(tiny_files):
    digest = load_dataset("random_labels").digest()
    assert digest == load_dataset("random_labels_mnist").digest()


def test_named_configs_name_data_sets():
    named = {}
    for path in CONFIGS.rglob("*.yaml"):
        settings = yaml.safe_load(path.read_text())
        if list(settings) == ["dataset"] and "name" in settings["dataset"]:
            assert path.read_text().startswith("# "), path
            named[path.stem] = settings
    wanted = {*SOURCES, "lines", "circles", "random", "random_labels", "poly", "modular_addition"}
    for prefix in ("halves", "halves_same", "stacked", "stacked_same"):
        wanted |= {f"{prefix}_{source}" for source in ("mnist", "fashion", "cifar10_grey")}
    for prefix in ("mixed", "separated"):
        wanted |= {f"{prefix}_{a}_{b}" for a, b in PAIRS[:5]}
    assert wanted <= set(named)
    for name in wanted:
        assert named[name] == {"dataset": {"name": name}}
        assert name in dataset_names()


def test_seed_fixes_what_is_drawn(tiny_files):
    for name in ("lines", "poly", "halves_mnist", "mixed_lines_mnist", "random_labels_digits"):
        first = load_dataset(name, n_train=20, n_test=9)
        assert load_dataset(name, n_train=20, n_test=9, seed=42).digest() == first.digest()
        assert load_dataset(name, n_train=20, n_test=9, seed=1).digest() != first.digest()
    for name in SOURCES:
        assert load_dataset(name, seed=1).digest() == load_dataset(name).digest()


def test_first_samples_are_kept():
    whole, part = (
        load_dataset("halves_digits"),
        load_dataset("halves_digits", n_train=7, n_test=364),
    )
    np.testing.assert_array_equal(part.x_train, whole.x_train[:7])
    np.testing.assert_array_equal(part.y_train, whole.y_train[:7])
    np.testing.assert_array_equal(part.x_test, whole.x_test)
    part = load_dataset("poly", n_test=4)
    assert (len(part.x_train), part.y_test.shape) == (60000, (4, 512))


def test_three_channels_are_copies(tiny_files):
    for name in ("digits", "mnist", "halves_digits", "mixed_mnist_fashion"):
        grey, colour = load_dataset(name), load_dataset(name, channels=3)
        for channel in range(3):
            np.testing.assert_array_equal(colour.x_train[..., channel], grey.x_train[..., 0])
            np.testing.assert_array_equal(colour.x_test[..., channel], grey.x_test[..., 0])
        np.testing.assert_array_equal(colour.y_train, grey.y_train)
    for name, channels in (("cifar10", 3), ("digits", 1), ("stacked_digits", 2)):
        assert load_dataset(name, channels=channels).digest() == load_dataset(name).digest()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mnst", {}, "'mnst' is not a data set \\(did you mean mnist"),
        ("halves_same_digit", {}, "did you mean halves_same_digits"),
        (
            "nothing like it",
            {},
            "datasets list` shows them, or data of your own: a folder, an .npz",
        ),
        (3, {}, "dataset.name=3 is not a data set"),
        (None, {}, "dataset.name=None is not a data set"),
        ("stacked_cifar10", {}, "cifar10 is in colour; use stacked_cifar10_grey"),
        ("stacked_same_cifar10", {}, "use stacked_same_cifar10_grey"),
        ("halves_lines", {}, "expected after halves_ one of mnist, "),
        ("random_labels_poly", {}, "expected after random_labels_ one of mnist"),
        ("mixed_mnist_mnist", {}, "of two different sets, not of mnist and mnist"),
        ("mixed_mnist_digits", {}, "mnist has inputs of 28 x 28 x 1, digits of 8 x 8 x 1$"),
        ("separated_cifar10_fashion", {}, "cifar10 has .* of 28 x 28 x 1; use cifar10_grey"),
        ("mixed_mnist_circles", {}, "expected a mixture of two of lines, mnist, fashion"),
        ("mixed_mnist_random_labels", {}, "expected a mixture of two of lines"),
        ("mixed_mnist", {}, "is not a data set (.*); expected one of"),
        ("digits", {"seed": -1}, "seed=-1: a seed is an integer of 0 or more"),
        ("digits", {"seed": 1.0}, "seed=1.0"),
        ("digits", {"channels": 2}, "channels=2, but images of digits have 1; expected 1, 3 or"),
        ("digits", {"channels": "3"}, "channels='3', but"),
        ("digits", {"channels": True}, "channels=True, but"),
        ("stacked_digits", {"channels": 3}, "stacked_digits have 2; expected 2 or null"),
        ("poly", {"channels": 3}, "channels=3, but the inputs of poly are no images"),
        ("digits", {"n_train": 0}, "n_train=0; expected a number of samples of 1 or more"),
        ("digits", {"n_test": -1}, "n_test=-1; expected a number"),
        ("digits", {"n_test": 1.5}, "n_test=1.5; expected a number"),
        ("digits", {"n_test": True}, "n_test=True; expected a number"),
        ("digits", {"n_train": 1434}, "n_train=1434, but digits has 1433 such samples"),
        ("poly", {"n_test": 10001}, "n_test=10001, but poly has 10000 such samples"),
    ],
)
def test_refusals_before_anything_is_read(name, arguments, message):
    for function in (require_dataset, load_dataset):
        with pytest.raises(InvalidInputError, match=message) as refusal:
            function(name, **arguments)
        assert "\n" not in str(refusal.value)


def test_refusals_that_need_files(tiny_files):
    with pytest.raises(InvalidInputError, match="cifar10 is in colour; expected 3 or null, or the"):
        require_dataset("cifar10", channels=1)
    with pytest.raises(InvalidInputError, match="the data set halves_cifar10_grey"):
        require_dataset("halves_cifar10", channels=1)
    # how many images there are is known when the file is read
    require_dataset("mnist", n_train=41)
    with pytest.raises(InvalidInputError, match="n_train=41, but mnist has 40 such samples"):
        load_dataset("mnist", n_train=41)


def test_images_of_another_size():
    small, asked = load_dataset("digits", n_test=9), {"n_test": 9, "image_size": [12, 16]}
    straight = load_dataset("digits", **asked)
    assert straight.x_test[:].shape == (9, 12, 16, 1)
    assert require_dataset("digits", **asked, channels=3).input_shape == (12, 16, 3)
    # whoever trains on it has it in memory, where pixels run from 0 to 1
    assert straight.in_memory().x_test.max() <= 1
    cropped = load_dataset("digits", **asked, resize="crop")
    assert not np.array_equal(cropped.x_test[:], straight.x_test[:])
    assert len({small.digest(), straight.digest(), cropped.digest()}) == 3
    same = load_dataset("digits", n_test=9, image_size=8)
    assert (same.digest(), same.x_test.tobytes()) == (small.digest(), small.x_test.tobytes())
    with pytest.raises(InvalidInputError, match="the inputs of poly are no images"):
        require_dataset("poly", image_size=3)
