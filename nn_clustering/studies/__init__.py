"""Whole studies: a graph of runs, what of it is done, and where the rest is computed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
