"""ImageNet's validation set from a tar of generated images: prepared once, or refused."""

import fcntl
import hashlib
import io
import shutil
import tarfile
import threading

import numpy as np
import pytest
from PIL import Image

from nn_clustering.datasets import load_dataset, require_dataset
from nn_clustering.datasets.own import _imagenet
from nn_clustering.errors import InvalidInputError

N = 8


def write_tar(path, numbers, name="ILSVRC2012_val_{:08}.JPEG"):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for number in numbers:
            encoded = io.BytesIO()
            Image.new("RGB", (10 + number, 12), (20 * number, 0, 0)).save(encoded, "JPEG")
            member = tarfile.TarInfo(name.format(number))
            member.size = encoded.tell()
            encoded.seek(0)
            tar.addfile(member, encoded)


def keep_checksum(tar):
    """Say that fewer images than all are meant."""
    checksum = hashlib.sha256(tar.read_bytes()).hexdigest()
    tar.with_name(f"{tar.name}.sha256").write_text(f"{checksum}  {tar.name}\n")


@pytest.fixture
def tar(folder):
    path = folder / _imagenet.TAR
    write_tar(path, [3, 1, 2, *range(4, N + 1)])
    return path


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder of data in which the records were made of a tar, the train images lying by."""
    folder = tmp_path_factory.mktemp("imagenet")
    tar = folder / _imagenet.TAR
    write_tar(tar, [3, 1, 2, *range(4, N + 1)])
    keep_checksum(tar)
    tar.with_name("ILSVRC2012_img_train.tar").write_bytes(b"of 150 GB")
    left = tar.parent / ".preparing-killed"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NN_CLUSTERING_DATASETS", str(folder))
        load_dataset("imagenet2012", image_size=6)
    return folder


def test_records_are_made_once(prepared, monkeypatch):
    monkeypatch.setenv("NN_CLUSTERING_DATASETS", str(prepared))
    names = sorted(path.name for path in (prepared / "imagenet2012").iterdir() if path.is_dir())
    assert names == ["5.1.0"]
    (prepared / _imagenet.TAR).unlink()
    assert require_dataset("imagenet2012").n_outputs == 1000
    dataset = load_dataset("imagenet2012", image_size=6)
    assert dataset.x_test.shape == (N, 6, 6, 3)
    assert not dataset.has_train_part
    # red tells the number of the image, by which TensorFlow Datasets lists the labels
    numbers = np.rint(dataset.x_test[:][..., 0].mean((1, 2)) / 20).astype(int)
    labels = dict(zip(numbers.tolist(), dataset.y_test.tolist(), strict=True))
    assert [labels[number] for number in (1, 2, 3)] == [65, 970, 230]
    assert dataset.class_names[65] == "n01751748"  # a sea snake


def check_and_load():
    require_dataset("imagenet2012")
    load_dataset("imagenet2012", image_size=6)


def refusal():
    with pytest.raises(InvalidInputError) as refused:
        check_and_load()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_without_the_tar_it_is_told_where_it_belongs(folder):
    assert "register at https://image-net.org, download ILSVRC2012_img_val.tar" in refusal()


def test_a_tar_that_is_partial_cut_short_or_another(tar):
    assert f"is partial: it holds {N} of 50,000 images" in refusal()
    content = tar.read_bytes()
    tar.write_bytes(content[: len(content) // 2 - 100])
    assert "damaged or cut short" in refusal()
    tar.write_bytes(b"<html>" * 1000)
    assert "damaged or cut short" in refusal()
    write_tar(tar, [1, 2, 4])
    assert "holds 3 images, not number 3" in refusal()
    write_tar(tar, [1], name="n01440764/{}.JPEG")
    assert "holds n01440764/1.JPEG; expected ILSVRC2012_val_00000001.JPEG" in refusal()


def test_a_tar_that_is_not_what_its_checksum_says(tar):
    keep_checksum(tar)
    write_tar(tar, range(1, N))
    assert "ILSVRC2012_img_val.tar differs from its checksum" in refusal()


def test_the_whole_tar_is_compared_with_the_one_that_is_handed_out(tar, monkeypatch):
    monkeypatch.setattr(_imagenet, "N_IMAGES", N)
    monkeypatch.setattr(_imagenet, "N_BYTES", tar.stat().st_size)
    assert "is damaged (its SHA-256 is" in refusal()


def test_the_disk_is_looked_at_first(tar, monkeypatch):
    keep_checksum(tar)
    free = shutil.disk_usage(tar.parent)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    assert "has 1 kB free, and preparing imagenet2012 takes" in refusal()
    assert not list(tar.parent.glob("5.*"))


def test_one_prepares_and_others_wait(tar, prepared, capfd):
    keep_checksum(tar)
    with (tar.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = []
        waiting = threading.Thread(
            target=lambda: found.append(load_dataset("imagenet2012", image_size=6))
        )
        waiting.start()
        while "Waiting for another run" not in capfd.readouterr().err:
            waiting.join(0.01)
            assert waiting.is_alive()
        shutil.copytree(prepared / "imagenet2012" / "5.1.0", tar.parent / "5.1.0")
    waiting.join()
    assert len(found[0].x_test) == N


def test_what_fails_on_the_way_is_told_and_leaves_nothing(tar, tmp_path, monkeypatch):
    program = tmp_path / "fails.py"
    program.write_text("print('OSError: No space left\\n on device'); raise SystemExit(1)")
    monkeypatch.setattr(_imagenet, "_PROGRAM", program)
    keep_checksum(tar)
    assert "could not be prepared (OSError: No space left on device): make sure" in refusal()
    assert not [path for path in tar.parent.iterdir() if path.is_dir()]
