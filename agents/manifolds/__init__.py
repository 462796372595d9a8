"""From videos to the VAE and back: crops, samples in real frames, quality of samples."""
