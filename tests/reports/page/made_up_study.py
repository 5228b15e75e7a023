"""A study that never ran, with results such as MLPs have."""

import datetime
import io
from itertools import count, product
from types import SimpleNamespace

import numpy as np
import pandas

from nn_clustering.reports._study_results import RUNS, StudyResults
from nn_clustering.studies import Published

NOON = datetime.datetime(2026, 1, 1, 12)
CASES = ("MLP", "MLP, dropout", "MLP, halves of one class", "CNN")
PHASES = ("unpruned", "pruned")
STAGES = ("shuffle_test", "lesion")


def made_up_study(
    *, cases=CASES, n_seeds=5, title="MLPs of MNIST", tests=STAGES, missing=(), artifacts=None
):
    """Of each case and seed one training, two clusterings, and the tests of each.

    Args:
        cases: Names of the trainings' conditions.
        n_seeds: Networks of each.
        title: Of the study.
        tests: Stages that test a clustering.
        missing: Names of cells that have no run.
        artifacts: What each run stored, by name.
    """
    draw, ids = np.random.default_rng(0), count(1)
    cells, networks = [], []
    for (place, case), seed in product(enumerate(cases), range(n_seeds)):
        train = _cell(next(ids), "train", {"train": case}, seed, None)
        train |= {"config.training.epochs": 20, "config.network.dropout": 0.5 * (place == 1)}
        train |= {"config.seed": seed, "config.training.learning_rate": 0.001 * (1 + place)}
        cells.append(train)
        for phase in PHASES:
            labels = {"train": case, "phase": phase}
            null = 10.2 - 0.9 * (phase == "pruned") + 0.1 * draw.normal()
            row = {
                "ncut": null - (0.1 + 0.4 * (phase == "pruned")) - 0.15 * draw.random() * place,
                "shuffled_mean": null,
                "shuffled_std": 0.04 + 0.02 * draw.random(),
            }
            row["z_score"] = (row["ncut"] - null) / row["shuffled_std"]
            row["p_value"] = 0.0196 if row["z_score"] < -3 else 0.1 * draw.random() + 0.02
            cluster = _cell(next(ids), "cluster", labels, seed, train)
            cluster |= {"config.n_clusters": 12, "config.train_run": train["run"]}
            cluster |= {"config.phase": phase, "config.seed": seed, "result.ncut": row["ncut"]}
            cluster |= {"result.n_clusters": 12}
            cells.append(cluster)
            row |= {
                **{f"label.{key}": value for key, value in labels.items()},
                **{"seed": seed, "network": train["run"], "n_clusters": 12, "n_shuffles": 50},
                **{"accuracy": 0.98 + 0.005 * draw.random(), "fragile": False},
                **{"train_run": train["run"], "cluster_run": cluster["run"]},
            }
            for stage in tests:
                cell = _cell(next(ids), stage, labels, seed, cluster)
                cells.append(cell)
                row[f"{stage}_run"] = cell["run"]
                if stage == "shuffle_test":
                    cell |= {f"result.{key}": row[key] for key in ("z_score", "p_value")}
                else:
                    row |= {"importance_joint_p": 10 ** -(1 + 4 * draw.random())}
                    row |= {"importance_p": 0.001, "importance_effect": 1 + draw.random()}
            networks.append(row)
    return StudyResults(
        "made_up",
        title,
        ("train", "phase"),
        _table(cells),
        _table_of_networks(networks),
        tuple(missing),
        (Published({"train": "MLP", "phase": "pruned"}, {"ncut": 8.881, "shuffled_mean": 9.183}),),
        {
            cell["run"]: SimpleNamespace(
                id=cell["run"],
                artifacts=tuple(artifacts or ()),
                artifact=lambda name: (artifacts or {})[name],
            )
            for cell in cells
        },
    )


def _cell(run, stage, labels, seed, parent):
    words = ", ".join(f"{key}={value}" for key, value in labels.items())
    return {
        **{"cell": f"{stage}: {words}, seed={seed}", "step": stage, "stage": stage, "seed": seed},
        **{"label.train": labels["train"], "label.phase": labels.get("phase"), "run": run},
        "parent": None if parent is None else parent["cell"],
        "parent_run": None if parent is None else parent["run"],
        **{"status": "COMPLETED", "start_time": NOON + datetime.timedelta(minutes=run)},
        **{"seconds": 12.5 + run % 7, "host": "lab", "code": "3f2a9c"},
    }


def _table(rows):
    names = dict.fromkeys(key for row in rows for key in row)
    facts = [name for name in names if not name.startswith(("config.", "result."))]
    others = [name for start in ("config.", "result.") for name in names if name.startswith(start)]
    return pandas.DataFrame(
        {
            name: pandas.Series([row.get(name) for row in rows], dtype=object)
            for name in (*facts, *others)
        }
    )


def _table_of_networks(rows):
    objects = [
        *("label.train", "label.phase", "seed", "network", "n_clusters", "fragile"),
        *(f"{stage}_run" for stage in RUNS),
    ]
    numbers = [
        *("accuracy", "ncut", "shuffled_mean", "shuffled_std", "z_score", "p_value", "n_shuffles"),
        *(
            f"{measure}_{end}"
            for measure in ("importance", "coherence", "score", "entropy")
            for end in ("p", "joint_p", "effect")
        ),
    ]
    return pandas.DataFrame(
        {
            **{n: pandas.Series([row.get(n) for row in rows], dtype=object) for n in objects},
            **{
                n: pandas.Series([row.get(n, np.nan) for row in rows], dtype=float) for n in numbers
            },
        }
    )


def png(width=300, height=200, colour=(17, 122, 255)):
    """An image of one colour."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()
