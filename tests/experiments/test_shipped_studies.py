"""The studies that ship: what their runs are, and the published means that they are laid beside."""

import csv
import functools
import statistics

import pytest
from sacred.utils import iterate_flattened

from experiments import study
from nn_clustering import studies
from tests.programs import PROJECT

FILES = sorted((PROJECT / "configs" / "study").glob("*.yaml"))
NAMES = [path.stem for path in FILES if path.stem not in ("default", "quick")]
# Numbers that the studies stored, where they are at hand.
STORED = PROJECT.parent / "shared" / "reference_results.csv"

FACTORS = {
    "accuracy": "test_acc", "ncut": "ncut", "shuffled_mean": "shuffled_ncut_mean",
    "shuffled_std": "shuffled_ncut_std", "z_score": "z_score",
}  # fmt: skip
LESIONS = {"importance_p": "fisher_p_importance", "coherence_p": "fisher_p_coherence(range)"}
VISUALISATIONS = {"score_p": "fisher_p_score", "entropy_p": "fisher_p_entropy"}
# What the studies called the words of our labels.
MODELS = {
    "MNIST": "MNIST", "Fashion-MNIST": "FASHION", "dropout": "DROPOUT", "L1": "L1REG",
    "L2": "L2REG", "dropout and L2": "DROPOUT+L2REG", "modular initialisation": "MOD-INIT",
}  # fmt: skip
PAIRS = {
    "halves": "HALVES", "halves of one class": "HALVES-SAME",
    "stacked": "STACKED", "stacked of one class": "STACKED-SAME",
}  # fmt: skip
IMAGENET = {
    "vgg16": "VGG-16", "vgg19": "VGG-19", "resnet18": "ResNet-18", "resnet34": "ResNet-34",
    "resnet50": "ResNet-50", "inceptionv3": "Inception-V3",
}  # fmt: skip


def config_of(name, variant="full"):
    return {**study.experiment.full_config([name]), "variant": variant}


@functools.cache
def cells(name, variant="full"):
    """A study with the first of its seeds alone, its cells and its stages."""
    config = config_of(name, variant)
    for key in ("steps", "quick"):
        config[key] = [
            {**step, "seeds": step["seeds"][:1]} if "seeds" in step else step
            for step in config[key]
        ]
    stages = study.stages_of(config)
    whole = studies.read_study(config, name, stages)
    return whole, studies.cells_of(whole, stages), stages


def settings(cell, stages):
    """Every key of a cell's run, dotted, with its value."""
    return dict(iterate_flattened(studies.full_config(cell, stages, 1)))


@pytest.mark.parametrize("name", NAMES)
def test_every_study_is_told_and_has_a_smaller_quick_variant(name):
    whole, full, _ = cells(name)
    _, quick, _ = cells(name, "quick")
    assert 0 < len(quick) <= len(full)
    assert {cell.step for cell in quick} == {cell.step for cell in full}
    assert all(cell.needs.gpu == 0 for cell in quick)
    for published in whole.published:
        matching = [cell for cell in full if published.of.items() <= cell.labels.items()]
        assert matching, published.of
    assert " quick: " in (study.experiment.named_configs[name].__doc__ or "") or name == "fast"


@pytest.mark.parametrize(
    ("name", "kind", "data", "k", "n_shuffles"),
    [
        ("clusterability_mlp", "mlp", ("mnist", "fashion"), 12, 50),
        ("clusterability_cnn", "cnn", ("mnist", "fashion"), 12, 50),
        ("clusterability_vgg", "vgg", ("cifar10",), 12, 50),
    ],
)
def test_conditions_of_the_first_three(name, kind, data, k, n_shuffles):
    """Methods A7 to A15, C8, D3: each trains what its label says, five networks each."""
    _, found, stages = cells(name)
    for cell in found:
        given = settings(cell, stages)
        label = cell.labels["train"]
        if cell.stage == "train":
            assert given["network.kind"] == kind
            assert given["dataset.name"].endswith(data)
            if kind != "vgg":
                assert ("fashion" in given["dataset.name"]) == ("Fashion" in label)
            assert given["pruning.enabled"]
            assert given["augmentation.enabled"] == (kind == "vgg")
            assert given["network.dropout"] == ("dropout" in label)
            assert given["penalty.l1"] == ("L1" in label)
            assert given["penalty.l2"] == ("L2" in label)
            assert given["modular_init.enabled"] == ("modular" in label)
            for word, prefix in (("halves", "halves_"), ("stacked", "stacked_")):
                assert given["dataset.name"].startswith(prefix) == (word in label)
            assert ("same" in given["dataset.name"]) == ("of one class" in label)
        elif cell.stage == "cluster":
            assert given["n_clusters"] == k
            assert given["kmeans.n_init"] == (100 if kind == "vgg" else 25)
            assert given["graph.kernel_norm"] == "max_column_sum"
        else:
            assert (given["n_shuffles"], given["method"]) == (n_shuffles, "layer")
            assert given["population_std"]
    labels = {tuple(cell.labels.items()) for cell in found if cell.stage == "shuffle_test"}
    assert {dict(label)["phase"] for label in labels} == {"unpruned", "pruned"}
    assert all(sum(tuple(cell.labels.items()) == label for cell in found) == 2 for label in labels)
    assert config_of(name)["steps"][0]["seeds"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("name", "of", "networks_of"),
    [
        ("lesions", "mlp", "clusterability_mlp"),
        ("lesions", "cnn", "clusterability_cnn"),
        ("lesions_vgg", "train", "clusterability_vgg"),
        ("visualisation_vgg", "train", "clusterability_vgg"),
        ("k_stability", "train", "clusterability_mlp"),
    ],
)
def test_networks_of_one_study_are_used_again_by_another(name, of, networks_of):
    for variant in ("full", "quick"):
        _, ours, stages = cells(name, variant)
        _, theirs, their_stages = cells(networks_of, variant)
        trained = [settings(cell, their_stages) for cell in theirs if cell.stage == "train"]
        for cell in ours:
            if cell.step == of:
                assert settings(cell, stages) in trained, cell.name


