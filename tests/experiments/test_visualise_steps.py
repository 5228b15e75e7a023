"""What the stage of optimised inputs makes of a test's results, on made-up ones."""

import io
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.text import Text
from tqdm import tqdm

from experiments import _visualise_steps as steps, visualise
from experiments._network_samples import RawSamples
from nn_clustering import datasets, visualisation
from nn_clustering.datasets import Dataset
from nn_clustering.errors import InvalidInputError
from nn_clustering.graphs import Layer
from nn_clustering.partitions import Partition, random_units
from nn_clustering.reports import input_png
from nn_clustering.visualisation import MOST_TOP, Optimised, TopSamples, VisualisationTest

LAYERS = ("block/conv", "block_conv")
PARTITION = Partition(
    tuple(Layer(name, 9) for name in LAYERS), np.array([0, 1, 1, 0, 0, 1, 1, 0, 0] * 2, np.int32), 2
)


def a_test(n_kept=2, draws="afresh", shape=(4, 4, 1), **fields):
    random, subs = np.random.default_rng(0), tuple(PARTITION.sub_clusters())
    size = (len(subs), 1 + 6)
    given = {
        "scores": random.uniform(1, 9, size),
        "entropies": random.uniform(0, 2, size),
        "dispersions": random.uniform(0, 1, size),
        "inputs": random.random((len(subs), 1 + n_kept, *shape), dtype=np.float32),
        **fields,
    }
    n_candidates = np.full(len(subs), 9)
    return VisualisationTest(sub_clusters=subs, n_candidates=n_candidates, draws=draws, **given)


def tops_of(test, indices, classes=None):
    shares = np.array([0.5, np.nan, 0.25, 0.75])
    entropies = test.entropies
    return TopSamples(
        sub_clusters=test.sub_clusters,
        indices=indices,
        objectives=np.ones(indices.shape),
        classes=classes,
        class_entropies=None if classes is None else entropies,
        entropy=None if classes is None else test.measure(entropies, "left"),
        top_shares=shares,
        score_quantiles=shares + 0.125,
        profile_correlations=-shares,
    )


class StageRun:
    """As much of a stage's run as takes its files and notes."""

    def __init__(self, data=None, unfinished=None, seed=5, **config):
        self.config, self.seed, self.files, self.figures = config, seed, {}, {}
        self.info = {}
        clustered = SimpleNamespace(about={}, info={}, config={}, result={"n_clusters": 2})
        self.inputs = SimpleNamespace(
            dataset=SimpleNamespace(value=data),
            partition=SimpleNamespace(value=PARTITION),
            cluster_run=SimpleNamespace(value=clustered),
            unfinished=None if unfinished is None else SimpleNamespace(value=unfinished),
        )

    @property
    def sacred_run(self):
        return self

    @property
    def artifacts(self):
        return list(self.files)

    def artifact(self, name):
        return self.files[name]

    @contextmanager
    def progress(self, total, what):
        with tqdm(total=total, desc=what, file=io.StringIO()) as self.bar:
            yield self.bar

    def add_artifact(self, name, content):
        self.files[name] = content

    def add_figure(self, name, figure):
        self.figures[name] = figure


def test_a_run_goes_on_with_batches_of_the_same_size_alone():
    sizes = {"dense_1": 64, "dense_2": 32}
    first = StageRun()
    steps.note_batches(first, sizes)
    assert first.info == {"batches": sizes}
    for before in (first.info, {}):  # or of a run that did not note it
        later = StageRun(unfinished=SimpleNamespace(info=before), resume=7)
        steps.note_batches(later, sizes)
        assert later.info == {"batches": sizes}
    refused = StageRun(unfinished=SimpleNamespace(info=first.info), resume=7)
    with pytest.raises(InvalidInputError) as error:
        steps.note_batches(refused, {**sizes, "dense_2": 16})
    expected = (
        "resume=7: that run optimised 32 inputs of layer dense_2 at a time, .* it would be 16:"
    )
    assert error.match(expected)


