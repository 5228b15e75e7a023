"""Composed data sets: their labels follow from their parts, which are images of the sources."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from nn_clustering.datasets import load_dataset
from nn_clustering.datasets._composed import halves, mixed, random_labels, separated, stacked
from nn_clustering.datasets._images import Images
from nn_clustering.errors import InvalidInputError

NAMES = tuple("abc")


def numbered(n_train, n_test, seed=0, shape=(2, 4, 1), start=0):
    """Images that tell which they are: every pixel is the number of the image, from `start`.

    Every class has an image in both splits.
    """
    draw = np.random.default_rng(seed)
    splits = []
    for n in (n_train, n_test):
        numbers = start + np.arange(n, dtype=np.uint8)
        y = np.concatenate([np.arange(3), draw.integers(3, size=n - 3)]).astype(np.int32)
        splits += [np.broadcast_to(numbers[:, None, None, None], (n, *shape)).copy(), y]
        start += n
    return Images(*splits, NAMES)


sources = st.builds(numbered, st.integers(3, 30), st.integers(3, 30), st.integers(0, 99))
seeds = st.integers(0, 2**32)
property_test = settings(max_examples=25, deadline=None)


def splits_of(images):
    return (images.train, images.test)


def identical(first, second):
    return all(
        np.array_equal(a, b)
        for one, other in zip(splits_of(first), splits_of(second), strict=True)
        for a, b in zip(one, other, strict=True)
    )


def numbers_of(x):
    """The number of each image, after a check that no other's pixels are in it."""
    numbers = x.reshape(len(x), -1)
    assert (numbers == numbers[:, :1]).all()
    return numbers[:, 0].astype(int)


@property_test
@given(sources, seeds)
def test_stacked(source, seed):
    made = stacked(source, same=False, name="stacked_x", seed=seed)
    for (x, y), (x_of, y_of) in zip(splits_of(made), splits_of(source), strict=True):
        assert x.shape == (len(x_of), 2, 4, 2)
        parts = [numbers_of(x[..., channel]) - x_of[0, 0, 0, 0] for channel in (0, 1)]
        # numbers of the split's own images alone: what they index is in it
        assert min(map(min, parts)) >= 0
        np.testing.assert_array_equal(y, (y_of[parts[0]] + y_of[parts[1]]) % 3)
        assert y.dtype == np.int32
    assert made.class_names == ("0", "1", "2")
    assert identical(made, stacked(source, same=False, name="stacked_x", seed=seed))


@property_test
@given(sources, seeds)
def test_stacked_same(source, seed):
    made = stacked(source, same=True, name="stacked_same_x", seed=seed)
    for (x, y), (x_of, y_of) in zip(splits_of(made), splits_of(source), strict=True):
        first = x_of[0, 0, 0, 0]
        left, right = (numbers_of(x[..., channel]) - first for channel in (0, 1))
        np.testing.assert_array_equal(left, np.arange(len(y_of)))
        np.testing.assert_array_equal(y, y_of)
        np.testing.assert_array_equal(y_of[right], y_of)
        # the partner is among the first n of its class, n the size of the smallest
        n_smallest = np.bincount(y_of).min()
        rank = [np.flatnonzero(y_of == y_of[index]).tolist().index(index) for index in right]
        assert max(rank) < n_smallest
    assert made.class_names == NAMES
    assert identical(made, stacked(source, same=True, name="stacked_same_x", seed=seed))


def test_every_partner_can_be_drawn():
    source = numbered(200, 100)
    made = stacked(source, same=True, name="stacked_same_x", seed=1)
    n_smallest = np.bincount(source.y_train).min()
    for label in range(3):
        partners = set(made.x_train[source.y_train == label][:, 0, 0, 1].tolist())
        wanted = np.flatnonzero(source.y_train == label)[:n_smallest]
        # of 65 draws among some 60, about 1 - 1/e are hit
        assert partners <= set(wanted.tolist())
        assert len(partners) > n_smallest / 2


