"""Training on annotated videos: SINT by pairs of boxes and the contrastive loss, SiamFC by its responses.

Importing this package imports no torch: each name of `__init__.pyi` is loaded on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