@pytest.mark.parametrize(("n_kept", "draws"), [(2, "afresh"), (2, "joint"), (0, "joint")])
def test_kept_inputs_stand_with_their_units(n_kept, draws):
    test = a_test(n_kept, draws)
    content = steps.inputs_file(test, PARTITION, 5)
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        kept = {name: file[name] for name in file.files}
    units = np.split(kept["units"], np.cumsum(kept["n_units"])[:-1])
    labels = {layer.name: of_layer for layer, of_layer in PARTITION.by_layer()}
    row = 0
    for index, sub in enumerate(test.sub_clusters):
        for draw in range(1 + n_kept):
            place = kept["layer"][row], kept["label"][row], kept["draw"][row]
            assert place == (sub.layer, sub.label, draw)
            np.testing.assert_array_equal(kept["inputs"][row], test.inputs[index, draw])
            expected = sub.units
            if draw:
                expected = random_units(
                    labels[sub.layer], sub, shuffle=draw - 1, seed=5, draws=draws
                )
            assert units[row].tolist() == expected.tolist()
            row += 1
    assert row == len(kept["inputs"]) == len(units)


def test_scores_have_a_row_for_each_draw():
    test = a_test()
    table = steps.scores_table(test)
    assert list(table)[-4:] == ["draw", "score", "entropy", "dispersion"]
    assert table["draw"].tolist() == list(range(7)) * 4
    assert table["layer"].tolist() == [sub.layer for sub in test.sub_clusters for _ in range(7)]
    assert table["score"][9] == test.scores[1, 2]
    assert table["entropy"][9] == test.entropies[1, 2]
    assert table["dispersion"][9] == test.dispersions[1, 2]
    assert "entropy" not in steps.scores_table(a_test(entropies=None))


def test_files_hold_the_inputs_of_the_sub_clusters():
    """In layers whose names become one in those of files; classes are called by their names."""
    random = np.random.default_rng(1)
    x, y = random.random((12, 4, 4, 1), dtype=np.float32), np.arange(12, dtype=np.int32) % 3
    data = Dataset("made up", x[:1], y[:1], x, y, ("ant", "bee", "cat"), "classification", 1.0)
    test = a_test()
    indices = random.integers(12, size=(4, 3))
    run = StageRun(data)
    steps.add_files(run, test, tops_of(test, indices, y[indices]))
    names = [
        f"input_{layer}_{label}.png" for layer in ("block_conv", "block_conv_") for label in (0, 1)
    ]
    assert [run.files[name] for name in names] == [input_png(image[0]) for image in test.inputs]
    assert list(run.figures) == [
        "contact_sheet_block_conv", "contact_sheet_block_conv_", "score_nulls",
    ]  # fmt: skip
    rows = run.files["top_samples.csv"].decode().splitlines()[1:]
    assert [row.split(",")[-1] for row in rows] == [
        data.class_names[index] for index in y[indices].ravel()
    ]
    assert "top_share" in run.files["sub_clusters.csv"].decode().splitlines()[0]
    assert "top_entropy_effect" in run.files["random_effects.csv"].decode().splitlines()[0]
    for figure in run.figures.values():
        assert "2 clusters" in "".join(text.get_text() for text in figure.findobj(Text))
    without = StageRun(data)
    steps.add_files(without, test, None)
    assert "top_samples.csv" not in without.files
    assert list(without.figures) == list(run.figures)