def test_pairs_are_drawn_independently():
    """All pairs of labels are as frequent as the product of their shares."""
    made = stacked(load_images("digits"), same=False, name="stacked_digits", seed=0)
    source = load_images("digits")
    label_of = {x.tobytes(): y for x, y in zip(*source.train, strict=True)}
    pairs = np.zeros((10, 10))
    for image in made.x_train:
        left, right = (label_of[np.ascontiguousarray(image[..., [c]]).tobytes()] for c in (0, 1))
        pairs[left, right] += 1
    from scipy.stats import chi2_contingency, chisquare

    assert chi2_contingency(pairs).pvalue > 0.001
    shares = np.bincount(source.y_train) / len(source.y_train)
    assert chisquare(pairs.sum(axis=0), shares * pairs.sum()).pvalue > 0.001
    assert chisquare(pairs.sum(axis=1), shares * pairs.sum()).pvalue > 0.001


def load_images(name):
    from nn_clustering.datasets._catalogue import find_entry

    return find_entry(name).make(42)


def squeezed(image, width):
    """One image squeezed by Pillow, as floating-point numbers before brightening."""
    pillow = Image.fromarray(image).resize((width, len(image)), Image.Resampling.BILINEAR)
    return np.asarray(pillow).astype(float)


@property_test
@given(sources, seeds, st.booleans())
def test_halves_are_of_flat_images(source, seed, same):
    """Of even images both sides stay even, so that they tell which image they are of."""
    made = halves(source, same=same, name="halves_x", seed=seed)
    for (x, y), (x_of, y_of) in zip(splits_of(made), splits_of(source), strict=True):
        assert x.shape == x_of.shape
        assert x.max() == 255 or not same  # the brightest image may not have been drawn
        numbers = x_of[:, 0, 0, 0].astype(int)
        # all pixels of the split are scaled alike, its brightest becoming 255
        scaled = (numbers * 510 + numbers[-1]) // (2 * numbers[-1])
        left, right = (
            np.searchsorted(scaled, numbers_of(x[:, :, s])) for s in (np.s_[:2], np.s_[2:])
        )
        np.testing.assert_array_equal(scaled[left], x[:, 0, 0, 0])
        if same:
            np.testing.assert_array_equal(left, np.arange(len(y_of)))
            np.testing.assert_array_equal(y_of[right], y)
            np.testing.assert_array_equal(y, y_of)
        else:
            np.testing.assert_array_equal(y, (y_of[left] + y_of[right]) % 3)
    assert identical(made, halves(source, same=same, name="halves_x", seed=seed))


