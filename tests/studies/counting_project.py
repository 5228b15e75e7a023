"""A project of one stage, which counts and does what it is told; written to a folder for tests."""

import os
import textwrap
import uuid

from nn_clustering.studies._cell_orders import CellOrder
from nn_clustering.studies._snapshot import snapshot_of
from nn_clustering.tracking import RunStore, Server, connect
from nn_clustering.tracking.run_keys import store_id
from tests.programs import environment, run_warm

FILES = {
    "experiments/count.py": '''
        """Count up to a number, keeping every step, so that another run can go on."""

        import os
        import signal
        import sys
        import time
        from pathlib import Path

        import pymongo
        import step_size

        from nn_clustering.errors import InvalidInputError
        from nn_clustering.tracking import Input, StageExperiment, named_code

        PROJECT = Path(__file__).resolve().parents[1]
        experiment = StageExperiment("count", base_dir=PROJECT, save_git_info=False)
        own = Path.cwd() / "configs"
        folders = [PROJECT / "configs"]
        experiment.configure(folders if own in folders else [*folders, own])


        def inputs(run):
            if run.config["n_steps"] < 1:
                raise InvalidInputError(f"n_steps={run.config['n_steps']}; expected at least 1")
            if run.config["resume"] is None:
                return {}
            stored = run.unfinished_run("resume", "count")
            run.adopt_config(stored)
            if "step_0" not in stored.artifacts:
                raise InvalidInputError(f"resume={stored.id}: it has kept nothing")
            return {"start": Input(stored, stored.id)}


        @experiment.stage(inputs=inputs)
        def count(run):
            """Count on from what another run has kept."""
            first = 0
            if "start" in run.inputs:
                stored = run.inputs["start"].value
                first = sum(name.startswith("step_") for name in stored.artifacts)
            for step in range(first, run.config["n_steps"]):
                run.add_artifact(f"step_{step}", str(step).encode())
                do(run.config["then"] if step == 1 else "go on")
            return {"number": run.config["n_steps"] * size(run), "first": first}


        def do(what):
            pause = os.environ.get("PAUSE")
            if pause is not None and Path(pause).parent.is_dir():
                Path(pause).write_text(str(os.getpid()))
                while Path(pause).exists():
                    time.sleep(0.02)
            if what == "abort":
                os.abort()
            if what == "read":
                nobody = pymongo.MongoClient("127.0.0.1:9", serverSelectionTimeoutMS=100)
                nobody.admin.command("ping")
            if what == "fail":
                print("mongodb://me:a secret 1@host/x")
                print("devices", os.environ.get("CUDA_VISIBLE_DEVICES"))
                raise RuntimeError("told to fail")


        def size(run):
            if run.config["of"] is None:
                return step_size.STEP
            sys.path.insert(0, os.getcwd())
            module, _, name = run.config["of"].rpartition(".")
            return getattr(__import__(module), name)


        if __name__ == "__main__":
            experiment.run_commandline()
        ''',
    "experiments/plan.py": '''
        """Plan to count as a named config says."""

        import count

        from nn_clustering.tracking import StageExperiment

        experiment = StageExperiment("plan", base_dir=count.PROJECT, save_git_info=False)
        experiment.configure(count.PROJECT / "configs")


        def prepare(run):
            config = count.experiment.full_config([run.config["name"]])
            run.add_code(count.experiment.config_code(config))


        @experiment.stage(prepare=prepare)
        def plan(run):
            """Store what it takes."""
            run.add_config_files(count.experiment.config_files([run.config["name"]]))
            return {}


        if __name__ == "__main__":
            experiment.run_commandline()
        ''',
    "configs/plan/default.yaml": """
        seed: 0
        name: default
        reuse: true
        tags: []
        """,
    "experiments/step_size.py": "STEP = 10\n",
    "configs/count/default.yaml": """
        seed: 0
        # Where it ends.
        n_steps: 3
        # What it does after the second step.
        then: go on
        # Where it finds how large a step is.
        of: null
        # The run to go on with.
        resume: null
        reuse: true
        tags: []
        """,
}  # fmt: skip


class CountingStudy:
    """A study of the project: the run that has stored its code, and orders for cells.

    Attributes:
        folder: The project's.
        start: Where the study was started.
        environ: Of a worker of the study.
        database: Its runs.
        run: The study's run, whose code and config cells have.
        snapshot: Its code.
    """

    def __init__(self, folder, embedded_server, home, start=".", **settings):
        self.folder, self.home = folder, home
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text).lstrip())
        self.start = (folder / start).resolve()
        self.start.mkdir(exist_ok=True)
        name = f"test_{uuid.uuid4().hex}"
        self.database = connect(Server(embedded_server.url, name, embedded=True))
        self.environ = environment(home, MONGO_DB=self.database.name, PYTHONDONTWRITEBYTECODE="1")
        self.store = RunStore(self.database, home)
        self.settings = settings

    def begin(self):
        """Make the study's run, as which any run of the stage serves; its code is frozen then."""
        words = [f"{key}={value}" for key, value in {"seed": 1000, **self.settings}.items()]
        program = self.folder / "experiments" / "count.py"
        finished = run_warm([program, "with", *words], self.environ, cwd=self.start)
        assert finished.returncode == 0, finished.stderr
        self.run = self.store.run("latest")
        start = os.path.relpath(self.start, self.folder)
        self.snapshot = snapshot_of(self.database, self.run.id, start, self.home)
        return self

    def plan(self, name):
        """The code that is stored of a study of counts with a named config."""
        program = self.folder / "experiments" / "plan.py"
        finished = run_warm([program, "with", f"name={name}"], self.environ, cwd=self.start)
        assert finished.returncode == 0, finished.stderr
        start = os.path.relpath(self.start, self.folder)
        run = self.store.run("latest", experiment="plan")
        return snapshot_of(self.database, run.id, start, self.home)

    def order(self, seed, **updates):
        """What a worker is told of a cell."""
        updates = {**self.settings, **updates, "seed": seed}
        fields = {
            key: updates.pop(key)
            for key in (
                *("store", "code", "expected_code", "expected_seconds", "configs"),
                *("n_gpus", "reads_data"),
            )
            if key in updates
        }
        code = self.run.info["code"]
        given = {
            "name": f"count: seed={seed}",
            "stage": "count",
            "program": "experiments/count.py",
            "snapshot": self.snapshot,
            "expected_code": code,
            "code": code,
            "store": store_id(self.database),
            "updates": updates,
            "reuse": updates.get("reuse", True),
            "config": {**self.run.config, "resume": None, **updates},
            **fields,
        }
        return CellOrder(**given).to_plain()

    def close(self):
        """Drop what was stored."""
        self.database.client.drop_database(self.database.name)
        self.database.client.close()
