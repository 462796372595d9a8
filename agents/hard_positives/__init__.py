"""Hard positives: the generator, its folder format, transforms."""
