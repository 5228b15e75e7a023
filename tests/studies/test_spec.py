"""Reading a study: what is meant, and what is refused in one line."""

import pytest

from nn_clustering.errors import InvalidInputError
from nn_clustering.studies import Needs, cells_of, full_config, read_study
from nn_clustering.studies._spec import nested
from tests.studies.stages import made_up_stages

STEPS = [
    {
        "name": "train",
        "cases": [
            {"name": "short"},
            {"name": "long", "configs": ["long"], "config": {"training": {"rate": 0.5}}},
        ],
        "seeds": [3, 4],
    },
    {
        "name": "cluster",
        "of": ["train"],
        "config": {"n_clusters": 12},
        "grid": {"phase": ["unpruned", "pruned"]},
    },
    {"name": "lesion", "of": "cluster", "needs": {"gpu": 1}},
]


def study(steps=STEPS, **more):
    config = {"title": None, "steps": steps, "quick": [], "variant": "full", "published": []}
    return read_study({**config, **more}, "a_study", made_up_stages())


PUBLISHED = [{"of": {"train": "long", "phase": "pruned"}, "ncut": 10}]


def trainings(step, **more):
    return [full_config(cell, made_up_stages())["training"] for cell in cells([step], **more)]


def cells(*arguments, **more):
    return cells_of(study(*arguments, **more), made_up_stages())


def test_every_network_is_trained_once_and_clustered_in_each_way():
    found = cells()
    assert [cell.step for cell in found] == ["train"] * 4 + ["cluster"] * 8 + ["lesion"] * 8
    last = found[-1]
    assert last.name == "lesion: train=long, phase=pruned, seed=4"
    assert [cell.stage for cell in last.ancestors] == ["train", "cluster"]
    assert dict(last.labels) == {"train": "long", "phase": "pruned"}
    assert (last.seed, last.root_seed, last.link, last.needs.gpu) == (4, 4, "cluster_run", 1)
    trained = last.ancestors[0]
    config = full_config(trained, made_up_stages())
    assert (config["training"], config["seed"]) == ({"epochs": 9, "rate": 0.5}, 4)
    clustered = full_config(last.ancestors[1], made_up_stages(), 17)
    assert [clustered[key] for key in ("train_run", "n_clusters", "phase", "seed")] == [
        17, 12, "pruned", 4,
    ]  # fmt: skip


def test_quick_variant_changes_steps_and_keeps_what_it_does_not_name():
    quick = [{"name": "train", "seeds": [0], "config": {"training": {"epochs": 1}}}]
    found = cells(quick=quick, variant="quick")
    assert len(found) == 2 + 4 + 4
    short, long = (full_config(cell, made_up_stages())["training"] for cell in found[:2])
    assert short == {"epochs": 1, "rate": 0.1}
    assert long == {"epochs": 1, "rate": 0.5}  # a step's config is on top of named configs


def test_what_is_written_closer_to_a_run_counts_more():
    step = {
        "name": "train",
        "seeds": [0],
        "configs": ["longer"],
        "config": {"training": {"rate": 0.5}},
    }
    cases = [{"name": "as the step"}, {"name": "own", "configs": ["long"]}]
    assert trainings({**step, "cases": cases}) == [
        {"epochs": 20, "rate": 0.5},
        {"epochs": 9, "rate": 0.5},
    ]
    rate = {"training": {"rate": 0.7}}
    assert trainings({**step, "cases": [{"name": "own", "config": rate}]})[0]["rate"] == 0.7
    assert trainings({**step, "grid": {"training": {"rate": [0.8]}}})[0]["rate"] == 0.8
    quick = [{"name": "train", "config": rate}]
    assert trainings(step, quick=quick, variant="quick") == [{"epochs": 20, "rate": 0.7}]
    assert nested({"a.b.c": 1, "a.d": 2}) == {"a": {"b": {"c": 1}, "d": 2}}


