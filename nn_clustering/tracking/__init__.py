"""Track experiments in MongoDB: the server, the observer that writes, the store that reads.

Knows nothing of what the experiments do, and serves any Sacred project::

    from nn_clustering.tracking import complete_capture, connect, resolve_server, track

    track(experiment, connect(resolve_server()))
    with complete_capture():
        experiment.run_commandline()

    with RunStore.open() as store:
        run = store.run("latest", experiment="train")

`python -m nn_clustering.tracking --help` lists what can be done with servers and runs from the
command line.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
