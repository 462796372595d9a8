"""The networks whose features stand for a target: the slim net, VGG-16, AlexNet, torchvision's.

All share one interface, `Backbone`: named convolutions are read as feature maps, regions of them are pooled, and
fully connected layers stand on the pooled grid.
"""

from .base import Backbone, Cells, fingerprint
from .features import FeatureExtractor
from .hardware import Precision, autocast, describe_arithmetic, precision_name, resolve_device, resolve_precision
from .incremental import IncrementalMaps
from .loading import check_finite, load_backbone, load_weights, save_weights
from .nets import AlexNet, Chain, Slim, Vgg16
from .pooling import GRID, roi_pool
from .torchvision_models import TorchvisionBackbone

__all__ = [
    "GRID",
    "AlexNet",
    "Backbone",
    "Cells",
    "Chain",
    "TorchvisionBackbone",
    "FeatureExtractor",
    "IncrementalMaps",
    "Precision",
    "Slim",
    "Vgg16",
    "autocast",
    "check_finite",
    "describe_arithmetic",
    "fingerprint",
    "load_backbone",
    "load_weights",
    "precision_name",
    "resolve_device",
    "resolve_precision",
    "roi_pool",
    "save_weights",
]
