"""Training: a compiled epoch, its conditions, and magnitude pruning as a second phase."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
