"""Data sets made by rule: labels and targets computed anew from the inputs."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy.stats import chisquare, kstest

from nn_clustering.datasets import load_dataset
from nn_clustering.datasets._synthetic import (
    circle_offsets,
    circles,
    evaluate_polynomials,
    lines,
    monomial_membership,
    polynomial_names,
    polynomials,
    random_pixels,
)

property_test = settings(max_examples=10, deadline=None)
seeds = st.integers(0, 2**32)
RULES = (lines, circles, random_pixels)


@pytest.mark.parametrize("rule", RULES)
@property_test
@given(seed=seeds)
def test_images_made_by_rule(rule, seed):
    made = rule(seed, n_train=30, n_test=20)
    for (x, y), n in ((made.train, 30), (made.test, 20)):
        assert (x.shape, x.dtype) == ((n, 28, 28, 1), np.uint8)
        assert (y.shape, y.dtype) == ((n,), np.int32)
        assert y.min() >= 0
        assert y.max() <= 9
    assert len(made.class_names) == 10
    again = rule(seed, n_train=30, n_test=20)
    np.testing.assert_array_equal(again.x_train, made.x_train)
    np.testing.assert_array_equal(again.y_test, made.y_test)
    assert not np.array_equal(rule(seed + 1, n_train=30, n_test=20).x_train, made.x_train)
    assert not np.array_equal(made.x_train[:20], made.x_test)


@property_test
@given(seeds)
def test_lines_are_counted_by_their_labels(seed):
    x, y = lines(seed, n_train=50, n_test=1).train
    assert set(np.unique(x)) == {0, 255}
    # full height: every row is like the first
    assert (x == x[:, :1]).all()
    np.testing.assert_array_equal((x[:, 0, :, 0] == 255).sum(axis=1), y + 1)


def test_lines_are_anywhere():
    x, y = lines(0, n_train=5000, n_test=1).train
    assert chisquare(np.bincount(y, minlength=10)).pvalue > 0.001
    assert chisquare((x[y == 0][:, 0, :, 0] == 255).sum(axis=0)).pvalue > 0.001
    assert lines(0, n_train=1, n_test=1).class_names[:2] == ("1 line", "2 lines")


def test_circle_of_radius_4():
    drawn = np.zeros((9, 9), int)
    drawn[tuple((circle_offsets(4) + 4).T)] = 1
    picture = [
        "...###...",
        ".##...##.",
        ".#.....#.",
        "#.......#",
        "#.......#",
        "#.......#",
        ".#.....#.",
        ".##...##.",
        "...###...",
    ]
    assert ["".join(".#"[pixel] for pixel in row) for row in drawn] == picture


def count_circles(image):
    """How many circles fit into the white pixels, after a check that they make up all of them."""
    wide = np.pad(image, 4)
    offsets = circle_offsets(4)
    visible = np.pad(np.ones_like(image), 4)
    centres = []
    for row in range(28):
        for column in range(28):
            places = tuple((offsets + np.array([row + 4, column + 4])).T)
            if (wide[places] | ~visible[places]).all():
                centres.append(places)
    cover = np.zeros_like(wide)
    for places in centres:
        cover[places] = True
    assert (cover & visible >= wide).all()
    return len(centres)


@property_test
@given(seeds)
def test_circles_are_counted_by_their_labels(seed):
    x, y = circles(seed, n_train=12, n_test=1).train
    assert set(np.unique(x)) <= {0, 255}
    for image, label in zip(x[..., 0] == 255, y, strict=True):
        found = count_circles(image)
        # Among many circles, pixels of several can make one more that was not drawn.
        assert found >= label
        if label <= 3:
            assert found == label


def test_circles_are_0_to_9_and_anywhere():
    made = circles(0, n_train=4000, n_test=1)
    assert chisquare(np.bincount(made.y_train, minlength=10)).pvalue > 0.001
    assert not made.x_train[made.y_train == 0].any()
    one = made.x_train[made.y_train == 1][..., 0] == 255
    whole = one.sum(axis=(1, 2)) == len(circle_offsets(4))
    # centres with all of the circle inside: 20 of 28 places each way
    assert abs(whole.mean() - (20 / 28) ** 2) < 4 * (0.25 / len(one)) ** 0.5
    assert made.class_names[:3] == ("0 circles", "1 circle", "2 circles")


def test_centres_of_circles_are_distinct():
    from nn_clustering.datasets._synthetic import _distinct_centres

    centres = _distinct_centres(3000, np.random.default_rng(0))
    assert all(len(set(row)) == 9 for row in centres.tolist())
    assert chisquare(np.bincount(centres.ravel(), minlength=784)).pvalue > 0.001


def test_random_pixels_are_uniform():
    x, y = random_pixels(0, n_train=500, n_test=1).train
    assert chisquare(np.bincount(x.ravel(), minlength=256)).pvalue > 0.001
    assert chisquare(np.bincount(y, minlength=10)).pvalue > 0.001


def test_polynomials_are_what_their_names_say():
    made = polynomials(3, n_train=7, n_test=5)
    assert (made.task, made.n_outputs, made.input_shape) == ("regression", 512, (2,))
    assert len(set(made.class_names)) == 512
    for x, y in ((made.x_train, made.y_train), (made.x_test, made.y_test)):
        assert y.dtype == np.float32
        for p, name in enumerate(made.class_names):
            python = name.replace("^", "**").replace(" x", " * x").replace("+ * x", "+ x")
            for (x1, x2), value in zip(x.astype(float).tolist(), y[:, p], strict=True):
                wanted = eval(python, {}, {"x1": x1, "x2": x2})
                assert value == pytest.approx(wanted, rel=1e-5, abs=1e-5), name
    assert not made.y_train[:, 0].any()


def test_polynomials_by_hand():
    values = dict(
        zip(
            polynomial_names(), evaluate_polynomials(np.array([[2, 3]], np.float32))[0], strict=True
        )
    )
    assert values["0"] == 0
    assert values["1"] == 1
    assert values["x1"] == 2
    assert values["x2^2"] == 9
    assert values["1 + x1 + x1^2 x2"] == 1 + 2 + 12
    assert values["1 + x2 + x2^2 + x1 + x1 x2 + x1 x2^2 + x1^2 + x1^2 x2 + x1^2 x2^2"] == 13 * 7


def test_order_of_the_polynomials():
    names = polynomial_names()
    assert names[:4] == ("0", "x1^2 x2^2", "x1^2 x2", "x1^2 x2 + x1^2 x2^2")
    assert names[256] == "1"
    assert names[0b110000001] == "1 + x2 + x1^2 x2^2"


def test_monomials_of_the_polynomials():
    names, membership = monomial_membership()
    assert names == ("1", "x2", "x2^2", "x1", "x1 x2", "x1 x2^2", "x1^2", "x1^2 x2", "x1^2 x2^2")
    assert membership.shape == (9, 512)
    assert membership.sum(axis=1).tolist() == [256] * 9
    for column, polynomial in zip(membership.T, polynomial_names(), strict=True):
        terms = [name for name, is_in in zip(names, column, strict=True) if is_in]
        assert " + ".join(terms) == (polynomial if polynomial != "0" else "")


def test_inputs_of_polynomials_are_standard_normals():
    x = polynomials(0, n_train=4000, n_test=1).x_train
    for column in x.T:
        assert kstest(column, "norm").pvalue > 0.001
    assert abs(np.corrcoef(x.T)[0, 1]) < 4 / 4000**0.5


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("lines", "6b8dbdf98ec2fdd8"),
        ("circles", "641b775f5c907fd8"),
        ("random", "92b3a820bc90c788"),
        ("poly", "1c94e05d15a9157f"),
    ],
)
def test_made_sets_are_the_same_on_every_machine(name, digest):
    assert load_dataset(name, n_train=300, n_test=100).digest()[:16] == digest
