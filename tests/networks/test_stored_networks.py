"""What is no network's file is named for what it is, in one line and without much memory."""

import io
import json
import pickle
import tracemalloc
import zipfile

import h5py
import keras
import numpy as np
import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.networks import network_bytes, read_file, read_network
from tests.networks.keras2_files import zipped


@pytest.fixture(scope="module")
def network():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


@pytest.fixture(scope="module")
def members(network):
    with zipfile.ZipFile(io.BytesIO(network_bytes(network))) as file:
        return {name: file.read(name) for name in file.namelist()}


def hdf5(write):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        write(file)
    return content.getvalue()


def refusal_of(path):
    with pytest.raises(InvalidInputError) as refusal:
        read_file(path)
    message = str(refusal.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert "save it again" not in message
    assert len(message) < 400
    return message


def refused(tmp_path, content):
    path = tmp_path / "it.keras"
    path.write_bytes(content)
    return refusal_of(path)


def test_what_keras_writes_is_read(tmp_path, network):
    for name in ("it.keras", "it.h5"):
        network.save(tmp_path / name)
        assert read_file(str(tmp_path / name)) == (tmp_path / name).read_bytes()


def test_compressed_again_it_is_read(tmp_path, members):
    path = tmp_path / "it.keras"
    path.write_bytes(zipped(members, zipfile.ZIP_DEFLATED))
    assert read_file(path)


def test_nothing_there(tmp_path):
    assert "is not there" in refusal_of(tmp_path / "missing.keras")
    assert str(tmp_path) in refusal_of(tmp_path / "missing.keras")
    (tmp_path / "folder.keras").mkdir()
    assert "is a folder; expected a file" in refusal_of(tmp_path / "folder.keras")


def test_saved_model_folder(tmp_path):
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    message = refusal_of(tmp_path / "saved")
    assert "is a SavedModel folder" in message
    assert "model.save('NAME.h5')" in message


def of_arrays(**arrays):
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def weights_of_keras_2(file):
    file.attrs["layer_names"] = [b"dense"]
    file["dense/kernel"] = np.zeros(3)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"not a network", "is neither an archive nor an HDF5 file"),
        (b'{"class_name": "Sequential"}', "without their weights (model.to_json())"),
        (pickle.dumps({"weights": [1.0]}), "is a pickle, and to read one runs whatever code"),
        (zipped({"archive/data.pkl": b"\x80\x02"}), "archive of PyTorch"),
        (of_arrays(kernel=np.zeros(3)), "holds arrays of NumPy and no layers"),
        (zipped({"readme.txt": b""}), "is an archive without config.json"),
        (hdf5(lambda file: file.create_dataset("spikes", data=[1])), "something else than a Keras"),
        (hdf5(lambda file: None), "something else than a Keras"),
        (hdf5(weights_of_keras_2), "holds weights only, without the layers"),
        (hdf5(lambda file: file.create_group("layers")), "holds weights only, without the layers"),
        (
            hdf5(lambda file: file.attrs.update(model_config="{")),
            "its attribute model_config is no",
        ),
        (hdf5(lambda file: file.attrs.update(model_config="[]")), "model_config holds a list"),
    ],
)
def test_what_is_no_network(tmp_path, content, expected):
    assert expected in refused(tmp_path, content)


def test_weights_only_files_of_keras_3(tmp_path, network):
    network.save_weights(tmp_path / "it.weights.h5")
    message = refusal_of(tmp_path / "it.weights.h5")
    assert "holds weights only" in message
    assert "model.load_weights" in message


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_cut_short(tmp_path, network, share, suffix):
    path = tmp_path / f"it.{suffix}"
    network.save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert "damaged" in refusal_of(path)


def test_overwritten_in_the_middle(tmp_path, members):
    content = zipped(members)
    start = content.index(members["config.json"][:40])
    assert "damaged: its config.json" in refused(
        tmp_path, content[:start] + bytes(20) + content[start + 20 :]
    )


def test_parts_that_are_missing_or_wrong(tmp_path, members):
    without = {name: part for name, part in members.items() if name != "model.weights.h5"}
    assert "layers but no weights" in refused(tmp_path, zipped(without))
    assert "is no HDF5 file" in refused(tmp_path, zipped({**members, "model.weights.h5": b"x"}))
    assert "config.json is no JSON" in refused(tmp_path, zipped({**members, "config.json": b"{"}))
    assert "config.json holds a list" in refused(tmp_path, zipped({**members, "config.json": "[]"}))


