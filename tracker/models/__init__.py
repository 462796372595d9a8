"""Networks: backbones, SINT, SiamFC, and the weights that ship."""
