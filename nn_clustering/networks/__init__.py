"""Networks as plain Keras models: builders of the studies' architectures, and reading of files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
