"""How the slim net that the package ships was made.

First its convolutions learn from VGG-16's (`distillation`), then, with the convolutions fixed, its fully connected
layers learn by SINT's contrastive loss on pairs of boxes (`contrastive`).
"""

from .settings import BackboneTraining
from .train import train_backbone

__all__ = ["BackboneTraining", "train_backbone"]
