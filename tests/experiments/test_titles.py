"""Figures are titled with what they are about, not with numbers of runs."""

import re
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from experiments._about import about_clustering, about_import, about_training
from experiments._titles import clustering_title, title_on, titles_apart, training_title
from experiments.import_network import experiment as import_network
from experiments.train import experiment as train


@dataclass
class Clustered:
    """As much of a stored clustering, or of a stage's run, as titles are made of."""

    about: dict[str, Any]
    info: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=lambda: {"n_clusters": 12})

    @property
    def sacred_run(self):
        return self

    def __post_init__(self):
        self.info.setdefault("about", self.about)


def trained(*named, **config):
    about = about_training(train.full_config(list(named)), {})
    return {**about, **config}


def pdf_texts(content):
    """The lines of text in a PDF file of matplotlib's, but for what is neither Latin."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", content, re.DOTALL):
        try:
            page = zlib.decompress(stream)
        except zlib.error:
            continue
        for array in re.findall(rb"\[((?:\((?:[^\\()]|\\.)*\)|[^\]()])*)\]\s*TJ", page, re.DOTALL):
            pieces = re.findall(rb"\(((?:[^\\()]|\\.)*)\)", array, re.DOTALL)
            letters = b"".join(re.sub(rb"\\(.)", rb"\1", piece) for piece in pieces)
            found.append(letters.decode("utf-16-be", errors="replace"))
    return found


@pytest.mark.parametrize("stage", ["train", "cluster", "shuffle_test", "lesion"])
def test_no_figure_names_a_run(stage, runs):
    run = runs[stage]
    names = [name for name in run.artifacts if name.endswith(".pdf")]
    assert names
    k = run.result.get("n_clusters") or runs["cluster"].result["n_clusters"]
    title = "digits, mlp, pruned" + ("" if stage == "train" else f", {k} clusters")
    for name in names:
        texts = pdf_texts(run.artifact(name))
        assert len(texts) > 5
        assert not [text for text in texts if re.search(r"\brun\b", text)]
        if name != "network.pdf":
            assert [text for text in texts if text.startswith(title)]


@pytest.mark.parametrize(
    ("named", "title"),
    [
        (["mlp", "mnist"], "mnist, mlp"),
        (["cnn", "mnist", "three_channels", "dropout"], "mnist, cnn, three channels, dropout"),
        (["vgg", "cifar10", "augmented", "pruned"], "cifar10, vgg, augmented, pruned"),
    ],
)
def test_trainings(named, title):
    assert training_title(Clustered(trained(*named))) == title


@pytest.mark.parametrize(
    ("about", "info", "config", "title"),
    [
        (trained("mlp", "mnist", "pruned"), {"phase": "pruned"}, {}, "mnist, mlp, pruned"),
        (
            trained("mlp", "mnist", "dropout", "pruned"),
            {"phase": "unpruned"},
            {"checkpoint": 3},
            "mnist, mlp, dropout, unpruned, epoch 3",
        ),
        (trained("mlp", "mnist", "untrained"), {"phase": "untrained"}, {}, "mnist, mlp, untrained"),
        (
            trained(
                "mlp", dataset={"name": "/data/of mine/flowers"}, network={"kind": "nets:wide"}
            ),
            {"phase": "unpruned"},
            {"graph": {"source": "activations"}},
            "flowers, nets:wide, unpruned, graph of activations",
        ),
        (
            about_import(import_network.full_config(["resnet18"]), {}),
            {"phase": "imported"},
            {"graph": {"source": "weights"}},
            "imagenet2012, resnet18, ImageNet weights",
        ),
        (
            about_clustering(
                {"model": "/nets/my network.keras", "dataset": {"name": "digits"}}, {}
            ),
            {},
            {},
            "digits, my network.keras",
        ),
        (about_clustering({"graph": {"file": "/g/worm.npz"}}, {}), {}, {}, "worm.npz"),
        ({}, {}, {}, ""),  # a run of a former version, say
    ],
)
def test_clusterings(about, info, config, title):
    clustered = Clustered(about, info, config)
    expected = ", ".join(filter(None, [title, "12 clusters"]))
    assert clustering_title(clustered, 12) == expected
    assert title_on(Clustered({}), clustered) == expected
    assert title_on(Clustered({}), clustered, of_clusters=False) == title


def test_one_cluster():
    assert clustering_title(Clustered(trained("mlp", "mnist")), 1) == "mnist, mlp, 1 cluster"


def test_lesions_of_another_data_set_name_it():
    clustered = Clustered(trained("mlp", "mnist"), {"phase": "unpruned"})
    lesion = Clustered({"dataset": {"name": "digits"}})
    assert title_on(lesion, clustered) == "digits, mlp, unpruned, 12 clusters"


def clustering(*named, seed=0, training_seed=0, phase="pruned", source="weights", n_clusters=12):
    return Clustered(
        trained(*named, training_seed=training_seed),
        {"phase": phase},
        {"seed": seed, "graph": {"source": source}},
        {"n_clusters": n_clusters},
    )


@pytest.mark.parametrize(
    ("other", "title", "names"),
    [
        (
            {"source": "activations", "n_clusters": 8},
            "mnist, mlp, pruned",
            ("the graph of weights", "the graph of activations"),
        ),
        ({"phase": "unpruned"}, "mnist, mlp, 12 clusters", ("pruned", "unpruned")),
        ({"n_clusters": 4}, "mnist, mlp, pruned", ("12 clusters", "4 clusters")),
        (
            {"training_seed": 3},
            "mnist, mlp, pruned, 12 clusters",
            ("training seed 0", "training seed 3"),
        ),
        (
            {"training_seed": 3, "phase": "unpruned", "seed": 5},
            "mnist, mlp, 12 clusters",
            ("pruned, training seed 0", "unpruned, training seed 3"),
        ),
        (
            {"seed": 5},
            "mnist, mlp, pruned, 12 clusters",
            ("clustering seed 0", "clustering seed 5"),
        ),
        ({}, "mnist, mlp, pruned, 12 clusters", ("the first", "the second")),
    ],
)
def test_two_clusterings_are_called_by_what_they_differ_in(other, title, names):
    first = clustering("mlp", "mnist", "pruned")
    assert titles_apart(first, clustering("mlp", "mnist", "pruned", **other)) == (title, names)


def test_what_one_clustering_alone_is_under_is_in_its_name():
    first = clustering("mlp", "mnist", "pruned")
    second = clustering("cnn", "mnist", "dropout", "pruned")
    assert titles_apart(first, second) == (
        "mnist, 12 clusters", ("mlp, pruned", "cnn, dropout, pruned")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("about", "source", "title"),
    [
        ({"network": {"kind": "vgg16", "weights": "random"}}, "weights", "vgg16, random weights"),
        (
            {"network": {"kind": "vgg16", "weights": "/nets/mine/own.h5"}},
            "gradients",
            "vgg16, weights of own.h5, graph of gradients",
        ),
        # as a former version had it
        ({"dataset": "mnist", "network": {"kind": "mlp"}}, "weights", "mlp"),
    ],
)
def test_weights_and_graphs(about, source, title):
    clustered = Clustered(about, {"phase": "imported"}, {"graph": {"source": source}})
    assert clustering_title(clustered, 12) == f"{title}, 12 clusters"


def test_what_one_clustering_has_nothing_of_names_neither():
    """A condition that one alone has, and a seed that is not known of one."""
    first, second = (Clustered(trained("mlp", "mnist", *named)) for named in (["dropout"], []))
    second.result = {"n_clusters": 8}
    assert titles_apart(first, second) == ("mnist, mlp", ("12 clusters", "8 clusters"))
    known, unknown = (Clustered({"dataset": {"name": "mnist"}}) for _ in range(2))
    known.about["training_seed"] = 3
    assert titles_apart(known, unknown)[1] == ("the first", "the second")
