"""The shuffle test as a user runs it: null models, resuming, stopping early, refusals."""

import copy

import numpy as np
import pytest
from sacred.arg_parser import get_config_updates

from experiments import shuffle_test
from experiments._partitions import clustering_config
from nn_clustering.errors import NnClusteringError
from nn_clustering.graphs import UnitGraph, normalise_units
from nn_clustering.partitions import make_partition, ncut
from nn_clustering.seeds import generator, integer_seed
from nn_clustering.significance import shuffle
from tests.experiments.conftest import DATABASE


@pytest.fixture
def tested(run_experiment, store):
    """Runs a shuffle test as a program; returns the stored run and the line that it printed."""

    def run(*arguments):
        finished = run_experiment("shuffle_test", "with", *arguments)
        assert finished.returncode == 0, finished.stderr
        printed = [line for line in finished.stdout.splitlines() if line.startswith("n-cut ")]
        return store.run(finished.run_id, experiment="shuffle_test"), printed[-1]

    return run


@pytest.fixture
def in_process(store, home, monkeypatch):
    """Runs a shuffle test in this process, untracked; returns its run."""
    monkeypatch.setenv("NN_CLUSTERING_HOME", str(home))
    monkeypatch.setenv("MONGO_DB", DATABASE)

    def run(*arguments):
        updates, named = get_config_updates(arguments)
        return shuffle_test.experiment.run(config_updates=updates, named_configs=named)

    return run


def shuffles_of(run):
    points = run.metric("shuffled_ncut")
    assert points["step"].tolist() == list(range(len(points)))
    return points["value"].tolist()


def clustered_like(store, clustered, **changes):
    """Store a run like another one, but for what it says: section__key=value."""
    document = copy.deepcopy(store.database["runs"].find_one({"_id": clustered.id}))
    document["_id"] = store.database["runs"].find_one(sort=[("_id", -1)])["_id"] + 1000
    document.pop("tracking", None)  # nothing of it is in any journal
    for key, value in changes.items():
        *sections, name = key.split("__")
        part = document
        for section in sections:
            part = part[section]
        part[name] = value
    store.database["runs"].insert_one(document)
    return document["_id"]


@pytest.fixture
def changed_clustering(runs, store):
    """Makes cluster runs that say something else; they are gone after the test."""
    made = []

    def make(**changes):
        made.append(clustered_like(store, runs["cluster"], **changes))
        return f"cluster_run={made[-1]}"

    yield make
    store.database["runs"].delete_many({"_id": {"$in": made}})


def test_two_null_models_of_one_network(tested, runs):
    """Numbers by hand from the stored graph; the second is told against the first."""
    clustered = runs["cluster"]
    cluster_run = f"cluster_run={clustered.id}"
    first, line = tested(cluster_run, "layer_nonzero", "n_shuffles=4", "seed=5", "n_workers=2")
    graph = UnitGraph.from_npz(clustered.artifact("graph.npz")).without_isolated()
    expected = []
    for index in range(4):
        shuffled = shuffle(graph, "layer_nonzero", generator(5, "shuffle", index))
        start = integer_seed(5, "shuffle clustering", index)
        partition = make_partition(
            shuffled, "spectral", clustered.config["n_clusters"], seed=start,
            **clustering_config(clustered)["kmeans"],
        )  # fmt: skip
        expected.append(ncut(shuffled, partition.labels))
    assert shuffles_of(first) == expected
    assert first.result["ncut"] == clustered.result["ncut"]
    assert first.result["shuffled_mean"] == np.mean(expected)
    assert first.result["n_shuffles"] == 4
    assert first.result["stopped_early"] is False
    assert line.endswith("of 4 shuffles")

    arguments = (cluster_run, "n_shuffles=9", f"against_run={first.id}")
    second, _ = tested(*arguments, "n_workers=1")
    assert second.lineage == {"cluster_run": clustered.id, "against_run": first.id}
    own = shuffles_of(second)
    # 8 and 3 degrees of freedom
    pooled = np.sqrt((8 * np.var(own, ddof=1) + 3 * np.var(expected, ddof=1)) / 11)
    found = second.result["cohens_d"]
    assert found == pytest.approx((np.mean(own) - np.mean(expected)) / pooled)
    assert second.result["cohens_d_of"] == (
        f"(mean of layer, this run - mean of layer_nonzero, run {first.id}) / pooled std"
    )
    # the studies' order, and the sign that they found for pruned networks: where the zeros are
    # makes a network more clusterable
    assert found > 0
    assert "null_distribution.png" in second.artifacts


