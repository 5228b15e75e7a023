"""Networks that differ in any setting are two rows of the table; in seeds and how they ran, one."""

import copy
import uuid

import pytest
from sacred.utils import iterate_flattened, set_by_dotted_path

from experiments import cluster, lesion, train, visualise
from nn_clustering.reports import LESIONS, VISUALISATIONS, studied_network, table_of_networks
from nn_clustering.tracking import RunStore, Server, connect
from tests.experiments.stored_studies import StoredStudy

STAGES = {"train": train, "cluster": cluster, "lesion": lesion, "visualise": visualise}
TESTS = {"lesion": LESIONS, "visualise": VISUALISATIONS}
DEFAULTS = {
    name: dict(iterate_flattened(dict(stage.experiment.defaults))) for name, stage in STAGES.items()
}
# What makes no other condition: seeds and links to other runs (the phase that a run clustered is
# noted with it, and a file is known by its content),
SEEDS_AND_LINKS = {
    "train": {"seed", "resume"},
    "cluster": {"seed", "train_run", "model", "phase"},
    "lesion": {"seed", "resume", "cluster_run"},
    "visualise": {"seed", "resume", "cluster_run"},
}
# how a stage ran,
HOW_IT_RAN = {
    "train": {"n_threads", "reuse", "tags", "n_repeats", "n_workers", "training.checkpoint_every"},
    "cluster": {"n_threads", "reuse", "tags"},
    "lesion": {"n_threads", "reuse", "tags", "memory_mb"},
    "visualise": {"n_threads", "reuse", "tags", "memory_mb"},
}
# what is done to pixels, which of a network that was trained here its training says,
PIXELS = {
    **{stage: {"preprocessing"} for stage in ("cluster", "lesion", "visualise")},
    "train": set(),
}
# and what it found out, or kept, besides, which changes nothing of the test.
BESIDES = {
    "train": (),
    "cluster": ("stability.",),
    "lesion": ("double.", "heads", "single_units"),
    "visualise": ("random_inputs",),
}
CASES = [(stage, key) for stage, keys in DEFAULTS.items() for key in keys]