# Files that are larger, or deeper, than they look.

BOMB = 300 * 2**20


def refused_in_little_memory(tmp_path, content):
    tracemalloc.start()
    try:
        return refused(tmp_path, content)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 * 2**20 + 2 * len(content), f"{peak / 2**20:.0f} MiB"


@pytest.mark.parametrize("name", ["config.json", "metadata.json"])
@pytest.mark.parametrize("honest", [True, False])
def test_member_that_inflates_is_refused_in_little_memory(tmp_path, members, name, honest):
    content = zipped({**members, name: b" " * BOMB}, zipfile.ZIP_DEFLATED)
    if not honest:  # the directory tells of a small file, for which what comes out is too much
        content = content.replace(BOMB.to_bytes(4, "little"), (2**16).to_bytes(4, "little"))
    message = refused_in_little_memory(tmp_path, content)
    assert name in message
    assert (f"{BOMB:,} bytes, compressed into" in message) is honest


def test_weights_that_inflate_are_refused_in_little_memory(tmp_path, members):
    content = zipped({**members, "model.weights.h5": bytes(BOMB)}, zipfile.ZIP_DEFLATED)
    message = refused_in_little_memory(tmp_path, content)
    assert "model.weights.h5 of 314,572,800 bytes" in message


def huge(file):
    file.create_dataset("layers/dense/vars/0", (10**6, 10**6), np.float32, chunks=(64, 64))


def test_arrays_that_are_not_stored_are_refused_in_little_memory(tmp_path, members):
    message = refused_in_little_memory(
        tmp_path, zipped({**members, "model.weights.h5": hdf5(huge)})
    )
    assert "says that it holds 4,000,000,000,000 bytes of weights" in message


def test_config_of_hdf5_that_is_too_long(tmp_path):
    content = hdf5(lambda file: file.attrs.update(model_config=" " * (9 * 2**20)))
    assert "holds a model_config of more than" in refused(tmp_path, content)


@pytest.mark.parametrize("depth", [400, 100_000])
def test_layers_in_layers_in_layers(tmp_path, members, depth):
    nested = '{"config": ' * depth + "1" + "}" * depth
    message = refused(tmp_path, zipped({**members, "config.json": nested}))
    assert "deep" in message or "no JSON (RecursionError" in message


def test_too_many_members(tmp_path, members):
    many = {f"assets/{number}": b"" for number in range(10_001)}
    assert "holds 10,004 files" in refused(tmp_path, zipped({**members, **many}))


def stored_elsewhere(file):
    file.create_dataset("a", (3,), np.uint8, external=[("/etc/hostname", 0, 3)])


def virtual(file):
    layout = h5py.VirtualLayout((3,), np.uint8)
    layout[:] = h5py.VirtualSource("/etc/other.h5", "a", (3,))
    file.create_virtual_dataset("a", layout)


def in_a_circle(file):
    file.create_group("layers")["again"] = file["/"]


def linked(link):
    def write(file):
        file["a"] = link

    return write


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (stored_elsewhere, "takes /a from another file"),
        (virtual, "takes /a from another file"),
        (linked(h5py.ExternalLink("other.h5", "/a")), "from elsewhere"),
        (linked(h5py.SoftLink("/b")), "from elsewhere"),
        (in_a_circle, "groups more than 100 deep"),
    ],
)
def test_weights_from_elsewhere(tmp_path, members, write, expected):
    weights = hdf5(write)
    assert expected in refused(tmp_path, zipped({**members, "model.weights.h5": weights}))


def test_array_without_a_shape_holds_nothing(tmp_path, members):
    weights = hdf5(lambda file: file.create_dataset("a", data=h5py.Empty("f")))
    path = tmp_path / "it.keras"
    path.write_bytes(zipped({**members, "model.weights.h5": weights}))
    assert read_file(path)
    with pytest.raises(InvalidInputError, match="its weights do not fit its layers"):
        read_network(path)


def test_config_keeps_what_it_is(tmp_path, members):
    """Nothing here reads by recursion or at length what an honest network has."""
    config = json.loads(members["config.json"])
    config["config"]["name"] = "x" * 2**20
    path = tmp_path / "it.keras"
    path.write_bytes(zipped({**members, "config.json": json.dumps(config)}))
    assert read_file(path)