def test_stops_early(in_process, changed_clustering, capsys):
    """No shuffle has a higher n-cut than 1000: the third that reaches it is the third."""
    cluster_run = changed_clustering(result__ncut=1000.0)
    run = in_process(cluster_run, "stop_early", "stop_early.stop_at=3", "n_workers=1")
    assert run.result["n_shuffles"] == 3
    assert run.result["stopped_early"] is True
    assert run.result["p_value"] == 1
    printed = capsys.readouterr().out
    assert "p = 1 of 3 shuffles, stopped early of 1000: 3 reached the network's n-cut" in printed


def over_seeds_of(run, capsys):
    lines = [line for line in capsys.readouterr().out.splitlines() if "clustering" in line]
    assert len(lines) == 1, lines
    return run.result["over_seeds"], lines[0]


def test_verdict_that_rests_on_the_clusterings_seed(in_process, changed_clustering, runs, capsys):
    """The same network: of two seeds' clusterings, no shuffle is as good as one, all as the other.

    Of 24 shuffles p is 0.04 or 1.
    """
    arguments = ["n_shuffles=24", "n_workers=1"]
    whole = runs["cluster"].result
    stability = {**whole["stability"], "n_seeds": 3, "ncuts": [0.5, 1000.0, 0.5]}
    run = in_process(changed_clustering(result__stability=stability), *arguments)
    mean, std = run.result["shuffled_mean"], run.result["shuffled_std"]
    found, line = over_seeds_of(run, capsys)
    assert found == {
        "n_seeds": 3,
        "p_smallest": 0.04,
        "p_largest": 1,
        "z_smallest": pytest.approx((0.5 - mean) / std),
        "z_largest": pytest.approx((1000 - mean) / std),
        "verdicts": ["more", "less"],
        "rests_on_seed": True,
    }
    assert line.endswith(
        "p = 0.04 to 1: FRAGILE, it rests on the seed whether the network is more clusterable or "
        + (
            "less clusterable"
            if run.result["verdict"] == "more"
            else "no different or less clusterable"
        )
    )

    # the other seeds agree, and the tested one is the odd one out
    changes = {"result__ncut": 1000.0, "result__stability__ncuts": [0.5, 0.5]}
    found, line = over_seeds_of(in_process(changed_clustering(**changes), *arguments), capsys)
    assert (found["p_smallest"], found["p_largest"], found["rests_on_seed"]) == (0.04, 0.04, True)

    changes = {"result__ncut": 1000.0, "result__stability__ncuts": [900.0, 800.0]}
    found, line = over_seeds_of(in_process(changed_clustering(**changes), *arguments), capsys)
    assert (found["p_smallest"], found["p_largest"], found["rests_on_seed"]) == (1, 1, False)
    assert line.endswith("p = 1 to 1: less clusterable with every seed")


def test_other_seeds_of_a_run_that_kept_their_extremes_alone(
    in_process, changed_clustering, runs, capsys
):
    stability = {**runs["cluster"].result["stability"], "ncut_min": 0.5, "ncut_max": 1000.0}
    del stability["ncuts"]
    arguments = [changed_clustering(result__stability=stability), "n_shuffles=24", "n_workers=1"]
    found, line = over_seeds_of(in_process(*arguments), capsys)
    assert (found["n_seeds"], found["p_smallest"], found["p_largest"]) == (5, 0.04, 1)
    assert line.startswith("5 other clustering seeds: ")


def test_without_other_seeds_it_cannot_be_told(in_process, changed_clustering, capsys):
    cluster_run = changed_clustering(result__stability=None)
    run = in_process(cluster_run, "fast", "n_workers=1")
    printed = capsys.readouterr().out
    (line,) = [line for line in printed.splitlines() if "clustering" in line]
    assert run.result["over_seeds"] is None
    assert "no p-value can be below 0.17, whatever the network; choose n_shuffles=19" in printed
    assert "cannot be told" in line
    assert "stability.n_seeds=5" in line