def test_phases_that_are_lesioned():
    """Methods G6: MLPs pruned, CNNs and VGGs unpruned."""
    for name in ("lesions", "lesions_vgg"):
        _, found, stages = cells(name)
        for cell in found:
            if cell.stage == "lesion":
                pruned = cell.parent.step == "pruned"
                assert settings(cell.parent, stages)["phase"] == (
                    "pruned" if pruned else "unpruned"
                )
                assert ("mlp" in cell.labels) == pruned
                given = settings(cell, stages)
                assert (given["n_shuffles"], given["silence"]) == (19, "weights")


def test_networks_before_training_scale_all_layers():
    """Methods D6, quirk 4."""
    _, found, stages = cells("random_init")
    for cell in found:
        given, label = settings(cell, stages), cell.labels["random_init"]
        assert (given["n_networks"], given["n_clusters"]) == (100, 12)
        assert given["modular_init.enabled"] == given["modular_init.all_layers"]
        assert given["modular_init.enabled"] == ("modular" in label)
        if label.startswith("CNN"):
            filters = 64 if "64" in label else 128
            assert given["network.conv_filters"] == [filters] * 3


@pytest.mark.skipif(not STORED.exists(), reason="the stored numbers of the studies are not here")
def test_published_means_are_those_that_the_studies_stored():
    with STORED.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    laid_beside = 0
    for name in set(NAMES) - {"fast", "clusterability_gradient"}:
        for published in config_of(name)["published"]:
            means = {key: mean for key, mean in published.items() if key != "of"}
            laid_beside += name.startswith("clusterability")
            for measure, mean in means.items():
                expected = stored(rows, name, published["of"], measure)
                assert mean == pytest.approx(expected, rel=1e-6), (name, published["of"], measure)
    conditions = {
        (row["model"], row["pruned"]) for row in rows if row["table"] == "clustering_factors"
    }
    assert laid_beside == len(conditions) == 50


def stored(rows, name, of, measure):
    """The mean that a study stored; of two runs, theirs."""
    wanted = [
        {"table": table, "metric": metric, "statistic": statistic, "model": model, **more}
        for table, metric, statistic, model, more in places(name, of, measure)
    ]
    found = [
        float(row["value"])
        for places_of in wanted
        for row in rows
        if all(row[key] == value for key, value in places_of.items())
    ]
    assert len(found) == len(wanted)
    return statistics.mean(found)


def places(name, of, measure):
    """Where a mean stands: table, metric, statistic, model, and what else tells its row."""
    step, label = next(iter(of.items()))
    pruned = {"pruned": str(of["phase"] == "pruned")} if "phase" in of else {}
    if name == "k_stability":
        metric = f"shuffled_ncut_mean[{of['method']}]" if measure == "shuffled_mean" else measure
        how = {"regularisation": "dropout" if "dropout" in label else "none"}
        return [("two_shuffle_methods", metric, "mean", "FASHION", {**pruned, **how})]
    if name == "random_init":
        model = {"VGG": "CNN-VGG"}.get(label.split(",")[0], label.split(",")[0])
        how = {"regularisation": "modular-init(all layers)" if "modular" in label else "none"}
        return [("random_init", "ncut", "mean", model, how)]
    if name.startswith("imagenet") and measure in FACTORS:
        model = IMAGENET[label]
        return [
            (f"imagenet_clustering_run{run}", FACTORS[measure], "value", model, {})
            for run in (1, 2)
        ]
    statistic = "value" if name.startswith("imagenet") else "mean"
    model = label if name.startswith("imagenet") else model_of(name, step, label)
    if measure in LESIONS:
        return [("lesion_test", LESIONS[measure], statistic, model, pruned)]
    if measure in VISUALISATIONS:
        return [("feature_visualisation", VISUALISATIONS[measure], statistic, model, pruned)]
    return [("clustering_factors", FACTORS[measure], statistic, model, pruned)]


def model_of(name, step, label):
    """What the studies called a network."""
    first, _, condition = label.partition(", ")
    if name == "visualisation":
        kind = "CNN-MNIST" if "CNN" in first else "MNIST"
        return f"{kind}{'+DROPOUT' if condition else ''}+LUCID"
    if name.endswith("vgg"):
        return "CNN-VGG-CIFAR10" + (f"+{MODELS[label]}" if label != "plain" else "")
    model = MODELS[first]
    if condition in PAIRS:
        model = f"{PAIRS[condition]}-{model}"
    elif condition:
        model = f"{model}+{MODELS[condition]}"
    return f"CNN-{model}" if name == "clusterability_cnn" or step == "cnn" else model
