"""Is it more than chance? Null models, p-values and their combination, how sure a mean is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