def test_other_seeds_of_the_pipelines_network(runs, pipeline):
    """By hand from what the clustering run keeps; five shuffles give no p below 1/6."""
    shuffles = np.array(shuffles_of(runs["shuffle_test"]))
    ncuts = runs["cluster"].result["stability"]["ncuts"]
    assert len(ncuts) == 5
    p_values = [(np.sum(shuffles <= value) + 1) / 6 for value in ncuts]
    z_scores = (np.array(ncuts) - shuffles.mean()) / shuffles.std(ddof=1)
    found = runs["shuffle_test"].result["over_seeds"]
    assert runs["pipeline"].result["over_seeds"] == found
    assert runs["shuffle_test"].result["verdict"] == "undecided"
    assert "19 shuffles or more, not stopped early, tell whether" in pipeline.stdout
    assert (found["p_smallest"], found["p_largest"]) == (min(p_values), max(p_values))
    assert found["z_smallest"] == pytest.approx(z_scores.min())
    assert found["z_largest"] == pytest.approx(z_scores.max())
    assert f"5 other clustering seeds: z = {z_scores.min():.2f} to" in pipeline.stdout


def test_verdict_that_rests_on_the_start_that_is_kept(in_process, changed_clustering, capsys):
    """As published the start of the lowest inertia is kept, in the network and in its shuffles.

    All other seeds agree on one whose n-cut no shuffle reaches, though there is a better start.
    """
    changes = {
        "config__kmeans": {"n_init": 4, "select": "inertia"},
        "result__ncut": 1000.0,
        "result__starts__ncut_min": 0.5,
        "result__stability__ncuts": [1000.0, 1000.0],
    }
    run = in_process(changed_clustering(**changes), "n_shuffles=24", "n_workers=1")
    assert run.result["p_value"] == 1
    assert run.result["over_seeds"]["rests_on_seed"] is False
    lowest = run.result["of_lowest_starts"]
    assert (lowest["ncut"], lowest["p_value"], lowest["rests_on_start"]) == (0.5, 0.04, True)
    assert lowest["shuffled_mean"] < run.result["shuffled_mean"]
    printed = capsys.readouterr().out
    assert (
        "p = 0.04: FRAGILE, it rests on the start that is kept (kmeans.select) whether the"
        in printed
    )
    assert "is more clusterable or less clusterable" in printed

    changes["result__starts__ncut_min"] = 900.0
    lowest = in_process(changed_clustering(**changes), "fast", "n_workers=1").result[
        "of_lowest_starts"
    ]
    assert (lowest["p_value"], lowest["rests_on_start"]) == (1, False)


def test_the_start_of_the_lowest_n_cut_is_the_one_kept_by_default(runs):
    assert runs["shuffle_test"].result["of_lowest_starts"] is None


def test_killed_test_of_two_starts_goes_on_to_the_same_end(
    in_process, changed_clustering, killed_run
):
    """The n-cuts of both starts are kept."""
    kmeans = {"n_init": 4, "select": "inertia"}
    arguments = [changed_clustering(config__kmeans=kmeans), "n_shuffles=12", "n_workers=1"]
    whole = in_process(*arguments)
    assert whole.result["of_lowest_starts"]["shuffled_mean"] < whole.result["shuffled_mean"]
    killed = killed_run("shuffle_test", *arguments, after=("point", "^shuffled_ncut$", 5))
    assert in_process(f"resume={killed.id}", "n_workers=1").result == whole.result


def test_shuffles_that_are_all_alike_have_no_z(in_process, changed_clustering, runs, capsys):
    """Every unit a cluster of its own: nothing that a shuffle does changes the n-cut."""
    graph = UnitGraph.from_npz(runs["cluster"].artifact("graph.npz")).without_isolated()
    cluster_run = changed_clustering(
        config__partition__method="random", config__n_clusters=graph.n_units
    )
    run = in_process(cluster_run, "n_shuffles=3", "layer_nonzero", "n_workers=1")
    assert run.result["z_score"] is None
    assert run.result["verdict"] == "undecided"
    assert run.result["over_seeds"]["z_largest"] is None
    printed = capsys.readouterr().out
    assert printed.count("z = undefined, p = ") == 2  # of its clustering, and of other seeds'


def test_published_divides_by_n(in_process, runs):
    """z of the studies is larger by the root of n / (n - 1)."""
    arguments = [f"cluster_run={runs['cluster'].id}", "n_shuffles=4", "n_workers=1"]
    ours = in_process(*arguments, "reconnect_last_layer=True").result
    theirs = in_process(*arguments, "published").result
    assert theirs["shuffled_mean"] == ours["shuffled_mean"]
    assert theirs["shuffled_std"] == pytest.approx(ours["shuffled_std"] * np.sqrt(3 / 4))
    assert theirs["z_score"] == pytest.approx(ours["z_score"] * np.sqrt(4 / 3))


