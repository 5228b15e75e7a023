"""A study whose runs are put into a database by hand, with results that are easy to reckon with."""

import io

import matplotlib.image
import numpy as np

from experiments import study
from nn_clustering.reports import read_results
from nn_clustering.studies import (
    cells_of,
    find_completed,
    full_config,
    read_study,
)
from tests.experiments.stored_studies import StoredStudy

STAGES = study.stages_of(study.experiment.defaults)
NETWORKS = {
    "name": "train",
    "cases": [
        {"name": "MLP", "configs": ["mlp", "mnist", "pruned"]},
        {"name": "MLP, 50% dropout", "configs": ["mlp", "mnist", "dropout", "pruned"]},
    ],
    "seeds": [0, 1],
}
CLUSTERINGS = {
    "name": "cluster",
    "of": "train",
    "configs": "published",
    "grid": {"phase": ["unpruned", "pruned"]},
}
SHUFFLES = {"name": "shuffle_test", "of": "cluster", "config": {"n_shuffles": 50}}
LESIONS = {"name": "lesion", "of": "cluster", "configs": "fast"}
INPUTS = {"name": "visualise", "of": "cluster", "configs": "fast"}
PUBLISHED = {"of": {"train": "MLP", "phase": "unpruned"}, "accuracy": 0.98, "ncut": 10.024}


class StoredCells:
    """The cells of a study, with runs of those that are asked for."""

    def __init__(self, database, *steps, title=None, published=()):
        self.config = {"title": title, "steps": list(steps), "published": list(published)}
        self.study = read_study(
            {**self.config, "variant": "full", "quick": []}, "small_study", STAGES
        )
        self.cells = cells_of(self.study, STAGES)
        self.stored = StoredStudy(database)
        self.runs = {}

    def add_all(self, *, but=()):
        for cell in self.cells:
            if cell.name not in but and (cell.parent is None or cell.parent.name in self.runs):
                self.add(cell)
        return self

    def add(self, cell):
        parent = None if cell.parent is None else self.runs[cell.parent.name]
        config = full_config(cell, STAGES, parent)
        lineage = {} if cell.link is None else {cell.link: parent}
        if cell.stage in ("lesion", "visualise"):
            add = getattr(self.stored, cell.stage)
            self.runs[cell.name] = add(cell.name, config, parent, shift=0.05 * cell.seed)
        else:
            made = getattr(self, f"_{cell.stage}")(cell)
            self.runs[cell.name] = self.stored.add(cell.stage, config, **made, **lineage)
            if cell.stage == "train":
                self._log(self.runs[cell.name])
        return self.runs[cell.name]

    def stored_config(self, run):
        return self.stored.database["runs"].find_one({"_id": run})["config"]

    def results(self, store):
        found = find_completed(store.database, self.cells, STAGES, any_code=True)
        return read_results(store, self.study, self.cells, found)

    def _train(self, cell):
        figures = {
            phase: {"test_accuracy": accuracy + cell.seed / 100, "test_loss": 0.1}
            for phase, accuracy in (("unpruned", 0.96), ("pruned", 0.95))
        }
        return {"result": {**figures, **figures["pruned"]}}

    def _log(self, run):
        for phase, n_epochs in (("unpruned", 4), ("pruned", 2)):
            for measure in ("test.accuracy", "test.loss", "train.accuracy"):
                missing = 0 if measure.startswith("train") else 0.5
                self.stored.database["metrics"].insert_one(
                    {
                        "run_id": run,
                        "name": f"{phase}.{measure}",
                        "steps": list(range(1, n_epochs + 1)),
                        "values": [1 - missing / (run + step) for step in range(1, n_epochs + 1)],
                        "timestamps": [None] * n_epochs,
                    }
                )

    def _import_network(self, cell):
        return {"result": {"n_parameters": 7}}

    def _ncut(self, cell):
        return 10 + cell.root_seed / 2 - (cell.labels.get("phase") == "pruned")

    def _cluster(self, cell):
        phase = cell.labels.get("phase", "pruned")
        picture = io.BytesIO()
        matplotlib.image.imsave(picture, np.full((40, 60, 3), 200, np.uint8), format="png")
        return {
            "result": {"ncut": self._ncut(cell), "n_clusters": 12, "cluster_sizes": [3, 4]},
            "files": {"network.png": picture.getvalue()},
            "phase": phase,
        }

    def _shuffle_test(self, cell):
        is_pruned = cell.labels.get("phase") == "pruned"
        return {
            "result": {
                "ncut": self._ncut(cell),
                "shuffled_mean": 11.0 + cell.root_seed,
                "shuffled_std": 0.5,
                "z_score": None if is_pruned else -2.0 * (1 + cell.root_seed),
                "p_value": 1 / 51 if is_pruned else 0.3,
                "n_shuffles": 50,
                "over_seeds": {"rests_on_seed": is_pruned and cell.root_seed == 1},
                "of_lowest_starts": None,
            }
        }

    def _choose_k(self, cell):
        return {
            "result": {"suggested": 4 + cell.root_seed, "ncut": 2.5, "eigengap": None, "why": "gap"}
        }