def test_a_step_has_the_needs_of_its_stage_and_keys_of_the_study_unless_it_says_otherwise():
    common = {"train": {"training": {"rate": 0.2}}, "cluster": {"n_clusters": 5}}
    stages = made_up_stages(
        needs={"train": Needs(memory_mb=9)}, common=lambda stage, config: common[stage]
    )
    own = [STEPS[0], {**STEPS[1], "needs": {"memory_mb": 5}, "config": {"n_clusters": 4}}]
    train, *_, cluster = cells_of(study(own), stages)
    assert (train.needs, cluster.needs) == (Needs(memory_mb=9), Needs(memory_mb=5))
    assert full_config(train, stages)["training"]["rate"] == 0.2
    assert full_config(cluster, stages)["n_clusters"] == 4


def test_means_may_be_published_of_what_the_quick_variant_leaves_out():
    short = [{"name": "train", "cases": [{"name": "short"}]}]
    assert cells(published=PUBLISHED, quick=short, variant="quick")
    assert study(published=PUBLISHED).published[0].means == {"ncut": 10}


def test_steps_with_seeds_of_their_own_and_equal_grid_keys_are_told_apart():
    steps = [
        {"name": "train", "seeds": [0], "grid": {"training": {"epochs": [1, 2]}}},
        {"name": "cluster", "of": "train", "seeds": [5, 6], "grid": {"n_clusters": [2, 3]}},
        {"name": "other", "stage": "cluster", "of": "train", "grid": {"n_clusters": [4]}},
    ]
    found = cells(steps)
    names = [cell.name for cell in found]
    assert names[2] == "cluster: training.epochs=1, cluster.n_clusters=2, seed=0/5"
    assert names[-1] == "other: training.epochs=2, other.n_clusters=4, seed=0"
    assert (found[2].seed, found[2].root_seed) == (5, 0)


def test_runs_of_three_seeds_have_a_name_each():
    steps = [
        {"name": "train", "seeds": [0, 1]},
        {"name": "cluster", "of": "train", "seeds": [0, 1]},
        {"name": "lesion", "of": "cluster", "seeds": [0, 1]},
    ]
    found = [cell.name for cell in cells(steps) if cell.step == "lesion"]
    assert found[:4] == [
        "lesion: seed=0", "lesion: seed=0/0/1", "lesion: seed=0/1/0", "lesion: seed=0/1",
    ]  # fmt: skip
    assert len(set(found)) == 8


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ([], "steps=[]: a study needs some"),
        ([{"name": "train"}], "steps: train: it has no seeds"),
        ([{"name": "train", "seeds": [1, 1]}], "seeds=[1, 1]; expected a list of integers"),
        ([{"name": "train", "seeds": [2**32]}], "seeds=[4294967296]; expected a list of integers"),
        ([{"name": " ", "seeds": [0]}], "has no name"),
        ([{"name": "train", "seeds": [-1]}], "seeds=[-1]; expected a list of integers"),
        ([{"seeds": [0]}], "has no name"),
        ([{"name": "a", "stage": "trian", "seeds": [0]}], "stage='trian' (did you mean train?)"),
        ([{"name": "train", "seed": [0]}], "seed=[0]"),
        ([*STEPS, STEPS[1]], "steps: cluster: there are two of that name"),
        ([STEPS[0], {"name": "lesion", "of": "train"}], "lesion cannot read a run of train"),
        ([STEPS[0], {"name": "cluster", "of": "tarin"}], "of=tarin (did you mean train?)"),
        ([{**STEPS[0], "cases": [{"name": "a"}, {"name": "a"}]}], "two are called a"),
        ([{**STEPS[0], "cases": []}], "cases: there are none"),
        ([{**STEPS[0], "cases": [{"configs": ["long"]}]}], "name: None; expected a word"),
        ([{**STEPS[0], "config": {"epochs": 3}}], "steps: train: updates: epochs=3 is no key"),
        ([{**STEPS[0], "grid": {"training": {"epochs": []}}}], "training.epochs=[]; expected a"),
        ([STEPS[0], {**STEPS[1], "of": ["train", "train"]}], "two runs would be cluster: "),
        ([{**STEPS[0], "grid": {"training": {"epochs": 3}}}], "training.epochs=3; expected a list"),
        ([{**STEPS[0], "grid": {"training": {"epoch": [3]}}}], "epoch=3 is no key"),
        ([{**STEPS[0], "needs": {"gpu": -1}}], "needs: gpu=-1"),
        ([{**STEPS[0], "needs": {"memory_mb": 0}}], "needs: memory_mb=0"),
        ([{**STEPS[0], "needs": {"gpus": 1}}], "gpus=1 (did you mean gpu?)"),
        ([{**STEPS[0], "config": {"seed": 7}}], "seed=7 is not for a step"),
        ([{**STEPS[0], "grid": {"seed": [7, 8]}}], "seed=7 is not for a step"),
        ([{**STEPS[0], "config": {"reuse": False}}], "reuse=False is not for a step"),
        ([{**STEPS[0], "config": {"resume": 4}}], "resume=4 is not for a step"),
        ([STEPS[0], {**STEPS[1], "config": {"train_run": 7}}], "of says which runs are read"),
        ([{**STEPS[0], "cases": [{"name": "a\nb"}]}], "expected a word"),
        ([STEPS[0], {**STEPS[1], "grid": {"train": [1]}}], "train=1 is no key"),
        (
            [{**STEPS[0], "name": "phase", "stage": "train"}, {**STEPS[1], "of": "phase"}],
            "phase is a step and a key of a grid",
        ),
        ([STEPS[0], {**STEPS[1], "grid": {"n_clusters": [2, 2]}}], "each value of a grid once"),
    ],
)
def test_what_cannot_be_is_refused(change, told):
    with pytest.raises(InvalidInputError) as refused:
        cells(change)
    assert told in str(refused.value)