def test_kernels_of_a_dense_network_are_its_matrices(in_process, runs):
    """Whether weights are shuffled in the network or in its graph."""
    arguments = (f"cluster_run={runs['cluster'].id}", "n_shuffles=2", "n_workers=1")
    by_kernels, by_norms = (in_process(*arguments, f"kernels={of}") for of in ("weights", "norms"))
    for figure in ("ncut", "shuffled_mean", "shuffled_std", "z_score", "p_value"):
        expected = pytest.approx(by_norms.result[figure], rel=1e-5)
        assert by_kernels.result[figure] == expected, figure
    assert by_norms.result["shuffled_std"] > 0


def test_shuffles_are_transformed_as_the_graph_was(
    in_process, changed_clustering, runs, store, tmp_path
):
    """Shuffled first, then each unit's weights scaled; by hand."""
    content = runs["cluster"].artifact("graph.npz")
    path = tmp_path / "untransformed_graph.npz"
    path.write_bytes(content)
    cluster_run = changed_clustering(config__graph__normalise_units=True)
    clustered = store.run(int(cluster_run.removeprefix("cluster_run=")))
    store.add_artifact(clustered.id, path)
    run = in_process(cluster_run, "n_shuffles=2", "n_workers=2")
    graph = UnitGraph.from_npz(content).without_isolated()
    expected = []
    for index in range(2):
        shuffled = normalise_units(shuffle(graph, "layer", generator(0, "shuffle", index)))
        partition = make_partition(
            shuffled,
            "spectral",
            clustered.config["n_clusters"],
            seed=integer_seed(0, "shuffle clustering", index),
            **clustering_config(clustered)["kmeans"],
        )
        expected.append(ncut(shuffled, partition.labels))
    assert run.result["shuffled_mean"] == pytest.approx(np.mean(expected), rel=1e-12)
    assert run.result["shuffled_std"] == pytest.approx(np.std(expected, ddof=1), rel=1e-9)


def test_every_unit_keeps_its_strength(in_process, runs):
    """A pruned network's shuffles, by hand from its stored graph."""
    clustered = runs["cluster"]
    run = in_process(f"cluster_run={clustered.id}", "layer_strength", "n_shuffles=3", "n_workers=2")
    graph = UnitGraph.from_npz(clustered.artifact("graph.npz")).without_isolated()
    expected = []
    for index in range(3):
        shuffled = shuffle(graph, "layer_strength", generator(0, "shuffle", index))
        np.testing.assert_allclose(shuffled.degrees, graph.degrees, rtol=1e-5)
        partition = make_partition(
            shuffled, "spectral", clustered.config["n_clusters"],
            seed=integer_seed(0, "shuffle clustering", index),
            **clustering_config(clustered)["kmeans"],
        )  # fmt: skip
        expected.append(ncut(shuffled, partition.labels))
    assert run.result["shuffled_mean"] == np.mean(expected)
    assert run.result["shuffled_std"] == pytest.approx(np.std(expected, ddof=1), rel=1e-9)


def test_fresh_networks_of_the_trainings_own_initialiser(tested, runs):
    """Each is as dense as no pruned network is; they are told apart by their seeds."""
    run, line = tested(
        f"cluster_run={runs['cluster'].id}", "fresh_initialisation", "n_shuffles=3", "n_workers=2"
    )
    values = shuffles_of(run)
    assert len(set(values)) == 3
    assert run.result["shuffled_mean"] == np.mean(values)
    # no weight of a fresh network is 0: its clusters are worse than the pruned one's
    assert min(values) > run.result["ncut"]
    assert line.endswith("of 3 fresh networks")
    assert "fresh networks" in line


