"""What a Keras network is made of: its walk, what each layer does to units, and its weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
