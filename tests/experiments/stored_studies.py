"""Runs of the stages of a study, put into a database by hand."""

from datetime import datetime

import numpy as np
import pandas

from experiments import choose_k, cluster, import_network, lesion, shuffle_test, train, visualise
from nn_clustering.lesions._statistics import coherence_measure, importance_measure
from nn_clustering.significance import measure_beside_random
from tests.tracking.stored_files import store_file

N_SUB_CLUSTERS = 10
LAYERS = ["dense"] * 4 + ["last"] * 6
COMBINED = np.ones(N_SUB_CLUSTERS, bool)
STAGES = {
    program.experiment.path: program
    for program in (choose_k, cluster, import_network, lesion, shuffle_test, train, visualise)
}


class StoredStudy:
    """Runs in a database, by name."""

    def __init__(self, database):
        self.database = database
        self.ids = {}
        self.n_runs = 0

    def add(self, stage, config, named=(), *, files=None, result=None, **info):
        whole = STAGES[stage].experiment.full_config(list(named))
        for key, value in config.items():
            whole[key] = {**whole[key], **value} if isinstance(value, dict) else value
        lineage = {key: info.pop(key) for key in ("train_run", "cluster_run") if key in info}
        self.n_runs += 1
        self.database["runs"].insert_one(
            {
                "_id": self.n_runs,
                "experiment": {"name": stage},
                "status": "COMPLETED",
                "start_time": datetime(2024, 5, 2),
                "config": whole,
                "result": result,
                "info": {"lineage": lineage, **info},
                "artifacts": [
                    store_file(self.database, name, content)
                    for name, content in (files or {}).items()
                ],
            }
        )
        return self.n_runs

    def lesion(self, name, config, clustered, *, shift=0.0, error=False):
        random = np.random.default_rng(self.n_runs)
        true, drawn = random.uniform(-0.2, 0, 10) - shift, random.uniform(-0.2, 0, (10, 19))
        shared = {"count_ties": True, "layers": LAYERS, "combined": COMBINED}
        measures = {
            "importance": importance_measure(
                true, drawn, intact=0.95, harm=-1, tail="left", **shared
            ),
            "coherence": coherence_measure(-true, -drawn, **shared),
        }
        result = {"mean_squared_error" if error else "accuracy": 0.5 if error else 0.9}
        return self._tested("lesion", name, config, clustered, measures, result)

    def visualise(self, name, config, clustered, *, shift=0.0, entropy=True):
        """Optimised inputs that are answered so much more by sub-clusters than by random ones."""
        random = np.random.default_rng(self.n_runs)
        tails = {"score": "right", "entropy": "left", "dispersion": "left"}
        measures = {
            measure: measure_beside_random(
                random.uniform(1, 2, 10) + shift * (1 if tail == "right" else -1),
                random.uniform(1, 2, (10, 19)),
                tail=tail, count_ties=True, layers=LAYERS, combined=COMBINED, each=True,
            )
            for measure, tail in tails.items()
            if entropy or measure != "entropy"
        }  # fmt: skip
        result = dict.fromkeys(("entropy", "top_entropy"))
        return self._tested("visualise", name, config, clustered, measures, result)

    def _tested(self, stage, name, config, clustered, measures, result):
        table, effects = {"layer": LAYERS, "combined": COMBINED}, {}
        for measure, found in measures.items():
            table |= found.columns(measure)
            effects |= found.columns_of_draws(measure)
        files = {
            "sub_clusters.csv": pandas.DataFrame(table).to_csv(index=False).encode(),
            "random_effects.csv": pandas.DataFrame(effects).to_csv(index=False).encode(),
        }
        summaries = {measure: found.summary(seed=0) for measure, found in measures.items()}
        result = {**result, "n_subclusters": N_SUB_CLUSTERS, **summaries}
        run = self.add(stage, config, files=files, result=result, cluster_run=clustered)
        self.ids[name] = run
        return run
