"""Every kind of wrong command line, of every stage: one clear line, no run, nothing written."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from nn_clustering.machine import most_workers
from nn_clustering.tracking.stages.program import SERVER_AWAY
from tests.experiments import own_data_files
from tests.experiments.conftest import DATABASE
from tests.programs import PROJECT, WarmProcess, environment
from tests.wrong_command_lines import Line, everything_in, lines_of

# How long a line may take: long enough for a loaded machine, short of a training.
SECONDS = 120

# What stands in the folder of every line.
FILES = {
    "empty.yaml": b"",
    "comments.yaml": b"# nothing but this\n",
    "empty.json": b"",
    "null.yaml": b"null\n",
    "list.yaml": b"- seed\n- 1\n",
    "words.yaml": b"just words\n",
    "tabs.yaml": b"training:\n\tepochs: 3\n",
    "twice.yaml": b"training: {epochs: 3, epochs: 4}\n",
    "twice.json": b'{"seed": 1, "seed": 2}',
    "quotes.json": b"{'seed': 1}",
    "latin.yaml": b"seed: 1 # caf\xe9\n",
    "zeros.yaml": b"\x00\x00\x00",
    "numbers.yaml": b"1: 2\n",
    "dotted.yaml": b"training.epochs: 3\n",
    "python.yaml": b"seed: !!python/object/apply:os.getcwd []\n",
    "open.yaml": b"training: {epochs: [1, 2\n",
    "two.yaml": b"seed: 1\n---\nseed: 2\n",
    "itself.yaml": b"training: &all {epochs: 1, more: *all}\n",
    "type.yaml": b"training: {epochs: many}\n",
    "key.yaml": b"training: {epoch: 3}\n",
    "group.yaml": b"training: 3\n",
    "seed.yaml": b"seed: -1\n",
    "date.yaml": b"seed: 2026-01-01\n",
    "nan.yaml": b"training: {learning_rate: .nan}\n",
    "huge.yaml": b"training: {epochs: 99999999999999999999999}\n",
    "tags.yaml": b"tags: [1, 2]\n",
    "mlp.yaml": b"network: {kind: mlp}\n",
    "cnn.yaml": b"network: {kind: cnn}\n",
    "notes.txt": b"seed: 1\n",
    "own_study.yaml": b"steps: [{name: cluster, grid: {stability.n_seeds: [0, 3]}}]\n",
    "config.pickle": b"\x80\x04N.",
    "folder/file": b"",
    "my.py": b"""
import keras
number = 3
def three(input_shape, n_outputs): return 3
def unlucky(input_shape, n_outputs): raise RuntimeError("no luck")
def needy(input_shape, n_outputs, depth): return 3
def flat(input_shape, n_outputs):
    return keras.Sequential([keras.Input((5,)), keras.layers.Dense(n_outputs)])
def wide(input_shape, n_outputs):
    layers = [keras.layers.Flatten(), keras.layers.Dense(n_outputs + 1)]
    return keras.Sequential([keras.Input(input_shape), *layers])
""",
    "unfinished.py": b"def net(:\n",
    "lacking.py": b"import nothing_of_the_kind\ndef net(input_shape, n_outputs): pass\n",
    "columns.csv": b"a,b,c\n1,2,3\n",
    "empty.csv": b"",
    "header.csv": b"layer,unit,label\n",
    "layer.csv": b"layer,unit,label\nnothing,0,1\n",
    "unit.csv": b"layer,unit,label\ninput,first,1\n",
    "binary.csv": b"\xff\xfe\x00",
    "damaged.npz": b"PK\x03\x04 nothing of use",
    "damaged.keras": b"PK\x03\x04 nothing of use",
    "empty.keras": b"",
    "gpt3/config.json": b'{"model_type": "gpt3"}',
    "pickled/config.json": b"""{"model_type": "gpt2", "n_embd": 8, "n_head": 2, "n_layer": 1,
        "n_positions": 4, "vocab_size": 9}""",
    "pickled/pytorch_model.bin": b"\x80\x04N.",
    **own_data_files.FILES,
}

STAGES = (
    "train", "cluster", "shuffle_test", "lesion", "visualise", "pipeline", "study",
    "report",
    "agreement", "choose_k",
    "random_init", "lesion_table", "visualisation_table",
)  # fmt: skip


def _step(*expected, **changes):
    """A study's line with two steps, right but for the changes of the first."""
    first = {"name": "train", "configs": ["fast"], "seeds": [0], **changes}
    second = {"name": "cluster", "of": "train", "config": {"n_clusters": 2}}
    return Line("study", ("with", f"steps={[first, second]!r}"), expected)


def _last_step(*expected, **changes):
    """A study's line with two steps, right but for the changes of the second."""
    first = {"name": "train", "configs": ["fast"], "seeds": [0]}
    second = {"name": "cluster", "of": "train", "config": {"n_clusters": 2}, **changes}
    return Line("study", ("with", f"steps={[first, second]!r}"), expected)


