"""What a sub-cluster responds to: inputs that are optimised for it, and what data move it most."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
