"""Data of a user's own: folders of images, prepared folders, .npz files, tables and functions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
