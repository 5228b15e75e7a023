"""Stages of a made-up project, with configs as a study sees them."""

import hashlib
import json

from nn_clustering.errors import InvalidInputError
from nn_clustering.studies import Stages


class MadeUpStage:
    """What a study asks of an experiment, without one."""

    def __init__(self, defaults, code="as it is", **named):
        self.defaults = defaults
        self.named = named
        self.code = code

    def full_config(self, named, updates=None):
        config = json.loads(json.dumps(self.defaults))
        for name in named:
            if name not in self.named:
                raise InvalidInputError(f"no named config {name}")
            _set(config, self.named[name], name)
        _set(config, updates or {}, "updates")
        return config

    def code_digest(self, config):
        return hashlib.sha256(self.code.encode()).hexdigest()

    expected_code = code_digest
    program = "experiments/stage.py"


def _set(config, updates, where):
    for key, value in updates.items():
        if key not in config:
            raise InvalidInputError(f"{where}: {key}={value!r} is no key")
        if isinstance(config[key], dict):
            _set(config[key], value, where)
        else:
            config[key] = value


def made_up_stages(**more):
    common = {"seed": 0, "reuse": True, "tags": [], "n_threads": None}
    train = MadeUpStage(
        {**common, "resume": None, "training": {"epochs": 2, "rate": 0.1}},
        long={"training": {"epochs": 9}},
        longer={"training": {"epochs": 20}},
    )
    cluster = MadeUpStage({**common, "train_run": None, "n_clusters": 2, "phase": None})
    lesion = MadeUpStage({**common, "cluster_run": None, "resume": None, "n_shuffles": 3})
    return Stages(
        {"train": train, "cluster": cluster, "lesion": lesion},
        links={"train": "train_run", "cluster": "cluster_run"},
        **more,
    )
