"""Data sets: arrays in memory, the names of their outputs and a digest that a run records.

``python -m nn_clustering.datasets list`` shows all of them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