STUDIES = [
    _step("has no name", name=""),
    _step("train: configs: 3", "a word", configs=[3]),
    _step("train", "'mpl'", "did you mean mlp?", configs=["mpl"]),
    _step("mlp and cnn both set network.kind", configs=["mlp", "cnn"]),
    _step("training.epoch", "did you mean training.epochs", config={"training": {"epoch": 3}}),
    _step("training.epochs='a'", config={"training": {"epochs": "a"}}),
    _step("pruning.enabled=True", "only", configs=["untrained", "pruned"]),
    _step("8 x 8", "32 x 32", configs=["vgg", "digits"]),
    _step("seeds=0", "a list of integers", seeds=0),
    _step("seeds=[]", "a list of integers", seeds=[]),
    _step("seeds=[-1]", "from 0 to 4294967295", seeds=[-1]),
    _step("seeds=[True]", "a list of integers", seeds=[True]),
    _step("seeds=[0, 0]", "each once", seeds=[0, 0]),
    _step("it has no seeds", seeds=None),
    _step("stage='trian'", "did you mean train?", stage="trian"),
    _step("publishd={}", publishd={}),
    _last_step("of=tarin", "did you mean train?", of="tarin"),
    _last_step("shuffle_test cannot read a run of train", stage="shuffle_test"),
    _last_step("n_clusters=1", "2", config={"n_clusters": 1}),
    _last_step("grid: n_clusters=3", "a list of values", grid={"n_clusters": 3}),
    _last_step("n_cluster", "did you mean n_clusters", grid={"n_cluster": [3]}),
    _last_step("phase=prund", "unpruned", grid={"phase": ["prund"]}),
    _last_step("cluster: seed=0: it reads no run", "of: [train]", of=[], seeds=[0]),
    _last_step("needs: gpu=-1", "an integer from 0", needs={"gpu": -1}),
    _last_step("needs 10", "TB of memory", "less in `needs`", needs={"memory_mb": 10**8}),
    _last_step("train_run=3 is not for a step", config={"train_run": 3}),
    *(
        Line("study", ("with", "fast", f"published={published!r}"), expected)
        for published, *expected in (
            ([3], "published: 3"),
            ([{"of": {}, "acuracy": 1}], "did you mean accuracy?"),
            ([{"of": {}, "accuracy": "1"}], "accuracy='1'", "a number"),
            ([{"of": {"train": "MLB"}, "accuracy": 1}], "train='MLB'", "MLP"),
        )
    ),
]


def _own_config(stage, command, content, *expected):
    """A line with a named config, or a default, of the user's own."""
    of_stage, _, words = command.partition(" with ")
    path = f"configs/{stage}.yaml"
    return Line(of_stage, ("with", words), (path, *expected), files={path: content.encode()})


OWN_CONFIGS = [
    _own_config(f"{of_stage}/{name}", f"{stage} with {used}", content, *expected)
    for of_stage, name, stage, used, content, *expected in (
        ("train", "mine", "train", "mine", "training: {epochs: many}", "epochs='many'"),
        ("train", "mine", "train", "mine", "training: {epochs: 0}", "training.epochs=0"),
        ("train", "mine", "train", "mine", "training: {epoch: 3}", "mean training.epochs"),
        ("train", "mine", "train", "mine", "seed: -1", "seed=-1", "from 0 to 4294967295"),
        ("train", "mine", "train", "mine", "tags: 3", "tags=3", "in quotes"),
        ("train", "mine", "train", "mine", "n_repeats: 0", "n_repeats=0", "from 1"),
        ("train", "mine", "train", "mine", "", "mine sets nothing"),
        ("train", "mine", "train", "mine", "training.epochs: 3", "training: {epochs: VALUE}"),
        ("train", "mine", "train", "mine", "seed: 1\nseed: 2", "seed is there twice"),
        ("train", "mine", "train", "mine", "- 1", "holds a list"),
        ("train", "other", "train", "fast", "- 1", "holds a list"),
        ("train", "default", "train", "fast", "seed: -1", "seed=-1"),
        ("train", "default", "train", "fast", "trainin: {epochs: 1}", "trainin.epochs"),
        ("train", "mine", "pipeline", "mine", "seed: 1", "train.seed=1", "no such key"),
        ("lesion", "mine", "pipeline", "mine", "n_shuffles: 0", "lesion.n_shuffles=0"),
        ("lesion", "mine", "pipeline", "mine", "n_shuffles: a", "lesion.n_shuffles='a'"),
    )
]

