"""`python -m nn_clustering.datasets`, as a user runs it."""

import os
import re
import shlex
import subprocess
import sys

import pytest
from PIL import Image

from nn_clustering.datasets import dataset_names, load_dataset
from nn_clustering.datasets.__main__ import main


def run(*arguments, **options):
    command = [sys.executable, "-m", "nn_clustering.datasets", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=100, **options
    )


def test_list_as_a_program(tiny_files):
    (tiny_files / "fashion_mnist.npz").unlink()
    done = run("list", env={**os.environ, "https_proxy": "http://127.0.0.1:9"})
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(dataset_names())]] == dataset_names()
    assert "poly                            2            512 targets" in done.stdout
    assert f"mnist.npz:         {tiny_files / 'mnist.npz'}" in lines
    (fashion,) = (line for line in lines if line.startswith("fashion_mnist.npz:"))
    assert "fashion_mnist.npz" not in os.listdir(tiny_files)
    assert "not there yet, downloaded at first use" in fashion or "/datasets/" in fashion


def test_list_into_a_closed_pipe(tiny_files):
    command = f"{shlex.quote(sys.executable)} -m nn_clustering.datasets list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("name")
    assert done.stderr == ""


def test_prepare(tiny_files, capsys):
    assert main(["prepare", "halves_mnist", "poly"]) == 0
    said = capsys.readouterr().out
    assert load_dataset("halves_mnist").digest() in said
    assert load_dataset("poly").digest() in said
    assert "inputs (40, 28, 28, 1), outputs (40,)" in said
    assert "inputs (10000, 2), outputs (10000, 512)" in said
    assert said.count(str(tiny_files / "mnist.npz")) == 1
    main(["prepare", "halves_mnist", "--seed", "3"])
    assert load_dataset("halves_mnist", seed=3).digest() in capsys.readouterr().out


def test_prepare_refuses_all_names_first(tiny_files, capsys):
    assert main(["prepare", "mnist", "halves_mnst"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "did you mean halves_mnist" in said.err
    assert said.err.count("\n") == 1


def test_damaged_file_as_a_program(tiny_files):
    path = tiny_files / "mnist.npz"
    path.write_bytes(path.read_bytes()[:999])
    done = run("prepare", "small_mnist")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"{path} cannot be read (")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["digits", "stacked_digits", "cifar10", "poly"])
def test_show(tiny_files, tmp_path, capsys, name):
    path = tmp_path / "new folder" / "sheet.png"
    assert main(["show", name, "--to", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert min(image.size) > 500


def test_show_for_print(tmp_path):
    path = tmp_path / "sheet.PDF"
    assert main(["show", "digits", "--to", str(path)]) == 0
    assert path.read_bytes().startswith(b"%PDF")


def test_show_into_figures(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["show", "digits"]) == 0
    assert capsys.readouterr().out == "figures/digits.png\n"
    assert (tmp_path / "figures" / "digits.png").is_file()


def test_show_draws_by_seed(tmp_path, tiny_files):
    def sheet(seed):
        path = tmp_path / "sheet.png"
        main(["show", "stacked_digits", "--to", str(path), "--seed", str(seed)])
        return path.read_bytes()

    assert sheet(1) == sheet(1)
    assert sheet(1) != sheet(2)


def test_slips(tmp_path, capsys):
    for arguments, message in (
        (["show", "digits", "--to", "sheet.jpg"], "expected the name of a .png or .pdf file"),
        (["show", "digits", "--to", f"{tmp_path}"], "expected the name of a .png or .pdf file"),
        (["show", "nothing"], "'nothing' is not a data set"),
        (["show", "lines", "--seed", "-1"], "a seed is an integer of 0 or more"),
    ):
        assert main(arguments) == 1
        said = capsys.readouterr()
        assert message in said.err
        assert (said.out, said.err.count("\n")) == ("", 1)
    (tmp_path / "file").touch()
    assert main(["show", "digits", "--to", f"{tmp_path}/file/sheet.png"]) == 1
    assert re.search(r"cannot be written \(.*\); name another file", capsys.readouterr().err)


@pytest.mark.parametrize("arguments", [[], ["--help"], *([c, "--help"] for c in ("list", "show"))])
def test_help(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    said = capsys.readouterr()
    assert ended.value.code == (0 if arguments else 2)
    assert "usage: python -m nn_clustering.datasets" in said.out + said.err


def test_a_folder_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, colour in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        (tmp_path / "colours" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9), colour).save(tmp_path / "colours" / name / "1.png")
    assert main(["prepare", "./colours", "--image-size", "5"]) == 0
    said = capsys.readouterr().out
    assert "test:   inputs (2, 5, 5, 3)" in said
    assert "note:   ./colours: images of 9 x 9 are resized to 5 x 5 (straight)" in said
    assert main(["show", "./colours"]) == 0
    assert capsys.readouterr().out == "figures/colours.png\n"
    with Image.open("figures/colours.png") as sheet:
        pixels = sheet.convert("RGB").getcolors(2**20)
    # bytes of 255 are shown as full colours
    assert {(255, 0, 0), (0, 0, 255)} < {colour for count, colour in pixels if count > 500}
