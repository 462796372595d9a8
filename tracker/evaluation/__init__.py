"""Judging trackers by OTB's protocol.

Importing this package costs nothing: each name of `__init__.pyi` is loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