OPTIONS = [
    Line("train", tuple(words.split()), tuple(expected))
    for words, *expected in (
        ("trian", "trian is no command", "did you mean train?"),
        ("mlp", "with mlp"),
        ("training.epochs=3", "with training.epochs=3"),
        ("--nonsense", "--nonsense is no command line"),
        ("print_config with training.epoch=3", "did you mean training.epochs"),
        ("print_config with empty.yaml", "empty.yaml sets no config key"),
        ("-b 0 with fast", "-b 0: expected seconds above 0"),
        ("-b nan with fast", "-b nan: expected seconds above 0"),
        ("-i 7 with fast", "leave out -i"),
        ("-m x with fast", "MONGO_URL"),
        ("-q with fast", "leave them out"),
        ("-C all with fast", "no, sys or fd"),
        ("-l LOUD with fast", "DEBUG, INFO"),
        ("-F /proc/nowhere with fast", "-F /proc/nowhere", "can be written to"),
        ("-F notes.txt with fast", "-F notes.txt", "can be written to"),
        ("-s nowhere with fast", "--sql=nowhere", "leave it out"),
        ("-S nowhere with fast", "--s3=nowhere", "leave it out"),
    )
] + [
    Line("pipeline", ("-u", "with", "fast"), ("without -u",)),
    Line("study", ("-u", "with", "fast"), ("without -u",)),
]

ENVIRONMENTS = [
    Line("cluster", ("with", "train_run={train}"), tuple(expected), environ={name: value})
    for name, value, *expected in (
        ("MONGO_URL", "nonsense", "MONGO_URL", "mongodb://"),
        ("MONGO_URL", "http://127.0.0.1", "MONGO_URL", "mongodb://"),
        ("MONGO_URL", "mongodb://127.0.0.1:1", "MONGO_URL", "127.0.0.1:1"),
        ("MONGO_URL", "mongodb://127.0.0.1:port", "MONGO_URL"),
        ("MONGO_URL_FILE", "nowhere", "MONGO_URL_FILE='nowhere'"),
        ("MONGO_URL_FILE", "empty.yaml", "MONGO_URL_FILE='empty.yaml'", "it is empty"),
        ("NN_CLUSTERING_JOURNAL_MB", "lots", "NN_CLUSTERING_JOURNAL_MB"),
        ("MONGO_DB", "a b", "MONGO_DB"),
        ("MONGO_DB", "a/b", "MONGO_DB"),
        ("NN_CLUSTERING_HOME", "/proc/nowhere", "NN_CLUSTERING_HOME"),
        ("NN_CLUSTERING_HOME", "notes.txt", "NN_CLUSTERING_HOME"),
    )
]

LINES = [
    *lines_of(Path(__file__).with_name("wrong_command_lines.txt")),
    *STUDIES,
    *OWN_CONFIGS,
    *OPTIONS,
    *ENVIRONMENTS,
]


@pytest.fixture(scope="module")
def run_line(home, embedded_server):
    """Runs a command line in a fork of a process that has loaded all stages."""
    with WarmProcess(
        [PROJECT / "tests" / "experiments" / "warm_stages.py"],
        computes=True,
        env=environment(home, MONGO_DB=DATABASE),
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def run(stage, words, folder, environ=None):
            request = {
                "stage": stage,
                "arguments": list(words),
                "folder": str(folder),
                "environ": environ or {},
                "seconds": SECONDS,
            }
            process.stdin.write(f"{json.dumps(request)}\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield run
        process.stdin.close()


@pytest.fixture(scope="module")
def names(runs, run_line, store, tmp_path_factory):
    """What stands in braces: the runs of each stage, one that failed, one of a single class."""
    folder = tmp_path_factory.mktemp("runs")

    def newest(stage, *words, status="COMPLETED"):
        run_line(stage, ["with", "fast", *words], folder)
        return store.find(experiment=stage, status=status, limit=1)[0].id

    failed = newest("train", "training.learning_rate=1e30", status="FAILED")
    one_image = newest("train", "untrained", "dataset.n_test=1")
    one_class = newest("cluster", f"train_run={one_image}", "n_clusters=2")
    of_stages = {stage: run.id for stage, run in runs.items()}
    return {**of_stages, "failed": failed, "one_class": one_class, "workers": most_workers()}


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_there_are_many_lines_of_every_stage():
    stages = [line.program for line in LINES]
    assert len(set(map(str, LINES))) == len(LINES) >= 150
    assert all(stages.count(stage) >= 5 for stage in STAGES)


@pytest.mark.parametrize("line", LINES, ids=str)
def test_wrong_command_line_is_answered_in_one_line(line, run_line, names, store, folder):
    for name, content in line.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    before = everything_in(folder)
    n_runs = store.database["runs"].count_documents({})
    # A set of names in braces stands in words of Python's and YAML's too.
    words, expected = (
        [_filled(text, {**names, "folder": folder}) for text in texts]
        for texts in (line.words, line.expected)
    )
    finished = run_line(line.program, words, folder, line.environ)
    assert finished["status"] in (1, 2, SERVER_AWAY), finished
    assert "Traceback" not in finished["errors"]
    answer = finished["errors"].rstrip("\n")
    assert answer.startswith("Error: ")
    assert "\n" not in answer
    for text in expected:
        assert text in answer
    assert finished["output"] == ""
    assert everything_in(folder) == before
    assert store.database["runs"].count_documents({}) == n_runs


def _filled(text, names):
    for name, value in names.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
