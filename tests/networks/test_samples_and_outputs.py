"""Samples take the shape that a network reads, if their values stay in order."""

import keras
import pytest
from keras import layers

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import fitted_shape, output_index, output_names


def taking(*shape):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layers.Activation("linear")(inputs), name="net")


@pytest.mark.parametrize(
    ("expected", "given", "made"),
    [
        ((64,), (8, 8, 1), (64,)),
        ((8, 8, 1), (64,), (8, 8, 1)),
        ((8, 8), (8, 8, 1), (8, 8)),
        ((8, 8, 1), (8, 8), (8, 8, 1)),
        ((1, 8, 8), (8, 8, 1), (1, 8, 8)),  # of one channel its place does not matter
        ((192,), (8, 8, 3), (192,)),
        ((8, 8, 3), (192,), (8, 8, 3)),
        ((None, None, 1), (8, 8), (8, 8, 1)),
        ((None, 8), (8, 8, 1), (8, 8)),
    ],
)
def test_reshaped(expected, given, made):
    assert fitted_shape(taking(*expected), given) == made


@pytest.mark.parametrize("shape", [(8, 8, 1), (None, None, 1), (8, None, 1)])
def test_what_fits_is_left_alone(shape):
    assert fitted_shape(taking(*shape), (8, 8, 1)) == (8, 8, 1)


@pytest.mark.parametrize(
    ("expected", "given"),
    [
        ((63,), (8, 8, 1)),
        ((8, 8, 3), (8, 8, 1)),
        ((3, 8, 8), (8, 8, 3)),  # axes would be exchanged
        ((4, 16), (8, 8, 1)),  # rows would be torn apart
        ((16, 4, 1), (8, 8, 1)),
        ((None, None, 3), (8, 8, 1)),
        ((None,), (8, 8, 1)),
    ],
)
def test_refused(expected, given):
    with pytest.raises(InvalidInputError, match="choose the data set that it was") as refusal:
        fitted_shape(taking(*expected), given)
    assert str(expected) in str(refusal.value)
    assert str(given) in str(refusal.value)


def test_what_would_make_images_fit_is_said_where_something_would():
    for expected, told in (((12, 9, 1), True), ((12, 9, 3), False), ((9,), False)):
        with pytest.raises(InvalidInputError, match="takes inputs of shape") as refusal:
            fitted_shape(taking(*expected), (8, 8, 1))
        assert ("(dataset.image_size=[12,9])" in str(refusal.value)) is told


def test_several_inputs_are_refused():
    inputs = [keras.Input((2,)), keras.Input((2,))]
    network = keras.Model(inputs, layers.Add()(inputs))
    with pytest.raises(InvalidInputError, match="has 2 inputs; expected one"):
        fitted_shape(network, (2,))


@pytest.fixture(scope="module")
def two_headed():
    inputs = keras.Input((4,))
    heads = {name: layers.Dense(size, name=f"{name}_layer")(inputs) for name, size in SIZES.items()}
    return keras.Model(inputs, heads, name="net")


SIZES = {"odd": 1, "digit": 10}


def test_outputs_by_their_keys(two_headed):
    assert output_names(two_headed) == ["digit", "odd"]
    for name, size in SIZES.items():
        index = output_index(two_headed, name)
        assert two_headed.outputs[index].shape == (None, size)
        assert output_index(two_headed, index) == index


def test_outputs_by_their_layers():
    inputs = keras.Input((4,))
    network = keras.Model(inputs, [layers.Dense(2, name=name)(inputs) for name in "ba"])
    assert output_names(network) == ["b", "a"]
    assert output_index(network, "a") == 1


def test_only_output():
    sequential = keras.Sequential([keras.Input((4,)), layers.Dense(2, name="last")])
    assert output_names(sequential) == ["last"]
    for network in (sequential, taking(3)):
        assert output_index(network, None) == 0


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (None, r"'net' has 2 outputs, digit \(0\), odd \(1\): say which is meant, output=digit"),
        ("even", r"output='even': network 'net' has no such output; expected one of digit \(0\)"),
        (2, "output=2: "),
        (-1, "output=-1: "),
        (True, "output=True: "),
        ([0], r"output=\[0\]: "),
    ],
)
def test_no_such_output(two_headed, output, expected):
    with pytest.raises(InvalidInputError, match=expected):
        output_index(two_headed, output)