def test_published_means_of_a_nested_key_are_of_its_label():
    """A config file has no keys with dots."""
    steps = [{**STEPS[0], "grid": {"training": {"epochs": [1, 2]}}}]
    found = study(steps, published=[{"of": {"training": {"epochs": 2}}, "accuracy": 0.9}])
    assert found.published[0].of == {"training.epochs": 2}
    assert cells_of(found, made_up_stages())[-1].labels["training.epochs"] == 2


def test_published_means_of_labels_that_no_run_has_together_are_refused():
    steps = [
        STEPS[0],
        STEPS[1],
        {"name": "other", "stage": "cluster", "of": "train", "grid": {"n_clusters": [3]}},
    ]
    with pytest.raises(InvalidInputError, match="no run has all of phase=pruned, n_clusters=3"):
        cells(steps, published=[{"of": {"phase": "pruned", "n_clusters": 3}, "ncut": 1}])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"variant": "quick"}, "variant=quick: this study has none"),
        ({"variant": "fast"}, "variant=fast; expected full or quick"),
        ({"variant": "quick", "quick": [{"name": "trane"}]}, "'trane' is no step"),
        ({"variant": "quick", "quick": 3}, "quick: 3; expected a list"),
        ({"variant": "quick", "quick": [{"name": ["train"]}]}, "is no step"),
        ({"variant": "quick", "quick": [{"name": "train", "config": None}]}, "train: config: None"),
        (
            {"steps": [*STEPS, STEPS[1]], "variant": "quick", "quick": [{"name": "train"}]},
            "steps: cluster: there are two of that name",
        ),
        ({"title": 3}, "title: 3; expected a word"),
        ({"published": [{"of": {"train": ["long"]}, "ncut": 3}]}, "train=['long']; expected one"),
        ({"published": [{"of": {"train": "long"}, "ncut": float("nan")}]}, "ncut=nan; expected"),
        ({"published": [{"of": {}, "n_cut": 3}]}, "n_cut=3 (did you mean ncut?)"),
        (
            {"published": [{"of": {"phase": "prned"}}]},
            "phase='prned'; expected one of unpruned",
        ),
        ({"published": [{"of": {"phases": "pruned"}}]}, "expected labels: train, phase"),
        ({"published": [{"of": {}, "ncut": True}]}, "ncut=True; expected a number"),
        ({"published": [{"ncut": 3}]}, "published: of: None"),
        ({"published": [{"of": {}, "ncut": "3"}]}, "ncut='3'; expected a number"),
    ],
)
def test_what_cannot_be_beside_the_steps_is_refused(keys, told):
    with pytest.raises(InvalidInputError) as refused:
        cells(**keys)
    assert told in str(refused.value)