@pytest.mark.parametrize("name", ["digits", "small_mnist", "mnist", "cifar10", "cifar10_grey"])
def test_halves_are_squeezed_images_of_the_class(tiny_files, name):
    """Each side of each image is found among the source's, squeezed one by one."""
    source = load_dataset(name, n_test=40 if name == "digits" else None)
    made = load_dataset(f"halves_same_{name}", n_test=len(source.y_test))
    whole = load_dataset(name)
    assert made.x_test.shape == source.x_test.shape
    np.testing.assert_array_equal(made.y_test, source.y_test)
    assert made.x_test.max() == 1 or name == "digits"
    width = source.input_shape[1]
    for side, start, stop in ((0, 0, width - width // 2), (1, width - width // 2, width)):
        pixels = np.rint(whole.x_test * 255).astype(np.uint8)
        channels = range(pixels.shape[-1])
        all_squeezed = np.array(
            [
                np.stack([squeezed(image[..., c], stop - start) for c in channels], axis=-1)
                for image in pixels
            ]
        )
        wanted = np.floor(all_squeezed * 255 / all_squeezed.max() + 0.5)
        for image, label, number in zip(made.x_test, made.y_test, range(40), strict=False):
            half = np.rint(image[:, start:stop] * 255)
            matches = np.flatnonzero((half == wanted).all(axis=(1, 2, 3)))
            assert label in whole.y_test[matches]
            if side == 0:
                assert number in matches


def test_one_class_without_images():
    source = numbered(9, 9)
    source.y_test[source.y_test == 1] = 2
    with pytest.raises(InvalidInputError, match=r"halves_same_x, test split.*of class 'b'"):
        halves(source, same=True, name="halves_same_x", seed=0)


@property_test
@given(sources, seeds)
def test_random_labels(source, seed):
    made = random_labels(source, name="random_labels_x", seed=seed)
    for (x, y), (x_of, y_of) in zip(splits_of(made), splits_of(source), strict=True):
        np.testing.assert_array_equal(x, x_of)
        assert (y.shape, y.dtype) == (y_of.shape, np.int32)
        assert y.min() >= 0
        assert y.max() <= 2
    assert made.class_names == source.class_names
    assert identical(made, random_labels(source, name="random_labels_x", seed=seed))


def test_random_labels_are_uniform_and_independent_of_the_images():
    from scipy.stats import chi2_contingency, chisquare

    true, random = load_dataset("digits").y_train, load_dataset("random_labels_digits").y_train
    assert chisquare(np.bincount(random, minlength=10)).pvalue > 0.001
    table = np.zeros((10, 10))
    np.add.at(table, (true, random), 1)
    assert chi2_contingency(table).pvalue > 0.001


@property_test
@given(st.integers(3, 30), st.integers(3, 30), seeds)
def test_mixed(n_first, n_second, seed):
    first, second = numbered(n_first, 4), numbered(n_second, 5, seed=1, start=100)
    made = mixed(first, second, name="mixed_x_y", seed=seed)
    for (x, y), one, other in zip(*map(splits_of, (made, first, second)), strict=True):
        labels = {
            int(image[0, 0, 0]): label
            for part in (one, other)
            for image, label in zip(*part, strict=True)
        }
        # every image of both exactly once, with its label
        assert sorted(numbers_of(x).tolist()) == sorted(labels)
        assert [labels[number] for number in numbers_of(x).tolist()] == y.tolist()
    assert made.class_names == NAMES
    assert identical(made, mixed(first, second, name="mixed_x_y", seed=seed))


def test_mixed_images_are_shuffled():
    made = mixed(numbered(90, 9), numbered(90, 9, start=120), name="mixed_x_y", seed=0)
    is_first = numbers_of(made.x_train) < 120
    # the number of changes between the sets: 90 of 179 on average, standard deviation 6.7
    assert 60 < np.count_nonzero(np.diff(is_first.astype(int))) < 120


@property_test
@given(st.integers(6, 30), st.integers(6, 30), seeds)
def test_separated(n_first, n_second, seed):
    first, second = numbered(n_first, 4), numbered(n_second, 5, seed=1, start=100)
    second = Images(*second.train, *second.test, ("d", "e", "f"))
    made = separated(first, second, name="separated_x_y", seed=seed)
    for (x, y), one, other in zip(*map(splits_of, (made, first, second)), strict=True):
        # three classes: class 0 of the first, classes 1 and 2 of the second
        wanted = [(int(image[0, 0, 0]), 0) for image in one[0][one[1] == 0]]
        wanted += [
            (int(image[0, 0, 0]), int(label))
            for image, label in zip(*other, strict=True)
            if label >= 1
        ]
        assert sorted(zip(numbers_of(x).tolist(), y.tolist(), strict=True)) == sorted(wanted)
    assert made.class_names == ("a", "e", "f")


def test_class_names_of_mixtures(tiny_files):
    names = load_dataset("mixed_mnist_cifar10_grey").class_names
    assert names[:2] == ("0 or airplane", "1 or automobile")
    names = load_dataset("separated_fashion_mnist").class_names
    assert names == ("T-shirt/top", "trouser", "pullover", "dress", "coat", *"56789")


def test_other_seeds_and_names_draw_other_numbers():
    source = numbered(30, 30)
    made = stacked(source, same=False, name="x", seed=0)
    assert not identical(made, stacked(source, same=False, name="x", seed=1))
    assert not identical(made, stacked(source, same=False, name="y", seed=0))
    assert not np.array_equal(made.x_train - made.x_train.min(), made.x_test - made.x_test.min())


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("halves_digits", "40dd01f2c632cae0"),
        ("halves_same_digits", "0400b9f85e13f65c"),
        ("stacked_digits", "aa18fede3c5dab42"),
        ("stacked_same_digits", "da131d31201c64e4"),
        ("random_labels_digits", "cf2b818b28134e3a"),
        ("mixed_mnist_fashion", "260fa5dc40bcd7b5"),
        ("separated_lines_cifar10_grey", "625e85deb8a41b48"),
        ("halves_small_mnist", "b3c7a9785d8a02c7"),
    ],
)
def test_composed_sets_are_the_same_on_every_machine(tiny_files, name, digest):
    n_train = 200 if name == "separated_lines_cifar10_grey" else None
    assert load_dataset(name, n_train=n_train).digest()[:16] == digest