def test_result_of_a_test_with_and_without_samples():
    test = a_test(n_left_out=3)
    tops = tops_of(test, np.zeros((4, 1), int), np.zeros((4, 1), int))
    result = steps.result_of(test, tops, 5)
    assert (result["n_subclusters"], result["n_left_out"], result["n_few_draws"]) == (4, 3, 0)
    for name in ("score", "entropy", "dispersion"):
        assert result[name] == getattr(test, name).summary(5)
    assert result["top_entropy"] == tops.entropy.summary(5)
    for measure in (test.score, tops.entropy):  # the seed is of consequence
        assert any(measure.summary(other) != measure.summary(5) for other in range(4))
    assert (result["top_share"], result["score_quantile"]) == (0.5, 0.625)
    assert result["profile_correlation"] == -0.5
    assert list(steps.tops_in_words(result, 3)) == [
        "the 3 test samples that move a sub-cluster most move it 50.0% as far as its input does "
        "(median)",
        "its layer answers the input and these samples with a correlation of -0.50",
    ]
    of_values = steps.result_of(test, tops_of(test, np.zeros((4, 1), int)), 5)
    assert of_values["top_entropy"] is None
    assert of_values["top_share"] == 0.5
    without = steps.result_of(test, None, 5)
    assert without["top_entropy"] is None
    assert "top_share" not in without
    assert list(steps.tops_in_words(without, 0)) == []
    undefined = {"top_share": None, "profile_correlation": 0.25}
    (line,) = steps.tops_in_words(undefined, 3)
    assert line.endswith("0.25")


def test_a_column_that_never_varies_has_bounds_too():
    """They are as close as numbers can be; of maps each channel has its own."""
    x = np.array([[1.0, 3.0], [1.0, 5.0]], np.float32)
    for samples in (x, x[:, None, None, :]):
        found = steps.bounds_of(RawSamples(samples, None), None)
        assert found.low.tolist() == [1, 3]
        assert found.high.tolist() == [np.nextafter(np.float32(1), np.float32(2)), 5]


def test_what_is_no_image_has_no_channels_to_map():
    values = RawSamples(np.zeros((2, 4, 4, 3), np.float32), None)
    assert steps.channel_map_of(values, SimpleNamespace(preprocessing=None)) is None


def config_of(**changed):
    return {**visualise.experiment.full_config([]), **changed}


