"""A project that has nothing to do with this one: programs, and a package whose modules import
each other. The tests write it to a folder, to be changed there."""

import textwrap

FILES = {
    # Its stage, with nothing said about what its code is.
    "brew.py": '''
        """Brew."""

        from dataclasses import dataclass
        from pathlib import Path

        from kettle.heat import boil

        from nn_clustering.tracking import Input, StageExperiment, StageRun

        experiment = StageExperiment("brew", save_git_info=False)
        experiment.configure(Path(__file__).parent / "recipes")


        @dataclass(frozen=True)
        class Inputs:
            malt: Input[bytes]
            hops: Input[bytes] | None = None


        def inputs(run: StageRun) -> Inputs:
            return Inputs(Input.of_bytes(run.config["malt"].encode()))


        @experiment.stage(inputs=inputs)
        def brew(run: StageRun[Inputs]) -> dict[str, object]:
            """Boil it."""
            print("brewing")
            assert run.inputs.hops is None
            return {"beer": boil(run.inputs.malt.value.decode())}


        if __name__ == "__main__":
            experiment.run_commandline()
    ''',
    # Sacred's own experiment.
    "distil.py": '''
        """Distil."""

        from sacred import Experiment

        import kettle.heat
        from nn_clustering.tracking import complete_capture, connect, resolve_server, track

        ex = Experiment("distil", save_git_info=False)


        @ex.main
        def distil():
            return kettle.heat.boil("rye")


        if __name__ == "__main__":
            track(ex, connect(resolve_server()))
            with complete_capture():
                ex.run_commandline()
    ''',
    "kettle/__init__.py": "",
    "kettle/heat.py": """
        from kettle import vessel

        def boil(malt):
            return vessel.filled(malt)
    """,
    "kettle/vessel.py": """
        def filled(malt):
            from .deep import salts  # not before it is called

            return f"{malt} of {salts.HARDNESS}"
    """,
    "kettle/deep/__init__.py": "",
    "kettle/deep/salts.py": "HARDNESS = 7",
    # Nobody imports it.
    "kettle/cellar.py": "DEPTH = 3",
    "recipes/brew/default.yaml": "{seed: 0, malt: barley, wort: {gravity: 1.05}}",
    "recipes/brew/strong/bock.yaml": "wort: {gravity: 1.07}",
}
OWN_MODULES = {
    "kettle/__init__.py",
    "kettle/heat.py",
    "kettle/vessel.py",
    "kettle/deep/__init__.py",
    "kettle/deep/salts.py",
}


def write_project(folder):
    for name, content in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(content).lstrip("\n"))
