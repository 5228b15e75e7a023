"""Runs are found, sorted and tabled by what they are about, by the keys of a config."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from nn_clustering.tracking.command_line.main import main
from nn_clustering.tracking.indexes import ensure_indexes
from nn_clustering.tracking.store.about import common, give_about, overlaid

MNIST = {"dataset": {"name": "mnist", "seed": 42}, "training_seed": 3}
DIGITS = {"dataset": {"name": "digits", "seed": 42}, "training_seed": 3}


def info(about=None, **lineage):
    noted = {"lineage": lineage} if lineage else {}
    return {**noted, "about": about} if about is not None else noted


@pytest.fixture
def studied(store, add_run):
    """A training and a clustering of each of two data sets, and a lesion on another set."""
    for first, about in ((1, MNIST), (4, DIGITS)):
        add_run(first, config={"dataset": about["dataset"], "seed": 3}, info=info(about))
        clustering = {"dataset": {"name": None}, "seed": 5}
        add_run(
            first + 1, "cluster", config=clustering, info=info(about, train_run=first),
            result={"ncut": 10 - first},
        )  # fmt: skip
    lesion = {"dataset": {"name": "mnist"}, "seed": 0}
    add_run(6, "lesion", config=lesion, info=info(DIGITS, cluster_run=5))
    return store


def test_runs_are_found_by_what_they_are_about(studied):
    assert studied.find(config={"dataset.name": "mnist"}).ids == [6, 2, 1]
    assert studied.find(config={"dataset": {"name": "digits", "seed": 42}}).ids == [5, 4]
    assert studied.find(config={"training_seed": (">", 2, "<", 4)}).ids == [6, 5, 4, 2, 1]
    assert studied.count(experiment="cluster", config={"dataset.name": ("!=", "mnist")}) == 1


def test_own_config_comes_first(studied):
    assert studied.find(config={"dataset.name": "digits"}).ids == [5, 4]  # not the lesion
    assert studied.find(config={"seed": 3}).ids == [4, 1]


def test_null_is_asked_of_the_own_config_alone(studied):
    assert studied.find(config={"dataset.name": None}).ids == [5, 2]
    assert studied.find(config={"dataset.name": ("!=", None)}).ids == [6, 5, 4, 2, 1]


def test_tables_show_what_runs_are_about(studied):
    table = studied.find(experiment="cluster").table()
    assert table["config.dataset.name"].to_dict() == {5: "digits", 2: "mnist"}
    differences = studied.compare([2, 5])
    assert differences.loc["config.dataset.name"].to_list() == ["mnist", "digits"]


@pytest.fixture
def typed(studied, server, home, monkeypatch, capsys):
    """Types a command; returns its exit status and what it prints."""
    monkeypatch.setenv("MONGO_URL", server.url)
    monkeypatch.setenv("MONGO_DB", server.database)
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))

    def typed(*arguments):
        status = main(list(arguments))
        return status, "".join(capsys.readouterr())

    return typed


def test_list_finds_sorts_and_shows_by_it(typed):
    command = ("list", "--experiment", "cluster", "--columns", "dataset.name,ncut")
    status, text = typed(*command, "--config", "dataset.name=mnist")
    assert (status, text.split()[-3:]) == (0, ["2", "mnist", "9"])
    status, text = typed(*command, "--sort", "dataset.name", "--reverse")
    assert [line.split()[1] for line in text.splitlines()[1:]] == ["mnist", "digits"]


def test_show_says_it(typed):
    _, text = typed("show", "2")
    section = text.partition("\nabout\n")[2]
    assert section.split()[:2] == ["dataset.name", "mnist"]


def test_sorting_by_what_is_not_there_says_what_is(typed):
    status, text = typed("list", "--experiment", "cluster", "--sort", "dataset")
    assert status != 0
    columns = text.partition("expected ")[2]
    for part in ("start_time", "of the result: ncut", "dataset.name", "dataset.seed", "seed"):
        assert part in columns
    assert "..." not in columns


def test_sorting_no_runs_says_that_there_are_none(typed):
    status, text = typed("list", "--experiment", "clusters", "--sort", "ncut")
    assert status == 1
    assert "did you mean cluster?" in text


def test_what_is_read_in_common_is_inherited():
    assert common([MNIST, MNIST]) == MNIST
    assert common([MNIST, DIGITS]) == {"dataset": {"seed": 42}, "training_seed": 3}
    assert common([MNIST, {}, {"network": "mlp"}]) == {**MNIST, "network": "mlp"}
    assert common([]) == {}
    # A group that one of them has less of: what that one lacks is not said of both.
    assert common([MNIST, {"dataset": {"name": "mnist"}}])["dataset"] == {"name": "mnist"}


def test_own_facts_lie_on_top_and_none_says_nothing():
    own = {"dataset": {"name": "fashion", "seed": None}, "training_seed": None, "layers": (1, 2)}
    assert overlaid(MNIST, own) == {
        "dataset": {"name": "fashion", "seed": 42}, "training_seed": 3, "layers": [1, 2],
    }  # fmt: skip
    assert overlaid({}, {"dataset": {"name": None}}) == {}


def describe_training(config, noted):
    return {"dataset": config["dataset"]}


def test_runs_of_a_former_version_get_it(store, add_run, database):
    add_run(1, config={"dataset": {"name": "mnist"}}, info={})
    add_run(2, "cluster", config={"dataset": {"name": None}}, info=info(train_run=1))
    add_run(3, "lesion", info=info(cluster_run=2))
    add_run(4, "foreign", config={"dataset": "mnist"}, info=info(train_run=1))
    add_run(5, "cluster", config={}, info=info(train_run=1), status="RUNNING")
    add_run(6, "cluster", config=[1], info="text")
    before = list(database["runs"].find({"_id": {"$gt": 3}}))
    project = {"train": describe_training, **dict.fromkeys(("cluster", "lesion"), lambda *_: {})}
    assert store.count(config={"dataset.name": "mnist"}) == 1
    assert give_about(database, project) == 3
    assert give_about(database, project) == 0
    assert list(database["runs"].find({"_id": {"$gt": 3}})) == before
    assert store.find(config={"dataset.name": "mnist"}).ids == [3, 2, 1]


def test_what_another_gave_meanwhile_stays(add_run, database):
    add_run(1, config={"dataset": {"name": "mnist"}}, info={})

    def describe(config, noted):
        database["runs"].update_one({"_id": 1}, {"$set": {"info.about": {"dataset": "theirs"}}})
        return {"dataset": config["dataset"]}

    assert give_about(database, {"train": describe}) == 0
    assert database["runs"].find_one()["info"]["about"] == {"dataset": "theirs"}


def test_runs_that_have_it_are_not_read_again(store, add_run, database):
    ensure_indexes(database)
    for number in range(50):
        add_run(number, "cluster", info=info(MNIST))
    plan = database["runs"].find({"info.about": None, "experiment.name": {"$in": ["cluster"]}})
    assert plan.explain()["executionStats"]["totalDocsExamined"] == 0


NAMES = st.sampled_from(["mnist", "digits", 1, 2.5, None])
SEEDS = st.one_of(st.none(), st.integers(0, 3))
GROUPS = st.fixed_dictionaries({}, optional={"name": NAMES, "seed": SEEDS})
FACTS = st.fixed_dictionaries({}, optional={"dataset": GROUPS, "seed": SEEDS})
SAID = FACTS.map(lambda facts: overlaid({}, facts))  # without None, as it is stored
CONDITIONS = {
    "equal": lambda value, wanted: value == wanted,
    "differs": lambda value, wanted: value != wanted,
    "below": lambda value, wanted: (
        isinstance(value, (int, float)) and isinstance(wanted, (int, float)) and value < wanted
    ),
}
OPERATORS = {"equal": "==", "differs": "!=", "below": "<"}


def effective(config, about, key):
    """The values of a key: the config's own, else the one of what the run is about; or none."""
    said = []
    group, _, name = key.rpartition(".")
    for facts in (config, about):
        inner = facts.get(group, {}) if group else facts
        said += [inner[name]] if name in inner else []
    return next(([value] for value in said if value is not None), said[:1])


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    documents=st.lists(st.tuples(FACTS, SAID), min_size=1, max_size=6),
    key=st.sampled_from(["dataset.name", "dataset.seed", "seed"]),
    condition=st.sampled_from(sorted(CONDITIONS)),
    wanted=st.sampled_from(["mnist", "digits", 1, 2, 0]),
)
def test_filter_is_the_one_that_plain_python_makes(store, documents, key, condition, wanted):
    if condition == "below" and isinstance(wanted, str):
        wanted = 2
    store.database["runs"].delete_many({})
    store.database["runs"].insert_many(
        {"_id": number, "config": config, "info": {"about": about}}
        for number, (config, about) in enumerate(documents)
    )
    expected = [
        number
        for number, (config, about) in enumerate(documents)
        if any(CONDITIONS[condition](value, wanted) for value in effective(config, about, key))
    ]
    assert sorted(store.find(config={key: (OPERATORS[condition], wanted)}).ids) == expected