def test_as_many_samples_and_random_inputs_as_there_can_be():
    for fine in ({"top_samples": 0, "random_inputs": 0}, {"top_samples": MOST_TOP}):
        visualise.check_settings(config_of(**fine))
    visualise.check_settings(config_of(n_shuffles=4, random_inputs=4))
    for refused, message in (
        ({"top_samples": MOST_TOP + 1}, f"top_samples={MOST_TOP + 1}; expected 0 to {MOST_TOP}$"),
        ({"n_shuffles": 4, "random_inputs": 5}, "random_inputs=5; expected 0 to n_shuffles=4,"),
        ({"random_inputs": -1}, "random_inputs=-1; expected 0 to"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            visualise.check_settings(config_of(**refused))


def test_an_output_may_be_named_where_its_entropy_is_measured():
    """Or where nobody has typed it: a run that is gone on with has the keys of another."""
    for entropy in (None, True):
        visualise.check_settings(config_of(output=0, entropy=entropy), ["output"])
    unmeasured = config_of(output=0, entropy=False)
    visualise.check_settings(unmeasured, ["entropy"])
    with pytest.raises(InvalidInputError, match="output=0 changes nothing while entropy=False"):
        visualise.check_settings(unmeasured, ["output"])


def test_entropy_is_asked_of_classes_alone():
    for entropy, task in ((True, "classification"), (True, None), (None, "regression")):
        visualise.check_task(config_of(entropy=entropy), "poly", task)
    with pytest.raises(
        InvalidInputError, match="entropy=True with the data set poly, a regression"
    ):
        visualise.check_task(config_of(entropy=True), "poly", "regression")


def test_tokens_are_not_optimised():
    visualise.check_numbers(datasets.require_dataset(name="digits"))
    with pytest.raises(InvalidInputError, match="data set modular_addition is of tokens, and inp"):
        visualise.check_numbers(datasets.require_dataset(name="modular_addition"))


def test_summary_says_what_was_measured_and_what_was_left_out(capsys):
    test = a_test(n_left_out=3)
    run = StageRun(top_samples=2, n_shuffles=6)
    run.id, suggested = 12, []
    run.suggest = lambda *commands: suggested.extend(commands)
    tops = tops_of(test, np.zeros((4, 2), int), np.zeros((4, 2), int))
    visualise.summary(run, steps.result_of(test, tops, 5))
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "4 sub-clusters visualised (3 left out by size)"
    names = ["score", "entropy", "dispersion", "classes of top samples"]
    assert [line.split(":")[0] for line in said[2:10:2]] == names
    assert all(line.startswith("  effect ") for line in said[3:10:2])
    assert said[10].startswith("the 2 test samples that move")
    assert said[-1].startswith("no sub-cluster's own p-value can be below 0.14")
    assert suggested[0].endswith("visualisation_table.py with visualise_runs=[12]")
    visualise.summary(run, steps.result_of(a_test(entropies=None), None, 5))
    said = capsys.readouterr().out.splitlines()
    assert said[1] == "4 sub-clusters visualised"
    assert [line.split(":")[0] for line in said[2:6:2]] == ["score", "dispersion"]
    assert len(said) == 7


@pytest.mark.parametrize("entropies", [None, np.array([0.5, 0.25])])
def test_batches_that_are_done_are_neither_optimised_nor_stored_again(monkeypatch, entropies):
    """Of three, the second is known; the bar begins with its steps."""
    batch = Optimised(np.ones(2), entropies, np.zeros(2), np.ones((2, 4, 4, 1), np.float32))
    config = config_of(seed=5, n_shuffles=4, random_inputs=3, draws="afresh", count_ties=False)
    config["ascent"] = {**config["ascent"], "n_steps": 8}
    config["sizes"] = {"min_units": 5, "max_share": 1.0}
    got = {}

    def optimise(optimiser, partition, layers, **given):
        got.update(given)
        for index in [*given["known"], 2]:
            given["on_batch"](index, batch)
        given["on_progress"](8)
        return "done"

    monkeypatch.setattr(visualisation, "n_batches", lambda *of, n_shuffles, sizes: 3)
    monkeypatch.setattr(visualisation, "visualisation_test", optimise)
    first = StageRun()
    with steps.KeptArrays(first, "optimised", 3) as kept:
        kept.add(1, steps._packed(batch))
    first.id = 7
    run = StageRun(unfinished=first, **config)
    assert steps.optimised_inputs(run, None, LAYERS) == "done"
    assert run.bar.total == 2 * (1 + 4) * 8  # a sub-cluster of five units in each layer
    assert run.bar.n == 2 * 8 + 8
    (known,) = got["known"].values()
    for name in ("scores", "entropies", "dispersions", "inputs"):
        np.testing.assert_array_equal(getattr(known, name), getattr(batch, name))
    expected = {"n_shuffles": 4, "seed": 5, "draws": "afresh", "count_ties": False, "n_kept": 3}
    assert {key: got[key] for key in expected} == expected
    stored = [np.load(io.BytesIO(run.files[f"optimised_{number}.npz"])).files for number in (0, 1)]
    assert [{name.split(".")[0] for name in names} for names in stored] == [{"1"}, {"2"}]


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_samples_have_classes_where_there_are_classes(monkeypatch, task):
    x = np.zeros((4, 2), np.float32)
    y = np.arange(4, dtype=np.int32) % 2 if task == "classification" else x
    data = Dataset("made up", x[:1], y[:1], x, y, ("a", "b"), task, None)
    got = {}

    def find(optimiser, test, partition, samples, classes, **given):
        got.update(given, samples=samples, classes=classes)
        given["on_progress"](4)

    monkeypatch.setattr(visualisation, "top_samples", find)
    monkeypatch.setattr(RawSamples, "for_network", lambda raw, file: raw.x)
    run = StageRun(data, top_samples=3)
    run.inputs.network = SimpleNamespace(value=None)
    steps.find_top_samples(run, None, None)
    assert (run.bar.total, run.bar.n) == (4, 4)
    assert got["samples"] is x
    assert got["classes"] is (y if task == "classification" else None)
    assert got["n_classes"] == (2 if task == "classification" else None)
    assert (got["n_top"], got["seed"]) == (3, 5)
    assert steps.find_top_samples(StageRun(data, top_samples=0), None, None) is None
