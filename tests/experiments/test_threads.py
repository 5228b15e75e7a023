"""A run with `n_threads` computes with so many, TensorFlow too, whatever runs beside it."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from experiments._keras import import_keras
from nn_clustering.networks import network_of_run
from tests.experiments.conftest import DATABASE
from tests.programs import PROJECT, WarmProcess, environment, run_warm

TRAINING = ["cnn", "fast", "digits", "network.conv_filters=[8, 8]", "training.epochs=1"]
LOOK = """
import json, sys
from experiments.train import experiment

@experiment.post_run_hook
def look():
    import tensorflow as tf
    from threadpoolctl import threadpool_info

    threading = tf.config.threading
    found = [library["num_threads"] for library in threadpool_info()]
    found.append(threading.get_intra_op_parallelism_threads())
    found.append(threading.get_inter_op_parallelism_threads())
    print("threads", json.dumps(found))

experiment.run_commandline(["train.py", "-u", "with", *sys.argv[1:]])
"""


@pytest.mark.parametrize("n_threads", [1, 3])
def test_training_computes_with_so_many(home, n_threads):
    command = ["-c", LOOK, *TRAINING, f"n_threads={n_threads}"]
    finished = run_warm(command, environment(home), computes=True)
    assert finished.returncode == 0, finished.stderr
    assert "has begun in this process" not in finished.stdout
    (line,) = [line for line in finished.stdout.splitlines() if line.startswith("threads ")]
    found = json.loads(line.removeprefix("threads "))
    # Linear algebra of numpy and of scipy at least, and TensorFlow's two numbers.
    assert len(found) >= 4
    assert set(found) == {n_threads}


def test_tensorflow_that_computes_already_goes_on_and_it_is_told(monkeypatch, capsys):
    tf.constant(0)
    import_keras()
    assert capsys.readouterr().out == ""
    used = tf.config.threading.get_intra_op_parallelism_threads() or os.cpu_count()
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", str(used + 1))
    import_keras()
    told = capsys.readouterr().out
    assert f"has begun in this process with {used} threads" in told
    assert f"the {used + 1} of this run (n_threads) count in a new process" in told


def test_trainings_side_by_side_give_the_bits_of_one_alone(home, store, run_experiment, tmp_path):
    command = [PROJECT / "experiments" / "train.py", "with", *TRAINING, "n_threads=1", "seed=77"]
    environ = environment(home, MONGO_DB=DATABASE)
    alone = run_experiment("train", *command[1:])
    assert alone.returncode == 0, alone.stderr
    names = [tmp_path / name for name in "ab"]
    several = [
        WarmProcess(
            [*command, "reuse=False"],
            computes=True,
            env={**environ, "NN_CLUSTERING_RUN_ID_FILE": str(name)},
            cwd=PROJECT,
        )
        for name in names
    ]
    assert [process.wait(300) for process in several] == [0, 0]
    run, *others = (
        network_of_run(store.run(run_id), "unpruned").get_weights()
        for run_id in (alone.run_id, *(int(name.read_text()) for name in names))
    )
    for other in others:
        for ours, theirs in zip(other, run, strict=True):
            np.testing.assert_array_equal(ours, theirs)
