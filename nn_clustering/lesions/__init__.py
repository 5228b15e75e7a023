"""Lesion tests: does silencing a sub-cluster matter more than silencing as many random units?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
