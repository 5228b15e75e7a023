"""Partitions of a network's units: how they are made, how good they are, and whether they agree."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