def test_killed_test_goes_on_to_the_same_end(tested, in_process, runs, store, killed_run):
    """Bit for bit as the one that nobody killed, whatever the number of workers."""
    arguments = [f"cluster_run={runs['cluster'].id}", "n_shuffles=30", "seed=9"]
    whole, _ = tested(*arguments, "tags=whole", "n_workers=2")
    after = ("point", "^shuffled_ncut$", 5)
    killed = killed_run("shuffle_test", *arguments, "reuse=False", "n_workers=1", after=after)
    resumed, line = tested(f"resume={killed.id}", "n_workers=2")
    n_known = len(store.run(killed.id, status="DIED").metric("shuffled_ncut"))
    assert n_known == 5
    assert resumed.id not in (killed.id, whole.id)
    assert resumed.lineage == {"resume": killed.id, "cluster_run": runs["cluster"].id}
    assert resumed.result == whole.result
    assert shuffles_of(resumed) == shuffles_of(whole)
    assert line.endswith("of 30 shuffles")

    assert_refused(in_process, [f"resume={killed.id}", "n_shuffles=7"], ["n_shuffles=7", "30"])
    assert_refused(in_process, [f"resume={whole.id}"], [f"resume={whole.id}", "COMPLETED"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["cluster_run=None"]),
        (["method=rows"], ["method='rows'", "layer_nonzero", "fresh_initialisation"]),
        (["n_shuffles=1"], ["n_shuffles=1", "no p-value below 1 / (n + 1)"]),
        (["kernels=entries"], ["kernels='entries'", "norms or weights"]),
        (["kernels", "rewiring"], ["kernels=weights with method=rewiring", "kernels=norms"]),
        (["layer_nonzero", "rewiring"], ["layer_nonzero and rewiring both set method"]),
        (["stop_early", "stop_early.stop_at=1"], ["stop_at=1", "2 to n_shuffles=1000"]),
        (["stop_early.enabled=True", "n_shuffles=9"], ["stop_at=10", "2 to n_shuffles=9"]),
        (["resume=latest"], ["resume=latest", "the number of one"]),
        (["resume=99999"], ["resume=99999", "no run 99999"]),
    ],
)
def test_settings_are_refused(in_process, arguments, expected):
    assert_refused(in_process, arguments, expected)


def assert_refused(in_process, arguments, expected):
    with pytest.raises(NnClusteringError) as refusal:
        in_process(*arguments)
    message = str(refusal.value)
    assert "\n" not in message
    for text in expected:
        assert text in message


@pytest.mark.parametrize(
    ("changes", "arguments", "expected"),
    [
        ({"config__partition__local": True}, [], ["partition.local=True", "partition.local=False"]),
        ({"config__partition__method": "file"}, [], ["a partition from a file", "method=spectral"]),
        ({"config__partition__method": "per_layer"}, [], ["per_layer", "the same n-cut"]),
        ({}, ["all_edges"], ["graph.source=weights", "method=all_edges", "method=layer"]),
        (
            {"config__graph__source": "activations"},
            ["fresh_initialisation"],
            ["graph.source=activations, with method=fresh_initialisation", "graph of weights"],
        ),
        (
            {"config__graph__source": "gradients"},
            ["kernels"],
            ["graph.source=gradients, with kernels=weights", "kernels=norms"],
        ),
        ({"config__graph__source": "activations"}, ["all_edges"], ["no weights between"]),
        ({"config__graph__commute_time": True}, [], ["has no artifact 'untransformed_graph.npz'"]),
    ],
)
def test_null_model_that_does_not_fit_is_refused(
    in_process, changed_clustering, changes, arguments, expected
):
    assert_refused(in_process, [changed_clustering(**changes), *arguments], expected)


def test_other_null_model_must_be_of_the_same_clustering(in_process, changed_clustering, runs):
    other = f"against_run={runs['shuffle_test'].id}"
    expected = [other, f"tests cluster run {runs['cluster'].id}", "another null model"]
    assert_refused(in_process, [changed_clustering(), other], expected)


def test_network_from_a_file_has_no_initialiser(run_experiment, store, runs, tmp_path, in_process):
    """Nor has a graph without edges to move anything to rewire."""
    path = tmp_path / "dense.keras"
    path.write_bytes(runs["train"].artifact("unpruned.keras"))
    finished = run_experiment("cluster", "with", f"model={path}", "fast", "stability.n_seeds=0")
    assert finished.returncode == 0, finished.stderr
    cluster_run = f"cluster_run={finished.run_id}"
    expected = ["method=fresh_initialisation", "from a file", "method=layer"]
    assert_refused(in_process, [cluster_run, "fresh_initialisation"], expected)
    assert_refused(in_process, [cluster_run, "rewiring"], ["no edge can be moved", "method=layer"])