def another(value):
    """A value of the same type that is not this one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [*value, 7]
    return f"not {value}"


def makes_a_condition(stage, key):
    left_out = SEEDS_AND_LINKS[stage] | HOW_IT_RAN[stage] | PIXELS[stage]
    return not (key in left_out or key.startswith(BESIDES[stage]))


class Networks:
    """Tested networks in a database: the first, and others that differ from it as is asked."""

    def __init__(self, database, home):
        self.store = RunStore(database, home)
        study = StoredStudy(database)
        ids = {"train": study.add("train", {"seed": 5})}
        config = {"seed": 5, "train_run": ids["train"]}
        ids["cluster"] = study.add("cluster", config, train_run=ids["train"], phase="unpruned")
        for test, add in (("lesion", study.lesion), ("visualise", study.visualise)):
            ids[test] = add(test, {"seed": 5, "cluster_run": ids["cluster"]}, ids["cluster"])
        self.runs = database["runs"]
        self.first = {stage: self.runs.find_one({"_id": ids[stage]}) for stage in STAGES}
        self.n_runs = max(ids.values())

    def read(self, documents, test="lesion"):
        run = self.store.run(documents[test]["_id"], experiment=test)
        return studied_network(self.store, run, TESTS[test])

    def like_the_first(self, change=lambda documents: None, test="lesion"):
        """Store and read a network like it with another seed, its documents changed further."""
        documents = copy.deepcopy(self.first)
        for document in documents.values():
            self.n_runs += 1
            document["_id"] = self.n_runs
            document["config"]["seed"] = 2
        for stage, link in (("cluster", "train"), *((test, "cluster") for test in TESTS)):
            linked = documents[link]["_id"]
            documents[stage]["config"][f"{link}_run"] = linked
            documents[stage]["info"]["lineage"][f"{link}_run"] = linked
        change(documents)
        self.runs.insert_many(documents.values())
        return self.read(documents, test)

    def conditions(self, *others):
        one = self.read(self.first, others[0].test.stage)
        table = table_of_networks([one, *others], n_resamples=9)
        return table.rows["condition"].tolist()


@pytest.fixture(scope="module")
def networks(embedded_server, home):
    database = connect(Server(embedded_server.url, f"test_{uuid.uuid4().hex}", embedded=True))
    yield Networks(database, home)
    database.client.drop_database(database.name)
    database.client.close()


@pytest.mark.parametrize("test", TESTS)
def test_networks_of_two_seeds_are_one_condition(networks, test):
    assert networks.conditions(networks.like_the_first(test=test)) == ["digits mlp"]


@pytest.mark.parametrize(("stage", "key"), CASES, ids=[f"{stage}.{key}" for stage, key in CASES])
def test_condition(networks, stage, key):
    value = another(DEFAULTS[stage][key])

    def change(documents):
        set_by_dotted_path(documents[stage]["config"], key, value)

    test = stage if stage in TESTS else "lesion"
    rows = networks.conditions(networks.like_the_first(change, test))
    if not makes_a_condition(stage, key):
        assert len(rows) == 1
        return
    assert len(rows) == 2
    # each says what it is by what tells it apart
    assert rows[0] != rows[1]
    assert str(value) in rows[1]


@pytest.mark.parametrize("phase", ["pruned", "untrained"])
def test_phases_are_conditions(networks, phase):
    """As the run notes it: the config of a clustering can leave the phase open."""
    rows = networks.conditions(
        networks.like_the_first(lambda documents: documents["cluster"]["info"].update(phase=phase))
    )
    assert rows == ["digits mlp, phase=unpruned", f"digits mlp, phase={phase}"]


def test_dropout_is_a_condition_of_its_own_beside_others(networks):
    """With and without, at two numbers of clusters: four rows, of two networks each."""
    others = []
    for dropout in (False, True):
        for n_clusters in (16, 12):

            def change(documents, dropout=dropout, n_clusters=n_clusters):
                documents["train"]["config"]["network"]["dropout"] = dropout
                documents["cluster"]["config"]["n_clusters"] = n_clusters

            others.append(networks.like_the_first(change))
    assert networks.conditions(*others[1:]) == [
        "digits mlp, dropout=False, n_clusters=16",
        "digits mlp, dropout=False, n_clusters=12",
        "digits mlp, dropout=True, n_clusters=16",
        "digits mlp, dropout=True, n_clusters=12",
    ]


@pytest.mark.parametrize(
    ("stage", "key", "before", "same"),
    [
        ("train", "clusterability_gradient.norm_by_threshold", False, True),
        ("train", "clusterability_gradient.norm_by_threshold", True, False),
        ("cluster", "graph.isolated_below", 0.0, True),
        ("cluster", "graph.isolated_below", 1e-8, False),
        ("cluster", "partition.volume_constant", 1e-8, True),
        ("cluster", "partition.volume_constant", 0.0, False),
    ],
)
def test_run_without_a_newer_key_did_what_runs_did_before(networks, stage, key, before, same):
    section, name = key.split(".")

    def without(documents):
        del documents[stage]["config"][section][name]

    def with_value(documents):
        documents[stage]["config"][section][name] = before
        documents["train"]["config"]["seed"] = 3

    pair = [networks.like_the_first(change) for change in (without, with_value)]
    conditions = table_of_networks(pair, n_resamples=9).rows["condition"]
    assert len(conditions) == (1 if same else 2)


def test_every_exception_is_a_key():
    for stage, keys in DEFAULTS.items():
        assert SEEDS_AND_LINKS[stage] | HOW_IT_RAN[stage] <= set(keys)
        for beginning in BESIDES[stage]:
            assert any(key.startswith(beginning) for key in keys)
