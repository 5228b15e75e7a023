"""Folders of images by class: how they are laid out, read and resized; what is wrong in them."""

import io
import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from nn_clustering.datasets import fitted_settings, load_dataset, require_dataset
from nn_clustering.datasets._images import luminance, resize
from nn_clustering.datasets.own import _encoded
from nn_clustering.errors import InvalidInputError

SIZE = (12, 16)
CLASSES = ("ant", "bee")


def pixels(seed, height=SIZE[0], width=SIZE[1], channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def write(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array[..., 0] if array.shape[2] == 1 else array).save(path, **options)


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Two images of each of two classes to train on, and three to test on."""
    monkeypatch.chdir(tmp_path)
    for split, number in (("train", 2), ("val", 3)):
        for position, name in enumerate(CLASSES):
            for index in range(number):
                write(
                    tmp_path / "photos" / split / name / f"{index}.png",
                    pixels(100 * position + 10 * number + index),
                )
    return tmp_path / "photos"


def refusal(name="photos", **asked):
    with pytest.raises(InvalidInputError) as refused:
        load_dataset(name, **asked).x_test[:]
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_train_and_test_images_by_the_sorted_names_of_their_folders(photos):
    outline = require_dataset("photos")
    assert (outline.task, outline.n_outputs, outline.n_train) == ("classification", 2, 4)
    assert require_dataset("photos", n_train=3).n_train == 3
    dataset = load_dataset("photos")
    assert dataset.class_names == CLASSES
    assert (dataset.x_train.shape, dataset.x_test.shape) == ((4, *SIZE, 3), (6, *SIZE, 3))
    assert dataset.y_test.tolist() == [0, 0, 0, 1, 1, 1]
    assert (dataset.x_test.dtype, dataset.white) == (np.uint8, 255)
    expected = np.stack(
        [pixels(100 * position + 30 + index) for position in (0, 1) for index in range(3)]
    )
    np.testing.assert_array_equal(dataset.x_test[:], expected)
    np.testing.assert_array_equal(dataset.x_test[np.array([1, 4])], expected[[1, 4]])
    np.testing.assert_array_equal(dataset.x_test[4:], expected[4:])


def test_a_folder_of_classes_alone_is_to_test_on(photos):
    dataset = load_dataset(str(photos / "val"))
    assert not dataset.has_train_part
    assert len(dataset.x_test) == 6
    np.testing.assert_array_equal(dataset.x_test[:], load_dataset("photos").x_test[:])


def test_images_of_a_validation_beside_a_test_part_are_told_and_not_read(photos):
    for name in CLASSES:
        write(photos / "test" / name / "1.png", pixels(1))
    dataset = load_dataset("photos")
    assert len(dataset.x_test) == 2
    assert dataset.notes == ("photos: val not read, beside test",)


def test_a_class_may_be_called_train(photos):
    for name in ("train", "bus"):
        write(photos.parent / "vehicles" / name / "1.png", pixels(0))
    assert load_dataset("vehicles").class_names == ("bus", "train")


def test_data_folders_are_looked_in_and_the_current_one_first(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(photos)
    monkeypatch.setenv("NN_CLUSTERING_DATASETS", str(tmp_path))
    assert len(load_dataset("photos").x_test) == 6
    assert len(load_dataset("val").x_test) == 6


def test_straight_as_images_of_bytes_are_resized_and_told(photos):
    dataset = load_dataset("photos", image_size=[5, 9])
    expected = resize(load_dataset("photos").x_test[:], 5, 9)
    np.testing.assert_array_equal(dataset.x_test[:], expected)
    assert dataset.notes == ("photos: images of 12 x 16 are resized to 5 x 9 (straight)",)


def test_cropped_to_the_middle(photos):
    dataset = load_dataset("photos", image_size=6, resize="crop")
    whole = resize(load_dataset("photos").x_test[:], 6, 8)
    np.testing.assert_array_equal(dataset.x_test[:], whole[:, :, 1:7])


def test_unequal_sizes_want_one(photos):
    write(photos / "val" / "bee" / "9.png", pixels(9, 5, 4))
    assert "val/bee/9.png of 5 x 4); expected dataset.image_size" in refusal()
    assert load_dataset("photos", image_size=7).x_test.shape == (7, 7, 7, 3)


def test_grey_images_have_one_channel_and_coloured_ones_become_grey(photos, tmp_path):
    for name in CLASSES:
        write(tmp_path / "grey" / name / "1.png", pixels(5, channels=1))
    assert load_dataset("grey").input_shape == (*SIZE, 1)
    thrice = load_dataset("grey", channels=3).x_test[:]
    np.testing.assert_array_equal(
        thrice[..., 2], pixels(5, channels=1)[np.newaxis, ..., 0].repeat(2, 0)
    )
    grey = load_dataset("photos", channels=1).x_test[:]
    np.testing.assert_array_equal(grey, luminance(load_dataset("photos").x_test[:]))
    write(tmp_path / "grey" / "bee" / "2.png", pixels(6))
    assert load_dataset("grey").input_shape == (*SIZE, 3)  # one of them is in colour


def modes():
    grey16 = np.full(SIZE, 65535, np.uint16)
    clear = np.dstack([pixels(0), np.zeros(SIZE, np.uint8)])
    return {
        "16 bit": (Image.fromarray(grey16), "png", 255),
        # 1.99 of bytes
        "16 bit, dark": (Image.fromarray(np.full(SIZE, 511, np.uint16)), "png", 2),
        "transparent": (Image.fromarray(clear), "png", 255),
        "palette": (Image.new("P", SIZE[::-1], 3), "gif", None),
        "CMYK": (Image.new("CMYK", SIZE[::-1], (0, 0, 0, 0)), "jpg", 255),
        "two values": (Image.new("1", SIZE[::-1], 1), "bmp", 255),
        "web": (Image.new("RGB", SIZE[::-1], (255, 255, 255)), "webp", 255),
    }


@pytest.mark.parametrize("mode", modes())
def test_images_of_other_modes(tmp_path, mode):
    image, ending, white = modes()[mode]
    (tmp_path / "odd" / "class").mkdir(parents=True)
    image.save(tmp_path / "odd" / "class" / f"1.{ending.upper()}")
    found = load_dataset(str(tmp_path / "odd"), channels=3).x_test[:]
    assert found.shape == (1, *SIZE, 3)
    assert white is None or (found == white).all()


@pytest.mark.parametrize(
    ("orientation", "shape", "white"),
    [
        (3, (12, 16, 3), np.s_[:, 9:]),  # upside down
        (6, (16, 12, 3), np.s_[:7]),  # a quarter to the right
        (8, (16, 12, 3), np.s_[9:]),
    ],
)
def test_an_image_is_turned_as_its_camera_was_held(tmp_path, orientation, shape, white):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned" / "class" / "1.jpg"
    flat = np.zeros((*SIZE, 3), np.uint8)
    flat[:, :8] = 255
    write(path, flat, exif=exif, quality=100)
    (found,) = load_dataset(str(tmp_path / "turned")).x_test[:]
    assert found.shape == shape
    assert found[white].min() > 200
    assert found.mean() == pytest.approx(127.5, abs=3)


def test_other_files_are_told_and_hidden_ones_are_not(photos):
    for name in ("Thumbs.db", ".DS_Store", ".hidden.png", "notes.txt"):
        (photos / "val" / "ant" / name).write_bytes(b"x")
    dataset = load_dataset("photos")
    assert len(dataset.x_test) == 6
    assert dataset.notes == ("photos: not read, no images by their names: val/ant/notes.txt",)


def cut(content):
    return content[: len(content) // 2]


def with_zeros(content):
    return content[:400] + bytes(100) + content[500:]


DAMAGES = {
    "cut short": ("jpg", cut),
    "body of zeros": ("jpg", with_zeros),
    "cut short png": ("png", cut),
    "changed png": ("png", with_zeros),
    "cut short gif": ("gif", cut),
    "empty": ("jpg", lambda content: b""),
    "text": ("jpg", lambda content: b"<html>not found</html>"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_image_is_named_before_anything_is_read_or_skipped_and_counted(photos, damage):
    ending, harm = DAMAGES[damage]
    encoded = io.BytesIO()
    Image.fromarray(pixels(7)).save(encoded, {"jpg": "JPEG"}.get(ending, ending.upper()))
    damaged = photos / "val" / "bee" / f"1.{ending}"
    (photos / "val" / "bee" / "1.png").unlink()
    damaged.write_bytes(harm(encoded.getvalue()))
    with pytest.raises(InvalidInputError, match=r"1 image cannot be read: .*skip") as refused:
        load_dataset("photos")
    assert str(damaged) in str(refused.value)
    dataset = load_dataset("photos", damaged="skip")
    assert dataset.skipped == (f"val/bee/1.{ending}",)
    assert dataset.y_test.tolist() == [0, 0, 0, 1, 1]
    assert len(dataset.x_test[:]) == 5


def test_in_place_of_a_damaged_image_the_next_of_its_class_is_drawn(photos):
    path = photos / "val" / "bee" / "1.png"
    content = path.read_bytes()
    for number in range(3):
        write(photos / "val" / "bee" / f"{number}.png", pixels(number))
    for victim in range(3):
        path = photos / "val" / "bee" / f"{victim}.png"
        content = path.read_bytes()
        path.write_bytes(b"")
        dataset = load_dataset("photos", per_class=2, damaged="skip")
        assert np.bincount(dataset.y_test).tolist() == [2, 2]
        path.write_bytes(content)
    path.write_bytes(b"")
    assert "2 test samples of the class bee" in refusal(per_class=3, damaged="skip")
    for path in (photos / "val" / "bee").iterdir():  # several at once, and the whole class
        path.write_bytes(b"")
    assert load_dataset("photos", damaged="skip").y_test.tolist() == [0, 0, 0]
    assert "0 test samples of the class bee" in refusal(per_class=1, damaged="skip")


def test_a_body_that_shows_damaged_later_is_named_then(photos, monkeypatch):
    monkeypatch.setattr(_encoded, "_ALL_DECODED", 0)
    encoded = io.BytesIO()
    Image.fromarray(pixels(7)).save(encoded, "JPEG")
    (photos / "val" / "bee" / "1.jpg").write_bytes(with_zeros(encoded.getvalue()))
    dataset = load_dataset("photos")
    with pytest.raises(InvalidInputError, match=r"val/bee/1.jpg cannot be read .*damaged=skip"):
        dataset.x_test[:]
    skipping = load_dataset("photos", damaged="skip")  # for which all are decoded before
    assert skipping.skipped == ("val/bee/1.jpg",)
    assert len(skipping.x_test[:]) == 6


def test_the_end_of_a_thumbnail_is_not_that_of_its_image(photos, monkeypatch):
    monkeypatch.setattr(_encoded, "_ALL_DECODED", 0)
    encoded = io.BytesIO()
    Image.fromarray(pixels(7)).save(encoded, "JPEG")
    whole = encoded.getvalue()
    thumbnail = b"\xff\xe2" + (2 + len(whole)).to_bytes(2, "big") + whole
    (photos / "val" / "bee" / "1.jpg").write_bytes(whole[:2] + thumbnail + whole[2:-40])
    with pytest.raises(InvalidInputError, match=r"1 image cannot be read: .*1\.jpg"):
        load_dataset("photos")
    assert load_dataset("photos", damaged="skip").skipped == ("val/bee/1.jpg",)


def test_an_image_that_goes_missing_is_named(photos):
    dataset = load_dataset("photos")
    (photos / "val" / "ant" / "2.png").unlink()
    with pytest.raises(InvalidInputError, match=r"2.png cannot be read .No such file"):
        dataset.x_test[1:]


def test_an_image_that_would_fill_the_memory_is_named(photos, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12 * 16)
    write(photos / "val" / "bee" / "9.png", pixels(9, 13, 16))
    assert "9.png (it has more than 192 pixels" in refusal()


@pytest.mark.parametrize(
    ("harm", "problem"),
    [
        (lambda photos: shutil.rmtree(photos / "val" / "bee"), "class bee in test"),
        (lambda photos: (photos / "train" / "cat").mkdir(), "class cat in train, cat in test"),
        (lambda photos: shutil.rmtree(photos / "val"), "train and nothing to test on"),
        (lambda photos: [shutil.rmtree(photos / name) for name in ("train", "val")], "no images"),
    ],
)
def test_folders_that_are_laid_out_otherwise(photos, harm, problem):
    harm(photos)
    with pytest.raises(InvalidInputError, match=problem):
        require_dataset("photos")


def test_images_in_no_folder_of_a_class(photos):
    assert "3 images in no folder of their class; expected FOLDER/CLASS" in refusal(
        str(photos / "val" / "bee")
    )


def test_classes_by_their_position_in_a_list(photos, tmp_path):
    names = tmp_path / "names.json"
    names.write_text(json.dumps(["wasp", "bee", "cat", "ant"]))
    shutil.rmtree(photos / "train" / "bee")
    dataset = load_dataset("photos", class_names=str(names))
    assert dataset.class_names == ("wasp", "bee", "cat", "ant")
    assert dataset.y_test.tolist() == [3, 3, 3, 1, 1, 1]
    names.write_text(json.dumps(["wasp", "be", "cat", "ant"]))
    assert "did you mean be" in refusal(class_names=str(names))


def test_the_digest_is_of_files_names_and_what_is_made_of_them(photos, tmp_path):
    first = load_dataset("photos").digest()
    shutil.copytree(photos, tmp_path / "elsewhere" / "photos")
    assert load_dataset(str(tmp_path / "elsewhere" / "photos")).digest() == first
    os.utime(photos / "val" / "bee" / "1.png")
    assert load_dataset("photos").digest() == first
    others = [
        load_dataset("photos", **asked).digest()
        for asked in (
            {"image_size": 5},
            {"image_size": 5, "resize": "crop"},
            {"channels": 1},
            {"n_test": 4},
        )
    ]
    write(photos / "val" / "bee" / "1.png", pixels(77))
    others.append(load_dataset("photos").digest())
    (photos / "val" / "bee" / "1.png").rename(photos / "val" / "bee" / "0a.png")
    others.append(load_dataset("photos").digest())
    for outputs in ({"ant": 0, "bee": 1, "a": 0, "b": 1}, {"bee": 0, "ant": 1, "a": 0, "b": 1}):
        (tmp_path / "names.json").write_text(json.dumps(outputs))
        others.append(load_dataset("photos", class_names=str(tmp_path / "names.json")).digest())
    assert len({first, *others}) == 9


def test_what_changes_nothing_is_refused(photos):
    assert "dataset.targets='height' changes nothing with photos, a folder" in refusal(
        targets="height"
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("phots/val", "there is no such file or folder"),
        ("photos/val/ant/1.png", "is no data; expected a folder of images"),
        ("photos.npz", "there is no such file or folder"),
        ("phots", "or data of your own: a folder, an .npz, .csv, .parquet or .txt file, or"),
    ],
)
def test_names_that_are_neither(photos, name, problem):
    with pytest.raises(InvalidInputError, match=problem):
        require_dataset(name)


@pytest.mark.parametrize(
    ("name", "fitted"),
    [
        ("photos", {"image_size": (7, 9), "channels": 3}),
        ("imagenet2012", {"image_size": (7, 9), "channels": 3}),
        ("pixels.npz", {"image_size": (7, 9)}),
        ("pixels.csv", {}),
        ("digits", {}),
    ],
)
def test_what_a_network_takes_decides_where_images_can_become_that(photos, name, fitted):
    for ending in ("npz", "csv"):
        (photos.parent / f"pixels.{ending}").touch()
    assert fitted_settings(name, (7, 9, 3)) == fitted
    assert fitted_settings("photos", (None, None, 4)) == {}


def test_a_text_is_cut_into_samples_as_long_as_a_network_takes(photos):
    (photos.parent / "my.txt").touch()
    assert fitted_settings("my.txt", (16,)) == {"length": 16}
    assert fitted_settings("my.txt", (None,)) == {}
    assert fitted_settings("my.txt", (7, 9, 3)) == fitted_settings("photos", (16,)) == {}
