"""Training a model on the images of one video."""
