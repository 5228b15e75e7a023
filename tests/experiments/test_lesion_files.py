"""What a lesion test stores: tables of any length, and scores in as few bytes as they need."""

import io
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pandas
import pytest

from experiments import _result_tables
from experiments._kept_arrays import KeptArrays, KeptScores
from experiments._result_tables import add_long_table, add_table


class Files(dict):
    """Takes what a run stores, and gives it back as a stored run does."""

    inputs = SimpleNamespace(unfinished=None)
    artifact = dict.__getitem__

    @property
    def artifacts(self):
        return list(self)

    def add_artifact(self, name, content):
        self[name] = content


PARTS = [
    pandas.DataFrame({"layer": "a", "change": [-0.5, 0.0]}),
    pandas.DataFrame({"layer": ["b"], "change": 0.1}),
]


def test_a_table_in_parts_is_one():
    files = Files()
    add_long_table(files, "parts", PARTS, 3)
    add_table(files, "whole", pandas.concat(PARTS, ignore_index=True))
    assert files["parts.csv"] == files["whole.csv"]
    read = pandas.read_parquet(io.BytesIO(files["parts.parquet"]))
    pandas.testing.assert_frame_equal(read, pandas.concat(PARTS, ignore_index=True))


def test_what_no_spreadsheet_opens_is_stored_for_programs_alone(monkeypatch):
    monkeypatch.setattr(_result_tables, "MOST_CSV_ROWS", 2)
    files = Files()
    add_long_table(files, "long", PARTS, 3)
    assert files.artifacts == ["long.parquet"]


@pytest.mark.parametrize(
    ("most", "dtype"), [(50, np.int8), (128, np.int16), (40_000, np.int32), (0.5, np.float64)]
)
def test_scores_are_kept_as_they_are_in_few_bytes(most, dtype):
    scores = np.array([[0, 1], [2, most]])
    files = Files()
    with KeptScores(files, "single", 1) as kept:
        kept.add(0, scores)
    later = Files()
    later.inputs = SimpleNamespace(unfinished=SimpleNamespace(value=files))
    with KeptScores(later, "single", 1) as kept:
        assert kept.known[0].dtype == dtype
        np.testing.assert_array_equal(kept.known[0], scores)


def test_a_task_keeps_several_arrays():
    files = Files()
    tasks = [
        {"scores": np.array([0.5, np.nan]), "inputs": np.ones((2, 3), np.float32)},
        {"scores": np.array([2.0])},
    ]
    with KeptArrays(files, "optimised", 2) as kept:
        for index, arrays in enumerate(tasks):
            kept.add(index, arrays)
    assert files.artifacts == ["optimised_0.npz", "optimised_1.npz"]
    later = Files()
    later.inputs = SimpleNamespace(unfinished=SimpleNamespace(value=files))
    with KeptArrays(later, "optimised", 2) as kept:
        for index, arrays in enumerate(tasks):
            assert set(kept.known[index]) == set(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(kept.known[index][name], array)
                assert kept.known[index][name].dtype == array.dtype


def test_scores_are_read_that_were_stored_without_a_name():
    content = io.BytesIO()
    np.savez_compressed(content, **{"3": np.array([[1, 2]])})
    later = Files()
    stored = Files({"single_scores_0.npz": content.getvalue()})
    later.inputs = SimpleNamespace(unfinished=SimpleNamespace(value=stored))
    with KeptScores(later, "single", 4) as kept:
        assert {task: scores.tolist() for task, scores in kept.known.items()} == {3: [[1, 2]]}


def stored_tasks(files):
    """The numbers of the tasks in each file, in the order in which they were stored."""
    found = []
    for name in files.artifacts:
        with np.load(io.BytesIO(files[name]), allow_pickle=False) as arrays:
            found.append([int(key.split(".")[0]) for key in arrays.files])
    return found


def test_what_was_done_is_kept_some_at_a_time_and_from_run_to_run(capsys):
    """Of 33 tasks three a file; what is cut short, twice, keeps what the runs before it had."""
    first, second, third = Files(), Files(), Files()
    with suppress(KeyboardInterrupt), KeptArrays(first, "optimised", 33) as kept:
        kept.tell("batches")
        for task in range(5):
            kept.add(task, {"counts": np.arange(task)})
        assert stored_tasks(first) == [[0, 1, 2]]
        raise KeyboardInterrupt
    assert stored_tasks(first) == [[0, 1, 2], [3, 4]]
    assert capsys.readouterr().out == ""
    # what else a run stores under names that are somewhat like these
    first.update({"inputs.npz": b"", "optimised_notes.csv": b"", "not_optimised_0.npz": b""})
    second.inputs = SimpleNamespace(unfinished=SimpleNamespace(value=first))
    first.id, second.id = 7, 8
    with KeptArrays(second, "optimised", 33) as kept:
        assert stored_tasks(second) == [[0, 1, 2, 3, 4]]
        kept.tell("batches")
        kept.add(6, {"counts": np.array([6])})
    assert stored_tasks(second) == [[0, 1, 2, 3, 4], [6]]
    third.inputs = SimpleNamespace(unfinished=SimpleNamespace(value=second))
    with KeptArrays(third, "optimised", 33) as kept:
        kept.tell("batches")
    found = {task: arrays["counts"].tolist() for task, arrays in kept.known.items()}
    assert found == {**{task: list(range(task)) for task in range(5)}, 6: [6]}
    assert capsys.readouterr().out.splitlines() == [
        "going on with run 7 after 5 of 33 batches",
        "going on with run 8 after 6 of 33 batches",
    ]
